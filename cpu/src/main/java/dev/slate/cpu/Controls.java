package dev.slate.cpu;

/**
 * What the hypervisor asks of a processor, as the VMCB's control area does (APM 2 15.5.1). Written by the processor's thread while
 * no guest code runs, or from a call of {@link Hypervisor}.
 */
public final class Controls {
    /** Whether the guest's tables and, below them, nested ones are walked; else the hypervisor's alone ({@code Walker.shadowRoot}). */
    public boolean nestedPaging = true;

    /** {@link CpuExit#IRQ_WINDOW} is wanted as soon as an interrupt could be taken. */
    public boolean irqWindow;

    /** {@link CpuExit#NMI_WINDOW} is wanted as soon as an NMI could be taken: no NMI is blocked, and no shadow is on. */
    public boolean nmiWindow;

    /** Vectors ({@code 1 << vector}; #DB and #BP) that leave with {@link CpuExit#DEBUG} instead of being delivered (KVM_SET_GUEST_DEBUG). */
    public int interceptedVectors;

    /** Single-step at the hypervisor's wish, hidden from the guest: {@link CpuExit#DEBUG} after each instruction. */
    public boolean singleStep;

    /** No other processor runs, so that an operation which the host cannot do at once may be done in parts; see {@link CpuExit#BUS_LOCK}. */
    public boolean ownsBus;

    /** CR4 bits that the guest may set: what CPUID offers. A write of another raises #GP(0). */
    public long cr4Allowed = CpuState.CR4_VME
            | CpuState.CR4_PVI
            | CpuState.CR4_TSD
            | CpuState.CR4_DE
            | CpuState.CR4_PSE
            | CpuState.CR4_PAE
            | CpuState.CR4_MCE
            | CpuState.CR4_PGE
            | CpuState.CR4_PCE
            | CpuState.CR4_OSFXSR
            | CpuState.CR4_OSXMMEXCPT
            | CpuState.CR4_UMIP
            | CpuState.CR4_LA57
            | CpuState.CR4_FSGSBASE
            | CpuState.CR4_PCIDE
            | CpuState.CR4_OSXSAVE
            | CpuState.CR4_SMEP
            | CpuState.CR4_SMAP
            | CpuState.CR4_PKE;

    /**
     * A null selector that is loaded into ES, DS, FS or GS leaves base and limit as they were: AMD's processors, but for those that say
     * otherwise in CPUID 8000_0021h (NullSelectorClearsBase).
     */
    public boolean nullKeepsBase;

    Controls() {}
}
