package dev.slate.kvm.cpuid;

import dev.slate.cpu.CpuState;

/**
 * The features of CPUID that a guest can be offered, one a row: the instructions, CR4 bits and EFER bits that come with each, and what
 * becomes of the instructions when the client's CPUID lacks a feature that the processor has.
 *
 * <p>CPUID is a table that the client writes and the processor never reads. What it lacks is refused only where KVM 6.1 can make
 * silicon refuse it:
 *
 * <ul>
 *   <li>the vendor has an intercept or an execution control for the instruction and KVM uses it: #UD ({@code unless}; AMD's first, then
 *       Intel's);
 *   <li>the feature's bit of CR4 can't be set then (#GP), and without it the instructions are #UD ({@code needs}); STAC and CLAC do not
 *       need theirs;
 *   <li>its bits of EFER can't be set then (#GP);
 *   <li>an MSR is read and written by KVM: {@link dev.slate.kvm.msr.MsrGate};
 *   <li>AVX has no intercept: it needs XCR0[2], which a guest can set as leaf Dh offers it, whatever leaf 1 says.
 * </ul>
 *
 * <p>Everything else runs whatever CPUID says: AES, BMI, MOVBE, SHA ... A vCPU without any CPUID lacks every feature for the intercepts,
 * and may set every bit of CR4 that the machine has (as in KVM, where only KVM_SET_CPUID2 computes them).
 */
