/*
 * The border: what Slate answers of the system calls that a client may reach KVM or its guest's memory by. They come from libc's
 * own system calls (libc.c), from the functions that stand before libc's (interpose.c) and from syscall().
 */
#include "slate.h"

#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* A kernel's answer, or this: it is the kernel's own turn. */
enum { KERNEL = -5000 };

/* ------------------------------------------------------------------------------------------------------- the names */

static long opens(int dirfd, const char *path, int flags) {
    const char *pseudo;
    struct stat st;
    enum path kind = path_kind(dirfd, path, &pseudo);
    if (kind == PATH_OTHER) return KERNEL;
    if (kind == PATH_PSEUDO) return flags & O_PATH ? KERNEL : path_open_pseudo(pseudo, flags);
    if (flags & O_PATH) {
        long fd = kind == PATH_KVM ? path_open_name(dirfd, path, flags) : -ENOSYS;
        return fd == -ENOSYS ? KERNEL : fd;
    }
    if (flags & O_NOFOLLOW && raw(SYS_newfstatat, dirfd, (long)path, (long)&st, AT_SYMLINK_NOFOLLOW, 0, 0) == 0 && S_ISLNK(st.st_mode)) return KERNEL;
    return kind == PATH_CLOSED ? -ENXIO : path_open_kvm(flags);
}

static long opens_how(int dirfd, const char *path, const void *client) {
    struct open_how how;
    if (!client || slate_read(&how, client, sizeof how)) return KERNEL;
    if (how.resolve && path_kind(dirfd, path, NULL) == PATH_KVM) { /* the kernel says whether the way there is one that was asked for */
        struct open_how look = {.flags = O_PATH | O_CLOEXEC | (how.flags & O_NOFOLLOW), .resolve = how.resolve};
        own_begin();
        long fd = raw(SYS_openat2, dirfd, (long)path, (long)&look, sizeof look, 0, 0);
        own_end(-1);
        if (fd >= 0) raw(SYS_close, fd, 0, 0, 0, 0, 0);
        else if (fd != -ENOENT) return fd;
    }
    return opens(dirfd, path, (int)how.flags);
}

/* 0 or -errno where Slate answers. */
static long examine(int dirfd, const char *path, mode_t *mode, dev_t *device) {
    const char *pseudo;
    *device = 0;
    switch (path_kind(dirfd, path, &pseudo)) {
    case PATH_KVM:
        *mode = S_IFCHR | 0666;
        *device = makedev(10, 232);
        return 0;
    case PATH_PSEUDO: *mode = S_IFREG | (mode_t)jvm_pseudo_mode(pseudo); return *mode & 0777 ? 0 : -ENOENT;
    default: return KERNEL;
    }
}

/* The same of a descriptor. */
static long examine_fd(int fd, mode_t *mode, dev_t *device) {
    uint32_t handle = is_kvm_fd(fd) ? file_get_sure(fd) : 0;
    if (!handle) return KERNEL;
    uint32_t kind = slate_files[handle].kind;
    file_put(handle);
    if (kind == KIND_PSEUDO || kind == KIND_NAME) return KERNEL;
    *mode = kind == KIND_SYSTEM ? S_IFCHR | 0666 : 0600; /* as of the kernel's files without a name */
    *device = kind == KIND_SYSTEM ? makedev(10, 232) : 0;
    return 0;
}

static long access_to(int dirfd, const char *path, int wanted) {
    mode_t mode;
    dev_t device;
    long r = examine(dirfd, path, &mode, &device);
    return r == 0 && (wanted & X_OK || (wanted & W_OK && !(mode & 0222))) ? -EACCES : r;
}

static void fill(struct stat *st, mode_t mode, dev_t device) {
    memset(st, 0, sizeof *st);
    st->st_mode = mode;
    st->st_rdev = device;
    st->st_nlink = 1;
    st->st_blksize = 4096;
    st->st_size = S_ISREG(mode) ? 4096 : 0;
}

