package dev.slate.cpu.exec;

import static dev.slate.cpu.CpuState.RAX;
import static dev.slate.cpu.CpuState.RBP;
import static dev.slate.cpu.CpuState.RBX;
import static dev.slate.cpu.CpuState.RCX;
import static dev.slate.cpu.CpuState.RDX;
import static dev.slate.cpu.CpuState.RSP;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.SvmExit;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.mem.HostMemory;

/**
 * The general-purpose instructions with every operand that they can have, of which {@link QuickOp} takes the frequent ones away, and
 * read-modify-write of memory for all of them, LOCK included.
 */
final class GeneralOps {
    private final Operands o;
    private final Cpu cpu;
    private final CpuState s;
    private final long[] gpr;
    private final StringOps strings;
    private final LegacyOps legacy;

    GeneralOps(Operands o, StringOps strings) {
        this.o = o;
        this.cpu = o.cpu;
        this.s = o.s;
        this.gpr = o.gpr;
        this.strings = strings;
        this.legacy = new LegacyOps(o);
    }

    // ------------------------------------------------------------------ read-modify-write

    /** The new value, and the flags, of every operation that reads and writes one operand; {@code b} is the other, or a count. */
    static long value(CpuState s, int op, long a, long b, int size) {
        return switch (op) {
            case Op.ADD, Op.XADD -> IntegerOps.add(s, a, b, size);
            case Op.OR -> IntegerOps.or(s, a, b, size);
            case Op.ADC -> IntegerOps.adc(s, a, b, size);
            case Op.SBB -> IntegerOps.sbb(s, a, b, size);
            case Op.AND -> IntegerOps.and(s, a, b, size);
            case Op.SUB -> IntegerOps.sub(s, a, b, size);
            case Op.XOR -> IntegerOps.xor(s, a, b, size);
            case Op.INC -> IntegerOps.inc(s, a, size);
            case Op.DEC -> IntegerOps.dec(s, a, size);
            case Op.NEG -> IntegerOps.neg(s, a, size);
            case Op.NOT -> ~a;
            case Op.SHL -> ShiftOps.shl(s, a, b, size);
            case Op.SHR -> ShiftOps.shr(s, a, b, size);
            case Op.SAR -> ShiftOps.sar(s, a, b, size);
            case Op.ROL -> ShiftOps.rol(s, a, b, size);
            case Op.ROR -> ShiftOps.ror(s, a, b, size);
            case Op.RCL -> ShiftOps.rcl(s, a, b, size);
            case Op.RCR -> ShiftOps.rcr(s, a, b, size);
            case Op.BTS -> BitOps.bts(s, a, b, size);
            case Op.BTR -> BitOps.btr(s, a, b, size);
            case Op.BTC -> BitOps.btc(s, a, b, size);
            case Op.XCHG -> b;
            default -> throw new AssertionError(Op.name(op));
        };
    }

    /** Read-modify-write of the memory operand. */
    void modify(int op, long b, long w0, long w1) {
        int size = Insn.size(w0);
        modifyAt(op, b, w0, o.address(w0, w1, 1 << size, true));
    }

    /** As {@link #modify}, at a linear address; returns the old value. */
    private long modifyAt(int op, long b, long w0, long la) {
        if ((w0 & Insn.LOCK) != 0 || op == Op.XCHG) {
            return locked(op, b, w0, la);
        }
        // The load is made as a write, so the store cannot fault and flags may change before it.
        int size = Insn.size(w0);
        int seg = Insn.segment(w0);
        long a = cpu.loadForWrite(seg, la, size);
        cpu.store(seg, la, size, value(s, op, a, b, size));
        return a;
    }

    private long locked(int op, long b, long w0, long la) {
        int size = Insn.size(w0);
        int seg = Insn.segment(w0);
        // Every try starts from the flags as they were (ADC, SBB), and leaving guest mode must not change them.
        long zero = s.flagZero;
        long sign = s.flagSign;
        long carry = s.flagCarry;
        long overflow = s.flagOverflow;
        boolean done = false;
        try {
            for (; ; ) {
                long a = cpu.loadForWrite(seg, la, size);
                long r = value(s, op, a, b, size);
                if (cpu.cas(seg, la, size, a, IntegerOps.zeroExtend(r, size))) {
                    done = true;
                    return a;
                }
                restore(zero, sign, carry, overflow);
            }
        } finally {
            if (!done) {
                restore(zero, sign, carry, overflow);
            }
        }
    }

