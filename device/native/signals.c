/*
 * Signals. In the kernel a handler runs only after KVM_RUN has returned; here a handler that ran on top of Java frames could
 * longjmp, be cancelled or call KVM_RUN itself. So the kernel knows our wrapper instead of the client's handlers: on a thread
 * that is inside Slate it puts the signal back into the thread's queue, blocked, kicks the vCPU, and returns; the thread
 * unblocks it after it has left, and the kernel builds the frame that the client expects.
 *
 * The JVM's four fault signals have our handler in front, which mends the faults of slate_copy; then comes the JVM's, and the
 * client's by way of the interface of libjsig (JVM_get_signal_action), which this library provides.
 */
#include "slate.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <ucontext.h>

__thread struct thread self;

extern const char slate_copy_access[], slate_copy_failed[];

static inline uint64_t bit(int sig) {
    return UINT64_C(1) << (sig - 1);
}
static uint64_t change_mask(int how, uint64_t set) {
    uint64_t old = 0;
    raw(SYS_rt_sigprocmask, how, (long)&set, (long)&old, sizeof set, 0, 0);
    return old;
}

/* ---- What the client has asked for ---- */

static struct sigaction client[_NSIG]; /* valid where `wrapped` says so */
static atomic_uint versions[_NSIG];    /* odd while client[] changes */
static _Atomic uint64_t wrapped;       /* the kernel has our handler */
static _Atomic uint64_t kept;          /* ... although the client wants the default: KVM_SET_SIGNAL_MASK lets it through */
static struct sigaction jvm_actions[_NSIG];
static bool own_faults, own_traps;
static __thread uint64_t fault_mask; /* what the thread blocked where it faulted */

static const uint64_t FAULTS =
    UINT64_C(1) << (SIGSEGV - 1) | UINT64_C(1) << (SIGBUS - 1) | UINT64_C(1) << (SIGFPE - 1) | UINT64_C(1) << (SIGILL - 1);

static struct sigaction client_action(int sig) {
    struct sigaction a;
    unsigned before;
    do {
        before = atomic_load(&versions[sig]);
        a = client[sig];
        atomic_thread_fence(memory_order_acquire);
    } while ((before & 1) || before != atomic_load(&versions[sig]));
    return a;
}

/* The caller has blocked every signal. */
static void set_client_action(int sig, const struct sigaction *a) {
    unsigned v;
    do {
        v = atomic_load(&versions[sig]) & ~1u;
    } while (!atomic_compare_exchange_weak(&versions[sig], &v, v + 1));
    client[sig] = *a;
    atomic_store(&versions[sig], v + 2);
}

/*
 * Of a client that the loader brought in (loaded/): the handler that the kernel has in place of ours, on an alternate stack of
 * Slate's. It knows whose code a signal met, and calls signals_on_host() where that was Slate's.
 */
static void (*loaded_handler)(int, siginfo_t *, void *);

void signals_for_loaded(void (*handler)(int, siginfo_t *, void *)) {
    loaded_handler = handler;
}

static int libc_sigaction(int sig, const struct sigaction *act, struct sigaction *old) {
    if (LIKELY(!loaded_handler)) return REAL(sigaction)(sig, act, old);
    struct {
        void (*handler)(int, siginfo_t *, void *);
        uint64_t flags;
        void (*restorer)(void);
        uint64_t mask;
    } kernel, had; /* libc's own keeps two signals for itself, which the client's libc uses */
    if (act) {
        kernel.handler = act->sa_sigaction;
        kernel.flags = (uint32_t)act->sa_flags | 0x04000000 /* SA_RESTORER; the handler returns by itself */;
        kernel.restorer = (void (*)(void))loaded_handler;
        memcpy(&kernel.mask, &act->sa_mask, 8);
        kernel.mask &= ~bit(SIGSYS);
    }
    long r = raw(SYS_rt_sigaction, sig, act ? (long)&kernel : 0, (long)&had, 8, 0, 0);
    if (r == 0 && old) {
        memset(old, 0, sizeof *old);
        old->sa_sigaction = had.handler;
        old->sa_flags = (int)had.flags;
        old->sa_restorer = had.restorer;
        memcpy(&old->sa_mask, &had.mask, 8);
    }
    return (int)result(r);
}

