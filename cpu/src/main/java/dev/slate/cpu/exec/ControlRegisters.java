package dev.slate.cpu.exec;

import static dev.slate.cpu.CpuState.*;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.SvmExit;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** Control, debug and table registers, and the instructions that look at descriptors. */
final class ControlRegisters {
    private static final long CR0_BITS =
            CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;

    /** Bits of DR6 that a write may change; the others are fixed (SDM 3B 18.2.3). */
    private static final long DR6_WRITABLE = 0xe00f;

    private static final long DR6_ONES = 0xffff_0ff0L;
    private static final long DR7_WRITABLE = 0xffff_23ffL;
    private static final long DR7_ONES = 0x400;
    private static final int DR6_BD = 1 << 13;

    /** EXITINFO1 of an intercepted access: it was a MOV, whose general register stands in the low bits (APM 2 15.8.1). */
    private static final long MOVED = 1L << 63;

    private final Operands o;
    private final Cpu cpu;
    private final CpuState s;
    private final long[] gpr;
    private final Segments segments;

    ControlRegisters(Operands o, Segments segments) {
        this.o = o;
        this.cpu = o.cpu;
        this.s = o.s;
        this.gpr = o.gpr;
        this.segments = segments;
    }

    /** {@link CpuExit#UNIMPLEMENTED} for what is not of this family. */
    int execute(int op, long w0, long w1, long imm) {
        int size = Insn.size(w0);
        switch (op) {
            case Op.MOV_FROM_CR -> {
                o.privileged();
                long v = readControl(Insn.reg(w0));
                o.intercept(SvmExit.CR0_READ + Insn.reg(w0), MOVED | Insn.rm(w0), w0, w1);
                gpr[Insn.rm(w0)] = cpu.mode64 ? v : v & 0xffff_ffffL;
            }
            case Op.MOV_TO_CR -> {
                o.privileged();
                return writeControl(Insn.reg(w0), w0, w1);
            }
            case Op.MOV_FROM_DR -> debugRegister(op, w0, w1);
            case Op.MOV_TO_DR -> {
                debugRegister(op, w0, w1);
                cpu.serialize();
            }
            case Op.CLTS -> {
                o.privileged();
                o.intercept(SvmExit.CR0_WRITE, 0, w0, w1);
                s.cr0 &= ~CR0_TS;
            }
            case Op.LMSW -> {
                o.privileged();
                o.intercept(SvmExit.CR0_WRITE, 0, w0, w1);
                // To this one it is no matter what is written (APM 2 15.8.1).
                o.intercept(SvmExit.CR0_SEL_WRITE, 0, w0, w1);
                long v = o.rm(w0, w1, 1) & 0xf;
                // PE can be set, not cleared.
                setCr0(s.cr0 & ~0xeL | v);
            }
            case Op.SMSW -> {
                userMode();
                o.intercept(SvmExit.CR0_READ, 0, w0, w1);
                if ((w0 & Insn.MEM) != 0) {
                    o.storeMemory(w0, w1, 1, s.cr0);
                } else {
                    o.setReg(Insn.rm(w0), size, s.cr0);
                }
            }
            case Op.LGDT, Op.LIDT -> {
                loadTable(op, w0, w1);
                cpu.serialize();
            }
            case Op.SGDT, Op.SIDT -> storeTable(op, w0, w1);
            case Op.LLDT, Op.LTR -> {
                SystemOps.needsProtectedMode(o);
                o.privileged();
                o.intercept(op == Op.LLDT ? SvmExit.LDTR_WRITE : SvmExit.TR_WRITE, 0, w0, w1);
                int selector = (int) o.rm(w0, w1, 1);
                if (op == Op.LLDT) {
                    segments.loadLdt(selector);
                } else {
                    segments.loadTask(selector);
                }
                cpu.serialize();
            }
            case Op.SLDT, Op.STR -> {
                SystemOps.needsProtectedMode(o);
                userMode();
                o.intercept(op == Op.SLDT ? SvmExit.LDTR_READ : SvmExit.TR_READ, 0, w0, w1);
                int selector = s.segSelector[op == Op.SLDT ? LDTR : TR];
                o.setRm(w0, w1, (w0 & Insn.MEM) != 0 ? 1 : size, selector);
            }
            case Op.INVLPG -> {
                o.privileged();
                long la = o.offset(w0, w1) + s.segBase[Insn.segment(w0)];
                if (cpu.mode64) {
                    la = o.offset(w0, w1) + cpu.segmentBase[Insn.segment(w0)];
                }
                o.intercept(SvmExit.INVLPG, la, w0, w1);
                if (!cpu.mode64 || cpu.canonical(la)) {
                    cpu.invlpg(cpu.wrap(la));
                }
            }
            case Op.INVPCID -> invalidatePcid(w0, w1);
            case Op.LAR, Op.LSL, Op.VERR, Op.VERW -> {
                SystemOps.needsProtectedMode(o);
                lookAt(op, w0, (int) o.rm(w0, w1, 1) & 0xffff);
                return Interpreter.NEXT;
            }
            case Op.ARPL -> {
                SystemOps.needsProtectedMode(o);
                adjustRpl(w0, w1);
                return Interpreter.NEXT;
            }
            default -> {
                return CpuExit.UNIMPLEMENTED;
            }
        }
        s.rip = o.next(w0, w1);
        return CpuExit.NONE;
    }

