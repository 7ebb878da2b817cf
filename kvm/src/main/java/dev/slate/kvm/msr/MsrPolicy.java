package dev.slate.kvm.msr;

/**
 * What a VM's client has said about its guests' RDMSR and WRMSR: which are refused, and of which it wants to hear.
 *
 * <p>Any thread.
 */
public final class MsrPolicy {
    private static final MsrFilter ALLOW_ALL = new MsrFilter(true, new int[0], new int[0], new int[0], new long[0][]);

    /** {@code KVM_X86_SET_MSR_FILTER}. */
    public volatile MsrFilter filter = ALLOW_ALL;

    /** {@code KVM_CAP_X86_USER_SPACE_MSR}: {@code KVM_MSR_EXIT_REASON_*}. */
    public volatile int userSpaceMask;

    /** Everything is allowed, nothing is reported. */
    public MsrPolicy() {}
}
