/*
 * The functions of libc that a client calls by name. Those that make a system call come to the door by libc's own code (libc.c);
 * where that could not be led there, they ask the door themselves. The others are here for what they do beside it.
 */
#undef _FORTIFY_SOURCE
#include "slate.h"

#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

void *slate_libc(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        slate_say("libc has no %s(); Slate needs glibc.", name);
        abort();
    }
    return found;
}

/* Asks the door where libc's own system call does not: answers, or goes on to the real function. */
#define ASK(type, number, ...) \
    do { \
        if (UNLIKELY(!libc_patched())) { \
            long arguments_[6] = {__VA_ARGS__}, answer_; \
            if (door(number, arguments_, &answer_)) return (type)result(answer_); \
        } \
    } while (0)

/* ------------------------------------------------------------------------------------------------------------ names */

static mode_t mode_of(int flags, va_list list) {
    return flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? va_arg(list, mode_t) : 0;
}

PUBLIC int openat(int dirfd, const char *path, int flags, ...) {
    ASK(int, SYS_openat, dirfd, (long)path, flags);
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return REAL(openat)(dirfd, path, flags, mode);
}
PUBLIC int openat64(int, const char *, int, ...) __attribute__((alias("openat")));
PUBLIC int open(const char *path, int flags, ...) {
    ASK(int, SYS_open, (long)path, flags);
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return REAL(open)(path, flags, mode);
}
PUBLIC int open64(const char *, int, ...) __attribute__((alias("open")));
PUBLIC int __open_2(const char *path, int flags) {
    return open(path, flags);
}
PUBLIC int __open64_2(const char *, int) __attribute__((alias("__open_2")));
PUBLIC int __openat_2(int dirfd, const char *path, int flags) {
    return openat(dirfd, path, flags);
}
PUBLIC int __openat64_2(int, const char *, int) __attribute__((alias("__openat_2")));
PUBLIC int creat(const char *path, mode_t mode) {
    return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
PUBLIC int creat64(const char *, mode_t) __attribute__((alias("creat")));

/* Whether a module parameter or a counter was opened to be written. */
static bool is_pseudo(int fd) {
    uint32_t handle = is_kvm_fd(fd) ? file_get(fd) : 0;
    bool pseudo = handle && slate_files[handle].kind == KIND_PSEUDO;
    if (handle) file_put(handle);
    return pseudo;
}
static ssize_t write_cookie(void *cookie, const char *from, size_t bytes) {
    ssize_t n = write((int)(intptr_t)cookie, from, bytes);
    return n < 0 ? 0 : n; /* a cookie says an error so; errno stands */
}
static ssize_t read_cookie(void *cookie, char *to, size_t bytes) {
    return read((int)(intptr_t)cookie, to, bytes);
}
static int close_cookie(void *cookie) {
    return close((int)(intptr_t)cookie);
}
/* libc's own streams write without our write(), and where libc is as it was they open without our open(). */
PUBLIC FILE *fopen(const char *path, const char *mode) {
    int flags = strchr(mode, '+') ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;
    if (strchr(mode, 'e')) flags |= O_CLOEXEC;
    const char *pseudo;
    enum path kind = path_kind(AT_FDCWD, path, &pseudo);
    if (kind == PATH_OTHER || (kind == PATH_KVM && libc_patched())) return REAL(fopen)(path, mode);
    int fd = open(path, flags);
    if (fd < 0) return NULL;
    if (!is_pseudo(fd)) return fdopen(fd, mode);
    cookie_io_functions_t functions = {.read = read_cookie, .write = write_cookie, .close = close_cookie};
    return fopencookie((void *)(intptr_t)fd, mode, functions);
}
PUBLIC FILE *fopen64(const char *, const char *) __attribute__((alias("fopen")));

PUBLIC int faccessat(int dirfd, const char *path, int wanted, int flags) {
    ASK(int, SYS_faccessat, dirfd, (long)path, wanted);
    return REAL(faccessat)(dirfd, path, wanted, flags);
}
PUBLIC int access(const char *path, int wanted) {
    return faccessat(AT_FDCWD, path, wanted, 0);
}
PUBLIC int euidaccess(const char *path, int wanted) {
    return faccessat(AT_FDCWD, path, wanted, AT_EACCESS);
}
PUBLIC int eaccess(const char *, int) __attribute__((alias("euidaccess")));
PUBLIC int fstatat(int dirfd, const char *restrict path, struct stat *restrict st, int flags) {
    ASK(int, SYS_newfstatat, dirfd, (long)path, (long)st, flags);
    return REAL(fstatat)(dirfd, path, st, flags);
}
PUBLIC int fstatat64(int, const char *restrict, struct stat64 *restrict, int) __attribute__((alias("fstatat")));
PUBLIC int stat(const char *restrict path, struct stat *restrict st) {
    return fstatat(AT_FDCWD, path, st, 0);
}
PUBLIC int stat64(const char *restrict, struct stat64 *restrict) __attribute__((alias("stat")));
PUBLIC int lstat(const char *restrict path, struct stat *restrict st) {
    return fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}
PUBLIC int lstat64(const char *restrict, struct stat64 *restrict) __attribute__((alias("lstat")));
PUBLIC int fstat(int fd, struct stat *st) {
    ASK(int, SYS_fstat, fd, (long)st);
    return REAL(fstat)(fd, st);
}
PUBLIC int fstat64(int, struct stat64 *) __attribute__((alias("fstat")));
PUBLIC int statx(int dirfd, const char *restrict path, int flags, unsigned mask, struct statx *restrict sx) {
    ASK(int, SYS_statx, dirfd, (long)path, flags, mask, (long)sx);
    return REAL(statx)(dirfd, path, flags, mask, sx);
}

/* ----------------------------------------------------------------------------------------------------- descriptors */

PUBLIC int close(int fd) {
    ASK(int, SYS_close, fd);
    return REAL(close)(fd);
}
PUBLIC int close_range(unsigned first, unsigned last, int flags) {
    ASK(int, SYS_close_range, first, last, flags);
    return REAL(close_range)(first, last, flags);
}
PUBLIC void closefrom(int first) {
    close_range(first < 0 ? 0 : (unsigned)first, ~0u, 0);
}
PUBLIC int dup(int fd) {
    ASK(int, SYS_dup, fd);
    return REAL(dup)(fd);
}
PUBLIC int dup2(int from, int to) {
    ASK(int, SYS_dup2, from, to);
    return REAL(dup2)(from, to);
}
PUBLIC int dup3(int from, int to, int flags) {
    ASK(int, SYS_dup3, from, to, flags);
    return REAL(dup3)(from, to, flags);
}
PUBLIC int fcntl(int fd, int command, ...) {
    va_list list;
    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    ASK(int, SYS_fcntl, fd, command, argument);
    return REAL(fcntl)(fd, command, argument);
}
PUBLIC int fcntl64(int, int, ...) __attribute__((alias("fcntl")));

/* libc has no constant before read()'s system call, so these stay here. 0: the kernel reads; else -errno. */
static long reads(int fd) {
    uint32_t handle = LIKELY(!is_kvm_fd(fd)) ? 0 : file_get_sure(fd);
    if (!handle) return 0;
    uint32_t kind = slate_files[handle].kind;
    if (kind == KIND_STATS) jvm_refresh(handle); /* shows the counters of the moment */
    file_put(handle);
    return kind == KIND_SYSTEM || kind == KIND_VM || kind == KIND_VCPU || kind == KIND_FOREIGN ? -EINVAL : 0;
}
#define READS(fd) \
    do { \
        long error_ = reads(fd); \
        if (UNLIKELY(error_)) return result(error_); \
    } while (0)

PUBLIC ssize_t read(int fd, void *to, size_t bytes) {
    READS(fd);
    return REAL(read)(fd, to, bytes);
}
PUBLIC ssize_t pread(int fd, void *to, size_t bytes, off_t at) {
    READS(fd);
    return REAL(pread)(fd, to, bytes, at);
}
PUBLIC ssize_t pread64(int, void *, size_t, off64_t) __attribute__((alias("pread")));
ssize_t __read_chk(int, void *, size_t, size_t);
ssize_t __pread_chk(int, void *, size_t, off_t, size_t);
PUBLIC ssize_t __read_chk(int fd, void *to, size_t bytes, size_t room) {
    READS(fd);
    return REAL(__read_chk)(fd, to, bytes, room);
}
PUBLIC ssize_t __pread_chk(int fd, void *to, size_t bytes, off_t at, size_t room) {
    READS(fd);
    return REAL(__pread_chk)(fd, to, bytes, at, room);
}
ssize_t __pread64_chk(int, void *, size_t, off64_t, size_t);
PUBLIC ssize_t __pread64_chk(int, void *, size_t, off64_t, size_t) __attribute__((alias("__pread_chk")));

/* A module parameter or a counter is written; KVM's own descriptors can't be. */
static bool takes_write(int fd, const void *from, size_t bytes, ssize_t *written) {
    uint32_t handle = LIKELY(!is_kvm_fd(fd)) ? 0 : file_get_sure(fd);
    if (!handle) return false;
    uint32_t kind = slate_files[handle].kind;
    bool takes = kind != KIND_STATS && kind != KIND_NAME;
    if (takes) *written = result(kind == KIND_PSEUDO ? path_write_pseudo(handle, from, bytes) : -EINVAL);
    file_put(handle);
    return takes;
}
PUBLIC ssize_t write(int fd, const void *from, size_t bytes) {
    ssize_t n;
    return takes_write(fd, from, bytes, &n) ? n : REAL(write)(fd, from, bytes);
}
PUBLIC ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at) {
    ssize_t n;
    return takes_write(fd, from, bytes, &n) ? n : REAL(pwrite)(fd, from, bytes, at);
}
PUBLIC ssize_t pwrite64(int, const void *, size_t, off64_t) __attribute__((alias("pwrite")));