    /** UMIP: SGDT, SIDT, SLDT, SMSW and STR fault outside CPL 0. */
    private void userMode() {
        if (s.cpl != 0 && (s.cr4 & CR4_UMIP) != 0) {
            throw o.protection();
        }
    }

    // ------------------------------------------------------------------ control registers

    private long readControl(int n) {
        return switch (n) {
            case 0 -> s.cr0;
            case 2 -> s.cr2;
            case 3 -> s.cr3;
            case 4 -> s.cr4;
            case 8 -> s.cr8;
            default -> throw o.undefined();
        };
    }

    private int writeControl(int n, long w0, long w1) {
        long v = gpr[Insn.rm(w0)];
        if (!cpu.mode64) {
            v &= 0xffff_ffffL;
        }
        if (n != 0 && n != 2 && n != 3 && n != 4 && n != 8) {
            throw o.undefined();
        }
        o.intercept(SvmExit.CR0_WRITE + n, MOVED | Insn.rm(w0), w0, w1);
        if (n == 0 && ((v ^ s.cr0) & ~(CR0_TS | CR0_MP)) != 0) {
            o.intercept(SvmExit.CR0_SEL_WRITE, MOVED | Insn.rm(w0), w0, w1);
        }
        switch (n) {
            case 0 -> setCr0(v);
            case 2 -> s.cr2 = v;
            case 3 -> setCr3(v);
            case 4 -> setCr4(v);
            default -> {
                if ((v & ~0xfL) != 0) {
                    throw o.protection();
                }
                s.cr8 = v;
                cpu.exit.info = v;
                int exit = o.exit(CpuExit.CR8_WRITE, w0, w1);
                s.rip = cpu.exit.nextRip;
                return exit;
            }
        }
        cpu.serialize();
        s.rip = o.next(w0, w1);
        return CpuExit.NONE;
    }

    /** MOV CR0 and LMSW (SDM 3A 2.5, 4.1.2, 10.8.5). */
    private void setCr0(long v) {
        long old = s.cr0;
        if (v >>> 32 != 0 || (v & CR0_PG) != 0 && (v & CR0_PE) == 0 || (v & CR0_NW) != 0 && (v & CR0_CD) == 0) {
            throw o.protection();
        }
        v = v & CR0_BITS | CR0_ET;
        boolean paging = (v & CR0_PG) != 0;
        long efer = s.efer;
        if (paging && (old & CR0_PG) == 0 && (efer & EFER_LME) != 0) {
            if ((s.cr4 & CR4_PAE) == 0 || (s.segAttr[CS] & ATTR_L) != 0) {
                throw o.protection();
            }
            efer |= EFER_LMA;
        } else if (!paging && (old & CR0_PG) != 0) {
            if (cpu.mode64 || (s.cr4 & CR4_PCIDE) != 0) {
                throw o.protection();
            }
            efer &= ~EFER_LMA;
        }
        if (paging
                && (s.cr4 & CR4_PAE) != 0
                && (efer & EFER_LMA) == 0
                && ((v ^ old) & (CR0_PG | CR0_CD | CR0_NW)) != 0
                && !cpu.walker.loadPdptrs(s.cr3)) {
            throw o.protection();
        }
        s.cr0 = v;
        s.efer = efer;
        if (((v ^ old) & (CR0_PG | CR0_WP | CR0_PE)) != 0) {
            cpu.translationsChanged();
        } else {
            cpu.modeChanged();
        }
    }

