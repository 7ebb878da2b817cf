package dev.slate.cpu.exec;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** What moves lanes about: unpack, shuffle, pack, shift, insert, extract, blend, widen, and horizontal sums. */
final class VectorShuffles {
    private static final long LOW32 = 0xffff_ffffL;

    private final VectorOps v;
    private final Operands o;
    private final CpuState s;
    private final long[] x;

    VectorShuffles(VectorOps v) {
        this.v = v;
        this.o = v.o;
        this.s = v.s;
        this.x = v.x;
    }

    int execute(int op, long w0, long w1, long imm) {
        if (Insn.size(w0) == 3 && mmxForm(op)) {
            v.availableMmx();
            int outcome = mmx(op, w0, w1, imm);
            if (outcome == Interpreter.NEXT) {
                v.usedMmx();
            }
            return outcome;
        }
        v.available();
        if (op >= Op.PSRLW && op <= Op.PSLLDQ) {
            shift(op, w0, w1, imm);
            return Interpreter.NEXT;
        }
        if (op >= Op.PMOVSXBW && op <= Op.PMOVZXDQ) {
            widen(op, w0, w1);
            return Interpreter.NEXT;
        }
        if (op >= Op.PINSRB && op <= Op.INSERTPS) {
            insertExtract(op, w0, w1, imm);
            return Interpreter.NEXT;
        }
        v.fetch(w0, w1, true);
        int r = Insn.reg(w0);
        long a0 = x[r * 4];
        long a1 = x[r * 4 + 1];
        long b0 = v.b0;
        long b1 = v.b1;
        switch (op) {
            case Op.PUNPCKLBW -> v.set(r, PackedOps.interleaveLow(a0, b0, 8), PackedOps.interleaveHigh(a0, b0, 8));
            case Op.PUNPCKLWD -> v.set(r, PackedOps.interleaveLow(a0, b0, 16), PackedOps.interleaveHigh(a0, b0, 16));
            case Op.PUNPCKLDQ, Op.UNPCKLPS ->
                v.set(r, PackedOps.interleaveLow(a0, b0, 32), PackedOps.interleaveHigh(a0, b0, 32));
            case Op.PUNPCKLQDQ, Op.UNPCKLPD -> v.set(r, a0, b0);
            case Op.PUNPCKHBW -> v.set(r, PackedOps.interleaveLow(a1, b1, 8), PackedOps.interleaveHigh(a1, b1, 8));
            case Op.PUNPCKHWD -> v.set(r, PackedOps.interleaveLow(a1, b1, 16), PackedOps.interleaveHigh(a1, b1, 16));
            case Op.PUNPCKHDQ, Op.UNPCKHPS ->
                v.set(r, PackedOps.interleaveLow(a1, b1, 32), PackedOps.interleaveHigh(a1, b1, 32));
            case Op.PUNPCKHQDQ, Op.UNPCKHPD -> v.set(r, a1, b1);
            case Op.SHUFPS ->
                v.set(
                        r,
                        dword(a0, a1, imm) | dword(a0, a1, imm >> 2) << 32,
                        dword(b0, b1, imm >> 4) | dword(b0, b1, imm >> 6) << 32);
            case Op.SHUFPD -> v.set(r, (imm & 1) != 0 ? a1 : a0, (imm & 2) != 0 ? b1 : b0);
            case Op.PACKSSWB, Op.PACKUSWB -> {
                boolean u = op == Op.PACKUSWB;
                v.set(
                        r,
                        PackedOps.packWords(a0, u) | PackedOps.packWords(a1, u) << 32,
                        PackedOps.packWords(b0, u) | PackedOps.packWords(b1, u) << 32);
            }
            case Op.PACKSSDW, Op.PACKUSDW -> {
                boolean u = op == Op.PACKUSDW;
                v.set(
                        r,
                        PackedOps.packDwords(a0, u) | PackedOps.packDwords(a1, u) << 32,
                        PackedOps.packDwords(b0, u) | PackedOps.packDwords(b1, u) << 32);
            }
            case Op.PSHUFD ->
                v.set(
                        r,
                        dword(b0, b1, imm) | dword(b0, b1, imm >> 2) << 32,
                        dword(b0, b1, imm >> 4) | dword(b0, b1, imm >> 6) << 32);
            case Op.PSHUFLW -> v.set(r, shuffleWords(b0, imm), b1);
            case Op.PSHUFHW -> v.set(r, b0, shuffleWords(b1, imm));
            case Op.PSHUFB -> v.set(r, shuffleBytes(a0, a1, b0, 15), shuffleBytes(a0, a1, b1, 15));
            case Op.PALIGNR -> {
                int n = (int) imm & 0xff;
                v.set(r, align(a0, a1, b0, b1, n), align(a0, a1, b0, b1, n + 8));
            }
            case Op.PHADDW, Op.PHADDD, Op.PHADDSW, Op.PHSUBW, Op.PHSUBD, Op.PHSUBSW ->
                v.set(r, horizontal(op, a0) | horizontal(op, a1) << 32, horizontal(op, b0) | horizontal(op, b1) << 32);
            case Op.PBLENDVB ->
                v.set(r, select(a0, b0, byteMask(x[v.blendMask])), select(a1, b1, byteMask(x[v.blendMask + 1])));
            case Op.BLENDVPS ->
                v.set(r, select(a0, b0, dwordMask(x[v.blendMask])), select(a1, b1, dwordMask(x[v.blendMask + 1])));
            case Op.BLENDVPD -> v.set(r, x[v.blendMask] < 0 ? b0 : a0, x[v.blendMask + 1] < 0 ? b1 : a1);
            case Op.BLENDPS -> v.set(r, select(a0, b0, pairMask(imm)), select(a1, b1, pairMask(imm >> 2)));
            case Op.BLENDPD -> v.set(r, (imm & 1) != 0 ? b0 : a0, (imm & 2) != 0 ? b1 : a1);
            case Op.PBLENDW -> v.set(r, select(a0, b0, wordMask(imm)), select(a1, b1, wordMask(imm >> 4)));
            case Op.PTEST -> {
                boolean zero = (a0 & b0 | a1 & b1) == 0;
                boolean covered = (~a0 & b0 | ~a1 & b1) == 0;
                s.setStatusFlags((zero ? CpuState.ZF : 0) | (covered ? CpuState.CF : 0));
            }
            case Op.PHMINPOSUW -> {
                int best = 0;
                for (int i = 1; i < 8; i++) {
                    if (word(b0, b1, i) < word(b0, b1, best)) {
                        best = i;
                    }
                }
                v.set(r, word(b0, b1, best) | (long) best << 16, 0);
            }
            case Op.MPSADBW -> v.set(r, sums(a0, a1, b0, b1, (int) imm, 0), sums(a0, a1, b0, b1, (int) imm, 4));
            default -> {
                return CpuExit.UNIMPLEMENTED;
            }
        }
        return Interpreter.NEXT;
    }

