package dev.slate.cpu.exec;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Op;

/**
 * F2XM1, FYL2X, FYL2XP1, FPTAN, FPATAN, FSIN, FCOS and FSINCOS (SDM 1 8.3.6 to 8.3.10, SDM 2A).
 *
 * <p>Results are rounded as the control word says from more than 180 bits, where the manuals allow an error of one unit in the last
 * place (SDM 1 8.3.10): processors of different makers and years differ in it, and so may they and this. Angles are reduced
 * by the 66 bits of pi that processors of both makers use (SDM 1 8.3.8), which for larger angles matters more than any rounding.
 */
final class X87Transcendental {
    /** pi as processors reduce by it: (PI_HIGH:PI_LOW) / 2^64. */
    private static final long PI_HIGH = 3;

    private static final long PI_LOW = 0x243f_6a88_85a3_08d3L;

    private final CpuState s;
    private final X87Stack x;
    private final SoftFloat f;

    private final WideFloat a = new WideFloat();
    private final WideFloat b = new WideFloat();
    private final WideFloat c = new WideFloat();
    private final WideFloat d = new WideFloat();
    private final WideFloat w = new WideFloat();
    private final WideFloat sine = new WideFloat();
    private final WideFloat cosine = new WideFloat();

    X87Transcendental(X87Stack x) {
        this.x = x;
        this.s = x.s;
        this.f = x.f;
    }

    void execute(int op) {
        switch (op) {
            case Op.FSIN, Op.FCOS -> trigonometric(op);
            case Op.FSINCOS, Op.FPTAN -> pushing(op);
            case Op.F2XM1 -> power();
            default -> binary(op);
        }
    }

    // ------------------------------------------------------------------ operands and results

    /** Unpacks st(0) into A. False: it is empty, and the response has been given. */
    private boolean operand() {
        x.begin();
        if (x.empty(0)) {
            if (x.stackFault(false)) {
                x.setIndefinite(0);
            }
            return false;
        }
        x.unpackB(0);
        f.moveBToA();
        return true;
    }

    private void result() {
        if (x.proceed()) {
            x.setResult(0);
            x.finish();
        }
    }

    /** Rounds an inexact value to the result. */
    private void round(WideFloat v) {
        f.round(v.negative, v.exponent, v.high, v.middle | 1, SoftFloat.EXTENDED, SoftFloat.EXTENDED);
    }

    /** Rounds a value of which every bit is known. Silicon sets PE, and UE for a denormal, all the same. */
    private void roundExact(WideFloat v) {
        long sticky = v.low != 0 ? 1 : 0;
        f.round(v.negative, v.exponent, v.high, v.middle | sticky, SoftFloat.EXTENDED, SoftFloat.EXTENDED);
        f.after |= f.kind == SoftFloat.FINITE && f.significand > 0 ? SoftFloat.UE | SoftFloat.PE : SoftFloat.PE;
    }

    private void simple(int kind, boolean negative) {
        f.kind = kind;
        f.sign = negative;
        f.significand = kind == SoftFloat.INFINITE ? Long.MIN_VALUE : 0;
    }

    private void one() {
        f.kind = SoftFloat.FINITE;
        f.sign = false;
        f.exponent = 0;
        f.significand = Long.MIN_VALUE;
    }

    // ------------------------------------------------------------------ angles

    /** Whether st(0), in A, is too large an angle: C2 is set, and nothing else happens. */
    private boolean outOfRange() {
        boolean large = f.kindA == SoftFloat.FINITE && f.exponentA >= 63;
        s.fsw |= large ? X87Stack.C2 : 0;
        return large;
    }

    private void trigonometric(int op) {
        s.fsw &= ~X87Stack.C2;
        if (!operand()) {
            return;
        }
        if (!x.nan()) {
            if (outOfRange()) {
                return;
            }
            if (f.kindA == SoftFloat.INFINITE) {
                f.invalid();
            } else {
                f.denormalOperands();
                if (f.kindA == SoftFloat.ZERO) {
                    if (op == Op.FSIN) {
                        simple(SoftFloat.ZERO, f.signA);
                    } else {
                        one();
                    }
                } else {
                    angle();
                    round(op == Op.FSIN ? sine : cosine);
                }
            }
        }
        result();
    }

