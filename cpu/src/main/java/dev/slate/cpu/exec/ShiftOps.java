package dev.slate.cpu.exec;

import dev.slate.cpu.CpuState;

/**
 * Shifts and rotates on values (SDM 2B SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD). {@code size} and extension are as in
 * {@link IntegerOps}; {@code count} is the count as the instruction gives it, masked here. A masked count of zero changes no flag.
 */
final class ShiftOps {
    private ShiftOps() {}

    private static int mask(long count, int size) {
        return (int) count & (size == 3 ? 63 : 31);
    }

    private static long top(long bit) {
        return bit << 63;
    }

    static long shl(CpuState s, long a, long count, int size) {
        int c = mask(count, size);
        if (c == 0) {
            return a;
        }
        int n = 64 - (8 << size);
        long r = a << c << n >> n;
        // The last bit shifted out is bit (bits - c); beyond the width nothing but zeros comes out.
        int bits = 8 << size;
        long carry = c > bits ? 0 : top(a >>> bits - c);
        s.flagZero = r;
        s.flagSign = r;
        s.flagCarry = carry;
        s.flagOverflow = carry ^ r;
        return r;
    }

    static long shr(CpuState s, long a, long count, int size) {
        int c = mask(count, size);
        if (c == 0) {
            return a;
        }
        long z = IntegerOps.zeroExtend(a, size);
        long r = IntegerOps.extend(z >>> c, size);
        s.flagZero = r;
        s.flagSign = r;
        s.flagCarry = top(z >>> c - 1);
        s.flagOverflow = IntegerOps.extend(a, size);
        return r;
    }

    static long sar(CpuState s, long a, long count, int size) {
        int c = mask(count, size);
        if (c == 0) {
            return a;
        }
        long x = IntegerOps.extend(a, size);
        long r = x >> c;
        s.flagZero = r;
        s.flagSign = r;
        s.flagCarry = top(x >> c - 1);
        s.flagOverflow = 0;
        return r;
    }

    /** Rotates change CF and OF only; bit 3 of the carry vector, AF, stays. */
    private static void rotateFlags(CpuState s, long carry, long overflow) {
        s.flagCarry = s.flagCarry & Long.MAX_VALUE | carry;
        s.flagOverflow = overflow;
    }

    static long rol(CpuState s, long a, long count, int size) {
        int c = mask(count, size);
        if (c == 0) {
            return a;
        }
        int bits = 8 << size;
        int k = c & bits - 1;
        long z = IntegerOps.zeroExtend(a, size);
        long r = k == 0 ? z : z << k | z >>> bits - k;
        r = IntegerOps.extend(r, size);
        long carry = top(r);
        rotateFlags(s, carry, carry ^ r);
        return r;
    }

    static long ror(CpuState s, long a, long count, int size) {
        int c = mask(count, size);
        if (c == 0) {
            return a;
        }
        int bits = 8 << size;
        int k = c & bits - 1;
        long z = IntegerOps.zeroExtend(a, size);
        long r = k == 0 ? z : z >>> k | z << bits - k;
        r = IntegerOps.extend(r, size);
        rotateFlags(s, r & Long.MIN_VALUE, r ^ top(r >>> bits - 2));
        return r;
    }

    static long rcl(CpuState s, long a, long count, int size) {
        int bits = 8 << size;
        int c = mask(count, size) % (bits + 1);
        if (c == 0) {
            // A masked count that is a multiple of the width plus one: CF stays, OF is undefined.
            return a;
        }
        long z = IntegerOps.zeroExtend(a, size);
        long carryIn = s.flagCarry >>> 63;
        long r = (c == 64 ? 0 : z << c) | carryIn << c - 1 | (c == 1 ? 0 : z >>> bits + 1 - c);
        long carry = top(z >>> bits - c);
        r = IntegerOps.extend(r, size);
        rotateFlags(s, carry, carry ^ r);
        return r;
    }

    static long rcr(CpuState s, long a, long count, int size) {
        int bits = 8 << size;
        int c = mask(count, size) % (bits + 1);
        if (c == 0) {
            return a;
        }
        long z = IntegerOps.zeroExtend(a, size);
        long carryIn = s.flagCarry >>> 63;
        long r = (c == 64 ? 0 : z >>> c) | carryIn << bits - c | (c == 1 ? 0 : z << bits + 1 - c);
        long carry = top(z >>> c - 1);
        r = IntegerOps.extend(r, size);
        rotateFlags(s, carry, r ^ top(r >>> bits - 2));
        return r;
    }

    /** SHLD: bits of {@code b} come in from the right. A count beyond a 16-bit operand's width is undefined. */
    static long shld(CpuState s, long a, long b, long count, int size) {
        int c = mask(count, size);
        if (c == 0) {
            return a;
        }
        int bits = 8 << size;
        long x = IntegerOps.zeroExtend(a, size);
        long y = IntegerOps.zeroExtend(b, size);
        long r;
        long carry;
        if (c > bits) {
            // What AMD's and Intel's processors do with the undefined case: a, b, a in one long register.
            long wide = x << 32 | y << 16 | x;
            r = wide >>> 32 - c & 0xffff;
            carry = top(wide >>> 48 - c);
        } else {
            r = c == bits ? y : x << c | y >>> bits - c;
            carry = top(x >>> bits - c);
        }
        r = IntegerOps.extend(r, size);
        s.flagOverflow = carry ^ r;
        s.flagZero = r;
        s.flagSign = r;
        s.flagCarry = carry;
        return r;
    }

    /** SHRD: bits of {@code b} come in from the left. */
    static long shrd(CpuState s, long a, long b, long count, int size) {
        int c = mask(count, size);
        if (c == 0) {
            return a;
        }
        int bits = 8 << size;
        long x = IntegerOps.zeroExtend(a, size);
        long y = IntegerOps.zeroExtend(b, size);
        long r;
        long carry;
        if (c > bits) {
            long wide = x << 32 | y << 16 | x;
            r = wide >>> c & 0xffff;
            carry = top(wide >>> c - 1);
        } else {
            r = c == bits ? y : x >>> c | y << bits - c;
            carry = top(x >>> c - 1);
        }
        r = IntegerOps.extend(r, size);
        s.flagOverflow = r ^ IntegerOps.extend(a, size);
        s.flagZero = r;
        s.flagSign = r;
        s.flagCarry = carry;
        return r;
    }

    // ------------------------------------------------------------------ BMI2: no flags

    static long rorx(long a, long count, int size) {
        return size == 3 ? Long.rotateRight(a, (int) count) : Integer.rotateRight((int) a, (int) count) & 0xffff_ffffL;
    }

    static long shlx(long a, long count, int size) {
        return size == 3 ? a << count : (int) a << (int) count & 0xffff_ffffL;
    }

    static long shrx(long a, long count, int size) {
        return size == 3 ? a >>> count : (int) a >>> (int) count & 0xffff_ffffL;
    }

    static long sarx(long a, long count, int size) {
        return size == 3 ? a >> count : (int) a >> (int) count & 0xffff_ffffL;
    }
}