/* Does what the kernel does for a signal without a handler, on return from the wrapper. */
static void default_action(int sig, ucontext_t *context) {
    if (sig == SIGCHLD || sig == SIGURG || sig == SIGWINCH || sig == SIGCONT) return;
    if (sig != SIGTSTP && sig != SIGTTIN && sig != SIGTTOU) end_of_client();
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    libc_sigaction(sig, &dfl, NULL);
    raw(SYS_tgkill, getpid(), raw(SYS_gettid, 0, 0, 0, 0, 0, 0), sig, 0, 0, 0);
    sigdelset(&context->uc_sigmask, sig);
}

static void run_client_handler(int sig, siginfo_t *info, void *context) {
    struct sigaction a = client_action(sig);
    if (a.sa_handler == SIG_IGN) return;
    if (a.sa_handler == SIG_DFL || loaded_handler) { /* a loaded client's handlers never run on top of Slate */
        default_action(sig, context);
        return;
    }
    if (a.sa_flags & SA_RESETHAND) {
        struct sigaction dfl = {.sa_handler = SIG_DFL};
        sigaction(sig, &dfl, NULL);
    }
    if (a.sa_flags & SA_NODEFER) change_mask(SIG_UNBLOCK, bit(sig));
    if (a.sa_flags & SA_SIGINFO) {
        a.sa_sigaction(sig, info, context);
    } else {
        a.sa_handler(sig);
    }
}

/* Blocked from here on, until release_held() or the end of KVM_RUN's own mask. */
static void hold(int sig, siginfo_t *info, ucontext_t *context) {
    uint64_t mask; /* as the kernel has it: libc's functions leave two signals alone */
    memcpy(&mask, &context->uc_sigmask, sizeof mask);
    mask |= bit(sig);
    memcpy(&context->uc_sigmask, &mask, sizeof mask);
    self.held |= bit(sig);
    raw(SYS_rt_tgsigqueueinfo, getpid(), raw(SYS_gettid, 0, 0, 0, 0, 0, 0), sig, (long)info, 0, 0);
    if (self.scratch) mailbox_signal(&self);
}

static void wrapper(int sig, siginfo_t *info, void *context) {
    int saved = errno;
    if (self.depth) {
        hold(sig, info, context);
    } else {
        run_client_handler(sig, info, context);
    }
    errno = saved;
}

COLD void release_held(void) {
    uint64_t held = self.held;
    if (loaded_handler) return; /* the client's mask comes back with its context */
    self.held = 0;
    atomic_signal_fence(memory_order_seq_cst);
    change_mask(SIG_UNBLOCK, held); /* delivered here */
}

/*
 * Translated guest code: memory that a guest's access meets may have lost its page behind everybody's back (a file that was cut
 * short). Written by Java threads one at a time, read in handlers: a range counts from when its end is stored.
 */
static struct {
    _Atomic(uintptr_t) start, end, resume;
} code_ranges[1024];

int code_range_add(uintptr_t start, uintptr_t end, uintptr_t resume) {
    for (int i = 0; i < 1024; i++) {
        uintptr_t none = 0;
        if (atomic_load(&code_ranges[i].end) || !atomic_compare_exchange_strong(&code_ranges[i].start, &none, start)) continue;
        atomic_store(&code_ranges[i].resume, resume);
        atomic_store(&code_ranges[i].end, end);
        return 0;
    }
    return -ENOMEM;
}

void code_range_remove(uintptr_t start) {
    for (int i = 0; i < 1024; i++) {
        if (atomic_load(&code_ranges[i].start) != start) continue;
        atomic_store(&code_ranges[i].end, 0);
        atomic_store(&code_ranges[i].start, 0);
    }
}

static uintptr_t resume_of(uintptr_t rip) {
    for (int i = 0; i < 1024; i++) {
        uintptr_t end = atomic_load(&code_ranges[i].end);
        if (rip < end && rip >= atomic_load(&code_ranges[i].start)) return atomic_load(&code_ranges[i].resume);
    }
    return 0;
}

/*
 * A thread may have taken CPUID or the TSC from itself (ARCH_SET_CPUID, PR_SET_TSC), and Java executes both. KVM works for the thread in
 * the kernel, where that does not count: here each such instruction is given the right for itself alone.
 */
