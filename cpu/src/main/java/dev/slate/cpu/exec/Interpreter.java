package dev.slate.cpu.exec;

import static dev.slate.cpu.CpuState.RSP;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.LeaveGuest;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Mode;
import dev.slate.cpu.decode.Op;

/**
 * Executes decoded blocks: one switch over the operation, with what compilers emit most in it and a family's second switch behind
 * its default. Each case fetches operands, calls the one method that holds the operation's meaning, and writes back.
 *
 * <p>{@link #run} stays under HotSpot's limit of 8,000 bytecodes (a test holds it).
 */
public final class Interpreter {
    /** What a family's method returns when the next instruction of the block follows. Any other value is a {@link CpuExit} code. */
    static final int NEXT = -1;

    /** Index within its block of the running instruction: where a fault happened. */
    public int current;

    /** The running block, whose first byte {@code s.rip} points at. */
    public Block block = NOTHING;

    private static final Block NOTHING = new Block(new long[0], 0, 0, 0, 0, new long[0]);

    private final Cpu cpu;
    private final CpuState s;
    private final long[] gpr;
    private final Operands o;
    private final GeneralOps general;
    private final SystemOps system;
    private final StringOps strings;
    private final VectorOps vector;

    public Interpreter(Cpu cpu, Events events) {
        this.cpu = cpu;
        this.s = cpu.s;
        this.gpr = cpu.s.gpr;
        this.o = new Operands(cpu);
        this.strings = new StringOps(o);
        this.general = new GeneralOps(o, strings);
        this.system = new SystemOps(o, strings, events);
        this.vector = new VectorOps(o);
    }

    /** See {@link StringOps#completeIns}. */
    public int completeIns(byte[] data, int items) {
        return strings.completeIns(data, items);
    }

    /** See {@link StringOps#gatherOuts}. */
    public int gatherOuts(byte[] into, int maxItems) {
        return strings.gatherOuts(into, maxItems);
    }

