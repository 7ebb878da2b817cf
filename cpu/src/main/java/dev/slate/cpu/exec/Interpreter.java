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
    /** What it returns when it has left rip at the branch's target, and the block has ended. */
    static final int BRANCHED = -2;

    /** Index within its block's code of the running instruction's first word: where a fault happened. */
    public int at;

    /** The running block, whose first byte {@code s.rip} points at. */
    public Block block = NOTHING;

    private static final Block NOTHING = new Block(new long[0], 0, 0, 0, 0, new long[0]);

    /** Blocks that run one after the other before decoded code is looked at again: some tens of milliseconds. */
    private static final int PATIENCE = 1 << 20;

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
     * @throws GuestFault with {@code s.rip} at the first byte of {@link #block} and {@link #at} telling the instruction
     * @throws LeaveGuest likewise
     */
    public int run(Block first, int maxInstructions) {
        int patience = PATIENCE;
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
            block:
            {
                boolean taken;
                int p;
                conditional:
                {
                    for (p = 0; p < n; p += Insn.WORDS) {
                        at = p;
                        long w0 = code[p];
                        int op = Insn.op(w0);
                        // A form that can neither fault nor store goes straight on to the next instruction.
                        switch (op) {
                            case QuickOp.ADD_RR_32 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.add(s, gpr[d], gpr[Insn.reg(w0)], 2) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.ADD_RR_64 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.add(s, gpr[d], gpr[Insn.reg(w0)], 3);
                                continue;
                            }
                            case QuickOp.ADD_RI_32 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.add(s, gpr[d], code[p + 2], 2) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.ADD_RI_64 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.add(s, gpr[d], code[p + 2], 3);
                                continue;
                            }
                            case QuickOp.SUB_RR_32 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.sub(s, gpr[d], gpr[Insn.reg(w0)], 2) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.SUB_RR_64 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.sub(s, gpr[d], gpr[Insn.reg(w0)], 3);
                                continue;
                            }
                            case QuickOp.SUB_RI_32 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.sub(s, gpr[d], code[p + 2], 2) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.SUB_RI_64 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.sub(s, gpr[d], code[p + 2], 3);
                                continue;
                            }
                            case QuickOp.AND_RR_32 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.and(s, gpr[d], gpr[Insn.reg(w0)], 2) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.AND_RR_64 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.and(s, gpr[d], gpr[Insn.reg(w0)], 3);
                                continue;
                            }
                            case QuickOp.AND_RI_32 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.and(s, gpr[d], code[p + 2], 2) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.AND_RI_64 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.and(s, gpr[d], code[p + 2], 3);
                                continue;
                            }
                            case QuickOp.OR_RR_32 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.or(s, gpr[d], gpr[Insn.reg(w0)], 2) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.OR_RR_64 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.or(s, gpr[d], gpr[Insn.reg(w0)], 3);
                                continue;
                            }
                            case QuickOp.OR_RI_32 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.or(s, gpr[d], code[p + 2], 2) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.OR_RI_64 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.or(s, gpr[d], code[p + 2], 3);
                                continue;
                            }
                            case QuickOp.XOR_RR_32 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.xor(s, gpr[d], gpr[Insn.reg(w0)], 2) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.XOR_RR_64 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.xor(s, gpr[d], gpr[Insn.reg(w0)], 3);
                                continue;
                            }
                            case QuickOp.XOR_RI_32 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.xor(s, gpr[d], code[p + 2], 2) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.XOR_RI_64 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.xor(s, gpr[d], code[p + 2], 3);
                                continue;
                            }
                            case QuickOp.CMP_RR_8 -> {
                                IntegerOps.sub(s, gpr[Insn.rm(w0)], gpr[Insn.reg(w0)], 0);
                                continue;
                            }
                            case QuickOp.CMP_RR_32 -> {
                                IntegerOps.sub(s, gpr[Insn.rm(w0)], gpr[Insn.reg(w0)], 2);
                                continue;
                            }
                            case QuickOp.CMP_RR_64 -> {
                                IntegerOps.sub(s, gpr[Insn.rm(w0)], gpr[Insn.reg(w0)], 3);
                                continue;
                            }
                            case QuickOp.CMP_RI_8 -> {
                                IntegerOps.sub(s, gpr[Insn.rm(w0)], code[p + 2], 0);
                                continue;
                            }
                            case QuickOp.CMP_RI_32 -> {
                                IntegerOps.sub(s, gpr[Insn.rm(w0)], code[p + 2], 2);
                                continue;
                            }
                            case QuickOp.CMP_RI_64 -> {
                                IntegerOps.sub(s, gpr[Insn.rm(w0)], code[p + 2], 3);
                                continue;
                            }
                            case QuickOp.TEST_RR_8 -> {
                                IntegerOps.and(s, gpr[Insn.rm(w0)], gpr[Insn.reg(w0)], 0);
                                continue;
                            }
                            case QuickOp.TEST_RR_32 -> {
                                IntegerOps.and(s, gpr[Insn.rm(w0)], gpr[Insn.reg(w0)], 2);
                                continue;
                            }
                            case QuickOp.TEST_RR_64 -> {
                                IntegerOps.and(s, gpr[Insn.rm(w0)], gpr[Insn.reg(w0)], 3);
                                continue;
                            }
                            case QuickOp.TEST_RI_8 -> {
                                IntegerOps.and(s, gpr[Insn.rm(w0)], code[p + 2], 0);
                                continue;
                            }
                            case QuickOp.TEST_RI_32 -> {
                                IntegerOps.and(s, gpr[Insn.rm(w0)], code[p + 2], 2);
                                continue;
                            }
                            case QuickOp.TEST_RI_64 -> {
                                IntegerOps.and(s, gpr[Insn.rm(w0)], code[p + 2], 3);
                                continue;
                            }
                            case QuickOp.ADD_RM_32,
                                    QuickOp.SUB_RM_32,
                                    QuickOp.AND_RM_32,
                                    QuickOp.OR_RM_32,
                                    QuickOp.XOR_RM_32 -> {
                                long b = cpu.load32(Insn.segment(w0), flat(gpr, w0, code[p + 1]));
                                int d = Insn.reg(w0);
                                gpr[d] = withMemory(op, gpr[d], b, 2) & 0xffff_ffffL;
                            }
                            case QuickOp.CMP_RM_32 -> {
                                IntegerOps.sub(
                                        s,
                                        gpr[Insn.reg(w0)],
                                        cpu.load32(Insn.segment(w0), flat(gpr, w0, code[p + 1])),
                                        2);
                            }
                            case QuickOp.CMP_MR_32 -> {
                                IntegerOps.sub(
                                        s,
                                        cpu.load32(Insn.segment(w0), flat(gpr, w0, code[p + 1])),
                                        gpr[Insn.reg(w0)],
                                        2);
                            }
                            case QuickOp.CMP_MI_32 -> {
                                IntegerOps.sub(
                                        s, cpu.load32(Insn.segment(w0), flat(gpr, w0, code[p + 1])), code[p + 2], 2);
                            }
                            case QuickOp.TEST_MR_32, QuickOp.TEST_MI_32 -> {
                                long b = op == QuickOp.TEST_MI_32 ? code[p + 2] : gpr[Insn.reg(w0)];
                                IntegerOps.and(s, cpu.load32(Insn.segment(w0), flat(gpr, w0, code[p + 1])), b, 2);
                            }
                            case QuickOp.ADD_RM_64,
                                    QuickOp.SUB_RM_64,
                                    QuickOp.AND_RM_64,
                                    QuickOp.OR_RM_64,
                                    QuickOp.XOR_RM_64 -> {
                                long b = cpu.load64(Insn.segment(w0), flat(gpr, w0, code[p + 1]));
                                int d = Insn.reg(w0);
                                gpr[d] = withMemory(op, gpr[d], b, 3);
                            }
                            case QuickOp.CMP_RM_64 -> {
                                IntegerOps.sub(
                                        s,
                                        gpr[Insn.reg(w0)],
                                        cpu.load64(Insn.segment(w0), flat(gpr, w0, code[p + 1])),
                                        3);
                            }
                            case QuickOp.CMP_MR_64 -> {
                                IntegerOps.sub(
                                        s,
                                        cpu.load64(Insn.segment(w0), flat(gpr, w0, code[p + 1])),
                                        gpr[Insn.reg(w0)],
                                        3);
                            }
                            case QuickOp.CMP_MI_64 -> {
                                IntegerOps.sub(
                                        s, cpu.load64(Insn.segment(w0), flat(gpr, w0, code[p + 1])), code[p + 2], 3);
                            }
                            case QuickOp.TEST_MR_64, QuickOp.TEST_MI_64 -> {
                                long b = op == QuickOp.TEST_MI_64 ? code[p + 2] : gpr[Insn.reg(w0)];
                                IntegerOps.and(s, cpu.load64(Insn.segment(w0), flat(gpr, w0, code[p + 1])), b, 3);
                            }
                            case QuickOp.CMP_MI_8 -> {
                                IntegerOps.sub(
                                        s, cpu.load8(Insn.segment(w0), flat(gpr, w0, code[p + 1])), code[p + 2], 0);
                            }
                            case QuickOp.TEST_MI_8 -> {
                                IntegerOps.and(
                                        s, cpu.load8(Insn.segment(w0), flat(gpr, w0, code[p + 1])), code[p + 2], 0);
                            }
                            case QuickOp.MOV_RR_32 -> {
                                gpr[Insn.rm(w0)] = gpr[Insn.reg(w0)] & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.MOV_RR_64 -> {
                                gpr[Insn.rm(w0)] = gpr[Insn.reg(w0)];
                                continue;
                            }
                            case QuickOp.MOV_RI_32 -> {
                                gpr[Insn.rm(w0)] = code[p + 2] & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.MOV_RI_64 -> {
                                gpr[Insn.rm(w0)] = code[p + 2];
                                continue;
                            }
                            case QuickOp.MOV_RM_32 -> {
                                gpr[Insn.reg(w0)] =
                                        cpu.load32(Insn.segment(w0), flat(gpr, w0, code[p + 1])) & 0xffff_ffffL;
                            }
                            case QuickOp.MOV_RM_64 -> {
                                gpr[Insn.reg(w0)] = cpu.load64(Insn.segment(w0), flat(gpr, w0, code[p + 1]));
                            }
                            case QuickOp.MOV_MR_8, QuickOp.MOV_MI_8 -> {
                                long v = op == QuickOp.MOV_MI_8 ? code[p + 2] : gpr[Insn.reg(w0)];
                                cpu.store8(Insn.segment(w0), flat(gpr, w0, code[p + 1]), (int) v);
                            }
                            case QuickOp.MOV_MR_32, QuickOp.MOV_MI_32 -> {
                                long v = op == QuickOp.MOV_MI_32 ? code[p + 2] : gpr[Insn.reg(w0)];
                                cpu.store32(Insn.segment(w0), flat(gpr, w0, code[p + 1]), (int) v);
                            }
                            case QuickOp.MOV_MR_64, QuickOp.MOV_MI_64 -> {
                                long v = op == QuickOp.MOV_MI_64 ? code[p + 2] : gpr[Insn.reg(w0)];
                                cpu.store64(Insn.segment(w0), flat(gpr, w0, code[p + 1]), v);
                            }
                            case QuickOp.MOVZX_R8 -> {
                                gpr[Insn.reg(w0)] = gpr[Insn.rm(w0)] & 0xff;
                                continue;
                            }
                            case QuickOp.MOVZX_R16 -> {
                                gpr[Insn.reg(w0)] = gpr[Insn.rm(w0)] & 0xffff;
                                continue;
                            }
                            case QuickOp.MOVZX_M8 -> {
                                gpr[Insn.reg(w0)] = cpu.load8(Insn.segment(w0), flat(gpr, w0, code[p + 1])) & 0xff;
                            }
                            case QuickOp.MOVZX_M16 -> {
                                gpr[Insn.reg(w0)] = cpu.load16(Insn.segment(w0), flat(gpr, w0, code[p + 1])) & 0xffff;
                            }
                            case QuickOp.MOVSXD_R -> {
                                gpr[Insn.reg(w0)] = (int) gpr[Insn.rm(w0)];
                                continue;
                            }
                            case QuickOp.MOVSXD_M -> {
                                gpr[Insn.reg(w0)] = cpu.load32(Insn.segment(w0), flat(gpr, w0, code[p + 1]));
                            }
                            case QuickOp.LEA_32 -> {
                                gpr[Insn.reg(w0)] = flat(gpr, w0, code[p + 1]) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.LEA_64 -> {
                                gpr[Insn.reg(w0)] = flat(gpr, w0, code[p + 1]);
                                continue;
                            }
                            case QuickOp.PUSH_R, QuickOp.PUSH_I -> {
                                long v = op == QuickOp.PUSH_I ? code[p + 2] : gpr[Insn.rm(w0)];
                                long sp = gpr[RSP] - 8;
                                cpu.store64(CpuState.SS, sp, v);
                                gpr[RSP] = sp;
                            }
                            case QuickOp.POP_R -> {
                                long sp = gpr[RSP];
                                long v = cpu.load64(CpuState.SS, sp);
                                gpr[RSP] = sp + 8;
                                gpr[Insn.rm(w0)] = v;
                            }
                            case QuickOp.NOP -> {
                                continue;
                            }
                            case QuickOp.INC_32 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.inc(s, gpr[d], 2) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.INC_64 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.inc(s, gpr[d], 3);
                                continue;
                            }
                            case QuickOp.DEC_32 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.dec(s, gpr[d], 2) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.DEC_64 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = IntegerOps.dec(s, gpr[d], 3);
                                continue;
                            }
                            case QuickOp.SHL_32 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = ShiftOps.shl(s, gpr[d], code[p + 2], 2) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.SHL_64 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = ShiftOps.shl(s, gpr[d], code[p + 2], 3);
                                continue;
                            }
                            case QuickOp.SHR_32 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = ShiftOps.shr(s, gpr[d], code[p + 2], 2) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.SHR_64 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = ShiftOps.shr(s, gpr[d], code[p + 2], 3);
                                continue;
                            }
                            case QuickOp.SAR_32 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = ShiftOps.sar(s, gpr[d], code[p + 2], 2) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.SAR_64 -> {
                                int d = Insn.rm(w0);
                                gpr[d] = ShiftOps.sar(s, gpr[d], code[p + 2], 3);
                                continue;
                            }
                            case QuickOp.IMUL_RR_32 -> {
                                int d = Insn.reg(w0);
                                gpr[d] = IntegerOps.imul(s, gpr[Insn.rm(w0)], gpr[d], 2) & 0xffff_ffffL;
                                continue;
                            }
                            case QuickOp.IMUL_RR_64 -> {
                                int d = Insn.reg(w0);
                                gpr[d] = IntegerOps.imul(s, gpr[Insn.rm(w0)], gpr[d], 3);
                                continue;
                            }
                            case QuickOp.JO -> {
                                taken = s.flagOverflow < 0;
                                break conditional;
                            }
                            case QuickOp.JNO -> {
                                taken = s.flagOverflow >= 0;
                                break conditional;
                            }
                            case QuickOp.JB -> {
                                taken = s.flagCarry < 0;
                                break conditional;
                            }
                            case QuickOp.JNB -> {
                                taken = s.flagCarry >= 0;
                                break conditional;
                            }
                            case QuickOp.JZ -> {
                                taken = s.flagZero == 0;
                                break conditional;
                            }
                            case QuickOp.JNZ -> {
                                taken = s.flagZero != 0;
                                break conditional;
                            }
                            case QuickOp.JBE -> {
                                taken = Conditions.belowOrEqual(s);
                                break conditional;
                            }
                            case QuickOp.JNBE -> {
                                taken = !Conditions.belowOrEqual(s);
                                break conditional;
                            }
                            case QuickOp.JS -> {
                                taken = s.flagSign < 0;
                                break conditional;
                            }
                            case QuickOp.JNS -> {
                                taken = s.flagSign >= 0;
                                break conditional;
                            }
                            case QuickOp.JP -> {
                                taken = Conditions.parity(s);
                                break conditional;
                            }
                            case QuickOp.JNP -> {
                                taken = !Conditions.parity(s);
                                break conditional;
                            }
                            case QuickOp.JL -> {
                                taken = Conditions.less(s);
                                break conditional;
                            }
                            case QuickOp.JNL -> {
                                taken = !Conditions.less(s);
                                break conditional;
                            }
                            case QuickOp.JLE -> {
                                taken = Conditions.lessOrEqual(s);
                                break conditional;
                            }
                            case QuickOp.JNLE -> {
                                taken = !Conditions.lessOrEqual(s);
                                break conditional;
                            }
                            case QuickOp.JMP_REL -> {
                                s.rip = o.target(s.rip + code[p + 2], Insn.size(w0));
                                break block;
                            }
                            case QuickOp.CALL_REL -> {
                                o.call(Insn.size(w0), o.next(w0, code[p + 1]), s.rip + code[p + 2]);
                                break block;
                            }
                            case QuickOp.RET -> {
                                o.ret(Insn.size(w0), 0);
                                break block;
                            }
                            default -> {
                                int outcome = family(op, w0, running, p);
                                if (outcome != NEXT) {
                                    if (outcome != BRANCHED) {
                                        return outcome;
                                    }
                                    break block;
                                }
                            }
                        }
                        if (cpu.stop) {
                            s.rip = o.next(w0, code[p + 1]);
                            return CpuExit.NONE;
                        }
                    }
                    s.rip = o.next(code[n - Insn.WORDS], code[n - Insn.WORDS + 1]);
                    break block;
                }
                // A conditional branch, which is the last of its block.
                o.branch(taken, code[p], code[p + 1], code[p + 2]);
            }
            // Nothing but rip has changed that decides what runs next.
            if (maxInstructions != Integer.MAX_VALUE) {
                return CpuExit.NONE;
            }
            Block next = cpu.next(s.rip);
            if (next == null) {
                return CpuExit.NONE;
            }
            if (--patience == 0) {
                // Code whose memory has gone away must not run for ever on its decoded form.
                cpu.serialize();
                return CpuExit.NONE;
            }
            running = next;
        }
    }

    /** Linear address of a quick form's memory operand. */
    private static long flat(long[] gpr, long w0, long w1) {
        return gpr[Insn.base(w0)] + (gpr[Insn.index(w0)] << Insn.scale(w0)) + Insn.displacement(w1);
    }

    /** A quick ALU operation whose second operand came from memory: one load serves them all. */
    private long withMemory(int op, long a, long b, int size) {
        switch (op - QuickOp.FIRST_RM >> 1) {
            case 0:
                return IntegerOps.add(s, a, b, size);
            case 1:
                return IntegerOps.sub(s, a, b, size);
            case 2:
                return IntegerOps.and(s, a, b, size);
            case 3:
                return IntegerOps.or(s, a, b, size);
            default:
                return IntegerOps.xor(s, a, b, size);
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
                vector.strings.wide = (w0 & Insn.VEX) != 0 ? (w0 & Insn.VEX_W) != 0 : rexW(block, w1);
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
        describe(block, w0, w1);
        return o.exit(CpuExit.UNIMPLEMENTED, w0, w1);
    }

    /** Puts the running instruction's bytes into {@code cpu.exit}. */
    public void describe() {
        describe(block, block.code[at], block.code[at + 1]);
    }

    private void describe(Block block, long w0, long w1) {
        int offset = Insn.offset(w1);
        int n = Insn.length(w0);
        for (int i = 0; i < n; i++) {
            cpu.exit.bytes[i] = (byte) byteAt(block, offset + i);
        }
        cpu.exit.byteCount = n;
    }
}
