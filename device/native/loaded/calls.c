/*
 * A call of the client's. Most are none of Slate's: the thread goes back and makes them itself, from a stub in the range that user
 * dispatch lets through, with its own registers, stack and signal mask, so that blocking, restarting and signals are the kernel's.
 * Those that Slate answers go to the functions that a preloaded client calls. A few would reach Slate's own side of the process
 * (threads, FS, signal masks, brk) and are done here.
 */
#include "loaded.h"

#include <asm/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
enum { SET_USER_DISPATCH = 59, RSEQ_CALL = 334 };

static const uint8_t ARGUMENT[6] = {RDI, RSI, RDX, R10, R8, R9};

static void answer(struct kernel_ucontext *c, long r) {
    c->regs[RAX] = (uint64_t)r;
    c->regs[RCX] = c->regs[RIP];
    c->regs[R11] = c->regs[EFLAGS];
}

/* The client makes the call itself. */
static void pass(struct task *t, struct kernel_ucontext *c) {
    t->return_rip = c->regs[RIP];
    c->regs[RIP] = (uint64_t)block_of(t) + STUB_CALL;
}

/* ... with other arguments. */
static void pass_changed(struct task *t, struct kernel_ucontext *c, const long *a) {
    for (int i = 0; i < 6; i++) {
        t->saved[i] = c->regs[ARGUMENT[i]];
        c->regs[ARGUMENT[i]] = (uint64_t)a[i];
    }
    t->return_rip = c->regs[RIP];
    c->regs[RIP] = (uint64_t)block_of(t) + STUB_CHANGED;
}
static void pass_with(struct task *t, struct kernel_ucontext *c, int argument, const void *value) {
    long a[6];
    for (int i = 0; i < 6; i++) a[i] = (long)c->regs[ARGUMENT[i]];
    a[argument] = (long)value;
    pass_changed(t, c, a);
}

/* A mask that would hold back user dispatch's own signal ends the process; the client gets one without it. */
static void pass_mask(struct task *t, struct kernel_ucontext *c, int argument) {
    uint64_t at = c->regs[ARGUMENT[argument]], mask;
    if (at && slate_copy(&mask, (void *)at, sizeof mask) == 0 && (mask & SIGSYS_MASK)) {
        t->mask = mask & ~SIGSYS_MASK;
        pass_with(t, c, argument, &t->mask);
    } else {
        pass(t, c);
    }
}
static void pass_pselect(struct task *t, struct kernel_ucontext *c) {
    uint64_t at = c->regs[R9], pair[2], mask;
    if (at && slate_copy(pair, (void *)at, sizeof pair) == 0 && pair[0] && slate_copy(&mask, (void *)pair[0], sizeof mask) == 0 && (mask & SIGSYS_MASK)) {
        t->mask = mask & ~SIGSYS_MASK;
        t->mask_and_size[0] = (uint64_t)&t->mask;
        t->mask_and_size[1] = pair[1];
        pass_with(t, c, 5, t->mask_and_size);
    } else {
        pass(t, c);
    }
}

static long procmask(struct task *t, struct kernel_ucontext *c, int how, const uint64_t *set, uint64_t *old, size_t bytes) {
    uint64_t now = c->mask | (t->sigsys_blocked ? SIGSYS_MASK : 0), next = now;
    if (bytes != 8) return -EINVAL;
    if (set) {
        uint64_t s;
        if (slate_copy(&s, set, sizeof s)) return -EFAULT;
        switch (how) {
        case SIG_BLOCK: next = now | s; break;
        case SIG_UNBLOCK: next = now & ~s; break;
        case SIG_SETMASK: next = s; break;
        default: return -EINVAL;
        }
        next &= ~(UINT64_C(1) << (SIGKILL - 1) | UINT64_C(1) << (SIGSTOP - 1));
    }
    if (old && slate_copy(old, &now, sizeof now)) return -EFAULT;
    c->mask = next & ~SIGSYS_MASK; /* the kernel takes it over on the way back */
    t->sigsys_blocked = next & SIGSYS_MASK;
    return 0;
}

static long arch(struct task *t, int code, uint64_t value, bool *done) {
    *done = true;
    switch (code) {
    case ARCH_SET_FS:
        if (!loaded_may_be_fs(value)) return -EPERM;
        t->client_fs = value;
        return 0;
    case ARCH_GET_FS: return slate_copy((void *)value, &t->client_fs, 8);
    case ARCH_SET_GS:
        if (slate_fs_by_call) rewrite_without_gs();
        break;
    case ARCH_GET_GS:
        if (!loaded_owns_gs()) break;
        return slate_copy((void *)value, &(uint64_t){0}, 8);
    default: break;
    }
    *done = false;
    return 0;
}

