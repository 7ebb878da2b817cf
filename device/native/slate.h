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

/*
 * glibc 2.34 moved these into libc under new versions, and a library linked there would ask for them. By their first versions the
 * shim loads with glibc 2.28 as well. build.sh names the libraries that had them before; newer systems keep those as empty shells.
 */
__asm__(".symver dlopen, dlopen@GLIBC_2.2.5\n"
        ".symver dlsym, dlsym@GLIBC_2.2.5\n"
        ".symver dlerror, dlerror@GLIBC_2.2.5\n"
        ".symver dladdr, dladdr@GLIBC_2.2.5\n"
        ".symver pthread_key_create, pthread_key_create@GLIBC_2.2.5\n"
        ".symver pthread_setspecific, pthread_setspecific@GLIBC_2.2.5\n"
        ".symver pthread_sigmask, pthread_sigmask@GLIBC_2.2.5\n"
        ".symver pthread_create, pthread_create@GLIBC_2.2.5\n"
        ".symver pthread_join, pthread_join@GLIBC_2.2.5\n"
        ".symver pthread_detach, pthread_detach@GLIBC_2.2.5\n"
        ".symver pthread_attr_setguardsize, pthread_attr_setguardsize@GLIBC_2.2.5\n"
        ".symver pthread_attr_setstack, pthread_attr_setstack@GLIBC_2.2.5\n"
        ".symver pthread_attr_setstacksize, pthread_attr_setstacksize@GLIBC_2.2.5\n");

#define PUBLIC __attribute__((visibility("default")))
#define HOT __attribute__((hot))
#define COLD __attribute__((cold, noinline))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

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

/* ---- start.c: what the process was started with, whatever the client makes of it since ---- */
/* One line, begun with "slate: ", to what was standard error. */
void slate_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void slate_write(const char *text, size_t bytes);
/* A variable SLATE_..., as it was. */
const char *slate_variable(const char *name);
void slate_set_variable(const char *text); /* "NAME=VALUE", for what is started from here */
/* All of them, "NAME=VALUE", null at the end. */
extern const char *const *slate_variables;
extern const char *slate_library; /* the shim's own file */
int own_fd(void); /* of standard error as it was; -1: none */
bool is_own_fd(int fd);
void own_fd_moves(int fd); /* the client is about to make that number another file's */

/* ---- own.c: Slate's own descriptors ---- */
/* What is opened between these may be beyond the client's limit. They nest, and the pairs of several threads may overlap. */
void own_begin(void);
long own_end(long fd); /* the same file, closed by exec(), by a number above those that the client may have where there is one; -1: none */
long own_close(long fd);
bool own_is(int fd);               /* one that own_end() gave: no client's to close */
unsigned own_next(unsigned fd);    /* the lowest of them from fd on, or UINT32_MAX */
long own_open(const char *path, int flags); /* of a file that is closed soon; or -errno */
bool own_can(int count);     /* whether there can be so many, up to 64 */
bool own_may_run_out(void);  /* they are taken out of the client's, which are few */
void own_in_child(void);

/* ---- files.c: descriptors. What a KVM descriptor means to Java is its handle, an index that dup() does not change. ---- */

/* Known to Java by the same numbers. */
enum kind {
    KIND_NONE = 0,
    KIND_SYSTEM = 1,
    KIND_VM = 2,
    KIND_VCPU = 3,
    KIND_STATS = 4,
    KIND_PSEUDO = 5,
    KIND_FOREIGN = 6, /* another process's VM or vCPU, inherited or received */
    KIND_NAME = 7,    /* /dev/kvm opened with O_PATH */
};

struct file {
    _Atomic uint32_t references; /* descriptors and calls in flight; 0: free */
    uint32_t kind;
    char *area;            /* the pages behind the descriptor, as Java sees them */
    size_t area_bytes;
    bool has_run_mask; /* vCPU: KVM_SET_SIGNAL_MASK */
    bool java;         /* Java knows it and wants to hear of its end */
    char *path;        /* KIND_PSEUDO: the file's, malloc'ed */
    uint64_t run_mask;
    uint64_t ino;      /* of the memfd that the descriptor is: how it is known again */
    int32_t id;        /* KIND_VCPU: its number, which its name shows */
    int page_fd;       /* KIND_VM: the page behind it; -1: none */
    uint32_t vm;       /* KIND_VCPU: whose page its mappings show; holds a reference */
    uint32_t next_free;
} __attribute__((aligned(64)));