static long stat_to(int dirfd, const char *path, struct stat *st, int flags) {
    mode_t mode;
    dev_t device;
    long r = path && path[0] == 0 && flags & AT_EMPTY_PATH ? examine_fd(dirfd, &mode, &device) : examine(dirfd, path, &mode, &device);
    if (r) return r;
    struct stat answer;
    fill(&answer, mode, device);
    return slate_give(st, &answer, sizeof answer);
}

static long statx_to(int dirfd, const char *path, int flags, struct statx *sx) {
    mode_t mode;
    dev_t device;
    long r = path && path[0] == 0 && flags & AT_EMPTY_PATH ? examine_fd(dirfd, &mode, &device) : examine(dirfd, path, &mode, &device);
    if (r) return r;
    const struct statx answer = {
        .stx_mask = STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_SIZE,
        .stx_mode = (uint16_t)mode,
        .stx_nlink = 1,
        .stx_blksize = 4096,
        .stx_size = S_ISREG(mode) ? 4096 : 0,
        .stx_rdev_major = major(device),
        .stx_rdev_minor = minor(device),
    };
    return slate_give(sx, &answer, sizeof answer);
}

/* A descriptor's name in /proc says what it is on KVM; the device is no link. */
static long readlink_to(int dirfd, const char *path, char *to, size_t bytes) {
    if (!path || !bytes) return KERNEL;
    long r = raw(SYS_readlinkat, dirfd, (long)path, (long)to, (long)bytes, 0, 0);
    if (r > 12 && !memcmp(to, "/memfd:slate", bytes < 12 ? bytes : 12)) {
        struct stat st;
        char name[64];
        if (raw(SYS_newfstatat, dirfd, (long)path, (long)&st, 0, 0, 0)) return r;
        uint32_t handle = file_by_inode(st.st_dev, st.st_ino);
        if (!handle) return r;
        int n = file_name(handle, name, sizeof name);
        file_put(handle);
        if (n <= 0) return r;
        if ((size_t)n > bytes) n = (int)bytes;
        memcpy(to, name, (size_t)n);
        return n;
    }
    if (r == -ENOENT && path_kind(dirfd, path, NULL) == PATH_KVM) return -EINVAL;
    return r;
}

/* bubblewrap and its like mount the device into a new tree. Where the machine has none, /dev/null holds its place. */
static long mounts(long a[6]) {
    static char null[256];
    const char *source = (const char *)a[0];
    struct stat st;
    if (!(a[3] & MS_BIND) || !source || raw(SYS_newfstatat, AT_FDCWD, (long)source, (long)&st, 0, 0, 0) != -ENOENT) return KERNEL;
    const char *slash = strrchr(source, '/');
    if (!slash || strcmp(slash, "/kvm") || (size_t)(slash - source) > sizeof null - 6) return KERNEL;
    memcpy(null, source, (size_t)(slash - source));
    strcpy(null + (slash - source), "/null");
    a[0] = (long)null;
    return KERNEL;
}

/* -------------------------------------------------------------------------------------------------------- requests */

COLD static long ioctl_cancelled(uint32_t handle, unsigned long request, long argument) {
    int state = signals_enter_cancelled();
    long r = jvm_ioctl(handle, request, argument);
    file_put(handle);
    self.serving = 0;
    leave();
    signals_leave_cancelled(state);
    return r;
}

/* A request on a file of Slate's; takes over nothing but a reference for the call. */
HOT static long serve(int fd, unsigned long request, long argument) {
    if (UNLIKELY(!self.registration)) signals_register();
    self.serving = 1;
    enter();
    uint32_t handle = file_get(fd);
    long r;
    if (UNLIKELY(!handle)) {
        r = -EBADF;
    } else if (UNLIKELY(self.cancel_seen)) {
        return ioctl_cancelled(handle, request, argument);
    } else {
        r = jvm_ioctl(handle, request, argument);
        file_put(handle);
    }
    self.serving = 0; /* before leave(), which may run a handler that does not come back */
    leave();
    atomic_signal_fence(memory_order_seq_cst);
    if (UNLIKELY(self.cancel_seen)) signals_leave_cancelled(0 /* PTHREAD_CANCEL_ENABLE */);
    return r;
}

