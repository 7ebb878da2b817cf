package dev.slate.cpu.exec;

import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Mode;
import dev.slate.cpu.decode.Op;

/**
 * Quick forms: what an operation with its size and operands becomes in a block that {@link Interpreter} runs, where compilers emit
 * it much. The number replaces the operation's in word 0, so that one dispatch tells all: no further branch on size, form or kind of
 * operand. What has no quick form stays as it was decoded and goes to {@link GeneralOps}, {@link SystemOps} or {@link VectorOps},
 * which know every operation with every operand, so a block may be run without this.
 *
 * <p>A quick form changes no meaning: both call the same methods of {@link IntegerOps} and its like, and a test runs both on the same
 * states.
 *
 * <p>In names: R a register, I an immediate, M memory, the destination first; then bits of the operand. Memory forms hold only in 64-bit mode,
 * with a 64-bit address and a segment whose base that mode ignores.
 */
public final class QuickOp {
    // ALU operations on a register: FIRST + 4 * (operation) + 2 * (immediate) + (64-bit), operations in
    // the order below.
    static final int FIRST = 1024;
    static final int ADD_RR_32 = FIRST;
    static final int ADD_RR_64 = FIRST + 1;
    static final int ADD_RI_32 = FIRST + 2;
    static final int ADD_RI_64 = FIRST + 3;
    static final int SUB_RR_32 = FIRST + 4;
    static final int SUB_RR_64 = FIRST + 5;
    static final int SUB_RI_32 = FIRST + 6;
    static final int SUB_RI_64 = FIRST + 7;
    static final int AND_RR_32 = FIRST + 8;
    static final int AND_RR_64 = FIRST + 9;
    static final int AND_RI_32 = FIRST + 10;
    static final int AND_RI_64 = FIRST + 11;
    static final int OR_RR_32 = FIRST + 12;
    static final int OR_RR_64 = FIRST + 13;
    static final int OR_RI_32 = FIRST + 14;
    static final int OR_RI_64 = FIRST + 15;
    static final int XOR_RR_32 = FIRST + 16;
    static final int XOR_RR_64 = FIRST + 17;
    static final int XOR_RI_32 = FIRST + 18;
    static final int XOR_RI_64 = FIRST + 19;
    static final int CMP_RR_32 = FIRST + 20;
    static final int CMP_RR_64 = FIRST + 21;
    static final int CMP_RI_32 = FIRST + 22;
    static final int CMP_RI_64 = FIRST + 23;
    static final int TEST_RR_32 = FIRST + 24;
    static final int TEST_RR_64 = FIRST + 25;
    static final int TEST_RI_32 = FIRST + 26;
    static final int TEST_RI_64 = FIRST + 27;

    // The same with a memory source: FIRST_RM + 2 * (operation) + (64-bit). TEST has no such form.
    static final int FIRST_RM = FIRST + 28;
    static final int ADD_RM_32 = FIRST_RM;
    static final int ADD_RM_64 = FIRST_RM + 1;
    static final int SUB_RM_32 = FIRST_RM + 2;
    static final int SUB_RM_64 = FIRST_RM + 3;
    static final int AND_RM_32 = FIRST_RM + 4;
    static final int AND_RM_64 = FIRST_RM + 5;
    static final int OR_RM_32 = FIRST_RM + 6;
    static final int OR_RM_64 = FIRST_RM + 7;
    static final int XOR_RM_32 = FIRST_RM + 8;
    static final int XOR_RM_64 = FIRST_RM + 9;
    static final int CMP_RM_32 = FIRST_RM + 10;
    static final int CMP_RM_64 = FIRST_RM + 11;

