package dev.slate.cpu.exec;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import java.util.Arrays;

/**
 * SSE floating point. The host's own arithmetic serves where it says everything: nearest rounding, all exceptions masked, inexact
 * already flagged, normal operands and result. The rest goes through {@link SoftFloat}.
 */
final class VectorFloat {
    private static final long LOW32 = 0xffff_ffffL;
    /** MXCSR: rounding nearest, all masked, PE set; flush and denormal modes do not matter for normal numbers. */
    private static final int FAST_MASK = 0x7fa0;

    private static final int FAST = 0x1fa0;
    private static final int FLUSH_TO_ZERO = 1 << 15;
    private static final int DENORMALS_ARE_ZERO = 1 << 6;

    // Arithmetic, by (op - ADDPS) / 4.
    private static final int ADD = 0;
    private static final int MUL = 1;
    private static final int SUB = 2;
    private static final int DIV = 3;
    private static final int MIN = 4;
    private static final int MAX = 5;

    private final VectorOps v;
    private final CpuState s;
    private final long[] x;
    final SoftFloat f = new SoftFloat();

    /** The first half of a 256-bit operation, and the second: exceptions are gathered and not raised yet. */
    boolean hold;

    /** By steps: a dot product raises what its products found before it adds. */
    private final int[] heldBefore = new int[3];

    private final int[] heldAfter = new int[3];
    private int step;

    VectorFloat(VectorOps v) {
        this.v = v;
        this.s = v.s;
        this.x = v.x;
    }

    void begin() {
        int m = s.mxcsr;
        f.rounding = m >> 13 & 3;
        f.flushToZero = (m & FLUSH_TO_ZERO) != 0;
        f.denormalsAreZero = (m & DENORMALS_ARE_ZERO) != 0;
        f.masks = m >> 7 & 0x3f;
        f.before = 0;
        f.after = 0;
    }

    /** Raises what is not masked, or notes what was found. No result may have been written yet. */
    void end() {
        if (hold) {
            heldBefore[step] |= f.before;
            heldAfter[step] |= f.after;
            step++;
            return;
        }
        int masks = f.masks;
        if ((f.before & ~masks) != 0) {
            s.mxcsr |= f.before;
            throw raise();
        }
        s.mxcsr |= f.before | f.after;
        if ((f.after & ~masks) != 0) {
            throw raise();
        }
    }

    /** Before each half of a 256-bit operation. */
    void holdHalf(boolean first) {
        hold = true;
        step = 0;
        if (first) {
            Arrays.fill(heldBefore, 0);
            Arrays.fill(heldAfter, 0);
        }
    }

    /** Raises or notes what both halves have found. */
    void release() {
        hold = false;
        f.masks = s.mxcsr >> 7 & 0x3f;
        for (int i = 0; i < heldBefore.length; i++) {
            f.before = heldBefore[i];
            f.after = heldAfter[i];
            end();
        }
    }

    private GuestFault raise() {
        return v.cpu.fault((s.cr4 & CpuState.CR4_OSXMMEXCPT) != 0 ? GuestFault.XM : GuestFault.UD, 0);
    }

    private static boolean normal(long bits) {
        int e = (int) (bits >>> 52) & 0x7ff;
        return e > 1 && e < 0x7ff;
    }

    private static boolean normal(int bits) {
        int e = bits >>> 23 & 0xff;
        return e > 1 && e < 0xff;
    }

    // ------------------------------------------------------------------ dispatch