public enum FeatureRule {
    FPU(Feature.FPU, dev.slate.cpu.decode.Feature.FPU),
    CX8(Feature.CX8, dev.slate.cpu.decode.Feature.CX8),
    CMOV(Feature.CMOV, dev.slate.cpu.decode.Feature.CMOV),
    MMX(Feature.MMX, dev.slate.cpu.decode.Feature.MMX),
    FXSR(Feature.FXSR, dev.slate.cpu.decode.Feature.FXSR),
    SSE(Feature.SSE, dev.slate.cpu.decode.Feature.SSE),
    SSE2(Feature.SSE2, dev.slate.cpu.decode.Feature.SSE2),
    SSE3(Feature.SSE3, dev.slate.cpu.decode.Feature.SSE3),
    SSSE3(Feature.SSSE3, dev.slate.cpu.decode.Feature.SSSE3),
    SSE4_1(Feature.SSE4_1, dev.slate.cpu.decode.Feature.SSE4_1),
    SSE4_2(Feature.SSE4_2, dev.slate.cpu.decode.Feature.SSE4_2),
    POPCNT(Feature.POPCNT, dev.slate.cpu.decode.Feature.POPCNT),
    CX16(Feature.CX16, dev.slate.cpu.decode.Feature.CX16),
    LAHF_LM(Feature.LAHF_LM, dev.slate.cpu.decode.Feature.LAHF_LM),
    SYSCALL(Feature.SYSCALL, dev.slate.cpu.decode.Feature.SYSCALL),
    SEP(Feature.SEP, dev.slate.cpu.decode.Feature.SEP),
    CLFLUSH(Feature.CLFLUSH, dev.slate.cpu.decode.Feature.CLFLUSH),
    RDTSCP(
            Feature.RDTSCP,
            dev.slate.cpu.decode.Feature.RDTSCP,
            unless(Feature.RDTSCP),
            unless(Feature.RDTSCP, Feature.RDPID)),
    PREFETCHW(Feature.PREFETCHW, dev.slate.cpu.decode.Feature.PREFETCHW),
    ABM(Feature.ABM, dev.slate.cpu.decode.Feature.LZCNT),
    BMI1(Feature.BMI1, dev.slate.cpu.decode.Feature.BMI1),
    BMI2(Feature.BMI2, dev.slate.cpu.decode.Feature.BMI2),
    ADX(Feature.ADX, dev.slate.cpu.decode.Feature.ADX),
    MOVBE(Feature.MOVBE, dev.slate.cpu.decode.Feature.MOVBE),
    AES(Feature.AES, dev.slate.cpu.decode.Feature.AES),
    PCLMULQDQ(Feature.PCLMULQDQ, dev.slate.cpu.decode.Feature.PCLMULQDQ),
    SHA(Feature.SHA, dev.slate.cpu.decode.Feature.SHA),
    RDRAND(Feature.RDRAND, dev.slate.cpu.decode.Feature.RDRAND, never(), unless(Feature.RDRAND)),
    RDSEED(Feature.RDSEED, dev.slate.cpu.decode.Feature.RDSEED, never(), unless(Feature.RDSEED)),
    RDPID(Feature.RDPID, dev.slate.cpu.decode.Feature.RDPID, never(), unless(Feature.RDTSCP, Feature.RDPID)),
    FSGSBASE(Feature.FSGSBASE, dev.slate.cpu.decode.Feature.FSGSBASE, needs(CpuState.CR4_FSGSBASE)),
    SMAP(Feature.SMAP, dev.slate.cpu.decode.Feature.SMAP, permits(CpuState.CR4_SMAP)),
    INVPCID(Feature.INVPCID, dev.slate.cpu.decode.Feature.INVPCID, unless(Feature.INVPCID), unless(Feature.INVPCID)),
    CLFLUSHOPT(Feature.CLFLUSHOPT, dev.slate.cpu.decode.Feature.CLFLUSHOPT),
    CLWB(Feature.CLWB, dev.slate.cpu.decode.Feature.CLWB),
    XSAVE(Feature.XSAVE, dev.slate.cpu.decode.Feature.XSAVE, needs(CpuState.CR4_OSXSAVE)),
    XSAVEOPT(Feature.XSAVEOPT, dev.slate.cpu.decode.Feature.XSAVEOPT),
    XSAVEC(Feature.XSAVEC, dev.slate.cpu.decode.Feature.XSAVEC),
    XSAVES(Feature.XSAVES, dev.slate.cpu.decode.Feature.XSAVES, never(), unlessAll(Feature.XSAVE, Feature.XSAVES)),
    AVX(Feature.AVX, dev.slate.cpu.decode.Feature.AVX),
    AVX2(Feature.AVX2, dev.slate.cpu.decode.Feature.AVX2),
    FMA(Feature.FMA, dev.slate.cpu.decode.Feature.FMA),
    F16C(Feature.F16C, dev.slate.cpu.decode.Feature.F16C),
    MOVDIRI(Feature.MOVDIRI, dev.slate.cpu.decode.Feature.MOVDIRI),
    SERIALIZE(Feature.SERIALIZE, dev.slate.cpu.decode.Feature.SERIALIZE),
    WBNOINVD(Feature.WBNOINVD, dev.slate.cpu.decode.Feature.WBNOINVD),
    /** Of AMD's processors: no instruction more, but what FXSAVE and its like do. */
    XSAVEERPTR(Feature.XSAVEERPTR, dev.slate.cpu.decode.Feature.XSAVEERPTR),
    /** Never offered: a guest would wait in MWAIT for ever. Its intercept asks {@link Feature#MONITOR} when a quirk is off. */
    MONITOR(Feature.MONITOR, dev.slate.cpu.decode.Feature.MONITOR),
    /** Never offered: XSAVE has no place for PKRU yet. */
    PKU(Feature.PKU, dev.slate.cpu.decode.Feature.PKU, needs(CpuState.CR4_PKE)),
    /** With {@link dev.slate.kvm.Knobs#NESTED} only. Without EFER.SVME the instructions are undefined. */
    SVM(Feature.SVM, dev.slate.cpu.decode.Feature.SVM, efer(CpuState.EFER_SVME)),
    /** With two-dimensional paging only. */
    NPT(Feature.NPT),
    NRIPS(Feature.NRIPS),
    /** Each field of a VMCB is read, whatever its clean bit says. */
    VMCB_CLEAN(Feature.VMCB_CLEAN),
    SVME_ADDR_CHK(Feature.SVME_ADDR_CHK),
    /** With {@link dev.slate.kvm.Knobs#PMU}, on AMD's processors. */
    PERFCTR_CORE(Feature.PERFCTR_CORE),
    DE(Feature.DE),
    PSE(Feature.PSE),
    TSC(Feature.TSC),
    MSR(Feature.MSR),
    PAE(Feature.PAE),
    MCE(Feature.MCE),
    APIC(Feature.APIC),
    MTRR(Feature.MTRR),
    PGE(Feature.PGE),
    MCA(Feature.MCA),
    PAT(Feature.PAT),
    PSE36(Feature.PSE36),
    X2APIC(Feature.X2APIC),
    TSC_ADJUST(Feature.TSC_ADJUST),
    SMEP(Feature.SMEP, permits(CpuState.CR4_SMEP)),
    UMIP(Feature.UMIP, permits(CpuState.CR4_UMIP)),
    LA57(Feature.LA57, permits(CpuState.CR4_LA57)),
    ARCH_CAPABILITIES(Feature.ARCH_CAPABILITIES),
    CR8_LEGACY(Feature.CR8_LEGACY, dev.slate.cpu.decode.Feature.CR8_LEGACY),
    NX(Feature.NX, efer(CpuState.EFER_NX)),
    GBPAGES(Feature.GBPAGES),
    LM(Feature.LM, efer(CpuState.EFER_LME | CpuState.EFER_LMA)),
    PCID(Feature.PCID, permits(CpuState.CR4_PCIDE));

    /** Bits of control registers that come with a feature. */
    private record Control(long cr4, boolean needed, long efer) {
        static final Control NONE = new Control(0, false, 0);
    }

