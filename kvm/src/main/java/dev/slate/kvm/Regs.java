package dev.slate.kvm;

/**
 * The general registers of a vCPU (KVM document 4.11, {@code struct kvm_regs}), in that structure's order.
 *
 * <p>A plain carrier, reused by callers that do not want garbage. Not thread-safe.
 */
public final class Regs {
    public long rax;
    public long rbx;
    public long rcx;
    public long rdx;
    public long rsi;
    public long rdi;
    public long rsp;
    public long rbp;
    public long r8;
    public long r9;
    public long r10;
    public long r11;
    public long r12;
    public long r13;
    public long r14;
    public long r15;
    public long rip;
    /** Bit 1 always reads as one. */
    public long rflags;

    /** All zero. */
    public Regs() {}
}