    private void setCr3(long v) {
        boolean keep = false;
        if (s.longMode()) {
            if ((s.cr4 & CR4_PCIDE) != 0) {
                keep = v < 0;
                v &= Long.MAX_VALUE;
            }
            if ((v & (0xfff0_0000_0000_0000L | cpu.walker.guest.reserved)) != 0) {
                throw o.protection();
            }
        } else if ((s.cr0 & CR0_PG) != 0 && (s.cr4 & CR4_PAE) != 0 && !cpu.walker.loadPdptrs(v)) {
            throw o.protection();
        }
        s.cr3 = v;
        cpu.pageTablesLoaded(keep);
    }

    private void setCr4(long v) {
        long old = s.cr4;
        long changed = v ^ old;
        if ((v & ~cpu.controls.cr4Allowed) != 0) {
            throw o.protection();
        }
        if (s.longMode() && ((v & CR4_PAE) == 0 || (changed & CR4_LA57) != 0)) {
            throw o.protection();
        }
        if ((v & ~old & CR4_PCIDE) != 0 && (!s.longMode() || (s.cr3 & 0xfff) != 0)) {
            throw o.protection();
        }
        if ((s.cr0 & CR0_PG) != 0
                && !s.longMode()
                && (v & CR4_PAE) != 0
                && (changed & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP)) != 0
                && !cpu.walker.loadPdptrs(s.cr3)) {
            throw o.protection();
        }
        s.cr4 = v;
        if ((changed & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_LA57)) != 0) {
            cpu.translationsChanged();
        } else {
            cpu.modeChanged();
        }
    }

    // ------------------------------------------------------------------ debug registers

    private void debugRegister(int op, long w0, long w1) {
        int n = Insn.reg(w0);
        if (n == 4 || n == 5) {
            if ((s.cr4 & CR4_DE) != 0) {
                throw o.undefined();
            }
            n += 2;
        }
        if (n > 7) {
            throw o.undefined();
        }
        o.privileged();
        if (cpu.breakpoints.detectsAccess()) {
            throw cpu.fault(GuestFault.DB, DR6_BD);
        }
        int r = Insn.rm(w0);
        // DR4 and DR5 have intercepts of their own.
        o.intercept((op == Op.MOV_FROM_DR ? SvmExit.DR0_READ : SvmExit.DR0_WRITE) + Insn.reg(w0), r, w0, w1);
        if (op == Op.MOV_FROM_DR) {
            long v = n < 4 ? s.dr[n] : n == 6 ? s.dr6 : s.dr7;
            gpr[r] = cpu.mode64 ? v : v & 0xffff_ffffL;
            return;
        }
        long v = cpu.mode64 ? gpr[r] : gpr[r] & 0xffff_ffffL;
        if (n < 4) {
            s.dr[n] = v;
        } else {
            if (v >>> 32 != 0) {
                throw o.protection();
            }
            if (n == 6) {
                s.dr6 = v & DR6_WRITABLE | DR6_ONES;
            } else {
                s.dr7 = v & DR7_WRITABLE | DR7_ONES;
            }
        }
        cpu.modeChanged();
    }

    // ------------------------------------------------------------------ tables

    private void loadTable(int op, long w0, long w1) {
        o.privileged();
        o.intercept(op == Op.LGDT ? SvmExit.GDTR_WRITE : SvmExit.IDTR_WRITE, 0, w0, w1);
        int seg = Insn.segment(w0);
        int bytes = cpu.mode64 ? 10 : 6;
        long la = o.address(w0, w1, bytes, false);
        int limit = cpu.load16(seg, la) & 0xffff;
        long base;
        if (cpu.mode64) {
            base = cpu.load64(seg, la + 2);
            if (!cpu.canonical(base)) {
                throw o.protection();
            }
        } else {
            base = cpu.load32(seg, cpu.wrap(la + 2)) & (Insn.size(w0) == 1 ? 0xff_ffffL : 0xffff_ffffL);
        }
        if (op == Op.LGDT) {
            s.gdtBase = base;
            s.gdtLimit = limit;
        } else {
            s.idtBase = base;
            s.idtLimit = limit;
        }
    }

    private void storeTable(int op, long w0, long w1) {
        userMode();
        o.intercept(op == Op.SGDT ? SvmExit.GDTR_READ : SvmExit.IDTR_READ, 0, w0, w1);
        int seg = Insn.segment(w0);
        int bytes = cpu.mode64 ? 10 : 6;
        long la = o.address(w0, w1, bytes, true);
        cpu.probeWrite(seg, la, bytes);
        cpu.store16(seg, la, op == Op.SGDT ? s.gdtLimit : s.idtLimit);
        long base = op == Op.SGDT ? s.gdtBase : s.idtBase;
        if (cpu.mode64) {
            cpu.store64(seg, la + 2, base);
        } else {
            cpu.store32(seg, cpu.wrap(la + 2), (int) base);
        }
    }

    private void invalidatePcid(long w0, long w1) {
        o.privileged();
        o.intercept(SvmExit.INVPCID, 0, w0, w1);
        long type = cpu.mode64 ? gpr[Insn.reg(w0)] : gpr[Insn.reg(w0)] & 0xffff_ffffL;
        int seg = Insn.segment(w0);
        long la = o.address(w0, w1, 16, false);
        long pcid = cpu.load64(seg, la);
        long address = cpu.load64(seg, cpu.wrap(la + 8));
        if (type < 0
                || type > 3
                || type < 2 && pcid >>> 12 != 0
                || type == 0 && !cpu.canonical(address)
                || type < 2 && (s.cr4 & CR4_PCIDE) == 0 && pcid != 0) {
            throw o.protection();
        }
        cpu.invpcid((int) type, (int) pcid & 0xfff, address);
    }

    // ------------------------------------------------------------------ LAR, LSL, VERR, VERW, ARPL

    /** System types that LAR accepts, one bit each; long mode knows fewer. */
    private static final int LAR_TYPES = 0x1a3e;

    private static final int LAR_TYPES_LONG = 0x1a04;
    private static final int LSL_TYPES = 0x0a0e;
    private static final int LSL_TYPES_LONG = 0x0a04;

    private void lookAt(int op, long w0, int selector) {
        s.flagZero = 1;
        if ((selector & ~3) == 0 || !inTable(selector)) {
            return;
        }
        long d = segments.read(selector, GuestFault.GP);
        int attr = Segments.attributes(d);
        boolean application = (attr & ATTR_S) != 0;
        boolean code = application && (attr & Segments.CODE) != 0;
        boolean conforming = code && (attr & Segments.CONFORMING) != 0;
        boolean visible = conforming || Math.max(s.cpl, selector & 3) <= Segments.dpl(attr);
        boolean works;
        switch (op) {
            case Op.VERR -> works = application && (!code || (attr & Segments.WRITE_READ) != 0);
            case Op.VERW -> works = application && !code && (attr & Segments.WRITE_READ) != 0;
            case Op.LAR -> works = application || ((s.longMode() ? LAR_TYPES_LONG : LAR_TYPES) >> (attr & 15) & 1) != 0;
            default -> works = application || ((s.longMode() ? LSL_TYPES_LONG : LSL_TYPES) >> (attr & 15) & 1) != 0;
        }
        if (!works || !visible) {
            return;
        }
        if (op == Op.LAR) {
            o.setReg(Insn.reg(w0), Insn.size(w0), d >>> 32 & 0xf0_ff00L);
        } else if (op == Op.LSL) {
            o.setReg(Insn.reg(w0), Insn.size(w0), Segments.limit(d) & 0xffff_ffffL);
        }
        s.flagZero = 0;
    }

    private boolean inTable(int selector) {
        if ((selector & 4) != 0) {
            return (s.segAttr[LDTR] & (ATTR_UNUSABLE | ATTR_P)) == ATTR_P
                    && (selector | 7) <= (s.segLimit[LDTR] & 0xffff_ffffL);
        }
        return (selector | 7) <= (s.gdtLimit & 0xffff);
    }

    private void adjustRpl(long w0, long w1) {
        int rpl = (int) gpr[Insn.reg(w0)] & 3;
        boolean memory = (w0 & Insn.MEM) != 0;
        int seg = Insn.segment(w0);
        long la = memory ? o.address(w0, w1, 2, true) : 0;
        int selector = (int) (memory ? cpu.loadForWrite(seg, la, 1) : gpr[Insn.rm(w0)]) & 0xffff;
        boolean adjust = (selector & 3) < rpl;
        s.flagZero = adjust ? 0 : 1;
        if (adjust) {
            selector = selector & ~3 | rpl;
        }
        if (memory) {
            cpu.store16(seg, la, selector);
        } else {
            o.setReg(Insn.rm(w0), 1, selector);
        }
    }
}
