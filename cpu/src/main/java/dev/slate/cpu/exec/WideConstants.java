package dev.slate.cpu.exec;

import java.math.BigInteger;

/** Constants and series of {@link X87Transcendental}, computed when the first such instruction runs. */
final class WideConstants {
    /** Fraction bits of the integers that constants are computed in. */
    private static final int BITS = 320;
    /** Steps into which arguments of the arc tangent are divided. */
    static final int ARCTAN_STEPS = 32;

    static final WideFloat ONE = WideFloat.of(BigInteger.ONE, BigInteger.ONE);
    static final WideFloat TWO = WideFloat.of(BigInteger.TWO, BigInteger.ONE);
    static final WideFloat LN2 = fixed(ln2());
    /** 2 / ln 2. */
    static final WideFloat TWO_LOG2E = WideFloat.of(BigInteger.ONE.shiftLeft(BITS + 1), ln2());

    static final WideFloat PI = fixed(pi());
    static final WideFloat HALF_PI = fixed(pi().shiftRight(1));

    /** (e^z - 1) / z, for |z| below 0.7. */
    static final WideFloat[] EXPONENTIAL = new WideFloat[48];
    /** sin r / r and cos r in powers of r^2, for |r| up to pi / 4. */
    static final WideFloat[] SINE = new WideFloat[26];

    static final WideFloat[] COSINE = new WideFloat[26];
    /** arctan u / u in powers of u^2, for |u| up to 1 / 64. */
    static final WideFloat[] ARCTANGENT = new WideFloat[18];
    /** artanh s / s in powers of s^2, for |s| up to 0.172. */
    static final WideFloat[] ARTANH = new WideFloat[40];
    /** arctan (k / 32). */
    static final WideFloat[] ARCTANGENTS = new WideFloat[ARCTAN_STEPS + 1];
    /** k / 32. */
    static final WideFloat[] STEPS = new WideFloat[ARCTAN_STEPS + 1];

    static {
        BigInteger factorial = BigInteger.ONE;
        for (int k = 0; k < EXPONENTIAL.length; k++) {
            factorial = factorial.multiply(BigInteger.valueOf(k + 1));
            EXPONENTIAL[k] = WideFloat.of(BigInteger.ONE, factorial);
        }
        factorial = BigInteger.ONE;
        for (int k = 0; k < SINE.length; k++) {
            BigInteger sign = BigInteger.valueOf((k & 1) == 0 ? 1 : -1);
            COSINE[k] = WideFloat.of(sign, factorial);
            factorial = factorial.multiply(BigInteger.valueOf(2L * k + 1));
            SINE[k] = WideFloat.of(sign, factorial);
            factorial = factorial.multiply(BigInteger.valueOf(2L * k + 2));
        }
        for (int k = 0; k < ARCTANGENT.length; k++) {
            ARCTANGENT[k] = WideFloat.of(BigInteger.valueOf((k & 1) == 0 ? 1 : -1), BigInteger.valueOf(2L * k + 1));
        }
        for (int k = 0; k < ARTANH.length; k++) {
            ARTANH[k] = WideFloat.of(BigInteger.ONE, BigInteger.valueOf(2L * k + 1));
        }
        BigInteger angle = BigInteger.ZERO;
        for (int k = 0; k <= ARCTAN_STEPS; k++) {
            if (k > 0) {
                // arctan a - arctan b = arctan ((a - b) / (1 + a b))
                angle = angle.add(arctangent(ARCTAN_STEPS, ARCTAN_STEPS * ARCTAN_STEPS + (long) k * (k - 1)));
            }
            ARCTANGENTS[k] = fixed(angle);
            STEPS[k] = WideFloat.of(BigInteger.valueOf(k), BigInteger.valueOf(ARCTAN_STEPS));
        }
    }

    private WideConstants() {}

    private static WideFloat fixed(BigInteger v) {
        return WideFloat.of(v, BigInteger.ONE.shiftLeft(BITS));
    }

    private static BigInteger ln2() {
        BigInteger sum = BigInteger.ZERO;
        for (int k = 1; k < BITS; k++) {
            sum = sum.add(BigInteger.ONE.shiftLeft(BITS - k).divide(BigInteger.valueOf(k)));
        }
        return sum;
    }

    /** Machin's formula. */
    private static BigInteger pi() {
        return arctangent(1, 5)
                .multiply(BigInteger.valueOf(16))
                .subtract(arctangent(1, 239).multiply(BigInteger.valueOf(4)));
    }

    /** arctan (p / q) for small p / q. */
    private static BigInteger arctangent(long p, long q) {
        BigInteger numerator = BigInteger.valueOf(p);
        BigInteger denominator = BigInteger.valueOf(q);
        BigInteger power = BigInteger.ONE.shiftLeft(BITS).multiply(numerator).divide(denominator);
        BigInteger sum = BigInteger.ZERO;
        for (long k = 1; power.signum() != 0; k += 2) {
            BigInteger term = power.divide(BigInteger.valueOf(k));
            sum = (k & 2) == 0 ? sum.add(term) : sum.subtract(term);
            power = power.multiply(numerator)
                    .divide(denominator)
                    .multiply(numerator)
                    .divide(denominator);
        }
        return sum;
    }
}
