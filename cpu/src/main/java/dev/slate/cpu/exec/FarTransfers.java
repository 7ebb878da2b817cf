package dev.slate.cpu.exec;

import static dev.slate.cpu.CpuState.ATTR_DB;
import static dev.slate.cpu.CpuState.ATTR_L;
import static dev.slate.cpu.CpuState.ATTR_P;
import static dev.slate.cpu.CpuState.ATTR_S;
import static dev.slate.cpu.CpuState.CS;
import static dev.slate.cpu.CpuState.RCX;
import static dev.slate.cpu.CpuState.RDX;
import static dev.slate.cpu.CpuState.RSP;
import static dev.slate.cpu.CpuState.SS;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.SvmExit;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** Transfers that may change CS: far jumps, calls and returns, IRET, software interrupts, system calls; and segment loads. */
final class FarTransfers {
    private static final int CALL_GATE_16 = 4;
    private static final int CALL_GATE_32 = 12;

    private final Operands o;
    private final Cpu cpu;
    private final CpuState s;
    private final long[] gpr;
    private final Segments segments;
    private final Events events;
    private final TaskSwitch tasks;
    private final InterruptReturn interruptReturn;

    FarTransfers(Operands o, Segments segments, Events events) {
        this.o = o;
        this.cpu = o.cpu;
        this.s = o.s;
        this.gpr = o.gpr;
        this.segments = segments;
        this.events = events;
        this.tasks = new TaskSwitch(o, segments);
        this.interruptReturn = new InterruptReturn(o, segments, tasks);
    }

    int execute(int op, long w0, long w1, long imm) {
        int size = Insn.size(w0);
        switch (op) {
            case Op.JMP_FAR_IMM, Op.CALL_FAR_IMM -> {
                int selector = (int) (imm >>> 32) & 0xffff;
                return far(
                        op == Op.CALL_FAR_IMM, size, selector, IntegerOps.zeroExtend(imm & 0xffff_ffffL, size), w0, w1);
            }
            case Op.JMP_FAR_RM, Op.CALL_FAR_RM -> {
                long offset = pointer(w0, w1);
                return far(op == Op.CALL_FAR_RM, pointerSize(size), pointedSelector, offset, w0, w1);
            }
            case Op.RETF -> {
                return farReturn(size, 0);
            }
            case Op.RETF_IMM -> {
                return farReturn(size, (int) imm & 0xffff);
            }
            case Op.IRET -> {
                o.intercept(SvmExit.IRET, 0, w0, w1);
                return interruptReturn.execute(w0, w1);
            }
            case Op.INT -> {
                int vector = (int) imm & 0xff;
                o.intercept(SvmExit.SWINT, vector, w0, w1);
                if (s.virtual8086() && (s.flagsSystem & CpuState.IOPL) != CpuState.IOPL) {
                    throw o.protection();
                }
                return interrupt(vector, Events.SOFTWARE, w0, w1);
            }
            case Op.INT3 -> {
                if ((cpu.controls.interceptedVectors >>> GuestFault.BP & 1) != 0) {
                    cpu.exit.info = GuestFault.BP;
                    cpu.exit.info2 = 0;
                    return o.exit(CpuExit.DEBUG, w0, w1);
                }
                o.intercept(SvmExit.EXCEPTION + GuestFault.BP, 0, w0, w1);
                return interrupt(GuestFault.BP, Events.SOFTWARE, w0, w1);
            }
            case Op.INT1 -> {
                // A trap that a load of SS has put off is lost (SDM 3C 27.7.3: with a privileged software exception).
                o.intercept(SvmExit.ICEBP, 0, w0, w1);
                cpu.debug.pending = 0;
                if (cpu.intercepts.wants(SvmExit.EXCEPTION + GuestFault.DB)) {
                    // A trap: rip is behind it.
                    s.rip = o.next(w0, w1);
                    return cpu.intercepted(SvmExit.EXCEPTION + GuestFault.DB, 0, 0);
                }
                return interrupt(GuestFault.DB, Events.PRIVILEGED_SOFTWARE, w0, w1);
            }
            case Op.INTO -> {
                if (s.flagOverflow >= 0) {
                    return next(w0, w1);
                }
                o.intercept(SvmExit.EXCEPTION + GuestFault.OF, 0, w0, w1);
                return interrupt(GuestFault.OF, Events.SOFTWARE, w0, w1);
            }
            case Op.PUSH_SEG -> {
                int selector = s.segSelector[Insn.reg(w0)];
                if (size == 2 && cpu.intel) {
                    // Intel's processors leave the slot's upper half as it was (SDM 2B PUSH).
                    o.pushNarrow(selector);
                } else {
                    o.push(size, selector);
                }
            }
            case Op.MOV_FROM_SEG -> {
                int selector = s.segSelector[Insn.reg(w0)];
                o.setRm(w0, w1, (w0 & Insn.MEM) != 0 ? 1 : size, selector);
            }
            case Op.POP_SEG -> {
                int seg = Insn.reg(w0);
                // Intel's processors read no more than the selector.
                segments.load(seg, (int) o.peek(cpu.intel ? 1 : size, 0));
                o.release(1L << size);
                return afterLoad(seg, w0, w1);
            }
            case Op.MOV_TO_SEG -> {
                int seg = Insn.reg(w0);
                if (seg == CS || seg > CpuState.GS) {
                    throw o.undefined();
                }
                segments.load(seg, (int) o.rm(w0, w1, 1));
                return afterLoad(seg, w0, w1);
            }
            case Op.LDS, Op.LES, Op.LSS, Op.LFS, Op.LGS -> {
                return loadFarPointer(op, w0, w1);
            }
            case Op.SYSCALL, Op.SYSRET, Op.SYSENTER, Op.SYSEXIT -> {
                return fastCall(op, w0, w1);
            }
            default -> {
                return CpuExit.UNIMPLEMENTED;
            }
        }
        return Interpreter.NEXT;
    }

