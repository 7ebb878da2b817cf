package dev.slate.cpu.exec;

import static dev.slate.cpu.CpuState.ATTR_DB;
import static dev.slate.cpu.CpuState.ATTR_L;
import static dev.slate.cpu.CpuState.ATTR_P;
import static dev.slate.cpu.CpuState.ATTR_S;
import static dev.slate.cpu.CpuState.RSP;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuObserver;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.LeaveGuest;
import dev.slate.cpu.SvmExit;
import org.jspecify.annotations.Nullable;

/**
 * Delivery of exceptions and interrupts through the interrupt table (SDM 3A chapter 6): gates, stack switch, IST, double and triple
 * fault. Nothing of the processor's state has changed when a delivery throws, the stack's memory and CR2 excepted.
 */
public final class Events {
    /** An external interrupt or NMI: no privilege check of the gate, EXT set in the error codes of faults. */
    static final int EXTERNAL = 0;
    /** An exception: no privilege check either; EXT is set by Intel's processors alone (APM 2 8.4.1: the source is external). */
    static final int EXCEPTION = 3;
    /** INT n, INT3, INTO: the gate's DPL is checked. */
    static final int SOFTWARE = 1;
    /** INT1: neither. */
    static final int PRIVILEGED_SOFTWARE = 2;

    private static final int TASK_GATE = 5;

    private final Operands o;
    private final Cpu cpu;
    private final CpuState s;
    private final Segments segments;
    private final TaskSwitch tasks;
    /** As {@link dev.slate.cpu.ExitInfo#event}: the INT n, INT3 or INTO whose delivery has just faulted; 0: none has. */
    private long software;

    /** The #DB under delivery is a fault. */
    private boolean debugFault;

    public Events(Cpu cpu) {
        this.o = new Operands(cpu);
        this.cpu = cpu;
        this.s = cpu.s;
        this.segments = new Segments(o);
        this.tasks = new TaskSwitch(o, segments);
    }

    /**
     * Raises an exception at {@code s.rip}; a fault on the way becomes a double fault, one on that way a shutdown (SDM 3A 6.15).
     *
     * @return {@link CpuExit#NONE} with rip at the handler, {@link CpuExit#SHUTDOWN}, or the exit of an access that delivery needs: the
     *     instruction then raises the exception again
     */
    public int deliver(int vector, int errorCode) {
        boolean hasErrorCode = GuestFault.hasErrorCode(vector);
        // Of an INT n, when this is a fault of its delivery.
        long event = software;
        software = 0;
        if (cpu.intercepts.wants(SvmExit.EXCEPTION + vector)) {
            return cpu.intercepted(SvmExit.EXCEPTION + vector, hasErrorCode ? errorCode & 0xffff_ffffL : 0, event);
        }
        return deliver(exception(vector, hasErrorCode, errorCode), vector, hasErrorCode, errorCode, EXCEPTION, s.rip);
    }

    /** An exception as EXITINTINFO has it. */
    private static long exception(int vector, boolean hasErrorCode, int errorCode) {
        long event = SvmExit.EVENT_VALID & 0xffff_ffffL | SvmExit.EVENT_EXCEPTION | vector;
        return hasErrorCode ? event | SvmExit.EVENT_ERROR_CODE | (long) errorCode << 32 : event;
    }

    /** Raises #DB at {@code s.rip}, DR6 set already; {@code fault} sets RF in the saved flags. */
    public int deliverDebug(boolean fault) {
        debugFault = fault;
        int outcome = deliver(exception(GuestFault.DB, false, 0), GuestFault.DB, false, 0, EXCEPTION, s.rip);
        debugFault = false;
        return outcome;
    }