static inline bool is_kvm_request(unsigned long request) {
    return (request & 0xff00) == 0xae00;
}

/*
 * The one rule: a request of KVM's on a descriptor that is not Slate's never comes to the kernel, whoever has opened it. Bad
 * descriptors and those that can't be the device get the errno that the kernel would give, with a line all the same.
 */
COLD static long refuse(int fd, unsigned long request) {
    static atomic_int lines;
    struct stat st;
    long r = raw(SYS_fstat, fd, (long)&st, 0, 0, 0, 0);
    if (r) return r;
    if (raw(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0) & O_PATH) return -EBADF;
    char link[40], name[128];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = raw(SYS_readlinkat, AT_FDCWD, (long)link, (long)name, sizeof name - 1, 0, 0);
    name[n > 0 ? n : 0] = 0;
    bool device = path_is_device(&st) || !strncmp(name, "anon_inode:kvm-", 15) || !strcmp(name, "/dev/kvm");
    if (atomic_fetch_add(&lines, 1) < 8) {
        if (device) {
            slate_say("KVM request 0x%lx on descriptor %d (%s) is refused: that is the machine's own KVM, which was opened outside of Slate "
                      "(docs/clients.md).",
                      request & 0xffffffff, fd, name);
        } else {
            slate_say("KVM request 0x%lx on descriptor %d (%s) is refused: that is no descriptor of Slate's.", request & 0xffffffff, fd, name);
        }
    }
    return device ? -ENODEV : -ENOTTY;
}

/*
 * The device, or what lies over it, that was opened where nobody stands before it: by a SYSCALL instruction, or by io_uring. Nothing has
 * been asked of it yet; Slate's file takes its number.
 */
COLD static bool takes_over(int fd) {
    struct stat st;
    char link[40], name[16];
    if (raw(SYS_fstat, fd, (long)&st, 0, 0, 0, 0) || raw(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0) & O_PATH) return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = raw(SYS_readlinkat, AT_FDCWD, (long)link, (long)name, sizeof name - 1, 0, 0);
    name[n > 0 ? n : 0] = 0;
    if (!path_is_device(&st) && strcmp(name, "/dev/kvm")) return false;
    own_begin();
    long own = path_open_kvm(O_CLOEXEC);
    own_end(-1);
    if (own < 0) return false;
    long r = raw(SYS_dup3, own, fd, raw(SYS_fcntl, fd, F_GETFD, 0, 0, 0, 0) & FD_CLOEXEC ? O_CLOEXEC : 0, 0, 0, 0);
    if (r >= 0) file_copy((int)own, fd);
    file_close((int)own);
    return r >= 0;
}

COLD static long unknown_request(int fd, unsigned long request, long argument) {
    if (takes_over(fd)) return serve(fd, request, argument);
    uint32_t handle = file_adopt(fd);
    if (!handle) return refuse(fd, request);
    bool served = is_kvm_fd(fd);
    file_put(handle);
    return served ? serve(fd, request, argument) : -ENODEV;
}

static inline bool is_watched(const struct range *r) {
    return UNLIKELY(jvm_watches(r)) && !self.depth && !self.jvm_thread;
}

/*
 * A change of [start, start + bytes), between the calls that make every vCPU let go of it, as MMU notifiers do. Calls from inside Java
 * are not the client's.
 */
static long changes(uintptr_t start, size_t bytes, long number, const long a[6]) {
    const struct range r = {start, bytes};
    return is_watched(&r) ? jvm_changes(&r, 1, number, a) : KERNEL;
}

enum { UFFDIO_WRITEPROTECT_REQUEST = 0xc018aa06 };

/* Write protection by a userfaultfd: the kernel's MMU notifiers tell KVM, this tells Slate. */
COLD static long write_protects(int fd, unsigned long request, long argument) {
    struct {
        uint64_t start, bytes, mode;
    } w;
    if (!jvm_running() || slate_copy(&w, (const void *)argument, sizeof w) || !(w.mode & 1)) return KERNEL;
    return changes(w.start, w.bytes, SYS_ioctl, (const long[6]){fd, (long)request, argument});
}

