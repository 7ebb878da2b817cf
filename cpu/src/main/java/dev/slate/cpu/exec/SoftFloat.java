package dev.slate.cpu.exec;

/**
 * IEEE 754 arithmetic on bit patterns, exact in every rounding mode, with x86's exceptions, denormal rules and NaN results
 * (SDM 1 chapter 4 and 11.5). Operands of single (precision 24), double (53) and extended (64) format are unpacked into an exponent and a
 * 64-bit significand whose top bit is set; results are rounded from 128 bits.
 *
 * <p>Exceptions gather in {@link #before} (invalid, denormal, divide by zero: found before computing) and {@link #after} (overflow,
 * underflow, inexact), as MXCSR and the x87 status word number them. One object per processor; not thread-safe.
 */
final class SoftFloat {
    static final int HALF = 11;
    static final int SINGLE = 24;
    static final int DOUBLE = 53;
    static final int EXTENDED = 64;

    static final int IE = 1;
    static final int DE = 2;
    static final int ZE = 4;
    static final int OE = 8;
    static final int UE = 16;

    static final int PE = 32;

    static final int NEAREST = 0;
    static final int DOWN = 1;
    static final int UP = 2;
    static final int TRUNCATE = 3;

    static final int ZERO = 0;
    static final int FINITE = 1;
    static final int INFINITE = 2;
    static final int QUIET = 3;
    static final int SIGNALING = 4;

    /** Rounding mode. */
    int rounding;
    /** Denormal operands count as zero. */
    boolean denormalsAreZero;
    /** Tiny results become zero where underflow is masked. */
    boolean flushToZero;
    /** Exceptions that are masked, in the places of the flags. */
    int masks;

    int before;
    int after;

    // Operands, unpacked. Value: significand / 2^63 * 2^exponent.
    boolean signA;
    int kindA;
    int exponentA;
    long significandA;
    boolean denormalA;
    boolean signB;
    int kindB;
    int exponentB;
    long significandB;
    boolean denormalB;

    // Result, before packing: for a denormal, exponent is the smallest one and the significand's top bit is clear.
    boolean sign;
    int kind;
    int exponent;
    long significand;
    /** The last rounding went away from zero (x87's C1). */
    boolean roundedUp;

    // ------------------------------------------------------------------ unpacking

    static int maxExponent(int format) {
        return format == SINGLE ? 127 : format == DOUBLE ? 1023 : format == HALF ? 15 : 16383;
    }

    private static int exponentBits(int format) {
        return format == SINGLE ? 8 : format == DOUBLE ? 11 : 5;
    }

    /** Unpacks a single or double into operand B. */
    void unpackB(long bits, int format) {
        int fraction = format - 1;
        int width = exponentBits(format);
        int biased = (int) (bits >>> fraction) & (1 << width) - 1;
        long f = bits << 64 - fraction;
        signB = (bits >>> fraction + width & 1) != 0;
        denormalB = false;
        if (biased == (1 << width) - 1) {
            kindB = f == 0 ? INFINITE : f < 0 ? QUIET : SIGNALING;
            significandB = f >>> 1 | Long.MIN_VALUE;
        } else if (biased == 0) {
            if (f == 0 || denormalsAreZero) {
                kindB = ZERO;
                significandB = 0;
            } else {
                kindB = FINITE;
                denormalB = true;
                int n = Long.numberOfLeadingZeros(f);
                significandB = f << n;
                exponentB = -maxExponent(format) - n;
            }
        } else {
            kindB = FINITE;
            significandB = f >>> 1 | Long.MIN_VALUE;
            exponentB = biased - maxExponent(format);
        }
    }

    /** Makes operand A of operand B. */
    void moveBToA() {
        signA = signB;
        kindA = kindB;
        exponentA = exponentB;
        significandA = significandB;
        denormalA = denormalB;
    }

    void unpack(long a, long b, int format) {
        unpackB(a, format);
        moveBToA();
        unpackB(b, format);
    }

