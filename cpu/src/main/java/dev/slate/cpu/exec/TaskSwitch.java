package dev.slate.cpu.exec;

import static dev.slate.cpu.CpuState.ATTR_P;
import static dev.slate.cpu.CpuState.ATTR_S;
import static dev.slate.cpu.CpuState.CS;
import static dev.slate.cpu.CpuState.ES;
import static dev.slate.cpu.CpuState.GS;
import static dev.slate.cpu.CpuState.LDTR;
import static dev.slate.cpu.CpuState.NT;
import static dev.slate.cpu.CpuState.SS;
import static dev.slate.cpu.CpuState.TR;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.LeaveGuest;
import dev.slate.cpu.SvmExit;

/**
 * Hardware task switches (SDM 3A 7.2 and 7.3, APM 2 12.2 and 12.3): by far JMP and CALL, IRET with NT set, and events through task
 * gates, between 16-bit and 32-bit task-state segments in any combination.
 *
 * <p>A switch has two halves. Until both TSSs have been proved accessible a fault belongs to the old task, and nothing has happened.
 * Then the new task's registers are loaded, and a fault of its selectors belongs to the new task: rip is the new task's, and
 * {@link Cpu#atNewRip} says so to whoever catches it. When the hypervisor leaves during the second half, the first is undone, so that
 * the same instruction or event starts again.
 */
final class TaskSwitch {
    /** What starts a switch: it decides what becomes of the busy bits, NT and the back link (SDM 3A table 7-2). */
    private static final int JUMP = 0;

    private static final int CALL = 1;
    private static final int RETURN = 2;
    private static final int EVENT = 3;

    private static final int TYPE_TSS_16 = 1;
    private static final int TYPE_TASK_GATE = 5;
    private static final int BUSY = 2;
    private static final int WIDE = 8;

    /** Smallest limits, from the last field before the I/O map: 16-bit and 32-bit (SDM 3A table 7-1). */
    private static final int LIMIT_16 = 0x2b;

    private static final int LIMIT_32 = 0x67;

    private static final long DR7_LOCAL_ENABLES = 0x155;
    private static final long DR6_BT = 1 << 15;

    private final Operands o;
    private final Cpu cpu;
    private final CpuState s;
    private final Segments segments;

    // The new task's image, read before anything changes.
    private final int[] newRegisters = new int[8];
    private final int[] newSelectors = new int[6];
    private int newLdt;
    private int newCr3;
    private int newIp;
    private int newFlags;
    private boolean newTrap;

    // The old task's registers, for the undoing.
    private final long[] oldRegisters = new long[16];
    private final int[] oldSelectors = new int[8];
    private final long[] oldBases = new long[8];
    private final int[] oldLimits = new int[8];
    private final int[] oldAttrs = new int[8];
    private final long[] oldPdptr = new long[4];

    TaskSwitch(Operands o, Segments segments) {
        this.o = o;
        this.cpu = o.cpu;
        this.s = o.s;
        this.segments = segments;
    }

    /** Whether a far JMP or CALL to a system descriptor of this type is a task switch. */
    static boolean switches(int type) {
        return type == TYPE_TASK_GATE || (type & ~(BUSY | WIDE)) == TYPE_TSS_16;
    }

    /** Far JMP or CALL to a TSS, or to a task gate, whose descriptor {@code d} has been read. */
    int far(boolean call, int selector, long d, long returnRip) {
        int attr = Segments.attributes(d);
        int type = attr & CpuState.ATTR_TYPE;
        if (Segments.dpl(attr) < Math.max(s.cpl, selector & 3)) {
            throw segments.fault(GuestFault.GP, selector);
        }
        int task = selector;
        if (type == TYPE_TASK_GATE) {
            if ((attr & ATTR_P) == 0) {
                throw segments.fault(GuestFault.NP, selector);
            }
            // The TSS's own privilege does not count behind a gate (SDM 3A 7.2.5).
            task = (int) (d >>> 16) & 0xffff;
        }
        execute(call ? CALL : JUMP, task, returnRip, s.rflags(), false, 0);
        return CpuExit.NONE;
    }

    /** IRET with NT set: back to the task that the current TSS's link names. */
    int back(long returnRip) {
        int link = cpu.systemLoad16(s.segBase[TR]) & 0xffff;
        execute(RETURN, link, returnRip, s.rflags(), false, 0);
        return CpuExit.NONE;
    }