COLD static bool stands_in(greg_t *r) {
    const uint8_t *code = (const uint8_t *)r[REG_RIP];
    uint32_t a = (uint32_t)r[REG_RAX], b, c = (uint32_t)r[REG_RCX], d;
    if (code[0] != 0x0f) return false;
    bool rdtsc = code[1] == 0x31, rdtscp = code[1] == 0x01 && code[2] == 0xf9;
    if (code[1] == 0xa2) {
        if (raw(SYS_arch_prctl, ARCH_SET_CPUID, 1, 0, 0, 0, 0) < 0) return false;
        __cpuid_count(a, c, a, b, c, d);
        raw(SYS_arch_prctl, ARCH_SET_CPUID, 0, 0, 0, 0, 0);
        r[REG_RBX] = b;
        r[REG_RCX] = c;
    } else if (rdtsc || rdtscp) {
        if (raw(SYS_prctl, PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0, 0) < 0) return false;
        __asm__ volatile("rdtscp" : "=a"(a), "=d"(d), "=c"(c));
        raw(SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0, 0);
        if (rdtscp) r[REG_RCX] = c;
    } else {
        return false;
    }
    r[REG_RAX] = a;
    r[REG_RDX] = d;
    r[REG_RIP] += rdtscp ? 3 : 2;
    return true;
}

static void fault(int sig, siginfo_t *info, void *context) {
    ucontext_t *u = context;
    greg_t *rip = &u->uc_mcontext.gregs[REG_RIP];
    if (sig == SIGSEGV && info->si_code == SI_KERNEL && (self.depth || self.jvm_thread) && stands_in(u->uc_mcontext.gregs)) return;
    uintptr_t resume = info->si_code > 0 ? resume_of((uintptr_t)*rip) : 0;
    if (resume) {
        u->uc_mcontext.gregs[REG_RAX] = *rip;
        *rip = (greg_t)resume;
        return;
    }
    if (*rip == (greg_t)slate_copy_access) {
        *rip = (greg_t)slate_copy_failed;
        return;
    }
    if (info->si_code <= 0) { /* sent by kill(): a signal like any other */
        wrapper(sig, info, context);
        return;
    }
    int saved = errno;
    memcpy(&fault_mask, &u->uc_sigmask, sizeof fault_mask);
    if (jvm_actions[sig].sa_sigaction) {
        uintptr_t sp = (uintptr_t)u->uc_mcontext.gregs[REG_RSP], here = (uintptr_t)__builtin_frame_address(0);
        bool elsewhere = self.on_stack && sp - (uintptr_t)self.stack < STACK_BYTES && here - (uintptr_t)self.stack >= STACK_BYTES;
        if (elsewhere) { /* on the client's signal stack, which may be too small for the JVM's handler */
            slate_switch(sig, (long)info, (long)context, (void *)jvm_actions[sig].sa_sigaction, sp - 256);
        } else {
            jvm_actions[sig].sa_sigaction(sig, info, context);
        }
    } else {
        run_client_handler(sig, info, context);
    }
    errno = saved;
}

/* By the kernel, whose call (process_vm_readv or _writev) says what is not there. */
static long copy_early(long call, void *to, const void *from, const void *client, size_t bytes) {
    if (LIKELY(own_faults)) return slate_copy(to, from, bytes);
    if (seccomp_allows(call)) {
        const struct iovec here = {client == to ? (void *)from : to, bytes}, there = {(void *)client, bytes};
        long n = raw(call, getpid(), (long)&here, 1, (long)&there, 1, 0);
        if (n != -ENOSYS && n != -EPERM) return n == (long)bytes ? 0 : -EFAULT;
    }
    memcpy(to, from, bytes);
    return 0;
}
long slate_read(void *to, const void *client, size_t bytes) {
    return copy_early(SYS_process_vm_readv, to, client, client, bytes);
}
long slate_give(void *client, const void *from, size_t bytes) {
    return copy_early(SYS_process_vm_writev, client, from, client, bytes);
}