    // ------------------------------------------------------------------ packing

    /** The result as a single or double. */
    long pack(int format) {
        int fraction = format - 1;
        int width = exponentBits(format);
        long top = (sign ? 1L : 0) << fraction + width;
        long all = (1L << width) - 1 << fraction;
        return switch (kind) {
            case ZERO -> top;
            case INFINITE -> top | all;
            case FINITE -> {
                long f = significand << 1 >>> 64 - fraction;
                // A clear top bit: a denormal, whose biased exponent is 0.
                long biased = significand < 0 ? exponent + maxExponent(format) : 0;
                yield top | biased << fraction | f;
            }
            default -> top | all | 1L << fraction - 1 | significand << 1 >>> 64 - fraction;
        };
    }

    void setNan(boolean negative, long nan) {
        kind = QUIET;
        sign = negative;
        significand = nan | 0xc000_0000_0000_0000L;
    }

    /** The result of an invalid operation: the default NaN. */
    void invalid() {
        before |= IE;
        setNan(true, 0);
    }

    /** Handles NaN operands as SSE does: the first one that is a NaN, made quiet. True: the result is there. */
    boolean nan() {
        if (kindA < QUIET && kindB < QUIET) {
            return false;
        }
        if (kindA == SIGNALING || kindB == SIGNALING) {
            before |= IE;
        }
        if (kindA >= QUIET) {
            setNan(signA, significandA);
        } else {
            setNan(signB, significandB);
        }
        return true;
    }

    void denormalOperands() {
        if (denormalA || denormalB) {
            before |= DE;
        }
    }

    void setZero(boolean negative) {
        kind = ZERO;
        sign = negative;
        significand = 0;
    }

    void setInfinite(boolean negative) {
        kind = INFINITE;
        sign = negative;
        significand = Long.MIN_VALUE;
    }

    // ------------------------------------------------------------------ rounding

    private boolean up(boolean negative, long keptLowBit, boolean half, boolean more) {
        return switch (rounding) {
            case NEAREST -> half && (more || keptLowBit != 0);
            case DOWN -> negative && (half || more);
            case UP -> !negative && (half || more);
            default -> false;
        };
    }

    /**
     * Rounds (high:low) / 2^127 * 2^exp, whose top bit is set, to {@code precision} bits; exponents as of {@code range}'s format.
     */
    void round(boolean negative, int exp, long high, long low, int precision, int range) {
        int max = maxExponent(range);
        int min = 1 - max;
        kind = FINITE;
        sign = negative;
        roundedUp = false;
        // First as if the exponent had no limits: that decides whether the result is tiny.
        boolean inexact = roundBits(negative, high, low, precision);
        int e = exp + carry;
        if (e < min) {
            if ((masks & UE) == 0) {
                after |= inexact ? UE | PE : UE;
                exponent = e;
                significand = rounded;
                return;
            }
            if (flushToZero) {
                after |= UE | PE;
                setZero(negative);
                return;
            }
            int shift = min - exp;
            long h;
            long l;
            if (shift < 64) {
                l = low >>> shift | high << 64 - shift | (low << 64 - shift != 0 ? 1 : 0);
                h = high >>> shift;
            } else {
                boolean sticky = low != 0 || shift > 64 && (shift >= 128 || high << 128 - shift != 0);
                l = shift >= 128 ? 0 : high >>> shift - 64;
                l |= sticky ? 1 : 0;
                h = 0;
            }
            inexact = roundBits(negative, h, l, precision);
            exponent = min;
            significand = rounded;
            if (inexact) {
                after |= UE | PE;
            }
            if (rounded == 0) {
                kind = ZERO;
            }
            return;
        }
        if (e > max) {
            after |= OE;
            if ((masks & OE) == 0) {
                after |= inexact ? PE : 0;
                exponent = e;
                significand = rounded;
                return;
            }
            after |= PE;
            roundedUp = rounding == NEAREST || rounding == (negative ? DOWN : UP);
            if (roundedUp) {
                setInfinite(negative);
            } else {
                exponent = max;
                significand = -1L << 64 - precision;
            }
            return;
        }
        if (inexact) {
            after |= PE;
        }
        exponent = e;
        significand = rounded;
    }

