package dev.slate.cpu;

import dev.slate.cpu.decode.Block;
import org.jspecify.annotations.Nullable;

/** What a {@link Translator} asks of its processor: blocks, and what the interpreter does for it. On the processor's thread. */
public final class TranslatorCalls {
    private final CodeCache code;
    private final RunLoop loop;

    TranslatorCalls(CodeCache code, RunLoop loop) {
        this.code = code;
        this.loop = loop;
    }

    /**
     * The block at a rip of 64-bit code, whose first byte lies at {@code hva}: current, and entered {@code heat} times at least, there last. With a heat
     * of 0 it need not have been entered at all. Null: there is none, or it crosses to the next page.
     */
    public @Nullable Block ahead(long rip, long hva, int heat) {
        return code.ahead(rip, hva, heat);
    }

    /** Proves a block's bytes to be those in memory, as before it is interpreted; false when they have changed. */
    public boolean proves(Block b) {
        return code.proves(b);
    }

    /** Executes the instruction at rip, with whatever it raises. */
    public int interpretOne() {
        return loop.step(1);
    }

    /** Executes the block at rip, at most to the instruction at {@code rip}; how many, or the complement of an exit. */
    public int interpretUpTo(long rip) {
        return loop.stepUpTo(rip);
    }

    /** Delivers the page fault that the walker has found for the instruction at rip; {@link CpuExit#NONE}, or an exit. */
    public int pageFault() {
        return loop.pageFault();
    }

    /** Whether something is to be asked before the next instruction. */
    public boolean needsCare() {
        return loop.needsCare();
    }
}