    private int next(long w0, long w1) {
        s.rip = o.next(w0, w1);
        return CpuExit.NONE;
    }

    private int afterLoad(int seg, long w0, long w1) {
        if (seg == SS) {
            s.interruptShadow = CpuState.SHADOW_SS;
        }
        return next(w0, w1);
    }

    private int interrupt(int vector, int kind, long w0, long w1) {
        events.enter(vector, false, 0, kind, o.next(w0, w1));
        return CpuExit.NONE;
    }

    /** To AMD, REX.W makes no far pointer of ten bytes (APM 3 JMP, CALL, LSS). */
    private int pointerSize(int size) {
        return cpu.intel ? size : Math.min(size, 2);
    }

    /** Selector of the far pointer that {@link #pointer} loaded last. */
    private int pointedSelector;

    /** Loads the far pointer in memory, and returns its offset: one access, unless its parts lie apart or are more than eight bytes. */
    private long pointer(long w0, long w1) {
        int size = pointerSize(Insn.size(w0));
        int bytes = 1 << size;
        int seg = Insn.segment(w0);
        long la = o.part(w0, w1, 0, bytes, false);
        if (size != 3 && o.inOnePiece(w0, w1, bytes + 2)) {
            long pointer = cpu.loadFarPointer(seg, la, bytes);
            pointedSelector = (int) (pointer >>> 8 * bytes);
            return IntegerOps.zeroExtend(pointer, size);
        }
        long offset = cpu.load(seg, la, size);
        pointedSelector = cpu.load16(seg, o.part(w0, w1, bytes, 2, false)) & 0xffff;
        return offset;
    }

    private int loadFarPointer(int op, long w0, long w1) {
        int size = pointerSize(Insn.size(w0));
        long offset = pointer(w0, w1);
        int selector = pointedSelector;
        int target = switch (op) {
            case Op.LDS -> CpuState.DS;
            case Op.LES -> CpuState.ES;
            case Op.LSS -> SS;
            case Op.LFS -> CpuState.FS;
            default -> CpuState.GS;
        };
        segments.load(target, selector);
        o.setReg(Insn.reg(w0), size, offset);
        return next(w0, w1);
    }

    // ------------------------------------------------------------------ far jump and call

