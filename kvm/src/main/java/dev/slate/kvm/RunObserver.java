package dev.slate.kvm;

import dev.slate.cpu.Cpu;

/**
 * Watches and steers the runs of one vCPU: what a tracer or a debugger is to the run loop. An ordinary vCPU has none, and pays one
 * look at a null field for each entry into the guest.
 *
 * <p>All but {@link #close} are called on the thread that is in KVM_RUN.
 */
public interface RunObserver {
    /**
     * Asked outside guest mode before each stay in the guest, and again after each kick.
     *
     * @return false: the vCPU is to be held. It goes on to serve requests and to end KVM_RUN for signals, and {@link Vcpu#inspect}
     *     works meanwhile. Whoever lets it go kicks it ({@code vcpu.mode().kick()})
     */
    boolean mayRun();

    /**
     * Runs the guest, in guest mode: in place of {@link Cpu#run}, or of {@link Cpu#runOne} when {@code one} is set, with the same
     * results. Returns {@link dev.slate.cpu.CpuExit#INTR} soon after the kick word is set.
     */
    int run(Cpu cpu, boolean one);

    /**
     * An exit has been handled.
     *
     * @param code a {@link dev.slate.cpu.CpuExit}
     * @param outcome less than 0: the guest goes on; 0: KVM_RUN ends with what {@link Vcpu#exit} says; else it fails with this errno
     */
    void exited(Cpu cpu, int code, int outcome);

    /** The vCPU is gone. */
    void close();
}
