package dev.slate.cpu.exec;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/**
 * VEX forms (SDM 1 chapter 14). Most are a legacy form with another first source, once for each 128 bits: operands are put where a
 * legacy form looks for them, its method runs, and the result is moved to the destination, whose upper part is then zero. The meaning of
 * an operation is written once. What has no legacy form is with {@link VectorPermutes} and {@link VectorFma}.
 */
final class VectorAvx {
    /** The interpreter's own registers: the first source and the result; the two halves of the second source. */
    private static final int A = 16;

    private static final int B = 17;

    /** Of word 0, all that names register operands and says that it is VEX. */
    private static final long REG = Insn.word0(0, 0, 0, 0, 0, 0, 0, 31, 0, 0, 0, 0, 0);

    private static final long RM = Insn.word0(0, 0, 0, 0, 0, Insn.MEM, 0, 0, 31, 0, 0, 0, 0);
    private static final long FORM = Insn.word0(0, 0, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 0);
    private static final long SIZE = Insn.word0(0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    private static final long XMM_SIZE = Insn.word0(0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    private static final long TO_REG = Insn.word0(0, 0, 0, 0, Insn.FORM_R_RM, 0, 0, 0, 0, 0, 0, 0, 0);
    private static final long TO_RM = Insn.word0(0, 0, 0, 0, Insn.FORM_RM_IMM, 0, 0, 0, 0, 0, 0, 0, 0);
    private static final long REG_A = Insn.word0(0, 0, 0, 0, 0, 0, 0, A, 0, 0, 0, 0, 0);
    private static final long RM_A = Insn.word0(0, 0, 0, 0, 0, 0, 0, 0, A, 0, 0, 0, 0);
    private static final long RM_B = Insn.word0(0, 0, 0, 0, 0, 0, 0, 0, B, 0, 0, 0, 0);

    private final VectorOps v;
    private final Operands o;
    private final CpuState s;
    private final long[] x;
    private final VectorPermutes permutes;
    private final VectorFma fma;

    VectorAvx(VectorOps v) {
        this.v = v;
        this.o = v.o;
        this.s = v.s;
        this.x = v.x;
        this.permutes = new VectorPermutes(this, v);
        this.fma = new VectorFma(this, v);
    }

    /** #UD outside protected mode, without CR4.OSXSAVE or without AVX in XCR0; #NM by CR0.TS (SDM 2A 2.4.6, 3A 13.1). */
    private void available() {
        if (!s.protectedMode()
                || s.virtual8086()
                || (s.cr4 & CpuState.CR4_OSXSAVE) == 0
                || (s.xcr0 & (ExtendedState.SSE | ExtendedState.AVX)) != (ExtendedState.SSE | ExtendedState.AVX)) {
            throw o.undefined();
        }
        if ((s.cr0 & CpuState.CR0_TS) != 0) {
            throw v.cpu.fault(GuestFault.NM, 0);
        }
    }

    int execute(int op, long w0, long w1, long imm) {
        available();
        v.vex = true;
        try {
            return op >= Op.ZEROUPPER ? more(op, w0, w1, imm) : likeLegacy(op, w0, w1, imm);
        } finally {
            v.vex = false;
            v.blendMask = 0;
            v.floats.hold = false;
        }
    }

    private int more(int op, long w0, long w1, long imm) {
        if (op >= Op.FMADD132PS) {
            fma.execute(op, w0, w1);
            return Interpreter.NEXT;
        }
        return permutes.execute(op, w0, w1, imm);
    }

    // ------------------------------------------------------------------ operands

    /** Zeroes a register from bit 128 on. */
    void zeroUpper(int r) {
        x[r * 4 + 2] = 0;
        x[r * 4 + 3] = 0;
    }

    /** Writes a whole register. */
    void set(int r, long w, long w1, long w2, long w3) {
        x[r * 4] = w;
        x[r * 4 + 1] = w1;
        x[r * 4 + 2] = w2;
        x[r * 4 + 3] = w3;
    }

    /** Fetches the rm operand of 16 or, {@code wide}, 32 bytes into register {@link #B} and returns its index in the registers. */
    int fetch(long w0, long w1, boolean wide) {
        if ((w0 & Insn.MEM) == 0) {
            return Insn.rm(w0) * 4;
        }
        int seg = Insn.segment(w0);
        long la = o.address(w0, w1, wide ? 32 : 16, false);
        v.cpu.load128(seg, la, x, B * 4);
        if (wide) {
            v.cpu.load128(seg, v.cpu.wrap(la + 16), x, B * 4 + 2);
        }
        return B * 4;
    }

    /** Fetches the low {@code 1 << sizeLog2} bytes (at most 8) of the rm operand. */
    long fetchLow(long w0, long w1, int sizeLog2) {
        return (w0 & Insn.MEM) != 0 ? o.loadMemory(w0, w1, sizeLog2) : x[Insn.rm(w0) * 4];
    }

    private void store(long w0, long w1, boolean wide, boolean aligned) {
        int r = Insn.reg(w0) * 4;
        int bytes = wide ? 32 : 16;
        int seg = Insn.segment(w0);
        if (aligned && o.misaligned(w0, w1, bytes - 1)) {
            throw o.protection();
        }
        long la = o.address(w0, w1, bytes, true);
        if (wide) {
            v.cpu.probeWrite(seg, la, 32);
        }
        v.cpu.store128(seg, la, x, r);
        if (wide) {
            v.cpu.store128(seg, v.cpu.wrap(la + 16), x, r + 2);
        }
    }

    // ------------------------------------------------------------------ forms that legacy has, too

    private int likeLegacy(int op, long w0, long w1, long imm) {
        boolean wide = Insn.size(w0) == 5;
        switch (op) {
            case Op.MOVUPS,
                    Op.MOVUPD,
                    Op.MOVDQU,
                    Op.LDDQU,
                    Op.MOVAPS,
                    Op.MOVAPD,
                    Op.MOVDQA,
                    Op.MOVNTPS,
                    Op.MOVNTPD,
                    Op.MOVNTDQ,
                    Op.MOVNTDQA -> {
                move(op, w0, w1, wide);
                return Interpreter.NEXT;
            }
            case Op.MOVSS, Op.MOVSD -> {
                return moveScalar(op, w0, w1);
            }
            case Op.MOVQ_XMM -> {
                int outcome = legacy(op, w0, w1, imm);
                if (Insn.form(w0) == Insn.FORM_R_RM) {
                    zeroUpper(Insn.reg(w0));
                } else if ((w0 & Insn.MEM) == 0) {
                    zeroUpper(Insn.rm(w0));
                }
                return outcome;
            }
            case Op.MOVLPS, Op.MOVLPD, Op.MOVHPS, Op.MOVHPD -> {
                if (Insn.form(w0) == Insn.FORM_RM_R) {
                    return legacy(op, w0, w1, imm);
                }
                return half(op, w0, w1, imm, 0);
            }
            case Op.PCMPESTRM, Op.PCMPISTRM -> {
                int outcome = legacy(op, w0, w1, imm);
                zeroUpper(0);
                return outcome;
            }
            case Op.LDMXCSR,
                    Op.STMXCSR,
                    Op.MOVD_E_V,
                    Op.MASKMOVDQU,
                    Op.UCOMISS,
                    Op.UCOMISD,
                    Op.COMISS,
                    Op.COMISD,
                    Op.CVTTSS2SI,
                    Op.CVTTSD2SI,
                    Op.CVTSS2SI,
                    Op.CVTSD2SI,
                    Op.PEXTRB,
                    Op.PEXTRW,
                    Op.PEXTRD,
                    Op.PEXTRQ,
                    Op.EXTRACTPS,
                    Op.PCMPESTRI,
                    Op.PCMPISTRI -> {
                return legacy(op, w0, w1, imm);
            }
            case Op.PTEST -> {
                permutes.test(w0, w1, -1, wide);
                return Interpreter.NEXT;
            }
            case Op.MOVMSKPS, Op.MOVMSKPD, Op.PMOVMSKB -> {
                return signs(op, w0, w1, imm, wide);
            }
            default -> {
                if (op >= Op.PSRLW && op <= Op.PSLLDQ) {
                    return shift(op, w0, w1, imm, wide);
                }
                return wide ? whole(op, w0, w1, imm) : half(op, w0, w1, imm, mask(imm));
            }
        }
    }

    /** Where a variable blend's mask is: imm8[7:4]. Others do not look. */
    private static int mask(long imm) {
        return ((int) imm >> 4 & 15) * 4;
    }

    /** The legacy form, unchanged. */
    private int legacy(int op, long w0, long w1, long imm) {
        return v.legacy(op, w0 & ~Insn.VEX, w1, imm);
    }

    /** A form of 128 bits or less, with any first source. */
    private int half(int op, long w0, long w1, long imm, int blendMask) {
        int first = Insn.vvvv(w0) * 4;
        x[A * 4] = x[first];
        x[A * 4 + 1] = x[first + 1];
        v.blendMask = blendMask;
        // PINSRQ's size must not be taken for MMX.
        long size = op >= Op.PINSRB && op <= Op.PINSRQ ? w0 & ~SIZE | XMM_SIZE : w0;
        int outcome = v.legacy(op, size & ~(REG | FORM | Insn.VEX) | REG_A | TO_REG, w1, imm);
        set(Insn.reg(w0), x[A * 4], x[A * 4 + 1], 0, 0);
        return outcome;
    }

    /** A 256-bit form: the legacy form on each half. */
    private int whole(int op, long w0, long w1, long imm) {
        int first = Insn.vvvv(w0) * 4;
        boolean narrows = op == Op.CVTPD2PS || op == Op.CVTPD2DQ || op == Op.CVTTPD2DQ;
        // Bytes of the source for each half of the result, where they are fewer than 16.
        int part =
                op == Op.CVTPS2PD || op == Op.CVTDQ2PD ? 8 : op >= Op.PMOVSXBW && op <= Op.PMOVZXDQ ? widening(op) : 0;
        int b;
        if (part == 0) {
            b = fetch(w0, w1, true);
        } else if (part == 8) {
            b = fetch(w0, w1, false);
        } else {
            x[B * 4] = fetchLow(w0, w1, part == 4 ? 3 : 2);
            b = B * 4;
        }
        long b0 = x[b];
        long b1 = x[b + 1];
        long b2 = part == 0 ? x[b + 2] : part == 8 ? b1 : b0 >>> 8 * part;
        long b3 = part == 0 ? x[b + 3] : 0;
        long w = w0 & ~(REG | RM | FORM | SIZE | Insn.VEX) | REG_A | RM_B | TO_REG | XMM_SIZE;
        v.floats.holdHalf(true);
        v.blendMask = mask(imm);
        x[A * 4] = x[first];
        x[A * 4 + 1] = x[first + 1];
        x[B * 4] = b0;
        x[B * 4 + 1] = b1;
        int outcome = v.legacy(op, w, w1, imm);
        if (outcome == CpuExit.UNIMPLEMENTED) {
            return outcome;
        }
        long r0 = x[A * 4];
        long r1 = x[A * 4 + 1];
        x[A * 4] = x[first + 2];
        x[A * 4 + 1] = x[first + 3];
        x[B * 4] = b2;
        x[B * 4 + 1] = b3;
        v.blendMask += 2;
        v.floats.holdHalf(false);
        v.legacy(op, w, w1, highImmediate(op, imm));
        v.floats.release();
        if (narrows) {
            set(Insn.reg(w0), r0, x[A * 4], 0, 0);
        } else {
            set(Insn.reg(w0), r0, r1, x[A * 4], x[A * 4 + 1]);
        }
        return outcome;
    }

    /** How many bytes of the source widen to 128 bits. */
    private static int widening(int op) {
        return switch ((op - Op.PMOVSXBW) % 6) {
            case 0, 3, 5 -> 8;
            case 1, 4 -> 4;
            default -> 2;
        };
    }

    /** The immediate as it counts for the upper half. */
    private static long highImmediate(int op, long imm) {
        return switch (op) {
            case Op.SHUFPD, Op.BLENDPD -> imm >>> 2;
            case Op.BLENDPS -> imm >>> 4;
            case Op.MPSADBW -> imm >>> 3;
            default -> imm;
        };
    }

    private void move(int op, long w0, long w1, boolean wide) {
        boolean aligned = op != Op.MOVUPS && op != Op.MOVUPD && op != Op.MOVDQU && op != Op.LDDQU;
        boolean memory = (w0 & Insn.MEM) != 0;
        boolean load = Insn.form(w0) == Insn.FORM_R_RM;
        if (memory && !load) {
            store(w0, w1, wide, aligned);
            return;
        }
        if (memory && aligned && o.misaligned(w0, w1, wide ? 31 : 15)) {
            throw o.protection();
        }
        int from = load ? fetch(w0, w1, wide) : Insn.reg(w0) * 4;
        set(load ? Insn.reg(w0) : Insn.rm(w0), x[from], x[from + 1], wide ? x[from + 2] : 0, wide ? x[from + 3] : 0);
    }

    private int moveScalar(int op, long w0, long w1) {
        boolean single = op == Op.MOVSS;
        if ((w0 & Insn.MEM) != 0) {
            if (Insn.form(w0) == Insn.FORM_R_RM) {
                set(Insn.reg(w0), o.loadMemory(w0, w1, single ? 2 : 3), 0, 0, 0);
            } else {
                o.storeMemory(w0, w1, single ? 2 : 3, x[Insn.reg(w0) * 4]);
            }
            return Interpreter.NEXT;
        }
        boolean toReg = Insn.form(w0) == Insn.FORM_R_V_RM;
        long low = x[(toReg ? Insn.rm(w0) : Insn.reg(w0)) * 4];
        int first = Insn.vvvv(w0) * 4;
        if (single) {
            low = x[first] & ~0xffff_ffffL | low & 0xffff_ffffL;
        }
        set(toReg ? Insn.reg(w0) : Insn.rm(w0), low, x[first + 1], 0, 0);
        return Interpreter.NEXT;
    }

    private int signs(int op, long w0, long w1, long imm, boolean wide) {
        int r = Insn.reg(w0);
        long low = w0 & ~SIZE | XMM_SIZE;
        int outcome = legacy(op, low, w1, imm);
        if (wide) {
            long first = v.gpr[r];
            int upper = Insn.rm(w0) * 4 + 2;
            x[A * 4] = x[upper];
            x[A * 4 + 1] = x[upper + 1];
            legacy(op, low & ~RM | RM_A, w1, imm);
            int bits = op == Op.MOVMSKPS ? 4 : op == Op.MOVMSKPD ? 2 : 16;
            v.gpr[r] = first | v.gpr[r] << bits;
        }
        return outcome;
    }

    /** Shifts by a count in the low quadword of a 128-bit operand, or by an immediate: then vvvv is the destination. */
    private int shift(int op, long w0, long w1, long imm, boolean wide) {
        boolean immediate = Insn.form(w0) == Insn.FORM_V_RM;
        int source = (immediate ? Insn.rm(w0) : Insn.vvvv(w0)) * 4;
        int destination = immediate ? Insn.vvvv(w0) : Insn.reg(w0);
        long w = w0 & ~(REG | FORM | SIZE | Insn.VEX) | XMM_SIZE;
        if (immediate) {
            w = w & ~RM | RM_A | TO_RM;
        } else {
            int count = fetch(w0, w1, false);
            x[B * 4] = x[count];
            x[B * 4 + 1] = x[count + 1];
            w = w & ~RM | REG_A | RM_B | TO_REG;
        }
        x[A * 4] = x[source];
        x[A * 4 + 1] = x[source + 1];
        v.legacy(op, w, w1, imm);
        long r0 = x[A * 4];
        long r1 = x[A * 4 + 1];
        if (!wide) {
            set(destination, r0, r1, 0, 0);
            return Interpreter.NEXT;
        }
        x[A * 4] = x[source + 2];
        x[A * 4 + 1] = x[source + 3];
        v.legacy(op, w, w1, imm);
        set(destination, r0, r1, x[A * 4], x[A * 4 + 1]);
        return Interpreter.NEXT;
    }
}