    private void restore(long zero, long sign, long carry, long overflow) {
        s.flagZero = zero;
        s.flagSign = sign;
        s.flagCarry = carry;
        s.flagOverflow = overflow;
    }

    /** A read-modify-write operation on register or memory. */
    private void modifyRm(int op, long b, long w0, long w1) {
        if ((w0 & Insn.MEM) != 0) {
            modify(op, b, w0, w1);
        } else {
            int size = Insn.size(w0);
            int r = Insn.rm(w0);
            o.setReg(r, size, value(s, op, o.reg(r, size), b, size));
        }
    }

    private long count(long w0, long imm) {
        int form = Insn.form(w0);
        return form == Insn.FORM_RM_CL || form == Insn.FORM_RM_R_CL ? gpr[RCX] : imm;
    }

    // ------------------------------------------------------------------ the second switch

    int execute(int op, long w0, long w1, long imm) {
        if (op >= Op.ANDN && op <= Op.ADOX) {
            return bmi(op, w0, w1, imm);
        }
        int size = Insn.size(w0);
        switch (op) {
            case Op.MOV -> {
                long v = o.source(w0, w1, imm, size);
                if (Operands.toMemory(w0)) {
                    o.storeMemory(w0, w1, size, v);
                } else {
                    o.setReg(Operands.destination(w0), size, v);
                }
            }
            case Op.ADD, Op.OR, Op.ADC, Op.SBB, Op.AND, Op.SUB, Op.XOR -> {
                long b = o.source(w0, w1, imm, size);
                if (Operands.toMemory(w0)) {
                    modify(op, b, w0, w1);
                } else {
                    int d = Operands.destination(w0);
                    o.setReg(d, size, value(s, op, o.reg(d, size), b, size));
                }
            }
            case Op.CMP, Op.TEST -> {
                long a = Insn.form(w0) == Insn.FORM_R_RM ? o.reg(Insn.reg(w0), size) : o.rm(w0, w1, size);
                long b = o.source(w0, w1, imm, size);
                if (op == Op.CMP) {
                    IntegerOps.sub(s, a, b, size);
                } else {
                    IntegerOps.and(s, a, b, size);
                }
            }
            case Op.LEA -> o.setReg(Insn.reg(w0), size, o.offset(w0, w1));
            case Op.PUSH -> o.push(size, Insn.form(w0) == Insn.FORM_IMM ? imm : o.rm(w0, w1, size));
            case Op.POP -> pop(w0, w1);
            case Op.MOVZX_8 -> o.setReg(Insn.reg(w0), size, o.rm(w0, w1, 0) & 0xff);
            case Op.MOVZX_16 -> o.setReg(Insn.reg(w0), size, o.rm(w0, w1, 1) & 0xffff);
            case Op.MOVSX_8 -> o.setReg(Insn.reg(w0), size, (byte) o.rm(w0, w1, 0));
            case Op.MOVSX_16 -> o.setReg(Insn.reg(w0), size, (short) o.rm(w0, w1, 1));
            case Op.MOVSXD -> {
                // Without REX.W, and with a 16-bit operand size, it moves that many bits only.
                int from = Math.min(size, 2);
                o.setReg(Insn.reg(w0), size, IntegerOps.extend(o.rm(w0, w1, from), from));
            }
            case Op.IMUL_R -> {
                long a = o.rm(w0, w1, size);
                long b = Insn.form(w0) == Insn.FORM_R_RM ? o.reg(Insn.reg(w0), size) : imm;
                o.setReg(Insn.reg(w0), size, IntegerOps.imul(s, a, b, size));
            }
            case Op.NOP -> {}
            case Op.PAUSE -> o.intercept(SvmExit.PAUSE, 0, w0, w1);
            case Op.JO,
                    Op.JNO,
                    Op.JB,
                    Op.JNB,
                    Op.JZ,
                    Op.JNZ,
                    Op.JBE,
                    Op.JNBE,
                    Op.JS,
                    Op.JNS,
                    Op.JP,
                    Op.JNP,
                    Op.JL,
                    Op.JNL,
                    Op.JLE,
                    Op.JNLE -> {
                o.branch(Conditions.holds(s, Op.condition(op)), w0, w1, imm);
                return Interpreter.BRANCHED;
            }
            case Op.JMP_REL -> {
                s.rip = o.target(s.rip + imm, size);
                return Interpreter.BRANCHED;
            }
            case Op.JMP_RM -> {
                s.rip = o.target(o.rm(w0, w1, size), size);
                return Interpreter.BRANCHED;
            }
            case Op.CALL_REL -> {
                o.call(size, o.next(w0, w1), s.rip + imm);
                return Interpreter.BRANCHED;
            }
            case Op.CALL_RM -> {
                o.call(size, o.next(w0, w1), o.rm(w0, w1, size));
                return Interpreter.BRANCHED;
            }
            case Op.RET -> {
                o.ret(size, 0);
                return Interpreter.BRANCHED;
            }
            case Op.CMOVO,
                    Op.CMOVNO,
                    Op.CMOVB,
                    Op.CMOVNB,
                    Op.CMOVZ,
                    Op.CMOVNZ,
                    Op.CMOVBE,
                    Op.CMOVNBE,
                    Op.CMOVS,
                    Op.CMOVNS,
                    Op.CMOVP,
                    Op.CMOVNP,
                    Op.CMOVL,
                    Op.CMOVNL,
                    Op.CMOVLE,
                    Op.CMOVNLE -> {
                // The source is read, and a 32-bit destination's upper half cleared, either way.
                long v = o.rm(w0, w1, size);
                int d = Insn.reg(w0);
                o.setReg(d, size, Conditions.holds(s, Op.condition(op)) ? v : gpr[d]);
            }
            case Op.SETO,
                    Op.SETNO,
                    Op.SETB,
                    Op.SETNB,
                    Op.SETZ,
                    Op.SETNZ,
                    Op.SETBE,
                    Op.SETNBE,
                    Op.SETS,
                    Op.SETNS,
                    Op.SETP,
                    Op.SETNP,
                    Op.SETL,
                    Op.SETNL,
                    Op.SETLE,
                    Op.SETNLE -> o.setRm(w0, w1, 0, Conditions.holds(s, Op.condition(op)) ? 1 : 0);
            case Op.INC, Op.DEC, Op.NEG, Op.NOT -> modifyRm(op, 0, w0, w1);
            case Op.SHL, Op.SHR, Op.SAR, Op.ROL, Op.ROR, Op.RCL, Op.RCR -> modifyRm(op, count(w0, imm), w0, w1);
            case Op.SHLD, Op.SHRD -> doubleShift(op, w0, w1, imm);
            case Op.MUL, Op.IMUL -> IntegerOps.mulAccumulator(s, o.rm(w0, w1, size), size, op == Op.IMUL);
            case Op.DIV, Op.IDIV -> {
                if (!IntegerOps.divide(s, o.rm(w0, w1, size), size, op == Op.IDIV)) {
                    throw cpu.fault(GuestFault.DE, 0);
                }
            }
            case Op.CBW -> o.setReg(RAX, size, IntegerOps.extend(gpr[RAX], size - 1));
            case Op.CWD -> o.setReg(RDX, size, IntegerOps.extend(gpr[RAX], size) >> 63);
            case Op.XCHG, Op.XADD -> exchange(op, w0, w1);
            case Op.LEAVE -> leave(size);
            case Op.ENTER -> enter(size, (int) imm & 0xffff, (int) (imm >>> 32) & 31);
            case Op.BSWAP -> o.setReg(Insn.rm(w0), size, BitOps.bswap(gpr[Insn.rm(w0)], size));
            case Op.BT, Op.BTS, Op.BTR, Op.BTC -> bit(op, w0, w1, imm);
            case Op.BSF, Op.BSR -> {
                long v = o.rm(w0, w1, size);
                long r = op == Op.BSF ? BitOps.bsf(s, v, size) : BitOps.bsr(s, v, size);
                if (s.flagZero != 0) {
                    o.setReg(Insn.reg(w0), size, r);
                }
            }
            case Op.TZCNT -> o.setReg(Insn.reg(w0), size, BitOps.tzcnt(s, o.rm(w0, w1, size), size));
            case Op.LZCNT -> o.setReg(Insn.reg(w0), size, BitOps.lzcnt(s, o.rm(w0, w1, size), size));
            case Op.POPCNT -> o.setReg(Insn.reg(w0), size, BitOps.popcnt(s, o.rm(w0, w1, size), size));
            case Op.CRC32 -> gpr[Insn.reg(w0)] = BitOps.crc32(gpr[Insn.reg(w0)], o.rm(w0, w1, size), size);
            case Op.CMPXCHG -> compareExchange(w0, w1);
            case Op.CMPXCHG8B -> compareExchange8(w0, w1);
            case Op.CMPXCHG16B -> compareExchange16(w0, w1);
            case Op.MOVS, Op.LODS, Op.STOS, Op.CMPS, Op.SCAS -> {
                return strings.execute(op, w0, w1);
            }
            case Op.XLAT -> {
                long off = Operands.maskAddress(gpr[RBX] + (gpr[RAX] & 0xff), Insn.addressSize(w0));
                int seg = Insn.segment(w0);
                o.setReg(RAX, 0, cpu.load8(seg, cpu.linear(seg, off, 1, false)));
            }
            case Op.LAHF -> gpr[RAX] = gpr[RAX] & ~0xff00L | (s.rflags() & 0xff) << 8;
            case Op.SAHF -> {
                long overflow = s.flagOverflow;
                s.setStatusFlags((int) (gpr[RAX] >>> 8) & 0xff);
                s.flagOverflow = overflow;
            }
            case Op.CLC -> s.flagCarry &= Long.MAX_VALUE;
            case Op.STC -> s.flagCarry |= Long.MIN_VALUE;
            case Op.CMC -> s.flagCarry ^= Long.MIN_VALUE;
            case Op.CLD -> s.flagsSystem &= ~CpuState.DF;
            case Op.STD -> s.flagsSystem |= CpuState.DF;
            case Op.LOOP, Op.LOOPE, Op.LOOPNE, Op.JCXZ -> {
                return loop(op, w0, w1, imm);
            }
            case Op.RET_IMM -> {
                o.ret(size, imm & 0xffff);
                return Interpreter.BRANCHED;
            }
            case Op.MOVBE -> {
                if (Insn.form(w0) == Insn.FORM_R_RM) {
                    o.setReg(Insn.reg(w0), size, BitOps.byteSwap(o.rm(w0, w1, size), size));
                } else {
                    o.setRm(w0, w1, size, BitOps.byteSwap(gpr[Insn.reg(w0)], size));
                }
            }
            case Op.MOVNTI, Op.MOVDIRI -> o.storeMemory(w0, w1, size, gpr[Insn.reg(w0)]);
            case Op.MOV_A_MOFFS -> {
                int seg = Insn.segment(w0);
                long la = cpu.linear(seg, imm, 1 << size, false);
                o.setReg(RAX, size, cpu.load(seg, la, size));
            }
            case Op.MOV_MOFFS_A -> {
                int seg = Insn.segment(w0);
                cpu.store(seg, cpu.linear(seg, imm, 1 << size, true), size, gpr[RAX]);
            }
            // Hints. Loads and stores are in order already, so the fences have nothing left to order but StoreLoad.
            case Op.PREFETCH, Op.LFENCE, Op.SFENCE -> {}
            case Op.MFENCE -> {
                HostMemory.fence();
                if (!cpu.intel) {
                    cpu.serialize();
                }
            }
            case Op.PUSHF -> {
                o.intercept(SvmExit.PUSHF, 0, w0, w1);
                legacy.pushFlags(size);
            }
            case Op.POPF -> {
                o.intercept(SvmExit.POPF, 0, w0, w1);
                legacy.popFlags(size);
                s.rip = o.next(w0, w1);
                return CpuExit.NONE;
            }
            default -> {
                return legacy.execute(op, w0, w1, imm);
            }
        }
        return Interpreter.NEXT;
    }

