package dev.slate.cpu;

import dev.slate.cpu.mmu.Tlb;

/**
 * Whose translations the processor uses: the guest's, or those of the guest's guest, which are kept while the other runs. Of the processor's
 * thread only, while no guest code runs.
 */
public final class World {
    private final Cpu cpu;
    private int number;
    private boolean nestedInvalidated;

    World(Cpu cpu) {
        this.cpu = cpu;
    }

    /** 1 while a guest's guest runs, else 0. */
    public int number() {
        return number;
    }

    /** The TLB's space that a CR3 value names, in the world in use: none but that of PCID 0 without PCIDs. */
    int space(long cr3) {
        return Tlb.space((cpu.s.cr4 & CpuState.CR4_PCIDE) != 0 ? (int) cr3 & 0xfff : 0, number);
    }

    /** Goes on in the space that the state's CR3 names. */
    void enterSpace() {
        cpu.tlb.enter(space(cpu.s.cr3));
        cpu.walker.flush();
    }

    /**
     * Goes on as the guest's guest or as the guest, whose state is there: with the translations that are held of it, unless
     * {@link #forgetNested} or {@link Cpu#flushTlb} have been called since. No serializing event: VMRUN and #VMEXIT are none (APM 2 7.6.4), and
     * what was proved of the world's code still is unless one has come since.
     */
    public void enter(boolean nested) {
        number = nested ? 1 : 0;
        enterSpace();
        cpu.modeChanged();
    }

    /** Drops every translation of a guest's guest: it has another ASID, or its hypervisor wants them flushed. */
    public void forgetNested() {
        nestedInvalidated = false;
        cpu.tlb.flushWorld(1);
        cpu.serialize();
    }

    /** Whether the guest has executed INVLPGA since {@link #forgetNested}. */
    public boolean nestedInvalidated() {
        return nestedInvalidated;
    }

    /** INVLPGA, whatever ASID it names: that of the guest's guest is not known here. */
    public void invlpga(long la) {
        nestedInvalidated = true;
        cpu.invlpg(la);
    }
}
