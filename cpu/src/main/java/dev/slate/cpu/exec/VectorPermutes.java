package dev.slate.cpu.exec;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** What only AVX, AVX2 and F16C have: broadcasts, permutes across halves, masked moves, gathers, variable shifts, half precision. */
final class VectorPermutes {
    private static final long LOW32 = 0xffff_ffffL;

    private final VectorAvx avx;
    private final VectorOps v;
    private final Operands o;
    private final CpuState s;
    private final long[] x;
    private final SoftFloat f;
    /** A result on its way. */
    private final long[] r = new long[4];

    VectorPermutes(VectorAvx avx, VectorOps v) {
        this.avx = avx;
        this.v = v;
        this.o = v.o;
        this.s = v.s;
        this.x = v.x;
        this.f = v.floats.f;
    }

    int execute(int op, long w0, long w1, long imm) {
        boolean wide = Insn.size(w0) == 5;
        int d = Insn.reg(w0);
        switch (op) {
            case Op.ZEROUPPER, Op.ZEROALL -> zero(op == Op.ZEROALL);
            case Op.BROADCASTSS, Op.PBROADCASTD -> broadcast(d, 2, w0, w1, wide);
            case Op.BROADCASTSD, Op.PBROADCASTQ -> broadcast(d, 3, w0, w1, wide);
            case Op.PBROADCASTB -> broadcast(d, 0, w0, w1, wide);
            case Op.PBROADCASTW -> broadcast(d, 1, w0, w1, wide);
            case Op.BROADCASTF128, Op.BROADCASTI128 -> {
                int b = avx.fetch(w0, w1, false);
                avx.set(d, x[b], x[b + 1], x[b], x[b + 1]);
            }
            case Op.EXTRACTF128, Op.EXTRACTI128 -> extract(d * 4 + ((int) imm & 1) * 2, w0, w1);
            case Op.INSERTF128, Op.INSERTI128 -> {
                int a = Insn.vvvv(w0) * 4;
                int b = avx.fetch(w0, w1, false);
                if ((imm & 1) == 0) {
                    avx.set(d, x[b], x[b + 1], x[a + 2], x[a + 3]);
                } else {
                    avx.set(d, x[a], x[a + 1], x[b], x[b + 1]);
                }
            }
            case Op.PERM2F128, Op.PERM2I128 -> {
                int b = avx.fetch(w0, w1, true);
                choose(0, (int) imm, Insn.vvvv(w0) * 4, b);
                choose(2, (int) imm >> 4, Insn.vvvv(w0) * 4, b);
                result(d, true);
            }
            case Op.PERMILPS, Op.PERMILPD -> permuteWithin(op == Op.PERMILPS, w0, w1, (int) imm, wide);
            case Op.PERMPS, Op.PERMD -> {
                int b = avx.fetch(w0, w1, true);
                int control = Insn.vvvv(w0) * 4;
                for (int i = 0; i < 4; i++) {
                    r[i] = dword(b, x[control + i]) | dword(b, x[control + i] >>> 32) << 32;
                }
                result(d, true);
            }
            case Op.PERMQ, Op.PERMPD -> {
                int b = avx.fetch(w0, w1, true);
                for (int i = 0; i < 4; i++) {
                    r[i] = x[b + ((int) imm >> 2 * i & 3)];
                }
                result(d, true);
            }
            case Op.PBLENDD -> {
                int a = Insn.vvvv(w0) * 4;
                int b = avx.fetch(w0, w1, wide);
                for (int i = 0; i < 4; i++) {
                    long mask = ((imm >> 2 * i & 1) != 0 ? LOW32 : 0) | ((imm >> 2 * i + 1 & 1) != 0 ? ~LOW32 : 0);
                    r[i] = x[a + i] & ~mask | x[b + i] & mask;
                }
                result(d, wide);
            }
            case Op.MASKMOVPS, Op.PMASKMOVD -> maskedMove(2, w0, w1, wide);
            case Op.MASKMOVPD, Op.PMASKMOVQ -> maskedMove(3, w0, w1, wide);
            case Op.TESTPS -> test(w0, w1, 0x8000_0000_8000_0000L, wide);
            case Op.TESTPD -> test(w0, w1, Long.MIN_VALUE, wide);
            case Op.PSLLVD, Op.PSLLVQ, Op.PSRLVD, Op.PSRLVQ, Op.PSRAVD -> shift(op, w0, w1, wide);
            case Op.GATHERDPS, Op.PGATHERDD -> gather(2, 2, w0, w1, wide);
            case Op.GATHERDPD, Op.PGATHERDQ -> gather(2, 3, w0, w1, wide);
            case Op.GATHERQPS, Op.PGATHERQD -> gather(3, 2, w0, w1, wide);
            case Op.GATHERQPD, Op.PGATHERQQ -> gather(3, 3, w0, w1, wide);
            case Op.CVTPH2PS -> fromHalf(d, w0, w1, wide);
            case Op.CVTPS2PH -> toHalf(d * 4, w0, w1, (int) imm, wide);
            default -> {
                return CpuExit.UNIMPLEMENTED;
            }
        }
        return Interpreter.NEXT;
    }

