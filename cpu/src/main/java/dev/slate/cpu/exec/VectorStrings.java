package dev.slate.cpu.exec;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM 2B 4.1). */
final class VectorStrings {
    private final VectorOps v;
    private final CpuState s;
    private final long[] x;

    /** REX.W stood before the running instruction: explicit lengths are 64 bits wide. */
    boolean wide;

    VectorStrings(VectorOps v) {
        this.v = v;
        this.s = v.s;
        this.x = v.x;
    }

    int execute(int op, long w0, long w1, long imm) {
        v.available();
        v.fetch(w0, w1, false);
        int control = (int) imm & 0xff;
        boolean words = (control & 1) != 0;
        int n = words ? 8 : 16;
        int r = Insn.reg(w0) * 4;
        long a0 = x[r];
        long a1 = x[r + 1];
        boolean explicit = op == Op.PCMPESTRI || op == Op.PCMPESTRM;
        int lengthA = explicit ? explicitLength(s.gpr[CpuState.RAX], n) : implicitLength(a0, a1, words, n);
        int lengthB = explicit ? explicitLength(s.gpr[CpuState.RDX], n) : implicitLength(v.b0, v.b1, words, n);
        int result = aggregate(control, n, a0, a1, lengthA, v.b0, v.b1, lengthB);
        int all = (1 << n) - 1;
        if ((control & 0x10) != 0) {
            result ^= (control & 0x20) != 0 ? (1 << lengthB) - 1 : all;
        }
        if (op == Op.PCMPESTRI || op == Op.PCMPISTRI) {
            int index = n;
            if (result != 0) {
                index = (control & 0x40) != 0
                        ? 31 - Integer.numberOfLeadingZeros(result)
                        : Integer.numberOfTrailingZeros(result);
            }
            s.gpr[CpuState.RCX] = index;
        } else if ((control & 0x40) == 0) {
            v.set(0, result, 0);
        } else {
            int half = n / 2;
            v.set(0, mask(result & (1 << half) - 1, words), mask(result >>> half, words));
        }
        s.setStatusFlags((result != 0 ? CpuState.CF : 0)
                | (lengthB < n ? CpuState.ZF : 0)
                | (lengthA < n ? CpuState.SF : 0)
                | ((result & 1) != 0 ? CpuState.OF : 0));
        return Interpreter.NEXT;
    }

    private int explicitLength(long register, int n) {
        long length = wide ? register : (int) register;
        return length == Long.MIN_VALUE ? n : (int) Math.min(Math.abs(length), n);
    }

    private static int implicitLength(long low, long high, boolean words, int n) {
        for (int i = 0; i < n; i++) {
            if (element(low, high, i, words, false) == 0) {
                return i;
            }
        }
        return n;
    }

    private static int element(long low, long high, int i, boolean words, boolean signed) {
        if (words) {
            long w = (i < 4 ? low : high) >>> 16 * (i & 3);
            return signed ? (short) w : (int) w & 0xffff;
        }
        long w = (i < 8 ? low : high) >>> 8 * (i & 7);
        return signed ? (byte) w : (int) w & 0xff;
    }

    private static int aggregate(int control, int n, long a0, long a1, int lengthA, long b0, long b1, int lengthB) {
        boolean words = (control & 1) != 0;
        boolean signed = (control & 2) != 0;
        int kind = control >> 2 & 3;
        int result = 0;
        for (int j = 0; j < n; j++) {
            int b = element(b0, b1, j, words, signed);
            boolean bit;
            switch (kind) {
                case 0 -> {
                    bit = false;
                    for (int i = 0; i < lengthA && j < lengthB; i++) {
                        bit |= element(a0, a1, i, words, signed) == b;
                    }
                }
                case 1 -> {
                    bit = false;
                    for (int i = 0; i + 1 < lengthA && j < lengthB; i += 2) {
                        bit |= element(a0, a1, i, words, signed) <= b && b <= element(a0, a1, i + 1, words, signed);
                    }
                }
                case 2 -> {
                    boolean validA = j < lengthA;
                    boolean validB = j < lengthB;
                    bit = validA && validB ? element(a0, a1, j, words, signed) == b : validA == validB;
                }
                default -> {
                    bit = true;
                    for (int i = 0; i < lengthA && j + i < n; i++) {
                        bit &= j + i < lengthB
                                && element(a0, a1, i, words, signed) == element(b0, b1, j + i, words, signed);
                    }
                }
            }
            result |= bit ? 1 << j : 0;
        }
        return result;
    }

    private static long mask(int bits, boolean words) {
        long r = 0;
        for (int i = 0; i < (words ? 4 : 8); i++) {
            if ((bits >> i & 1) != 0) {
                r |= words ? 0xffffL << 16 * i : 0xffL << 8 * i;
            }
        }
        return r;
    }
}