    int execute(int op, long w0, long w1, long imm) {
        v.available();
        int d = Insn.reg(w0) * 4;
        if (op >= Op.ADDPS && op <= Op.SQRTSD) {
            arithmetic((op - Op.ADDPS) >> 2, op - Op.ADDPS & 3, d, w0, w1);
            return Interpreter.NEXT;
        }
        switch (op) {
            case Op.CMPPS, Op.CMPPD, Op.CMPSS, Op.CMPSD ->
                compare(op - Op.CMPPS, d, (int) imm & (v.vex ? 31 : 7), w0, w1);
            case Op.UCOMISS, Op.COMISS -> order(op == Op.COMISS, SoftFloat.SINGLE, x[d] & LOW32, w0, w1);
            case Op.UCOMISD, Op.COMISD -> order(op == Op.COMISD, SoftFloat.DOUBLE, x[d], w0, w1);
            case Op.RSQRTPS, Op.RSQRTSS, Op.RCPPS, Op.RCPSS -> approximate(op, d, w0, w1);
            case Op.HADDPS, Op.HSUBPS -> {
                v.fetch(w0, w1, true);
                begin();
                int k = op == Op.HADDPS ? ADD : SUB;
                long low = pairs(k, x[d]) | pairs(k, x[d + 1]) << 32;
                long high = pairs(k, v.b0) | pairs(k, v.b1) << 32;
                end();
                v.set(Insn.reg(w0), low, high);
            }
            case Op.HADDPD, Op.HSUBPD -> {
                v.fetch(w0, w1, true);
                begin();
                int k = op == Op.HADDPD ? ADD : SUB;
                long low = binary(k, x[d], x[d + 1], SoftFloat.DOUBLE);
                long high = binary(k, v.b0, v.b1, SoftFloat.DOUBLE);
                end();
                v.set(Insn.reg(w0), low, high);
            }
            case Op.ADDSUBPS -> {
                v.fetch(w0, w1, true);
                begin();
                long low = addSub(x[d], v.b0);
                long high = addSub(x[d + 1], v.b1);
                end();
                v.set(Insn.reg(w0), low, high);
            }
            case Op.ADDSUBPD -> {
                v.fetch(w0, w1, true);
                begin();
                long low = binary(SUB, x[d], v.b0, SoftFloat.DOUBLE);
                long high = binary(ADD, x[d + 1], v.b1, SoftFloat.DOUBLE);
                end();
                v.set(Insn.reg(w0), low, high);
            }
            case Op.ROUNDPS, Op.ROUNDPD, Op.ROUNDSS, Op.ROUNDSD -> round(op - Op.ROUNDPS, d, (int) imm, w0, w1);
            case Op.DPPS -> dotSingle(d, (int) imm, w0, w1);
            case Op.DPPD -> dotDouble(d, (int) imm, w0, w1);
            default -> {
                return CpuExit.UNIMPLEMENTED;
            }
        }
        return Interpreter.NEXT;
    }

    /** Horizontal operation on the two singles of one word. */
    private long pairs(int k, long w) {
        return binary(k, w & LOW32, w >>> 32, SoftFloat.SINGLE);
    }

    private long addSub(long a, long b) {
        return binary(SUB, a & LOW32, b & LOW32, SoftFloat.SINGLE)
                | binary(ADD, a >>> 32, b >>> 32, SoftFloat.SINGLE) << 32;
    }

    /** Fetches for lane kind PS, PD, SS, SD (0..3). */
    private void fetch(int lanes, long w0, long w1) {
        if (lanes < 2) {
            v.fetch(w0, w1, true);
        } else {
            v.fetchLow(w0, w1, lanes == 2 ? 2 : 3);
        }
    }

    private void arithmetic(int k, int lanes, int d, long w0, long w1) {
        fetch(lanes, w0, w1);
        long a0 = x[d];
        long a1 = x[d + 1];
        long b0 = v.b0;
        long b1 = v.b1;
        begin();
        switch (lanes) {
            case 0 -> {
                a0 = binary(k, a0 & LOW32, b0 & LOW32, SoftFloat.SINGLE)
                        | binary(k, a0 >>> 32, b0 >>> 32, SoftFloat.SINGLE) << 32;
                a1 = binary(k, a1 & LOW32, b1 & LOW32, SoftFloat.SINGLE)
                        | binary(k, a1 >>> 32, b1 >>> 32, SoftFloat.SINGLE) << 32;
            }
            case 1 -> {
                a0 = binary(k, a0, b0, SoftFloat.DOUBLE);
                a1 = binary(k, a1, b1, SoftFloat.DOUBLE);
            }
            case 2 -> a0 = a0 & ~LOW32 | binary(k, a0 & LOW32, b0 & LOW32, SoftFloat.SINGLE);
            default -> a0 = binary(k, a0, b0, SoftFloat.DOUBLE);
        }
        end();
        x[d] = a0;
        x[d + 1] = a1;
    }

    // ------------------------------------------------------------------ one lane

