package dev.slate.cpu;

/**
 * Unwinds an instruction of which nothing has happened, out of guest mode: the hypervisor wants to leave, or an MMIO read waits for
 * its answer. One stackless object per processor, caught in {@link Cpu#run} only.
 */
public final class LeaveGuest extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** A {@link CpuExit} code. */
    public int exit;

    LeaveGuest() {
        super(null, null, false, false);
    }
}
