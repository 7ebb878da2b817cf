package dev.slate.kvm;

import dev.slate.cpu.Cpu;
import org.jspecify.annotations.Nullable;

/**
 * Watches and steers the runs of one vCPU: what a tracer or a debugger is to the run loop. An ordinary vCPU has none, and pays one
 * look at a null field for each entry into the guest. One that overrides nothing changes nothing.
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
    default boolean mayRun() {
        return true;
    }

    /**
     * Runs the guest, in guest mode: in place of {@link Cpu#run}, or of {@link Cpu#runOne} when {@code one} is set, with the same
     * results. Returns {@link dev.slate.cpu.CpuExit#INTR} soon after the kick word is set.
     */
    default int run(Cpu cpu, boolean one) {
        return one ? cpu.runOne() : cpu.run();
    }

    /**
     * An exit has been handled.
     *
     * @param code a {@link dev.slate.cpu.CpuExit}
     * @param outcome less than 0: the guest goes on; 0: KVM_RUN ends with what {@link Vcpu#exit} says; else it fails with this errno
     */
    default void exited(Cpu cpu, int code, int outcome) {}

    /** VMRUN has taken the state of the guest's own guest: what runs next is that guest. */
    default void nestedEntered() {}

    /**
     * #VMEXIT to the guest, who is a hypervisor: what runs next is the instruction behind its VMRUN. Not told of a VMRUN that was refused.
     *
     * @param code a {@link dev.slate.cpu.SvmExit}
     * @param info1 EXITINFO1
     * @param rcx of the guest's guest: which MSR
     */
    default void nestedLeft(int code, long info1, long rcx) {}

    /** Who is shown what of the guest becomes machine code; null: nobody. Asked once, when the vCPU is made. */
    default @Nullable TranslationListener translations() {
        return null;
    }

    /** The vCPU is gone. */
    default void close() {}
}
