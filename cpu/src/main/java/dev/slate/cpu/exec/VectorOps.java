package dev.slate.cpu.exec;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/**
 * Vector instructions: whether they may run at all, operand fetch and write-back for MMX (size 3) and XMM (size 4), and the way to
 * the families. The 16 bytes of a source are handed around as two longs, {@link #b0} (low) and {@link #b1}.
 */
final class VectorOps {
    final Operands o;
    final Cpu cpu;
    final CpuState s;
    final long[] gpr;
    final long[] x;

    /** The rm operand as last fetched. */
    long b0;

    long b1;
    private final long[] wide = new long[2];

    private final VectorMoves moves;
    private final VectorShuffles shuffles;
    final VectorFloat floats;
    private final VectorConversions conversions;
    private final X87Ops x87;
    private final VectorCrypto crypto;
    final VectorStrings strings;
    private final VectorAvx avx;

    /** A VEX form runs: memory may be unaligned, CR4.OSFXSR and CR0.EM do not matter. */
    boolean vex;

    /** Index in {@link #x} of a variable blend's mask: XMM0, or what a VEX form names. */
    int blendMask;

    VectorOps(Operands o) {
        this.o = o;
        this.cpu = o.cpu;
        this.s = o.s;
        this.gpr = o.gpr;
        this.x = o.s.xmm;
        this.moves = new VectorMoves(this);
        this.shuffles = new VectorShuffles(this);
        this.floats = new VectorFloat(this);
        this.conversions = new VectorConversions(this);
        this.x87 = new X87Ops(o);
        this.crypto = new VectorCrypto(this);
        this.strings = new VectorStrings(this);
        this.avx = new VectorAvx(this);
    }

    int execute(int op, long w0, long w1, long imm) {
        if (op < Op.MOVUPS && op > Op.STMXCSR) {
            return x87.execute(op, w0, w1, imm);
        }
        if ((w0 & Insn.VEX) != 0) {
            return avx.execute(op, w0, w1, imm);
        }
        return legacy(op, w0, w1, imm);
    }

    /** A legacy form, or one half of a VEX form made to look like one. */
    int legacy(int op, long w0, long w1, long imm) {
        if (op == Op.LDMXCSR || op == Op.STMXCSR) {
            available();
            controlWord(op, w0, w1);
            return Interpreter.NEXT;
        }
        if (op <= Op.MASKMOVDQU) {
            return moves.execute(op, w0, w1);
        }
        if (PackedOps.within64(op)) {
            packed(op, w0, w1);
            return Interpreter.NEXT;
        }
        if (op >= Op.CVTPI2PS && op <= Op.CVTPD2DQ) {
            return conversions.convert(op, w0, w1);
        }
        if (op >= Op.ADDPS && op <= Op.ADDSUBPD || op >= Op.ROUNDPS && op <= Op.DPPD) {
            return floats.execute(op, w0, w1, imm);
        }
        if (op >= Op.PCMPESTRM && op <= Op.PCMPISTRI) {
            return strings.execute(op, w0, w1, imm);
        }
        if (op >= Op.AESIMC && op <= Op.SHA256MSG2) {
            return crypto.execute(op, w0, w1, imm);
        }
        return shuffles.execute(op, w0, w1, imm);
    }

    private void packed(int op, long w0, long w1) {
        int r = Insn.reg(w0);
        if (Insn.size(w0) == 3) {
            availableMmx();
            fetchMmx(w0, w1);
            setMm(r, PackedOps.apply(op, mm(r), b0));
            usedMmx();
            return;
        }
        available();
        fetch(w0, w1, true);
        int d = r * 4;
        x[d] = PackedOps.apply(op, x[d], b0);
        x[d + 1] = PackedOps.apply(op, x[d + 1], b1);
    }

    // ------------------------------------------------------------------ may it run

