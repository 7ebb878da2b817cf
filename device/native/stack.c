/*
 * Java runs on a stack of Slate's own for each of the client's threads, never on the client's: that one may be a coroutine's, a
 * signal's, or four pages. libjvm is told of it as the thread's stack, so its guard zones and its checks are all there.
 */
#include "slate.h"

#include <pthread.h>

enum { COLOUR = 640, GUARD_BYTES = 16 * 4096, THREAD_BYTES = (SCRATCH_BYTES + COLOUR + sizeof(struct mailbox) + 4095) & -4096 };

bool stack_map(void) {
    long at = raw(SYS_mmap, 0, GUARD_BYTES + STACK_BYTES + THREAD_BYTES, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (at < 0 && at >= -4095) return false;
    raw(SYS_mprotect, at, GUARD_BYTES, PROT_NONE, 0, 0, 0);
    self.stack = (char *)at + GUARD_BYTES;
    self.scratch = self.stack + STACK_BYTES + COLOUR;
    return true;
}

void stack_unmap(void) {
    char *stack = self.stack;
    self.scratch = NULL; /* the wrapper of signals looks at it */
    self.stack = NULL;
    atomic_signal_fence(memory_order_seq_cst);
    if (stack) raw(SYS_munmap, (long)(stack - GUARD_BYTES), GUARD_BYTES + STACK_BYTES + THREAD_BYTES, 0, 0, 0, 0);
}

static inline bool is_inside(const void *p) {
    return (uintptr_t)p - (uintptr_t)self.stack < STACK_BYTES;
}

enum { RFLAGS_AC = 1 << 18 };

/* A client may have its accesses checked for alignment (SDM Vol. 3, 7.15); Java's are at any address. */
static long switched(long (*f)(void *), void *argument) {
    unsigned long long flags = __builtin_ia32_readeflags_u64();
    if (UNLIKELY(flags & RFLAGS_AC)) __builtin_ia32_writeeflags_u64(flags & ~(unsigned long long)RFLAGS_AC);
    self.on_stack = true;
    long r = slate_switch((long)argument, 0, 0, (void *)f, (uintptr_t)self.stack + STACK_BYTES);
    self.on_stack = false;
    if (UNLIKELY(flags & RFLAGS_AC)) __builtin_ia32_writeeflags_u64(flags);
    return r;
}

struct call {
    long (*f)(void *);
    void *argument;
};

/*
 * The client is in a handler on its signal stack. To the kernel we would have left that, and the next handler would begin at its
 * top, on the client's frames: so there is none for the time.
 */
COLD static long without_signal_stack(void *call) {
    const struct call *c = call;
    stack_t none = {.ss_flags = SS_DISABLE}, old;
    long changed = raw(SYS_sigaltstack, (long)&none, (long)&old, 0, 0, 0, 0);
    long r = c->f(c->argument);
    old.ss_flags &= ~SS_ONSTACK;
    if (changed == 0) raw(SYS_sigaltstack, (long)&old, 0, 0, 0, 0, 0);
    return r;
}

COLD static long from_unknown_stack(long (*f)(void *), void *argument, uintptr_t sp) {
    stack_t now;
    if (self.signal_stack && raw(SYS_sigaltstack, 0, (long)&now, 0, 0, 0, 0) == 0 && now.ss_flags & SS_ONSTACK) {
        struct call call = {f, argument};
        return switched(without_signal_stack, &call);
    }
    self.plain_sp = sp;
    return switched(f, argument);
}

HOT long on_java_stack(long (*f)(void *), void *argument) {
    if (UNLIKELY(self.on_stack) || UNLIKELY(!self.stack)) return f(argument);
    uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
    if (UNLIKELY(sp != self.plain_sp)) return from_unknown_stack(f, argument, sp);
    return switched(f, argument);
}

int jvm_getattr(unsigned long thread, void *attributes) {
    pthread_attr_t *a = attributes;
    if (!self.on_stack || !pthread_equal(thread, pthread_self())) return REAL(pthread_getattr_np)(thread, a);
    pthread_attr_init(a);
    pthread_attr_setguardsize(a, 0);
    return pthread_attr_setstack(a, self.stack, STACK_BYTES);
}

/* Zones at the end of a Java stack need a call that a client's filter may forbid; behind them there are pages without access. */
int jvm_mprotect(void *start, size_t bytes, int protection) {
    if (UNLIKELY(seccomp_filtered()) && is_inside(start) && !seccomp_allows(SYS_mprotect)) return 0;
    return (int)result(raw(SYS_mprotect, (long)start, (long)bytes, protection, 0, 0, 0));
}
