package dev.slate.kvm.hyperv;

/**
 * The registers of Hyper-V's synthetic debugger (MS-HVDBG): kept here, acted upon by the client ({@code KVM_EXIT_HYPERV_SYNDBG}). Guarded
 * by the partition's lock.
 */
final class SyntheticDebugger {
    private static final long USE_HYPERCALLS = 1 << 2;

    long control;
    long status;
    long sendPage;
    long receivePage;
    long pendingPage;
    private long options;

    /** Whether its hypercalls are to be used, and not its MSRs. */
    boolean usesHypercalls() {
        return (options & USE_HYPERCALLS) != 0;
    }

    long read(int msr) {
        return switch (msr) {
            case HvMsr.SYNDBG_CONTROL -> control;
            case HvMsr.SYNDBG_STATUS -> status;
            case HvMsr.SYNDBG_SEND_BUFFER -> sendPage;
            case HvMsr.SYNDBG_RECV_BUFFER -> receivePage;
            case HvMsr.SYNDBG_PENDING_BUFFER -> pendingPage;
            default -> options;
        };
    }

    /** Whether the client is to hear of the write. */
    boolean write(int msr, long v) {
        switch (msr) {
            case HvMsr.SYNDBG_CONTROL -> control = v;
            case HvMsr.SYNDBG_STATUS -> status = v;
            case HvMsr.SYNDBG_SEND_BUFFER -> sendPage = v;
            case HvMsr.SYNDBG_RECV_BUFFER -> receivePage = v;
            case HvMsr.SYNDBG_PENDING_BUFFER -> pendingPage = v;
            default -> options = v;
        }
        return msr == HvMsr.SYNDBG_CONTROL || msr == HvMsr.SYNDBG_PENDING_BUFFER;
    }
}