enum { MAX_FDS = 1 << 20, MAX_FILES = 1 << 17, CLOSING = MAX_FILES /* no handle: an entry that is on its way out */ };
extern _Atomic uint32_t slate_fds[MAX_FDS]; /* handle, or 0 */
extern struct file slate_files[MAX_FILES];

static inline bool is_kvm_fd(int fd) {
    return (unsigned)fd < MAX_FDS && atomic_load_explicit(&slate_fds[fd], memory_order_relaxed);
}
/* The handle behind fd with one reference more, or 0. */
uint32_t file_get(int fd);
/* The same, for whoever can pay for it: an entry whose descriptor was closed behind the table's back is forgotten. */
uint32_t file_get_sure(int fd);
/* A descriptor that the table does not know and that is Slate's all the same (inherited, received, opened beside us). */
uint32_t file_adopt(int fd);
uint32_t file_by_inode(uint64_t dev, uint64_t ino); /* with one reference more, or 0 */
/* A memfd that reads, writes, maps and polls as little as KVM's descriptors do; -errno. */
long file_descriptor(const char *name, size_t bytes);
/* A file in memory, by memfd_create()'s flags; it may be that it cannot be executed as a program, while code in it can be mapped. */
long file_memory(const char *name, unsigned flags);
long file_size(long fd, size_t bytes); /* ftruncate(2) of a memfd, whatever ulimit -f says; 0 or -errno */
/* What readlink says of its descriptor on KVM; 0: nothing of the kind. */
int file_name(uint32_t handle, char *out, size_t bytes);
unsigned files_end(void); /* above every number that the table has had */
bool is_ours(void); /* false in a child of vfork(), whose table is its parent's */
void file_put(uint32_t handle);
uint32_t file_new(enum kind kind); /* one reference; 0: too many */
int file_install(uint32_t handle, int fd); /* takes over the reference and the descriptor; -errno and both gone on failure */
void file_closing(int fd);                 /* the kernel is about to close fd */
void file_closed(int fd);                  /* ... and has */
long file_close(int fd);                   /* close(2) of an entry */
void file_copy(int from, int to);          /* after dup */
void files_start(void);
void files_in_child(void);

/* ---- paths.c ---- */
enum path { PATH_OTHER, PATH_KVM, PATH_PSEUDO, PATH_CLOSED /* a VM's name in /proc: ENXIO */ };
struct stat;
bool path_is_device(const struct stat *st); /* what is known of a file: the node of /dev/kvm */
enum path path_kind(int dirfd, const char *path, const char **pseudo);
/* Descriptors, or -errno. */
long path_open_kvm(int flags);
char *path_getcwd(char *to, size_t bytes); /* getcwd for the JVM */
long path_open_name(int dirfd, const char *path, int flags); /* O_PATH; -ENOSYS: the kernel can */
long path_open_pseudo(const char *path, int flags);
/* write() to a pseudo file: bytes taken, or -errno. */
long path_write_pseudo(uint32_t handle, const void *from, size_t bytes);

/* ---- libc.c: libc's own system calls come to the door, too ---- */
/* An answer in *result, or false: the kernel's turn, with arguments that may have been changed. */
bool door(long number, long a[6], long *result);
long door_request(int fd, unsigned long request, long argument); /* of KVM's, by an ioctl that the fence stopped */
bool door_has_device(void);
void libc_patch(void *inside, void *function); /* the libc that holds the address `inside`, and its syscall() */
bool libc_patched(void);

/* Of a program that the loader brought in. */
extern char loaded_program[4096]; /* its name; else empty */
extern bool slate_fs_by_call;     /* FS is exchanged by arch_prctl(): the kernel does not offer FSGSBASE */

/* ---- loaded/exec.c: what nothing can be preloaded into is started by the loader ---- */
struct exec_plan {
    char *file, **arguments; /* the loader and what it gets */
    char *memory, *at;
    size_t bytes;
    int program; /* descriptor of a program without a name, plus 1; 0: it has one */
};
/* 1: the plan says what to execute; 0: what was asked for; or -errno. */
long exec_plan(struct exec_plan *plan, int dirfd, const char *path, char *const *argv, int flags);
void exec_forget(struct exec_plan *plan);
long exec_on_slate(struct exec_plan *plan, int dirfd, const char *path, char *const *argv, char *const *envp, int flags);