    /**
     * An event through a task gate.
     *
     * @param flags RFLAGS as they are saved
     */
    void byEvent(int selector, long returnRip, long flags, boolean hasErrorCode, int errorCode) {
        execute(EVENT, selector, returnRip, flags, hasErrorCode, errorCode);
    }

    // ------------------------------------------------------------------

    private void execute(int kind, int selector, long returnRip, long flags, boolean hasErrorCode, int errorCode) {
        int selectorFault = kind == RETURN ? GuestFault.TS : GuestFault.GP;
        if ((selector & 4) != 0 || (selector & ~3) == 0) {
            throw segments.fault(selectorFault, selector);
        }
        long at = segments.address(selector, selectorFault);
        long d = cpu.systemLoad64(at);
        int attr = Segments.attributes(d);
        int type = attr & (CpuState.ATTR_TYPE | ATTR_S);
        int wanted = kind == RETURN ? TYPE_TSS_16 | BUSY : TYPE_TSS_16;
        if ((type & ~WIDE) != wanted) {
            throw segments.fault(selectorFault, selector);
        }
        if ((attr & ATTR_P) == 0) {
            throw segments.fault(GuestFault.NP, selector);
        }
        boolean wide = (type & WIDE) != 0;
        long base = Segments.base(d);
        if ((Segments.limit(d) & 0xffff_ffffL) < (wide ? LIMIT_32 : LIMIT_16)) {
            throw segments.fault(GuestFault.TS, selector);
        }
        boolean oldWide = (s.segAttr[TR] & WIDE) != 0;
        long oldBase = s.segBase[TR];
        int oldTask = s.segSelector[TR];
        if ((s.segLimit[TR] & 0xffff_ffffL) < (oldWide ? LIMIT_32 : LIMIT_16)) {
            throw segments.fault(GuestFault.TS, oldTask);
        }
        if (cpu.intercepts.wants(SvmExit.TASK_SWITCH)) {
            cpu.exit.nextRip = returnRip;
            int exit = cpu.intercepted(SvmExit.TASK_SWITCH, selector & 0xffff, 0);
            cpu.exit.info2 = (kind == RETURN ? 1L << 36 : 0)
                    | (kind == JUMP ? 1L << 38 : 0)
                    | (hasErrorCode ? 1L << 44 | errorCode & 0xffff_ffffL : 0)
                    | ((flags & CpuState.RF) != 0 ? 1L << 48 : 0);
            throw cpu.leave(exit);
        }
        read(base, wide);
        // Everything that the first half stores is proved storable, so that it happens whole or not at all.
        boolean link = kind == CALL || kind == EVENT;
        boolean release = kind == JUMP || kind == RETURN;
        cpu.systemProbeWrite(at + 5, 1);
        cpu.systemProbeWrite(oldBase + (oldWide ? 0x20 : 0xe), oldWide ? 0x40 : 0x1e);
        if (link) {
            cpu.systemProbeWrite(base, 2);
        }
        long oldAt = 0;
        if (release) {
            oldAt = segments.address(oldTask, GuestFault.TS);
            cpu.systemProbeWrite(oldAt + 5, 1);
        }
        // Last, because the undoing stores into descriptors and must be able to.
        remember();
        if (release) {
            busy(oldAt, false);
        }
        save(oldBase, oldWide, returnRip, kind == RETURN ? flags & ~(long) NT : flags);
        if (link) {
            cpu.systemStore16(base, oldTask);
            newFlags |= NT;
        }
        if (kind != RETURN) {
            busy(at, true);
        }
        long cr0 = s.cr0;
        long cr3 = s.cr3;
        int oldFlags = s.flagsSystem;
        int status = (int) s.rflags();
        long dr7 = s.dr7;
        int level = s.cpl;
        long oldRip = s.rip;
        boolean done = false;
        try {
            // The page tables first: every descriptor from here on is read through the new task's.
            s.segSelector[TR] = selector;
            s.segBase[TR] = base;
            s.segLimit[TR] = Segments.limit(d);
            s.segAttr[TR] = attr | BUSY;
            s.cr0 |= CpuState.CR0_TS;
            s.dr7 &= ~DR7_LOCAL_ENABLES;
            cpu.atNewRip = true;
            s.rip = newIp & 0xffff_ffffL;
            enter(wide);
            if (hasErrorCode) {
                pushErrorCode(wide, errorCode);
            }
            if ((s.rip & 0xffff_ffffL) > (s.segLimit[CS] & 0xffff_ffffL)) {
                throw cpu.fault(GuestFault.GP, segments.external);
            }
            if (newTrap) {
                cpu.debug.pending |= DR6_BT;
            }
            cpu.atNewRip = false;
            done = true;
        } catch (LeaveGuest e) {
            cpu.atNewRip = false;
            forget();
            s.cr0 = cr0;
            s.dr7 = dr7;
            s.cpl = level;
            s.rip = oldRip;
            s.flagsSystem = oldFlags;
            s.setStatusFlags(status);
            if (s.cr3 != cr3) {
                s.cr3 = cr3;
                System.arraycopy(oldPdptr, 0, s.pdptr, 0, 4);
                cpu.translationsChanged();
            } else {
                cpu.modeChanged();
            }
            done = true;
            if (kind != RETURN) {
                busy(at, false);
            }
            if (release) {
                busy(oldAt, true);
            }
            throw e;
        } finally {
            if (!done) {
                cpu.modeChanged();
            }
        }
        cpu.debug.stepDone = true;
        s.interruptShadow = 0;
        cpu.modeChanged();
    }

