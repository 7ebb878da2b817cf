package dev.slate.cpu;

import dev.slate.cpu.decode.Block;

/** Told of machine code when it is made and given up, never when it runs. On the processor's thread. */
public interface TranslationObserver {
    /**
     * Whether a profiler outside of the process is to find names for the code: those of Linux look for them only where memory has no file
     * behind it.
     */
    boolean namesCode();

    /**
     * Code that stands for no guest code is there: entry, exits, and what translations have in common.
     *
     * @param code its host address
     * @param bytes its size
     */
    void common(long code, int bytes);

    /**
     * A block of guest code has become machine code, for the address at which it was executed last. What often follows it may have become code with it, and
     * is told right behind it.
     *
     * @param starts where in the machine code each of the block's instructions begins, and in element {@link Block#count} where
     *     the last one's ends. Valid during the call
     * @param code host address of the machine code
     * @param bytes size of that
     * @param waysOut host address of what is seldom gone through
     * @param outBytes size of that; 0: there is none
     * @param nanos what it took; 0: what the block told before did
     */
    void translated(Block block, int[] starts, long code, int bytes, long waysOut, int outBytes, long nanos);

    /**
     * What was made of a guest's page is entered no more, because the page's bytes have changed.
     *
     * @param page linear address of the page
     * @param regions how many blocks that were
     */
    void invalidated(long page, int regions);

    /**
     * All of it has been given up: its memory was full, or others need it. Addresses are used again.
     *
     * @param regions how many blocks that were
     */
    void reset(int regions);
}