/* ---- exec.c ---- */
/* What a program is started with: its environment, into which the door's variables are put back where they are missing. */
/* Whether the kernel can read the name and the environment; what follows may then, too. */
bool exec_is_readable(const char *path, char *const *environment);
char **exec_environment(int dirfd, const char *path, char *const *environment, int flags);
enum { FENCE = 0xae }; /* what the fence says with its SIGSYS */
void fence_start(void);

/* ---- seccomp.c ---- */
/* A filter is about to be installed: says what will happen, and gives the one to install instead, or null. */
struct sock_fprog;
const struct sock_fprog *seccomp_installs(const struct sock_fprog *filter, bool all_threads);
bool seccomp_allows(long number); /* on this thread, as far as was seen */
bool seccomp_allows_threads(void);
bool seccomp_allows_ioctl(unsigned long request);
bool seccomp_filtered(void);
bool seccomp_allows_libraries(void); /* what dlopen() calls */
const char *seccomp_option(void); /* what switches off the filter of a VMM that is known by its name, or null */
const char *seccomp_forbids_start(void); /* a call whose use would end a thread that starts the JVM; null: none */

/* ---- end.c ---- */
void end_of_client(void); /* statistics, recording, trace and counts, once the client is at its end */
bool end_is_awaited(void); /* whether any of them was asked for */
void end_thread_gone(void); /* the calling thread of the client's ends: if it is the last one, the process does */
void end_look(void);        /* whether there is one still */
void end_watch(void);       /* from now on: nothing of Slate's outlives the last of the client's threads */
void end_blind(void);        /* a filter for all threads is coming that forbids looking */
bool end_poll(void);        /* called four times a second while it gives true */
void end_own_thread(bool begins); /* the calling thread is Slate's */
bool end_any_thread(bool (*wanted)(int thread), bool unknown); /* of the process, whoever's; `unknown` where /proc does not say */

/* ---- heap.c: libjvm's own malloc, so that the client's heap stays as it is ---- */
void *heap_malloc(size_t bytes);
void *heap_calloc(size_t n, size_t bytes);
void *heap_realloc(void *old, size_t bytes);
void heap_free(void *p);
int heap_posix_memalign(void **out, size_t alignment, size_t bytes);
void *heap_aligned_alloc(size_t alignment, size_t bytes);
char *heap_strdup(const char *text);
void heap_qsort(void *of, size_t n, size_t size, int (*compare)(const void *, const void *));

/* ---- signals.c ---- */
/*
 * What a thread and its signals say to Java, a request and Java's answer, behind the thread's scratch memory; Device and VcpuFile know
 * the places. Each argument that JNI hands over takes longer than all of this.
 */