    // Comparisons whose first operand is memory, and of bytes.
    static final int FIRST_COMPARE = FIRST_RM + 12;
    static final int CMP_MR_32 = FIRST_COMPARE;
    static final int CMP_MR_64 = FIRST_COMPARE + 1;
    static final int CMP_MI_32 = FIRST_COMPARE + 2;
    static final int CMP_MI_64 = FIRST_COMPARE + 3;
    static final int TEST_MR_32 = FIRST_COMPARE + 4;
    static final int TEST_MR_64 = FIRST_COMPARE + 5;
    static final int TEST_MI_32 = FIRST_COMPARE + 6;
    static final int TEST_MI_64 = FIRST_COMPARE + 7;
    static final int CMP_MI_8 = FIRST_COMPARE + 8;
    static final int TEST_MI_8 = FIRST_COMPARE + 9;
    static final int CMP_RI_8 = FIRST_COMPARE + 10;
    static final int TEST_RI_8 = FIRST_COMPARE + 11;
    static final int CMP_RR_8 = FIRST_COMPARE + 12;
    static final int TEST_RR_8 = FIRST_COMPARE + 13;

    // Moves.
    static final int FIRST_MOVE = FIRST_COMPARE + 14;
    static final int MOV_RR_32 = FIRST_MOVE;
    static final int MOV_RR_64 = FIRST_MOVE + 1;
    static final int MOV_RI_32 = FIRST_MOVE + 2;
    static final int MOV_RI_64 = FIRST_MOVE + 3;
    static final int MOV_RM_32 = FIRST_MOVE + 4;
    static final int MOV_RM_64 = FIRST_MOVE + 5;
    static final int MOV_MR_32 = FIRST_MOVE + 6;
    static final int MOV_MR_64 = FIRST_MOVE + 7;
    static final int MOV_MI_32 = FIRST_MOVE + 8;
    static final int MOV_MI_64 = FIRST_MOVE + 9;
    static final int MOV_MR_8 = FIRST_MOVE + 10;
    static final int MOV_MI_8 = FIRST_MOVE + 11;
    static final int MOVZX_R8 = FIRST_MOVE + 12;
    static final int MOVZX_M8 = FIRST_MOVE + 13;
    static final int MOVZX_R16 = FIRST_MOVE + 14;
    static final int MOVZX_M16 = FIRST_MOVE + 15;
    static final int MOVSXD_R = FIRST_MOVE + 16;
    static final int MOVSXD_M = FIRST_MOVE + 17;
    static final int LEA_32 = FIRST_MOVE + 18;
    static final int LEA_64 = FIRST_MOVE + 19;
    static final int PUSH_R = FIRST_MOVE + 20;
    static final int PUSH_I = FIRST_MOVE + 21;
    static final int POP_R = FIRST_MOVE + 22;
    static final int NOP = FIRST_MOVE + 23;

    // Operations on one register, with an immediate count or none: the 32-bit form is even, the 64-bit one follows.
    static final int FIRST_UNARY = FIRST_MOVE + 24;
    static final int INC_32 = FIRST_UNARY;
    static final int INC_64 = FIRST_UNARY + 1;
    static final int DEC_32 = FIRST_UNARY + 2;
    static final int DEC_64 = FIRST_UNARY + 3;
    static final int SHL_32 = FIRST_UNARY + 4;
    static final int SHL_64 = FIRST_UNARY + 5;
    static final int SHR_32 = FIRST_UNARY + 6;
    static final int SHR_64 = FIRST_UNARY + 7;
    static final int SAR_32 = FIRST_UNARY + 8;
    static final int SAR_64 = FIRST_UNARY + 9;
    static final int IMUL_RR_32 = FIRST_UNARY + 10;
    static final int IMUL_RR_64 = FIRST_UNARY + 11;

    // Near branches, in every mode; conditional ones in the order of the condition codes.
    static final int FIRST_BRANCH = FIRST_UNARY + 12;
    static final int JO = FIRST_BRANCH;
    static final int JNO = FIRST_BRANCH + 1;
    static final int JB = FIRST_BRANCH + 2;
    static final int JNB = FIRST_BRANCH + 3;
    static final int JZ = FIRST_BRANCH + 4;
    static final int JNZ = FIRST_BRANCH + 5;
    static final int JBE = FIRST_BRANCH + 6;
    static final int JNBE = FIRST_BRANCH + 7;
    static final int JS = FIRST_BRANCH + 8;
    static final int JNS = FIRST_BRANCH + 9;
    static final int JP = FIRST_BRANCH + 10;
    static final int JNP = FIRST_BRANCH + 11;
    static final int JL = FIRST_BRANCH + 12;
    static final int JNL = FIRST_BRANCH + 13;
    static final int JLE = FIRST_BRANCH + 14;
    static final int JNLE = FIRST_BRANCH + 15;
    static final int JMP_REL = FIRST_BRANCH + 16;
    static final int CALL_REL = FIRST_BRANCH + 17;
    static final int RET = FIRST_BRANCH + 18;

