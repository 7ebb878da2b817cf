package dev.slate.cpu.exec;

import dev.slate.cpu.CpuState;

/** Bit scans, counts, bit-field extraction and CRC on values; {@code size} as in {@link IntegerOps}. */
final class BitOps {
    private BitOps() {}

    private static void setCarry(CpuState s, boolean carry) {
        s.flagCarry = s.flagCarry & Long.MAX_VALUE | (carry ? Long.MIN_VALUE : 0);
    }

    /** BT's flag: CF = the bit; the others are undefined and stay. */
    static void test(CpuState s, long a, long bit, int size) {
        setCarry(s, (a >>> (bit & (8 << size) - 1) & 1) != 0);
    }

    static long bts(CpuState s, long a, long bit, int size) {
        test(s, a, bit, size);
        return a | 1L << (bit & (8 << size) - 1);
    }

    static long btr(CpuState s, long a, long bit, int size) {
        test(s, a, bit, size);
        return a & ~(1L << (bit & (8 << size) - 1));
    }

    static long btc(CpuState s, long a, long bit, int size) {
        test(s, a, bit, size);
        return a ^ 1L << (bit & (8 << size) - 1);
    }

    /** BSF; a zero source sets ZF and keeps the destination, all 64 bits of it (APM 3). */
    static long bsf(CpuState s, long source, int size) {
        long z = IntegerOps.zeroExtend(source, size);
        s.flagZero = z;
        return Long.numberOfTrailingZeros(z);
    }

    static long bsr(CpuState s, long source, int size) {
        long z = IntegerOps.zeroExtend(source, size);
        s.flagZero = z;
        return 63 - Long.numberOfLeadingZeros(z);
    }

    static long tzcnt(CpuState s, long source, int size) {
        long z = IntegerOps.zeroExtend(source, size);
        long r = z == 0 ? 8 << size : Long.numberOfTrailingZeros(z);
        countFlags(s, z == 0, r);
        return r;
    }

    static long lzcnt(CpuState s, long source, int size) {
        long z = IntegerOps.zeroExtend(source, size);
        long r = Long.numberOfLeadingZeros(z) - (64 - (8 << size));
        countFlags(s, z == 0, r);
        return r;
    }

    private static void countFlags(CpuState s, boolean none, long r) {
        setCarry(s, none);
        s.flagZero = r;
    }

    static long popcnt(CpuState s, long source, int size) {
        long r = Long.bitCount(IntegerOps.zeroExtend(source, size));
        s.flagZero = r;
        // PF clear: a sign word with one bit set below, none at the top.
        s.flagSign = 1;
        s.flagCarry = 0;
        s.flagOverflow = 0;
        return r;
    }

    static long bswap(long a, int size) {
        return switch (size) {
            case 3 -> Long.reverseBytes(a);
            case 2 -> Integer.reverseBytes((int) a) & 0xffff_ffffL;
            // Undefined; AMD's and Intel's processors clear the word.
            default -> 0;
        };
    }

    static long byteSwap(long a, int size) {
        return size == 1 ? Short.reverseBytes((short) a) & 0xffff : bswap(a, size);
    }

    /** CRC32 (polynomial 11EDC6F41h) over the {@code 1 << size} low bytes of {@code v}. */
    static long crc32(long crc, long v, int size) {
        int c = (int) crc;
        for (int i = 0; i < 1 << size; i++) {
            c ^= (int) (v >>> 8 * i) & 0xff;
            for (int k = 0; k < 8; k++) {
                c = c >>> 1 ^ (0x82f6_3b78 & -(c & 1));
            }
        }
        return c & 0xffff_ffffL;
    }

    // ------------------------------------------------------------------ BMI1, BMI2, ADX

    static long andn(CpuState s, long a, long b, int size) {
        return IntegerOps.logic(s, ~a & b, size);
    }

    static long blsi(CpuState s, long a, int size) {
        long r = IntegerOps.logic(s, a & -a, size);
        setCarry(s, IntegerOps.zeroExtend(a, size) != 0);
        return r;
    }

    static long blsmsk(CpuState s, long a, int size) {
        long r = IntegerOps.logic(s, a ^ a - 1, size);
        setCarry(s, IntegerOps.zeroExtend(a, size) == 0);
        return r;
    }

    static long blsr(CpuState s, long a, int size) {
        long r = IntegerOps.logic(s, a & a - 1, size);
        setCarry(s, IntegerOps.zeroExtend(a, size) == 0);
        return r;
    }

    static long bextr(CpuState s, long a, long control, int size) {
        int start = (int) control & 0xff;
        int length = (int) (control >>> 8) & 0xff;
        long z = IntegerOps.zeroExtend(a, size);
        long r = start > 63 ? 0 : z >>> start;
        if (length < 64) {
            r &= (1L << length) - 1;
        }
        s.flagZero = r;
        s.flagCarry = 0;
        s.flagOverflow = 0;
        return r;
    }

    static long bzhi(CpuState s, long a, long index, int size) {
        int n = (int) index & 0xff;
        int bits = 8 << size;
        long z = IntegerOps.zeroExtend(a, size);
        long r = n < bits ? z & (1L << n) - 1 : z;
        r = IntegerOps.logic(s, r, size);
        setCarry(s, n >= bits);
        return r;
    }

    static long pdep(long a, long mask, int size) {
        return Long.expand(a, IntegerOps.zeroExtend(mask, size));
    }

    static long pext(long a, long mask, int size) {
        return Long.compress(a, IntegerOps.zeroExtend(mask, size));
    }

    static long adcx(CpuState s, long a, long b, int size) {
        long carry = s.flagCarry >>> 63;
        long r = carrySum(a, b, carry, size);
        setCarry(s, carryOut(a, b, r, size));
        return r;
    }

    static long adox(CpuState s, long a, long b, int size) {
        long carry = s.flagOverflow >>> 63;
        long r = carrySum(a, b, carry, size);
        s.flagOverflow = carryOut(a, b, r, size) ? Long.MIN_VALUE : 0;
        return r;
    }

    private static long carrySum(long a, long b, long carry, int size) {
        return IntegerOps.extend(a + b + carry, size);
    }

    private static boolean carryOut(long a, long b, long r, int size) {
        a = IntegerOps.extend(a, size);
        b = IntegerOps.extend(b, size);
        return (a & b | (a | b) & ~r) < 0;
    }
}
