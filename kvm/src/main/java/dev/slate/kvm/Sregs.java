package dev.slate.kvm;

import dev.slate.cpu.CpuState;

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

    /**
     * Makes these the registers of a processor in 64-bit mode with flat segments, at privilege 0, with no descriptor tables: CR0 = PG, NE,
     * ET, PE; CR4 = PAE, OSFXSR; EFER = LMA, LME.
     *
     * @param pml4 guest physical address of the page tables' root, a multiple of 4096
     */
    public void setFlat64(long pml4) {
        cr0 = CpuState.CR0_PG | CpuState.CR0_NE | CpuState.CR0_ET | CpuState.CR0_PE;
        cr3 = pml4;
        cr4 = CpuState.CR4_PAE | CpuState.CR4_OSFXSR;
        efer = CpuState.EFER_LMA | CpuState.EFER_LME;
        setFlat(1);
    }

    /**
     * Makes these the registers of a processor in 32-bit protected mode with flat segments, at privilege 0, without paging and with no
     * descriptor tables: CR0 = NE, ET, PE; CR4 and EFER = 0.
     */
    public void setFlat32() {
        cr0 = CpuState.CR0_NE | CpuState.CR0_ET | CpuState.CR0_PE;
        cr4 = 0;
        efer = 0;
        setFlat(0);
    }

    private void setFlat(int wide) {
        flat(cs, 8, 11, wide, 1 - wide);
        flat(ds, 16, 3, 0, 1);
        flat(es, 16, 3, 0, 1);
        flat(fs, 16, 3, 0, 1);
        flat(gs, 16, 3, 0, 1);
        flat(ss, 16, 3, 0, 1);
    }

    private static void flat(Segment segment, int selector, int type, int l, int db) {
        segment.base = 0;
        segment.limit = -1;
        segment.selector = selector;
        segment.type = type;
        segment.present = 1;
        segment.dpl = 0;
        segment.s = 1;
        segment.l = l;
        segment.db = db;
        segment.g = 1;
        segment.unusable = 0;
    }

    /** All zero. */
    public Sregs() {}
}
