package dev.slate.kvm.msr;

import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.cpuid.Feature;

/**
 * The MSRs that a guest finds only with a feature in its CPUID, one a row: any one of the features opens it. A client reads and writes
 * them whatever CPUID says, but for those of {@link #clientToo}. EFER's bits are {@link dev.slate.kvm.cpuid.FeatureRule}'s.
 */
public enum MsrGate {
    TSC_AUX(Msr.TSC_AUX, Feature.RDTSCP, Feature.RDPID),
    XSS(Msr.XSS, Feature.XSAVES),
    ARCH_CAPABILITIES(Msr.ARCH_CAPABILITIES, Feature.ARCH_CAPABILITIES),
    PERF_CAPABILITIES(Msr.PERF_CAPABILITIES, Feature.PDCM),
    SPEC_CTRL(Msr.SPEC_CTRL, Feature.SPEC_CTRL, Feature.AMD_STIBP, Feature.AMD_IBRS, Feature.AMD_SSBD),
    PRED_CMD(Msr.PRED_CMD, Feature.SPEC_CTRL, Feature.AMD_IBPB),
    VIRT_SPEC_CTRL(Msr.VIRT_SPEC_CTRL, Feature.VIRT_SSBD),
    TSC_RATIO(Msr.TSC_RATIO, Feature.TSC_RATE_MSR),
    XFD(Msr.XFD, Feature.XFD),
    XFD_ERR(Msr.XFD_ERR, Feature.XFD),
    OSVW_ID_LENGTH(Msr.OSVW_ID_LENGTH, Feature.OSVW),
    OSVW_STATUS(Msr.OSVW_STATUS, Feature.OSVW);

    private static final MsrGate[] ALL = values();

    private final int index;
    private final int[] features;

    MsrGate(int index, int... features) {
        this.index = index;
        this.features = features;
    }

    /** The MSR. */
    public int index() {
        return index;
    }

    /** Any one of these opens it. */
    public int[] features() {
        return features.clone();
    }

    /** Whether the client, too, finds it with the feature alone. */
    public boolean clientToo() {
        return this == OSVW_ID_LENGTH || this == OSVW_STATUS;
    }

    /** Whether a guest with this CPUID, or its client, finds the MSR; true for one without a row. */
    static boolean open(int index, CpuidTable guest, boolean client) {
        for (MsrGate gate : ALL) {
            if (gate.index == index) {
                return client && !gate.clientToo() || gate.opens(guest);
            }
        }
        return true;
    }

    private boolean opens(CpuidTable guest) {
        for (int f : features) {
            if (guest.has(f)) {
                return true;
            }
        }
        return false;
    }
}