    /** POP to memory or a narrow register. An address that uses RSP uses it as it is after the pop. */
    void pop(long w0, long w1) {
        int size = Insn.size(w0);
        long v = o.peek(size, 0);
        long sp = gpr[RSP];
        o.release(1L << size);
        boolean done = false;
        try {
            o.setRm(w0, w1, size, v);
            done = true;
        } finally {
            if (!done) {
                gpr[RSP] = sp;
            }
        }
    }

    private void doubleShift(int op, long w0, long w1, long imm) {
        int size = Insn.size(w0);
        long b = gpr[Insn.reg(w0)];
        long count = count(w0, imm);
        if ((w0 & Insn.MEM) != 0) {
            int seg = Insn.segment(w0);
            long la = o.address(w0, w1, 1 << size, true);
            long a = cpu.loadForWrite(seg, la, size);
            long r = op == Op.SHLD ? ShiftOps.shld(s, a, b, count, size) : ShiftOps.shrd(s, a, b, count, size);
            cpu.store(seg, la, size, r);
        } else {
            int d = Insn.rm(w0);
            long a = gpr[d];
            long r = op == Op.SHLD ? ShiftOps.shld(s, a, b, count, size) : ShiftOps.shrd(s, a, b, count, size);
            o.setReg(d, size, r);
        }
    }