    /**
     * Executes {@code first}, whose first byte {@code s.rip} points at, and with no limit the blocks that follow by near branches
     * while {@link Cpu#next} has them; with a limit, up to {@code maxInstructions} instructions of {@code first} alone.
     *
     * @return {@link CpuExit#NONE} with {@code s.rip} at the next instruction to execute, or an exit code with {@code s.rip} as
     *     {@link CpuExit} says
     * @throws GuestFault with {@code s.rip} at the first byte of {@link #block} and {@link #current} telling the instruction
     * @throws LeaveGuest likewise
     */
    public int run(Block first, int maxInstructions) {
        final CpuState s = this.s;
        final long[] gpr = this.gpr;
        final Operands o = this.o;
        final Cpu cpu = this.cpu;
        Block running = first;
        for (; ; ) {
            block = running;
            long[] code = running.code;
            int n = Math.min(running.count, maxInstructions) * Insn.WORDS;
            gpr[Insn.RIP_BASE] = s.rip;
            insns:
            {
                for (int p = 0; p < n; p += Insn.WORDS) {
                    current = p / Insn.WORDS;
                    long w0 = code[p];
                    int op = Insn.op(w0);
                    int size = Insn.size(w0);
                    switch (op) {
                        case Op.NOP, Op.PAUSE -> {}
                        case Op.MOV -> {
                            long v = o.source(w0, code, p, size);
                            if (Operands.toMemory(w0)) {
                                o.storeMemory(w0, code[p + 1], size, v);
                            } else {
                                o.setReg(Operands.destination(w0), size, v);
                            }
                        }
                        case Op.ADD -> {
                            if (Operands.toMemory(w0)) {
                                general.modify(op, o.source(w0, code, p, size), w0, code[p + 1]);
                            } else {
                                int d = Operands.destination(w0);
                                long v = o.source(w0, code, p, size);
                                if (size == 3) {
                                    gpr[d] = IntegerOps.add(s, gpr[d], v, 3);
                                } else if (size == 2) {
                                    gpr[d] = IntegerOps.add(s, gpr[d], v, 2) & 0xffff_ffffL;
                                } else {
                                    o.setReg(d, size, IntegerOps.add(s, o.reg(d, size), v, size));
                                }
                            }
                        }
                        case Op.SUB -> {
                            if (Operands.toMemory(w0)) {
                                general.modify(op, o.source(w0, code, p, size), w0, code[p + 1]);
                            } else {
                                int d = Operands.destination(w0);
                                long v = o.source(w0, code, p, size);
                                if (size == 3) {
                                    gpr[d] = IntegerOps.sub(s, gpr[d], v, 3);
                                } else if (size == 2) {
                                    gpr[d] = IntegerOps.sub(s, gpr[d], v, 2) & 0xffff_ffffL;
                                } else {
                                    o.setReg(d, size, IntegerOps.sub(s, o.reg(d, size), v, size));
                                }
                            }
                        }
                        case Op.CMP -> {
                            long a;
                            if (Insn.form(w0) == Insn.FORM_R_RM) {
                                a = o.reg(Insn.reg(w0), size);
                            } else {
                                a = o.rm(w0, code[p + 1], size);
                            }
                            IntegerOps.sub(s, a, o.source(w0, code, p, size), size);
                        }
                        case Op.TEST -> {
                            long a = o.rm(w0, code[p + 1], size);
                            long b = Insn.form(w0) == Insn.FORM_RM_IMM ? code[p + 2] : o.reg(Insn.reg(w0), size);
                            IntegerOps.and(s, a, b, size);
                        }
                        case Op.AND -> {
                            if (Operands.toMemory(w0)) {
                                general.modify(op, o.source(w0, code, p, size), w0, code[p + 1]);
                            } else {
                                int d = Operands.destination(w0);
                                long v = o.source(w0, code, p, size);
                                if (size == 3) {
                                    gpr[d] = IntegerOps.and(s, gpr[d], v, 3);
                                } else if (size == 2) {
                                    gpr[d] = IntegerOps.and(s, gpr[d], v, 2) & 0xffff_ffffL;
                                } else {
                                    o.setReg(d, size, IntegerOps.and(s, o.reg(d, size), v, size));
                                }
                            }
                        }
                        case Op.XOR -> {
                            if (Operands.toMemory(w0)) {
                                general.modify(op, o.source(w0, code, p, size), w0, code[p + 1]);
                            } else {
                                int d = Operands.destination(w0);
                                long v = o.source(w0, code, p, size);
                                if (size == 3) {
                                    gpr[d] = IntegerOps.xor(s, gpr[d], v, 3);
                                } else if (size == 2) {
                                    gpr[d] = IntegerOps.xor(s, gpr[d], v, 2) & 0xffff_ffffL;
                                } else {
                                    o.setReg(d, size, IntegerOps.xor(s, o.reg(d, size), v, size));
                                }
                            }
                        }
                        case Op.OR, Op.ADC, Op.SBB -> {
                            if (Operands.toMemory(w0)) {
                                general.modify(op, o.source(w0, code, p, size), w0, code[p + 1]);
                            } else {
                                int d = Operands.destination(w0);
                                long b = o.source(w0, code, p, size);
                                o.setReg(d, size, GeneralOps.value(s, op, o.reg(d, size), b, size));
                            }
                        }
                        case Op.LEA -> o.setReg(Insn.reg(w0), size, o.offset(w0, code[p + 1]));
                        case Op.PUSH -> {
                            long v = Insn.form(w0) == Insn.FORM_IMM ? code[p + 2] : o.rm(w0, code[p + 1], size);
                            if (size == 3) {
                                long sp = gpr[RSP] - 8;
                                cpu.store64(CpuState.SS, sp, v);
                                gpr[RSP] = sp;
                            } else {
                                o.push(size, v);
                            }
                        }
                        case Op.POP -> {
                            if (size == 3 && (w0 & Insn.MEM) == 0) {
                                long sp = gpr[RSP];
                                long v = cpu.load64(CpuState.SS, sp);
                                gpr[RSP] = sp + 8;
                                gpr[Insn.rm(w0)] = v;
                            } else {
                                general.pop(w0, code[p + 1]);
                            }
                        }
                        case Op.JO -> {
                            branch(s.flagOverflow < 0, w0, code, p);
                            break insns;
                        }
                        case Op.JNO -> {
                            branch(s.flagOverflow >= 0, w0, code, p);
                            break insns;
                        }
                        case Op.JB -> {
                            branch(s.flagCarry < 0, w0, code, p);
                            break insns;
                        }
                        case Op.JNB -> {
                            branch(s.flagCarry >= 0, w0, code, p);
                            break insns;
                        }
                        case Op.JZ -> {
                            branch(s.flagZero == 0, w0, code, p);
                            break insns;
                        }
                        case Op.JNZ -> {
                            branch(s.flagZero != 0, w0, code, p);
                            break insns;
                        }
                        case Op.JBE -> {
                            branch(Conditions.belowOrEqual(s), w0, code, p);
                            break insns;
                        }
                        case Op.JNBE -> {
                            branch(!Conditions.belowOrEqual(s), w0, code, p);
                            break insns;
                        }
                        case Op.JS -> {
                            branch(s.flagSign < 0, w0, code, p);
                            break insns;
                        }
                        case Op.JNS -> {
                            branch(s.flagSign >= 0, w0, code, p);
                            break insns;
                        }
                        case Op.JP -> {
                            branch(Conditions.parity(s), w0, code, p);
                            break insns;
                        }
                        case Op.JNP -> {
                            branch(!Conditions.parity(s), w0, code, p);
                            break insns;
                        }
                        case Op.JL -> {
                            branch(Conditions.less(s), w0, code, p);
                            break insns;
                        }
                        case Op.JNL -> {
                            branch(!Conditions.less(s), w0, code, p);
                            break insns;
                        }
                        case Op.JLE -> {
                            branch(Conditions.lessOrEqual(s), w0, code, p);
                            break insns;
                        }
                        case Op.JNLE -> {
                            branch(!Conditions.lessOrEqual(s), w0, code, p);
                            break insns;
                        }
                        case Op.JMP_REL -> {
                            s.rip = o.target(s.rip + code[p + 2], size);
                            break insns;
                        }
                        case Op.JMP_RM -> {
                            s.rip = o.target(o.rm(w0, code[p + 1], size), size);
                            break insns;
                        }
                        case Op.CALL_REL -> {
                            o.call(size, o.next(w0, code[p + 1]), s.rip + code[p + 2]);
                            break insns;
                        }
                        case Op.CALL_RM -> {
                            o.call(size, o.next(w0, code[p + 1]), o.rm(w0, code[p + 1], size));
                            break insns;
                        }
                        case Op.RET -> {
                            long target = o.target(o.peek(size, 0), size);
                            o.release(1L << size);
                            s.rip = target;
                            break insns;
                        }
                        case Op.MOVZX_8 -> {
                            long v = o.rm(w0, code[p + 1], 0) & 0xff;
                            o.setReg(Insn.reg(w0), size, v);
                        }
                        case Op.MOVZX_16 -> {
                            long v = o.rm(w0, code[p + 1], 1) & 0xffff;
                            o.setReg(Insn.reg(w0), size, v);
                        }
                        case Op.MOVSX_8 -> o.setReg(Insn.reg(w0), size, (byte) o.rm(w0, code[p + 1], 0));
                        case Op.MOVSX_16 -> o.setReg(Insn.reg(w0), size, (short) o.rm(w0, code[p + 1], 1));
                        case Op.MOVSXD -> {
                            // Without REX.W, and with a 16-bit operand size, it moves that many bits only.
                            int from = Math.min(size, 2);
                            o.setReg(Insn.reg(w0), size, IntegerOps.extend(o.rm(w0, code[p + 1], from), from));
                        }
                        case Op.INC -> {
                            if ((w0 & Insn.MEM) != 0) {
                                general.modify(op, 0, w0, code[p + 1]);
                            } else {
                                int d = Insn.rm(w0);
                                o.setReg(d, size, IntegerOps.inc(s, o.reg(d, size), size));
                            }
                        }
                        case Op.DEC -> {
                            if ((w0 & Insn.MEM) != 0) {
                                general.modify(op, 0, w0, code[p + 1]);
                            } else {
                                int d = Insn.rm(w0);
                                o.setReg(d, size, IntegerOps.dec(s, o.reg(d, size), size));
                            }
                        }
                        case Op.SHL -> {
                            if ((w0 & Insn.MEM) != 0) {
                                general.modify(op, count(w0, code, p), w0, code[p + 1]);
                            } else {
                                int d = Insn.rm(w0);
                                o.setReg(d, size, ShiftOps.shl(s, o.reg(d, size), count(w0, code, p), size));
                            }
                        }
                        case Op.SHR -> {
                            if ((w0 & Insn.MEM) != 0) {
                                general.modify(op, count(w0, code, p), w0, code[p + 1]);
                            } else {
                                int d = Insn.rm(w0);
                                o.setReg(d, size, ShiftOps.shr(s, o.reg(d, size), count(w0, code, p), size));
                            }
                        }
                        case Op.SAR -> {
                            if ((w0 & Insn.MEM) != 0) {
                                general.modify(op, count(w0, code, p), w0, code[p + 1]);
                            } else {
                                int d = Insn.rm(w0);
                                o.setReg(d, size, ShiftOps.sar(s, o.reg(d, size), count(w0, code, p), size));
                            }
                        }
                        case Op.IMUL_R -> {
                            long a = o.rm(w0, code[p + 1], size);
                            long b = Insn.form(w0) == Insn.FORM_R_RM ? o.reg(Insn.reg(w0), size) : code[p + 2];
                            o.setReg(Insn.reg(w0), size, IntegerOps.imul(s, a, b, size));
                        }
                        default -> {
                            int outcome = family(op, w0, running, p);
                            if (outcome != NEXT) {
                                return outcome;
                            }
                        }
                    }
                    if (cpu.stop) {
                        s.rip = o.next(w0, code[p + 1]);
                        return CpuExit.NONE;
                    }
                }
                s.rip = o.next(code[n - Insn.WORDS], code[n - Insn.WORDS + 1]);
            }
            // Nothing but rip has changed that decides what runs next.
            if (maxInstructions != Integer.MAX_VALUE) {
                return CpuExit.NONE;
            }
            Block next = cpu.next(s.rip);
            if (next == null) {
                return CpuExit.NONE;
            }
            running = next;
        }
    }