    private long binary(int k, long a, long b, int format) {
        if ((s.mxcsr & FAST_MASK) == FAST && k <= DIV) {
            if (format == SoftFloat.DOUBLE) {
                if (normal(a) && normal(b)) {
                    long r =
                            Double.doubleToRawLongBits(fast(k, Double.longBitsToDouble(a), Double.longBitsToDouble(b)));
                    if (normal(r)) {
                        return r;
                    }
                }
            } else if (normal((int) a) && normal((int) b)) {
                int r = Float.floatToRawIntBits(fast(k, Float.intBitsToFloat((int) a), Float.intBitsToFloat((int) b)));
                if (normal(r)) {
                    return r & LOW32;
                }
            }
        }
        return exact(k, a, b, format);
    }

    private static double fast(int k, double a, double b) {
        return switch (k) {
            case ADD -> a + b;
            case MUL -> a * b;
            case SUB -> a - b;
            default -> a / b;
        };
    }

    private static float fast(int k, float a, float b) {
        return switch (k) {
            case ADD -> a + b;
            case MUL -> a * b;
            case SUB -> a - b;
            default -> a / b;
        };
    }

    private long exact(int k, long a, long b, int format) {
        if (k > MAX) {
            return squareRoot(b, format);
        }
        f.unpack(a, b, format);
        if (k >= MIN) {
            return minMax(k == MIN, a, b, format);
        }
        if (!f.nan()) {
            switch (k) {
                case ADD -> f.add(false, format, format);
                case SUB -> f.add(true, format, format);
                case MUL -> f.multiply(format, format);
                default -> f.divide(format, format);
            }
        }
        return f.pack(format);
    }

    private long squareRoot(long b, int format) {
        if ((s.mxcsr & FAST_MASK) == FAST && b > 0) {
            if (format == SoftFloat.DOUBLE && normal(b)) {
                return Double.doubleToRawLongBits(Math.sqrt(Double.longBitsToDouble(b)));
            }
            if (format == SoftFloat.SINGLE && normal((int) b) && (int) b > 0) {
                // Rounding twice is harmless for a square root: 53 bits are more than twice 24 and two.
                return Float.floatToRawIntBits((float) Math.sqrt(Float.intBitsToFloat((int) b)));
            }
        }
        f.unpack(b, b, format);
        if (!f.nan()) {
            f.squareRoot(format, format);
        }
        return f.pack(format);
    }

    /** MIN and MAX: the second operand when either is a NaN or both are zeros. */
    private long minMax(boolean min, long a, long b, int format) {
        if (f.kindA == SoftFloat.ZERO) {
            a = sign(a, format);
        }
        if (f.kindB == SoftFloat.ZERO) {
            b = sign(b, format);
        }
        if (f.kindA >= SoftFloat.QUIET || f.kindB >= SoftFloat.QUIET) {
            f.before |= SoftFloat.IE;
            return b;
        }
        f.denormalOperands();
        int order = f.compare();
        return order != 0 && order < 0 == min ? a : b;
    }

    private static long sign(long bits, int format) {
        return bits & (format == SoftFloat.SINGLE ? 1L << 31 : Long.MIN_VALUE);
    }

    // ------------------------------------------------------------------ comparisons

    private void compare(int lanes, int d, int predicate, long w0, long w1) {
        fetch(lanes, w0, w1);
        begin();
        long a0 = x[d];
        long a1 = x[d + 1];
        switch (lanes) {
            case 0 -> {
                a0 = test(predicate, a0 & LOW32, v.b0 & LOW32, SoftFloat.SINGLE) & LOW32
                        | test(predicate, a0 >>> 32, v.b0 >>> 32, SoftFloat.SINGLE) << 32;
                a1 = test(predicate, a1 & LOW32, v.b1 & LOW32, SoftFloat.SINGLE) & LOW32
                        | test(predicate, a1 >>> 32, v.b1 >>> 32, SoftFloat.SINGLE) << 32;
            }
            case 1 -> {
                a0 = test(predicate, a0, v.b0, SoftFloat.DOUBLE);
                a1 = test(predicate, a1, v.b1, SoftFloat.DOUBLE);
            }
            case 2 -> a0 = a0 & ~LOW32 | test(predicate, a0 & LOW32, v.b0 & LOW32, SoftFloat.SINGLE) & LOW32;
            default -> a0 = test(predicate, a0, v.b0, SoftFloat.DOUBLE);
        }
        end();
        x[d] = a0;
        x[d + 1] = a1;
    }

