package dev.slate.cpu.exec;

import dev.slate.cpu.CpuState;

/** FSCALE, FXTRACT and the partial remainders (SDM 2A). */
final class X87Scaling {
    /** Bits by which one partial remainder reduces the exponents' difference, at least 32 and below 64. */
    private static final int REDUCTION = 63;

    private final CpuState s;
    private final X87Stack x;
    private final SoftFloat f;

    X87Scaling(X87Stack x) {
        this.x = x;
        this.s = x.s;
        this.f = x.f;
    }

    /** Unpacks st(0) to A and st(1) to B. False: one is empty, and the response has been given. */
    private boolean operands() {
        x.begin();
        if (x.empty(0) || x.empty(1)) {
            if (x.stackFault(false)) {
                x.setIndefinite(0);
            }
            return false;
        }
        x.unpackB(0);
        f.moveBToA();
        x.unpackB(1);
        return true;
    }

    private void result() {
        if (x.proceed()) {
            x.setResult(0);
            x.finish();
        }
    }

    private void copyA(int exponent) {
        f.kind = f.kindA;
        f.sign = f.signA;
        f.exponent = exponent;
        f.significand = f.significandA;
    }

    private void infinite(boolean negative) {
        f.kind = SoftFloat.INFINITE;
        f.sign = negative;
        f.significand = Long.MIN_VALUE;
    }

    private void zero(boolean negative) {
        f.kind = SoftFloat.ZERO;
        f.sign = negative;
    }

    /** st(0) times two to the power of st(1), truncated. */
    void scale() {
        if (!operands()) {
            return;
        }
        if (!x.nan()) {
            if (f.kindB == SoftFloat.INFINITE) {
                if (f.signB ? f.kindA == SoftFloat.INFINITE : f.kindA == SoftFloat.ZERO) {
                    f.invalid();
                } else {
                    f.denormalOperands();
                    if (f.signB) {
                        zero(f.signA);
                    } else {
                        infinite(f.signA);
                    }
                }
            } else {
                f.denormalOperands();
                if (f.kindB == SoftFloat.ZERO && f.kindA == SoftFloat.FINITE && f.exponentA < -16382) {
                    // Times 2 to the power of 0 is st(0) itself: a denormal one has not underflowed.
                    if (x.proceed()) {
                        x.finish();
                    }
                    return;
                }
                if (f.kindA != SoftFloat.FINITE) {
                    copyA(0);
                } else {
                    f.round(
                            f.signA,
                            f.exponentA + truncated(),
                            f.significandA,
                            0,
                            SoftFloat.EXTENDED,
                            SoftFloat.EXTENDED);
                    beyondScaledResponses();
                }
            }
        }
        result();
    }

    /** What is too large or too small even for the scaled response of an exception that is not masked (SDM 1 8.5.4, 8.5.5). */
    private void beyondScaledResponses() {
        if ((f.after & SoftFloat.OE & ~f.masks) != 0 && f.exponent - X87Stack.SCALE > 16383) {
            f.after |= SoftFloat.PE;
            f.roundedUp = true;
            infinite(f.signA);
        } else if ((f.after & SoftFloat.UE & ~f.masks) != 0 && f.exponent + X87Stack.SCALE < -16382) {
            f.after |= SoftFloat.PE;
            f.roundedUp = false;
            zero(f.signA);
        }
    }

    private int truncated() {
        if (f.kindB == SoftFloat.ZERO || f.exponentB < 0) {
            return 0;
        }
        // Beyond this every result overflows or underflows alike, scaled responses included.
        int n = f.exponentB > 16 ? 1 << 17 : (int) (f.significandB >>> 63 - f.exponentB);
        return f.signB ? -n : n;
    }

