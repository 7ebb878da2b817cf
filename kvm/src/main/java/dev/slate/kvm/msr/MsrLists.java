package dev.slate.kvm.msr;

import dev.slate.kvm.hyperv.HvMsr;
import dev.slate.kvm.pmu.PmuMsr;

/** The index lists of KVM_GET_MSR_INDEX_LIST and KVM_GET_MSR_FEATURE_INDEX_LIST, and the values of feature MSRs. */
public final class MsrLists {
    // What a client saves and restores: the processor's own first, then what KVM emulates; KVM's order on an AMD
    // processor.
    private static final int[] TO_SAVE = {
        Msr.SYSENTER_CS,
        Msr.SYSENTER_ESP,
        Msr.SYSENTER_EIP,
        Msr.STAR,
        Msr.CSTAR,
        Msr.KERNEL_GS_BASE,
        Msr.SYSCALL_MASK,
        Msr.LSTAR,
        Msr.TSC,
        Msr.PAT,
        Msr.VM_HSAVE_PA,
        Msr.TSC_AUX,
        Msr.SPEC_CTRL,
        PmuMsr.K7_EVNTSEL0,
        PmuMsr.K7_EVNTSEL0 + 1,
        PmuMsr.K7_EVNTSEL0 + 2,
        PmuMsr.K7_EVNTSEL0 + 3,
        PmuMsr.K7_EVNTSEL0 + 4,
        PmuMsr.K7_EVNTSEL0 + 5,
        PmuMsr.K7_EVNTSEL0 + 6,
        PmuMsr.K7_EVNTSEL0 + 7,
        PmuMsr.F15H_PERF_CTL0,
        PmuMsr.F15H_PERF_CTL0 + 2,
        PmuMsr.F15H_PERF_CTL0 + 4,
        PmuMsr.F15H_PERF_CTL0 + 6,
        PmuMsr.F15H_PERF_CTL0 + 8,
        PmuMsr.F15H_PERF_CTL0 + 10,
        PmuMsr.F15H_PERF_CTL0 + 1,
        PmuMsr.F15H_PERF_CTL0 + 3,
        PmuMsr.F15H_PERF_CTL0 + 5,
        PmuMsr.F15H_PERF_CTL0 + 7,
        PmuMsr.F15H_PERF_CTL0 + 9,
        PmuMsr.F15H_PERF_CTL0 + 11,
    };

    private static final int[] EMULATED = {
        Msr.KVM_SYSTEM_TIME,
        Msr.KVM_WALL_CLOCK,
        Msr.KVM_SYSTEM_TIME_NEW,
        Msr.KVM_WALL_CLOCK_NEW,
        HvMsr.GUEST_OS_ID,
        HvMsr.HYPERCALL,
        HvMsr.TIME_REF_COUNT,
        HvMsr.REFERENCE_TSC,
        HvMsr.TSC_FREQUENCY,
        HvMsr.APIC_FREQUENCY,
        HvMsr.CRASH_P0,
        HvMsr.CRASH_P0 + 1,
        HvMsr.CRASH_P0 + 2,
        HvMsr.CRASH_P0 + 3,
        HvMsr.CRASH_P0 + 4,
        HvMsr.CRASH_CTL,
        HvMsr.RESET,
        HvMsr.VP_INDEX,
        HvMsr.VP_RUNTIME,
        HvMsr.SCONTROL,
        HvMsr.STIMER0_CONFIG,
        HvMsr.VP_ASSIST_PAGE,
        HvMsr.REENLIGHTENMENT_CONTROL,
        HvMsr.TSC_EMULATION_CONTROL,
        HvMsr.TSC_EMULATION_STATUS,
        HvMsr.SYNDBG_OPTIONS,
        HvMsr.SYNDBG_CONTROL,
        HvMsr.SYNDBG_STATUS,
        HvMsr.SYNDBG_SEND_BUFFER,
        HvMsr.SYNDBG_RECV_BUFFER,
        HvMsr.SYNDBG_PENDING_BUFFER,
        Msr.KVM_ASYNC_PF_EN,
        Msr.KVM_STEAL_TIME,
        Msr.KVM_PV_EOI_EN,
        Msr.KVM_ASYNC_PF_INT,
        Msr.KVM_ASYNC_PF_ACK,
        Msr.TSC_ADJUST,
        Msr.TSC_DEADLINE,
        Msr.ARCH_CAPABILITIES,
        Msr.PERF_CAPABILITIES,
        Msr.MISC_ENABLE,
        Msr.MCG_STATUS,
        Msr.MCG_CTL,
        Msr.SMBASE,
        Msr.SMI_COUNT,
        Msr.PLATFORM_INFO,
        Msr.MISC_FEATURES_ENABLES,
        Msr.VIRT_SPEC_CTRL,
        Msr.TSC_RATIO,
        Msr.POWER_CTL,
        Msr.UCODE_REV,
        Msr.HWCR,
        Msr.KVM_POLL_CONTROL,
    };

    private static final int[] FEATURES = {Msr.DE_CFG, Msr.UCODE_REV, Msr.ARCH_CAPABILITIES, Msr.PERF_CAPABILITIES};

    // IA32_ARCH_CAPABILITIES (SDM 4, table 2-2).
    private static final long RDCL_NO = 1;
    private static final long SKIP_VMENTRY_L1DFLUSH = 1 << 3;
    private static final long SSB_NO = 1 << 4;
    private static final long MDS_NO = 1 << 5;
    private static final long PSCHANGE_MC_NO = 1 << 6;
    private static final long GDS_NO = 1 << 26;
    private static final long RFDS_NO = 1 << 27;
    private static final long ITS_NO = 1L << 62;

    private MsrLists() {}

    /** A fresh copy. */
    public static int[] toSave() {
        int[] all = new int[TO_SAVE.length + EMULATED.length];
        System.arraycopy(TO_SAVE, 0, all, 0, TO_SAVE.length);
        System.arraycopy(EMULATED, 0, all, TO_SAVE.length, EMULATED.length);
        return all;
    }

    /** A fresh copy. */
    public static int[] features() {
        return FEATURES.clone();
    }

    /** Whether a client reads 0 of the MSR and may write 0 to it although nothing stands behind it. */
    static boolean isToSave(int index) {
        for (int i : TO_SAVE) {
            if (i == index) {
                return true;
            }
        }
        return false;
    }

    /** Whether {@code index} is a feature MSR. */
    public static boolean isFeature(int index) {
        for (int i : FEATURES) {
            if (i == index) {
                return true;
            }
        }
        return false;
    }

    /** The value that a feature MSR offers. */
    public static long featureValue(int index) {
        return switch (index) {
            case Msr.DE_CFG -> Msr.DE_CFG_LFENCE_SERIALIZE;
            case Msr.UCODE_REV -> 0x0100_0000L;
            // No speculation here, so nothing to leak by it; TAA_NO is for processors with transactions.
            case Msr.ARCH_CAPABILITIES ->
                RDCL_NO | SKIP_VMENTRY_L1DFLUSH | SSB_NO | MDS_NO | PSCHANGE_MC_NO | GDS_NO | RFDS_NO | ITS_NO;
            default -> 0;
        };
    }
}