    /**
     * Of the sixteen relations, EQ LT LE UNORD NEQ NLT NLE ORD and eight that VEX forms have, the orders for which they hold: bit 0 less,
     * 1 equal, 2 greater, 3 unordered.
     */
    private static final long RELATIONS = 0xf465_0b9a_7ced_8312L;

    /** Predicates 16 to 31 are the relations again, with the other choice of whether quiet NaNs are invalid. */
    private long test(int predicate, long a, long b, int format) {
        f.unpack(a, b, format);
        int order = f.compare();
        boolean signals = ((predicate & 3) == 1 || (predicate & 3) == 2) != predicate >= 16;
        if (order == 2) {
            if (signals || f.kindA == SoftFloat.SIGNALING || f.kindB == SoftFloat.SIGNALING) {
                f.before |= SoftFloat.IE;
            }
        } else {
            f.denormalOperands();
        }
        return (RELATIONS >>> 4 * (predicate & 15) + order + 1 & 1) != 0 ? -1 : 0;
    }

    /** COMIS and UCOMIS. */
    private void order(boolean signals, int format, long a, long w0, long w1) {
        v.fetchLow(w0, w1, format == SoftFloat.SINGLE ? 2 : 3);
        begin();
        f.unpack(a, format == SoftFloat.SINGLE ? v.b0 & LOW32 : v.b0, format);
        int order = f.compare();
        if (order == 2) {
            if (signals || f.kindA == SoftFloat.SIGNALING || f.kindB == SoftFloat.SIGNALING) {
                f.before |= SoftFloat.IE;
            }
        } else {
            f.denormalOperands();
        }
        end();
        s.setStatusFlags(
                switch (order) {
                    case 2 -> CpuState.ZF | CpuState.PF | CpuState.CF;
                    case -1 -> CpuState.CF;
                    case 0 -> CpuState.ZF;
                    default -> 0;
                });
    }

    // ------------------------------------------------------------------ the rest

    private void round(int lanes, int d, int control, long w0, long w1) {
        fetch(lanes, w0, w1);
        begin();
        if ((control & 4) == 0) {
            f.rounding = control & 3;
        }
        long a0 = x[d];
        long a1 = x[d + 1];
        switch (lanes) {
            case 0 -> {
                a0 = integral(v.b0 & LOW32, SoftFloat.SINGLE) | integral(v.b0 >>> 32, SoftFloat.SINGLE) << 32;
                a1 = integral(v.b1 & LOW32, SoftFloat.SINGLE) | integral(v.b1 >>> 32, SoftFloat.SINGLE) << 32;
            }
            case 1 -> {
                a0 = integral(v.b0, SoftFloat.DOUBLE);
                a1 = integral(v.b1, SoftFloat.DOUBLE);
            }
            case 2 -> a0 = a0 & ~LOW32 | integral(v.b0 & LOW32, SoftFloat.SINGLE);
            default -> a0 = integral(v.b0, SoftFloat.DOUBLE);
        }
        if ((control & 8) != 0) {
            f.after &= ~SoftFloat.PE;
        }
        end();
        x[d] = a0;
        x[d + 1] = a1;
    }

    private long integral(long bits, int format) {
        f.unpackB(bits, format);
        f.moveBToA();
        if (!f.nan()) {
            f.roundToIntegral(format, format);
        }
        return f.pack(format);
    }

    /** RCP and RSQRT: relative error below 1.5 * 2^-12, no exceptions (SDM 2B RCPPS). */
    private void approximate(int op, int d, long w0, long w1) {
        boolean root = op == Op.RSQRTPS || op == Op.RSQRTSS;
        if (op == Op.RSQRTSS || op == Op.RCPSS) {
            v.fetchLow(w0, w1, 2);
            x[d] = x[d] & ~LOW32 | approximate(root, (int) v.b0) & LOW32;
            return;
        }
        v.fetch(w0, w1, true);
        long low = approximate(root, (int) v.b0) & LOW32 | (long) approximate(root, (int) (v.b0 >>> 32)) << 32;
        long high = approximate(root, (int) v.b1) & LOW32 | (long) approximate(root, (int) (v.b1 >>> 32)) << 32;
        v.set(Insn.reg(w0), low, high);
    }

