/*
 * Signals of a client that the loader brought in. The kernel gives every one to trap.S; what the client sees is the frame that the
 * kernel would have built: on its own stack or its alternate one, with its own addresses, and nothing of Slate in it.
 */
#include "loaded.h"

#include <linux/audit.h>

#define AUTODISARM (1u << 31)

static struct kernel_sigaction sigsys; /* what the client asked for the one that the kernel keeps for us */

static const uint8_t ARGUMENT[6] = {RDI, RSI, RDX, R10, R8, R9};

void slate_from_client(int sig, siginfo_t *info, struct kernel_ucontext *c, struct task *t) {
    if (sig == SIGSYS && info->si_code == 2 /* SYS_USER_DISPATCH */ && (info->si_arch != AUDIT_ARCH_X86_64 || (info->si_syscall & 0x40000000))) {
        loaded_foreign_call(c);
    } else if (sig == SIGSYS && info->si_code == 2) {
        rewrite_met(c->regs[RIP], info->si_syscall);
        loaded_call(t, c, info->si_syscall);
    } else {
        loaded_deliver(t, sig, info, c);
    }
    self.held = 0; /* the mask that comes back with the context lets them in */
}

/* Bytes of the register image behind a frame, as the kernel wrote it. */
size_t loaded_fpstate_bytes(const char *fpstate) {
    uint32_t magic, bytes;
    memcpy(&magic, fpstate + 464, 4);
    memcpy(&bytes, fpstate + 468, 4);
    return magic == 0x46505853 ? bytes : 512;
}

/* The thread was in a stub: to the client it was at its own instruction, or behind it. */
static void leave_stub(struct task *t, struct kernel_ucontext *c) {
    uint64_t place = c->regs[RIP] - (uint64_t)block_of(t);
    if (place >= STUBS_OF_CLIENT) {
        rewrite_leave(t, c);
        return;
    }
    if (place >= STUB_CHANGED) {
        for (int i = 0; i < 6; i++) c->regs[ARGUMENT[i]] = t->saved[i];
    }
    if (place >= STUB_UNBLOCK) {
        c->mask &= ~t->unblock; /* as far as it has not been done */
        c->regs[RAX] = t->result;
        c->regs[RIP] = c->regs[RCX] = t->return_rip;
    } else if (place == STUB_CALL || place == STUB_CHANGED) {
        c->regs[RIP] = t->return_rip - 2; /* not made yet, or to be made again */
    } else {
        c->regs[RIP] = c->regs[RCX] = t->return_rip;
    }
}

static struct sigaction libcs(const struct kernel_sigaction *k) {
    struct sigaction a = {0};
    a.sa_sigaction = (void (*)(int, siginfo_t *, void *))k->handler;
    a.sa_flags = (int)k->flags;
    a.sa_restorer = (void (*)(void))k->restorer;
    memcpy(&a.sa_mask, &k->mask, 8);
    return a;
}

static bool lies_in(const struct kernel_stack *s, uint64_t sp) {
    return !(s->flags & (int)AUTODISARM) && sp > s->sp && sp - s->sp <= s->bytes;
}

COLD static void end_by(int sig, struct kernel_ucontext *c) {
    struct kernel_sigaction none = {0};
    raw(SYS_rt_sigaction, sig, (long)&none, 0, 8, 0, 0);
    c->mask &= ~(UINT64_C(1) << (sig - 1));
    raw(SYS_tgkill, getpid(), raw(SYS_gettid, 0, 0, 0, 0, 0, 0), sig, 0, 0, 0);
}