    /** The exponent to st(0), then the significand pushed above it. */
    void extract() {
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
            if (x.proceed()) {
                x.setResult(0);
                x.rotate(-1);
                x.setResult(0);
                x.finish();
            }
            return;
        }
        if (f.kindA == SoftFloat.ZERO) {
            f.before |= SoftFloat.ZE;
        }
        f.denormalOperands();
        if (!x.proceed()) {
            return;
        }
        switch (f.kindA) {
            case SoftFloat.ZERO -> infinite(true);
            case SoftFloat.INFINITE -> infinite(false);
            default -> f.fromInteger(f.exponentA, SoftFloat.EXTENDED, SoftFloat.EXTENDED);
        }
        x.setResult(0);
        x.rotate(-1);
        copyA(0);
        x.setResult(0);
        x.finish();
    }

    /** FPREM, and FPREM1 with the quotient rounded to nearest. */
    void remainder(boolean nearest) {
        if (!operands()) {
            s.fsw &= ~X87Stack.C2;
            return;
        }
        long quotient = 0;
        boolean partial = false;
        boolean nan = x.nan();
        if (!nan) {
            if (f.kindA == SoftFloat.INFINITE || f.kindB == SoftFloat.ZERO) {
                f.invalid();
            } else {
                f.denormalOperands();
                if (f.kindA == SoftFloat.ZERO) {
                    zero(f.signA);
                } else if (f.kindB == SoftFloat.INFINITE) {
                    exact(f.signA, f.exponentA, f.significandA);
                } else {
                    partial = f.exponentA - f.exponentB >= 64;
                    quotient = partial ? reduce() : divide(nearest);
                }
            }
        }
        if (!nan && (f.before & (SoftFloat.IE | ~f.masks)) == 0) {
            s.fsw &= ~(X87Stack.C0 | X87Stack.C1 | X87Stack.C2 | X87Stack.C3);
            if (partial) {
                s.fsw |= X87Stack.C2;
            } else {
                s.fsw |= ((quotient & 4) != 0 ? X87Stack.C0 : 0)
                        | ((quotient & 2) != 0 ? X87Stack.C3 : 0)
                        | ((quotient & 1) != 0 ? X87Stack.C1 : 0);
            }
        } else {
            // There is no remainder, so none is partial; the quotient's bits stay as they are.
            s.fsw &= ~X87Stack.C2;
        }
        result();
    }

    private void exact(boolean negative, int exponent, long significand) {
        if (significand == 0) {
            zero(f.signA);
            return;
        }
        int n = Long.numberOfLeadingZeros(significand);
        f.round(negative, exponent - n, significand << n, 0, SoftFloat.EXTENDED, SoftFloat.EXTENDED);
    }

    /** Subtracts multiples of B's significand from A's over {@code steps} shifts; leaves the rest, returns the low quotient bits. */
    private long subtract(int steps) {
        long r = f.significandA;
        long b = f.significandB;
        long q = 0;
        boolean carry = false;
        for (int i = steps; ; i--) {
            q <<= 1;
            if (carry || Long.compareUnsigned(r, b) >= 0) {
                r -= b;
                q |= 1;
            }
            if (i == 0) {
                break;
            }
            carry = r < 0;
            r <<= 1;
        }
        rest = r;
        return q;
    }

    private long rest;

    private long reduce() {
        subtract(REDUCTION);
        exact(f.signA, f.exponentA - REDUCTION, rest);
        return 0;
    }

    private long divide(boolean nearest) {
        int distance = f.exponentA - f.exponentB;
        if (distance < 0) {
            if (nearest && distance == -1 && Long.compareUnsigned(f.significandA, f.significandB) > 0) {
                exact(!f.signA, f.exponentA, f.significandB - (f.significandA - f.significandB));
                return 1;
            }
            exact(f.signA, f.exponentA, f.significandA);
            return 0;
        }
        long q = subtract(distance);
        long r = rest;
        boolean negative = f.signA;
        if (nearest && r != 0) {
            int half = r < 0 ? 1 : Long.compareUnsigned(r << 1, f.significandB);
            if (half > 0 || half == 0 && (q & 1) != 0) {
                r = f.significandB - r;
                negative = !negative;
                q++;
            }
        }
        exact(negative, f.exponentB, r);
        return q;
    }
}
