package dev.slate.cpu.exec;

import static dev.slate.cpu.CpuState.RAX;
import static dev.slate.cpu.CpuState.RCX;
import static dev.slate.cpu.CpuState.RDX;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.decode.Feature;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** FXSAVE and the XSAVE family (SDM 1 10.5 and chapter 13): x87, SSE and AVX state; the standard and the compacted form. */
final class ExtendedState {
    static final int X87 = 1;
    static final int SSE = 2;
    static final int AVX = 4;
    /** MXCSR bits that may be set. */
    static final int MXCSR_MASK = 0xffff;

    private static final int LEGACY_BYTES = 512;
    private static final int HEADER = 512;
    private static final int AVX_OFFSET = 576;
    private static final int AVX_BYTES = 256;
    private static final long COMPACTED = 1L << 63;

    private final Operands o;
    private final Cpu cpu;
    private final CpuState s;
    private final long[] gpr;

    ExtendedState(Operands o) {
        this.o = o;
        this.cpu = o.cpu;
        this.s = o.s;
        this.gpr = o.gpr;
    }

    void xgetbv() {
        if ((s.cr4 & CpuState.CR4_OSXSAVE) == 0) {
            throw o.undefined();
        }
        long v;
        switch ((int) gpr[RCX]) {
            case 0 -> v = s.xcr0;
            case 1 -> v = s.xcr0 & inUse();
            default -> throw o.protection();
        }
        gpr[RAX] = v & 0xffff_ffffL;
        gpr[RDX] = v >>> 32;
    }

    /** Components that are not in their initial state. x87 and SSE are reported in use always. */
    private int inUse() {
        for (int i = 0; i < 64; i += 4) {
            if ((s.xmm[i + 2] | s.xmm[i + 3]) != 0) {
                return X87 | SSE | AVX;
            }
        }
        return X87 | SSE;
    }

    int execute(int op, long w0, long w1) {
        boolean fx = op == Op.FXSAVE || op == Op.FXRSTOR;
        if (!fx && (s.cr4 & CpuState.CR4_OSXSAVE) == 0) {
            throw o.undefined();
        }
        if ((op == Op.XSAVES || op == Op.XRSTORS) && s.cpl != 0) {
            throw o.protection();
        }
        if ((s.cr0 & (fx ? CpuState.CR0_TS | CpuState.CR0_EM : CpuState.CR0_TS)) != 0) {
            throw cpu.fault(GuestFault.NM, 0);
        }
        int seg = Insn.segment(w0);
        boolean write = op == Op.FXSAVE || op >= Op.XSAVE && op <= Op.XSAVEC || op == Op.XSAVES;
        if (fx && !cpu.mode64 && o.misaligned(w0, w1, 15)) {
            throw o.protection();
        }
        int extended = (gpr[RAX] & s.xcr0 & AVX) != 0 ? AVX_OFFSET + AVX_BYTES : HEADER + 64;
        long la = o.address(w0, w1, fx ? LEGACY_BYTES : extended, write);
        if ((fx || cpu.intel) && cpu.mode64 && !cpu.canonical(la)) {
            // To AMD the XSAVE family looks at the alignment first.
            throw cpu.fault(seg == CpuState.SS ? GuestFault.SS : GuestFault.GP, 0);
        }
        if ((la & (fx ? 15 : 63)) != 0) {
            throw o.protection();
        }
        boolean wide = Insn.size(w0) == 3;
        int wanted = (int) (gpr[RAX] & s.xcr0);
        switch (op) {
            case Op.FXSAVE -> {
                if (cpu.intel) {
                    // Which byte a page fault tells: Intel's processors look at the area's end first.
                    cpu.probeWrite(seg, la + LEGACY_BYTES - 1, 1);
                }
                cpu.probeWrite(seg, la, LEGACY_BYTES);
                saveX87(seg, la, wide);
                saveMxcsr(seg, la);
                saveXmm(seg, la);
            }
            case Op.FXRSTOR -> {
                if (cpu.intel) {
                    // As above.
                    cpu.load8(seg, la + LEGACY_BYTES - 1);
                }
                restoreMxcsrChecked(seg, la);
                restoreX87(seg, la, wide);
                restoreXmm(seg, la);
            }
            case Op.XSAVE, Op.XSAVEOPT -> save(seg, la, wanted, wide);
            case Op.XSAVEC, Op.XSAVES -> saveCompacted(seg, la, wanted, wide);
            default -> restore(seg, la, wanted, wide, op == Op.XRSTORS);
        }
        return Interpreter.NEXT;
    }

    // ------------------------------------------------------------------ the legacy area

    private int xmmCount() {
        return cpu.mode64 ? 16 : 8;
    }

