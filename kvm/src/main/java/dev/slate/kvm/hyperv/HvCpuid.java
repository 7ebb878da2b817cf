package dev.slate.kvm.hyperv;

import dev.slate.kvm.cpuid.CpuidEntry;
import dev.slate.kvm.cpuid.CpuidTable;
import java.util.List;

/**
 * Hyper-V's CPUID leaves: what is offered, what a vCPU's say, and what they open to its guest once its client has them enforced
 * ({@code KVM_CAP_HYPERV_ENFORCE_CPUID}).
 *
 * <p>Guarded by the vCPU's mutex.
 */
public final class HvCpuid {
    private static final int VENDOR_AND_MAX = 0x4000_0000;
    private static final int INTERFACE = 0x4000_0001;
    private static final int VERSION = 0x4000_0002;
    private static final int FEATURES = 0x4000_0003;
    private static final int ENLIGHTENMENTS = 0x4000_0004;
    private static final int LIMITS = 0x4000_0005;
    private static final int NESTED_FEATURES = 0x4000_000a;
    private static final int SYNDBG_VENDOR_AND_MAX = 0x4000_0080;
    private static final int SYNDBG_INTERFACE = 0x4000_0081;
    private static final int SYNDBG_CAPABILITIES = 0x4000_0082;

    /** "Hv#1": whoever finds it may use what follows. */
    private static final int SIGNATURE = 0x3123_7648;

    // "Linux KVM Hv", and "VS#1".
    private static final int VENDOR_EBX = 0x756e_694c;
    private static final int VENDOR_ECX = 0x564b_2078;
    private static final int VENDOR_EDX = 0x7648_204d;
    private static final int SYNDBG_SIGNATURE = 0x3123_5356;

    // FEATURES, EAX.
    private static final int VP_RUNTIME = 1;
    private static final int TIME_REF_COUNT = 1 << 1;
    private static final int SYNIC = 1 << 2;
    private static final int STIMERS = 1 << 3;
    private static final int APIC_ACCESS = 1 << 4;
    private static final int HYPERCALL = 1 << 5;
    private static final int VP_INDEX = 1 << 6;
    private static final int RESET = 1 << 7;
    private static final int REFERENCE_TSC = 1 << 9;
    private static final int FREQUENCY_MSRS = 1 << 11;
    private static final int REENLIGHTENMENT = 1 << 13;
    // FEATURES, EBX.
    private static final int POST_MESSAGES = 1 << 4;
    private static final int SIGNAL_EVENTS = 1 << 5;
    private static final int DEBUGGING = 1 << 11;
    // FEATURES, EDX.
    private static final int GUEST_DEBUGGING = 1 << 1;
    private static final int XMM_INPUT = 1 << 4;
    private static final int FREQUENCIES = 1 << 8;
    private static final int CRASH_MSRS = 1 << 10;
    private static final int DEBUG_MSRS = 1 << 11;
    private static final int DIRECT_TIMERS = 1 << 19;
    // ENLIGHTENMENTS, EAX.
    private static final int REMOTE_TLB_FLUSH = 1 << 2;
    private static final int APIC_ACCESS_RECOMMENDED = 1 << 3;
    private static final int RELAXED_TIMING = 1 << 5;
    private static final int DEPRECATE_AUTO_EOI = 1 << 9;
    private static final int CLUSTER_IPI = 1 << 10;
    private static final int EX_PROCESSOR_MASKS = 1 << 11;

    private static final int NO_SHARED_CORES = 1 << 18;

    /** How often to try a lock before a spin is told of, as with Hyper-V 2016. */
    private static final int SPIN_RETRIES = 0xfff;

    private static final int MAX_LOGICAL_PROCESSORS = 64;
    private static final int NESTED_MSR_BITMAP = 1 << 19;
    private static final int NESTED_PERF_GLOBAL_CTRL = 1;
    private static final int ALLOW_KERNEL_DEBUGGING = 1 << 1;

    private boolean enabled;
    /** Whether the guest may use only what its leaves say. */
    public boolean enforced;

