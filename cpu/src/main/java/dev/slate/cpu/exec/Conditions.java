package dev.slate.cpu.exec;

import dev.slate.cpu.CpuState;

/** The sixteen condition codes on the lazy flag words (SDM 1 appendix B.1). */
final class Conditions {
    private Conditions() {}

    static boolean parity(CpuState s) {
        return (Integer.bitCount((int) s.flagSign & 0xff) & 1) == 0;
    }

    static boolean below(CpuState s) {
        return s.flagCarry < 0;
    }

    static boolean belowOrEqual(CpuState s) {
        return s.flagCarry < 0 || s.flagZero == 0;
    }

    static boolean less(CpuState s) {
        return (s.flagSign ^ s.flagOverflow) < 0;
    }

    static boolean lessOrEqual(CpuState s) {
        return s.flagZero == 0 || (s.flagSign ^ s.flagOverflow) < 0;
    }

    /** Whether condition {@code code} (0..15, as encoded) holds. */
    static boolean holds(CpuState s, int code) {
        boolean c = switch (code >> 1) {
            case 0 -> s.flagOverflow < 0;
            case 1 -> below(s);
            case 2 -> s.flagZero == 0;
            case 3 -> belowOrEqual(s);
            case 4 -> s.flagSign < 0;
            case 5 -> parity(s);
            case 6 -> less(s);
            default -> lessOrEqual(s);
        };
        return c != ((code & 1) != 0);
    }
}