    // ------------------------------------------------------------------ MMX

    private static boolean mmxForm(int op) {
        return op >= Op.PUNPCKLBW && op <= Op.PACKUSDW
                || op == Op.PSHUFW
                || op == Op.PSHUFB
                || op >= Op.PSRLW && op <= Op.PSLLDQ
                || op >= Op.PHADDW && op <= Op.PHSUBSW
                || op == Op.PALIGNR
                || op == Op.PINSRW
                || op == Op.PEXTRW;
    }

    private int mmx(int op, long w0, long w1, long imm) {
        int r = Insn.reg(w0);
        if (op >= Op.PSRLW && op <= Op.PSLLDQ) {
            boolean immediate = Insn.form(w0) != Insn.FORM_R_RM;
            if (immediate) {
                r = Insn.rm(w0);
            } else {
                v.fetchMmx(w0, w1);
            }
            v.setMm(r, PackedOps.shift(op, v.mm(r), immediate ? imm & 0xff : v.b0));
            return Interpreter.NEXT;
        }
        if (op == Op.PINSRW) {
            long value = (w0 & Insn.MEM) != 0 ? o.loadMemory(w0, w1, 1) : v.gpr[Insn.rm(w0)];
            int at = ((int) imm & 3) * 16;
            v.setMm(r, v.mm(r) & ~(0xffffL << at) | (value & 0xffff) << at);
            return Interpreter.NEXT;
        }
        if (op == Op.PEXTRW) {
            v.gpr[r] = v.mm(Insn.rm(w0)) >>> ((int) imm & 3) * 16 & 0xffff;
            return Interpreter.NEXT;
        }
        boolean low = op >= Op.PUNPCKLBW && op <= Op.PUNPCKLDQ;
        if (low && (w0 & Insn.MEM) != 0) {
            v.b0 = o.loadMemory(w0, w1, 2);
        } else {
            v.fetchMmx(w0, w1);
        }
        long a = v.mm(r);
        long b = v.b0;
        long value;
        switch (op) {
            case Op.PUNPCKLBW -> value = PackedOps.interleaveLow(a, b, 8);
            case Op.PUNPCKLWD -> value = PackedOps.interleaveLow(a, b, 16);
            case Op.PUNPCKLDQ -> value = PackedOps.interleaveLow(a, b, 32);
            case Op.PUNPCKHBW -> value = PackedOps.interleaveHigh(a, b, 8);
            case Op.PUNPCKHWD -> value = PackedOps.interleaveHigh(a, b, 16);
            case Op.PUNPCKHDQ -> value = PackedOps.interleaveHigh(a, b, 32);
            case Op.PACKSSWB -> value = PackedOps.packWords(a, false) | PackedOps.packWords(b, false) << 32;
            case Op.PACKUSWB -> value = PackedOps.packWords(a, true) | PackedOps.packWords(b, true) << 32;
            case Op.PACKSSDW -> value = PackedOps.packDwords(a, false) | PackedOps.packDwords(b, false) << 32;
            case Op.PSHUFW -> value = shuffleWords(b, imm);
            case Op.PSHUFB -> value = shuffleBytes(a, 0, b, 7);
            case Op.PALIGNR -> {
                int n = (int) imm & 0xff;
                value = n == 0 ? b : n < 8 ? b >>> 8 * n | a << 64 - 8 * n : n < 16 ? a >>> 8 * (n - 8) : 0;
            }
            default -> value = horizontal(op, a) | horizontal(op, b) << 32;
        }
        v.setMm(r, value);
        return Interpreter.NEXT;
    }