    /** As {@link Cpu#inject}. */
    public int inject(int type, int vector, boolean hasErrorCode, int errorCode, int instructionLength) {
        // INT3 and INTO are exceptions to an injector, and go through the gate as software's (APM 2 15.20).
        boolean byInstruction = type == SvmExit.EVENT_SOFTWARE
                || type == SvmExit.EVENT_EXCEPTION
                        && instructionLength != 0
                        && (vector == GuestFault.BP || vector == GuestFault.OF);
        int kind = byInstruction ? SOFTWARE : type == SvmExit.EVENT_EXCEPTION ? EXCEPTION : EXTERNAL;
        long rip = s.rip + instructionLength;
        return deliver(0, vector, hasErrorCode, errorCode, kind, cpu.mode64 ? rip : rip & 0xffff_ffffL);
    }

    /** @param event what a guest's hypervisor is told to be under delivery when it intercepts something on the way */
    private int deliver(long event, int vector, boolean hasErrorCode, int errorCode, int kind, long returnRip) {
        for (int attempts = 0; ; attempts++) {
            if (attempts == MOST_ATTEMPTS) {
                // #AC whose own delivery raises #AC never ends on silicon (CVE-2015-5307). Nothing has been
                // delivered, so the instruction comes again: it still never ends, but whoever wants this
                // processor gets it.
                return CpuExit.INTR;
            }
            GuestFault fault = attempt(vector, hasErrorCode, errorCode, kind, returnRip);
            if (fault == null) {
                if (exit == CpuExit.INTERCEPT || exit == CpuExit.NPF) {
                    // A task switch, or memory that is not there.
                    cpu.exit.event = event;
                }
                return exit;
            }
            int second = fault.vector;
            if (cpu.intercepts.wants(SvmExit.EXCEPTION + second)) {
                // Before the two become a double fault (APM 2 15.12).
                return cpu.intercepted(SvmExit.EXCEPTION + second, fault.errorCode & 0xffff_ffffL, event);
            }
            if (vector == GuestFault.DF && kind == EXCEPTION) {
                return CpuExit.SHUTDOWN;
            }
            boolean escalates = kind == EXCEPTION
                    && (contributory(second) && (contributory(vector) || vector == GuestFault.PF)
                            || second == GuestFault.PF && vector == GuestFault.PF);
            vector = escalates ? GuestFault.DF : second;
            errorCode = escalates ? 0 : fault.errorCode;
            hasErrorCode = GuestFault.hasErrorCode(vector);
            if (escalates && cpu.intercepts.wants(SvmExit.EXCEPTION + GuestFault.DF)) {
                return cpu.intercepted(SvmExit.EXCEPTION + GuestFault.DF, 0, event);
            }
            event = exception(vector, hasErrorCode, errorCode);
            kind = EXCEPTION;
            returnRip = s.rip;
        }
    }

    private static final int MOST_ATTEMPTS = 16;

    private int exit;

    private @Nullable GuestFault attempt(int vector, boolean hasErrorCode, int errorCode, int kind, long returnRip) {
        exit = CpuExit.NONE;
        try {
            enter(vector, hasErrorCode, errorCode, kind, returnRip);
            return null;
        } catch (GuestFault f) {
            // A task switch may have come as far as the new task; what is delivered next returns there.
            cpu.atNewRip = false;
            return f;
        } catch (LeaveGuest e) {
            exit = e.exit;
            return null;
        }
    }

    private static boolean contributory(int vector) {
        return vector == GuestFault.DE || vector >= GuestFault.TS && vector <= GuestFault.GP;
    }

