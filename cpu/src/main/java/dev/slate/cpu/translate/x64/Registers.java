package dev.slate.cpu.translate.x64;

/**
 * Where a guest's general registers stand while translated code runs: the one map.
 *
 * <p>RSP is the host's own stack, always. RAX and RCX are scratch, because LAHF, shifts and divisions name them. R15 points into
 * the {@link StateBlock}. Guest r8 to r11, which code names least, stay in the block.
 */
final class Registers {
    static final int RAX = 0;
    static final int RCX = 1;
    static final int RDX = 2;
    static final int RBX = 3;
    static final int RSP = 4;
    static final int RBP = 5;
    static final int RSI = 6;
    static final int RDI = 7;
    static final int R8 = 8;
    static final int R15 = 15;

    /** Guest registers that have no home. */
    static final int IN_BLOCK = -1;

    private static final int[] HOMES = {
        8, 9, RDX, RBX, 10, RBP, RSI, RDI, IN_BLOCK, IN_BLOCK, IN_BLOCK, IN_BLOCK, 12, 13, 14, 11
    };

    private Registers() {}

    /** The host register that holds guest register {@code guest} (0..15), or {@link #IN_BLOCK}. */
    static int home(int guest) {
        return HOMES[guest];
    }
}
