package dev.slate.cpu.exec;

import dev.slate.cpu.CpuState;

/**
 * Integer arithmetic and logic on values. {@code size} is log2 of the operand size in bytes (0..3); bits of {@code a} and {@code b}
 * above it are ignored, those of results are copies of the sign bit. Flags are left in {@link CpuState}'s lazy words, without a branch.
 */
final class IntegerOps {
    private IntegerOps() {}

    /** Sign-extends an operand. */
    static long extend(long v, int size) {
        int n = 64 - (8 << size);
        return v << n >> n;
    }

    /** Zero-extends an operand. */
    static long zeroExtend(long v, int size) {
        int n = 64 - (8 << size);
        return v << n >>> n;
    }

    static long add(CpuState s, long a, long b, int size) {
        return addCarry(s, a, b, 0, size);
    }

    static long adc(CpuState s, long a, long b, int size) {
        return addCarry(s, a, b, s.flagCarry >>> 63, size);
    }

    private static long addCarry(CpuState s, long a, long b, long carry, int size) {
        int n = 64 - (8 << size);
        a = a << n >> n;
        b = b << n >> n;
        long r = a + b + carry << n >> n;
        s.flagZero = r;
        s.flagSign = r;
        s.flagCarry = a & b | (a | b) & ~r;
        s.flagOverflow = (a ^ r) & (b ^ r);
        return r;
    }

    static long sub(CpuState s, long a, long b, int size) {
        return subBorrow(s, a, b, 0, size);
    }

    static long sbb(CpuState s, long a, long b, int size) {
        return subBorrow(s, a, b, s.flagCarry >>> 63, size);
    }

    private static long subBorrow(CpuState s, long a, long b, long borrow, int size) {
        int n = 64 - (8 << size);
        a = a << n >> n;
        b = b << n >> n;
        long r = a - b - borrow << n >> n;
        s.flagZero = r;
        s.flagSign = r;
        s.flagCarry = ~a & b | ~(a ^ b) & r;
        s.flagOverflow = (a ^ b) & (a ^ r);
        return r;
    }

    static long and(CpuState s, long a, long b, int size) {
        return logic(s, a & b, size);
    }

    static long or(CpuState s, long a, long b, int size) {
        return logic(s, a | b, size);
    }

    static long xor(CpuState s, long a, long b, int size) {
        return logic(s, a ^ b, size);
    }

    /** Flags of a logical result: CF, OF and (undefined) AF clear. */
    static long logic(CpuState s, long r, int size) {
        int n = 64 - (8 << size);
        r = r << n >> n;
        s.flagZero = r;
        s.flagSign = r;
        s.flagCarry = 0;
        s.flagOverflow = 0;
        return r;
    }

    /** INC keeps CF. */
    static long inc(CpuState s, long a, int size) {
        long carry = s.flagCarry & Long.MIN_VALUE;
        long r = add(s, a, 1, size);
        s.flagCarry = s.flagCarry & Long.MAX_VALUE | carry;
        return r;
    }

    /** DEC keeps CF. */
    static long dec(CpuState s, long a, int size) {
        long carry = s.flagCarry & Long.MIN_VALUE;
        long r = sub(s, a, 1, size);
        s.flagCarry = s.flagCarry & Long.MAX_VALUE | carry;
        return r;
    }

    static long neg(CpuState s, long a, int size) {
        return sub(s, 0, a, size);
    }

    // ------------------------------------------------------------------ multiply and divide

    /** CF = OF = whether the product does not fit; SF, ZF, AF, PF are undefined. */
    private static void multiplyFlags(CpuState s, boolean overflow, long low) {
        long f = overflow ? Long.MIN_VALUE : 0;
        s.flagZero = low;
        s.flagSign = low;
        s.flagCarry = f;
        s.flagOverflow = f;
    }

    /** IMUL with two or three operands: the truncated product. */
    static long imul(CpuState s, long a, long b, int size) {
        a = extend(a, size);
        b = extend(b, size);
        long low = a * b;
        long r = extend(low, size);
        multiplyFlags(s, size == 3 ? Math.multiplyHigh(a, b) != low >> 63 : r != low, r);
        return r;
    }

    /** MUL and one-operand IMUL: accumulator by {@code b} into AX, DX:AX, EDX:EAX or RDX:RAX. */
    static void mulAccumulator(CpuState s, long b, int size, boolean signed) {
        long[] g = s.gpr;
        if (size == 3) {
            long a = g[CpuState.RAX];
            long low = a * b;
            long high = signed ? Math.multiplyHigh(a, b) : Math.unsignedMultiplyHigh(a, b);
            g[CpuState.RAX] = low;
            g[CpuState.RDX] = high;
            multiplyFlags(s, signed ? high != low >> 63 : high != 0, low);
            return;
        }
        long a = signed ? extend(g[CpuState.RAX], size) : zeroExtend(g[CpuState.RAX], size);
        long product = a * (signed ? extend(b, size) : zeroExtend(b, size));
        boolean overflow = product != (signed ? extend(product, size) : zeroExtend(product, size));
        long low = extend(product, size);
        switch (size) {
            case 0 -> g[CpuState.RAX] = g[CpuState.RAX] & ~0xffffL | product & 0xffff;
            case 1 -> {
                g[CpuState.RAX] = g[CpuState.RAX] & ~0xffffL | product & 0xffff;
                g[CpuState.RDX] = g[CpuState.RDX] & ~0xffffL | product >>> 16 & 0xffff;
            }
            default -> {
                g[CpuState.RAX] = product & 0xffff_ffffL;
                g[CpuState.RDX] = product >>> 32;
            }
        }
        multiplyFlags(s, overflow, low);
    }