    private int far(boolean call, int size, int selector, long offset, long w0, long w1) {
        long returnRip = o.next(w0, w1);
        if (!s.protectedMode() || s.virtual8086()) {
            if (offset > (s.segLimit[CS] & 0xffff_ffffL)) {
                throw o.protection();
            }
            if (call) {
                pushReturn(size, returnRip);
            }
            segments.setReal(CS, selector);
            s.rip = offset;
            cpu.modeChanged();
            return CpuExit.NONE;
        }
        if ((selector & ~3) == 0) {
            throw o.protection();
        }
        long d = segments.read(selector, GuestFault.GP);
        int attr = Segments.attributes(d);
        if ((attr & ATTR_S) == 0) {
            return gate(call, selector, d, attr, returnRip);
        }
        checkDirect(selector, attr);
        long target = cpu.intel && call ? pushAndCheck(d, attr, offset, size, returnRip) : checkTarget(d, attr, offset);
        if (call && !cpu.intel) {
            pushReturn(size, returnRip);
        }
        segments.setCode(selector, d, s.cpl);
        s.rip = target;
        cpu.modeChanged();
        return CpuExit.NONE;
    }

    /** Intel's order: the return address is on the stack, below its pointer, when the target's fault comes. */
    private long pushAndCheck(long descriptor, int attr, long offset, int size, long returnRip) {
        long sp = gpr[RSP];
        pushReturn(size, returnRip, attr);
        long after = gpr[RSP];
        gpr[RSP] = sp;
        long target = checkTarget(descriptor, attr, offset);
        gpr[RSP] = after;
        return target;
    }

    /** As a call to a segment of attributes {@code attr} pushes: for 64-bit code Intel's processors do so by its rules, without SS's base. */
    private void pushReturn(int size, long returnRip, int attr) {
        if (cpu.intel && !cpu.mode64 && segments.code64(attr)) {
            long bottom = gpr[RSP] - (2L << size);
            cpu.store(SS, bottom + (1L << size), size, s.segSelector[CS]);
            cpu.store(SS, bottom, size, returnRip);
            gpr[RSP] = bottom;
            return;
        }
        pushReturn(size, returnRip);
    }

    private void pushReturn(int size, long returnRip) {
        long sp = gpr[RSP];
        boolean done = false;
        try {
            o.push(size, s.segSelector[CS]);
            o.push(size, returnRip);
            done = true;
        } finally {
            if (!done) {
                gpr[RSP] = sp;
            }
        }
    }

    private void checkDirect(int selector, int attr) {
        boolean conforming = (attr & Segments.CONFORMING) != 0;
        if ((attr & Segments.CODE) == 0
                || (conforming ? Segments.dpl(attr) > s.cpl : (selector & 3) > s.cpl || Segments.dpl(attr) != s.cpl)) {
            throw segments.fault(GuestFault.GP, selector);
        }
        segments.checkCode(selector, attr);
    }

    private long checkTarget(long descriptor, int attr, long offset) {
        if (segments.code64(attr)) {
            if (!canonical(offset)) {
                throw o.protection();
            }
            return offset;
        }
        offset &= 0xffff_ffffL;
        if (offset > (Segments.limit(descriptor) & 0xffff_ffffL)) {
            throw o.protection();
        }
        return offset;
    }

    private boolean canonical(long la) {
        return cpu.canonical(la);
    }

    /** Call gates (SDM 3A 5.8.3 to 5.8.5); task gates and TSSs switch tasks. */
    private int gate(boolean call, int selector, long d, int attr, long returnRip) {
        int type = attr & 15;
        boolean wide = s.longMode();
        if (!(type == CALL_GATE_32 || type == CALL_GATE_16 && !wide)) {
            if (!wide && TaskSwitch.switches(type)) {
                return tasks.far(call, selector, d, returnRip);
            }
            throw segments.fault(GuestFault.GP, selector);
        }
        if (Segments.dpl(attr) < Math.max(s.cpl, selector & 3)) {
            throw segments.fault(GuestFault.GP, selector);
        }
        if ((attr & ATTR_P) == 0) {
            throw segments.fault(GuestFault.NP, selector);
        }
        long offset = d & 0xffff | (type == CALL_GATE_32 ? d >>> 32 & 0xffff_0000L : 0);
        if (wide) {
            if ((selector & 0xfff8) + 15 > (s.gdtLimit & 0xffff) && (selector & 4) == 0) {
                throw segments.fault(GuestFault.GP, selector);
            }
            long upper = cpu.systemLoad64(segments.address(selector, GuestFault.GP) + 8);
            if ((upper >>> 40 & 0x1f) != 0) {
                throw segments.fault(GuestFault.GP, selector);
            }
            offset |= upper << 32;
        }
        int code = (int) (d >>> 16) & 0xffff;
        if ((code & ~3) == 0) {
            throw o.protection();
        }
        long cd = segments.read(code, GuestFault.GP);
        int ca = Segments.attributes(cd);
        int dpl = Segments.dpl(ca);
        boolean conforming = (ca & Segments.CONFORMING) != 0;
        if ((ca & (ATTR_S | Segments.CODE)) != (ATTR_S | Segments.CODE)
                || dpl > s.cpl
                || !call && !conforming && dpl != s.cpl
                || wide && (ca & (ATTR_L | ATTR_DB)) != ATTR_L) {
            throw segments.fault(GuestFault.GP, code);
        }
        if ((ca & ATTR_P) == 0) {
            throw segments.fault(GuestFault.NP, code);
        }
        long target = checkTarget(cd, ca, offset);
        int size = wide ? 3 : type == CALL_GATE_32 ? 2 : 1;
        if (!call) {
            segments.setCode(code, cd, s.cpl);
        } else if (conforming || dpl == s.cpl) {
            pushReturn(size, returnRip, ca);
            segments.setCode(code, cd, s.cpl);
        } else if (wide) {
            innerCall64(code, cd, dpl, returnRip);
        } else {
            innerCall(code, cd, dpl, size, (int) (d >>> 32) & 31, returnRip);
        }
        s.rip = target;
        cpu.modeChanged();
        return CpuExit.NONE;
    }

