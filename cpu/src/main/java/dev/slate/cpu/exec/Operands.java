package dev.slate.cpu.exec;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.decode.Insn;

/**
 * Operand fetch and write-back: effective addresses, registers of every width, the stack, and the rip arithmetic of one processor.
 * What stands between the flat instruction and the methods on values.
 */
final class Operands {
    final Cpu cpu;
    final CpuState s;
    final long[] gpr;

    Operands(Cpu cpu) {
        this.cpu = cpu;
        this.s = cpu.s;
        this.gpr = s.gpr;
    }

    // ------------------------------------------------------------------ addresses

    /** The offset within the segment, masked to the address size. */
    long offset(long w0, long w1) {
        long ea = gpr[Insn.base(w0)] + (gpr[Insn.index(w0)] << Insn.scale(w0)) + Insn.displacement(w1);
        return maskAddress(ea, Insn.addressSize(w0));
    }

    static long maskAddress(long ea, int addressSize) {
        if (addressSize == 3) {
            return ea;
        }
        return addressSize == 2 ? ea & 0xffff_ffffL : ea & 0xffff;
    }

    /** The linear address of an access of {@code bytes} to the rm operand. */
    long address(long w0, long w1, int bytes, boolean write) {
        long ea = offset(w0, w1);
        int seg = Insn.segment(w0);
        Cpu c = cpu;
        return c.mode64 ? c.segmentBase[seg] + ea : c.linear(seg, ea, bytes, write);
    }

    /**
     * The linear address of a part of the rm operand, {@code at} bytes from its beginning: outside 64-bit mode each part has its own
     * offset, which wraps as the address size says, and its own look at the limit.
     */
    long part(long w0, long w1, int at, int bytes, boolean write) {
        int seg = Insn.segment(w0);
        long ea = offset(w0, w1) + at;
        return cpu.mode64
                ? cpu.segmentBase[seg] + ea
                : cpu.linear(seg, maskAddress(ea, Insn.addressSize(w0)), bytes, write);
    }

    /** Whether the rm operand lies within its segment, which does not grow down, and does not wrap. */
    boolean inOnePiece(long w0, long w1, int bytes) {
        if (cpu.mode64) {
            return true;
        }
        int seg = Insn.segment(w0);
        long last = offset(w0, w1) + bytes - 1;
        return maskAddress(last, Insn.addressSize(w0)) == last
                && (s.segAttr[seg] & 0xc) != 4
                && last <= (s.segLimit[seg] & 0xffff_ffffL);
    }

    /** Whether the rm operand's linear address has one of those low bits. */
    boolean misaligned(long w0, long w1, int bits) {
        int seg = Insn.segment(w0);
        long base = cpu.mode64 ? cpu.segmentBase[seg] : s.segBase[seg];
        return (base + offset(w0, w1) & bits) != 0;
    }

    // ------------------------------------------------------------------ registers

    /** A register's value; bits above the size are whatever they are. */
    long reg(int r, int size) {
        return size != 0 || r < Insn.HIGH_BYTE ? gpr[r] : gpr[r - Insn.HIGH_BYTE] >>> 8;
    }

    /** Writes a register: 32-bit writes clear the upper half, narrower ones keep what is above. */
    void setReg(int r, int size, long v) {
        switch (size) {
            case 3 -> gpr[r] = v;
            case 2 -> gpr[r] = v & 0xffff_ffffL;
            case 1 -> gpr[r] = gpr[r] & ~0xffffL | v & 0xffff;
            default -> {
                if (r < Insn.HIGH_BYTE) {
                    gpr[r] = gpr[r] & ~0xffL | v & 0xff;
                } else {
                    r -= Insn.HIGH_BYTE;
                    gpr[r] = gpr[r] & ~0xff00L | (v & 0xff) << 8;
                }
            }
        }
    }

    // ------------------------------------------------------------------ the rm operand

    long loadMemory(long w0, long w1, int size) {
        return cpu.load(Insn.segment(w0), address(w0, w1, 1 << size, false), size);
    }

    void storeMemory(long w0, long w1, int size, long v) {
        cpu.store(Insn.segment(w0), address(w0, w1, 1 << size, true), size, v);
    }

    /** The rm operand's value at {@code size}. */
    long rm(long w0, long w1, int size) {
        return (w0 & Insn.MEM) != 0 ? loadMemory(w0, w1, size) : reg(Insn.rm(w0), size);
    }

    void setRm(long w0, long w1, int size, long v) {
        if ((w0 & Insn.MEM) != 0) {
            storeMemory(w0, w1, size, v);
        } else {
            setReg(Insn.rm(w0), size, v);
        }
    }

    /** The source of a two-operand instruction: reg, rm or immediate, by form. */
    long source(long w0, long w1, long imm, int size) {
        switch (Insn.form(w0)) {
            case Insn.FORM_R_RM:
                return rm(w0, w1, size);
            case Insn.FORM_RM_R:
                return reg(Insn.reg(w0), size);
            default:
                return imm;
        }
    }

    /** Register number of a two-operand instruction's destination, which is a register. */
    static int destination(long w0) {
        return Insn.form(w0) == Insn.FORM_R_RM ? Insn.reg(w0) : Insn.rm(w0);
    }

    /** Whether the destination of a two-operand instruction is in memory. */
    static boolean toMemory(long w0) {
        return (w0 & Insn.MEM) != 0 && Insn.form(w0) != Insn.FORM_R_RM;
    }