    /** When the instructions are taken away: the guest lacks all of the features, or ({@code each}) any one of them. */
    private record Hiding(boolean each, int... features) {
        static final Hiding NEVER = new Hiding(true);

        boolean hides(CpuidTable guest) {
            for (int f : features) {
                if (guest.has(f) != each) {
                    return each;
                }
            }
            return !each;
        }
    }

    private final int feature;
    private final int instructions;
    private final Control control;
    private final Hiding amd;
    private final Hiding intel;

    FeatureRule(int feature) {
        this(feature, dev.slate.cpu.decode.Feature.BASE, Control.NONE, Hiding.NEVER, Hiding.NEVER);
    }

    FeatureRule(int feature, Control control) {
        this(feature, dev.slate.cpu.decode.Feature.BASE, control, Hiding.NEVER, Hiding.NEVER);
    }

    FeatureRule(int feature, int instructions) {
        this(feature, instructions, Control.NONE, Hiding.NEVER, Hiding.NEVER);
    }

    FeatureRule(int feature, int instructions, Control control) {
        this(feature, instructions, control, Hiding.NEVER, Hiding.NEVER);
    }

    FeatureRule(int feature, int instructions, Hiding amd, Hiding intel) {
        this(feature, instructions, Control.NONE, amd, intel);
    }

    FeatureRule(int feature, int instructions, Control control, Hiding amd, Hiding intel) {
        this.feature = feature;
        this.instructions = instructions;
        this.control = control;
        this.amd = amd;
        this.intel = intel;
    }

    /** CR4 bits that can be set with the feature alone. */
    private static Control permits(long cr4) {
        return new Control(cr4, false, 0);
    }

    /** The same, and without them the instructions are undefined. */
    private static Control needs(long cr4) {
        return new Control(cr4, true, 0);
    }

    private static Control efer(long bits) {
        return new Control(0, false, bits);
    }

    private static Hiding never() {
        return Hiding.NEVER;
    }

    private static Hiding unless(int... anyOf) {
        return new Hiding(false, anyOf);
    }

    private static Hiding unlessAll(int... allOf) {
        return new Hiding(true, allOf);
    }

    private static final FeatureRule[] ALL = values();

    /** The place in CPUID: one of {@link Feature}. */
    public int feature() {
        return feature;
    }

    /** The instructions: one of {@link dev.slate.cpu.decode.Feature}, BASE for none. */
    public int instructions() {
        return instructions;
    }

    /** The instructions as a set of processor features; 0: none. */
    public long instructionSet() {
        return instructions == dev.slate.cpu.decode.Feature.BASE ? 0 : dev.slate.cpu.decode.Feature.bit(instructions);
    }

    /** CR4 bits that a guest can set with the feature alone. */
    public long cr4() {
        return control.cr4;
    }

    /** Whether the instructions are undefined while {@link #cr4} is 0. */
    public boolean instructionsNeedCr4() {
        return control.needed;
    }

    /** EFER bits that a guest can set with the feature alone. */
    public long efer() {
        return control.efer;
    }

    /** Whether an intercept or control takes the instructions from a guest with this CPUID, on a processor of that vendor. */
    public boolean hides(CpuidTable guest, boolean intelProcessor) {
        return (intelProcessor ? intel : amd).hides(guest);
    }

    /**
     * What the processor of a vCPU executes.
     *
     * @param processor what its model has, as {@link dev.slate.cpu.decode.Feature} bits
     * @param guest the vCPU's CPUID
     */
    public static long executed(long processor, CpuidTable guest, boolean intelProcessor) {
        long executed = processor;
        for (FeatureRule rule : ALL) {
            if (rule.hides(guest, intelProcessor)) {
                executed &= ~rule.instructionSet();
            }
        }
        return executed;
    }

    /** CR4 bits of features that the guest lacks. */
    static long cr4Lacking(CpuidTable guest) {
        long lacking = 0;
        for (FeatureRule rule : ALL) {
            if (!guest.has(rule.feature)) {
                lacking |= rule.control.cr4;
            }
        }
        return lacking;
    }

    /** CR4 bits of features that are not among those. */
    static long cr4Lacking(int[] offered) {
        long lacking = 0;
        for (FeatureRule rule : ALL) {
            lacking |= rule.control.cr4;
        }
        for (FeatureRule rule : ALL) {
            for (int feature : offered) {
                if (feature == rule.feature) {
                    lacking &= ~rule.control.cr4;
                }
            }
        }
        return lacking;
    }

    /** EFER bits of features that the guest lacks. */
    static long eferLacking(CpuidTable guest) {
        long lacking = 0;
        for (FeatureRule rule : ALL) {
            if (!guest.has(rule.feature)) {
                lacking |= rule.control.efer;
            }
        }
        return lacking;
    }
}