    private void innerCall64(int code, long cd, int level, long returnRip) {
        int offset = 4 + 8 * level;
        if (offset + 7 > (s.segLimit[CpuState.TR] & 0xffff_ffffL)) {
            throw segments.fault(GuestFault.TS, s.segSelector[CpuState.TR]);
        }
        long sp = cpu.systemLoad64(s.segBase[CpuState.TR] + offset);
        if (!cpu.canonical(sp - 32) || !cpu.canonical(sp)) {
            throw cpu.fault(GuestFault.SS, 0);
        }
        cpu.systemStore64(sp - 8, s.segSelector[SS]);
        cpu.systemStore64(sp - 16, gpr[RSP]);
        cpu.systemStore64(sp - 24, s.segSelector[CS]);
        cpu.systemStore64(sp - 32, returnRip);
        segments.setCode(code, cd, level);
        segments.setStack(level, 0, level);
        gpr[RSP] = sp - 32;
    }

    private void innerCall(int code, long cd, int level, int size, int parameters, long returnRip) {
        // The parameters are read before the stack is left.
        long[] copy = new long[parameters];
        for (int i = 0; i < parameters; i++) {
            copy[i] = o.peek(size, (long) i << size);
        }
        Events.Frame f = events.frame(level);
        f.push(size, s.segSelector[SS]);
        f.push(size, gpr[RSP]);
        for (int i = parameters - 1; i >= 0; i--) {
            f.push(size, copy[i]);
        }
        f.push(size, s.segSelector[CS]);
        f.push(size, returnRip);
        segments.setCode(code, cd, level);
        f.commit();
    }

    // ------------------------------------------------------------------ far return

    private int farReturn(int size, int release) {
        int bytes = 1 << size;
        // From the selector down: which of two bad words raises the fault shows it.
        int selector = (int) o.peek(cpu.intel ? 1 : size, bytes) & 0xffff;
        long offset = o.peek(size, 0);
        if (!s.protectedMode() || s.virtual8086()) {
            if (offset > (s.segLimit[CS] & 0xffff_ffffL)) {
                throw o.protection();
            }
            o.release(2L * bytes + release);
            segments.setReal(CS, selector);
            s.rip = offset;
            cpu.modeChanged();
            return CpuExit.NONE;
        }
        interruptReturn.toCode(selector, offset, size, 2L * bytes + release, release);
        cpu.modeChanged();
        return CpuExit.NONE;
    }

    // ------------------------------------------------------------------ fast system calls (APM 3 SYSCALL, SDM 2B
    // SYSENTER)

    private int fastCall(int op, long w0, long w1) {
        switch (op) {
            case Op.SYSCALL -> {
                sysCall(o.next(w0, w1));
                trapAtTarget();
            }
            case Op.SYSRET -> {
                sysReturn(Insn.size(w0));
                trapAtTarget();
            }
            case Op.SYSENTER -> sysEnter();
            default -> sysExit(Insn.size(w0));
        }
        cpu.modeChanged();
        return CpuExit.NONE;
    }

