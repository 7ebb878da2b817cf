package dev.slate.kvm;

import dev.slate.cpu.decode.Block;

/** Shown the machine code that a vCPU's guest code becomes; see {@link RunObserver#translations}. */
public interface TranslationListener {
    /**
     * A block has become machine code, which has not run yet. On the vCPU's thread.
     *
     * @param starts where in the machine code each of the block's instructions begins, and in element {@link Block#count} where
     *     the last one's ends. Valid during the call
     * @param code host address of the machine code
     * @param bytes size of that
     * @param waysOut host address of what is seldom gone through
     * @param outBytes size of that; 0: there is none
     */
    void translated(Block block, int[] starts, long code, int bytes, long waysOut, int outBytes);
}
