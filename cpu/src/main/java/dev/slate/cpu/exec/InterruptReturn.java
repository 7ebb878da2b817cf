package dev.slate.cpu.exec;

import static dev.slate.cpu.CpuState.ATTR_S;
import static dev.slate.cpu.CpuState.CS;
import static dev.slate.cpu.CpuState.RSP;
import static dev.slate.cpu.CpuState.SS;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.decode.Insn;

/** IRET in its forms, and the return to a code segment of the same or an outer level that it shares with far RET (SDM 2A IRET). */
final class InterruptReturn {
    private final Operands o;
    private final Cpu cpu;
    private final CpuState s;
    private final Segments segments;
    private final TaskSwitch tasks;

    InterruptReturn(Operands o, Segments segments, TaskSwitch tasks) {
        this.o = o;
        this.cpu = o.cpu;
        this.s = o.s;
        this.segments = segments;
        this.tasks = tasks;
    }

    int execute(long w0, long w1) {
        try {
            back(w0, w1);
        } catch (GuestFault f) {
            // To Intel an IRET unblocks NMIs even when it faults (SDM 3C 28.2.3, bit 12); AMD's must be over.
            s.nmiBlocked &= !cpu.intel;
            throw f;
        }
        cpu.serialize();
        s.nmiBlocked = false;
        return CpuExit.NONE;
    }

    private void back(long w0, long w1) {
        if (s.protectedMode() && !s.virtual8086() && (s.flagsSystem & CpuState.NT) != 0) {
            if (s.longMode()) {
                throw o.protection();
            }
            tasks.back(o.next(w0, w1));
        } else {
            toFrame(Insn.size(w0));
        }
    }

    private void toFrame(int size) {
        int bytes = 1 << size;
        if (s.virtual8086() && (s.flagsSystem & CpuState.IOPL) != CpuState.IOPL) {
            throw o.protection();
        }
        // From the flags down: which of several bad words raises the fault shows it.
        long image = o.peek(size, 2L * bytes);
        int selector = (int) o.peek(cpu.intel ? 1 : size, bytes) & 0xffff;
        long offset = o.peek(size, 0);
        if (!s.protectedMode() || s.virtual8086()) {
            if (offset > (s.segLimit[CS] & 0xffff_ffffL)) {
                throw o.protection();
            }
            o.release(3L * bytes);
            segments.setReal(CS, selector);
            s.rip = offset;
            setFlags(image, size, s.virtual8086() ? 3 : 0, s.virtual8086() ? 3 : 0);
        } else if (!s.longMode() && (image & CpuState.VM) != 0 && size == 2 && s.cpl == 0) {
            toVirtual8086(offset, selector, image);
        } else {
            int oldLevel = s.cpl;
            int iopl = (s.flagsSystem & CpuState.IOPL) >> 12;
            toCode(selector, offset, size, 3L * bytes, 0);
            setFlags(image, size, oldLevel, iopl);
        }
    }

    /** What of the image the old privilege level may change. */
    private void setFlags(long image, int size, int cpl, int iopl) {
        int change = CpuState.TF | CpuState.DF | CpuState.NT;
        if (size != 1) {
            change |= CpuState.RF | CpuState.AC | CpuState.ID;
        }
        if (cpl <= iopl) {
            change |= CpuState.IF;
        }
        if (cpl == 0) {
            change |= CpuState.IOPL;
            if (size != 1 && s.protectedMode()) {
                change |= CpuState.VIF | CpuState.VIP;
            }
        }
        s.flagsSystem = s.flagsSystem & ~change | (int) image & change;
        s.setStatusFlags((int) image);
    }

    private void toVirtual8086(long offset, int selector, long image) {
        int[] v = new int[6];
        for (int i = 0; i < 6; i++) {
            v[i] = (int) o.peek(2, 12 + 4L * i);
        }
        if (offset > 0xffff) {
            throw o.protection();
        }
        s.setRflags(image);
        s.cpl = 3;
        segments.setReal(CS, selector);
        segments.setReal(SS, v[1] & 0xffff);
        segments.setReal(CpuState.ES, v[2] & 0xffff);
        segments.setReal(CpuState.DS, v[3] & 0xffff);
        segments.setReal(CpuState.FS, v[4] & 0xffff);
        segments.setReal(CpuState.GS, v[5] & 0xffff);
        s.gpr[RSP] = v[0] & 0xffff_ffffL;
        s.rip = offset;
    }

    /**
     * Returns to {@code selector:offset}; the stack pointer and SS lie {@code above} bytes above the stack's top when the level
     * changes, or always in 64-bit mode for IRET ({@code release} zero, three words popped).
     *
     * @param release bytes that RET n releases, of either stack
     */
    void toCode(int selector, long offset, int size, long above, int release) {
        int bytes = 1 << size;
        if ((selector & ~3) == 0) {
            throw o.protection();
        }
        long d = segments.read(selector, GuestFault.GP);
        int attr = Segments.attributes(d);
        int rpl = selector & 3;
        boolean conforming = (attr & Segments.CONFORMING) != 0;
        if ((attr & (ATTR_S | Segments.CODE)) != (ATTR_S | Segments.CODE)
                || rpl < s.cpl
                || (conforming ? Segments.dpl(attr) > rpl : Segments.dpl(attr) != rpl)) {
            throw segments.fault(GuestFault.GP, selector);
        }
        segments.checkCode(selector, attr);
        boolean to64 = segments.code64(attr);
        if (to64 ? !cpu.canonical(offset) : (offset & 0xffff_ffffL) > (Segments.limit(d) & 0xffff_ffffL)) {
            throw o.protection();
        }
        boolean interrupt = above == 3L * bytes && release == 0;
        if (rpl == s.cpl && !(cpu.mode64 && interrupt)) {
            segments.setCode(selector, d, rpl);
            s.rip = to64 ? offset : offset & 0xffff_ffffL;
            if (to64 && cpu.intel && !cpu.mode64) {
                // What RET n releases beyond the address is taken off by the rules of the 64-bit code that goes on.
                o.release(above - release);
                s.gpr[RSP] += release;
            } else {
                o.release(above);
            }
            return;
        }
        long sp = o.peek(size, above);
        int stack = (int) o.peek(size, above + bytes) & 0xffff;
        long sd;
        if ((stack & ~3) == 0) {
            if (!to64 || rpl == 3 || (stack & 3) != rpl) {
                throw o.protection();
            }
            sd = 0;
        } else {
            sd = segments.checkStack(stack, rpl, GuestFault.GP, false);
        }
        boolean outer = rpl > s.cpl;
        segments.setCode(selector, d, rpl);
        segments.setStack(stack, sd, rpl);
        s.rip = to64 ? offset : offset & 0xffff_ffffL;
        if (to64) {
            s.gpr[RSP] = sp + release;
        } else {
            boolean wide = (s.segAttr[SS] & CpuState.ATTR_DB) != 0;
            s.gpr[RSP] = wide ? sp + release & 0xffff_ffffL : s.gpr[RSP] & ~0xffffL | sp + release & 0xffff;
        }
        if (outer) {
            segments.dropInaccessible(rpl);
        }
    }
}