    private void result(int d, boolean wide) {
        avx.set(d, r[0], r[1], wide ? r[2] : 0, wide ? r[3] : 0);
    }

    private void zero(boolean all) {
        int registers = v.cpu.mode64 ? 16 : 8;
        for (int i = 0; i < registers; i++) {
            if (all) {
                v.set(i, 0, 0);
            }
            avx.zeroUpper(i);
        }
    }

    private void broadcast(int d, int size, long w0, long w1, boolean wide) {
        long w = IntegerOps.zeroExtend(avx.fetchLow(w0, w1, size), size);
        for (int bits = 8 << size; bits < 64; bits *= 2) {
            w |= w << bits;
        }
        avx.set(d, w, w, wide ? w : 0, wide ? w : 0);
    }

    private void extract(int from, long w0, long w1) {
        if ((w0 & Insn.MEM) == 0) {
            avx.set(Insn.rm(w0), x[from], x[from + 1], 0, 0);
            return;
        }
        v.cpu.store128(Insn.segment(w0), o.address(w0, w1, 16, true), x, from);
    }

    /** PERM2F128: one half of the result. */
    private void choose(int to, int control, int a, int b) {
        int from = ((control & 2) != 0 ? b : a) + (control & 1) * 2;
        boolean zero = (control & 8) != 0;
        r[to] = zero ? 0 : x[from];
        r[to + 1] = zero ? 0 : x[from + 1];
    }

    private long dword(int from, long select) {
        long w = x[from + ((int) select >> 1 & 3)];
        return (select & 1) != 0 ? w >>> 32 : w & LOW32;
    }

    private void permuteWithin(boolean single, long w0, long w1, int imm, boolean wide) {
        boolean immediate = Insn.form(w0) != Insn.FORM_R_V_RM;
        int b = avx.fetch(w0, w1, wide);
        int source = immediate ? b : Insn.vvvv(w0) * 4;
        for (int i = 0; i < 4; i++) {
            int half = source + (i & 2);
            long control = x[b + i];
            if (single) {
                int low = immediate ? imm >> 4 * (i & 1) : (int) control;
                int high = immediate ? imm >> 4 * (i & 1) + 2 : (int) (control >>> 32);
                r[i] = VectorShuffles.dword(x[half], x[half + 1], low)
                        | VectorShuffles.dword(x[half], x[half + 1], high) << 32;
            } else {
                long select = immediate ? imm >> i : control >>> 1;
                r[i] = x[half + (int) (select & 1)];
            }
        }
        result(Insn.reg(w0), wide);
    }

    /** PTEST and its like: of the bits in {@code mask}. */
    void test(long w0, long w1, long mask, boolean wide) {
        int a = Insn.reg(w0) * 4;
        int b = avx.fetch(w0, w1, wide);
        long both = 0;
        long only = 0;
        for (int i = 0; i < (wide ? 4 : 2); i++) {
            both |= x[a + i] & x[b + i];
            only |= ~x[a + i] & x[b + i];
        }
        s.setStatusFlags(((both & mask) == 0 ? CpuState.ZF : 0) | ((only & mask) == 0 ? CpuState.CF : 0));
    }

