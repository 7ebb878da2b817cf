/*
 * Threads and processes of a client that the loader brought in. Behind each of its threads stands one of Slate's libc, because a
 * thread that enters Java needs that libc's storage and a stack whose bounds are known; it lives as long as the client's does.
 */
#include "loaded.h"

#include <asm/prctl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define AUTODISARM (1u << 31)
enum { HOST_STACK_BYTES = 2 << 20, BORROWED_STACK_BYTES = 256 << 10 };
enum { SET_USER_DISPATCH = 59, DISPATCH_OFF = 0, DISPATCH_ON = 1, RSEQ = 334, UNREGISTER = 1 };

char *slate_arena;
__thread struct task *slate_task;

static atomic_flag lock = ATOMIC_FLAG_INIT; /* guards the next two, for a few instructions */
static struct task *free_list;
static uint32_t used;
static _Atomic int living; /* threads of the client */

static void acquire(void) {
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire)) __builtin_ia32_pause();
}
static void release(void) {
    atomic_flag_clear_explicit(&lock, memory_order_release);
}

static const uint8_t STUBS[] = {
    [STUB_CALL] = 0x0f, 0x05,                                /* syscall */
    0x48, 0x8b, 0x0d, 0, 0, 0, 0, 0xff, 0xe1,                /* mov return_rip(%rip), %rcx; jmp *%rcx */
    [STUB_CHANGED] = 0x0f, 0x05,                             /* syscall */
    0x48, 0x8b, 0x3d, 0, 0, 0, 0, 0x48, 0x8b, 0x35, 0, 0, 0, 0, /* mov saved(%rip), %rdi, %rsi */
    0x48, 0x8b, 0x15, 0, 0, 0, 0, 0x4c, 0x8b, 0x15, 0, 0, 0, 0, /* %rdx, %r10 */
    0x4c, 0x8b, 0x05, 0, 0, 0, 0, 0x4c, 0x8b, 0x0d, 0, 0, 0, 0, /* %r8, %r9 */
    0x48, 0x8b, 0x0d, 0, 0, 0, 0, 0xff, 0xe1,                /* mov return_rip(%rip), %rcx; jmp *%rcx */
    [STUB_UNBLOCK] = 0x0f, 0x05,                             /* syscall */
    0x48, 0x8b, 0x05, 0, 0, 0, 0,                            /* mov result(%rip), %rax */
    0x48, 0x8b, 0x3d, 0, 0, 0, 0, 0x48, 0x8b, 0x35, 0, 0, 0, 0, 0x48, 0x8b, 0x15, 0, 0, 0, 0, /* and the arguments */
    0x4c, 0x8b, 0x15, 0, 0, 0, 0, 0x4c, 0x8b, 0x05, 0, 0, 0, 0, 0x4c, 0x8b, 0x0d, 0, 0, 0, 0,
    0x48, 0x8b, 0x0d, 0, 0, 0, 0, 0xff, 0xe1,                /* mov return_rip(%rip), %rcx; jmp *%rcx */
    [STUB_SIGRETURN] = 0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05, 0x0f, 0x0b, /* mov $15, %eax; syscall; ud2 */
};

/* The displacement that ends `at` reaches `place` of struct task. */
static void reach(char *block, size_t at, size_t place) {
    int32_t d = (int32_t)(TASK_PLACE + place - (at + 4));
    memcpy(block + at, &d, 4);
}

static struct task *task_new(void) {
    acquire();
    struct task *t = free_list;
    uint32_t n = 0;
    if (t) {
        free_list = t->next_free;
    } else if (used < ARENA_BYTES / BLOCK_BYTES) {
        n = used++;
    } else {
        release();
        return NULL;
    }
    release();
    if (!t) {
        char *block = slate_arena + (size_t)n * BLOCK_BYTES;
        if (raw(SYS_mprotect, (long)block, BLOCK_BYTES, PROT_READ | PROT_WRITE, 0, 0, 0) < 0) return NULL;
        memcpy(block, STUBS, sizeof STUBS);
        reach(block, STUB_CALL_DONE + 3, TASK_RETURN);
        reach(block, STUB_UNBLOCK_DONE + 3, TASK_RESULT);
        const size_t restores[] = {STUB_CHANGED_DONE, STUB_UNBLOCK_DONE + 7};
        for (int stub = 0; stub < 2; stub++) {
            size_t at = restores[stub];
            for (int i = 0; i < 6; i++, at += 7) reach(block, at + 3, TASK_SAVED + 8 * (size_t)i);
            reach(block, at + 3, TASK_RETURN);
        }
        if (raw(SYS_mprotect, (long)block, TASK_PLACE, PROT_READ | PROT_EXEC, 0, 0, 0) < 0) return NULL;
        t = (struct task *)(block + TASK_PLACE);
    }
    char *buffer = t->buffer;
    memset(t, 0, sizeof *t);
    t->buffer = buffer;
    t->self = t;
    return t;
}