    /** FSINCOS and FPTAN: one result in place of st(0), another, or 1, pushed above it. */
    private void pushing(int op) {
        s.fsw &= ~X87Stack.C2;
        x.begin();
        if (x.empty(0) || !x.empty(7)) {
            boolean overflow = !x.empty(0);
            if (x.stackFault(overflow)) {
                x.setIndefinite(0);
                x.rotate(-1);
                x.setIndefinite(0);
            }
            return;
        }
        x.unpackB(0);
        f.moveBToA();
        if (x.nan()) {
            both();
            return;
        }
        if (outOfRange()) {
            return;
        }
        if (f.kindA == SoftFloat.INFINITE) {
            f.invalid();
            both();
            return;
        }
        f.denormalOperands();
        if (!x.proceed()) {
            x.finish();
            return;
        }
        boolean zero = f.kindA == SoftFloat.ZERO;
        if (zero) {
            simple(SoftFloat.ZERO, f.signA);
        } else {
            angle();
            if (op == Op.FPTAN) {
                tangent();
                round(a);
            } else {
                round(sine);
            }
        }
        x.setResult(0);
        x.finish();
        x.rotate(-1);
        f.after = 0;
        if (zero && op == Op.FSINCOS || op == Op.FPTAN) {
            one();
        } else {
            round(cosine);
        }
        x.setResult(0);
        x.finish();
    }

    /** A NaN in place of the operand and above it. */
    private void both() {
        if (x.proceed()) {
            x.setResult(0);
            x.rotate(-1);
            x.setResult(0);
        }
        x.finish();
    }

    /** Sine and cosine of A, finite and not zero. */
    private void angle() {
        int quadrant = reduce();
        // a is the rest, within pi / 4 of zero; its sign is that of A's magnitude's rest.
        w.multiply(a, a);
        b.polynomial(WideConstants.SINE, w);
        b.multiply(b, a);
        c.polynomial(WideConstants.COSINE, w);
        boolean odd = (quadrant & 1) != 0;
        sine.copy(odd ? c : b);
        cosine.copy(odd ? b : c);
        if ((quadrant & 2) != 0) {
            sine.negative = !sine.negative;
        }
        if (quadrant == 1 || quadrant == 2) {
            cosine.negative = !cosine.negative;
        }
        if (f.signA) {
            sine.negative = !sine.negative;
        }
    }

    private void tangent() {
        if (f.exponentA < -64) {
            // x + x^3 / 3: the least bit above x.
            a.set(f.signA, f.exponentA, f.significandA);
            a.low = 1;
            return;
        }
        a.divide(sine, cosine);
    }

    /** Reduces |A| by multiples of pi / 2 to {@link #a}, within pi / 4 of zero; returns the quadrant, 0..3. */
    private int reduce() {
        // Below 2^-1 nothing is to do. Of what is above, the rest of X * 2^(e + 2) divided by PI's integer.
        a.set(false, f.exponentA, f.significandA);
        if (f.exponentA < -1) {
            return 0;
        }
        long high = 0;
        long low = f.significandA;
        int quotient = 0;
        for (int i = f.exponentA + 2; i > 0; i--) {
            high = high << 1 | low >>> 63;
            low <<= 1;
            quotient <<= 1;
            if (high > PI_HIGH || high == PI_HIGH && Long.compareUnsigned(low, PI_LOW) >= 0) {
                high -= PI_HIGH + (Long.compareUnsigned(low, PI_LOW) < 0 ? 1 : 0);
                low -= PI_LOW;
                quotient |= 1;
            }
        }
        // Twice the rest against the whole.
        long twiceHigh = high << 1 | low >>> 63;
        long twiceLow = low << 1;
        boolean above = twiceHigh > PI_HIGH || twiceHigh == PI_HIGH && Long.compareUnsigned(twiceLow, PI_LOW) > 0;
        if (above) {
            high = PI_HIGH - high - (Long.compareUnsigned(PI_LOW, low) < 0 ? 1 : 0);
            low = PI_LOW - low;
            quotient++;
        }
        if (high == 0) {
            int n = Long.numberOfLeadingZeros(low);
            a.set(above, -2 - n, low << n);
        } else {
            int n = Long.numberOfLeadingZeros(high);
            a.set(above, 62 - n, high << n | low >>> 64 - n);
            a.middle = low << n;
        }
        return quotient & 3;
    }

    // ------------------------------------------------------------------ 2^x - 1

