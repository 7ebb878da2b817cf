package dev.slate.cpu;

/**
 * What a guest's hypervisor intercepts of its own guest (APM 2 15.7 to 15.13): in force while that guest runs, in place of nothing. What it
 * wants leaves with {@link CpuExit#INTERCEPT}; what always leaves to the hypervisor (ports, MSRs, CPUID, HLT and their like) is its to look up
 * here. Written by the processor's thread while no guest code runs.
 */
public final class Intercepts {
    private boolean on;
    private boolean plain;
    private final int[] words = new int[SvmExit.WORDS];

    Intercepts() {}

    /** A guest's guest runs from here on, with these intercept vectors ({@link SvmExit#WORDS} words). */
    public void begin(int[] vectors) {
        System.arraycopy(vectors, 0, words, 0, words.length);
        on = true;
        plain = wants(SvmExit.PUSHF) || wants(SvmExit.POPF) || wants(SvmExit.PAUSE);
    }

    /** It runs no more. */
    public void end() {
        on = false;
        plain = false;
    }

    /** Whether a guest's guest runs. */
    public boolean active() {
        return on;
    }

    /** Whether one of the instructions is wanted that are most often none of a hypervisor's business: PUSHF, POPF and PAUSE. */
    public boolean wantsPlainInstructions() {
        return plain;
    }

    /** Whether an exit code below {@link SvmExit#INTERCEPTS} is wanted. */
    public boolean wants(int exitCode) {
        return on && (words[exitCode >>> 5] >>> exitCode & 1) != 0;
    }
}