    private void shift(int op, long w0, long w1, boolean wide) {
        int a = Insn.vvvv(w0) * 4;
        int b = avx.fetch(w0, w1, wide);
        for (int i = 0; i < 4; i++) {
            long value = x[a + i];
            long count = x[b + i];
            r[i] = switch (op) {
                case Op.PSLLVQ -> Long.compareUnsigned(count, 63) > 0 ? 0 : value << count;
                case Op.PSRLVQ -> Long.compareUnsigned(count, 63) > 0 ? 0 : value >>> count;
                default ->
                    shift(op, (int) value, count & LOW32) & LOW32
                            | (long) shift(op, (int) (value >>> 32), count >>> 32) << 32;
            };
        }
        result(Insn.reg(w0), wide);
    }

    private static int shift(int op, int value, long count) {
        if (op == Op.PSRAVD) {
            return value >> Math.min(count, 31);
        }
        return count > 31 ? 0 : op == Op.PSLLVD ? value << count : value >>> count;
    }

    // ------------------------------------------------------------------ memory by masks

    /** The mask's element, by its sign. */
    private boolean masked(int register, int size, int i) {
        return size == 3 ? x[register + i] < 0 : (x[register + (i >> 1)] << 32 * (~i & 1)) < 0;
    }

    private long element(int register, int size, int i) {
        return size == 3 ? x[register + i] : x[register + (i >> 1)] >>> 32 * (i & 1);
    }

    /** Elements whose mask is clear are not accessed: they raise no fault; loaded, they are zero. */
    private void maskedMove(int size, long w0, long w1, boolean wide) {
        int mask = Insn.vvvv(w0) * 4;
        int elements = (wide ? 32 : 16) >> size;
        int seg = Insn.segment(w0);
        long ea = o.offset(w0, w1);
        boolean load = Insn.form(w0) == Insn.FORM_R_V_RM;
        java.util.Arrays.fill(r, 0);
        for (int i = 0; i < elements; i++) {
            if (masked(mask, size, i)) {
                long la = address(seg, w0, ea + ((long) i << size), 1 << size, !load);
                if (load) {
                    put(size, i, v.cpu.load(seg, la, size));
                } else {
                    v.cpu.probeWrite(seg, la, 1 << size);
                }
            }
        }
        if (load) {
            result(Insn.reg(w0), wide);
            return;
        }
        for (int i = 0; i < elements; i++) {
            if (masked(mask, size, i)) {
                long la = address(seg, w0, ea + ((long) i << size), 1 << size, true);
                v.cpu.store(seg, la, size, element(Insn.reg(w0) * 4, size, i));
            }
        }
    }

    private long address(int seg, long w0, long ea, int bytes, boolean write) {
        return v.cpu.linear(seg, Operands.maskAddress(ea, Insn.addressSize(w0)), bytes, write);
    }

    private void put(int size, int i, long value) {
        if (size == 3) {
            r[i] = value;
        } else {
            int shift = 32 * (i & 1);
            r[i >> 1] = r[i >> 1] & ~(LOW32 << shift) | (value & LOW32) << shift;
        }
    }

