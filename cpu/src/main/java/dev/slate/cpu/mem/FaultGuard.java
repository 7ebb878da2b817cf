package dev.slate.cpu.mem;

/**
 * Whoever sees the process's own faults: translated code may meet memory that has lost its page behind everybody's back. Thread-safe.
 */
public interface FaultGuard {
    /**
     * Lets a fault within {@code [start, end)} go on at {@code resume}, with the faulting instruction's address in RAX.
     *
     * @return false: it cannot, and the code must not run
     */
    boolean add(long start, long end, long resume);

    /** Forgets the code that begins at {@code start}. */
    void remove(long start);
}