    private int featuresEax;
    private int featuresEbx;
    private int featuresEdx;
    private int enlightenmentsEax;
    private int enlightenmentsEbx;
    private int syndbg;

    HvCpuid() {}

    /**
     * {@code KVM_GET_SUPPORTED_HV_CPUID}.
     *
     * @param apics whether local APICs are, or can be, in the kernel
     * @param smt whether two virtual processors can share a core
     * @param maxVps most virtual processors
     */
    public static List<CpuidEntry> supported(boolean apics, boolean smt, int maxVps) {
        return List.of(
                leaf(VENDOR_AND_MAX, SYNDBG_CAPABILITIES, VENDOR_EBX, VENDOR_ECX, VENDOR_EDX),
                leaf(INTERFACE, SIGNATURE, 0, 0, 0),
                // Of Hyper-V 2016, some of whose functions are here.
                leaf(VERSION, 0x3839, 0xa_0000, 0, 0),
                leaf(
                        FEATURES,
                        VP_RUNTIME
                                | TIME_REF_COUNT
                                | SYNIC
                                | STIMERS
                                | APIC_ACCESS
                                | HYPERCALL
                                | VP_INDEX
                                | RESET
                                | REFERENCE_TSC
                                | FREQUENCY_MSRS
                                | REENLIGHTENMENT,
                        POST_MESSAGES | SIGNAL_EVENTS | DEBUGGING,
                        0,
                        GUEST_DEBUGGING
                                | XMM_INPUT
                                | FREQUENCIES
                                | CRASH_MSRS
                                | DEBUG_MSRS
                                | (apics ? DIRECT_TIMERS : 0)),
                leaf(
                        ENLIGHTENMENTS,
                        REMOTE_TLB_FLUSH
                                | APIC_ACCESS_RECOMMENDED
                                | RELAXED_TIMING
                                | DEPRECATE_AUTO_EOI
                                | (apics ? CLUSTER_IPI : 0)
                                | EX_PROCESSOR_MASKS
                                | (smt ? 0 : NO_SHARED_CORES),
                        SPIN_RETRIES,
                        0,
                        0),
                leaf(LIMITS, maxVps, MAX_LOGICAL_PROCESSORS, 0, 0),
                leaf(SYNDBG_VENDOR_AND_MAX, 0, VENDOR_EBX, VENDOR_ECX, VENDOR_EDX),
                leaf(SYNDBG_INTERFACE, SYNDBG_SIGNATURE, 0, 0, 0),
                leaf(SYNDBG_CAPABILITIES, ALLOW_KERNEL_DEBUGGING, 0, 0, 0),
                leaf(NESTED_FEATURES, NESTED_MSR_BITMAP, NESTED_PERF_GLOBAL_CTRL, 0, 0));
    }

    private static CpuidEntry leaf(int function, int eax, int ebx, int ecx, int edx) {
        return new CpuidEntry(function, 0, 0, eax, ebx, ecx, edx);
    }

    /** Takes over what a vCPU's new CPUID says. */
    void set(CpuidTable table) {
        enabled = table.eax(INTERFACE, 0) == SIGNATURE;
        featuresEax = of(table, FEATURES, CpuidTable.EAX);
        featuresEbx = of(table, FEATURES, CpuidTable.EBX);
        featuresEdx = of(table, FEATURES, CpuidTable.EDX);
        enlightenmentsEax = of(table, ENLIGHTENMENTS, CpuidTable.EAX);
        enlightenmentsEbx = of(table, ENLIGHTENMENTS, CpuidTable.EBX);
        syndbg = of(table, SYNDBG_CAPABILITIES, CpuidTable.EAX);
    }

    private int of(CpuidTable table, int function, int register) {
        return enabled ? table.register(function, register) : 0;
    }

    /** Whether the guest finds Hyper-V at all. */
    boolean enabled() {
        return enabled;
    }

    boolean syntheticDebugger() {
        return (syndbg & ALLOW_KERNEL_DEBUGGING) != 0;
    }

    boolean takesXmmInput() {
        return !enforced || (featuresEdx & XMM_INPUT) != 0;
    }

    boolean hasDirectTimers() {
        return !enforced || (featuresEdx & DIRECT_TIMERS) != 0;
    }