    /** One delivery, which may throw. */
    void enter(int vector, boolean hasErrorCode, int errorCode, int kind, long returnRip) {
        segments.external = kind == SOFTWARE || kind == EXCEPTION && !cpu.intel ? 0 : 1;
        software = kind == SOFTWARE && cpu.intercepts.active()
                ? SvmExit.EVENT_VALID & 0xffff_ffffL | SvmExit.EVENT_SOFTWARE | vector
                : 0;
        try {
            if (!s.protectedMode()) {
                enterReal(vector, returnRip);
            } else {
                // Faults push RF set, so that an instruction breakpoint does not strike again; traps and
                // interrupts do not.
                boolean fault = kind == EXCEPTION && hasErrorCode
                        || kind == EXCEPTION
                                && (vector == GuestFault.DE
                                        || vector >= GuestFault.BR && vector <= GuestFault.NM
                                        || vector == GuestFault.DB && debugFault
                                        || vector == GuestFault.MF
                                        || vector == GuestFault.XM);
                long flags = s.rflags() | (fault && vector != GuestFault.DF ? CpuState.RF : 0);
                if (s.longMode()) {
                    enterLong(vector, hasErrorCode, errorCode, kind, returnRip, flags);
                } else {
                    enterProtected(vector, hasErrorCode, errorCode, kind, returnRip, flags);
                }
            }
        } catch (LeaveGuest e) {
            cpu.exit.event = software;
            software = 0;
            throw e;
        } finally {
            segments.external = 0;
        }
        software = 0;
        s.interruptShadow = 0;
        cpu.debug.stepDone = true;
        cpu.modeChanged();
        CpuObserver observer = cpu.observers.deliveries;
        if (observer != null) {
            observer.delivered(vector, hasErrorCode, errorCode);
        }
    }

    private GuestFault gateFault(int fault, int vector) {
        return cpu.fault(fault, vector << 3 | 2 | segments.external);
    }

    private void checkGate(int vector, int access, int kind) {
        if (kind == SOFTWARE && (access >> 5 & 3) < s.cpl) {
            throw gateFault(GuestFault.GP, vector);
        }
        if ((access & ATTR_P) == 0) {
            throw gateFault(GuestFault.NP, vector);
        }
    }

    /** The handler's code descriptor, checked against the privilege level. */
    private long handlerCode(int selector) {
        if ((selector & ~3) == 0) {
            throw cpu.fault(GuestFault.GP, segments.external);
        }
        long d = segments.read(selector, GuestFault.GP);
        int attr = Segments.attributes(d);
        if ((attr & (ATTR_S | Segments.CODE)) != (ATTR_S | Segments.CODE) || Segments.dpl(attr) > s.cpl) {
            throw segments.fault(GuestFault.GP, selector);
        }
        if ((attr & ATTR_P) == 0) {
            throw segments.fault(GuestFault.NP, selector);
        }
        return d;
    }

    private int handlerLevel(int attr) {
        return (attr & Segments.CONFORMING) != 0 ? s.cpl : Segments.dpl(attr);
    }

    private void finishFlags(boolean interruptGate) {
        int clear = CpuState.TF | CpuState.NT | CpuState.RF | CpuState.VM | (interruptGate ? CpuState.IF : 0);
        s.flagsSystem &= ~clear;
    }

    // ------------------------------------------------------------------ long mode

    private void enterLong(int vector, boolean hasErrorCode, int errorCode, int kind, long returnRip, long flags) {
        if (vector * 16 + 15 > (s.idtLimit & 0xffff)) {
            throw gateFault(GuestFault.GP, vector);
        }
        long low = cpu.systemLoad64(s.idtBase + vector * 16L);
        long high = cpu.systemLoad64(s.idtBase + vector * 16L + 8);
        int access = (int) (low >>> 40) & 0xff;
        if ((access & 0x1e) != 0xe) {
            throw gateFault(GuestFault.GP, vector);
        }
        checkGate(vector, access, kind);
        int selector = (int) (low >>> 16) & 0xffff;
        long target = low & 0xffff | low >>> 32 & 0xffff_0000L | high << 32;
        long code = handlerCode(selector);
        int attr = Segments.attributes(code);
        if ((attr & (ATTR_L | ATTR_DB)) != ATTR_L) {
            throw segments.fault(GuestFault.GP, selector);
        }
        int level = handlerLevel(attr);
        int ist = (int) (low >>> 32) & 7;
        long sp = s.gpr[RSP];
        if (ist != 0) {
            sp = taskStack(0x1c + 8 * ist);
        } else if (level != s.cpl) {
            sp = taskStack(4 + 8 * level);
        }
        if (!cpu.canonical(target)) {
            throw cpu.fault(GuestFault.GP, segments.external);
        }
        long oldSp = s.gpr[RSP];
        int oldLevel = s.cpl;
        sp &= -16;
        pushLong(sp - 8, s.segSelector[CpuState.SS], level);
        pushLong(sp - 16, oldSp, level);
        pushLong(sp - 24, flags, level);
        pushLong(sp - 32, s.segSelector[CpuState.CS], level);
        pushLong(sp - 40, returnRip, level);
        sp -= 40;
        if (hasErrorCode) {
            sp -= 8;
            pushLong(sp, errorCode & 0xffff_ffffL, level);
        }
        segments.setCode(selector, code, level);
        if (level != oldLevel) {
            segments.setStack(level, 0, level);
        }
        s.gpr[RSP] = sp;
        s.rip = target;
        finishFlags((access & 1) == 0);
    }