/* /proc/self/exe is the loader's. */
bool loaded_is_itself(const char *path) {
    char text[40], own[40];
    for (size_t i = 0; i < sizeof text; i++) {
        if (slate_copy(text + i, path + i, 1)) return false;
        if (!text[i]) break;
    }
    if (strncmp(text, "/proc/", 6) || !memchr(text, 0, sizeof text)) return false;
    snprintf(own, sizeof own, "/proc/%d/exe", getpid());
    return !strcmp(text, "/proc/self/exe") || !strcmp(text, "/proc/thread-self/exe") || !strcmp(text, own);
}
static long read_own_link(char *to, size_t bytes) {
    size_t n = strlen(loaded_program);
    if (n > bytes) n = bytes;
    if ((long)bytes <= 0) return -EINVAL;
    return slate_copy(to, loaded_program, n) ? -EFAULT : (long)n;
}

static bool is_kvm_path(int dirfd, const char *path) {
    char first;
    if (!path || slate_copy(&first, path, 1)) return false;
    return path_kind(dirfd, path, NULL) != PATH_OTHER;
}

/* What the functions of interpose.c answer beside the door. */
static bool is_kvm_file_call(long number, const long *a, long *r) {
    if (!is_kvm_fd((int)a[0])) return false;
    errno = 0;
    switch (number) {
    case SYS_read:
    case SYS_write:
    case SYS_pread64:
    case SYS_pwrite64: *r = syscall(number, a[0], a[1], a[2], a[3]); break;
    case SYS_lseek: *r = lseek((int)a[0], a[1], (int)a[2]); break;
    case SYS_fsync: *r = fsync((int)a[0]); break;
    default: return false;
    }
    if (*r == -1) *r = -errno;
    return true;
}

COLD static long refused(const char *what) {
    slate_say("this program asked for %s, which Slate cannot carry for a program that its loader brought in.", what);
    return -EINVAL;
}

/* It opens files where nobody stands before it; as with kernel.io_uring_disabled=2. Many programs try it and do without. */
COLD static long refuses_ring(void) {
    static atomic_flag said = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&said))
        slate_say("this program asked for an io_uring, which would open files past Slate: it gets EPERM, as where an administrator has "
                  "switched io_uring off. Most programs do without it.");
    return -EPERM;
}

/* There is no way back into the program but by a call that it forbids. */
COLD static long refuses_strict(void) {
    return refused("seccomp's strict mode, on a kernel without FSGSBASE");
}

static long clone3(struct task *t, struct kernel_ucontext *c, const struct clone_args *from, size_t bytes) {
    struct clone_args a = {0};
    if (bytes < CLONE_ARGS_SIZE_VER0) return -EINVAL;
    if (slate_copy(&a, from, bytes < sizeof a ? bytes : sizeof a)) return -EFAULT;
    if (a.set_tid_size || (a.flags & CLONE_INTO_CGROUP)) return refused("clone3() with a chosen pid or cgroup");
    struct birth b = {a.flags, a.stack ? a.stack + a.stack_size : 0, a.tls, (int32_t *)a.parent_tid, (int32_t *)a.child_tid, (int32_t *)a.pidfd, (int)a.exit_signal};
    return loaded_clone(t, c, &b);
}

/* A call of a child of vfork(), which runs in its parent's memory: Slate's tables there are not its own. */
static bool is_borrowers(long number, const long *a, long *r) {
    if (number == SYS_ioctl && (is_kvm_fd((int)a[0]) || ((a[1] >> 8) & 0xff) == 0xae)) {
        *r = -EIO;
        return true;
    }
    if ((number == SYS_open && is_kvm_path(AT_FDCWD, (char *)a[0])) ||
        ((number == SYS_openat || number == SYS_openat2) && is_kvm_path((int)a[0], (char *)a[1]))) {
        slate_say("a child of vfork() opened /dev/kvm before it called exec(); open it before or after.");
        *r = -ENXIO;
        return true;
    }
    return false;
}

/* A call by another entry of the kernel, whose numbers mean something else. */
void loaded_foreign_call(struct kernel_ucontext *c) {
    static atomic_flag said = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&said)) slate_say("this program makes 32-bit system calls, which Slate does not carry: they fail with ENOSYS.");
    answer(c, -ENOSYS);
}