/* The fence has stopped a request of KVM's that was made by a system call of the client's own (exec.c). */
static void trap(int sig, siginfo_t *info, void *context) {
    int saved = errno;
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    bool fence = info->si_code == 1 /* SYS_SECCOMP */ && info->si_errno == FENCE;
    if (fence && info->si_syscall == SYS_ioctl && info->si_arch == AUDIT_ARCH_X86_64) {
        r[REG_RAX] = door_request((int)r[REG_RDI], (unsigned long)r[REG_RSI], (long)r[REG_RDX]);
    } else if (fence) { /* int 0x80, or x32 */
        slate_say("a KVM request by the kernel's entry for other programs (32-bit, x32) is refused: Slate carries those of x86-64.");
        r[REG_RAX] = -ENOSYS;
    } else {
        run_client_handler(sig, info, context);
    }
    errno = saved;
}

/* Tells the kernel what fits the client's wish. The caller has blocked every signal. */
static int install(int sig, const struct sigaction *a, struct sigaction *old) {
    struct sigaction ours = *a;
    bool handler = a->sa_handler != SIG_DFL && a->sa_handler != SIG_IGN;
    if (own_faults && (FAULTS & bit(sig))) {
        ours.sa_sigaction = fault;
        ours.sa_flags = SA_SIGINFO | (a->sa_flags & (SA_RESTART | SA_ONSTACK));
        handler = true;
    } else if (own_traps && sig == SIGSYS) {
        ours.sa_sigaction = trap;
        ours.sa_flags = SA_SIGINFO | SA_NODEFER | (a->sa_flags & (SA_RESTART | SA_ONSTACK));
        sigemptyset(&ours.sa_mask);
        handler = true;
    } else if (handler || (a->sa_handler == SIG_DFL && (atomic_load(&kept) & bit(sig)))) {
        ours.sa_sigaction = wrapper;
        ours.sa_flags = (a->sa_flags & ~(SA_NODEFER | SA_RESETHAND)) | SA_SIGINFO;
        handler = true;
    }
    if (handler && loaded_handler) {
        ours.sa_sigaction = loaded_handler;
        ours.sa_flags |= SA_ONSTACK | (a->sa_flags & SA_NODEFER);
    }
    struct sigaction previous;
    bool had = atomic_load(&wrapped) & bit(sig);
    if (had) previous = client_action(sig);
    if (handler) {
        set_client_action(sig, a);
        atomic_fetch_or(&wrapped, bit(sig));
    }
    struct sigaction kernel_had;
    int error = libc_sigaction(sig, &ours, &kernel_had);
    if (error == 0 && !handler) atomic_fetch_and(&wrapped, ~bit(sig));
    if (error == 0 && old) *old = had ? previous : kernel_had;
    return error;
}

/* A signal of a loaded client's process that met Slate's own code. */
void signals_on_host(int sig, siginfo_t *info, void *context) {
    if (own_faults && (FAULTS & bit(sig)) && info->si_code > 0) {
        fault(sig, info, context);
    } else {
        hold(sig, info, context);
    }
}

/* What a loaded client has asked for. */
void signals_client_action(int sig, struct sigaction *out) {
    memset(out, 0, sizeof *out);
    if (atomic_load(&wrapped) & bit(sig)) {
        *out = client_action(sig);
    } else {
        libc_sigaction(sig, NULL, out);
    }
}

void signals_default_action(int sig, void *context) {
    default_action(sig, context);
}

/* What the JVM asks for: it gets the four fault signals; the others stay the client's. */
int jvm_sigaction(int sig, const struct sigaction *act, struct sigaction *old) {
    if (old) memset(old, 0, sizeof *old);
    if (old && jvm_actions[sig].sa_sigaction) *old = jvm_actions[sig];
    if (act) jvm_actions[sig] = *act;
    return 0;
}

PUBLIC int sigaction(int sig, const struct sigaction *act, struct sigaction *old) {
    if (sig < 1 || sig >= _NSIG || sig == SIGKILL || sig == SIGSTOP) return libc_sigaction(sig, act, old);
    if (!act) {
        if (!(atomic_load(&wrapped) & bit(sig))) return libc_sigaction(sig, NULL, old);
        if (old) *old = client_action(sig);
        return 0;
    }
    struct sigaction wish, previous; /* the pointers may be bad: touch them while faults are still the client's own */
    wish = *act;
    uint64_t mask = change_mask(SIG_BLOCK, ~FAULTS);
    int error = install(sig, &wish, &previous);
    change_mask(SIG_SETMASK, mask);
    if (error == 0 && old) *old = previous;
    return error;
}

