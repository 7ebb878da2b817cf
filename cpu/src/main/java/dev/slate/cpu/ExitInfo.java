package dev.slate.cpu;

/** What an exit carries beside its {@link CpuExit} code: valid once {@link Cpu#run} has come back, until the next run. */
public final class ExitInfo {
    /** Address of the instruction after the exiting one, masked to the mode. */
    public long nextRip;

    /** By exit: see {@link CpuExit}. */
    public long info;

    /** By exit: see {@link CpuExit}. */
    public long info2;

    /** {@link CpuExit#INTERCEPT} and {@link CpuExit#SVM}: the exit code, of {@link SvmExit}. */
    public int code;

    /**
     * {@link CpuExit#INTERCEPT} and {@link CpuExit#NPF}: the event during whose delivery it came, as EXITINTINFO has it; 0: none. Events that the hypervisor injects
     * itself are not among them.
     */
    public long event;

    /** The instruction's bytes, where the exit gives them. */
    public final byte[] bytes = new byte[15];

    /** How many of {@link #bytes} count. */
    public int byteCount;

    ExitInfo() {}
}