void loaded_call(struct task *t, struct kernel_ucontext *c, long number) {
    uint64_t *regs = c->regs;
    const uint64_t a[6] = {regs[RDI], regs[RSI], regs[RDX], regs[R10], regs[R8], regs[R9]};
    bool done;
    long r;
    switch (number) {
    case SYS_rt_sigreturn: loaded_sigreturn(t, c); return;
    case SYS_rt_sigaction: r = loaded_sigaction(t, (int)a[0], (void *)a[1], (void *)a[2], a[3]); break;
    case SYS_rt_sigprocmask: r = procmask(t, c, (int)a[0], (void *)a[1], (void *)a[2], a[3]); break;
    case SYS_sigaltstack: r = loaded_sigaltstack(t, (void *)a[0], (void *)a[1], regs[RSP]); break;
    case SYS_rt_sigsuspend: pass_mask(t, c, 0); return;
    case SYS_ppoll: pass_mask(t, c, 3); return;
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2: pass_mask(t, c, 4); return;
    case SYS_pselect6: pass_pselect(t, c); return;

    case SYS_arch_prctl:
        r = arch(t, (int)a[0], a[1], &done);
        if (done) break;
        pass(t, c);
        return;
    case SYS_set_tid_address:
        t->clear_tid = (int32_t *)a[0];
        r = t->tid;
        break;
    case SYS_brk: r = loaded_brk(a[0]); break;
    case RSEQ_CALL:
        r = raw(number, (long)a[0], (long)a[1], (long)a[2], (long)a[3], 0, 0);
        if (r == 0) memcpy(t->rseq, a[2] ? (uint64_t[4]){0} : a, sizeof t->rseq);
        break;

    case SYS_fork: r = loaded_clone(t, c, &(struct birth){.exit_signal = SIGCHLD}); break;
    case SYS_vfork: r = loaded_clone(t, c, &(struct birth){.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD}); break;
    case SYS_clone:
        r = loaded_clone(t, c,
                         &(struct birth){.flags = a[0] & ~(uint64_t)CSIGNAL & UINT32_MAX, .stack = a[1], .parent_tid = (int32_t *)a[2], .child_tid = (int32_t *)a[3],
                                         .pidfd = (int32_t *)a[2], .tls = a[4], .exit_signal = (int)(a[0] & CSIGNAL)});
        break;
    case SYS_clone3: r = clone3(t, c, (void *)a[0], a[1]); break;
    case SYS_execve: r = loaded_exec(t, c, AT_FDCWD, (char *)a[0], (char **)a[1], (char **)a[2], 0); break;
    case SYS_execveat: r = loaded_exec(t, c, (int)a[0], (char *)a[1], (char **)a[2], (char **)a[3], (int)a[4]); break;
    case SYS_exit: loaded_exit(t, (int)a[0]);
    case SYS_exit_group: loaded_exit_group(t, (int)a[0]);

    case SYS_prctl:
        if (a[0] == SET_USER_DISPATCH) {
            r = refused("system calls to be handed to itself (PR_SET_SYSCALL_USER_DISPATCH)");
            break;
        }
        if (a[0] == PR_SET_SECCOMP && a[1] == SECCOMP_MODE_STRICT && slate_fs_by_call) {
            r = refuses_strict();
            break;
        }
        goto others;
    case SYS_seccomp:
        if (a[0] == SECCOMP_SET_MODE_STRICT && slate_fs_by_call) {
            r = refuses_strict();
            break;
        }
        goto others;
    case SYS_io_uring_setup: r = refuses_ring(); break;

    case SYS_readlink:
        if (loaded_is_itself((char *)a[0])) {
            r = read_own_link((char *)a[1], a[2]);
            break;
        }
        goto others;
    case SYS_readlinkat:
        if (loaded_is_itself((char *)a[1])) {
            r = read_own_link((char *)a[2], a[3]);
            break;
        }
        goto others;
    case SYS_open:
        if (loaded_is_itself((char *)a[0])) {
            pass_with(t, c, 0, loaded_file);
            return;
        }
        goto others;
    case SYS_openat:
        if (loaded_is_itself((char *)a[1])) {
            pass_with(t, c, 1, loaded_file);
            return;
        }
        goto others;

    default:
    others: {
        long to[6], given[6];
        for (int i = 0; i < 6; i++) to[i] = given[i] = (long)a[i];
        if (UNLIKELY(t->borrowed)) {
            if (is_borrowers(number, to, &r)) break;
        } else if (is_kvm_file_call(number, to, &r) || door(number, to, &r)) {
            break;
        } else if (memcmp(to, given, sizeof to)) {
            pass_changed(t, c, to);
            return;
        }
        pass(t, c);
        return;
    }
    }
    answer(c, r);
}
