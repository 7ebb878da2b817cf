/* The table from descriptors to handles. A handle lives as long as a descriptor or a call in flight needs it. */
#include "slate.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

enum { NOEXEC_SEAL = 8 }; /* MFD_NOEXEC_SEAL */

_Atomic uint32_t slate_fds[MAX_FDS];
struct file slate_files[MAX_FILES];

static atomic_flag lock = ATOMIC_FLAG_INIT; /* guards the free list; held for a few instructions, inside enter() */
static uint32_t free_list;
static uint32_t used = 1; /* handle 0 means "none" */

static void acquire(void) {
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire)) __builtin_ia32_pause();
}
static void release(void) {
    atomic_flag_clear_explicit(&lock, memory_order_release);
}

uint32_t file_new(enum kind kind) {
    enter();
    acquire();
    uint32_t handle = free_list;
    if (handle) {
        free_list = slate_files[handle].next_free;
    } else if (used < MAX_FILES) {
        handle = used++;
    }
    release();
    leave();
    if (!handle) return 0;
    struct file *f = &slate_files[handle];
    f->kind = kind;
    f->area = NULL;
    f->area_bytes = 0;
    f->path = NULL;
    f->ino = 0;
    f->id = 0;
    f->has_run_mask = false;
    f->page_fd = -1;
    f->vm = 0;
    f->java = false;
    atomic_store_explicit(&f->references, 1, memory_order_release);
    return handle;
}

HOT uint32_t file_get(int fd) {
    if ((unsigned)fd >= MAX_FDS) return 0;
    for (;;) {
        uint32_t handle = atomic_load_explicit(&slate_fds[fd], memory_order_acquire);
        if (!handle || UNLIKELY(handle == CLOSING)) return 0;
        struct file *f = &slate_files[handle];
        uint32_t n = atomic_load_explicit(&f->references, memory_order_relaxed);
        while (n && !atomic_compare_exchange_weak(&f->references, &n, n + 1)) {
        }
        if (n) {
            /* The handle may have been freed and given to another file between the two loads. */
            if (atomic_load_explicit(&slate_fds[fd], memory_order_acquire) == handle) return handle;
            file_put(handle);
        }
    }
}

HOT void file_put(uint32_t handle) {
    struct file *f = &slate_files[handle];
    if (atomic_fetch_sub(&f->references, 1) != 1) return;
    enter();
    if (f->java) jvm_release(handle);
    if (f->area) raw(SYS_munmap, (long)f->area, (long)f->area_bytes, 0, 0, 0, 0);
    free(f->path);
    if (f->page_fd >= 0) own_close(f->page_fd);
    uint32_t vm = f->vm;
    acquire();
    f->next_free = free_list;
    free_list = handle;
    release();
    if (vm) file_put(vm);
    leave();
}

static _Atomic unsigned end; /* above every entry that there has been */
unsigned files_end(void) {
    return atomic_load_explicit(&end, memory_order_relaxed);
}
static void reaches(int fd) {
    unsigned now = files_end();
    while ((unsigned)fd >= now && !atomic_compare_exchange_weak(&end, &now, (unsigned)fd + 1)) {
    }
}

/* A child of vfork() has descriptors of its own, but this table is its parent's. */
static pid_t owner;
bool is_ours(void) {
    return raw(SYS_getpid, 0, 0, 0, 0, 0, 0) == owner;
}

static _Atomic uint64_t memory_dev; /* of memfds: one file system of the kernel's has them all */

static atomic_flag sizing = ATOMIC_FLAG_INIT; /* the limit is the process's: one thread at a time lifts it, or it would stay lifted */
static _Atomic bool lifted; /* one has: a limit that is away may be about to come back */

/* A memfd counts as a file where the size of files is limited (ulimit -f, a jailer), and KVM's do not: the limit is away meanwhile. */
long file_size(long fd, size_t bytes) {
    struct rlimit was, none = {RLIM_INFINITY, RLIM_INFINITY};
    const uint64_t signal = UINT64_C(1) << (SIGXFSZ - 1);
    uint64_t mask;
    if ((seccomp_filtered() && !seccomp_allows(SYS_prlimit64)) || raw(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&was, 0, 0) < 0 || (LIKELY(was.rlim_cur == RLIM_INFINITY) && LIKELY(!atomic_load(&lifted))))
        return raw(SYS_ftruncate, fd, (long)bytes, 0, 0, 0, 0);
    raw(SYS_rt_sigprocmask, SIG_BLOCK, (long)&signal, (long)&mask, sizeof mask, 0, 0);
    atomic_store(&lifted, true);
    while (atomic_flag_test_and_set(&sizing)) raw(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    raw(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&was, 0, 0);
    if (raw(SYS_prlimit64, 0, RLIMIT_FSIZE, (long)&none, 0, 0, 0) < 0)
        raw(SYS_prlimit64, 0, RLIMIT_FSIZE, (long)&(struct rlimit){was.rlim_max, was.rlim_max}, 0, 0, 0);
    long r = raw(SYS_ftruncate, fd, (long)bytes, 0, 0, 0, 0);
    raw(SYS_prlimit64, 0, RLIMIT_FSIZE, (long)&was, 0, 0, 0);
    atomic_flag_clear(&sizing);
    if (r == -EFBIG) {
        raw(SYS_rt_sigtimedwait, (long)&signal, 0, (long)&(struct timespec){0}, sizeof signal, 0, 0);
        slate_say("files of this process may have %lu KiB (ulimit -f), and Slate needs one of %zu: raise that limit.", (unsigned long)(was.rlim_max >> 10), bytes >> 10);
        r = -ENOMEM;
    }
    raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, sizeof mask, 0, 0);
    return r;
}