static long requests(int fd, unsigned long request, long argument) {
    if (is_kvm_request(request)) return is_kvm_fd(fd) ? serve(fd, request, argument) : unknown_request(fd, request, argument);
    if (is_kvm_fd(fd)) {
        uint32_t handle = file_get_sure(fd);
        if (handle) {
            file_put(handle);
            return serve(fd, request, argument);
        }
    }
    return (uint32_t)request == UFFDIO_WRITEPROTECT_REQUEST ? write_protects(fd, request, argument) : KERNEL;
}

long door_request(int fd, unsigned long request, long argument) {
    return requests(fd, request, argument);
}

PUBLIC HOT int ioctl(int fd, unsigned long request, ...) {
    __builtin_va_list list;
    __builtin_va_start(list, request);
    long argument = __builtin_va_arg(list, long);
    __builtin_va_end(list);
    if (is_kvm_request(request) && is_kvm_fd(fd)) return (int)result(serve(fd, request, argument));
    long r = requests(fd, request, argument);
    return (int)result(r == KERNEL ? raw(SYS_ioctl, fd, (long)request, argument, 0, 0, 0) : r);
}

/* ----------------------------------------------------------------------------------------------------- descriptors */

static long copies(long number, int from, int to, long flags) {
    if (number != SYS_dup && is_own_fd(to)) own_fd_moves(to);
    if (number != SYS_dup && own_is(to) && is_ours()) return -EBUSY; /* as where another thread is about to have that number */
    if (!is_kvm_fd(from) && !(number != SYS_dup && is_kvm_fd(to))) return KERNEL;
    long r = raw(number, from, to, flags, 0, 0, 0);
    if (r >= 0 && r != from) file_copy(from, (int)r);
    return r;
}

static long closes(int fd) {
    if (is_own_fd(fd) || (own_is(fd) && is_ours())) return -EBADF;
    return is_kvm_fd(fd) && is_ours() ? file_close(fd) : KERNEL;
}

/* As file_close() of every entry in a range. */
static long closes_all(unsigned first, unsigned last, int flags) {
    unsigned end = files_end();
    for (unsigned fd = first; fd <= last && fd < end; fd++) file_closing((int)fd);
    long r = raw(SYS_close_range, first, last, flags, 0, 0, 0);
    for (unsigned fd = first; fd <= last && fd < end; fd++) file_closed((int)fd);
    return r;
}

static long closes_range(unsigned first, unsigned last, int flags) {
    if (flags & 4 /* CLOSE_RANGE_CLOEXEC */ || first > last || !is_ours()) return KERNEL;
    long r = 0;
    for (unsigned from = first, said = (unsigned)own_fd(); r == 0 && from <= last;) {
        unsigned own = own_next(from);
        if (said >= from && said < own) own = said;
        if (own == UINT32_MAX || own > last) return closes_all(from, last, flags);
        if (own > from) r = closes_all(from, own - 1, flags);
        from = own + 1;
    }
    return r;
}

/*
 * A descriptor that is sent lives on in the message, wherever it is received. Nobody says when such a copy is gone, so a file that was
 * sent once stays until the process ends.
 */
static long sends(const struct msghdr *client) {
    struct msghdr m;
    if (!files_end() || slate_read(&m, client, sizeof m) || !m.msg_control) return KERNEL;
    const char *at = m.msg_control, *end = at + m.msg_controllen;
    struct cmsghdr c;
    while ((size_t)(end - at) >= sizeof c) {
        if (slate_read(&c, at, sizeof c) || c.cmsg_len < sizeof c || c.cmsg_len > (size_t)(end - at)) break;
        for (size_t i = CMSG_LEN(0); c.cmsg_level == SOL_SOCKET && c.cmsg_type == SCM_RIGHTS && i + sizeof(int) <= c.cmsg_len; i += sizeof(int)) {
            int fd;
            if (slate_read(&fd, at + i, sizeof fd)) return KERNEL;
            if (is_kvm_fd(fd)) file_get_sure(fd);
        }
        if (CMSG_ALIGN(c.cmsg_len) >= (size_t)(end - at)) break;
        at += CMSG_ALIGN(c.cmsg_len);
    }
    return KERNEL;
}

