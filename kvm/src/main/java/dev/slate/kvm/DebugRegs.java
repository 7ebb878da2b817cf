package dev.slate.kvm;

/**
 * The debug registers of a vCPU ({@code struct kvm_debugregs}).
 *
 * <p>A plain carrier. Not thread-safe.
 */
public final class DebugRegs {
    public final long[] db = new long[4];
    public long dr6;
    public long dr7;
    /** Must be 0. */
    public long flags;

    /** All zero. */
    public DebugRegs() {}
}
