package dev.slate.cpu.exec;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** Conversions between integers, singles and doubles in XMM, MMX and general registers (SDM 1 11.4.4). */
final class VectorConversions {
    private static final long LOW32 = 0xffff_ffffL;

    private final VectorOps v;
    private final VectorFloat floats;
    private final SoftFloat f;
    private final long[] x;

    VectorConversions(VectorOps v) {
        this.v = v;
        this.floats = v.floats;
        this.f = v.floats.f;
        this.x = v.x;
    }

    /** The conversions, CVTPI2PS to CVTPD2DQ. */
    int convert(int op, long w0, long w1) {
        boolean mmx =
                op <= Op.CVTPI2PD || op == Op.CVTTPS2PI || op == Op.CVTTPD2PI || op == Op.CVTPS2PI || op == Op.CVTPD2PI;
        v.available();
        int r = Insn.reg(w0);
        int d = r * 4;
        boolean registers = (w0 & Insn.MEM) == 0;
        if (mmx && (op > Op.CVTPI2PD || registers)) {
            v.availableMmx();
        }
        floats.begin();
        switch (op) {
            case Op.CVTPI2PS -> {
                v.fetchMmx(w0, w1);
                long low = singles(v.b0);
                if (registers) {
                    v.usedMmx();
                }
                floats.end();
                x[d] = low;
            }
            case Op.CVTPI2PD -> {
                v.fetchMmx(w0, w1);
                v.set(r, fromInt((int) v.b0, SoftFloat.DOUBLE), fromInt((int) (v.b0 >>> 32), SoftFloat.DOUBLE));
                if (registers) {
                    v.usedMmx();
                }
            }
            case Op.CVTSI2SS, Op.CVTSI2SD -> {
                boolean wide = Insn.size(w0) == 3;
                long value = v.o.rm(w0, w1, wide ? 3 : 2);
                int format = op == Op.CVTSI2SS ? SoftFloat.SINGLE : SoftFloat.DOUBLE;
                long bits = fromInt(wide ? value : (int) value, format);
                floats.end();
                x[d] = op == Op.CVTSI2SS ? x[d] & ~LOW32 | bits : bits;
            }
            case Op.CVTTSS2SI, Op.CVTSS2SI, Op.CVTTSD2SI, Op.CVTSD2SI -> {
                boolean single = op == Op.CVTTSS2SI || op == Op.CVTSS2SI;
                truncate(op == Op.CVTTSS2SI || op == Op.CVTTSD2SI);
                v.fetchLow(w0, w1, single ? 2 : 3);
                boolean wide = Insn.size(w0) == 3;
                long value = toInt(v.b0, single ? SoftFloat.SINGLE : SoftFloat.DOUBLE, wide ? 64 : 32);
                floats.end();
                v.o.setReg(r, wide ? 3 : 2, value);
            }
            case Op.CVTTPS2PI, Op.CVTPS2PI -> {
                truncate(op == Op.CVTTPS2PI);
                v.fetchLow(w0, w1, 3);
                long value = ints(v.b0);
                // The register file is taken for MMX whether or not #XM follows.
                v.usedMmx();
                floats.end();
                v.setMm(r, value);
            }
            case Op.CVTTPD2PI, Op.CVTPD2PI -> {
                truncate(op == Op.CVTTPD2PI);
                v.fetch(w0, w1, true);
                long value = intsOfDoubles();
                // The register file is taken for MMX whether or not #XM follows.
                v.usedMmx();
                floats.end();
                v.setMm(r, value);
            }
            case Op.CVTPS2PD -> {
                v.fetchLow(w0, w1, 3);
                long low = widen(v.b0 & LOW32);
                long high = widen(v.b0 >>> 32);
                floats.end();
                v.set(r, low, high);
            }
            case Op.CVTPD2PS -> {
                v.fetch(w0, w1, true);
                long low = narrow(v.b0) | narrow(v.b1) << 32;
                floats.end();
                v.set(r, low, 0);
            }
            case Op.CVTSS2SD -> {
                v.fetchLow(w0, w1, 2);
                long value = widen(v.b0 & LOW32);
                floats.end();
                x[d] = value;
            }
            case Op.CVTSD2SS -> {
                v.fetchLow(w0, w1, 3);
                long value = narrow(v.b0);
                floats.end();
                x[d] = x[d] & ~LOW32 | value;
            }
            case Op.CVTDQ2PS -> {
                v.fetch(w0, w1, true);
                long low = singles(v.b0);
                long high = singles(v.b1);
                floats.end();
                v.set(r, low, high);
            }
            case Op.CVTPS2DQ, Op.CVTTPS2DQ -> {
                truncate(op == Op.CVTTPS2DQ);
                v.fetch(w0, w1, true);
                long low = ints(v.b0);
                long high = ints(v.b1);
                floats.end();
                v.set(r, low, high);
            }
            case Op.CVTTPD2DQ, Op.CVTPD2DQ -> {
                truncate(op == Op.CVTTPD2DQ);
                v.fetch(w0, w1, true);
                long low = intsOfDoubles();
                floats.end();
                v.set(r, low, 0);
            }
            case Op.CVTDQ2PD -> {
                v.fetchLow(w0, w1, 3);
                v.set(r, fromInt((int) v.b0, SoftFloat.DOUBLE), fromInt((int) (v.b0 >>> 32), SoftFloat.DOUBLE));
            }
            default -> {
                return CpuExit.UNIMPLEMENTED;
            }
        }
        return Interpreter.NEXT;
    }

    private void truncate(boolean yes) {
        if (yes) {
            f.rounding = SoftFloat.TRUNCATE;
        }
    }

    private long fromInt(long value, int format) {
        f.fromInteger(value, format, format);
        return f.pack(format);
    }

    private long singles(long w) {
        return fromInt((int) w, SoftFloat.SINGLE) | fromInt((int) (w >>> 32), SoftFloat.SINGLE) << 32;
    }

    private long toInt(long bits, int format, int width) {
        f.unpackB(bits, format);
        return f.toSigned(width);
    }

    private long ints(long w) {
        return toInt(w & LOW32, SoftFloat.SINGLE, 32) & LOW32 | toInt(w >>> 32, SoftFloat.SINGLE, 32) << 32;
    }

    private long intsOfDoubles() {
        return toInt(v.b0, SoftFloat.DOUBLE, 32) & LOW32 | toInt(v.b1, SoftFloat.DOUBLE, 32) << 32;
    }

    private long widen(long single) {
        f.unpackB(single, SoftFloat.SINGLE);
        f.convert(SoftFloat.DOUBLE, SoftFloat.DOUBLE);
        return f.pack(SoftFloat.DOUBLE);
    }

    private long narrow(long value) {
        f.unpackB(value, SoftFloat.DOUBLE);
        f.convert(SoftFloat.SINGLE, SoftFloat.SINGLE);
        return f.pack(SoftFloat.SINGLE);
    }
}