static long truncates(int fd) {
    uint32_t handle = is_kvm_fd(fd) ? file_get_sure(fd) : 0;
    if (!handle) return KERNEL;
    bool pseudo = slate_files[handle].kind == KIND_PSEUDO;
    file_put(handle);
    return pseudo ? KERNEL : -EINVAL;
}

/* ---------------------------------------------------------------------------------------------------- guest memory */

/* A dirty ring (page 64 of the area and up) may not be executable nor private. */
static long maps_device(long a[6]) {
    int fd = (int)a[4];
    uint32_t handle = file_get_sure(fd);
    if (!handle) return KERNEL;
    uint32_t kind = slate_files[handle].kind, vm = slate_files[handle].vm;
    const off_t ring = 2 * 4096, dirty = 64 * 4096, offset = a[5], end = offset + a[1];
    size_t area = slate_files[handle].area_bytes;
    long r = -ENODEV;
    if (kind == KIND_STATS || kind == KIND_PSEUDO || kind == KIND_NAME) r = -ENODEV;
    if (kind == KIND_FOREIGN) r = KERNEL;
    if (kind == KIND_VCPU && !jvm_inherited()) {
        bool touches = area > (size_t)dirty && offset < (off_t)area && end > dirty;
        r = touches && ((a[2] & PROT_EXEC) || !(a[3] & MAP_SHARED)) ? -EINVAL : raw(SYS_mmap, a[0], a[1], a[2], a[3], fd, a[5]);
        /* Page 2 of a vCPU is its VM's ring of coalesced writes, one for all vCPUs. */
        int page = vm ? slate_files[vm].page_fd : -1;
        if ((r > 0 || r < -4095) && page >= 0 && offset <= ring && end > ring) {
            long at = raw(SYS_mmap, r + (ring - offset), 4096, a[2], (a[3] & ~MAP_FIXED_NOREPLACE) | MAP_FIXED, page, 0);
            if (at < 0 && at >= -4095) {
                raw(SYS_munmap, r, a[1], 0, 0, 0, 0);
                r = at;
            }
        }
    }
    file_put(handle);
    return r;
}

static long remaps(const long a[6]) {
    const struct range from = {(uintptr_t)a[0], (size_t)(a[1] ? a[1] : a[2])}, to = {(uintptr_t)a[4], (size_t)a[2]};
    struct range watched[2];
    int count = 0;
    if (is_watched(&from)) watched[count++] = from;
    if ((a[3] & MREMAP_FIXED) && is_watched(&to)) watched[count++] = to;
    return count ? jvm_changes(watched, count, SYS_mremap, a) : KERNEL;
}

static long maps(long a[6]) {
    if (!(a[3] & MAP_ANONYMOUS) && is_kvm_fd((int)a[4])) return maps_device(a);
    if ((a[3] & MAP_FIXED) && (a[3] & MAP_FIXED_NOREPLACE) != MAP_FIXED_NOREPLACE) return changes((uintptr_t)a[0], (size_t)a[1], SYS_mmap, a);
    return KERNEL;
}

static long advises(const long a[6]) {
    switch (a[2]) {
    case MADV_DONTNEED:
    case MADV_FREE:
    case MADV_REMOVE:
    case 21: /* MADV_PAGEOUT */
    case 24: /* MADV_DONTNEED_LOCKED */ return changes((uintptr_t)a[0], (size_t)a[1], SYS_madvise, a);
    default: return KERNEL;
    }
}

/* ------------------------------------------------------------------------------------------------------- the process */

bool door_has_device(void) {
    for (unsigned fd = 0; fd < files_end(); fd++) {
        if (is_kvm_fd((int)fd)) return true;
    }
    return false;
}