void loaded_deliver(struct task *t, int sig, siginfo_t *info, struct kernel_ucontext *c) {
    struct sigaction a;
    if (sig == SIGSYS) {
        a = libcs(&sigsys);
    } else {
        signals_client_action(sig, &a);
    }
    if (a.sa_handler == SIG_IGN) return;
    if (a.sa_handler == SIG_DFL) {
        signals_default_action(sig, c);
        return;
    }
    if (a.sa_flags & SA_RESETHAND) {
        struct sigaction dfl = {.sa_handler = SIG_DFL};
        sigaction(sig, &dfl, NULL);
    }
    leave_stub(t, c);

    uint64_t now = 0; /* what the kernel has blocked for the handler: the mask of a sigsuspend() is still in it */
    raw(SYS_rt_sigprocmask, SIG_BLOCK, 0, (long)&now, sizeof now, 0, 0);

    uint64_t sp = c->regs[RSP] - 128;
    struct kernel_stack had = t->stack;
    if (!had.bytes) had.flags = SS_DISABLE;
    if ((a.sa_flags & SA_ONSTACK) && t->stack.bytes && !lies_in(&t->stack, c->regs[RSP])) sp = t->stack.sp + t->stack.bytes;
    if (t->stack.flags & (int)AUTODISARM) t->stack = (struct kernel_stack){0};

    struct kernel_frame frame = {.restorer = (uint64_t)a.sa_restorer, .context = *c};
    memcpy(frame.info, info, sizeof frame.info);
    frame.context.stack = had;
    frame.context.mask |= t->sigsys_blocked ? SIGSYS_MASK : 0;
    long error = 0;
    if (c->fpstate) {
        size_t bytes = loaded_fpstate_bytes(c->fpstate);
        sp = (sp - bytes) & -64ul;
        error = slate_copy((void *)sp, c->fpstate, bytes);
        frame.context.fpstate = (char *)sp;
    }
    sp = ((sp - sizeof frame) & -16ul) - 8;
    if (error == 0) error = slate_copy((void *)sp, &frame, sizeof frame);
    if (error) { /* no room for it: as the kernel does */
        end_by(SIGSEGV, c);
        return;
    }
    c->regs[RIP] = (uint64_t)a.sa_sigaction;
    c->regs[RSP] = sp;
    c->regs[RDI] = (uint64_t)sig;
    c->regs[RSI] = sp + offsetof(struct kernel_frame, info);
    c->regs[RDX] = sp + offsetof(struct kernel_frame, context);
    c->regs[RAX] = 0;
    c->regs[EFLAGS] &= ~(UINT64_C(1) << 10 | UINT64_C(1) << 16 | UINT64_C(1) << 8); /* DF, RF, TF */
    c->fpstate = NULL; /* the handler starts with fresh ones */
    c->mask = now & ~SIGSYS_MASK;
}

void loaded_sigreturn(struct task *t, struct kernel_ucontext *c) {
    struct kernel_ucontext from;
    if (slate_copy(&from, (void *)c->regs[RSP], sizeof from)) {
        end_by(SIGSEGV, c);
        return;
    }
    struct kernel_stack ours = c->stack;
    *c = from;
    c->stack = ours;
    c->mask &= ~SIGSYS_MASK;
    t->sigsys_blocked = from.mask & SIGSYS_MASK;
    if (from.stack.flags & SS_DISABLE) {
        t->stack = (struct kernel_stack){0};
    } else {
        t->stack = from.stack;
        t->stack.flags &= (int)AUTODISARM;
    }
}

/* On a thread that is Slate's just now, or always was. */
void slate_on_host(int sig, siginfo_t *info, void *context) {
    int saved = errno;
    signals_on_host(sig, info, context);
    rewrite_again(context);
    errno = saved;
}

long loaded_sigaction(const struct task *t, int sig, const struct kernel_sigaction *act, struct kernel_sigaction *old, size_t bytes) {
    struct kernel_sigaction wish, previous = {0};
    if (bytes != 8 || sig < 1 || sig >= _NSIG || (act && (sig == SIGKILL || sig == SIGSTOP))) return -EINVAL;
    if (act && slate_copy(&wish, act, sizeof wish)) return -EFAULT;
    if (sig == SIGSYS) {
        previous = sigsys;
        if (act && !t->borrowed) sigsys = wish;
    } else {
        struct sigaction next = {0}, had = {0};
        if (act) next = libcs(&wish);
        if (UNLIKELY(t->borrowed)) { /* the table is the parent's, the kernel's dispositions are not */
            signals_client_action(sig, &had);
            if (act && wish.handler <= 1) {
                struct kernel_sigaction plain = {.handler = wish.handler};
                raw(SYS_rt_sigaction, sig, (long)&plain, 0, 8, 0, 0);
            }
        } else if (sigaction(sig, act ? &next : NULL, &had) < 0) {
            return -errno;
        }
        previous.handler = (uint64_t)had.sa_sigaction;
        previous.flags = (uint32_t)had.sa_flags;
        previous.restorer = (uint64_t)had.sa_restorer;
        memcpy(&previous.mask, &had.sa_mask, 8);
    }
    return old && slate_copy(old, &previous, sizeof previous) ? -EFAULT : 0;
}

long loaded_sigaltstack(struct task *t, const struct kernel_stack *set, struct kernel_stack *old, uint64_t rsp) {
    struct kernel_stack next, had = t->stack;
    if (set && slate_copy(&next, set, sizeof next)) return -EFAULT;
    bool on = t->stack.bytes && lies_in(&t->stack, rsp);
    had.flags |= !t->stack.bytes ? SS_DISABLE : on ? SS_ONSTACK : 0;
    if (set) {
        int mode = next.flags & (int)~AUTODISARM;
        if (on) return -EPERM;
        if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0) return -EINVAL;
        if (mode == SS_DISABLE) {
            next = (struct kernel_stack){0};
        } else if (next.bytes < 2048) {
            return -ENOMEM;
        } else {
            next.flags &= (int)AUTODISARM;
        }
    }
    if (old && slate_copy(old, &had, sizeof had)) return -EFAULT;
    if (set) t->stack = next;
    return 0;
}