    /** Of these two instructions the TF counts that they leave behind, not the one that they found: the trap is taken at the target. */
    private void trapAtTarget() {
        cpu.debug.stepDone = true;
        if ((s.flagsSystem & CpuState.TF) != 0) {
            cpu.debug.pending |= DR6_BS;
        }
    }

    private static final long DR6_BS = 1 << 14;

    private void sysCall(long returnRip) {
        if ((s.efer & CpuState.EFER_SCE) == 0 || cpu.intel && !cpu.mode64) {
            throw o.undefined();
        }
        long flags = s.rflags();
        boolean wide = s.longMode();
        if (wide) {
            long target = cpu.mode64 ? s.lstar : s.cstar;
            gpr[RCX] = returnRip;
            gpr[11] = flags & ~(long) CpuState.RF;
            s.setRflags(flags & ~s.sfmask & ~(long) CpuState.RF);
            s.rip = target;
        } else {
            gpr[RCX] = returnRip & 0xffff_ffffL;
            s.flagsSystem &= ~(CpuState.IF | CpuState.RF | CpuState.VM);
            s.rip = s.star & 0xffff_ffffL;
        }
        s.segmentsBySyscall(wide);
    }

    private void sysReturn(int size) {
        if ((s.efer & CpuState.EFER_SCE) == 0 || cpu.intel && !cpu.mode64) {
            throw o.undefined();
        }
        if (!s.protectedMode() || s.cpl != 0) {
            throw o.protection();
        }
        boolean wide = cpu.mode64 && size == 3;
        if (cpu.mode64) {
            long target = gpr[RCX];
            // AMD's goes there, and faults with the user's privilege.
            if (wide && cpu.intel && !cpu.canonical(target)) {
                throw o.protection();
            }
            int keep = s.flagsSystem & CpuState.VM;
            s.setRflags(gpr[11] & ~(long) (CpuState.RF | CpuState.VM));
            s.flagsSystem |= keep;
            s.rip = wide ? target : target & 0xffff_ffffL;
        } else {
            s.flagsSystem |= CpuState.IF;
            s.rip = gpr[RCX] & 0xffff_ffffL;
        }
        s.segmentsBySysret(wide, cpu.intel);
    }

    /** AMD's long mode has no SYSENTER and no SYSEXIT. */
    private void checkEnterExit() {
        if (s.longMode() && !cpu.intel) {
            throw o.undefined();
        }
    }

    private void sysEnter() {
        checkEnterExit();
        if (!s.protectedMode() || (s.sysenterCs & 0xfffc) == 0) {
            throw o.protection();
        }
        boolean wide = s.longMode();
        int selector = (int) s.sysenterCs & 0xfffc;
        s.flagsSystem &= ~(CpuState.VM | CpuState.IF | CpuState.RF);
        s.flat(CS, selector, CpuState.CODE_TYPE | (wide ? ATTR_L : ATTR_DB));
        s.flat(SS, selector + 8, CpuState.DATA_TYPE | ATTR_DB);
        s.cpl = 0;
        gpr[RSP] = wide ? s.sysenterEsp : s.sysenterEsp & 0xffff_ffffL;
        s.rip = wide ? s.sysenterEip : s.sysenterEip & 0xffff_ffffL;
    }

    private void sysExit(int size) {
        checkEnterExit();
        if (!s.protectedMode() || (s.sysenterCs & 0xfffc) == 0 || s.cpl != 0) {
            throw o.protection();
        }
        boolean to64 = size == 3;
        long target = to64 ? gpr[RDX] : gpr[RDX] & 0xffff_ffffL;
        long sp = to64 ? gpr[RCX] : gpr[RCX] & 0xffff_ffffL;
        if (to64 && (!cpu.canonical(target) || !cpu.canonical(sp))) {
            throw o.protection();
        }
        int selector = (int) s.sysenterCs & 0xfffc;
        int user = 3 << CpuState.ATTR_DPL_SHIFT;
        s.flat(CS, selector + (to64 ? 32 : 16) | 3, CpuState.CODE_TYPE | (to64 ? ATTR_L : ATTR_DB) | user);
        s.flat(SS, selector + (to64 ? 40 : 24) | 3, CpuState.DATA_TYPE | ATTR_DB | user);
        s.cpl = 3;
        gpr[RSP] = sp;
        s.rip = target;
    }
}