/* After this the JVM could not be found, or not be started. Whoever holds /dev/kvm is going to use it. */
static long confines(bool root) {
    if (!is_ours() || !door_has_device() || !jvm_start()) return KERNEL;
    if (root) jvm_filtered();
    else jvm_confined();
    return KERNEL;
}

static long new_namespaces(long flags, long number, const long a[6]) {
    if (!(flags & CLONE_NEWUSER)) return flags & CLONE_NEWNS ? confines(false) : KERNEL;
    if (!jvm_running()) return KERNEL;
    long r = raw(number, a[0], a[1], 0, 0, 0, 0);
    if (r == -EINVAL) slate_say("a user namespace is for processes of one thread, and Slate's JVM runs in this one: make it before the first use of /dev/kvm.");
    return r;
}

static long filters(long *program, bool all_threads) {
    jvm_c2_behind();
    const struct sock_fprog *other = seccomp_installs((const struct sock_fprog *)*program, all_threads);
    if (other) *program = (long)other;
    return KERNEL;
}

/* What nothing can be preloaded into goes by the loader; the kernel executes all else, in an environment that keeps the door. */
static long executes(int dirfd, const char *path, char *const *argv, long *envp, int flags) {
    struct exec_plan plan;
    if (!exec_is_readable(path, (char *const *)*envp)) return -EFAULT;
    char **environment = exec_environment(dirfd, path, (char *const *)*envp, flags);
    long r = exec_plan(&plan, dirfd, path, argv, flags);
    if (r < 0) return r;
    *envp = (long)environment;
    if (r == 0) return KERNEL;
    r = raw(SYS_execve, (long)plan.file, (long)plan.arguments, (long)environment, 0, 0, 0);
    exec_forget(&plan);
    return r;
}

/* fcntl, where a memfd answers otherwise than KVM's anonymous inodes: they are not opened with O_LARGEFILE and have no seals. */
static long controls(int fd, long command, long argument) {
    enum { LARGE_FILE = 0100000 }; /* O_LARGEFILE, which libc says is 0 */
    if (!is_kvm_fd(fd)) return KERNEL;
    if (command == F_ADD_SEALS || command == F_GET_SEALS) return -EINVAL;
    if (command != F_DUPFD && command != F_DUPFD_CLOEXEC && command != F_GETFL) return KERNEL;
    long r = raw(SYS_fcntl, fd, command, argument, 0, 0, 0);
    if (r < 0) return r;
    if (command != F_GETFL) {
        file_copy(fd, (int)r);
        return r;
    }
    uint32_t handle = file_get(fd);
    if (!handle) return r;
    uint32_t kind = slate_files[handle].kind;
    file_put(handle);
    if (kind == KIND_STATS) return r & ~(LARGE_FILE | O_ACCMODE);
    return kind == KIND_VM || kind == KIND_VCPU || kind == KIND_FOREIGN ? r & ~LARGE_FILE : r;
}

