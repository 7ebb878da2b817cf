/* The functions of libc that a client may reach KVM or its guest's memory by. Each does one thing before the real one. */
#undef _FORTIFY_SOURCE
#include "slate.h"

#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

void *slate_libc(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        slate_say("libc has no %s(); Slate needs glibc.", name);
        abort();
    }
    return found;
}

/* ------------------------------------------------------------------------------------------------------------ open */

/* Whether Slate answers this open; *fd is the answer. */
static bool opens(int dirfd, const char *path, int flags, int *fd) {
    const char *pseudo;
    if (flags & O_PATH) return false; /* a name and no device: bubblewrap asks the kernel about it */
    switch (path_kind(dirfd, path, &pseudo)) {
    case PATH_KVM: *fd = path_open_kvm(flags); return true;
    case PATH_PSEUDO: *fd = path_open_pseudo(pseudo, flags); return true;
    default: return false;
    }
}

static mode_t mode_of(int flags, va_list list) {
    return flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? va_arg(list, mode_t) : 0;
}

PUBLIC int openat(int dirfd, const char *path, int flags, ...) {
    int fd;
    if (opens(dirfd, path, flags, &fd)) return fd;
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return REAL(openat)(dirfd, path, flags, mode);
}
PUBLIC int openat64(int, const char *, int, ...) __attribute__((alias("openat")));
PUBLIC int open(const char *path, int flags, ...) {
    int fd;
    if (opens(AT_FDCWD, path, flags, &fd)) return fd;
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
PUBLIC FILE *fopen(const char *path, const char *mode) {
    int flags = strchr(mode, '+') ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;
    if (strchr(mode, 'e')) flags |= O_CLOEXEC;
    int fd;
    if (!opens(AT_FDCWD, path, flags, &fd)) return REAL(fopen)(path, mode);
    if (fd < 0) return NULL;
    if (!is_pseudo(fd)) return fdopen(fd, mode);
    /* libc's own streams write without our write(). */
    cookie_io_functions_t functions = {.read = read_cookie, .write = write_cookie, .close = close_cookie};
    return fopencookie((void *)(intptr_t)fd, mode, functions);
}
PUBLIC FILE *fopen64(const char *, const char *) __attribute__((alias("fopen")));

/* ---------------------------------------------------------------------------------------------- what the paths are */

/* 0 or -errno where Slate answers, 1 where the kernel does. */
static long examine(int dirfd, const char *path, mode_t *mode, dev_t *device) {
    const char *pseudo;
    *device = 0;
    switch (path_kind(dirfd, path, &pseudo)) {
    case PATH_KVM:
        *mode = S_IFCHR | 0666;
        *device = makedev(10, 232);
        return 0;
    case PATH_PSEUDO: *mode = S_IFREG | (mode_t)jvm_pseudo_mode(pseudo); return *mode & 0777 ? 0 : -ENOENT;
    default: return 1;
    }
}

PUBLIC int faccessat(int dirfd, const char *path, int wanted, int flags) {
    mode_t mode;
    dev_t device;
    long r = examine(dirfd, path, &mode, &device);
    if (r > 0) return REAL(faccessat)(dirfd, path, wanted, flags);
    if (r == 0 && (wanted & X_OK || (wanted & W_OK && !(mode & 0222)))) r = -EACCES;
    return (int)result(r);
}
PUBLIC int access(const char *path, int wanted) {
    return faccessat(AT_FDCWD, path, wanted, 0);
}
PUBLIC int euidaccess(const char *path, int wanted) {
    return faccessat(AT_FDCWD, path, wanted, AT_EACCESS);
}
PUBLIC int eaccess(const char *, int) __attribute__((alias("euidaccess")));

static int fill(struct stat *st, mode_t mode, dev_t device) {
    memset(st, 0, sizeof *st);
    st->st_mode = mode;
    st->st_rdev = device;
    st->st_nlink = 1;
    st->st_blksize = 4096;
    st->st_size = device ? 0 : 4096;
    return 0;
}

PUBLIC int fstatat(int dirfd, const char *restrict path, struct stat *restrict st, int flags) {
    mode_t mode;
    dev_t device;
    if (path && path[0] == 0 && flags & AT_EMPTY_PATH) return fstat(dirfd, st);
    long r = examine(dirfd, path, &mode, &device);
    if (r > 0) return REAL(fstatat)(dirfd, path, st, flags);
    return r < 0 ? (int)result(r) : fill(st, mode, device);
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
    if (is_kvm_fd(fd)) {
        uint32_t handle = file_get(fd);
        bool system = handle && slate_files[handle].kind == KIND_SYSTEM;
        if (handle) file_put(handle);
        if (system) return fill(st, S_IFCHR | 0666, makedev(10, 232));
    }
    return REAL(fstat)(fd, st);
}
PUBLIC int fstat64(int, struct stat64 *) __attribute__((alias("fstat")));
PUBLIC int statx(int dirfd, const char *restrict path, int flags, unsigned mask, struct statx *restrict sx) {
    mode_t mode;
    dev_t device;
    long r = path && path[0] ? examine(dirfd, path, &mode, &device) : 1;
    if (r > 0) return REAL(statx)(dirfd, path, flags, mask, sx);
    if (r < 0) return (int)result(r);
    memset(sx, 0, sizeof *sx);
    sx->stx_mask = STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_SIZE;
    sx->stx_mode = (uint16_t)mode;
    sx->stx_nlink = 1;
    sx->stx_blksize = 4096;
    sx->stx_size = device ? 0 : 4096;
    sx->stx_rdev_major = major(device);
    sx->stx_rdev_minor = minor(device);
    return 0;
}

/* ----------------------------------------------------------------------------------------------------- descriptors */

COLD static long ioctl_cancelled(uint32_t handle, unsigned long request, long argument) {
    int state = signals_enter_cancelled();
    long r = jvm_ioctl(handle, request, argument);
    file_put(handle);
    self.serving = 0;
    leave();
    signals_leave_cancelled(state);
    return r;
}

PUBLIC HOT int ioctl(int fd, unsigned long request, ...) {
    va_list list;
    va_start(list, request);
    long argument = va_arg(list, long);
    va_end(list);
    if (!is_kvm_fd(fd)) return REAL(ioctl)(fd, request, argument);
    if (UNLIKELY(!self.registration)) signals_register();
    self.serving = 1;
    enter();
    uint32_t handle = file_get(fd);
    long r;
    if (UNLIKELY(!handle)) {
        r = -EBADF;
    } else if (UNLIKELY(self.cancel_seen)) {
        return (int)result(ioctl_cancelled(handle, request, argument));
    } else {
        r = jvm_ioctl(handle, request, argument);
        file_put(handle);
    }
    self.serving = 0; /* before leave(), which may run a handler that does not come back */
    leave();
    atomic_signal_fence(memory_order_seq_cst);
    if (UNLIKELY(self.cancel_seen)) signals_leave_cancelled(0 /* PTHREAD_CANCEL_ENABLE */);
    return (int)result(r);
}

PUBLIC int close(int fd) {
    if (is_kvm_fd(fd)) file_forget(fd);
    return REAL(close)(fd);
}
PUBLIC int close_range(unsigned first, unsigned last, int flags) {
    if (!(flags & 4 /* CLOSE_RANGE_CLOEXEC */)) {
        for (unsigned fd = first; fd <= last && fd < MAX_FDS; fd++) {
            if (is_kvm_fd((int)fd)) file_forget((int)fd);
        }
    }
    return REAL(close_range)(first, last, flags);
}
PUBLIC void closefrom(int first) {
    close_range(first < 0 ? 0 : (unsigned)first, ~0u, 0);
}

static int copied(int from, int to) {
    if (to >= 0 && (is_kvm_fd(from) || is_kvm_fd(to)) && from != to) file_copy(from, to);
    return to;
}
PUBLIC int dup(int fd) {
    return copied(fd, REAL(dup)(fd));
}
PUBLIC int dup2(int from, int to) {
    return copied(from, REAL(dup2)(from, to));
}
PUBLIC int dup3(int from, int to, int flags) {
    return copied(from, REAL(dup3)(from, to, flags));
}
PUBLIC int fcntl(int fd, int command, ...) {
    va_list list;
    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    int r = REAL(fcntl)(fd, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, r) : r;
}
PUBLIC int fcntl64(int, int, ...) __attribute__((alias("fcntl")));

/* A statistics file shows the counters of the moment. */
static void refresh(int fd) {
    if (!is_kvm_fd(fd)) return;
    uint32_t handle = file_get(fd);
    if (!handle) return;
    if (slate_files[handle].kind == KIND_STATS) jvm_refresh(handle);
    file_put(handle);
}
PUBLIC ssize_t read(int fd, void *to, size_t bytes) {
    refresh(fd);
    return REAL(read)(fd, to, bytes);
}
PUBLIC ssize_t pread(int fd, void *to, size_t bytes, off_t at) {
    refresh(fd);
    return REAL(pread)(fd, to, bytes, at);
}
PUBLIC ssize_t pread64(int, void *, size_t, off64_t) __attribute__((alias("pread")));
ssize_t __read_chk(int, void *, size_t, size_t);
ssize_t __pread_chk(int, void *, size_t, off_t, size_t);
PUBLIC ssize_t __read_chk(int fd, void *to, size_t bytes, size_t room) {
    refresh(fd);
    return REAL(__read_chk)(fd, to, bytes, room);
}
PUBLIC ssize_t __pread_chk(int fd, void *to, size_t bytes, off_t at, size_t room) {
    refresh(fd);
    return REAL(__pread_chk)(fd, to, bytes, at, room);
}
ssize_t __pread64_chk(int, void *, size_t, off64_t, size_t);
PUBLIC ssize_t __pread64_chk(int, void *, size_t, off64_t, size_t) __attribute__((alias("__pread_chk")));

/* A module parameter or a counter is written. */
static bool takes_write(int fd, const void *from, size_t bytes, ssize_t *written) {
    if (!is_kvm_fd(fd)) return false;
    uint32_t handle = file_get(fd);
    if (!handle) return false;
    bool pseudo = slate_files[handle].kind == KIND_PSEUDO;
    if (pseudo) *written = result(path_write_pseudo(handle, from, bytes));
    file_put(handle);
    return pseudo;
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

/* ---------------------------------------------------------------------------------------------------- guest memory */

/*
 * Brackets a change of [start, start + bytes) by the calls that make every vCPU let go of it, as MMU notifiers do. Calls from
 * inside Java are not the client's, and libjvm's own never come here.
 */
#define WITH_INVALIDATION(start, bytes, call) \
    do { \
        uintptr_t first_ = (uintptr_t)(start); \
        size_t bytes_ = (bytes); \
        bool watched_ = UNLIKELY(jvm_watches(first_, bytes_)) && !self.depth; \
        if (!watched_) return call; \
        enter(); \
        jvm_invalidate(true, first_, bytes_); \
        __typeof__(call) r_ = call; \
        int errno_ = errno; \
        jvm_invalidate(false, first_, bytes_); \
        leave(); \
        errno = errno_; \
        return r_; \
    } while (0)

PUBLIC int munmap(void *start, size_t bytes) {
    WITH_INVALIDATION(start, bytes, REAL(munmap)(start, bytes));
}
PUBLIC int mprotect(void *start, size_t bytes, int protection) {
    WITH_INVALIDATION(start, bytes, REAL(mprotect)(start, bytes, protection));
}
PUBLIC int madvise(void *start, size_t bytes, int advice) {
    switch (advice) {
    case MADV_DONTNEED:
    case MADV_FREE:
    case MADV_REMOVE:
    case 21: /* MADV_PAGEOUT */
    case 24: /* MADV_DONTNEED_LOCKED */ WITH_INVALIDATION(start, bytes, REAL(madvise)(start, bytes, advice));
    default: return REAL(madvise)(start, bytes, advice);
    }
}

/* A dirty ring (page 64 of the area and up) may not be executable nor private. */
static void *map_device(int fd, size_t bytes, int protection, int flags, off_t offset) {
    uint32_t handle = file_get(fd);
    bool mappable = handle && slate_files[handle].kind == KIND_VCPU && !jvm_inherited();
    size_t area = handle ? slate_files[handle].area_bytes : 0;
    if (handle) file_put(handle);
    if (!mappable) {
        errno = ENODEV;
        return MAP_FAILED;
    }
    off_t ring = 64 * 4096;
    bool touches = area > (size_t)ring && offset < (off_t)area && offset + (off_t)bytes > ring;
    if (touches && ((protection & PROT_EXEC) || !(flags & MAP_SHARED))) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    return NULL;
}

/* Page 2 of a vCPU is its VM's ring of coalesced writes, one for all vCPUs. */
static void *show_ring(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
    const off_t ring = 2 * 4096;
    if (at == MAP_FAILED || offset > ring || offset + (off_t)bytes <= ring) return at;
    uint32_t handle = file_get(fd);
    uint32_t vm = handle ? slate_files[handle].vm : 0;
    int page = vm ? slate_files[vm].page_fd : -1;
    if (page >= 0) {
        long r = raw(SYS_mmap, (long)at + (ring - offset), 4096, protection, (flags & ~MAP_FIXED_NOREPLACE) | MAP_FIXED, page, 0);
        if (r < 0 && r >= -4095) {
            raw(SYS_munmap, (long)at, (long)bytes, 0, 0, 0, 0);
            errno = (int)-r;
            at = MAP_FAILED;
        }
    }
    if (handle) file_put(handle);
    return at;
}

PUBLIC void *mmap(void *start, size_t bytes, int protection, int flags, int fd, off_t offset) {
    if (!(flags & MAP_ANONYMOUS) && is_kvm_fd(fd)) {
        if (map_device(fd, bytes, protection, flags, offset)) return MAP_FAILED;
        return show_ring(REAL(mmap)(start, bytes, protection, flags, fd, offset), bytes, protection, flags, fd, offset);
    }
    if ((flags & MAP_FIXED) && (flags & MAP_FIXED_NOREPLACE) != MAP_FIXED_NOREPLACE) {
        WITH_INVALIDATION(start, bytes, REAL(mmap)(start, bytes, protection, flags, fd, offset));
    }
    return REAL(mmap)(start, bytes, protection, flags, fd, offset);
}
PUBLIC void *mmap64(void *, size_t, int, int, int, off64_t) __attribute__((alias("mmap")));

static void *mremap_to(void *old, size_t old_bytes, size_t bytes, int flags, void *fixed) {
    if (flags & MREMAP_FIXED) WITH_INVALIDATION(fixed, bytes, REAL(mremap)(old, old_bytes, bytes, flags, fixed));
    return REAL(mremap)(old, old_bytes, bytes, flags, fixed);
}
PUBLIC void *mremap(void *old, size_t old_bytes, size_t bytes, int flags, ...) {
    va_list list;
    va_start(list, flags);
    void *fixed = va_arg(list, void *);
    va_end(list);
    WITH_INVALIDATION(old, old_bytes ? old_bytes : bytes, mremap_to(old, old_bytes, bytes, flags, fixed));
}

/* --------------------------------------------------------------------------------------------------------- syscall */

PUBLIC long syscall(long number, ...) {
    va_list list;
    va_start(list, number);
    long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long);
    long d = va_arg(list, long), e = va_arg(list, long), f = va_arg(list, long);
    va_end(list);
    switch (number) {
    case SYS_open: return open((char *)a, (int)b, (mode_t)c);
    case SYS_openat: return openat((int)a, (char *)b, (int)c, (mode_t)d);
    case SYS_openat2: {
        struct {
            uint64_t flags, mode, resolve;
        } how;
        int fd;
        if (c && slate_copy(&how, (void *)c, sizeof how) == 0 && opens((int)a, (char *)b, (int)how.flags, &fd)) return fd;
        break;
    }
    case SYS_creat: return creat((char *)a, (mode_t)b);
    case SYS_access: return access((char *)a, (int)b);
    case SYS_faccessat: return faccessat((int)a, (char *)b, (int)c, 0);
    case SYS_faccessat2: return faccessat((int)a, (char *)b, (int)c, (int)d);
    case SYS_stat: return stat((char *)a, (struct stat *)b);
    case SYS_lstat: return lstat((char *)a, (struct stat *)b);
    case SYS_fstat: return fstat((int)a, (struct stat *)b);
    case SYS_newfstatat: return fstatat((int)a, (char *)b, (struct stat *)c, (int)d);
    case SYS_statx: return statx((int)a, (char *)b, (int)c, (unsigned)d, (struct statx *)e);
    case SYS_ioctl: return ioctl((int)a, (unsigned long)b, c);
    case SYS_close: return close((int)a);
    case SYS_close_range: return close_range((unsigned)a, (unsigned)b, (int)c);
    case SYS_dup: return dup((int)a);
    case SYS_dup2: return dup2((int)a, (int)b);
    case SYS_dup3: return dup3((int)a, (int)b, (int)c);
    case SYS_fcntl: return fcntl((int)a, (int)b, c);
    case SYS_read: return read((int)a, (void *)b, (size_t)c);
    case SYS_write: return write((int)a, (const void *)b, (size_t)c);
    case SYS_pwrite64: return pwrite((int)a, (const void *)b, (size_t)c, d);
    case SYS_pread64: return pread((int)a, (void *)b, (size_t)c, d);
    case SYS_mmap: return (long)mmap((void *)a, (size_t)b, (int)c, (int)d, (int)e, f);
    case SYS_munmap: return munmap((void *)a, (size_t)b);
    case SYS_mprotect: return mprotect((void *)a, (size_t)b, (int)c);
    case SYS_madvise: return madvise((void *)a, (size_t)b, (int)c);
    case SYS_mremap: return (long)mremap((void *)a, (size_t)b, (size_t)c, (int)d, (void *)e);
    default: break;
    }
    return result(raw(number, a, b, c, d, e, f));
}