static void task_free(struct task *t) {
    acquire();
    t->next_free = free_list;
    free_list = t;
    release();
}

/* The thread's own, which its libc keeps there too. */
static uint64_t fs_base(void) {
    uint64_t fs;
    __asm__("mov %%fs:0, %0" : "=r"(fs));
    return fs;
}
/* FS is Slate's: whose the thread is now. */
static void keep_host_fs(struct task *t) {
    t->host_fs = t->fs = fs_base();
}

static uint64_t gs_base(void) {
    uint64_t gs = 0;
    if (slate_fs_by_call) raw(SYS_arch_prctl, ARCH_GET_GS, (long)&gs, 0, 0, 0, 0);
    else __asm__ volatile("rdgsbase %0" : "=r"(gs));
    return gs;
}
/* GS tells the quick way the task, for as long as the client leaves GS alone. */
static void set_gs(const struct task *t) {
    if (slate_fs_by_call) raw(SYS_arch_prctl, ARCH_SET_GS, (long)t, 0, 0, 0, 0);
    else __asm__ volatile("wrgsbase %0" : : "r"(t));
}
bool loaded_owns_gs(void) {
    return gs_base() - (uint64_t)slate_arena < ARENA_BYTES;
}

static long dispatch(struct task *t, bool on) {
    t->selector = 0;
    if (!on) return raw(SYS_prctl, SET_USER_DISPATCH, DISPATCH_OFF, 0, 0, 0, 0);
    return raw(SYS_prctl, SET_USER_DISPATCH, DISPATCH_ON, (long)slate_arena, ARENA_BYTES, (long)&t->selector, 0);
}

static const ptrdiff_t *rseq_offset; /* null: glibc before 2.35 */

/* The thread's restartable sequences, which libc has taken, become the client's. */
static void give_up_rseq(void) {
    if (rseq_offset) raw(RSEQ, (long)fs_base() + *rseq_offset, 32, UNREGISTER, 0x53053053, 0, 0);
}

/* But for faults, of which the JVM makes use. */
static uint64_t block_all(void) {
    const uint64_t faults = UINT64_C(1) << (SIGSEGV - 1) | UINT64_C(1) << (SIGBUS - 1) | UINT64_C(1) << (SIGFPE - 1) | UINT64_C(1) << (SIGILL - 1);
    uint64_t all = ~faults, old = 0;
    raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&old, 8, 0, 0);
    return old;
}
static void set_mask(uint64_t mask) {
    raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, 8, 0, 0);
}

/* Where libc keeps a thread's number: it tells debuggers, as bits, count and offset. 0: it does not. */
static uint32_t tid_offset;
static int tid_of(pthread_t thread) {
    return *(const int *)((const char *)thread + tid_offset);
}
static bool find_tid_offset(void) {
    const uint32_t *of = dlsym(RTLD_DEFAULT, "_thread_db_pthread_tid");
    if (!of || of[0] != 8 * sizeof(int)) return false;
    tid_offset = of[2];
    return tid_of(pthread_self()) == slate_task->tid;
}

static void *nothing(void *unused) {
    return unused;
}

/* With its first thread libc takes a signal for itself, which is to be the client's libc's. */
static void give_up_signals(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, nothing, NULL) == 0) pthread_join(thread, NULL);
    struct kernel_sigaction none = {0};
    for (int sig = 32; sig < 34; sig++) raw(SYS_rt_sigaction, sig, (long)&none, 0, 8, 0, 0);
}

