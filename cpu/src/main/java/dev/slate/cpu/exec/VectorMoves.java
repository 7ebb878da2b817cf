package dev.slate.cpu.exec;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** Moves of vectors, parts of them and their sign bits. */
final class VectorMoves {
    private static final long LOW32 = 0xffff_ffffL;

    private final VectorOps v;
    private final Operands o;
    private final long[] gpr;
    private final long[] x;

    VectorMoves(VectorOps v) {
        this.v = v;
        this.o = v.o;
        this.gpr = v.gpr;
        this.x = v.x;
    }

    int execute(int op, long w0, long w1) {
        switch (op) {
            case Op.MOVQ_MMX, Op.MOVD_P_E, Op.MOVD_E_P, Op.MOVNTQ, Op.MOVQ2DQ, Op.MOVDQ2Q, Op.MASKMOVQ -> {
                v.availableMmx();
                if (op == Op.MASKMOVQ) {
                    // Even when the store faults.
                    v.usedMmx();
                } else if (v.cpu.intel && (w0 & Insn.MEM) != 0 && Insn.form(w0) != Insn.FORM_R_RM) {
                    // Intel's have set TOP when the store faults.
                    v.s.fsw &= ~0x3800;
                }
                mmx(op, w0, w1);
                v.usedMmx();
                return Interpreter.NEXT;
            }
            case Op.PMOVMSKB -> {
                v.availableFor(w0);
                int mask;
                if (Insn.size(w0) == 3) {
                    mask = signs8(v.mm(Insn.rm(w0)));
                    v.usedMmx();
                } else {
                    int r = Insn.rm(w0) * 4;
                    mask = signs8(x[r]) | signs8(x[r + 1]) << 8;
                }
                gpr[Insn.reg(w0)] = mask;
                return Interpreter.NEXT;
            }
            default -> v.available();
        }
        boolean load = Insn.form(w0) == Insn.FORM_R_RM;
        int r = Insn.reg(w0);
        int d = r * 4;
        boolean memory = (w0 & Insn.MEM) != 0;
        switch (op) {
            case Op.MOVUPS, Op.MOVUPD, Op.MOVDQU, Op.LDDQU -> full(w0, w1, false);
            case Op.MOVAPS, Op.MOVAPD, Op.MOVDQA, Op.MOVNTPS, Op.MOVNTPD, Op.MOVNTDQ, Op.MOVNTDQA -> full(w0, w1, true);
            case Op.MOVSS -> {
                if (!load) {
                    if (memory) {
                        o.storeMemory(w0, w1, 2, x[d]);
                    } else {
                        int t = Insn.rm(w0) * 4;
                        x[t] = x[t] & ~LOW32 | x[d] & LOW32;
                    }
                } else if (memory) {
                    v.set(r, o.loadMemory(w0, w1, 2), 0);
                } else {
                    x[d] = x[d] & ~LOW32 | x[Insn.rm(w0) * 4] & LOW32;
                }
            }
            case Op.MOVSD -> {
                if (!load) {
                    if (memory) {
                        o.storeMemory(w0, w1, 3, x[d]);
                    } else {
                        x[Insn.rm(w0) * 4] = x[d];
                    }
                } else if (memory) {
                    v.set(r, o.loadMemory(w0, w1, 3), 0);
                } else {
                    x[d] = x[Insn.rm(w0) * 4];
                }
            }
            case Op.MOVQ_XMM -> {
                if (load) {
                    v.fetchLow(w0, w1, 3);
                    v.set(r, v.b0, 0);
                } else if (memory) {
                    o.storeMemory(w0, w1, 3, x[d]);
                } else {
                    v.set(Insn.rm(w0), x[d], 0);
                }
            }
            case Op.MOVD_V_E -> {
                int size = Insn.size(w0) == 3 ? 3 : 2;
                v.set(r, IntegerOps.zeroExtend(o.rm(w0, w1, size), size), 0);
            }
            case Op.MOVD_E_V -> o.setRm(w0, w1, Insn.size(w0) == 3 ? 3 : 2, x[d]);
            case Op.MOVHLPS -> x[d] = x[Insn.rm(w0) * 4 + 1];
            case Op.MOVLHPS -> x[d + 1] = x[Insn.rm(w0) * 4];
            case Op.MOVLPS, Op.MOVLPD -> {
                if (load) {
                    x[d] = o.loadMemory(w0, w1, 3);
                } else {
                    o.storeMemory(w0, w1, 3, x[d]);
                }
            }
            case Op.MOVHPS, Op.MOVHPD -> {
                if (load) {
                    x[d + 1] = o.loadMemory(w0, w1, 3);
                } else {
                    o.storeMemory(w0, w1, 3, x[d + 1]);
                }
            }
            case Op.MOVDDUP -> {
                v.fetchLow(w0, w1, 3);
                v.set(r, v.b0, v.b0);
            }
            case Op.MOVSLDUP -> {
                v.fetch(w0, w1, true);
                v.set(r, v.b0 & LOW32 | v.b0 << 32, v.b1 & LOW32 | v.b1 << 32);
            }
            case Op.MOVSHDUP -> {
                v.fetch(w0, w1, true);
                v.set(r, v.b0 >>> 32 | v.b0 & ~LOW32, v.b1 >>> 32 | v.b1 & ~LOW32);
            }
            case Op.MOVMSKPS -> {
                int t = Insn.rm(w0) * 4;
                gpr[r] = x[t] >>> 31 & 1 | x[t] >>> 62 & 2 | x[t + 1] >>> 29 & 4 | x[t + 1] >>> 60 & 8;
            }
            case Op.MOVMSKPD -> {
                int t = Insn.rm(w0) * 4;
                gpr[r] = x[t] >>> 63 | x[t + 1] >>> 62 & 2;
            }
            case Op.MASKMOVDQU -> {
                int mask = Insn.rm(w0) * 4;
                probeMasked(w0, 16);
                maskedStore(w0, x[d], x[mask], 0);
                maskedStore(w0, x[d + 1], x[mask + 1], 8);
            }
            default -> {
                return CpuExit.UNIMPLEMENTED;
            }
        }
        return Interpreter.NEXT;
    }

