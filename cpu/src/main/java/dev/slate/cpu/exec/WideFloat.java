package dev.slate.cpu.exec;

import java.math.BigInteger;

/**
 * A binary floating-point number of 192 bits, truncated after every operation: what the transcendental x87 instructions compute with,
 * so that rounding to 64 bits is right but for one case in some 2^120. What is too small to be seen in a sum still moves its last bit,
 * so that directed roundings of results next to a representable number go the right way.
 *
 * <p>Value: (high:middle:low) / 2^191 * 2^exponent; the top bit is set unless the number is zero. Not thread-safe. Operands may be the
 * object itself.
 */
final class WideFloat {
    private static final int BITS = 192;

    boolean negative;
    int exponent;
    long high;
    long middle;
    long low;

    private final long[] product = new long[6];

    WideFloat() {}

    boolean zero() {
        return high == 0;
    }

    void set(boolean negative, int exponent, long significand) {
        this.negative = negative;
        this.exponent = exponent;
        high = significand;
        middle = 0;
        low = 0;
    }

    void copy(WideFloat a) {
        negative = a.negative;
        exponent = a.exponent;
        high = a.high;
        middle = a.middle;
        low = a.low;
    }

    /** The number p / q, or the nearest below it in magnitude. Allocates: for constants. */
    static WideFloat of(BigInteger p, BigInteger q) {
        WideFloat r = new WideFloat();
        if (p.signum() == 0) {
            return r;
        }
        int shift = BITS + 1 + q.bitLength() - p.bitLength();
        BigInteger n = (shift >= 0 ? p.abs().shiftLeft(shift) : p.abs().shiftRight(-shift)).divide(q);
        int excess = n.bitLength() - BITS;
        n = n.shiftRight(excess);
        r.negative = p.signum() < 0;
        r.exponent = BITS - 1 + excess - shift;
        r.high = n.shiftRight(128).longValue();
        r.middle = n.shiftRight(64).longValue();
        r.low = n.longValue();
        return r;
    }

    /** Makes this a * b. */
    void multiply(WideFloat a, WideFloat b) {
        boolean sign = a.negative != b.negative;
        if (a.high == 0 || b.high == 0) {
            set(sign, 0, 0);
            return;
        }
        long[] p = product;
        p[0] = 0;
        p[1] = 0;
        p[2] = 0;
        row(a.low, b, 0);
        row(a.middle, b, 1);
        row(a.high, b, 2);
        exponent = a.exponent + b.exponent + 1;
        negative = sign;
        high = p[5];
        middle = p[4];
        low = p[3];
        if (high >= 0) {
            shiftLeft(1, p[2]);
            exponent--;
        }
    }

    /** Adds f * b to the product from word {@code at} on; the three words there are known, the fourth is set. */
    private void row(long f, WideFloat b, int at) {
        long[] p = product;
        long carry = step(f, b.low, at, 0);
        carry = step(f, b.middle, at + 1, carry);
        p[at + 3] = step(f, b.high, at + 2, carry);
    }

    private long step(long f, long g, int at, long carry) {
        long[] p = product;
        long l = f * g;
        long h = Math.unsignedMultiplyHigh(f, g);
        long sum = l + p[at];
        h += Long.compareUnsigned(sum, l) < 0 ? 1 : 0;
        long all = sum + carry;
        h += Long.compareUnsigned(all, sum) < 0 ? 1 : 0;
        p[at] = all;
        return h;
    }

    private void shiftLeft(int n, long next) {
        high = high << n | middle >>> 64 - n;
        middle = middle << n | low >>> 64 - n;
        low = low << n | next >>> 64 - n;
    }