    private long rounded;
    private int carry;

    /** Rounds to {@code precision} bits into {@link #rounded}, with {@link #carry} out of the top; true when inexact. */
    private boolean roundBits(boolean negative, long high, long low, int precision) {
        boolean half;
        boolean more;
        long one;
        if (precision == 64) {
            half = low < 0;
            more = low << 1 != 0;
            one = 1;
        } else {
            int drop = 64 - precision;
            half = (high >>> drop - 1 & 1) != 0;
            more = (high & (1L << drop - 1) - 1) != 0 || low != 0;
            one = 1L << drop;
            high &= -one;
        }
        carry = 0;
        roundedUp = up(negative, high & one, half, more);
        if (roundedUp) {
            high += one;
            if (high == 0) {
                high = Long.MIN_VALUE;
                carry = 1;
            }
        }
        rounded = high;
        return half || more;
    }

    // ------------------------------------------------------------------ operations on A and B, NaNs already handled

    /** A + B, or A - B; both finite or infinite. */
    void add(boolean subtract, int precision, int range) {
        boolean sb = signB != subtract;
        if (kindA == INFINITE || kindB == INFINITE) {
            if (kindA == INFINITE && kindB == INFINITE && signA != sb) {
                invalid();
                return;
            }
            denormalOperands();
            setInfinite(kindA == INFINITE ? signA : sb);
            return;
        }
        denormalOperands();
        if (kindA == ZERO && kindB == ZERO) {
            setZero(signA == sb ? signA : rounding == DOWN);
            return;
        }
        if (kindA == ZERO) {
            round(sb, exponentB, significandB, 0, precision, range);
            return;
        }
        if (kindB == ZERO) {
            round(signA, exponentA, significandA, 0, precision, range);
            return;
        }
        boolean swap =
                exponentB > exponentA || exponentB == exponentA && Long.compareUnsigned(significandB, significandA) > 0;
        long h = swap ? significandB : significandA;
        int e = swap ? exponentB : exponentA;
        boolean s = swap ? sb : signA;
        long small = swap ? significandA : significandB;
        int distance = e - (swap ? exponentA : exponentB);
        long sh;
        long sl;
        if (distance == 0) {
            sh = small;
            sl = 0;
        } else if (distance < 64) {
            sh = small >>> distance;
            sl = small << 64 - distance;
        } else {
            sh = 0;
            sl = distance < 128 ? small >>> distance - 64 : 0;
            if (distance >= 128 || distance > 64 && small << 128 - distance != 0) {
                sl |= 1;
            }
        }
        if (signA == sb) {
            long l = sl;
            long sum = h + sh;
            if (Long.compareUnsigned(sum, h) < 0) {
                l = l >>> 1 | l & 1 | sum << 63;
                sum = sum >>> 1 | Long.MIN_VALUE;
                e++;
            }
            round(s, e, sum, l, precision, range);
            return;
        }
        long l = -sl;
        long d = h - sh - (sl != 0 ? 1 : 0);
        if (d == 0 && l == 0) {
            setZero(rounding == DOWN);
            return;
        }
        if (d == 0) {
            d = l;
            l = 0;
            e -= 64;
        }
        int n = Long.numberOfLeadingZeros(d);
        if (n != 0) {
            d = d << n | l >>> 64 - n;
            l <<= n;
            e -= n;
        }
        round(s, e, d, l, precision, range);
    }

