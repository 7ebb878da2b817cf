package dev.slate.kvm.hyperv;

/** Numbers of Hyper-V's synthetic MSRs (TLFS, appendix "synthetic MSRs"). */
public final class HvMsr {
    public static final int GUEST_OS_ID = 0x4000_0000;
    public static final int HYPERCALL = 0x4000_0001;
    public static final int VP_INDEX = 0x4000_0002;
    public static final int RESET = 0x4000_0003;
    public static final int VP_RUNTIME = 0x4000_0010;
    public static final int TIME_REF_COUNT = 0x4000_0020;
    public static final int REFERENCE_TSC = 0x4000_0021;
    public static final int TSC_FREQUENCY = 0x4000_0022;
    public static final int APIC_FREQUENCY = 0x4000_0023;
    public static final int EOI = 0x4000_0070;
    public static final int ICR = 0x4000_0071;
    public static final int TPR = 0x4000_0072;
    public static final int VP_ASSIST_PAGE = 0x4000_0073;
    public static final int SCONTROL = 0x4000_0080;
    public static final int SVERSION = 0x4000_0081;
    public static final int SIEFP = 0x4000_0082;
    public static final int SIMP = 0x4000_0083;
    public static final int EOM = 0x4000_0084;
    public static final int SINT0 = 0x4000_0090;
    public static final int SINT15 = 0x4000_009f;
    /** Configurations at even numbers, counts at odd ones. */
    public static final int STIMER0_CONFIG = 0x4000_00b0;

    public static final int STIMER3_COUNT = 0x4000_00b7;
    public static final int SYNDBG_CONTROL = 0x4000_00f1;
    public static final int SYNDBG_STATUS = 0x4000_00f2;
    public static final int SYNDBG_SEND_BUFFER = 0x4000_00f3;
    public static final int SYNDBG_RECV_BUFFER = 0x4000_00f4;
    public static final int SYNDBG_PENDING_BUFFER = 0x4000_00f5;
    public static final int SYNDBG_OPTIONS = 0x4000_00ff;
    public static final int CRASH_P0 = 0x4000_0100;
    public static final int CRASH_P4 = 0x4000_0104;
    public static final int CRASH_CTL = 0x4000_0105;
    public static final int REENLIGHTENMENT_CONTROL = 0x4000_0106;
    public static final int TSC_EMULATION_CONTROL = 0x4000_0107;
    public static final int TSC_EMULATION_STATUS = 0x4000_0108;

    private HvMsr() {}

    /** Whether an MSR is for Hyper-V to answer, with a refusal if it must be; the others in its range do not exist. */
    public static boolean holds(int msr) {
        return msr >= GUEST_OS_ID && msr <= SINT15
                || msr >= STIMER0_CONFIG && msr <= STIMER3_COUNT
                || msr >= SYNDBG_CONTROL && msr <= SYNDBG_PENDING_BUFFER
                || msr >= SYNDBG_OPTIONS && msr <= TSC_EMULATION_STATUS;
    }

    /** Whether all virtual processors have the MSR together. */
    static boolean partitionWide(int msr) {
        return switch (msr) {
            case GUEST_OS_ID, HYPERCALL, RESET, TIME_REF_COUNT, REFERENCE_TSC -> true;
            default -> msr >= SYNDBG_CONTROL && msr <= TSC_EMULATION_STATUS;
        };
    }
}
