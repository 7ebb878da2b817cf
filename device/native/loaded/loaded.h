/*
 * Clients that no library can be preloaded into: linked statically, with another libc, or making system calls by themselves. The
 * loader brings such a program into a process that has this library, and syscall user dispatch hands its calls over (trap.S). What
 * they mean stays where it is for every client: in the functions of interpose.c.
 *
 * Two libcs live in one process. Slate's runs on a stack and an FS of its own for each client thread; the client's knows nothing of it.
 */
#ifndef SLATE_LOADED_H
#define SLATE_LOADED_H

#include "../slate.h"
#include "places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/ioctl.h>

/* struct ucontext and the signal frame as the kernel builds them; libc's ucontext_t is longer. */
struct kernel_stack {
    uint64_t sp;
    int32_t flags;
    uint64_t bytes;
};
enum { R8, R9, R10, R11, R12, R13, R14, R15, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP, RIP, EFLAGS, SEGMENTS, ERR, TRAPNO, OLDMASK, CR2 };
struct kernel_ucontext {
    uint64_t flags, link;
    struct kernel_stack stack;
    uint64_t regs[23];
    char *fpstate;
    uint64_t reserved[8];
    uint64_t mask;
};
struct kernel_frame {
    uint64_t restorer;
    struct kernel_ucontext context;
    char info[128];
};
_Static_assert(offsetof(struct kernel_ucontext, regs) + 8 * RIP == UCONTEXT_RIP, "RIP");
_Static_assert(offsetof(struct kernel_ucontext, mask) == 296 && sizeof(struct kernel_frame) == 440, "frame");

enum { REGISTER_BYTES = 2880 };
struct kernel_sigaction {
    uint64_t handler, flags, restorer, mask;
};

/* A client's thread. */
struct task {
    uint64_t return_rip; /* where a stub goes on */
    uint64_t saved[6];   /* what a changed call puts back */
    uint8_t selector;
    uint64_t host_fs, client_fs, host_rsp;
    uint64_t unblock, result, rbx, rsp; /* of a quick request */
    uint64_t fs;
    struct task *self;
    char registers[REGISTER_BYTES] __attribute__((aligned(64)));
    struct kernel_stack stack; /* the client's alternate one */
    bool sigsys_blocked;       /* so the client believes */
    bool borrowed;             /* between vfork() and exec: the memory and the FS are the parent's */
    _Atomic int tid;           /* 0: not born yet */
    int32_t *clear_tid;
    uint64_t rseq[4];          /* what the client registered; 0: nothing */
    struct kernel_ucontext *first; /* its first way in */
    int32_t *set_child;
    int status;                /* of its exit */
    struct exec_plan plan;
    uint64_t mask, mask_and_size[2]; /* what a call gets in place of its own mask */
    char *buffer;
    jmp_buf leave;
    struct task *next_free;
};
_Static_assert(offsetof(struct task, saved) == TASK_SAVED && offsetof(struct task, selector) == TASK_SELECTOR &&
                   offsetof(struct task, host_fs) == TASK_HOST_FS && offsetof(struct task, client_fs) == TASK_CLIENT_FS &&
                   offsetof(struct task, host_rsp) == TASK_HOST_RSP && offsetof(struct task, unblock) == TASK_UNBLOCK &&
                   offsetof(struct task, result) == TASK_RESULT && offsetof(struct task, rbx) == TASK_RBX && offsetof(struct task, rsp) == TASK_RSP &&
                   offsetof(struct task, fs) == TASK_FS && offsetof(struct task, self) == TASK_SELF && offsetof(struct task, registers) == TASK_REGISTERS && offsetof(struct thread, held) == SELF_HELD && MAX_FDS == FILES && sizeof(struct task) <= 4096,
               "struct task");

static inline char *block_of(const struct task *t) {
    return (char *)t - TASK_PLACE;
}

extern char *slate_arena;
extern __thread struct task *slate_task __attribute__((tls_model("initial-exec")));
enum { SIGSYS_BIT = 30 };
#define SIGSYS_MASK (UINT64_C(1) << SIGSYS_BIT)

/* ---- trap.S ---- */
void slate_trap(int sig, siginfo_t *info, void *context);
void slate_resume(struct task *t, struct kernel_ucontext *context);
/* ---- called from trap.S ---- */
void slate_from_client(int sig, siginfo_t *info, struct kernel_ucontext *context, struct task *t);
void slate_on_host(int sig, siginfo_t *info, void *context);

extern const char slate_quick[], slate_quick_taken[], slate_quick_giving[], slate_quick_given[], slate_quick_again[], slate_quick_end[];
long slate_quick_ioctl(int fd, unsigned long request, long argument, struct task *t);
extern uint8_t slate_call_kind[CALLS];

/* ---- rewrite.c ---- */
void rewrite_start(void);
void rewrite_lock(void);
void rewrite_unlock(void);
void rewrite_met(uintptr_t behind, long number); /* a call trapped */
void rewrite_go(uintptr_t text, size_t bytes);
void rewrite_leave(struct task *t, struct kernel_ucontext *c);
void rewrite_again(struct kernel_ucontext *c);
void rewrite_without_gs(void);

/* ---- calls.c ---- */
void loaded_call(struct task *t, struct kernel_ucontext *c, long number);
void loaded_foreign_call(struct kernel_ucontext *c);
bool loaded_is_itself(const char *path); /* a name of the client's own file in /proc; a bad pointer is none */

/* ---- frames.c ---- */
void loaded_deliver(struct task *t, int sig, siginfo_t *info, struct kernel_ucontext *c);
void loaded_sigreturn(struct task *t, struct kernel_ucontext *c);
long loaded_sigaction(const struct task *t, int sig, const struct kernel_sigaction *act, struct kernel_sigaction *old, size_t bytes);
long loaded_sigaltstack(struct task *t, const struct kernel_stack *set, struct kernel_stack *old, uint64_t rsp);
size_t loaded_fpstate_bytes(const char *fpstate);

/* ---- tasks.c ---- */
struct birth { /* what clone() was asked for */
    uint64_t flags, stack, tls;
    int32_t *parent_tid, *child_tid, *pidfd;
    int exit_signal;
};
const char *loaded_start_tasks(void); /* null, or why this machine cannot */
struct task *loaded_first_task(void);
bool loaded_owns_gs(void);
static inline bool loaded_may_be_fs(uint64_t base) { /* the kernel's TASK_SIZE_MAX */
    return base < (UINT64_C(1) << 47) - 4096;
}
void loaded_run(struct task *t, struct kernel_ucontext *c); /* until the thread's exit */
long loaded_clone(struct task *t, struct kernel_ucontext *c, const struct birth *b);
void loaded_exit(struct task *t, int status) __attribute__((noreturn));
void loaded_exit_group(struct task *t, int status) __attribute__((noreturn));

/* ---- load.c ---- */
extern char loaded_file[4096]; /* what leads to loaded_program: the same, or a descriptor in /proc where it has no name */
long loaded_brk(uintptr_t end);

/* ---- exec.c ---- */
long loaded_exec(struct task *t, struct kernel_ucontext *c, int dirfd, const char *path, char **argv, char **envp, int flags);

#endif
