package dev.slate.cpu.exec;

import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** Fused multiply-add (SDM 1 14.5): the product is exact, the sum is rounded once. */
final class VectorFma {
    private static final long LOW32 = 0xffff_ffffL;

    private final VectorAvx avx;
    private final VectorFloat floats;
    private final SoftFloat f;
    private final long[] x;
    private final WideFloat product = new WideFloat();
    private final WideFloat addend = new WideFloat();

    VectorFma(VectorAvx avx, VectorOps v) {
        this.avx = avx;
        this.floats = v.floats;
        this.f = v.floats.f;
        this.x = v.x;
    }

    void execute(int op, long w0, long w1) {
        int kind = op - Op.FMADD132PS;
        // Families of twelve: orders 132, 213, 231 of PS, PD, SS, SD; then two of six, without scalars.
        boolean alternating = kind >= 48;
        int family = alternating ? (kind - 48) / 6 : kind / 12;
        int order = alternating ? (kind - 48) % 6 >> 1 : kind % 12 >> 2;
        int lanes = alternating ? kind & 1 : kind & 3;
        boolean negateProduct = !alternating && family >= 2;
        // Bit 0: of even elements, bit 1: of odd ones.
        int negateAddend = alternating ? (family == 0 ? 1 : 2) : (family & 1) != 0 ? 3 : 0;
        boolean wide = Insn.size(w0) == 5;
        int d = Insn.reg(w0) * 4;
        int second = Insn.vvvv(w0) * 4;
        boolean single = (lanes & 1) == 0;
        if (lanes >= 2) {
            long third = avx.fetchLow(w0, w1, single ? 2 : 3);
            floats.begin();
            long r = single
                    ? x[d] & ~LOW32
                            | element(
                                    order,
                                    x[d] & LOW32,
                                    x[second] & LOW32,
                                    third & LOW32,
                                    negateProduct,
                                    (negateAddend & 1) != 0,
                                    SoftFloat.SINGLE)
                    : element(order, x[d], x[second], third, negateProduct, (negateAddend & 1) != 0, SoftFloat.DOUBLE);
            floats.end();
            avx.set(Insn.reg(w0), r, x[d + 1], 0, 0);
            return;
        }
        int t = avx.fetch(w0, w1, wide);
        floats.begin();
        long r0 = word(single, order, x[d], x[second], x[t], negateProduct, negateAddend, 0);
        long r1 = word(single, order, x[d + 1], x[second + 1], x[t + 1], negateProduct, negateAddend, 1);
        long r2 = 0;
        long r3 = 0;
        if (wide) {
            r2 = word(single, order, x[d + 2], x[second + 2], x[t + 2], negateProduct, negateAddend, 0);
            r3 = word(single, order, x[d + 3], x[second + 3], x[t + 3], negateProduct, negateAddend, 1);
        }
        floats.end();
        avx.set(Insn.reg(w0), r0, r1, r2, r3);
    }

    private long word(boolean single, int order, long a, long b, long c, boolean negate, int negateAddend, int odd) {
        if (!single) {
            return element(order, a, b, c, negate, (negateAddend >> odd & 1) != 0, SoftFloat.DOUBLE);
        }
        return element(order, a & LOW32, b & LOW32, c & LOW32, negate, (negateAddend & 1) != 0, SoftFloat.SINGLE)
                | element(order, a >>> 32, b >>> 32, c >>> 32, negate, (negateAddend & 2) != 0, SoftFloat.SINGLE) << 32;
    }

    /** One element of operands one, two and three; the order's digits say which are multiplied, and which is added. */
    private long element(int order, long one, long two, long three, boolean negate, boolean negateC, int format) {
        long a = order == 0 ? one : two;
        long b = order == 1 ? one : three;
        long c = order == 0 ? two : order == 1 ? three : one;
        f.unpackB(c, format);
        boolean signC = f.signB;
        int kindC = f.kindB;
        int exponentC = f.exponentB;
        long significandC = f.significandB;
        boolean denormalC = f.denormalB;
        f.unpack(a, b, format);
        if (f.kindA >= SoftFloat.QUIET || f.kindB >= SoftFloat.QUIET || kindC >= SoftFloat.QUIET) {
            return nan(signC, kindC, significandC, format);
        }
        boolean sign = f.signA != f.signB != negate;
        signC ^= negateC;
        boolean infinite = f.kindA == SoftFloat.INFINITE || f.kindB == SoftFloat.INFINITE;
        boolean zero = f.kindA == SoftFloat.ZERO || f.kindB == SoftFloat.ZERO;
        if (infinite && (zero || kindC == SoftFloat.INFINITE && signC != sign)) {
            f.invalid();
            return f.pack(format);
        }
        if (f.denormalA || f.denormalB || denormalC) {
            f.before |= SoftFloat.DE;
        }
        if (infinite || kindC == SoftFloat.INFINITE) {
            f.setInfinite(infinite ? sign : signC);
        } else if (zero) {
            if (kindC == SoftFloat.ZERO) {
                f.setZero(sign == signC ? sign : f.rounding == SoftFloat.DOWN);
            } else {
                f.round(signC, exponentC, significandC, 0, format, format);
            }
        } else {
            product(sign);
            if (kindC != SoftFloat.ZERO) {
                addend.set(signC, exponentC, significandC);
                product.add(product, addend);
            }
            if (product.zero()) {
                f.setZero(f.rounding == SoftFloat.DOWN);
            } else {
                long sticky = product.low != 0 ? 1 : 0;
                f.round(product.negative, product.exponent, product.high, product.middle | sticky, format, format);
            }
        }
        return f.pack(format);
    }

    private void product(boolean sign) {
        long high = Math.unsignedMultiplyHigh(f.significandA, f.significandB);
        long low = f.significandA * f.significandB;
        int e = f.exponentA + f.exponentB + 1;
        if (high >= 0) {
            high = high << 1 | low >>> 63;
            low <<= 1;
            e--;
        }
        product.set(sign, e, high);
        product.middle = low;
    }

    /** The first that is a NaN, of what is multiplied and then what is added, made quiet. */
    private long nan(boolean signC, int kindC, long significandC, int format) {
        if (f.kindA == SoftFloat.SIGNALING || f.kindB == SoftFloat.SIGNALING || kindC == SoftFloat.SIGNALING) {
            f.before |= SoftFloat.IE;
        }
        if (f.kindA >= SoftFloat.QUIET) {
            f.setNan(f.signA, f.significandA);
        } else if (f.kindB >= SoftFloat.QUIET) {
            f.setNan(f.signB, f.significandB);
        } else {
            f.setNan(signC, significandC);
        }
        return f.pack(format);
    }
}