long file_memory(const char *name, unsigned flags) {
    long fd = raw(SYS_memfd_create, (long)name, flags, 0, 0, 0, 0);
    /* Where vm.memfd_noexec is 2, from Linux 6.3 to 6.5. Older ones know no such flag. */
    return fd == -EACCES || fd == -EINVAL ? raw(SYS_memfd_create, (long)name, flags | NOEXEC_SEAL, 0, 0, 0, 0) : fd;
}

long file_descriptor(const char *name, size_t bytes) {
    long fd = file_memory(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return fd;
    long r = bytes ? file_size(fd, bytes) : 0;
    if (r == 0) r = raw(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | (bytes ? 0 : F_SEAL_WRITE), 0, 0, 0);
    if (r == 0) return fd;
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
    return r;
}

int file_install(uint32_t handle, int fd) {
    if (fd >= 0 && fd < MAX_FDS) {
        struct stat st;
        if (raw(SYS_fstat, fd, (long)&st, 0, 0, 0, 0) == 0) {
            slate_files[handle].ino = st.st_ino;
            atomic_store_explicit(&memory_dev, st.st_dev, memory_order_relaxed);
        }
        if (is_ours()) {
            reaches(fd);
            uint32_t old = atomic_exchange(&slate_fds[fd], handle); /* closed behind our back */
            if (old && old != CLOSING) file_put(old);
        } else {
            file_put(handle);
        }
        return fd;
    }
    if (fd >= 0) raw(SYS_close, fd, 0, 0, 0, 0, 0);
    file_put(handle);
    return fd < 0 ? fd : -EMFILE;
}

uint32_t file_by_inode(uint64_t dev, uint64_t ino) {
    if (dev != atomic_load_explicit(&memory_dev, memory_order_relaxed)) return 0;
    for (uint32_t handle = 1; handle < used; handle++) {
        struct file *f = &slate_files[handle];
        if (f->ino != ino) continue;
        uint32_t n = atomic_load_explicit(&f->references, memory_order_relaxed);
        while (n && !atomic_compare_exchange_weak(&f->references, &n, n + 1)) {
        }
        if (!n) continue;
        if (f->ino == ino) return handle;
        file_put(handle);
    }
    return 0;
}

uint32_t file_get_sure(int fd) {
    uint32_t handle = is_kvm_fd(fd) ? file_get(fd) : 0;
    if (!handle) return 0;
    struct stat st;
    if (raw(SYS_fstat, fd, (long)&st, 0, 0, 0, 0) == 0 && st.st_ino == slate_files[handle].ino && st.st_dev == memory_dev) return handle;
    file_put(handle);
    if (is_ours() && atomic_compare_exchange_strong(&slate_fds[fd], &(uint32_t){handle}, 0)) file_put(handle);
    return 0;
}

uint32_t file_adopt(int fd) {
    struct stat st;
    if ((unsigned)fd >= MAX_FDS || atomic_load(&slate_fds[fd]) || raw(SYS_fstat, fd, (long)&st, 0, 0, 0, 0) < 0 || !S_ISREG(st.st_mode) || st.st_nlink) return 0;
    uint32_t handle = file_by_inode(st.st_dev, st.st_ino);
    if (!handle) {
        char link[40], name[32];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        long n = raw(SYS_readlinkat, AT_FDCWD, (long)link, (long)name, sizeof name - 1, 0, 0);
        name[n > 0 ? n : 0] = 0;
        if (strncmp(name, "/memfd:slate:kvm", 16)) return 0;
        handle = file_new(name[16] == ' ' ? KIND_SYSTEM : KIND_FOREIGN);
        if (!handle) return 0;
    }
    if (!is_ours()) return handle;
    atomic_fetch_add(&slate_files[handle].references, 1); /* the caller's */
    file_install(handle, fd);
    return handle;
}

int file_name(uint32_t handle, char *out, size_t bytes) {
    struct file *f = &slate_files[handle];
    switch (f->kind) {
    case KIND_SYSTEM:
    case KIND_NAME: return snprintf(out, bytes, "/dev/kvm");
    case KIND_VM: return snprintf(out, bytes, "anon_inode:kvm-vm");
    case KIND_VCPU: return snprintf(out, bytes, "anon_inode:kvm-vcpu:%d", f->id);
    case KIND_STATS: return snprintf(out, bytes, "anon_inode:kvm-%s-stats", f->id < 0 ? "vm" : "vcpu");
    case KIND_PSEUDO: return snprintf(out, bytes, "%s", f->path);
    default: return 0;
    }
}

/*
 * An entry says that it is on its way out until the kernel has closed it: a call of another thread's in between must not find the file
 * by its inode. When the number is another file's already, its entry stays.
 */
void file_closing(int fd) {
    if (!is_kvm_fd(fd)) return;
    uint32_t handle = atomic_exchange(&slate_fds[fd], CLOSING);
    if (handle && handle != CLOSING) file_put(handle);
}
void file_closed(int fd) {
    if (is_kvm_fd(fd)) atomic_compare_exchange_strong(&slate_fds[fd], &(uint32_t){CLOSING}, 0);
}
long file_close(int fd) {
    file_closing(fd);
    long r = raw(SYS_close, fd, 0, 0, 0, 0, 0);
    file_closed(fd);
    return r;
}

void file_copy(int from, int to) {
    if ((unsigned)to >= MAX_FDS || !is_ours()) return;
    uint32_t handle = file_get(from);
    if (handle) reaches(to);
    uint32_t old = atomic_exchange(&slate_fds[to], handle);
    if (old && old != CLOSING) file_put(old);
}

/* After fork() only one thread is left; a lock that another held stays locked for ever. */
void files_in_child(void) {
    release();
    atomic_flag_clear(&sizing);
    own_in_child();
    files_start();
}

void files_start(void) {
    owner = getpid();
}
