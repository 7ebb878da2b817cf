/* The table from descriptors to handles. A handle lives as long as a descriptor or a call in flight needs it. */
#include "slate.h"

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
        if (!handle) return 0;
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
    if (f->page_fd >= 0) raw(SYS_close, f->page_fd, 0, 0, 0, 0, 0);
    uint32_t vm = f->vm;
    acquire();
    f->next_free = free_list;
    free_list = handle;
    release();
    if (vm) file_put(vm);
    leave();
}

int file_install(uint32_t handle, int fd) {
    if (fd >= 0 && fd < MAX_FDS) {
        atomic_store_explicit(&slate_fds[fd], handle, memory_order_release);
        return fd;
    }
    if (fd >= 0) raw(SYS_close, fd, 0, 0, 0, 0, 0);
    file_put(handle);
    return fd < 0 ? fd : -EMFILE;
}

/* A child of vfork() has descriptors of its own, but this table is its parent's. */
static pid_t owner;
static bool is_ours(void) {
    return raw(SYS_getpid, 0, 0, 0, 0, 0, 0) == owner;
}

void file_forget(int fd) {
    if ((unsigned)fd >= MAX_FDS || !is_ours()) return;
    uint32_t handle = atomic_exchange(&slate_fds[fd], 0);
    if (handle) file_put(handle);
}

void file_copy(int from, int to) {
    if ((unsigned)to >= MAX_FDS || !is_ours()) return;
    uint32_t handle = file_get(from);
    uint32_t old = atomic_exchange(&slate_fds[to], handle);
    if (old) file_put(old);
}

/* After fork() only one thread is left; a lock that another held stays locked for ever. */
void files_in_child(void) {
    release();
    files_start();
}

void files_start(void) {
    owner = getpid();
}
