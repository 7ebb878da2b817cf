package dev.slate.cpu;

import dev.slate.cpu.decode.Block;
import dev.slate.cpu.mmu.TlbMirror;
import org.jspecify.annotations.Nullable;

/**
 * A back end that runs blocks as machine code. One processor's, on its thread.
 *
 * <p>It sees blocks of 64-bit code only, which the code cache has proved current, while nothing watches the guest.
 */
public interface Translator {
    /** Whether {@code b}, about to be entered at {@code b.rip}, is there as machine code now; makes it so when it has become hot. */
    boolean enters(Block b);

    /** Whether the interpreter should come back to the run loop before it enters {@code b}, because {@link #enters} may say yes. */
    boolean wants(Block b);

    /**
     * Runs from {@code b}, of which {@link #enters} has just said yes.
     *
     * @return {@link CpuExit#NONE} with the state at an instruction boundary, or an exit
     */
    int run(Block b);

    /** Who keeps copies of the processor's TLB for it; null: nobody. */
    @Nullable
    TlbMirror mirror();

    /** The processor has stored into code that it had decoded on the host page {@code hvaPage}: that code's lines are unmarked. */
    void codeStored(long hvaPage);

    /** Gives back what it has; the processor runs no more. */
    void close();
}