    private void power() {
        if (!operand()) {
            return;
        }
        if (!x.nan()) {
            f.denormalOperands();
            switch (f.kindA) {
                case SoftFloat.ZERO -> simple(SoftFloat.ZERO, f.signA);
                case SoftFloat.INFINITE -> {
                    if (f.signA) {
                        one();
                        f.sign = true;
                    } else {
                        simple(SoftFloat.INFINITE, false);
                    }
                }
                default -> {
                    if (f.exponentA >= 0) {
                        // 1 and -1 are exact; beyond them the manuals leave the result undefined: the operand stays.
                        f.after |= SoftFloat.PE;
                        boolean exact = f.exponentA == 0 && f.significandA == Long.MIN_VALUE;
                        f.kind = SoftFloat.FINITE;
                        f.sign = f.signA;
                        f.exponent = exact && f.signA ? -1 : f.exponentA;
                        f.significand = f.significandA;
                    } else {
                        a.set(f.signA, f.exponentA, f.significandA);
                        a.multiply(a, WideConstants.LN2);
                        b.polynomial(WideConstants.EXPONENTIAL, a);
                        b.multiply(b, a);
                        round(b);
                    }
                }
            }
        }
        result();
    }

    // ------------------------------------------------------------------ of st(1) and st(0)

    /** FYL2X, FYL2XP1, FPATAN: the result replaces st(1), and st(0) is popped. B is st(1), A is st(0). */
    private void binary(int op) {
        x.begin();
        if (x.empty(0) || x.empty(1)) {
            if (x.stackFault(false)) {
                x.setIndefinite(1);
                x.pop();
            }
            return;
        }
        x.unpackB(0);
        f.moveBToA();
        x.unpackB(1);
        if (!x.nan()) {
            switch (op) {
                case Op.FPATAN -> arctangent();
                case Op.FYL2X -> logarithm();
                default -> logarithmOfSum();
            }
        }
        if (x.proceed()) {
            x.setResult(1);
            x.finish();
            x.pop();
        }
    }

    private void logarithm() {
        boolean y0 = f.kindB == SoftFloat.ZERO;
        boolean infinite = f.kindB == SoftFloat.INFINITE;
        boolean unity = f.kindA == SoftFloat.FINITE && f.exponentA == 0 && f.significandA == Long.MIN_VALUE;
        if (f.kindA == SoftFloat.ZERO) {
            if (y0) {
                f.invalid();
            } else {
                if (infinite) {
                    simple(SoftFloat.INFINITE, !f.signB);
                } else {
                    f.before |= SoftFloat.ZE;
                    simple(SoftFloat.INFINITE, !f.signB);
                }
            }
            return;
        }
        if (f.signA || f.kindA == SoftFloat.INFINITE && y0 || unity && infinite) {
            f.invalid();
            return;
        }
        f.denormalOperands();
        boolean below = f.kindA == SoftFloat.FINITE && f.exponentA < 0;
        if (infinite || f.kindA == SoftFloat.INFINITE) {
            simple(SoftFloat.INFINITE, f.signB != below);
            return;
        }
        if (y0 || unity) {
            simple(SoftFloat.ZERO, f.signB != below);
            return;
        }
        a.set(false, f.exponentA, f.significandA);
        product(logarithmOfNumber());
    }

    /** Makes {@link #a}, positive, its binary logarithm. True: that is an integer, and exact. */
    private boolean logarithmOfNumber() {
        int e = a.exponent;
        // The significand, as a number from sqrt(1/2) to sqrt(2).
        boolean upper = Long.compareUnsigned(a.high, 0xb504_f333_f9de_6484L) > 0;
        e += upper ? 1 : 0;
        a.exponent = upper ? -1 : 0;
        b.copy(WideConstants.ONE);
        c.add(a, b);
        b.negative = true;
        a.add(a, b);
        if (a.zero()) {
            integer(e);
            return true;
        }
        a.divide(a, c);
        logarithmOfRatio();
        b.copy(a);
        integer(e);
        a.add(a, b);
        return false;
    }

    /** Makes the result {@link #a} times B. */
    private void product(boolean exact) {
        d.set(f.signB, f.exponentB, f.significandB);
        a.multiply(a, d);
        if (exact) {
            roundExact(a);
        } else {
            round(a);
        }
    }