    private long taskStack(int offset) {
        if (offset + 7 > (s.segLimit[CpuState.TR] & 0xffff_ffffL)) {
            throw segments.fault(GuestFault.TS, s.segSelector[CpuState.TR]);
        }
        return cpu.systemLoad64(s.segBase[CpuState.TR] + offset);
    }

    /** A push at the handler's privilege, which the processor does not have yet. */
    private void pushLong(long la, long v, int level) {
        if (!cpu.canonical(la)) {
            throw cpu.fault(GuestFault.SS, segments.external);
        }
        if (level == 3) {
            cpu.store64(CpuState.SS, la, v);
        } else {
            cpu.systemStore64(la, v);
        }
    }

    // ------------------------------------------------------------------ protected mode

    private void enterProtected(int vector, boolean hasErrorCode, int errorCode, int kind, long returnRip, long flags) {
        if (vector * 8 + 7 > (s.idtLimit & 0xffff)) {
            throw gateFault(GuestFault.GP, vector);
        }
        long gate = cpu.systemLoad64(cpu.wrap(s.idtBase + vector * 8L));
        int access = (int) (gate >>> 40) & 0xff;
        int type = access & 0x1f;
        if (type != TASK_GATE && (type & 0x16) != 6) {
            throw gateFault(GuestFault.GP, vector);
        }
        checkGate(vector, access, kind);
        int selector = (int) (gate >>> 16) & 0xffff;
        if (type == TASK_GATE) {
            tasks.byEvent(selector, returnRip, flags, hasErrorCode, errorCode);
            return;
        }
        int size = (type & 8) != 0 ? 2 : 1;
        long target = gate & 0xffff | (size == 2 ? gate >>> 32 & 0xffff_0000L : 0);
        long code = handlerCode(selector);
        int attr = Segments.attributes(code);
        int level = handlerLevel(attr);
        if (s.virtual8086() && level != 0) {
            throw segments.fault(GuestFault.GP, selector);
        }
        if (target > (Segments.limit(code) & 0xffff_ffffL)) {
            throw cpu.fault(GuestFault.GP, segments.external);
        }
        Frame f = frame.begin(level);
        if (s.virtual8086()) {
            f.push(size, s.segSelector[CpuState.GS]);
            f.push(size, s.segSelector[CpuState.FS]);
            f.push(size, s.segSelector[CpuState.DS]);
            f.push(size, s.segSelector[CpuState.ES]);
        }
        if (level != s.cpl) {
            f.push(size, s.segSelector[CpuState.SS]);
            f.push(size, s.gpr[RSP]);
        }
        f.push(size, flags);
        f.push(size, s.segSelector[CpuState.CS]);
        f.push(size, returnRip);
        if (hasErrorCode) {
            f.push(size, errorCode);
        }
        if (s.virtual8086()) {
            s.flagsSystem &= ~CpuState.VM;
            segments.setNull(CpuState.GS, 0);
            segments.setNull(CpuState.FS, 0);
            segments.setNull(CpuState.DS, 0);
            segments.setNull(CpuState.ES, 0);
        }
        segments.setCode(selector, code, level);
        f.commit();
        s.rip = target;
        finishFlags((access & 1) == 0);
    }

