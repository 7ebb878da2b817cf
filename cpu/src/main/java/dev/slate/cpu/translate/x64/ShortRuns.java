package dev.slate.cpu.translate.x64;

import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.exec.QuickOp;

/**
 * Runs that end with an exit after a few instructions. The interpreter has done these before code has the guest's registers: where that is
 * what comes of a block again and again, it is interpreted for a while. Its code stays for who comes from other code.
 */
final class ShortRuns {
    /** The most instructions of a short run. */
    private static final int SHORT = 8;

    /** How often code runs only so far before the interpreter does. */
    private static final int RUNS = 16;

    /** How often the interpreter goes there before code is tried again. */
    private static final int INTERPRETED = 64 * RUNS;

    private ShortRuns() {}

    /** A run of {@code b}'s code has ended with an exit of the instruction at {@code rip}, with no stop before it. */
    static void ended(Block b, long rip, int threshold) {
        if (threshold > 1 && isShort(b, rip) && ++b.heat >= threshold + RUNS) {
            b.translation = null;
            b.heat = threshold - INTERPRETED;
        }
    }

    /** Whether all that stands between the beginning of {@code b} and {@code rip} are few instructions of the block's own. */
    private static boolean isShort(Block b, long rip) {
        if (b.count > SHORT) {
            return false;
        }
        long within = rip - b.rip;
        int last = (b.count - 1) * Insn.WORDS;
        return within >= 0 && within < b.byteLength
                || QuickOp.transfer(Insn.op(b.code[last])) == Op.JMP_REL && within == b.code[last + 2];
    }
}
