package dev.slate.kvm.msr;

/** The index lists of KVM_GET_MSR_INDEX_LIST and KVM_GET_MSR_FEATURE_INDEX_LIST, and the values of feature MSRs. */
public final class MsrLists {
    // What a client saves and restores: the processor's own first, then what KVM emulates; KVM's order.
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
        Msr.TSC_AUX,
    };

    private static final int[] EMULATED = {
        Msr.KVM_SYSTEM_TIME,
        Msr.KVM_WALL_CLOCK,
        Msr.KVM_SYSTEM_TIME_NEW,
        Msr.KVM_WALL_CLOCK_NEW,
        Msr.KVM_ASYNC_PF_EN,
        Msr.KVM_STEAL_TIME,
        Msr.KVM_PV_EOI_EN,
        Msr.KVM_ASYNC_PF_INT,
        Msr.KVM_ASYNC_PF_ACK,
        Msr.TSC_ADJUST,
        Msr.TSC_DEADLINE,
        Msr.ARCH_CAPABILITIES,
        Msr.MISC_ENABLE,
        Msr.MCG_STATUS,
        Msr.MCG_CTL,
        Msr.SMBASE,
        Msr.SMI_COUNT,
        Msr.PLATFORM_INFO,
        Msr.MISC_FEATURES_ENABLES,
        Msr.UCODE_REV,
        Msr.POWER_CTL,
        Msr.HWCR,
        Msr.KVM_POLL_CONTROL,
    };

    private static final int[] FEATURES = {Msr.DE_CFG, Msr.UCODE_REV, Msr.ARCH_CAPABILITIES, Msr.PERF_CAPABILITIES};

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

    /** Whether a client may write 0 to the MSR although nothing stands behind it. */
    static boolean isToSave(int index) {
        for (int i : TO_SAVE) {
            if (i == index) {
                return true;
            }
        }
        for (int i : EMULATED) {
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
            // No speculation here: RDCL_NO, RSBA not needed, SKIP_L1DFL_VMENTRY, MDS_NO, PSCHANGE_MC_NO, TAA_NO.
            case Msr.ARCH_CAPABILITIES -> 1 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 8;
            default -> 0;
        };
    }
}
