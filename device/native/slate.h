/*
 * The shim's own declarations. The shim stands between a client and libc: it hands the client file descriptors that look
 * like KVM's, carries their ioctls into the JVM, and keeps signals, forks and unmappings in step. It knows nothing of KVM
 * beyond the name of the device: every answer comes from dev.slate.device.
 */
#ifndef SLATE_H
#define SLATE_H

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <jni.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))
#define HOT __attribute__((hot))
#define COLD __attribute__((cold, noinline))
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define LIKELY(x) __builtin_expect(!!(x), 1)

/* libc's own function behind an interposed one; found once. */
#define REAL(name) \
    (__extension__({ \
        static __typeof__(&name) real_##name; \
        if (UNLIKELY(!real_##name)) real_##name = (__typeof__(&name))slate_libc(#name); \
        real_##name; \
    }))
void *slate_libc(const char *name);

/* A system call that reaches no interposed function. Returns the kernel's result: -errno on failure. */
static inline long raw(long number, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* Turns a kernel-style result into libc's. */
static inline long result(long kernel) {
    if (UNLIKELY(kernel < 0 && kernel >= -4095)) {
        errno = (int)-kernel;
        return -1;
    }
    return kernel;
}

/* One line on standard error, begun with "slate: ". */
void slate_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- files.c: descriptors. What a KVM descriptor means to Java is its handle, an index that dup() does not change. ---- */

/* Known to Java by the same numbers. */
enum kind { KIND_NONE = 0, KIND_SYSTEM = 1, KIND_VM = 2, KIND_VCPU = 3, KIND_STATS = 4, KIND_PSEUDO = 5 };

struct file {
    _Atomic uint32_t references; /* descriptors and calls in flight; 0: free */
    uint32_t kind;
    char *area;            /* the pages behind the descriptor, as Java sees them */
    size_t area_bytes;
    bool has_run_mask; /* vCPU: KVM_SET_SIGNAL_MASK */
    bool java;         /* Java knows it and wants to hear of its end */
    char *path;        /* KIND_PSEUDO: the file's, malloc'ed */
    uint64_t run_mask;
    int page_fd;       /* KIND_VM: the page behind it; -1: none */
    uint32_t vm;       /* KIND_VCPU: whose page its mappings show; holds a reference */
    uint32_t next_free;
} __attribute__((aligned(64)));

enum { MAX_FDS = 1 << 20, MAX_FILES = 1 << 17 };
extern _Atomic uint32_t slate_fds[MAX_FDS]; /* handle, or 0 */
extern struct file slate_files[MAX_FILES];

static inline bool is_kvm_fd(int fd) {
    return (unsigned)fd < MAX_FDS && atomic_load_explicit(&slate_fds[fd], memory_order_relaxed);
}
/* The handle behind fd with one reference more, or 0. */
uint32_t file_get(int fd);
void file_put(uint32_t handle);
uint32_t file_new(enum kind kind); /* one reference; 0: too many */
int file_install(uint32_t handle, int fd); /* takes over the reference and the descriptor; -errno and both gone on failure */
void file_forget(int fd);                  /* before the kernel closes fd */
void file_copy(int from, int to);          /* after dup */
void files_start(void);
void files_in_child(void);

/* ---- paths.c ---- */
enum path { PATH_OTHER, PATH_KVM, PATH_PSEUDO };
enum path path_kind(int dirfd, const char *path, const char **pseudo);
int path_open_kvm(int flags);
int path_open_pseudo(const char *path, int flags);
/* write() to a pseudo file: bytes taken, or -errno. */
long path_write_pseudo(uint32_t handle, const void *from, size_t bytes);

/* ---- signals.c ---- */
/* What a thread and its signals say to Java, behind the thread's scratch memory; VcpuFile knows the places. */
struct mailbox {
    _Atomic uint32_t signalled;      /* a signal waits for this thread to leave Slate */
    _Atomic(_Atomic int32_t *) kick; /* the kick word of the vCPU that the thread runs, or null */
};
struct thread {
    int depth;                      /* > 0: inside Slate; the client's handlers wait */
    int serving;                    /* an ioctl is under way: pthread_cancel must wait */
    int cancel_seen;                /* pthread_cancel has been asked for this thread */
    uint64_t held;                  /* signals that wait for the thread to leave Slate */
    JNIEnv *env;                    /* not null: attached */
    char *scratch;                  /* SCRATCH_BYTES for the ioctl's arguments, then the mailbox */
    struct registration *registration;
    int schedstat;                  /* descriptor of its /proc/thread-self/schedstat, plus 1; 0: none yet */
};
extern __thread struct thread self __attribute__((tls_model("initial-exec")));

enum { SCRATCH_BYTES = 16384 };
enum { KICK_SIGNAL = 2 };
static inline struct mailbox *mailbox_of(const struct thread *t) {
    return (struct mailbox *)(t->scratch + SCRATCH_BYTES);
}
/* Makes thread t, which is inside an ioctl, come out of KVM_RUN. Returns the kick word, or null when it runs no vCPU. */
static inline _Atomic int32_t *mailbox_signal(const struct thread *t) {
    struct mailbox *m = mailbox_of(t);
    atomic_store(&m->signalled, 1);
    _Atomic int32_t *kick = atomic_load(&m->kick);
    if (kick) atomic_fetch_or(kick, KICK_SIGNAL);
    return kick;
}

/* Bracket everything that must not be interrupted by a handler of the client's. They nest. */
static inline void enter(void) {
    self.depth++;
    atomic_signal_fence(memory_order_seq_cst);
}
void release_held(void);
static inline void leave(void) {
    atomic_signal_fence(memory_order_seq_cst);
    if (--self.depth == 0 && UNLIKELY(self.held)) release_held();
}
/* A fault at [start, end) goes on at resume, with the faulting address in RAX. -ENOMEM: no room. */
int code_range_add(uintptr_t start, uintptr_t end, uintptr_t resume);
void code_range_remove(uintptr_t start);
void signals_own_faults(void); /* before the JVM starts */
int jvm_sigaction(int sig, const struct sigaction *act, struct sigaction *old); /* the JVM's */
uint64_t signals_begin_run(uint64_t mask); /* returns the mask to restore */
void signals_end_run(uint64_t mask);
void signals_register(void); /* makes pthread_cancel see this thread; before its first entry */
void signals_unregister(void);
int signals_enter_cancelled(void);
void signals_leave_cancelled(int state);

void signals_in_child(void);
/* Of a client that the loader brought in (loaded/). */
void signals_for_loaded(void (*handler)(int, siginfo_t *, void *));
void signals_on_host(int sig, siginfo_t *info, void *context);
void signals_client_action(int sig, struct sigaction *out);
void signals_default_action(int sig, void *context);

/* Copies between the client's memory and ours: 0, or -EFAULT. */
long slate_copy(void *to, const void *from, size_t bytes);

/* ---- eventfd.c ---- */
jint JNICALL eventfd_own(JNIEnv *, jclass, jint client);
jlong JNICALL eventfd_id(JNIEnv *, jclass, jint fd);
void JNICALL eventfd_signal(JNIEnv *, jclass, jint fd);
void JNICALL eventfd_drain(JNIEnv *, jclass, jint fd);
jboolean JNICALL eventfd_pending(JNIEnv *, jclass, jint fd);
void JNICALL eventfd_close(JNIEnv *, jclass, jint fd);
jint JNICALL eventfd_epoll(JNIEnv *, jclass);
jint JNICALL eventfd_epoll_control(JNIEnv *, jclass, jint epoll, jboolean add, jint fd);
jint JNICALL eventfd_epoll_wait(JNIEnv *, jclass, jint epoll, jlong into, jint max);

/* ---- bind.c ---- */
/* Makes the library that holds address `inside` call `function` where it says `name`; false: it never does. */
bool rebind(const void *inside, const char *name, void *function);

/* ---- jvm.c ---- */
struct counters {
    _Atomic uint64_t ioctls, exits, runs, vms, vcpus;
};
extern struct counters *slate_counters; /* null: not wanted */

bool jvm_running(void);
void jvm_at_thread_exit(void); /* the thread will be detached */
void jvm_thread_end(void);     /* ... is detached now */
void jvm_in_child(void);       /* after a fork that libc does not know of */
bool jvm_inherited(void); /* this is a child of a process that has a JVM */
long jvm_ioctl(uint32_t handle, unsigned long request, long argument);
void jvm_release(uint32_t handle);
void jvm_refresh(uint32_t handle);
bool jvm_watches(uintptr_t start, size_t bytes);
void jvm_invalidate(bool begin, uintptr_t start, size_t bytes);
/* The content of a file that Slate answers, malloc'ed; null: there is none. */
char *jvm_pseudo_file(const char *path, size_t *bytes);
int jvm_pseudo_mode(const char *path); /* its mode bits; 0: there is none */
int jvm_pseudo_write(const char *path, const char *text, size_t bytes); /* 0 or -errno */

#endif