    private void busy(long descriptor, boolean busy) {
        int access = cpu.systemLoad8(descriptor + 5) & 0xff;
        cpu.systemStore8(descriptor + 5, busy ? access | BUSY : access & ~BUSY);
    }

    /** The new task's image (SDM 3A figures 7-2 and 7-10). */
    private void read(long base, boolean wide) {
        if (wide) {
            newCr3 = cpu.systemLoad32(base + 0x1c);
            newIp = cpu.systemLoad32(base + 0x20);
            newFlags = cpu.systemLoad32(base + 0x24);
            for (int i = 0; i < 8; i++) {
                newRegisters[i] = cpu.systemLoad32(base + 0x28 + 4L * i);
            }
            for (int i = 0; i < 6; i++) {
                newSelectors[i] = cpu.systemLoad16(base + 0x48 + 4L * i) & 0xffff;
            }
            newLdt = cpu.systemLoad16(base + 0x60) & 0xffff;
            newTrap = (cpu.systemLoad16(base + 0x64) & 1) != 0;
        } else {
            newCr3 = 0;
            newIp = cpu.systemLoad16(base + 0xe) & 0xffff;
            newFlags = cpu.systemLoad16(base + 0x10) & 0xffff;
            for (int i = 0; i < 8; i++) {
                newRegisters[i] = cpu.systemLoad16(base + 0x12 + 2L * i) & 0xffff;
            }
            for (int i = 0; i < 4; i++) {
                newSelectors[i] = cpu.systemLoad16(base + 0x22 + 2L * i) & 0xffff;
            }
            // A task of the 80286 knows neither.
            newSelectors[CpuState.FS] = 0;
            newSelectors[GS] = 0;
            newLdt = cpu.systemLoad16(base + 0x2a) & 0xffff;
            newTrap = false;
        }
    }

    private void save(long base, boolean wide, long rip, long flags) {
        if (wide) {
            cpu.systemStore32(base + 0x20, (int) rip);
            cpu.systemStore32(base + 0x24, (int) flags);
            for (int i = 0; i < 8; i++) {
                cpu.systemStore32(base + 0x28 + 4L * i, (int) s.gpr[i]);
            }
            for (int i = 0; i < 6; i++) {
                cpu.systemStore16(base + 0x48 + 4L * i, s.segSelector[i]);
            }
        } else {
            cpu.systemStore16(base + 0xe, (int) rip);
            cpu.systemStore16(base + 0x10, (int) flags);
            for (int i = 0; i < 8; i++) {
                cpu.systemStore16(base + 0x12 + 2L * i, (int) s.gpr[i]);
            }
            for (int i = 0; i < 4; i++) {
                cpu.systemStore16(base + 0x22 + 2L * i, s.segSelector[i]);
            }
        }
    }

    private void remember() {
        System.arraycopy(s.gpr, 0, oldRegisters, 0, 16);
        System.arraycopy(s.segSelector, 0, oldSelectors, 0, 8);
        System.arraycopy(s.segBase, 0, oldBases, 0, 8);
        System.arraycopy(s.segLimit, 0, oldLimits, 0, 8);
        System.arraycopy(s.segAttr, 0, oldAttrs, 0, 8);
        System.arraycopy(s.pdptr, 0, oldPdptr, 0, 4);
    }

    private void forget() {
        System.arraycopy(oldRegisters, 0, s.gpr, 0, 16);
        System.arraycopy(oldSelectors, 0, s.segSelector, 0, 8);
        System.arraycopy(oldBases, 0, s.segBase, 0, 8);
        System.arraycopy(oldLimits, 0, s.segLimit, 0, 8);
        System.arraycopy(oldAttrs, 0, s.segAttr, 0, 8);
    }