    // ------------------------------------------------------------------ parts

    static long dword(long low, long high, long select) {
        long w = (select & 2) != 0 ? high : low;
        return (select & 1) != 0 ? w >>> 32 : w & LOW32;
    }

    private static long word(long low, long high, int i) {
        return (i < 4 ? low : high) >>> 16 * (i & 3) & 0xffff;
    }

    private static long shuffleWords(long w, long imm) {
        long r = 0;
        for (int i = 0; i < 4; i++) {
            r |= (w >>> 16 * (imm >> 2 * i & 3) & 0xffff) << 16 * i;
        }
        return r;
    }

    private static long shuffleBytes(long low, long high, long control, int mask) {
        long r = 0;
        for (int i = 0; i < 64; i += 8) {
            int c = (int) (control >>> i) & 0xff;
            if (c < 0x80) {
                int k = c & mask;
                r |= ((k < 8 ? low : high) >>> 8 * (k & 7) & 0xff) << i;
            }
        }
        return r;
    }

    /** Eight bytes from byte {@code n} of a1:a0:b1:b0, zeros above. */
    private static long align(long a0, long a1, long b0, long b1, int n) {
        int k = n >> 3;
        int shift = 8 * (n & 7);
        long low = k == 0 ? b0 : k == 1 ? b1 : k == 2 ? a0 : k == 3 ? a1 : 0;
        long next = k == 0 ? b1 : k == 1 ? a0 : k == 2 ? a1 : 0;
        return shift == 0 ? low : low >>> shift | next << 64 - shift;
    }

    /** One half's two results, in the low 32 bits. */
    private static long horizontal(int op, long w) {
        int a = (int) w;
        int b = (int) (w >>> 32);
        return switch (op) {
            case Op.PHADDD -> a + b & LOW32;
            case Op.PHSUBD -> a - b & LOW32;
            default -> pair(op, a) & 0xffffL | (pair(op, b) & 0xffffL) << 16;
        };
    }

    private static int pair(int op, int w) {
        int a = (short) w;
        int b = w >> 16;
        return switch (op) {
            case Op.PHADDW -> a + b;
            case Op.PHADDSW -> Math.clamp(a + b, -32768, 32767);
            case Op.PHSUBW -> a - b;
            default -> Math.clamp(a - b, -32768, 32767);
        };
    }

    private static long select(long a, long b, long mask) {
        return a & ~mask | b & mask;
    }

    private static long byteMask(long w) {
        return (w >>> 7 & 0x0101_0101_0101_0101L) * 0xff;
    }

    private static long dwordMask(long w) {
        return (w >> 31 & 1) * LOW32 | w >> 63 << 32;
    }

    private static long pairMask(long imm) {
        return ((imm & 1) != 0 ? LOW32 : 0) | ((imm & 2) != 0 ? ~LOW32 : 0);
    }

    private static long wordMask(long imm) {
        long r = 0;
        for (int i = 0; i < 4; i++) {
            r |= (imm >> i & 1) * 0xffffL << 16 * i;
        }
        return r;
    }

    private static int byteAt(long low, long high, int i) {
        return (int) ((i < 8 ? low : high) >>> 8 * (i & 7)) & 0xff;
    }

