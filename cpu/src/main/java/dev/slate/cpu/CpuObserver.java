package dev.slate.cpu;

/**
 * Sees what a processor does between two exits: for traces and debuggers. Called on the processor's thread, in guest mode: it must
 * neither block nor touch the processor's state.
 *
 * <p>Memory is told only while {@link Observers#memory} is set, because then no access takes the fast path. What is told has
 * happened, except that an instruction which then faults or leaves for MMIO is started again and tells its accesses once more.
 */
public interface CpuObserver {
    /** {@code bytes} (1..8) at linear address {@code la} were read; {@code value} is zero-extended. */
    void loaded(long la, int bytes, long value);

    /** {@code bytes} (1..8) at linear address {@code la} were written: the low bytes of {@code value}. */
    void stored(long la, int bytes, long value);

    /**
     * The running instruction at {@code rip} has met a fault or left the guest: what was told of it since its last iteration (RCX) did
     * not happen, or will happen again. Told only while {@link Observers#memory} is set.
     */
    default void undone(long rip) {}

    /** An exception or interrupt went through the interrupt table: rip is at its handler. */
    void delivered(int vector, boolean hasErrorCode, int errorCode);
}