    /**
     * Gathers: elements are taken in turn and their masks cleared, so that a fault leaves what is done done. {@code indexSize} and
     * {@code size} are log2 of bytes.
     */
    private void gather(int indexSize, int size, long w0, long w1, boolean wide) {
        int d = Insn.reg(w0) * 4;
        int mask = Insn.vvvv(w0) * 4;
        int index = Insn.index(w0) * 4;
        int elements = (wide ? 32 : 16) >> Math.max(indexSize, size);
        int seg = Insn.segment(w0);
        long base = v.gpr[Insn.base(w0)] + Insn.displacement(w1);
        int bytes = wide ? 32 : 16;
        boolean intel = v.cpu.intel;
        if (intel) {
            // What a fault leaves: whole mask elements; and once one element has come, zeros beyond the destination.
            signs(mask, size, bytes);
        }
        System.arraycopy(x, d, r, 0, 4);
        for (int i = 0; i < elements; i++) {
            if (masked(mask, size, i)) {
                long at = indexSize == 3 ? x[index + i] : (int) element(index, 2, i);
                long la = address(seg, w0, base + (at << Insn.scale(w0)), 1 << size, false);
                put(size, i, v.cpu.load(seg, la, size));
                System.arraycopy(r, 0, x, d, 4);
                if (intel) {
                    clearFrom(d, bytes);
                }
            }
            clearMask(mask, size, i);
        }
        // What is beyond the elements is zero, in destination and mask.
        clearFrom(d, elements << size);
        clearFrom(mask, 0);
    }

    private void clearFrom(int register, int bytes) {
        for (int i = 0; i < 4; i++) {
            if (i * 8 >= bytes) {
                x[register + i] = 0;
            }
        }
    }

    /** Spreads each mask element's sign over the element, and clears what is beyond them. */
    private void signs(int register, int size, int bytes) {
        for (int i = 0; i < 4; i++) {
            long w = x[register + i];
            x[register + i] = i * 8 >= bytes ? 0 : size == 3 ? w >> 63 : w >> 63 << 32 | (long) ((int) w >> 31) & LOW32;
        }
    }

    private void clearMask(int register, int size, int i) {
        if (size == 3) {
            x[register + i] = 0;
        } else {
            x[register + (i >> 1)] &= ~(LOW32 << 32 * (i & 1));
        }
    }

    // ------------------------------------------------------------------ half precision

    private void fromHalf(int d, long w0, long w1, boolean wide) {
        long low;
        long high = 0;
        if (wide) {
            int b = avx.fetch(w0, w1, false);
            low = x[b];
            high = x[b + 1];
        } else {
            low = avx.fetchLow(w0, w1, 3);
        }
        v.floats.begin();
        // Denormals are taken as they are, and are no exception.
        f.denormalsAreZero = false;
        for (int i = 0; i < (wide ? 8 : 4); i++) {
            f.unpackB((i < 4 ? low : high) >>> 16 * (i & 3) & 0xffff, SoftFloat.HALF);
            f.denormalB = false;
            f.convert(SoftFloat.SINGLE, SoftFloat.SINGLE);
            put(2, i, f.pack(SoftFloat.SINGLE));
        }
        v.floats.end();
        result(d, wide);
    }

    private void toHalf(int from, long w0, long w1, int control, boolean wide) {
        v.floats.begin();
        f.flushToZero = false;
        if ((control & 4) == 0) {
            f.rounding = control & 3;
        }
        long low = 0;
        long high = 0;
        for (int i = 0; i < (wide ? 8 : 4); i++) {
            f.unpackB(element(from, 2, i) & LOW32, SoftFloat.SINGLE);
            f.convert(SoftFloat.HALF, SoftFloat.HALF);
            long h = f.pack(SoftFloat.HALF) & 0xffff;
            if (i < 4) {
                low |= h << 16 * i;
            } else {
                high |= h << 16 * (i - 4);
            }
        }
        if ((w0 & Insn.MEM) == 0) {
            v.floats.end();
            avx.set(Insn.rm(w0), low, wide ? high : 0, 0, 0);
            return;
        }
        int seg = Insn.segment(w0);
        if (!v.cpu.intel) {
            v.cpu.probeWrite(seg, o.address(w0, w1, wide ? 16 : 8, true), wide ? 16 : 8);
        }
        // Intel's processors have noted what was inexact when the store faults.
        v.floats.end();
        long la = o.address(w0, w1, wide ? 16 : 8, true);
        if (wide) {
            r[0] = low;
            r[1] = high;
            v.cpu.store128(seg, la, r, 0);
        } else {
            v.cpu.store64(seg, la, low);
        }
    }
}