static long answer(long number, long a[6]) {
    switch (number) {
    case SYS_open: return opens(AT_FDCWD, (const char *)a[0], (int)a[1]);
    case SYS_openat: return opens((int)a[0], (const char *)a[1], (int)a[2]);
    case SYS_openat2: return opens_how((int)a[0], (const char *)a[1], (const void *)a[2]);
    case SYS_creat: return opens(AT_FDCWD, (const char *)a[0], O_CREAT | O_WRONLY | O_TRUNC);
    case SYS_ioctl: return requests((int)a[0], (unsigned long)a[1], a[2]);
    case SYS_close: return closes((int)a[0]);
    case SYS_close_range: return closes_range((unsigned)a[0], (unsigned)a[1], (int)a[2]);
    case SYS_dup:
    case SYS_dup2:
    case SYS_dup3: return copies(number, (int)a[0], (int)a[1], a[2]);
    case SYS_fcntl: return controls((int)a[0], a[1], a[2]);
    case SYS_stat: return stat_to(AT_FDCWD, (const char *)a[0], (struct stat *)a[1], 0);
    case SYS_lstat: return stat_to(AT_FDCWD, (const char *)a[0], (struct stat *)a[1], AT_SYMLINK_NOFOLLOW);
    case SYS_fstat: return is_kvm_fd((int)a[0]) ? stat_to((int)a[0], "", (struct stat *)a[1], AT_EMPTY_PATH) : KERNEL;
    case SYS_newfstatat: return stat_to((int)a[0], (const char *)a[1], (struct stat *)a[2], (int)a[3]);
    case SYS_statx: return statx_to((int)a[0], (const char *)a[1], (int)a[2], (struct statx *)a[4]);
    case SYS_access: return access_to(AT_FDCWD, (const char *)a[0], (int)a[1]);
    case SYS_faccessat:
    case SYS_faccessat2: return access_to((int)a[0], (const char *)a[1], (int)a[2]);
    case SYS_readlink: return readlink_to(AT_FDCWD, (const char *)a[0], (char *)a[1], (size_t)a[2]);
    case SYS_readlinkat: return readlink_to((int)a[0], (const char *)a[1], (char *)a[2], (size_t)a[3]);
    case SYS_sendmsg: return sends((const struct msghdr *)a[1]);
    case SYS_ftruncate: return truncates((int)a[0]);
    case SYS_mmap: return maps(a);
    case SYS_munmap:
    case SYS_mprotect: return changes((uintptr_t)a[0], (size_t)a[1], number, a);
    case SYS_madvise: return advises(a);
    case SYS_mremap: return remaps(a);
    case SYS_execve: return executes(AT_FDCWD, (const char *)a[0], (char *const *)a[1], &a[2], 0);
    case SYS_execveat: return executes((int)a[0], (const char *)a[1], (char *const *)a[2], &a[3], (int)a[4]);
    case SYS_mount: return mounts(a);
    case SYS_chroot:
    case SYS_pivot_root: return confines(true);
    case SYS_setuid:
    case SYS_setresuid: return confines(false);
    case SYS_unshare: return new_namespaces(a[0], number, a);
    case SYS_setns: return new_namespaces(a[1], number, a);
    case SYS_sigaltstack:
        self.plain_sp = 0;
        if (a[0]) self.signal_stack = true;
        return KERNEL;
    case SYS_prctl: return a[0] == PR_SET_SECCOMP && a[1] == SECCOMP_MODE_FILTER ? filters(&a[2], false) : KERNEL;
    case SYS_seccomp: return a[0] == SECCOMP_SET_MODE_FILTER ? filters(&a[2], a[1] & SECCOMP_FILTER_FLAG_TSYNC) : KERNEL;
    default: return KERNEL;
    }
}

bool door(long number, long a[6], long *result) {
    if (self.depth || self.jvm_thread) return false; /* Slate's own */
    int saved = errno;
    long r = answer(number, a);
    errno = saved;
    if (r == KERNEL) return false;
    *result = r;
    return true;
}

/* libc's syscall(). */
PUBLIC long syscall(long number, ...) {
    __builtin_va_list list;
    __builtin_va_start(list, number);
    long a[6];
    for (int i = 0; i < 6; i++) a[i] = __builtin_va_arg(list, long);
    __builtin_va_end(list);
    long r;
    if (door(number, a, &r)) return result(r);
    switch (number) {
    case SYS_read: return read((int)a[0], (void *)a[1], (size_t)a[2]);
    case SYS_write: return write((int)a[0], (const void *)a[1], (size_t)a[2]);
    case SYS_pwrite64: return pwrite((int)a[0], (const void *)a[1], (size_t)a[2], a[3]);
    case SYS_pread64: return pread((int)a[0], (void *)a[1], (size_t)a[2], a[3]);
    case SYS_exit_group: end_of_client(); break;
    default: break;
    }
    r = raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    bool child = r == 0 && (number == SYS_fork || ((number == SYS_clone) && !(a[0] & CLONE_VM)));
    if (child) jvm_in_child();
    return result(r);
}
long slate_syscall(long, ...) __attribute__((alias("syscall"), visibility("hidden")));