/* As noop_llseek: KVM's files have no position. */
PUBLIC off_t lseek(int fd, off_t offset, int whence) {
    uint32_t handle = LIKELY(!is_kvm_fd(fd)) ? 0 : file_get_sure(fd);
    uint32_t kind = handle ? slate_files[handle].kind : KIND_NONE;
    if (handle) file_put(handle);
    return kind == KIND_SYSTEM || kind == KIND_VM || kind == KIND_VCPU ? 0 : REAL(lseek)(fd, offset, whence);
}
PUBLIC off64_t lseek64(int, off64_t, int) __attribute__((alias("lseek")));
PUBLIC int fsync(int fd) {
    uint32_t handle = LIKELY(!is_kvm_fd(fd)) ? 0 : file_get_sure(fd);
    if (handle) file_put(handle);
    return handle ? (int)result(-EINVAL) : REAL(fsync)(fd);
}

/* ---------------------------------------------------------------------------------------------------- guest memory */

PUBLIC int munmap(void *start, size_t bytes) {
    ASK(int, SYS_munmap, (long)start, (long)bytes);
    return REAL(munmap)(start, bytes);
}
PUBLIC int mprotect(void *start, size_t bytes, int protection) {
    ASK(int, SYS_mprotect, (long)start, (long)bytes, protection);
    return REAL(mprotect)(start, bytes, protection);
}
PUBLIC int madvise(void *start, size_t bytes, int advice) {
    ASK(int, SYS_madvise, (long)start, (long)bytes, advice);
    return REAL(madvise)(start, bytes, advice);
}
PUBLIC void *mmap(void *start, size_t bytes, int protection, int flags, int fd, off_t offset) {
    ASK(void *, SYS_mmap, (long)start, (long)bytes, protection, flags, fd, offset);
    return REAL(mmap)(start, bytes, protection, flags, fd, offset);
}
PUBLIC void *mmap64(void *, size_t, int, int, int, off64_t) __attribute__((alias("mmap")));
PUBLIC void *mremap(void *old, size_t old_bytes, size_t bytes, int flags, ...) {
    va_list list;
    va_start(list, flags);
    void *fixed = va_arg(list, void *);
    va_end(list);
    ASK(void *, SYS_mremap, (long)old, (long)old_bytes, (long)bytes, flags, (long)fixed);
    return REAL(mremap)(old, old_bytes, bytes, flags, fixed);
}

/* --------------------------------------------------------------------------------------------------- other libraries */

/* A second libc in a namespace of its own is led to the door as the first one is. */
PUBLIC void *dlmopen(Lmid_t space, const char *file, int mode) {
    void *library = REAL(dlmopen)(space, file, mode);
    void *libc = library && libc_patched() ? dlsym(library, "gnu_get_libc_version") : NULL;
    if (libc && libc != dlsym(RTLD_DEFAULT, "gnu_get_libc_version")) libc_patch(libc, dlsym(library, "syscall"));
    return library;
}

/* What a client asks of its signal stack changes where Java's calls find the thread. */
PUBLIC int sigaltstack(const stack_t *restrict new, stack_t *restrict old) {
    ASK(int, SYS_sigaltstack, (long)new, (long)old);
    return REAL(sigaltstack)(new, old);
}
