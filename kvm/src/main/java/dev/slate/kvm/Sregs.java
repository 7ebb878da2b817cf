package dev.slate.kvm;

/**
 * The special registers of a vCPU (KVM document 4.13, {@code struct kvm_sregs}).
 *
 * <p>A plain carrier. Not thread-safe.
 */
public final class Sregs {
    public final Segment cs = new Segment();
    public final Segment ds = new Segment();
    public final Segment es = new Segment();
    public final Segment fs = new Segment();
    public final Segment gs = new Segment();
    public final Segment ss = new Segment();
    public final Segment tr = new Segment();
    public final Segment ldt = new Segment();
    public long gdtBase;
    /** 16 bits. */
    public int gdtLimit;

    public long idtBase;
    /** 16 bits. */
    public int idtLimit;

    public long cr0;
    public long cr2;
    public long cr3;
    public long cr4;
    /** Task priority, 0..15. */
    public long cr8;

    public long efer;
    public long apicBase;
    /** One bit an external interrupt that is being injected; at most one is set. */
    public final long[] interruptBitmap = new long[4];

    /** All zero. */
    public Sregs() {}
}