const char *loaded_start_tasks(void) {
    long at = raw(SYS_mmap, 0, ARENA_BYTES + BLOCK_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at < 0 && at >= -4095) return "there is no address space for it";
    slate_arena = (char *)((at + BLOCK_BYTES - 1) & -(long)BLOCK_BYTES);
    struct kernel_sigaction sys = {(uint64_t)slate_trap, SA_SIGINFO | SA_ONSTACK | SA_NODEFER | 0x04000000, (uint64_t)slate_trap, 0};
    raw(SYS_rt_sigaction, SIGSYS, (long)&sys, 0, 8, 0, 0);
    struct task *t = task_new();
    if (!t) return "there is no memory for it";
    keep_host_fs(t);
    t->tid = (int)raw(SYS_gettid, 0, 0, 0, 0, 0, 0);
    if (dispatch(t, true) < 0) return "the kernel has no syscall user dispatch (Linux 5.11 and later have)";
    slate_task = t;
    set_gs(t);
    living = 1;
    if (!find_tid_offset()) return "the C library does not say where it keeps the number of a thread";
    rseq_offset = dlsym(RTLD_DEFAULT, "__rseq_offset");
    give_up_signals();
    give_up_rseq();
    return NULL;
}

struct task *loaded_first_task(void) {
    return slate_task;
}

/* A context with its register image in the block of task t, ready to be gone to. */
static struct kernel_ucontext *context_in(struct task *t, const struct kernel_ucontext *from) {
    char *top = block_of(t) + BLOCK_BYTES - 1024;
    char *registers = NULL;
    if (from->fpstate) {
        size_t bytes = loaded_fpstate_bytes(from->fpstate);
        registers = (char *)((uintptr_t)(top - bytes) & -64ul);
        memcpy(registers, from->fpstate, bytes);
        top = registers;
    }
    struct kernel_ucontext *c = (struct kernel_ucontext *)((uintptr_t)(top - sizeof *c) & -64ul);
    *c = *from;
    c->fpstate = registers;
    c->stack = (struct kernel_stack){(uint64_t)block_of(t) + STACK_PLACE, (int)AUTODISARM, BLOCK_BYTES - STACK_PLACE};
    return c;
}

/* What the kernel does for a thread's robust mutexes at its end; it must come before the thread counts as gone. */
static void release_robust(const struct task *t) {
    struct entry {
        struct entry *next;
    } *e, *next;
    struct {
        struct entry *first;
        long offset;
        struct entry *pending;
    } head, *at = NULL;
    size_t bytes;
    if (raw(SYS_get_robust_list, 0, (long)&at, (long)&bytes, 0, 0, 0) < 0 || !at || slate_copy(&head, at, sizeof head)) return;
    raw(SYS_set_robust_list, 0, 24, 0, 0, 0, 0);
    e = head.first;
    for (int i = 0; i < 2048 && (void *)e != (void *)at; i++, e = next) {
        uint32_t *word = (uint32_t *)(((uintptr_t)e & ~1ul) + (size_t)head.offset), value;
        if (slate_copy(&next, (void *)((uintptr_t)e & ~1ul), sizeof next)) return;
        if (slate_copy(&value, word, 4)) return;
        if ((value & FUTEX_TID_MASK) != (uint32_t)t->tid) continue;
        uint32_t dead = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        slate_copy(word, &dead, 4);
        raw(SYS_futex, (long)word, FUTEX_WAKE, 1, 0, 0, 0);
    }
}

/* Behind the client's exit(): the thread is Slate's alone. */
static void end_task(struct task *t) {
    block_all();
    jvm_thread_end();
    dispatch(t, false);
    release_robust(t);
    /* The kernel writes there whenever the thread has been away, and the client may unmap it from here on. */
    if (t->rseq[0]) raw(RSEQ, (long)t->rseq[0], (long)t->rseq[1], UNREGISTER, (long)t->rseq[3], 0, 0);
    int32_t *word = t->clear_tid, zero = 0;
    slate_task = NULL;
    task_free(t);
    if (word && slate_copy(word, &zero, sizeof zero) == 0) raw(SYS_futex, (long)word, FUTEX_WAKE, 1, 0, 0, 0);
}