    /** One more than the highest quick form. */
    static final int END = FIRST_BRANCH + 19;

    private static final long OP_MASK = 0xfff;

    private QuickOp() {}

    /**
     * Gives every instruction of a freshly decoded block its quick form, where there is one, in place.
     *
     * @param code {@link Insn#WORDS} longs for each of {@code count} instructions
     * @param mode {@link Mode} that they were decoded in
     */
    public static void quicken(long[] code, int count, int mode) {
        for (int p = 0; p < count * Insn.WORDS; p += Insn.WORDS) {
            code[p] = quick(code[p], mode);
        }
    }

    /** Word 0 with its quick form, or as it is. */
    static long quick(long w0, int mode) {
        int op = Insn.op(w0);
        if (op >= Op.JO && op <= Op.JNLE) {
            return with(w0, FIRST_BRANCH + Op.condition(op));
        }
        boolean memory = (w0 & Insn.MEM) != 0;
        if (memory && !flat(w0, mode)) {
            return w0;
        }
        switch (op) {
            case Op.ADD:
                return alu(w0, 0, memory);
            case Op.SUB:
                return alu(w0, 1, memory);
            case Op.AND:
                return alu(w0, 2, memory);
            case Op.OR:
                return alu(w0, 3, memory);
            case Op.XOR:
                return alu(w0, 4, memory);
            case Op.CMP:
                return memory && Insn.form(w0) != Insn.FORM_R_RM || Insn.size(w0) == 0
                        ? compare(w0, CMP_MR_32, CMP_MI_8, memory)
                        : alu(w0, 5, memory);
            case Op.TEST:
                return memory || Insn.size(w0) == 0 ? compare(w0, TEST_MR_32, TEST_MI_8, memory) : alu(w0, 6, false);
            case Op.MOV:
                return move(w0, memory);
            case Op.MOVZX_8:
                return wide(w0) && (memory || low(Insn.rm(w0))) ? with(w0, memory ? MOVZX_M8 : MOVZX_R8) : w0;
            case Op.MOVZX_16:
                return wide(w0) ? with(w0, memory ? MOVZX_M16 : MOVZX_R16) : w0;
            case Op.MOVSXD:
                return Insn.size(w0) == 3 ? with(w0, memory ? MOVSXD_M : MOVSXD_R) : w0;
            case Op.LEA:
                // Its segment has no part in it, but an address of 32 bits would have.
                return wide(w0) && memory ? with(w0, LEA_32 + wider(w0)) : w0;
            case Op.PUSH:
                return mode != Mode.BITS64 || Insn.size(w0) != 3 || memory
                        ? w0
                        : with(w0, Insn.form(w0) == Insn.FORM_IMM ? PUSH_I : PUSH_R);
            case Op.POP:
                return mode != Mode.BITS64 || Insn.size(w0) != 3 || memory ? w0 : with(w0, POP_R);
            case Op.NOP:
                return with(w0, NOP);
            case Op.INC:
                return unary(w0, INC_32, memory);
            case Op.DEC:
                return unary(w0, DEC_32, memory);
            case Op.SHL:
                return Insn.form(w0) == Insn.FORM_RM_IMM ? unary(w0, SHL_32, memory) : w0;
            case Op.SHR:
                return Insn.form(w0) == Insn.FORM_RM_IMM ? unary(w0, SHR_32, memory) : w0;
            case Op.SAR:
                return Insn.form(w0) == Insn.FORM_RM_IMM ? unary(w0, SAR_32, memory) : w0;
            case Op.IMUL_R:
                return Insn.form(w0) == Insn.FORM_R_RM ? unary(w0, IMUL_RR_32, memory) : w0;
            case Op.JMP_REL:
                return with(w0, JMP_REL);
            case Op.CALL_REL:
                return with(w0, CALL_REL);
            case Op.RET:
                return with(w0, RET);
            default:
                return w0;
        }
    }