    /** XCHG and XADD: the register gets what was in the destination. XCHG with memory is locked without a prefix. */
    private void exchange(int op, long w0, long w1) {
        int size = Insn.size(w0);
        int r = Insn.reg(w0);
        long b = o.reg(r, size);
        if ((w0 & Insn.MEM) != 0) {
            o.setReg(r, size, modifyAt(op, b, w0, o.address(w0, w1, 1 << size, true)));
        } else {
            int d = Insn.rm(w0);
            long a = o.reg(d, size);
            long v = value(s, op, a, b, size);
            o.setReg(r, size, a);
            o.setReg(d, size, v);
        }
    }

    private void compareExchange(long w0, long w1) {
        int size = Insn.size(w0);
        long b = o.reg(Insn.reg(w0), size);
        long accumulator = gpr[RAX];
        long found;
        boolean equal;
        if ((w0 & Insn.MEM) != 0) {
            int seg = Insn.segment(w0);
            long la = o.address(w0, w1, 1 << size, true);
            long wanted = IntegerOps.zeroExtend(accumulator, size);
            for (; ; ) {
                found = cpu.loadForWrite(seg, la, size);
                equal = found == wanted;
                if (!equal) {
                    if ((w0 & Insn.LOCK) != 0) {
                        // Locked, it orders as much as one that stores.
                        HostMemory.fence();
                    }
                    cpu.storeBack(seg, la, size, found);
                    break;
                }
                if ((w0 & Insn.LOCK) == 0) {
                    cpu.store(seg, la, size, b);
                    break;
                }
                if (cpu.cas(seg, la, size, found, IntegerOps.zeroExtend(b, size))) {
                    break;
                }
            }
            IntegerOps.sub(s, accumulator, found, size);
        } else {
            int d = Insn.rm(w0);
            found = o.reg(d, size);
            IntegerOps.sub(s, accumulator, found, size);
            equal = s.flagZero == 0;
            if (equal) {
                o.setReg(d, size, b);
            }
        }
        if (!equal) {
            o.setReg(RAX, size, found);
        }
    }