    /** SSE: #UD by CR0.EM or without CR4.OSFXSR, #NM by CR0.TS (SDM 2A 2.4, 3A 13.1.3). */
    void available() {
        if (((s.cr0 & CpuState.CR0_EM) != 0 || (s.cr4 & CpuState.CR4_OSFXSR) == 0) && !vex) {
            throw o.undefined();
        }
        if ((s.cr0 & CpuState.CR0_TS) != 0) {
            throw cpu.fault(GuestFault.NM, 0);
        }
    }

    /** MMX: #UD by CR0.EM, #NM by CR0.TS, #MF by a pending x87 exception. Uses the whole x87 register file: TOP = 0, all valid. */
    void availableMmx() {
        if ((s.cr0 & CpuState.CR0_EM) != 0) {
            throw o.undefined();
        }
        if ((s.cr0 & CpuState.CR0_TS) != 0) {
            throw cpu.fault(GuestFault.NM, 0);
        }
        if ((s.fsw & 0x80) != 0) {
            throw cpu.fault(GuestFault.MF, 0);
        }
    }

    /** What every MMX instruction that has run does to the x87 state. */
    void usedMmx() {
        s.fsw &= ~0x3800;
        s.ftwValid = 0xff;
    }

    void availableFor(long w0) {
        if (Insn.size(w0) == 3) {
            availableMmx();
        } else {
            available();
        }
    }

    long mm(int r) {
        return s.fpMantissa[r & 7];
    }

    void setMm(int r, long v) {
        s.fpMantissa[r & 7] = v;
        s.fpExponent[r & 7] = 0xffff;
    }

    // ------------------------------------------------------------------ operands

    /** Fetches a 16-byte rm operand; memory must be aligned (#GP(0)) when {@code aligned}. */
    void fetch(long w0, long w1, boolean aligned) {
        if ((w0 & Insn.MEM) == 0) {
            int r = Insn.rm(w0) * 4;
            b0 = x[r];
            b1 = x[r + 1];
            return;
        }
        // Before the segment's limit.
        if (aligned && !vex && o.misaligned(w0, w1, 15)) {
            throw o.protection();
        }
        long la = o.address(w0, w1, 16, false);
        cpu.load128(Insn.segment(w0), la, wide, 0);
        b0 = wide[0];
        b1 = wide[1];
    }

    /** Fetches the low {@code 1 << sizeLog2} bytes of the rm operand into {@link #b0}; {@link #b1} is then zero. */
    void fetchLow(long w0, long w1, int sizeLog2) {
        b1 = 0;
        b0 = (w0 & Insn.MEM) != 0 ? o.loadMemory(w0, w1, sizeLog2) : x[Insn.rm(w0) * 4];
    }

    /** Fetches an MMX rm operand. */
    void fetchMmx(long w0, long w1) {
        b0 = (w0 & Insn.MEM) != 0 ? o.loadMemory(w0, w1, 3) : mm(Insn.rm(w0));
        b1 = 0;
    }

    /** Stores 16 bytes. */
    void store(long w0, long w1, boolean aligned, long low, long high) {
        if ((w0 & Insn.MEM) == 0) {
            set(Insn.rm(w0), low, high);
            return;
        }
        if (aligned && !vex && o.misaligned(w0, w1, 15)) {
            throw o.protection();
        }
        long la = o.address(w0, w1, 16, true);
        wide[0] = low;
        wide[1] = high;
        cpu.store128(Insn.segment(w0), la, wide, 0);
    }

    void set(int r, long low, long high) {
        x[r * 4] = low;
        x[r * 4 + 1] = high;
    }

    private void controlWord(int op, long w0, long w1) {
        if (op == Op.STMXCSR) {
            o.storeMemory(w0, w1, 2, s.mxcsr);
            return;
        }
        int v = (int) o.loadMemory(w0, w1, 2);
        if ((v & ~ExtendedState.MXCSR_MASK) != 0) {
            throw o.protection();
        }
        s.mxcsr = v;
    }
}