    // ------------------------------------------------------------------ the new task

    private void enter(boolean wide) {
        if (wide && (s.cr0 & CpuState.CR0_PG) != 0) {
            loadPageTables(newCr3 & 0xffff_ffffL);
        }
        for (int i = 0; i < 8; i++) {
            s.gpr[i] = newRegisters[i] & 0xffff_ffffL;
        }
        s.setRflags(newFlags & (wide ? -1L : 0xffffL));
        boolean virtual8086 = s.virtual8086();
        // Until its descriptor has been loaded a segment is there by its selector only.
        for (int i = 0; i < 6; i++) {
            segments.setNull(i, newSelectors[i]);
        }
        segments.setNull(LDTR, newLdt);
        s.cpl = virtual8086 ? 3 : newSelectors[CS] & 3;
        loadLdt();
        if (virtual8086) {
            for (int i = ES; i <= GS; i++) {
                segments.setReal(i, newSelectors[i]);
            }
        } else {
            loadCodeAndStack(newSelectors[CS], newSelectors[SS]);
            for (int i = ES; i <= GS; i++) {
                if (i != CS && i != SS) {
                    segments.loadData(i, newSelectors[i], GuestFault.TS);
                }
            }
        }
        cpu.modeChanged();
    }

    private void loadPageTables(long cr3) {
        if (cr3 == s.cr3) {
            // Translations of the same space stay true, but the switch serializes.
            cpu.serialize();
            return;
        }
        if ((s.cr4 & CpuState.CR4_PAE) != 0 && !cpu.walker.loadPdptrs(cr3)) {
            throw cpu.fault(GuestFault.GP, segments.external);
        }
        s.cr3 = cr3;
        cpu.pageTablesLoaded(false);
    }

    private void loadLdt() {
        int selector = newLdt;
        if ((selector & ~3) == 0) {
            return;
        }
        if ((selector & 4) != 0) {
            throw segments.fault(GuestFault.TS, selector);
        }
        long d = segments.read(selector, GuestFault.TS);
        int attr = Segments.attributes(d);
        if ((attr & (CpuState.ATTR_TYPE | ATTR_S)) != Segments.TYPE_LDT || (attr & ATTR_P) == 0) {
            throw segments.fault(GuestFault.TS, selector);
        }
        segments.set(LDTR, selector, d);
    }

    /** CS and SS, in the order of SDM 3A table 7-1. CPL is the code selector's RPL already. */
    private void loadCodeAndStack(int code, int stack) {
        int cpl = s.cpl;
        if ((code & ~3) == 0) {
            throw segments.fault(GuestFault.TS, code);
        }
        long cd = segments.read(code, GuestFault.TS);
        int ca = Segments.attributes(cd);
        int dpl = Segments.dpl(ca);
        boolean isCode = (ca & (ATTR_S | Segments.CODE)) == (ATTR_S | Segments.CODE);
        if (!isCode || ((ca & Segments.CONFORMING) != 0 ? dpl > cpl : dpl != cpl)) {
            throw segments.fault(GuestFault.TS, code);
        }
        if ((stack & ~3) == 0) {
            throw segments.fault(GuestFault.TS, stack);
        }
        long sd = segments.read(stack, GuestFault.TS);
        int sa = Segments.attributes(sd);
        if ((sa & (ATTR_S | Segments.CODE | Segments.WRITE_READ)) != (ATTR_S | Segments.WRITE_READ)) {
            throw segments.fault(GuestFault.TS, stack);
        }
        if ((sa & ATTR_P) == 0) {
            throw segments.fault(GuestFault.SS, stack);
        }
        if (Segments.dpl(sa) != cpl) {
            throw segments.fault(GuestFault.TS, stack);
        }
        if ((ca & ATTR_P) == 0) {
            throw segments.fault(GuestFault.NP, code);
        }
        if ((stack & 3) != cpl) {
            throw segments.fault(GuestFault.TS, stack);
        }
        segments.setCode(code, cd, cpl);
        segments.setStack(stack, sd, cpl);
    }

    private void pushErrorCode(boolean wide, int errorCode) {
        try {
            o.push(wide ? 2 : 1, errorCode);
        } catch (GuestFault f) {
            if (f.vector == GuestFault.SS) {
                f.errorCode |= segments.external;
            }
            throw f;
        }
    }
}
