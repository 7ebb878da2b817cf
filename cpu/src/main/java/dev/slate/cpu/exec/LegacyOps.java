package dev.slate.cpu.exec;

import static dev.slate.cpu.CpuState.RAX;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import java.security.SecureRandom;
import org.jspecify.annotations.Nullable;

/** Flags to and from the stack, the instructions that exist outside 64-bit mode only, and random numbers. */
final class LegacyOps {
    private final Operands o;
    private final Cpu cpu;
    private final CpuState s;
    private final long[] gpr;
    private @Nullable SecureRandom random;

    LegacyOps(Operands o) {
        this.o = o;
        this.cpu = o.cpu;
        this.s = o.s;
        this.gpr = o.gpr;
    }

    /** PUSHF: RF and VM read as zero. Virtual-8086 mode asks for IOPL 3. */
    void pushFlags(int size) {
        virtual8086NeedsIopl3();
        o.push(size, s.rflags() & ~(long) (CpuState.RF | CpuState.VM));
    }

    /** POPF: what may change depends on CPL and IOPL (SDM 2B POPF); RF is cleared. */
    void popFlags(int size) {
        virtual8086NeedsIopl3();
        long image = o.peek(size, 0);
        int change = CpuState.TF | CpuState.DF | CpuState.NT | CpuState.AC | CpuState.ID;
        int iopl = (s.flagsSystem & CpuState.IOPL) >> 12;
        if (s.cpl == 0) {
            change |= CpuState.IOPL;
        }
        if (s.cpl <= iopl) {
            change |= CpuState.IF;
        }
        if (size == 1) {
            change &= 0xffff;
        }
        o.release(1L << size);
        s.flagsSystem = s.flagsSystem & ~(change | CpuState.RF) | (int) image & change;
        s.setStatusFlags((int) image);
        cpu.modeChanged();
    }

    private void virtual8086NeedsIopl3() {
        if (s.virtual8086() && (s.flagsSystem & CpuState.IOPL) != CpuState.IOPL) {
            throw o.protection();
        }
    }

    int execute(int op, long w0, long w1, long imm) {
        int size = Insn.size(w0);
        switch (op) {
            case Op.PUSHA -> pushAll(size);
            case Op.POPA -> popAll(size);
            case Op.RDRAND, Op.RDSEED -> random(size, Insn.rm(w0));
            case Op.AAA -> adjustAfter(6);
            case Op.AAS -> adjustAfter(-6);
            case Op.DAA -> decimalAdjust(true);
            case Op.DAS -> decimalAdjust(false);
            case Op.AAM -> {
                int base = (int) imm & 0xff;
                if (base == 0) {
                    throw cpu.fault(GuestFault.DE, 0);
                }
                int al = (int) gpr[RAX] & 0xff;
                o.setReg(RAX, 1, (long) al / base << 8 | al % base);
                IntegerOps.logic(s, al % base, 0);
            }
            case Op.AAD -> {
                int r = ((int) gpr[RAX] & 0xff) + ((int) (gpr[RAX] >>> 8) & 0xff) * ((int) imm & 0xff) & 0xff;
                o.setReg(RAX, 1, r);
                IntegerOps.logic(s, r, 0);
            }
            case Op.SALC -> o.setReg(RAX, 0, s.flagCarry >> 63);
            case Op.BOUND -> {
                int bytes = 1 << size;
                int seg = Insn.segment(w0);
                long low = IntegerOps.extend(cpu.load(seg, o.part(w0, w1, 0, bytes, false), size), size);
                long index = IntegerOps.extend(gpr[Insn.reg(w0)], size);
                // Below the lower bound the upper one is not read.
                if (index < low
                        || index > IntegerOps.extend(cpu.load(seg, o.part(w0, w1, bytes, bytes, false), size), size)) {
                    throw cpu.fault(GuestFault.BR, 0);
                }
                s.rip = o.next(w0, w1);
                return CpuExit.NONE;
            }
            default -> {
                return CpuExit.UNIMPLEMENTED;
            }
        }
        return Interpreter.NEXT;
    }

    private void pushAll(int size) {
        int bytes = 1 << size;
        long mask = o.stackMask();
        long sp = gpr[CpuState.RSP];
        // In the order of the pushes: the first that cannot be made raises its fault, and none has been.
        for (int i = 1; i <= 8; i++) {
            cpu.probeWrite(CpuState.SS, o.stackAddress(sp - (long) i * bytes & mask, bytes, true), bytes);
        }
        for (int r = 0; r < 8; r++) {
            long at = sp - (r + 1L) * bytes & mask;
            cpu.store(CpuState.SS, o.stackAddress(at, bytes, true), size, gpr[r]);
        }
        o.setStackPointer(sp - 8L * bytes);
    }

    private final long[] popped = new long[8];

    private void popAll(int size) {
        int bytes = 1 << size;
        for (int i = 0; i < 8; i++) {
            int r = 7 - i;
            popped[r] = o.peek(size, (long) i * bytes);
            if (cpu.intel && r != CpuState.RSP) {
                // Intel's processors do not wait until all of it can be read.
                o.setReg(r, size, popped[r]);
            }
        }
        for (int r = 0; r < 8; r++) {
            if (r != CpuState.RSP) {
                o.setReg(r, size, popped[r]);
            }
        }
        o.release(8L * bytes);
    }

    private void random(int size, int register) {
        SecureRandom r = random;
        if (r == null) {
            r = new SecureRandom();
            random = r;
        }
        o.setReg(register, size, r.nextLong());
        s.setStatusFlags(CpuState.CF);
    }

    /** AAA (6) and AAS (-6). */
    private void adjustAfter(int step) {
        boolean adjust = (gpr[RAX] & 15) > 9 || (s.flagCarry & 8) != 0;
        if (adjust) {
            long ax = step > 0 ? gpr[RAX] + 0x106 : (gpr[RAX] & 0xffff) - 0x106;
            o.setReg(RAX, 1, ax);
        }
        o.setReg(RAX, 0, gpr[RAX] & 15);
        IntegerOps.logic(s, gpr[RAX], 0);
        s.flagCarry = adjust ? Long.MIN_VALUE | 8 : 0;
    }

    private void decimalAdjust(boolean add) {
        int old = (int) gpr[RAX] & 0xff;
        boolean oldCarry = s.flagCarry < 0;
        int al = old;
        boolean carry = false;
        boolean half = (old & 15) > 9 || (s.flagCarry & 8) != 0;
        if (half) {
            carry = oldCarry || (add ? al + 6 > 0xff : al < 6);
            al += add ? 6 : -6;
        }
        if (old > 0x99 || oldCarry) {
            al += add ? 0x60 : -0x60;
            carry = true;
        }
        o.setReg(RAX, 0, al);
        IntegerOps.logic(s, al, 0);
        s.flagCarry = (carry ? Long.MIN_VALUE : 0) | (half ? 8 : 0);
    }
}