    /** Whether the guest may touch an MSR. */
    boolean opens(int msr) {
        return !enforced
                || switch (msr) {
                    case HvMsr.GUEST_OS_ID, HvMsr.HYPERCALL -> (featuresEax & HYPERCALL) != 0;
                    case HvMsr.VP_RUNTIME -> (featuresEax & VP_RUNTIME) != 0;
                    case HvMsr.TIME_REF_COUNT -> (featuresEax & TIME_REF_COUNT) != 0;
                    case HvMsr.VP_INDEX -> (featuresEax & VP_INDEX) != 0;
                    case HvMsr.RESET -> (featuresEax & RESET) != 0;
                    case HvMsr.REFERENCE_TSC -> (featuresEax & REFERENCE_TSC) != 0;
                    case HvMsr.EOI, HvMsr.ICR, HvMsr.TPR, HvMsr.VP_ASSIST_PAGE -> (featuresEax & APIC_ACCESS) != 0;
                    case HvMsr.TSC_FREQUENCY, HvMsr.APIC_FREQUENCY -> (featuresEax & FREQUENCY_MSRS) != 0;
                    case HvMsr.REENLIGHTENMENT_CONTROL, HvMsr.TSC_EMULATION_CONTROL, HvMsr.TSC_EMULATION_STATUS ->
                        (featuresEax & REENLIGHTENMENT) != 0;
                    case HvMsr.SCONTROL, HvMsr.SVERSION, HvMsr.SIEFP, HvMsr.SIMP, HvMsr.EOM ->
                        (featuresEax & SYNIC) != 0;
                    default -> opensRange(msr);
                };
    }

    private boolean opensRange(int msr) {
        if (msr >= HvMsr.SINT0 && msr <= HvMsr.SINT15) {
            return (featuresEax & SYNIC) != 0;
        }
        if (msr >= HvMsr.STIMER0_CONFIG && msr <= HvMsr.STIMER3_COUNT) {
            return (featuresEax & STIMERS) != 0;
        }
        if (msr >= HvMsr.CRASH_P0 && msr <= HvMsr.CRASH_CTL) {
            return (featuresEdx & CRASH_MSRS) != 0;
        }
        boolean debug =
                msr == HvMsr.SYNDBG_OPTIONS || msr >= HvMsr.SYNDBG_CONTROL && msr <= HvMsr.SYNDBG_PENDING_BUFFER;
        return debug && (featuresEdx & DEBUG_MSRS) != 0;
    }

    /** Whether the guest may make a hypercall. */
    boolean opensCall(int code) {
        return !enforced
                || switch (code) {
                    case HvHypercalls.NOTIFY_LONG_SPIN_WAIT -> enlightenmentsEbx != 0 && enlightenmentsEbx != -1;
                    case HvHypercalls.POST_MESSAGE -> (featuresEbx & POST_MESSAGES) != 0;
                    case HvHypercalls.SIGNAL_EVENT -> (featuresEbx & SIGNAL_EVENTS) != 0;
                    // Without the debugger the call is unknown, not forbidden.
                    case HvHypercalls.POST_DEBUG_DATA,
                            HvHypercalls.RETRIEVE_DEBUG_DATA,
                            HvHypercalls.RESET_DEBUG_SESSION -> !syntheticDebugger() || (featuresEbx & DEBUGGING) != 0;
                    case HvHypercalls.FLUSH_LIST_EX, HvHypercalls.FLUSH_SPACE_EX ->
                        recommends(EX_PROCESSOR_MASKS | REMOTE_TLB_FLUSH);
                    case HvHypercalls.FLUSH_LIST, HvHypercalls.FLUSH_SPACE -> recommends(REMOTE_TLB_FLUSH);
                    case HvHypercalls.SEND_IPI_EX -> recommends(EX_PROCESSOR_MASKS | CLUSTER_IPI);
                    case HvHypercalls.SEND_IPI -> recommends(CLUSTER_IPI);
                    default -> true;
                };
    }

    private boolean recommends(int all) {
        return (enlightenmentsEax & all) == all;
    }
}