static uint64_t interrupting; /* siginterrupt(): signals whose handlers do not restart calls */

static sighandler_t simple_signal(int sig, sighandler_t handler, int flags) {
    struct sigaction act = {.sa_handler = handler, .sa_flags = flags}, old;
    if (handler == SIG_ERR || sig < 1 || sig >= _NSIG) {
        errno = EINVAL;
        return SIG_ERR;
    }
    if (!(flags & SA_NODEFER)) sigaddset(&act.sa_mask, sig);
    if (interrupting & bit(sig)) act.sa_flags &= ~SA_RESTART;
    return sigaction(sig, &act, &old) < 0 ? SIG_ERR : old.sa_handler;
}

PUBLIC sighandler_t signal(int sig, sighandler_t handler) {
    return simple_signal(sig, handler, SA_RESTART);
}
PUBLIC sighandler_t bsd_signal(int, sighandler_t) __attribute__((alias("signal")));
PUBLIC sighandler_t ssignal(int, sighandler_t) __attribute__((alias("signal")));
PUBLIC sighandler_t __sysv_signal(int sig, sighandler_t handler) {
    return simple_signal(sig, handler, SA_RESETHAND | SA_NODEFER);
}
PUBLIC sighandler_t sysv_signal(int, sighandler_t) __attribute__((alias("__sysv_signal")));

PUBLIC int siginterrupt(int sig, int interrupt) {
    struct sigaction a;
    if (sigaction(sig, NULL, &a) < 0) return -1;
    interrupting = interrupt ? interrupting | bit(sig) : interrupting & ~bit(sig);
    a.sa_flags = interrupt ? a.sa_flags & ~SA_RESTART : a.sa_flags | SA_RESTART;
    return sigaction(sig, &a, NULL);
}

/* ---- The JVM's side ---- */

void signals_own_faults(void) {
    uint64_t mask = change_mask(SIG_BLOCK, ~FAULTS);
    own_faults = true;
    for (int sig = 1; sig < 32; sig++) {
        if (!(FAULTS & bit(sig))) continue;
        struct sigaction now;
        sigaction(sig, NULL, &now);
        install(sig, &now, NULL);
    }
    change_mask(SIG_SETMASK, mask);
}

void signals_own_traps(void) {
    struct sigaction now;
    own_traps = true;
    sigaction(SIGSYS, NULL, &now);
    sigaction(SIGSYS, &now, NULL);
}

PUBLIC void JVM_begin_signal_setting(void) {}
PUBLIC void JVM_end_signal_setting(void) {}

/* The JVM could not use a fault. On a client's thread outside Slate it is the client's own; else it is a bug for hs_err. */
PUBLIC struct sigaction *JVM_get_signal_action(int sig) {
    static struct sigaction to_client = {.sa_sigaction = run_client_handler, .sa_flags = SA_SIGINFO | SA_NODEFER};
    static struct sigaction none = {.sa_handler = SIG_DFL};
    if (sig < 1 || sig >= _NSIG) return NULL;
    /* The JVM's own threads were born with every signal blocked. */
    uint64_t all = bit(SIGUSR1) | bit(SIGTERM) | bit(SIGINT) | bit(SIGALRM);
    bool jvm_thread = !self.env && (fault_mask & all) == all;
    return self.depth || jvm_thread ? &none : &to_client;
}

/* ---- KVM_SET_SIGNAL_MASK ---- */

/*
 * A signal that the thread blocks and the vCPU's mask lets through only interrupts KVM_RUN: it stays pending, and its default
 * action (which may be to end the process) is not taken. That needs a handler of ours for the time.
 */
COLD static void keep(uint64_t signals) {
    uint64_t mask = change_mask(SIG_BLOCK, ~FAULTS);
    atomic_fetch_or(&kept, signals);
    for (int sig = 1; sig < _NSIG; sig++) {
        if (!(signals & bit(sig)) || sig == SIGKILL || sig == SIGSTOP || sig == 32 || sig == 33) continue;
        struct sigaction now;
        sigaction(sig, NULL, &now);
        if (now.sa_handler == SIG_DFL) install(sig, &now, NULL);
    }
    change_mask(SIG_SETMASK, mask);
}

