package dev.slate.kvm.msr;

import org.jspecify.annotations.Nullable;

/**
 * Memory type range registers (SDM 3A 11.11). They are kept for the guest and change nothing: every page of a guest is write-back.
 * Storage is made at the first write, most guests of a test never do one.
 */
final class MtrrFile {
    private static final int VARIABLE_FIRST = 0x200;
    private static final int VARIABLE_LAST = 0x20f;
    private static final int DEFAULT_TYPE = 0x2ff;
    /** Eight variable ranges, fixed ranges, write-combining. */
    private static final long CAPABILITY = 8 | 1 << 8 | 1 << 10;

    // Variable ranges at 0..15, fixed ones at 16..26, the default type at 27.
    private long @Nullable [] registers;

    boolean holds(int index) {
        return index == Msr.MTRR_CAP || index == Msr.PAT || slot(index) >= 0;
    }

    private static int slot(int index) {
        if (index >= VARIABLE_FIRST && index <= VARIABLE_LAST) {
            return index - VARIABLE_FIRST;
        }
        return switch (index) {
            case 0x250 -> 16;
            case 0x258 -> 17;
            case 0x259 -> 18;
            case 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f -> 19 + index - 0x268;
            case DEFAULT_TYPE -> 27;
            default -> -1;
        };
    }

    long read(int index) {
        if (index == Msr.MTRR_CAP) {
            return CAPABILITY;
        }
        long[] r = registers;
        return r == null ? 0 : r[slot(index)];
    }

    boolean write(int index, long v, int physicalBits) {
        int slot = slot(index);
        if (slot < 0 || !valid(index, v, physicalBits)) {
            return false;
        }
        long[] r = registers;
        if (r == null) {
            r = new long[28];
            registers = r;
        }
        r[slot] = v;
        return true;
    }

    private static boolean valid(int index, long v, int physicalBits) {
        if (index == DEFAULT_TYPE) {
            return (v & ~0xcffL) == 0 && validType((int) v & 0xff);
        }
        if (index > VARIABLE_LAST) {
            for (int i = 0; i < 64; i += 8) {
                if (!validType((int) (v >>> i) & 0xff)) {
                    return false;
                }
            }
            return true;
        }
        long reserved = physicalBits >= 64 ? 0 : -1L << physicalBits;
        boolean isBase = (index & 1) == 0;
        if (isBase && !validType((int) v & 0xff)) {
            return false;
        }
        return (v & (reserved | (isBase ? 0xf00 : 0x7ff))) == 0;
    }

    /** UC, WC, WT, WP, WB. */
    private static boolean validType(int type) {
        return type < 8 && (1 << type & 0x73) != 0;
    }
}
