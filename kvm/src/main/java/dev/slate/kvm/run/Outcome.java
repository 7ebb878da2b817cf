package dev.slate.kvm.run;

/**
 * What follows from handling an exit: the guest goes on, or KVM_RUN ends. Positive values are errno numbers that KVM_RUN fails with.
 */
final class Outcome {
    /** Enter the guest again. */
    static final int RESUME = -1;
    /** KVM_RUN ends with 0; the exit stands in {@link VcpuExit}. */
    static final int EXIT = 0;

    private Outcome() {}
}