    /** Makes {@link #a} the integer. */
    private void integer(int v) {
        if (v == 0) {
            a.set(false, 0, 0);
            return;
        }
        long m = Math.abs(v);
        int n = Long.numberOfLeadingZeros(m);
        a.set(v < 0, 63 - n, m << n);
    }

    /** Makes {@link #a}, s, log2 ((1 + s) / (1 - s)). */
    private void logarithmOfRatio() {
        w.multiply(a, a);
        b.polynomial(WideConstants.ARTANH, w);
        a.multiply(a, b);
        a.multiply(a, WideConstants.TWO_LOG2E);
    }

    private void logarithmOfSum() {
        boolean xInfinite = f.kindA == SoftFloat.INFINITE;
        boolean yInfinite = f.kindB == SoftFloat.INFINITE;
        boolean x0 = f.kindA == SoftFloat.ZERO;
        boolean y0 = f.kindB == SoftFloat.ZERO;
        if (xInfinite && (f.signA || y0) || yInfinite && x0) {
            f.invalid();
            return;
        }
        f.denormalOperands();
        boolean sign = f.signA != f.signB;
        if (xInfinite || yInfinite) {
            simple(SoftFloat.INFINITE, sign);
            return;
        }
        if (x0 || y0) {
            simple(SoftFloat.ZERO, sign);
            return;
        }
        if (f.exponentA >= 0 && f.signA) {
            // No logarithm; beyond 1 - sqrt(1/2) the manuals leave the result undefined.
            f.after |= SoftFloat.PE;
            f.kind = SoftFloat.FINITE;
            f.sign = true;
            f.exponent = f.exponentA;
            f.significand = f.significandA;
            return;
        }
        a.set(f.signA, f.exponentA, f.significandA);
        if (f.exponentA >= -1) {
            a.add(a, WideConstants.ONE);
            product(logarithmOfNumber());
            return;
        }
        b.add(a, WideConstants.TWO);
        c.divide(a, b);
        a.copy(c);
        logarithmOfRatio();
        product(false);
    }

    /** arctan (st(1) / st(0)) in the quadrant that the two signs tell. */
    private void arctangent() {
        f.denormalOperands();
        boolean left = f.signA;
        boolean negative = f.signB;
        boolean xInfinite = f.kindA == SoftFloat.INFINITE;
        boolean yInfinite = f.kindB == SoftFloat.INFINITE;
        if (f.kindB == SoftFloat.ZERO || xInfinite && !yInfinite) {
            if (!left) {
                simple(SoftFloat.ZERO, negative);
                return;
            }
            a.copy(WideConstants.PI);
        } else if (f.kindA == SoftFloat.ZERO || yInfinite && !xInfinite) {
            a.copy(WideConstants.HALF_PI);
        } else if (yInfinite) {
            // A quarter of pi, or three.
            a.copy(WideConstants.HALF_PI);
            a.exponent--;
            if (left) {
                a.add(a, WideConstants.HALF_PI);
            }
        } else {
            boolean steep = f.exponentB > f.exponentA
                    || f.exponentB == f.exponentA && Long.compareUnsigned(f.significandB, f.significandA) > 0;
            a.set(false, f.exponentA, f.significandA);
            b.set(false, f.exponentB, f.significandB);
            if (steep) {
                c.divide(a, b);
            } else {
                c.divide(b, a);
            }
            arctangentOfRatio();
            if (steep) {
                a.negative = !left;
                a.add(a, WideConstants.HALF_PI);
            } else if (left) {
                a.negative = true;
                a.add(a, WideConstants.PI);
            }
        }
        a.negative = negative;
        round(a);
    }

    /** Makes {@link #a} the arc tangent of {@link #c}, from 0 to 1. */
    private void arctangentOfRatio() {
        int k = c.exponent < -6 ? 0 : (int) ((c.high >>> 58 - c.exponent - 1) + 1 >>> 1);
        if (k == 0) {
            a.copy(c);
        } else {
            d.copy(WideConstants.STEPS[k]);
            b.multiply(c, d);
            b.add(b, WideConstants.ONE);
            d.negative = true;
            c.add(c, d);
            a.divide(c, b);
        }
        w.multiply(a, a);
        b.polynomial(WideConstants.ARCTANGENT, w);
        a.multiply(a, b);
        a.add(a, WideConstants.ARCTANGENTS[k]);
    }
}