    private void full(long w0, long w1, boolean aligned) {
        if (Insn.form(w0) == Insn.FORM_R_RM) {
            v.fetch(w0, w1, aligned);
            v.set(Insn.reg(w0), v.b0, v.b1);
        } else {
            int d = Insn.reg(w0) * 4;
            v.store(w0, w1, aligned, x[d], x[d + 1]);
        }
    }

    private void mmx(int op, long w0, long w1) {
        int r = Insn.reg(w0);
        switch (op) {
            case Op.MOVQ_MMX -> {
                if (Insn.form(w0) == Insn.FORM_R_RM) {
                    v.fetchMmx(w0, w1);
                    v.setMm(r, v.b0);
                } else if ((w0 & Insn.MEM) != 0) {
                    o.storeMemory(w0, w1, 3, v.mm(r));
                } else {
                    v.setMm(Insn.rm(w0), v.mm(r));
                }
            }
            case Op.MOVD_P_E -> {
                int size = Insn.size(w0) == 3 ? 3 : 2;
                v.setMm(r, IntegerOps.zeroExtend(o.rm(w0, w1, size), size));
            }
            case Op.MOVD_E_P -> o.setRm(w0, w1, Insn.size(w0) == 3 ? 3 : 2, v.mm(r));
            case Op.MOVNTQ -> o.storeMemory(w0, w1, 3, v.mm(r));
            case Op.MOVQ2DQ -> v.set(r, v.mm(Insn.rm(w0)), 0);
            case Op.MOVDQ2Q -> v.setMm(r, x[Insn.rm(w0) * 4]);
            default -> {
                probeMasked(w0, 8);
                maskedStore(w0, v.mm(r), v.mm(Insn.rm(w0)), 0);
            }
        }
    }

    /** All of the bytes must be storable, whatever the mask says, as on silicon. */
    private void probeMasked(long w0, int bytes) {
        int seg = Insn.segment(w0);
        long off = Operands.maskAddress(gpr[CpuState.RDI], Insn.addressSize(w0));
        v.cpu.probeWrite(seg, v.cpu.linear(seg, off, bytes, true), bytes);
    }

    /** MASKMOVQ, MASKMOVDQU: the bytes whose mask has its top bit set, at DS:rDI. */
    private void maskedStore(long w0, long data, long mask, int from) {
        int seg = Insn.segment(w0);
        for (int i = 0; i < 8; i++) {
            if ((mask >>> 8 * i & 0x80) != 0) {
                long off = Operands.maskAddress(gpr[CpuState.RDI] + from + i, Insn.addressSize(w0));
                v.cpu.store8(seg, v.cpu.linear(seg, off, 1, true), (int) (data >>> 8 * i));
            }
        }
    }

    /** The sign bits of eight bytes, gathered. */
    static int signs8(long v) {
        return (int) Long.compress(v, 0x8080_8080_8080_8080L);
    }
}