    /** For who asks for changes of control flow alone: the operation that a quick form stands for, or NOP where it is none of those. */
    public static int transfer(int op) {
        if (op < FIRST) {
            return op;
        }
        if (op < FIRST_BRANCH) {
            return Op.NOP;
        }
        return switch (op) {
            case JMP_REL -> Op.JMP_REL;
            case CALL_REL -> Op.CALL_REL;
            case RET -> Op.RET;
            default -> Op.JO + op - FIRST_BRANCH;
        };
    }

    private static long with(long w0, int quick) {
        return w0 & ~OP_MASK | quick;
    }

    /** Whether an access in 64-bit mode adds no segment base and wraps its address nowhere. */
    private static boolean flat(long w0, int mode) {
        int segment = Insn.segment(w0);
        return mode == Mode.BITS64 && Insn.addressSize(w0) == 3 && segment < 4 && Insn.form(w0) != Insn.FORM_MOFFS;
    }

    /** Whether the operand has 32 or 64 bits. */
    private static boolean wide(long w0) {
        return Insn.size(w0) == 2 || Insn.size(w0) == 3;
    }

    private static int wider(long w0) {
        return Insn.size(w0) - 2;
    }

    /** Whether a byte register is the low byte of its register. */
    private static boolean low(int register) {
        return register < Insn.HIGH_BYTE;
    }

    private static long alu(long w0, int operation, boolean memory) {
        if (!wide(w0)) {
            return w0;
        }
        int form = Insn.form(w0);
        if (memory) {
            return form == Insn.FORM_R_RM ? with(w0, FIRST_RM + 2 * operation + wider(w0)) : w0;
        }
        return register(w0, FIRST + 4 * operation + wider(w0), FIRST + 4 * operation + 2 + wider(w0));
    }

    /** A form without memory: the destination (or first operand) is rm, the other reg or the immediate. */
    private static long register(long w0, int withRegister, int withImmediate) {
        switch (Insn.form(w0)) {
            case Insn.FORM_RM_R:
                return with(w0, withRegister);
            case Insn.FORM_R_RM:
                return with(Insn.exchanged(w0), withRegister);
            case Insn.FORM_RM_IMM:
                return with(w0, withImmediate);
            default:
                return w0;
        }
    }

    /** CMP and TEST of memory with something, or of bytes. */
    private static long compare(long w0, int first, int ofBytes, boolean memory) {
        boolean immediate = Insn.form(w0) == Insn.FORM_RM_IMM;
        if (memory) {
            if (Insn.size(w0) == 0 && immediate) {
                return with(w0, ofBytes);
            }
            if (!wide(w0)) {
                return w0;
            }
            // TEST's two operands are alike; CMP comes here only with memory first.
            return with(w0, first + (immediate ? 2 : 0) + wider(w0));
        }
        if (!low(Insn.rm(w0)) || !immediate && !low(Insn.reg(w0))) {
            return w0;
        }
        return register(w0, ofBytes + 4, ofBytes + 2);
    }

    private static long move(long w0, boolean memory) {
        int form = Insn.form(w0);
        int size = Insn.size(w0);
        if (!memory) {
            return wide(w0) ? register(w0, MOV_RR_32 + wider(w0), MOV_RI_32 + wider(w0)) : w0;
        }
        if (size == 0) {
            return switch (form) {
                case Insn.FORM_RM_R -> low(Insn.reg(w0)) ? with(w0, MOV_MR_8) : w0;
                case Insn.FORM_RM_IMM -> with(w0, MOV_MI_8);
                default -> w0;
            };
        }
        if (size == 1) {
            return w0;
        }
        return switch (form) {
            case Insn.FORM_R_RM -> with(w0, MOV_RM_32 + wider(w0));
            case Insn.FORM_RM_R -> with(w0, MOV_MR_32 + wider(w0));
            case Insn.FORM_RM_IMM -> with(w0, MOV_MI_32 + wider(w0));
            default -> w0;
        };
    }

    private static long unary(long w0, int quick, boolean memory) {
        return memory || !wide(w0) ? w0 : with(w0, quick + wider(w0));
    }
}