void signals_keep_ends(void) {
    keep(bit(SIGTERM) | bit(SIGINT) | bit(SIGHUP) | bit(SIGQUIT) | bit(SIGALRM) | bit(SIGUSR1) | bit(SIGUSR2) | bit(SIGPIPE) | bit(SIGXCPU));
}

uint64_t signals_begin_run(uint64_t run_mask) {
    uint64_t old = change_mask(SIG_BLOCK, 0);
    uint64_t opened = old & ~run_mask & ~atomic_load(&kept);
    if (UNLIKELY(opened)) keep(opened);
    change_mask(SIG_SETMASK, run_mask & ~FAULTS);
    return old;
}

void signals_end_run(uint64_t old) {
    self.held &= ~old; /* what the thread itself blocks stays pending, for sigwait() and its like */
    change_mask(SIG_SETMASK, old | self.held);
}

/* ---- pthread_cancel: never on top of Java frames ---- */

struct registration {
    pthread_t id;
    struct thread *thread;
    struct registration *next;
};
static struct registration *registrations;
static pthread_mutex_t registrations_lock = PTHREAD_MUTEX_INITIALIZER;

void signals_register(void) {
    static __thread struct registration own; /* the client's heap stays as it is */
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    struct registration *r = &own;
    r->id = pthread_self();
    r->thread = &self;
    pthread_mutex_lock(&registrations_lock);
    r->next = registrations;
    registrations = r;
    pthread_mutex_unlock(&registrations_lock);
    self.registration = r;
    jvm_at_thread_exit();
    pthread_setcancelstate(cancel, NULL);
}

void signals_unregister(void) {
    pthread_mutex_lock(&registrations_lock);
    for (struct registration **p = &registrations; *p; p = &(*p)->next) {
        if (*p == self.registration) {
            *p = self.registration->next;
            break;
        }
    }
    pthread_mutex_unlock(&registrations_lock);
    self.registration = NULL;
}

/* A full barrier on every thread of the process: the hot side of what follows has none of its own. */
static void barrier_everywhere(void) {
    if (raw(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0) < 0) {
        raw(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0);
        raw(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0);
    }
}

/*
 * Dekker twice: with the entry of an ioctl, where the target stores `serving` and loads `cancel_seen`, we store `cancel_seen` and load
 * `serving`; and with its KVM_RUN, which stores `kick` and loads `signalled` (VcpuFile), the other way round.
 */
PUBLIC int pthread_cancel(pthread_t id) {
    enter();
    pthread_mutex_lock(&registrations_lock);
    struct registration *r = registrations;
    while (r && !pthread_equal(r->id, id)) r = r->next;
    bool inside = false;
    if (r && r->thread != &self) {
        __atomic_store_n(&r->thread->cancel_seen, 1, __ATOMIC_SEQ_CST);
        barrier_everywhere();
        inside = __atomic_load_n(&r->thread->serving, __ATOMIC_SEQ_CST);
        if (inside && r->thread->scratch) {
            atomic_store(&mailbox_of(r->thread)->signalled, 1);
            barrier_everywhere();
            _Atomic int32_t *kick = mailbox_signal(r->thread);
            if (kick) raw(SYS_futex, (long)kick, FUTEX_WAKE_PRIVATE, INT32_MAX, 0, 0, 0);
        }
    }
    pthread_mutex_unlock(&registrations_lock);
    leave();
    return inside ? 0 : REAL(pthread_cancel)(id);
}

/* Entering although a cancellation has been asked for: it waits. Returns the state to give back. */
COLD int signals_enter_cancelled(void) {
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

/* The thread has left: it cancels itself, at once when its type is asynchronous. */
COLD void signals_leave_cancelled(int state) {
    self.cancel_seen = 0;
    REAL(pthread_cancel)(pthread_self());
    pthread_setcancelstate(state, NULL);
}

/* The other threads are not in the child. */
void signals_in_child(void) {
    pthread_mutex_init(&registrations_lock, NULL);
    registrations = NULL;
    self.registration = NULL;
}