    /** A shift's count: CL or the immediate. */
    private long count(long w0, long[] code, int p) {
        return Insn.form(w0) == Insn.FORM_RM_CL ? gpr[CpuState.RCX] : code[p + 2];
    }

    private void branch(boolean taken, long w0, long[] code, int p) {
        if (taken) {
            s.rip = o.target(s.rip + code[p + 2], Insn.size(w0));
        } else {
            s.rip = o.next(w0, code[p + 1]);
        }
    }

    private int family(int op, long w0, Block block, int p) {
        long w1 = block.code[p + 1];
        long imm = block.code[p + 2];
        int outcome;
        if (op >= Op.NOP && op < Op.CALL_FAR_IMM) {
            outcome = general.execute(op, w0, w1, imm);
        } else if (op < Op.LDMXCSR) {
            outcome = system.execute(op, w0, w1, imm);
        } else {
            if (op == Op.PCMPESTRM || op == Op.PCMPESTRI) {
                vector.strings.wide = rexW(block, w1);
            }
            outcome = vector.execute(op, w0, w1, imm);
        }
        return outcome == CpuExit.UNIMPLEMENTED ? unimplemented(block, w0, w1) : outcome;
    }

    /** Whether REX.W stands before the opcode: the one thing of it that the flat form of these instructions does not keep. */
    private static boolean rexW(Block block, long w1) {
        if (block.mode != Mode.BITS64) {
            return false;
        }
        for (int at = Insn.offset(w1); ; at++) {
            int b = byteAt(block, at);
            if (b == 0x0f) {
                return false;
            }
            if ((b & 0xf0) == 0x40 && byteAt(block, at + 1) == 0x0f) {
                return (b & 8) != 0;
            }
        }
    }

    private static int byteAt(Block block, int at) {
        return (int) (block.bytes[at >>> 3] >>> 8 * (at & 7)) & 0xff;
    }

    private int unimplemented(Block block, long w0, long w1) {
        int offset = Insn.offset(w1);
        int n = Insn.length(w0);
        for (int i = 0; i < n; i++) {
            cpu.exitBytes[i] = (byte) byteAt(block, offset + i);
        }
        cpu.exitByteCount = n;
        return o.exit(CpuExit.UNIMPLEMENTED, w0, w1);
    }
}
