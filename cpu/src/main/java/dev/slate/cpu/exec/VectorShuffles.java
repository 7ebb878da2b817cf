package dev.slate.cpu.exec;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** What moves lanes about: unpack, shuffle, pack, insert, extract, blend; and the bitwise operations. */
final class VectorShuffles {
    private static final long LOW32 = 0xffff_ffffL;

    private final VectorOps v;
    private final long[] x;

    VectorShuffles(VectorOps v) {
        this.v = v;
        this.x = v.x;
    }

    int execute(int op, long w0, long w1, long imm) {
        v.available();
        int r = Insn.reg(w0);
        int d = r * 4;
        switch (op) {
            case Op.ANDPS, Op.ANDPD, Op.PAND -> {
                v.fetch(w0, w1, true);
                v.set(r, x[d] & v.b0, x[d + 1] & v.b1);
            }
            case Op.ANDNPS, Op.ANDNPD, Op.PANDN -> {
                v.fetch(w0, w1, true);
                v.set(r, ~x[d] & v.b0, ~x[d + 1] & v.b1);
            }
            case Op.ORPS, Op.ORPD, Op.POR -> {
                v.fetch(w0, w1, true);
                v.set(r, x[d] | v.b0, x[d + 1] | v.b1);
            }
            case Op.XORPS, Op.XORPD, Op.PXOR -> {
                v.fetch(w0, w1, true);
                v.set(r, x[d] ^ v.b0, x[d + 1] ^ v.b1);
            }
            case Op.PUNPCKLQDQ, Op.UNPCKLPD -> {
                v.fetch(w0, w1, true);
                x[d + 1] = v.b0;
            }
            case Op.PUNPCKLDQ, Op.UNPCKLPS -> {
                v.fetch(w0, w1, true);
                long a = x[d];
                v.set(r, a & LOW32 | v.b0 << 32, a >>> 32 | v.b0 & ~LOW32);
            }
            default -> {
                return CpuExit.UNIMPLEMENTED;
            }
        }
        return Interpreter.NEXT;
    }
}