    private final Frame frame = new Frame();

    /** The handler's stack in legacy protected mode: the TSS's for an inner level, or the current one. */
    final class Frame {
        private boolean switches;
        private int selector;
        private long descriptor;
        private long base;
        private long limit;
        private boolean expandDown;
        private long mask;
        private long sp;
        private int level;

        Frame begin(int newLevel) {
            level = newLevel;
            switches = newLevel != s.cpl;
            int attr;
            if (switches) {
                boolean wide = (s.segAttr[CpuState.TR] & 8) != 0;
                int offset = wide ? 4 + 8 * newLevel : 2 + 4 * newLevel;
                if (offset + (wide ? 5 : 3) > (s.segLimit[CpuState.TR] & 0xffff_ffffL)) {
                    throw segments.fault(GuestFault.TS, s.segSelector[CpuState.TR]);
                }
                long at = cpu.wrap(s.segBase[CpuState.TR] + offset);
                sp = wide ? cpu.systemLoad32(at) & 0xffff_ffffL : cpu.systemLoad16(at) & 0xffff;
                selector = cpu.systemLoad16(at + (wide ? 4 : 2)) & 0xffff;
                descriptor = segments.checkStack(selector, newLevel, GuestFault.TS, false);
                attr = Segments.attributes(descriptor);
                base = Segments.base(descriptor);
                limit = Segments.limit(descriptor) & 0xffff_ffffL;
            } else {
                sp = s.gpr[RSP];
                attr = s.segAttr[CpuState.SS];
                base = s.segBase[CpuState.SS];
                limit = s.segLimit[CpuState.SS] & 0xffff_ffffL;
            }
            expandDown = (attr & 0xc) == 4;
            mask = (attr & ATTR_DB) != 0 ? 0xffff_ffffL : 0xffff;
            sp &= mask;
            return this;
        }

        void push(int size, long v) {
            int bytes = 1 << size;
            sp = sp - bytes & mask;
            long last = sp + bytes - 1;
            if (expandDown ? sp <= limit || last > mask : last > limit) {
                throw cpu.fault(GuestFault.SS, (switches ? selector & 0xfffc : 0) | segments.external);
            }
            long la = cpu.wrap(base + sp);
            if (level == 3) {
                cpu.store(CpuState.SS, la, size, v);
            } else if (size == 2) {
                cpu.systemStore32(la, (int) v);
            } else {
                cpu.systemStore16(la, (int) v);
            }
        }

        /** Enters the stack. CPL is the handler's already. */
        void commit() {
            if (switches) {
                segments.setStack(selector, descriptor, level);
                s.gpr[RSP] = sp;
            } else {
                s.gpr[RSP] = mask == 0xffff ? s.gpr[RSP] & ~0xffffL | sp : sp;
            }
        }
    }

    Frame frame(int level) {
        return frame.begin(level);
    }

    // ------------------------------------------------------------------ real mode

    private void enterReal(int vector, long returnRip) {
        if (vector * 4 + 3 > (s.idtLimit & 0xffff)) {
            throw cpu.fault(GuestFault.GP, vector << 3 | 2 | segments.external);
        }
        int entry = cpu.systemLoad32(cpu.wrap(s.idtBase + vector * 4L));
        long sp = s.gpr[RSP];
        boolean done = false;
        try {
            o.push(1, s.rflags());
            o.push(1, s.segSelector[CpuState.CS]);
            o.push(1, returnRip);
            done = true;
        } finally {
            if (!done) {
                s.gpr[RSP] = sp;
            }
        }
        s.flagsSystem &= ~(CpuState.IF | CpuState.TF | CpuState.AC | CpuState.RF);
        segments.setReal(CpuState.CS, entry >>> 16);
        s.rip = entry & 0xffff;
    }
}