    /** MPSADBW: four sums from byte {@code from}. */
    private static long sums(long a0, long a1, long b0, long b1, int imm, int from) {
        int a = (imm >> 2 & 1) * 4 + from;
        int b = (imm & 3) * 4;
        long r = 0;
        for (int i = 0; i < 4; i++) {
            int sum = 0;
            for (int k = 0; k < 4; k++) {
                sum += Math.abs(byteAt(a0, a1, a + i + k) - byteAt(b0, b1, b + k));
            }
            r |= (long) sum << 16 * i;
        }
        return r;
    }

    // ------------------------------------------------------------------ shifts, widening, insertion

    private void shift(int op, long w0, long w1, long imm) {
        boolean immediate = Insn.form(w0) != Insn.FORM_R_RM;
        int r = immediate ? Insn.rm(w0) : Insn.reg(w0);
        long count = imm & 0xff;
        if (!immediate) {
            v.fetch(w0, w1, true);
            count = v.b0;
        }
        long a0 = x[r * 4];
        long a1 = x[r * 4 + 1];
        if (op == Op.PSRLDQ) {
            int n = (int) Math.min(count, 16);
            v.set(r, align(0, 0, a0, a1, n), align(0, 0, a0, a1, n + 8));
        } else if (op == Op.PSLLDQ) {
            // As shifting right out of a longer register.
            int n = 16 - (int) Math.min(count, 16);
            v.set(r, align(a0, a1, 0, 0, n), align(a0, a1, 0, 0, n + 8));
        } else {
            v.set(r, PackedOps.shift(op, a0, count), PackedOps.shift(op, a1, count));
        }
    }

    private void widen(int op, long w0, long w1) {
        boolean signed = op <= Op.PMOVSXDQ;
        int kind = (op - Op.PMOVSXBW) % 6;
        int from = kind < 3 ? 8 : kind < 5 ? 16 : 32;
        int to = kind == 0 ? 16 : kind == 1 || kind == 3 ? 32 : 64;
        // The source is as long as 128 bits of results need.
        int bytesLog2 = 4 - Integer.numberOfTrailingZeros(to / from);
        v.fetchLow(w0, w1, bytesLog2);
        long low = 0;
        long high = 0;
        int lanes = 64 / to;
        for (int i = 0; i < 2 * lanes; i++) {
            long lane = v.b0 << 64 - from - i * from;
            lane = signed ? lane >> 64 - from : lane >>> 64 - from;
            if (to < 64) {
                lane &= (1L << to) - 1;
            }
            if (i < lanes) {
                low |= lane << i * to;
            } else {
                high |= lane << (i - lanes) * to;
            }
        }
        v.set(Insn.reg(w0), low, high);
    }

    private void insertExtract(int op, long w0, long w1, long imm) {
        int n = (int) imm & 0xff;
        boolean memory = (w0 & Insn.MEM) != 0;
        int r = Insn.reg(w0);
        switch (op) {
            case Op.PINSRB, Op.PINSRW, Op.PINSRD, Op.PINSRQ -> {
                int size = op - Op.PINSRB;
                long value = memory ? o.loadMemory(w0, w1, size) : v.gpr[Insn.rm(w0)];
                insert(r, n, size, value);
            }
            case Op.PEXTRB, Op.PEXTRW, Op.PEXTRD, Op.PEXTRQ, Op.EXTRACTPS -> {
                int size = op == Op.EXTRACTPS ? 2 : op - Op.PEXTRB;
                boolean toReg = Insn.form(w0) == Insn.FORM_R_RM_IMM;
                // PEXTRW's older form has its registers the other way round.
                int from = (toReg ? Insn.rm(w0) : r) * 4;
                int bits = 8 << size;
                int at = n * bits & 127;
                long value = IntegerOps.zeroExtend(x[from + (at >> 6)] >>> (at & 63), size);
                if (toReg) {
                    v.gpr[r] = value;
                } else if (memory) {
                    o.storeMemory(w0, w1, size, value);
                } else {
                    v.gpr[Insn.rm(w0)] = value;
                }
            }
            default -> {
                // INSERTPS
                long value;
                if (memory) {
                    value = o.loadMemory(w0, w1, 2);
                } else {
                    int from = Insn.rm(w0) * 4;
                    value = dword(x[from], x[from + 1], n >> 6);
                }
                insert(r, n >> 4, 2, value);
                x[r * 4] &= ~pairMask(n);
                x[r * 4 + 1] &= ~pairMask(n >> 2);
            }
        }
    }

    private void insert(int r, int n, int size, long value) {
        int bits = 8 << size;
        int at = n * bits & 127;
        long mask = IntegerOps.zeroExtend(-1, size) << (at & 63);
        int word = r * 4 + (at >> 6);
        x[word] = x[word] & ~mask | value << (at & 63) & mask;
    }
}