    /**
     * DIV and IDIV: the double-width accumulator by {@code b}. False means #DE, with nothing changed. Flags are undefined and stay, as
     * on AMD's processors.
     */
    static boolean divide(CpuState s, long b, int size, boolean signed) {
        long[] g = s.gpr;
        long rax = g[CpuState.RAX];
        long rdx = g[CpuState.RDX];
        if (size == 3) {
            return signed ? divideSigned128(g, rdx, rax, b) : divideUnsigned128(g, rdx, rax, b);
        }
        b = signed ? extend(b, size) : zeroExtend(b, size);
        if (b == 0) {
            return false;
        }
        long dividend = switch (size) {
            case 0 -> signed ? (short) rax : rax & 0xffff;
            case 1 -> (int) (rdx << 16 | rax & 0xffff) & (signed ? -1L : 0xffff_ffffL);
            default -> rdx << 32 | rax & 0xffff_ffffL;
        };
        long quotient;
        long remainder;
        if (signed) {
            if (dividend == Long.MIN_VALUE && b == -1) {
                return false;
            }
            quotient = dividend / b;
            remainder = dividend % b;
            if (quotient != extend(quotient, size)) {
                return false;
            }
        } else {
            quotient = Long.divideUnsigned(dividend, b);
            remainder = Long.remainderUnsigned(dividend, b);
            if (quotient != zeroExtend(quotient, size)) {
                return false;
            }
        }
        switch (size) {
            case 0 -> g[CpuState.RAX] = rax & ~0xffffL | quotient & 0xff | (remainder & 0xff) << 8;
            case 1 -> {
                g[CpuState.RAX] = rax & ~0xffffL | quotient & 0xffff;
                g[CpuState.RDX] = rdx & ~0xffffL | remainder & 0xffff;
            }
            default -> {
                g[CpuState.RAX] = quotient & 0xffff_ffffL;
                g[CpuState.RDX] = remainder & 0xffff_ffffL;
            }
        }
        return true;
    }

    private static boolean divideUnsigned128(long[] g, long high, long low, long b) {
        if (Long.compareUnsigned(high, b) >= 0) {
            return false;
        }
        if (high == 0) {
            g[CpuState.RAX] = Long.divideUnsigned(low, b);
            g[CpuState.RDX] = Long.remainderUnsigned(low, b);
            return true;
        }
        // Knuth's algorithm D with two 32-bit digits (TAOCP 2, 4.3.1), on a divisor whose top bit is set.
        int shift = Long.numberOfLeadingZeros(b);
        long d = b << shift;
        long dHigh = d >>> 32;
        long dLow = d & 0xffff_ffffL;
        long n = shift == 0 ? high : high << shift | low >>> 64 - shift;
        long nLow = low << shift;
        long q1 = digit(n, dHigh, dLow, nLow >>> 32);
        long rest = (n << 32 | nLow >>> 32) - q1 * d;
        long q0 = digit(rest, dHigh, dLow, nLow & 0xffff_ffffL);
        g[CpuState.RAX] = q1 << 32 | q0;
        g[CpuState.RDX] = (rest << 32 | nLow & 0xffff_ffffL) - q0 * d >>> shift;
        return true;
    }

    /** One 32-bit digit of the quotient of (n, next) by (dHigh, dLow). */
    static long digit(long n, long dHigh, long dLow, long next) {
        long q = Long.divideUnsigned(n, dHigh);
        long r = n - q * dHigh;
        while (q >>> 32 != 0 || Long.compareUnsigned(q * dLow, r << 32 | next) > 0) {
            q--;
            r += dHigh;
            if (r >>> 32 != 0) {
                break;
            }
        }
        return q;
    }

    private static boolean divideSigned128(long[] g, long high, long low, long b) {
        if (b == 0) {
            return false;
        }
        if (high == low >> 63) {
            if (low == Long.MIN_VALUE && b == -1) {
                return false;
            }
            g[CpuState.RAX] = low / b;
            g[CpuState.RDX] = low % b;
            return true;
        }
        boolean negative = high < 0;
        long h = high;
        long l = low;
        if (negative) {
            l = -low;
            h = ~high + (low == 0 ? 1 : 0);
        }
        if (!divideUnsigned128(g, h, l, b < 0 ? -b : b)) {
            return false;
        }
        boolean negativeQuotient = negative != b < 0;
        long q = g[CpuState.RAX];
        // The magnitude may be 2^63 only when the quotient is negative.
        if (q < 0 && !(negativeQuotient && q == Long.MIN_VALUE)) {
            g[CpuState.RAX] = low;
            g[CpuState.RDX] = high;
            return false;
        }
        g[CpuState.RAX] = negativeQuotient ? -q : q;
        g[CpuState.RDX] = negative ? -g[CpuState.RDX] : g[CpuState.RDX];
        return true;
    }
}