    /** Makes this a + b. */
    void add(WideFloat a, WideFloat b) {
        if (a.high == 0) {
            copy(b);
            return;
        }
        if (b.high == 0) {
            copy(a);
            return;
        }
        boolean swap = b.exponent > a.exponent || b.exponent == a.exponent && below(a.high, a.middle, a.low, b);
        WideFloat big = swap ? b : a;
        WideFloat small = swap ? a : b;
        int distance = big.exponent - small.exponent;
        long h = small.high;
        long m = small.middle;
        long l = small.low;
        if (distance >= BITS) {
            h = 0;
            m = 0;
            l = 1;
        } else {
            for (; distance >= 64; distance -= 64) {
                l = m;
                m = h;
                h = 0;
            }
            if (distance != 0) {
                l = l >>> distance | m << 64 - distance;
                m = m >>> distance | h << 64 - distance;
                h >>>= distance;
            }
        }
        boolean subtract = a.negative != b.negative;
        long bh = big.high;
        long bm = big.middle;
        long bl = big.low;
        negative = big.negative;
        exponent = big.exponent;
        if (subtract) {
            low = bl - l;
            long borrow = Long.compareUnsigned(bl, l) < 0 ? 1 : 0;
            middle = bm - m - borrow;
            borrow = Long.compareUnsigned(bm, m) < 0 || bm == m && borrow != 0 ? 1 : 0;
            high = bh - h - borrow;
            normalize();
            return;
        }
        low = bl + l;
        long carry = Long.compareUnsigned(low, l) < 0 ? 1 : 0;
        long sum = bm + m;
        long more = Long.compareUnsigned(sum, m) < 0 ? 1 : 0;
        middle = sum + carry;
        more |= Long.compareUnsigned(middle, sum) < 0 ? 1 : 0;
        sum = bh + h;
        carry = Long.compareUnsigned(sum, h) < 0 ? 1 : 0;
        high = sum + more;
        carry |= Long.compareUnsigned(high, sum) < 0 ? 1 : 0;
        if (carry != 0) {
            low = low >>> 1 | middle << 63;
            middle = middle >>> 1 | high << 63;
            high = high >>> 1 | Long.MIN_VALUE;
            exponent++;
        }
    }

    private void normalize() {
        for (int words = 0; high == 0; words++) {
            if (words == 3) {
                exponent = 0;
                return;
            }
            high = middle;
            middle = low;
            low = 0;
            exponent -= 64;
        }
        int n = Long.numberOfLeadingZeros(high);
        if (n != 0) {
            shiftLeft(n, 0);
            exponent -= n;
        }
    }

    private static boolean below(long h, long m, long l, WideFloat b) {
        if (h != b.high) {
            return Long.compareUnsigned(h, b.high) < 0;
        }
        return m != b.middle ? Long.compareUnsigned(m, b.middle) < 0 : Long.compareUnsigned(l, b.low) < 0;
    }

    /** Makes this a / b; b is not zero and is another object. */
    void divide(WideFloat a, WideFloat b) {
        boolean sign = a.negative != b.negative;
        if (a.high == 0) {
            set(sign, 0, 0);
            return;
        }
        // The rest, one bit longer than the divisor at most: its top bit is in `carry`.
        long h = a.high;
        long m = a.middle;
        long l = a.low;
        int e = a.exponent - b.exponent;
        boolean carry = false;
        if (below(h, m, l, b)) {
            e--;
            carry = h < 0;
            h = h << 1 | m >>> 63;
            m = m << 1 | l >>> 63;
            l <<= 1;
        }
        long qh = 0;
        long qm = 0;
        long ql = 0;
        for (int i = 0; i < BITS; i++) {
            qh = qh << 1 | qm >>> 63;
            qm = qm << 1 | ql >>> 63;
            ql <<= 1;
            if (carry || !below(h, m, l, b)) {
                long borrow = Long.compareUnsigned(l, b.low) < 0 ? 1 : 0;
                l -= b.low;
                long next = Long.compareUnsigned(m, b.middle) < 0 || m == b.middle && borrow != 0 ? 1 : 0;
                m = m - b.middle - borrow;
                h = h - b.high - next;
                ql |= 1;
            }
            carry = h < 0;
            h = h << 1 | m >>> 63;
            m = m << 1 | l >>> 63;
            l <<= 1;
        }
        negative = sign;
        exponent = e;
        high = qh;
        middle = qm;
        low = ql;
    }

    /** Makes this the polynomial with those coefficients, constant first, at w: an object other than this. */
    void polynomial(WideFloat[] coefficients, WideFloat w) {
        int n = coefficients.length - 1;
        copy(coefficients[n]);
        for (int i = n - 1; i >= 0; i--) {
            multiply(this, w);
            add(this, coefficients[i]);
        }
    }
}