    private void compareExchange8(long w0, long w1) {
        int seg = Insn.segment(w0);
        long la = o.address(w0, w1, 8, true);
        long wanted = gpr[RDX] << 32 | gpr[RAX] & 0xffff_ffffL;
        long b = gpr[RCX] << 32 | gpr[RBX] & 0xffff_ffffL;
        long found;
        do {
            found = cpu.loadForWrite(seg, la, 3);
        } while (found == wanted && !cpu.cas(seg, la, 3, found, b));
        boolean equal = found == wanted;
        s.flagZero = equal ? 0 : 1;
        if (!equal) {
            HostMemory.fence();
            cpu.storeBack(seg, la, 3, found);
            gpr[RAX] = found & 0xffff_ffffL;
            gpr[RDX] = found >>> 32;
        }
    }

    private void compareExchange16(long w0, long w1) {
        int seg = Insn.segment(w0);
        long la = o.address(w0, w1, 16, true);
        if ((la & 15) != 0) {
            throw o.protection();
        }
        boolean equal = cpu.cas128(seg, la, gpr[RAX], gpr[RDX], gpr[RBX], gpr[RCX]);
        s.flagZero = equal ? 0 : 1;
        if (!equal) {
            gpr[RAX] = cpu.wide[0];
            gpr[RDX] = cpu.wide[1];
        }
    }

    /** BT and its three changing forms; a register bit number addresses a bit string in memory (SDM 2A BT). */
    private void bit(int op, long w0, long w1, long imm) {
        int size = Insn.size(w0);
        boolean register = Insn.form(w0) == Insn.FORM_RM_R;
        long bit = register ? IntegerOps.extend(gpr[Insn.reg(w0)], size) : imm;
        if ((w0 & Insn.MEM) == 0) {
            int d = Insn.rm(w0);
            if (op == Op.BT) {
                BitOps.test(s, gpr[d], bit, size);
            } else {
                o.setReg(d, size, value(s, op, gpr[d], bit, size));
            }
            return;
        }
        long off = o.offset(w0, w1);
        if (register) {
            off = Operands.maskAddress(off + (bit >> 3 + size << size), Insn.addressSize(w0));
        }
        int seg = Insn.segment(w0);
        if (op == Op.BT) {
            BitOps.test(s, cpu.load(seg, cpu.linear(seg, off, 1 << size, false), size), bit, size);
        } else {
            modifyAt(op, bit, w0, cpu.linear(seg, off, 1 << size, true));
        }
    }