    void multiply(int precision, int range) {
        boolean s = signA != signB;
        if (kindA == INFINITE || kindB == INFINITE) {
            if (kindA == ZERO || kindB == ZERO) {
                invalid();
                return;
            }
            denormalOperands();
            setInfinite(s);
            return;
        }
        denormalOperands();
        if (kindA == ZERO || kindB == ZERO) {
            setZero(s);
            return;
        }
        long h = Math.unsignedMultiplyHigh(significandA, significandB);
        long l = significandA * significandB;
        int e = exponentA + exponentB + 1;
        if (h >= 0) {
            h = h << 1 | l >>> 63;
            l <<= 1;
            e--;
        }
        round(s, e, h, l, precision, range);
    }

    void divide(int precision, int range) {
        boolean s = signA != signB;
        if (kindA == INFINITE && kindB == INFINITE || kindA == ZERO && kindB == ZERO) {
            invalid();
            return;
        }
        if (kindB == ZERO && kindA == FINITE) {
            before |= ZE;
            setInfinite(s);
            return;
        }
        denormalOperands();
        if (kindA == INFINITE) {
            setInfinite(s);
            return;
        }
        if (kindA == ZERO || kindB == INFINITE) {
            setZero(s);
            return;
        }
        int e = exponentA - exponentB;
        // The dividend, shifted right by one where it is not below the divisor, over 64 zero bits, twice.
        long n = significandA;
        long next = 0;
        if (Long.compareUnsigned(n, significandB) >= 0) {
            next = n << 63;
            n >>>= 1;
        } else {
            e--;
        }
        long h = quotient(n, next, significandB);
        long l = quotient(remainder, 0, significandB);
        round(s, e, h, remainder != 0 ? l | 1 : l, precision, range);
    }

    private long remainder;

    /** (high:low) / d for a normalized d above {@code high}; leaves {@link #remainder}. Knuth's algorithm D on 32-bit digits. */
    private long quotient(long high, long low, long d) {
        long dHigh = d >>> 32;
        long dLow = d & 0xffff_ffffL;
        long q1 = IntegerOps.digit(high, dHigh, dLow, low >>> 32);
        long rest = (high << 32 | low >>> 32) - q1 * d;
        long q0 = IntegerOps.digit(rest, dHigh, dLow, low & 0xffff_ffffL);
        remainder = (rest << 32 | low & 0xffff_ffffL) - q0 * d;
        return q1 << 32 | q0;
    }

    /** The square root of B. */
    void squareRoot(int precision, int range) {
        if (kindB == ZERO) {
            setZero(signB);
            return;
        }
        if (signB) {
            invalid();
            return;
        }
        if (denormalB) {
            before |= DE;
        }
        if (kindB == INFINITE) {
            setInfinite(false);
            return;
        }
        // Bit by bit: the root of significand * 2^k, 66 bits of it, the rest sticky.
        boolean odd = (exponentB & 1) != 0;
        int e = exponentB >> 1;
        long inHigh = odd ? significandB : significandB >>> 1;
        long inLow = odd ? 0 : significandB << 63;
        long rootHigh = 0;
        long root = 0;
        long restHigh = 0;
        long rest = 0;
        for (int i = 0; i < 66; i++) {
            restHigh = restHigh << 2 | rest >>> 62;
            rest = rest << 2 | inHigh >>> 62;
            inHigh = inHigh << 2 | inLow >>> 62;
            inLow <<= 2;
            // Trial: root * 4 + 1.
            long trialHigh = rootHigh << 2 | root >>> 62;
            long trial = root << 2 | 1;
            rootHigh = rootHigh << 1 | root >>> 63;
            root <<= 1;
            if (restHigh > trialHigh || restHigh == trialHigh && Long.compareUnsigned(rest, trial) >= 0) {
                long borrow = Long.compareUnsigned(rest, trial) < 0 ? 1 : 0;
                rest -= trial;
                restHigh -= trialHigh + borrow;
                root |= 1;
            }
        }
        long high = rootHigh << 62 | root >>> 2;
        long low = root << 62 | ((rest | restHigh) != 0 ? 1 : 0);
        round(false, e, high, low, precision, range);
    }