static void *host_thread(void *task) {
    struct task *t = task;
    slate_task = t;
    if (loaded_owns_gs()) set_gs(t); /* it is the creator's, who inherited it */
    keep_host_fs(t);
    give_up_rseq();
    int tid;
    while (!(tid = atomic_load(&t->tid))) raw(SYS_futex, (long)&t->tid, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
    if (t->set_child) slate_copy(t->set_child, &tid, sizeof tid);
    if (dispatch(t, true) < 0) abort();
    if (!_setjmp(t->leave)) slate_resume(t, t->first);
    int status = t->status;
    bool last = atomic_fetch_sub(&living, 1) == 1;
    end_task(t);
    if (last) _exit(status); /* the JVM's threads do not keep a process alive */
    return NULL;
}

void loaded_run(struct task *t, struct kernel_ucontext *c) {
    if (!_setjmp(t->leave)) slate_resume(t, context_in(t, c));
    int status = t->status;
    bool last = atomic_fetch_sub(&living, 1) == 1;
    end_task(t);
    if (last) _exit(status);
    for (;;) raw(SYS_exit, status, 0, 0, 0, 0, 0); /* the others go on */
}

static long new_thread(struct task *t, const struct kernel_ucontext *c, const struct birth *b) {
    const uint64_t needed = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    if ((b->flags & needed) != needed || b->flags & (CLONE_PIDFD | CLONE_VFORK | CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_IO)) {
        slate_say("this program starts a thread that shares less than its descriptors and memory (clone flags %#llx), which Slate cannot carry "
                  "for a program that its loader brought in.", (unsigned long long)b->flags);
        return -EINVAL;
    }
    struct task *child = task_new();
    if (!child) return -EAGAIN;
    child->client_fs = b->flags & CLONE_SETTLS ? b->tls : t->client_fs;
    child->clear_tid = b->flags & CLONE_CHILD_CLEARTID ? b->child_tid : NULL;
    child->set_child = b->flags & CLONE_CHILD_SETTID ? b->child_tid : NULL;
    child->sigsys_blocked = t->sigsys_blocked;
    child->first = context_in(child, c);
    child->first->regs[RAX] = 0;
    child->first->regs[RCX] = c->regs[RIP];
    child->first->regs[R11] = c->regs[EFLAGS];
    if (b->stack) child->first->regs[RSP] = b->stack;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, HOST_STACK_BYTES);
    atomic_fetch_add(&living, 1);
    uint64_t mask = block_all();
    pthread_t thread;
    int error = pthread_create(&thread, &attributes, host_thread, child);
    int tid = 0;
    if (!error) {
        /* As the kernel has it: the number is there before the thread goes on, and nobody waits for the thread, as many as there may be. */
        tid = tid_of(thread);
        pthread_detach(thread);
        if (b->flags & CLONE_PARENT_SETTID) slate_copy(b->parent_tid, &tid, sizeof tid);
        atomic_store(&child->tid, tid);
        raw(SYS_futex, (long)&child->tid, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    }
    set_mask(mask);
    pthread_attr_destroy(&attributes);
    if (error) {
        atomic_fetch_sub(&living, 1);
        task_free(child);
        return -error;
    }
    return tid;
}

/* The one thread of a child process. */
static void be_child(struct task *t, const struct birth *b) {
    release();
    living = 1;
    t->tid = (int)raw(SYS_gettid, 0, 0, 0, 0, 0, 0);
    if (dispatch(t, true) < 0) abort();
    if (b->flags & CLONE_CHILD_SETTID && b->child_tid) slate_copy(b->child_tid, &t->tid, sizeof t->tid);
    t->clear_tid = b->flags & CLONE_CHILD_CLEARTID ? b->child_tid : NULL;
    if (b->flags & CLONE_SETTLS) t->client_fs = b->tls;
}

static long new_process(struct task *t, struct kernel_ucontext *c, const struct birth *b) {
    const uint64_t libcs = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID | CLONE_SETTLS;
    long pid;
    if (!(b->flags & ~libcs) && b->exit_signal == SIGCHLD) {
        rewrite_lock();
        pid = fork();
        int error = errno;
        rewrite_unlock();
        if (pid < 0) return -error;
    } else {
        int32_t *parent_tid = b->flags & (CLONE_PARENT_SETTID | CLONE_PIDFD) ? b->flags & CLONE_PIDFD ? b->pidfd : b->parent_tid : NULL;
        uint64_t flags = b->flags & ~(uint64_t)(CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_SETTLS);
        rewrite_lock();
        pid = raw(SYS_clone, (long)(flags | (uint64_t)b->exit_signal), 0, (long)parent_tid, 0, 0, 0);
        rewrite_unlock();
        if (pid == 0) jvm_in_child();
    }
    if (pid < 0) return pid;
    if (pid == 0) {
        be_child(t, b);
        if (b->stack) c->regs[RSP] = b->stack;
    } else if (b->flags & CLONE_PARENT_SETTID) {
        int32_t tid = (int32_t)pid;
        slate_copy(b->parent_tid, &tid, sizeof tid);
    }
    return pid;
}

/* A child of vfork() lives in its parent's memory, on another stack of Slate's; its parent waits in the kernel. */
struct borrower {
    struct task *task;
    const struct birth *birth;
};
static int borrow(void *argument) {
    struct borrower *b = argument;
    struct task *t = b->task;
    slate_task = t;
    if (loaded_owns_gs()) set_gs(t);
    t->tid = (int)raw(SYS_gettid, 0, 0, 0, 0, 0, 0);
    if (b->birth->flags & CLONE_CHILD_SETTID && b->birth->child_tid) slate_copy(b->birth->child_tid, &t->tid, sizeof t->tid);
    if (dispatch(t, true) < 0) _exit(127);
    slate_resume(t, t->first);
    __builtin_unreachable();
}

static long new_borrower(struct task *t, const struct kernel_ucontext *c, const struct birth *b) {
    if (!(b->flags & CLONE_VFORK) || b->flags & (CLONE_THREAD | CLONE_SIGHAND)) {
        slate_say("this program starts a process that shares its memory and runs beside it (clone flags %#llx), which Slate cannot carry.",
                  (unsigned long long)b->flags);
        return -EINVAL;
    }
    struct task *child = task_new();
    if (!child) return -EAGAIN;
    long stack = raw(SYS_mmap, 0, BORROWED_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack < 0 && stack >= -4095) {
        task_free(child);
        return stack;
    }
    child->borrowed = true;
    child->host_fs = child->fs = t->host_fs;
    child->client_fs = b->flags & CLONE_SETTLS ? b->tls : t->client_fs;
    child->stack = t->stack;
    child->sigsys_blocked = t->sigsys_blocked;
    child->first = context_in(child, c);
    child->first->regs[RAX] = 0;
    child->first->regs[RCX] = c->regs[RIP];
    child->first->regs[R11] = c->regs[EFLAGS];
    if (b->stack) child->first->regs[RSP] = b->stack;
    struct borrower borrower = {child, b};
    uint64_t flags = b->flags & ~(uint64_t)(CLONE_SETTLS | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID);
    int32_t *parent_tid = b->flags & CLONE_PIDFD ? b->pidfd : b->parent_tid;
    /* Blocked until the child has its own way in: a handler would find the parent's. */
    uint64_t mask = block_all();
    int pid = clone(borrow, (char *)stack + BORROWED_STACK_BYTES, (int)(flags | (uint64_t)b->exit_signal), &borrower, parent_tid, NULL, NULL);
    long r = pid < 0 ? -errno : pid;
    slate_task = t;
    set_mask(mask);
    exec_forget(&child->plan);
    raw(SYS_munmap, stack, BORROWED_STACK_BYTES, 0, 0, 0, 0);
    task_free(child);
    return r;
}

long loaded_clone(struct task *t, struct kernel_ucontext *c, const struct birth *b) {
    if (b->flags & CLONE_SETTLS && !loaded_may_be_fs(b->tls)) return -EPERM;
    if (UNLIKELY(t->borrowed) && b->flags & CLONE_VM) {
        slate_say("a child of vfork() started another that shares its memory, which Slate cannot carry.");
        return -EINVAL;
    }
    if (b->flags & CLONE_THREAD) return new_thread(t, c, b);
    return b->flags & CLONE_VM ? new_borrower(t, c, b) : new_process(t, c, b);
}

void loaded_exit(struct task *t, int status) {
    if (t->borrowed) {
        for (;;) raw(SYS_exit, status, 0, 0, 0, 0, 0);
    }
    t->status = status & 0xff;
    _longjmp(t->leave, 1);
}

void loaded_exit_group(struct task *t, int status) {
    if (t->borrowed) {
        for (;;) raw(SYS_exit_group, status, 0, 0, 0, 0, 0);
    }
    _exit(status);
}