    // ------------------------------------------------------------------ the stack

    /** Mask of the stack pointer's part that pushes and pops use. */
    long stackMask() {
        if (cpu.mode64) {
            return -1;
        }
        return (s.segAttr[CpuState.SS] & CpuState.ATTR_DB) != 0 ? 0xffff_ffffL : 0xffff;
    }

    /** Linear address of {@code bytes} at stack offset {@code sp}, already masked. */
    long stackAddress(long sp, int bytes, boolean write) {
        return cpu.mode64 ? sp : cpu.linear(CpuState.SS, sp, bytes, write);
    }

    void setStackPointer(long sp) {
        long mask = stackMask();
        if (mask == 0xffff) {
            gpr[CpuState.RSP] = gpr[CpuState.RSP] & ~0xffffL | sp & 0xffff;
        } else {
            gpr[CpuState.RSP] = sp & mask;
        }
    }

    void push(int size, long v) {
        int bytes = 1 << size;
        long sp = gpr[CpuState.RSP] - bytes & stackMask();
        cpu.store(CpuState.SS, stackAddress(sp, bytes, true), size, v);
        setStackPointer(sp);
    }

    /** Makes room for 32 bits and stores 16. */
    void pushNarrow(long v) {
        long sp = gpr[CpuState.RSP] - 4 & stackMask();
        cpu.store(CpuState.SS, stackAddress(sp, 2, true), 1, v);
        setStackPointer(sp);
    }

    /** The value {@code bytes} above the stack's top, without popping. */
    long peek(int size, long bytes) {
        long sp = gpr[CpuState.RSP] + bytes & stackMask();
        return cpu.load(CpuState.SS, stackAddress(sp, 1 << size, false), size);
    }

    /** Moves the stack pointer up. */
    void release(long bytes) {
        setStackPointer(gpr[CpuState.RSP] + bytes);
    }

    // ------------------------------------------------------------------ rip

    /** Address of the running instruction; {@code s.rip} is the block's. */
    long rip(long w1) {
        long rip = s.rip + Insn.offset(w1);
        return cpu.mode64 ? rip : rip & 0xffff_ffffL;
    }

    /** Address of the instruction after the running one. */
    long next(long w0, long w1) {
        long rip = s.rip + Insn.offset(w1) + Insn.length(w0);
        return cpu.mode64 ? rip : rip & 0xffff_ffffL;
    }

    /**
     * A near branch's target, masked to the operand size.
     *
     * @throws GuestFault #GP(0) when it is not canonical, or beyond CS's limit
     */
    long target(long rip, int size) {
        if (cpu.mode64) {
            if (size == 1) {
                // Of AMD's processors alone: Intel's take no notice of the operand-size prefix here.
                return rip & 0xffff;
            }
            if (!cpu.canonical(rip)) {
                throw cpu.fault(GuestFault.GP, 0);
            }
            return rip;
        }
        long t = size == 1 ? rip & 0xffff : rip & 0xffff_ffffL;
        if (t > (s.segLimit[CpuState.CS] & 0xffff_ffffL)) {
            throw cpu.fault(GuestFault.GP, 0);
        }
        return t;
    }

    /** A near call to {@code target}. A fault of the push comes before one of the target, as on silicon. */
    void call(int size, long returnRip, long target) {
        int bytes = 1 << size;
        long sp = gpr[CpuState.RSP] - bytes & stackMask();
        long la = stackAddress(sp, bytes, true);
        if (cpu.intel) {
            // The address has been pushed when the target's fault comes.
            cpu.store(CpuState.SS, la, size, returnRip);
        } else if (!cpu.mode64 || !cpu.canonical(target)) {
            cpu.probeWrite(CpuState.SS, la, bytes);
        }
        long rip = target(target, size);
        if (!cpu.intel) {
            cpu.store(CpuState.SS, la, size, returnRip);
        }
        setStackPointer(sp);
        s.rip = rip;
    }

    /** A near return that releases {@code more} bytes beyond the address (RET imm16). */
    void ret(int size, long more) {
        long target = target(peek(size, 0), size);
        release((1L << size) + more);
        s.rip = target;
    }

    /** A conditional branch whose target is {@code offset} from the block's first byte. */
    void branch(boolean taken, long w0, long w1, long offset) {
        s.rip = taken ? target(s.rip + offset, Insn.size(w0)) : next(w0, w1);
    }

    /** Leaves with an exit code: rip at the instruction, {@code cpu.exit.nextRip} after it. */
    int exit(int code, long w0, long w1) {
        long next = next(w0, w1);
        s.rip = rip(w1);
        cpu.exit.nextRip = next;
        return code;
    }

    /** Leaves the running instruction, of which nothing has happened, if a guest's hypervisor wants the exit. */
    void intercept(int code, long info, long w0, long w1) {
        if (cpu.intercepts.wants(code)) {
            cpu.exit.nextRip = next(w0, w1);
            throw cpu.leave(cpu.intercepted(code, info, 0));
        }
    }

    GuestFault undefined() {
        return cpu.fault(GuestFault.UD, 0);
    }

    GuestFault protection() {
        return cpu.fault(GuestFault.GP, 0);
    }

    /** #GP(0) unless CPL is 0. */
    void privileged() {
        if (s.cpl != 0) {
            throw protection();
        }
    }
}