    private int loop(int op, long w0, long w1, long imm) {
        int width = Insn.addressSize(w0);
        boolean taken;
        if (op == Op.JCXZ) {
            taken = Operands.maskAddress(gpr[RCX], width) == 0;
        } else {
            long count = Operands.maskAddress(gpr[RCX] - 1, width);
            taken = count != 0 && (op == Op.LOOP || op == Op.LOOPE == (s.flagZero == 0));
            long target = taken ? o.target(s.rip + imm, Insn.size(w0)) : 0;
            o.setReg(RCX, width, count);
            if (taken) {
                s.rip = target;
                return Interpreter.BRANCHED;
            }
        }
        s.rip = taken ? o.target(s.rip + imm, Insn.size(w0)) : o.next(w0, w1);
        return Interpreter.BRANCHED;
    }

    private void leave(int size) {
        long bp = gpr[RBP] & o.stackMask();
        long v = cpu.load(CpuState.SS, o.stackAddress(bp, 1 << size, false), size);
        o.setStackPointer(bp + (1L << size));
        o.setReg(RBP, size, v);
    }

    private void enter(int size, int frame, int level) {
        int bytes = 1 << size;
        long mask = o.stackMask();
        long sp = gpr[RSP];
        long bp = gpr[RBP];
        long at = sp - bytes & mask;
        cpu.store(CpuState.SS, o.stackAddress(at, bytes, true), size, bp);
        // All of the stack pointer: with a 16-bit stack its upper half goes into a 32-bit EBP, borrow included.
        long frameTemp = sp - bytes;
        for (int i = 1; i < level; i++) {
            bp = bp - bytes & mask;
            long v = cpu.load(CpuState.SS, o.stackAddress(bp, bytes, false), size);
            at = at - bytes & mask;
            cpu.store(CpuState.SS, o.stackAddress(at, bytes, true), size, v);
        }
        if (level > 0) {
            at = at - bytes & mask;
            cpu.store(CpuState.SS, o.stackAddress(at, bytes, true), size, frameTemp);
        }
        long end = at - frame & mask;
        // The last probe: the new stack top must be writable (SDM 2A ENTER).
        cpu.probeWrite(CpuState.SS, o.stackAddress(end, bytes, true), bytes);
        o.setReg(RBP, size, frameTemp);
        o.setStackPointer(end);
    }

    private int bmi(int op, long w0, long w1, long imm) {
        int size = Insn.size(w0);
        long m = o.rm(w0, w1, size);
        long v = gpr[Insn.vvvv(w0) & 15];
        int d = Insn.reg(w0);
        switch (op) {
            case Op.ANDN -> o.setReg(d, size, BitOps.andn(s, v, m, size));
            case Op.BEXTR -> o.setReg(d, size, BitOps.bextr(s, m, v, size));
            case Op.BLSI -> o.setReg(Insn.vvvv(w0), size, BitOps.blsi(s, m, size));
            case Op.BLSMSK -> o.setReg(Insn.vvvv(w0), size, BitOps.blsmsk(s, m, size));
            case Op.BLSR -> o.setReg(Insn.vvvv(w0), size, BitOps.blsr(s, m, size));
            case Op.BZHI -> o.setReg(d, size, BitOps.bzhi(s, m, v, size));
            case Op.MULX -> {
                long a = IntegerOps.zeroExtend(gpr[RDX], size);
                long b = IntegerOps.zeroExtend(m, size);
                long low = a * b;
                o.setReg(Insn.vvvv(w0), size, low);
                o.setReg(d, size, size == 3 ? Math.unsignedMultiplyHigh(a, b) : low >>> 32);
            }
            case Op.PDEP -> o.setReg(d, size, BitOps.pdep(v, m, size));
            case Op.PEXT -> o.setReg(d, size, BitOps.pext(v, m, size));
            case Op.RORX -> o.setReg(d, size, ShiftOps.rorx(m, imm, size));
            case Op.SARX -> o.setReg(d, size, ShiftOps.sarx(m, v, size));
            case Op.SHLX -> o.setReg(d, size, ShiftOps.shlx(m, v, size));
            case Op.SHRX -> o.setReg(d, size, ShiftOps.shrx(m, v, size));
            case Op.ADCX -> o.setReg(d, size, BitOps.adcx(s, gpr[d], m, size));
            default -> o.setReg(d, size, BitOps.adox(s, gpr[d], m, size));
        }
        return Interpreter.NEXT;
    }
}