    private void saveX87(int seg, long la, boolean wide) {
        cpu.store16(seg, la, s.fcw);
        cpu.store16(seg, la + 2, s.fsw);
        cpu.store16(seg, la + 4, s.ftwValid & 0xff);
        // With XSAVEERPTR the fields are written in any case, as zero while no exception is pending: Zen 5.
        boolean known = cpu.intel || pending(s.fsw);
        if (known || restoresPointers()) {
            cpu.store16(seg, la + 6, known ? s.fpOpcode & 0x7ff : 0);
            cpu.store64(seg, la + 8, known ? pointer(s.fpIp, s.fpCs, wide) : 0);
            cpu.store64(seg, la + 16, known ? pointer(s.fpDp, s.fpDs, wide) : 0);
        }
        int top = s.fsw >> 11 & 7;
        for (int i = 0; i < 8; i++) {
            int r = top + i & 7;
            cpu.store64(seg, la + 32 + 16L * i, s.fpMantissa[r]);
            cpu.store64(seg, la + 40 + 16L * i, s.fpExponent[r] & 0xffff);
        }
    }

    /** A pointer in memory: whole, or an offset of 32 bits and a selector, which Intel's processors no longer keep (CPUID.7.0.EBX bit 13). */
    private long pointer(long offset, int selector, boolean wide) {
        return wide ? offset : offset & 0xffff_ffffL | (cpu.intel ? 0 : (selector & 0xffffL) << 32);
    }

    private static boolean pending(int fsw) {
        return (fsw & X87Stack.SUMMARY) != 0;
    }

    /**
     * Whether opcode, pointers and selectors are restored even while no exception is pending: by AMD's processors without XSAVEERPTR
     * they are not, and what was in memory stays when such a state is saved (APM 3 FXSAVE).
     */
    private boolean restoresPointers() {
        return cpu.intel || (cpu.features >>> Feature.XSAVEERPTR & 1) != 0;
    }

    private void restoreX87(int seg, long la, boolean wide) {
        long control = cpu.load64(seg, la);
        long ip = cpu.load64(seg, la + 8);
        long dp = cpu.load64(seg, la + 16);
        int fsw = (int) (control >>> 16) & 0xffff;
        int top = fsw >> 11 & 7;
        for (int i = 0; i < 8; i++) {
            int r = top + i & 7;
            s.fpMantissa[r] = cpu.load64(seg, la + 32 + 16L * i);
            s.fpExponent[r] = cpu.load16(seg, la + 40 + 16L * i) & 0xffff;
        }
        // Bit 6 always reads as one; ES and B follow from the exceptions that are not masked.
        s.fcw = (int) control & 0x1f3f | 0x40;
        boolean unmasked = (fsw & ~s.fcw & 0x3f) != 0;
        s.fsw = fsw & 0x7f7f | (unmasked ? 0x8080 : 0);
        s.ftwValid = (int) (control >>> 32) & 0xff;
        if (restoresPointers() || pending(s.fsw)) {
            s.fpOpcode = (int) (control >>> 48) & 0x7ff;
            // AMD's processors have 57 bits of both pointers. Intel's have all of the data's, and of the
            // instruction's 57 where they know five-level paging, be it on or off, else 48.
            int unused = cpu.intel && (cpu.controls.cr4Allowed & CpuState.CR4_LA57) == 0 ? 16 : 7;
            s.fpIp = wide ? ip << unused >> unused : ip & 0xffff_ffffL;
            s.fpDp = wide ? cpu.intel ? dp : dp << 7 >> 7 : dp & 0xffff_ffffL;
            s.fpCs = wide ? 0 : (int) (ip >>> 32) & 0xffff;
            s.fpDs = wide ? 0 : (int) (dp >>> 32) & 0xffff;
        }
    }

    private void initX87() {
        s.fcw = 0x37f;
        s.fsw = 0;
        s.ftwValid = 0;
        s.fpOpcode = 0;
        s.fpIp = 0;
        s.fpDp = 0;
        s.fpCs = 0;
        s.fpDs = 0;
        java.util.Arrays.fill(s.fpMantissa, 0);
        java.util.Arrays.fill(s.fpExponent, 0);
    }

    private void saveMxcsr(int seg, long la) {
        cpu.store32(seg, la + 24, s.mxcsr);
        cpu.store32(seg, la + 28, MXCSR_MASK);
    }

    private void restoreMxcsrChecked(int seg, long la) {
        int v = cpu.load32(seg, la + 24);
        if ((v & ~MXCSR_MASK) != 0) {
            throw o.protection();
        }
        // The last bytes too, before anything changes.
        cpu.load64(seg, la + LEGACY_BYTES - 8);
        s.mxcsr = v;
    }

    private void saveXmm(int seg, long la) {
        for (int i = 0; i < xmmCount(); i++) {
            cpu.store64(seg, la + 160 + 16L * i, s.xmm[i * 4]);
            cpu.store64(seg, la + 168 + 16L * i, s.xmm[i * 4 + 1]);
        }
    }

    private void restoreXmm(int seg, long la) {
        for (int i = 0; i < xmmCount(); i++) {
            s.xmm[i * 4] = cpu.load64(seg, la + 160 + 16L * i);
            s.xmm[i * 4 + 1] = cpu.load64(seg, la + 168 + 16L * i);
        }
    }

    // ------------------------------------------------------------------ XSAVE

