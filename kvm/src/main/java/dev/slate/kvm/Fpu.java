package dev.slate.kvm;

/**
 * The x87 and SSE registers of a vCPU ({@code struct kvm_fpu}).
 *
 * <p>A plain carrier. Not thread-safe.
 */
public final class Fpu {
    /** st(0)..st(7), 16 bytes each, ten of them used, as FXSAVE stores them. */
    public final byte[] fpr = new byte[128];

    /** 16 bits. */
    public int fcw;
    /** 16 bits, TOP in bits 11-13. */
    public int fsw;
    /** The abridged tag word of FXSAVE: one bit a physical register, 1 = valid. */
    public int ftwx;

    public int lastOpcode;
    public long lastIp;
    public long lastDp;
    /** xmm0..xmm15, 16 bytes each. */
    public final byte[] xmm = new byte[256];

    public int mxcsr;

    /** All zero. */
    public Fpu() {}
}