    /** Rounds B to an integral value. */
    void roundToIntegral(int precision, int range) {
        if (kindB != FINITE || exponentB >= 63) {
            kind = kindB;
            sign = signB;
            exponent = exponentB;
            significand = significandB;
            return;
        }
        boolean negative = signB;
        long v = toInteger();
        if (v == 0) {
            setZero(negative);
            return;
        }
        int n = Long.numberOfLeadingZeros(v);
        kind = FINITE;
        sign = negative;
        significand = v << n;
        exponent = 63 - n;
    }

    /** Magnitude of finite B rounded to an integer (exponent below 64); sets {@link #after}'s inexact flag. */
    long toInteger() {
        long v;
        boolean half;
        boolean more;
        int shift = 63 - exponentB;
        if (shift == 0) {
            roundedUp = false;
            return significandB;
        }
        if (shift > 64) {
            v = 0;
            half = false;
            more = true;
        } else {
            v = shift == 64 ? 0 : significandB >>> shift;
            half = (significandB >>> shift - 1 & 1) != 0;
            more = shift > 1 && significandB << 65 - shift != 0;
        }
        if (half || more) {
            after |= PE;
        }
        roundedUp = up(signB, v & 1, half, more);
        return roundedUp ? v + 1 : v;
    }

    /** B as a signed integer of {@code bits}; out of range or not a number: invalid, and the integer indefinite. */
    long toSigned(int bits) {
        long indefinite = -1L << bits - 1;
        if (kindB == ZERO) {
            return 0;
        }
        if (kindB != FINITE || exponentB >= 63) {
            if (kindB == FINITE && exponentB == 63 && bits == 64 && signB && significandB == Long.MIN_VALUE) {
                return Long.MIN_VALUE;
            }
            before |= IE;
            return indefinite;
        }
        int flags = after;
        long v = toInteger();
        // Unsigned: a magnitude may be rounded up to 2^63, which a negative integer of 64 bits has.
        if (Long.compareUnsigned(v, signB ? -indefinite : -(indefinite + 1)) > 0) {
            after = flags;
            before |= IE;
            return indefinite;
        }
        return signB ? -v : v;
    }

    /** Makes A's place of an integer: the result is the integer rounded to a format. */
    void fromInteger(long v, int precision, int range) {
        if (v == 0) {
            setZero(false);
            return;
        }
        boolean negative = v < 0;
        long m = negative ? -v : v;
        int n = Long.numberOfLeadingZeros(m);
        round(negative, 63 - n, m << n, 0, precision, range);
    }

    /** B converted to another format, NaN handled. */
    void convert(int precision, int range) {
        if (kindB >= QUIET) {
            if (kindB == SIGNALING) {
                before |= IE;
            }
            setNan(signB, significandB);
            return;
        }
        if (denormalB) {
            before |= DE;
        }
        if (kindB == ZERO) {
            setZero(signB);
        } else if (kindB == INFINITE) {
            setInfinite(signB);
        } else {
            round(signB, exponentB, significandB, 0, precision, range);
        }
    }

    /** Order of A and B: -1, 0, 1, or 2 for unordered. No exceptions. */
    int compare() {
        if (kindA >= QUIET || kindB >= QUIET) {
            return 2;
        }
        if (kindA == ZERO && kindB == ZERO) {
            return 0;
        }
        int a = kindA == ZERO ? 0 : signA ? -1 : 1;
        int b = kindB == ZERO ? 0 : signB ? -1 : 1;
        if (a != b) {
            return a < b ? -1 : 1;
        }
        int order;
        if (kindA == INFINITE || kindB == INFINITE) {
            order = Integer.compare(kindA, kindB);
        } else if (exponentA != exponentB) {
            order = Integer.compare(exponentA, exponentB);
        } else {
            order = Long.compareUnsigned(significandA, significandB);
        }
        order = Integer.signum(order);
        return a < 0 ? -order : order;
    }
}