    private void saveAvx(int seg, long la) {
        for (int i = 0; i < xmmCount(); i++) {
            cpu.store64(seg, la + 16L * i, s.xmm[i * 4 + 2]);
            cpu.store64(seg, la + 8 + 16L * i, s.xmm[i * 4 + 3]);
        }
    }

    /** Proves what is to be written: to AMD all that is {@code wanted}, from the first byte on; to Intel what {@code written} takes. */
    private void probe(int seg, long la, int wanted, int written) {
        if (!cpu.intel) {
            cpu.probeWrite(seg, la, (wanted & AVX) != 0 ? AVX_OFFSET + AVX_BYTES : HEADER + 64);
            return;
        }
        if ((written & (X87 | SSE)) != 0) {
            cpu.probeWrite(seg, la, (written & SSE) != 0 ? 160 + 16 * xmmCount() : 160);
        }
        cpu.probeWrite(seg, la + HEADER, 64);
        if ((written & AVX) != 0) {
            cpu.probeWrite(seg, la + AVX_OFFSET, AVX_BYTES);
        }
    }

    private void save(int seg, long la, int wanted, boolean wide) {
        // MXCSR goes with AVX, too.
        probe(seg, la, wanted, (wanted & AVX) != 0 ? wanted | X87 : wanted);
        long present = cpu.load64(seg, la + HEADER);
        if ((wanted & X87) != 0) {
            saveX87(seg, la, wide);
        }
        if ((wanted & (SSE | AVX)) != 0) {
            saveMxcsr(seg, la);
        }
        if ((wanted & SSE) != 0) {
            saveXmm(seg, la);
        }
        if ((wanted & AVX) != 0) {
            saveAvx(seg, la + AVX_OFFSET);
        }
        cpu.store64(seg, la + HEADER, present & ~(long) wanted | wanted & inUse());
    }

    private void saveCompacted(int seg, long la, int wanted, boolean wide) {
        int present = wanted & inUse();
        probe(seg, la, wanted, present);
        if ((present & X87) != 0) {
            saveX87(seg, la, wide);
        }
        if ((present & SSE) != 0) {
            saveMxcsr(seg, la);
            saveXmm(seg, la);
        }
        if ((present & AVX) != 0) {
            saveAvx(seg, la + AVX_OFFSET);
        }
        cpu.store64(seg, la + HEADER, present);
        cpu.store64(seg, la + HEADER + 8, wanted | COMPACTED);
        // Intel's processors leave the rest of the header as it was (SDM 1 13.10, 13.11).
        for (int i = 16; i < 64 && !cpu.intel; i += 8) {
            cpu.store64(seg, la + HEADER + i, 0);
        }
    }

    private void restore(int seg, long la, int wanted, boolean wide, boolean supervisor) {
        if (!cpu.intel || wanted != 0) {
            // The legacy area must be there whatever is restored of it; to Intel, if anything is.
            cpu.load64(seg, la);
        }
        long present = cpu.load64(seg, la + HEADER);
        long layout = cpu.load64(seg, la + HEADER + 8);
        boolean compacted = layout < 0;
        if (supervisor && !compacted || (present & ~s.xcr0) != 0) {
            throw o.protection();
        }
        if (compacted ? (layout & ~COMPACTED & ~s.xcr0) != 0 || (present & ~layout) != 0 : layout != 0) {
            throw o.protection();
        }
        for (int i = 16; i < 64; i += 8) {
            // The standard form looks at bytes 16 to 23 only, the compacted one at all.
            if ((compacted || i == 16) && cpu.load64(seg, la + HEADER + i) != 0) {
                throw o.protection();
            }
        }
        boolean loadMxcsr = compacted ? (wanted & present & SSE) != 0 : (wanted & (SSE | AVX)) != 0;
        if (loadMxcsr && (cpu.load32(seg, la + 24) & ~MXCSR_MASK) != 0) {
            throw o.protection();
        }
        if ((wanted & present & AVX) != 0) {
            cpu.load64(seg, la + AVX_OFFSET + AVX_BYTES - 8);
        }
        if ((wanted & X87) != 0) {
            if ((present & X87) != 0) {
                restoreX87(seg, la, wide);
            } else {
                initX87();
            }
        }
        if (loadMxcsr) {
            s.mxcsr = cpu.load32(seg, la + 24);
        } else if (compacted && (wanted & SSE) != 0) {
            s.mxcsr = 0x1f80;
        }
        if ((wanted & SSE) != 0) {
            if ((present & SSE) != 0) {
                restoreXmm(seg, la);
            } else {
                clear(0);
            }
        }
        if ((wanted & AVX) != 0) {
            if ((present & AVX) != 0) {
                for (int i = 0; i < xmmCount(); i++) {
                    s.xmm[i * 4 + 2] = cpu.load64(seg, la + AVX_OFFSET + 16L * i);
                    s.xmm[i * 4 + 3] = cpu.load64(seg, la + AVX_OFFSET + 8 + 16L * i);
                }
            } else {
                clear(2);
            }
        }
    }

    private void clear(int half) {
        for (int i = 0; i < xmmCount(); i++) {
            s.xmm[i * 4 + half] = 0;
            s.xmm[i * 4 + half + 1] = 0;
        }
    }
}