struct mailbox {
    _Atomic uint32_t signalled;      /* a signal waits for this thread to leave Slate */
    _Atomic(_Atomic int32_t *) kick; /* the kick word of the vCPU that the thread runs, or null */
    int64_t answer;                  /* of the request */
    uint32_t handle, kind, number;   /* the request */
    int64_t argument;
};
#define NO_ANSWER INT64_MIN
struct thread {
    int depth;                      /* > 0: inside Slate; the client's handlers wait */
    int serving;                    /* an ioctl is under way: pthread_cancel must wait */
    int cancel_seen;                /* pthread_cancel has been asked for this thread */
    uint64_t held;                  /* signals that wait for the thread to leave Slate */
    JNIEnv *env;                    /* not null: attached */
    char *scratch;                  /* SCRATCH_BYTES for the ioctl's arguments, then the mailbox */
    struct registration *registration;
    char *stack;                    /* Java's, STACK_BYTES; mapped with scratch behind it */
    bool on_stack;                  /* ... and it is in use */
    bool jvm_thread;                /* libjvm has made it: what it does to memory is not the client's */
    bool signal_stack;              /* the client has set one for this thread */
    uintptr_t plain_sp;             /* a stack pointer of the client's that is known to lie on no signal stack */
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
void signals_own_traps(void);  /* SIGSYS, where the fence is up */
void signals_keep_ends(void);  /* signals that end the client come by the shim */
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
/* ... also before there is a JVM, whose faults slate_copy() needs. */
long slate_read(void *to, const void *client, size_t bytes);
long slate_give(void *client, const void *from, size_t bytes);

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
struct binding {
    const char *name;
    void *function;
    bool found;
};
/*
 * Makes every library below the folder that is not bound yet call `function` where it says `name`, and for all other names what its own
 * dependencies define. `open` is a dlopen().
 */
void rebind(const char *folder, void *(*open)(const char *, int), struct binding *bindings, size_t count);

/* ---- stack.c ---- */
enum { STACK_BYTES = 1 << 20 };
bool stack_map(void);   /* of this thread; false: no memory */
void stack_unmap(void);
/* f(argument) on this thread's Java stack. */
long on_java_stack(long (*f)(void *), void *argument);
/* f(a, b, c) with the stack pointer below `top`. */
long slate_switch(long a, long b, long c, void *f, uintptr_t top);
int jvm_getattr(unsigned long thread, void *attributes); /* libjvm's pthread_getattr_np */
int jvm_mprotect(void *start, size_t bytes, int protection);

/* ---- natives.c ---- */
bool natives_register(JNIEnv *env);
void natives_open(void); /* once the JVM is there: files that could not be opened later */
/* Where memory slots are, or have been since there was none. Written by Java (Device.watch). */
enum { GRANULE_SHIFT = 21 };
extern struct watched {
    _Atomic uint64_t start, end; /* host addresses around all of them; end 0: there are none */
    _Atomic uint64_t granules[(1ul << 47 >> GRANULE_SHIFT) / 64]; /* a bit for each that one reaches into; most of this is never touched */
} slate_watched;

/* ---- bindings.c: what libjvm calls for libc's ---- */
void *bindings_open(const char *folder, const char *libjvm); /* dlopen, by libc's own; the folder is the JDK's */
void bindings_jars(const char *folder); /* of a distribution, whose cache was made elsewhere */
bool bindings_make(const char *libjvm); /* once it is open */
int bindings_print(FILE *file, const char *format, va_list list);
void bindings_hear(bool begins); /* the JVM starts: what it says meanwhile is kept */
void bindings_say_why(void);     /* it gave up: what it said last */

/* ---- room.c: what a JVM takes of what is limited. False: it has been said ---- */
bool room_for_jvm(void);
bool room_for_descriptors(void);   /* there may be some later */
unsigned long room_for_heap(void); /* MiB; 0: as much as it wants */

/* ---- jvm.c ---- */
struct counters {
    _Atomic uint64_t ioctls, exits, runs, vms, vcpus;
};
extern struct counters *slate_counters; /* null: not wanted */

bool jvm_running(void);
bool jvm_start(void);  /* before something that would make it impossible */
void keeper_wake(void);  /* the keeper looks after the client's threads */
void *keeper_does(void *(*function)(void *), void *argument);
void keeper_start_failed(void) __attribute__((noreturn));
bool jvm_foreign(void); /* the client is itself a Java program */
void jvm_exit(void);    /* Device.exit */
void jvm_c2_behind(void); /* C2 takes what the client's threads leave, from now on */
void jvm_confined(void); /* another user is coming, or other mounts */
void jvm_filtered(void); /* ... a root, or a seccomp filter, behind which there are none of Slate's files */
void jvm_at_thread_exit(void); /* the thread will be detached */
void jvm_thread_end(void);     /* ... is detached now */
void jvm_in_child(void);       /* after a fork that libc does not know of */
bool jvm_inherited(void); /* this is a child of a process that has a JVM */
long jvm_ioctl(uint32_t handle, unsigned long request, long argument);
void jvm_release(uint32_t handle);
void jvm_refresh(uint32_t handle);
struct range {
    uintptr_t start;
    size_t bytes;
};
bool jvm_watches(const struct range *r); /* whether memory slots may be there */
/* Makes a system call that changes these ranges, when every vCPU has let go of them. */
long jvm_changes(const struct range *ranges, int count, long number, const long a[6]);
/* The content of a file that Slate answers, malloc'ed; null: there is none. */
char *jvm_pseudo_file(const char *path, size_t *bytes);
int jvm_pseudo_mode(const char *path); /* its mode bits; 0: there is none */
int jvm_pseudo_write(const char *path, const char *text, size_t bytes); /* 0 or -errno */

#endif