    private static int approximate(boolean root, int bits) {
        int sign = bits & 1 << 31;
        int exponent = bits >>> 23 & 0xff;
        if (exponent == 0xff && bits << 9 != 0) {
            return bits | 1 << 22;
        }
        if (exponent == 0) {
            return sign | 0x7f80_0000;
        }
        if (root && sign != 0) {
            return 0xffc0_0000;
        }
        double value = Float.intBitsToFloat(bits);
        float r = (float) (root ? 1 / Math.sqrt(value) : 1 / value);
        int rounded = Float.floatToRawIntBits(r) + 0x400 & ~0x7ff;
        // Tiny results are zero.
        return (rounded >>> 23 & 0xff) == 0 ? sign : rounded;
    }

    private void dotSingle(int d, int control, long w0, long w1) {
        v.fetch(w0, w1, true);
        begin();
        long p0 = (control & 0x10) != 0 ? binary(MUL, x[d] & LOW32, v.b0 & LOW32, SoftFloat.SINGLE) : 0;
        long p1 = (control & 0x20) != 0 ? binary(MUL, x[d] >>> 32, v.b0 >>> 32, SoftFloat.SINGLE) : 0;
        long p2 = (control & 0x40) != 0 ? binary(MUL, x[d + 1] & LOW32, v.b1 & LOW32, SoftFloat.SINGLE) : 0;
        long p3 = (control & 0x80) != 0 ? binary(MUL, x[d + 1] >>> 32, v.b1 >>> 32, SoftFloat.SINGLE) : 0;
        // What is not masked ends each step.
        end();
        if (v.cpu.intel) {
            sums(d >> 2, control, p0, p1, p2, p3);
            return;
        }
        long s0 = binary(ADD, p0, p1, SoftFloat.SINGLE);
        long s1 = binary(ADD, p2, p3, SoftFloat.SINGLE);
        end();
        long sum = binary(ADD, s0, s1, SoftFloat.SINGLE);
        end();
        v.set(
                d >> 2,
                ((control & 1) != 0 ? sum : 0) | ((control & 2) != 0 ? sum << 32 : 0),
                ((control & 4) != 0 ? sum : 0) | ((control & 8) != 0 ? sum << 32 : 0));
    }

    /** Intel's processors add in each element, its neighbour's product first: which of several NaNs is handed on shows it. */
    private void sums(int register, int control, long p0, long p1, long p2, long p3) {
        long even0 = binary(ADD, p1, p0, SoftFloat.SINGLE);
        long odd0 = binary(ADD, p0, p1, SoftFloat.SINGLE);
        long even1 = binary(ADD, p3, p2, SoftFloat.SINGLE);
        long odd1 = binary(ADD, p2, p3, SoftFloat.SINGLE);
        end();
        long t0 = binary(ADD, even0, even1, SoftFloat.SINGLE);
        long t1 = binary(ADD, odd0, odd1, SoftFloat.SINGLE);
        long t2 = binary(ADD, even1, even0, SoftFloat.SINGLE);
        long t3 = binary(ADD, odd1, odd0, SoftFloat.SINGLE);
        end();
        v.set(
                register,
                ((control & 1) != 0 ? t0 : 0) | ((control & 2) != 0 ? t1 << 32 : 0),
                ((control & 4) != 0 ? t2 : 0) | ((control & 8) != 0 ? t3 << 32 : 0));
    }

    private void dotDouble(int d, int control, long w0, long w1) {
        v.fetch(w0, w1, true);
        begin();
        long p0 = (control & 0x10) != 0 ? binary(MUL, x[d], v.b0, SoftFloat.DOUBLE) : 0;
        long p1 = (control & 0x20) != 0 ? binary(MUL, x[d + 1], v.b1, SoftFloat.DOUBLE) : 0;
        end();
        long sum = binary(ADD, p0, p1, SoftFloat.DOUBLE);
        long other = v.cpu.intel ? binary(ADD, p1, p0, SoftFloat.DOUBLE) : sum;
        end();
        v.set(d >> 2, (control & 1) != 0 ? sum : 0, (control & 2) != 0 ? other : 0);
    }
}
