package dev.slate.cpu.decode;

/**
 * The flat form of a decoded instruction: {@value #WORDS} longs in a {@link Block}'s code array.
 *
 * <pre>
 * word 0  bits  0-11 operation ({@link Op})
 *               12-14 operand size, log2 of bytes (0..3; vector operations carry 4 for 16 bytes, 5 for 32)
 *               15-16 address size, log2 of bytes (1..3)
 *               17-19 segment of the memory operand (0..5: ES CS SS DS FS GS, the override or the default)
 *               20-23 form ({@code FORM_*}): which operands, in which order
 *               24    MEM: the rm operand is memory (base/index/disp); otherwise register number rm
 *               25    LOCK   26 REP (F3)   27 REPNE (F2)   28 VEX (#UD unless in protected mode)   29 VEX.W
 *               30-33 length in bytes (1..15)
 *               34-38 reg   (modrm.reg with REX; segment/control/debug/mask number where the operation says so)
 *               39-43 rm    (register number, when MEM is clear; opcode-embedded registers come here too)
 *               44-48 base  (0..15, {@link #RIP_BASE}, {@link #NO_REG})
 *               49-53 index (0..15, {@link #NO_REG})
 *               54-55 log2 of scale
 *               56-60 vvvv; legacy vector operations repeat reg here, so that the first source is always vvvv
 *               61-63 unit ({@code UNIT_*}): which part of the machine state must be enabled
 *
 *         The condition of Jcc, SETcc and CMOVcc is in the operation: {@link Op#condition}.
 *
 * word 1  bits  0-47 displacement, sign-extended. RIP-relative: base = RIP_BASE, and the displacement already holds the offset of
 *                    the next instruction in the block, so ea = blockRip + disp holds for any rip that the block is entered at.
 *               48-63 offset of this instruction from the block's first byte (0..4095)
 * word 2  x87 instructions: their 11-bit opcode (SDM 1 8.1.9). Others: immediate, sign- or zero-extended as the instruction says; relative branches hold the target's offset from the BLOCK's
 *         first byte, so target = blockRip + imm (then masked to the operand size); moffs forms hold the 64-bit offset; ENTER, far
 *         pointers: low 32 (offset) | selector or nesting level &lt;&lt; 32.
 * </pre>
 *
 * Byte registers: with a REX prefix, or numbers 0..3 and 8..15, a register number means its low byte; AH, CH, DH, BH are numbers
 * {@link #HIGH_BYTE} + 0..3 (fields are five bits wide for this). Only operands of size 0 can carry them.
 */
public final class Insn {
    public static final int WORDS = 3;

    /** Pseudo-register: the rip of the block's first byte. Index into {@code CpuState.gpr}. */
    public static final int RIP_BASE = 16;
    /** Pseudo-register that always reads zero. Index into {@code CpuState.gpr}. */
    public static final int NO_REG = 17;
    /** AH, CH, DH, BH are this plus 0..3. */
    public static final int HIGH_BYTE = 20;

    // Forms. "RM" is the modrm.rm operand (or an opcode-embedded/implied accumulator register), "R" is modrm.reg.
    public static final int FORM_NONE = 0;
    public static final int FORM_RM = 1;
    public static final int FORM_RM_R = 2;
    public static final int FORM_R_RM = 3;
    public static final int FORM_RM_IMM = 4;
    public static final int FORM_R_RM_IMM = 5;
    public static final int FORM_RM_R_IMM = 6;
    public static final int FORM_RM_CL = 7;
    public static final int FORM_RM_R_CL = 8;
    public static final int FORM_IMM = 9;
    /** A register read or written without any rm operand (MOV moffs: the accumulator is reg, imm the offset, MEM is set). */
    public static final int FORM_MOFFS = 10;
    /** Three-operand VEX forms: R, vvvv, RM (and an immediate when the operation has one). */
    public static final int FORM_R_V_RM = 11;

    public static final int FORM_RM_V_R = 12;
    public static final int FORM_R_RM_V = 13;
    /** VEX forms whose destination is vvvv and whose source is RM (and an immediate when the operation has one). */
    public static final int FORM_V_RM = 14;

    // Units. NONE needs nothing; X87 and MMX are #NM or #UD by CR0.EM and CR0.TS; SSE by CR0.EM, CR0.TS and
    // CR4.OSFXSR; AVX by CR0.TS, CR4.OSXSAVE and XCR0, and #UD outside protected mode.
    public static final int UNIT_NONE = 0;
    public static final int UNIT_X87 = 1;
    public static final int UNIT_MMX = 2;
    public static final int UNIT_SSE = 3;
    public static final int UNIT_AVX = 4;

    private static final int SIZE_SHIFT = 12;
    private static final int ADDR_SHIFT = 15;
    private static final int SEG_SHIFT = 17;
    private static final int FORM_SHIFT = 20;
    private static final int LENGTH_SHIFT = 30;
    private static final int REG_SHIFT = 34;
    private static final int RM_SHIFT = 39;
    private static final int BASE_SHIFT = 44;
    private static final int INDEX_SHIFT = 49;
    private static final int SCALE_SHIFT = 54;
    private static final int VVVV_SHIFT = 56;
    static final int UNIT_SHIFT = 61;

    public static final long MEM = 1L << 24;
    public static final long LOCK = 1L << 25;
    public static final long REP = 1L << 26;
    public static final long REPNE = 1L << 27;
    public static final long VEX = 1L << 28;
    public static final long VEX_W = 1L << 29;

    private Insn() {}

    /** {@link Op}. */
    public static int op(long w0) {
        return (int) w0 & 0xfff;
    }

    /** log2 of the operand size in bytes. */
    public static int size(long w0) {
        return (int) (w0 >>> SIZE_SHIFT) & 7;
    }

    /** log2 of the address size in bytes. */
    public static int addressSize(long w0) {
        return (int) (w0 >>> ADDR_SHIFT) & 3;
    }

    /** Segment register of the memory operand. */
    public static int segment(long w0) {
        return (int) (w0 >>> SEG_SHIFT) & 7;
    }

    /** {@code FORM_*}. */
    public static int form(long w0) {
        return (int) (w0 >>> FORM_SHIFT) & 15;
    }

    /** Whether modrm names memory. */
    public static boolean isMemory(long w0) {
        return (w0 & MEM) != 0;
    }

    /** Bytes of the instruction, 1..15. */
    public static int length(long w0) {
        return (int) (w0 >>> LENGTH_SHIFT) & 15;
    }

    /** Register of modrm.reg, or of the opcode. */
    public static int reg(long w0) {
        return (int) (w0 >>> REG_SHIFT) & 31;
    }

    /** Register of modrm.rm. */
    public static int rm(long w0) {
        return (int) (w0 >>> RM_SHIFT) & 31;
    }

    /** Base register of the memory operand. */
    public static int base(long w0) {
        return (int) (w0 >>> BASE_SHIFT) & 31;
    }

    /** Index register of the memory operand. */
    public static int index(long w0) {
        return (int) (w0 >>> INDEX_SHIFT) & 31;
    }

    /** log2 of what the index is multiplied by. */
    public static int scale(long w0) {
        return (int) (w0 >>> SCALE_SHIFT) & 3;
    }

    /** {@code UNIT_*}. */
    public static int unit(long w0) {
        return (int) (w0 >>> UNIT_SHIFT);
    }

    /** Register of VEX.vvvv. */
    public static int vvvv(long w0) {
        return (int) (w0 >>> VVVV_SHIFT) & 31;
    }

    /** The displacement, sign-extended to 64 bits. */
    public static long displacement(long w1) {
        return w1 << 16 >> 16;
    }

    /** Offset of this instruction from the block's first byte. */
    public static int offset(long w1) {
        return (int) (w1 >>> 48);
    }

    /** Word 0 of a {@link #FORM_R_RM} instruction without memory, with its two registers the other way round: {@link #FORM_RM_R}. */
    public static long exchanged(long w0) {
        long others = w0 & ~(15L << FORM_SHIFT | 31L << REG_SHIFT | 31L << RM_SHIFT);
        return others | (long) FORM_RM_R << FORM_SHIFT | (long) rm(w0) << REG_SHIFT | (long) reg(w0) << RM_SHIFT;
    }

    /** Builds word 0. */
    public static long word0(
            int op,
            int size,
            int addressSize,
            int segment,
            int form,
            long bits,
            int length,
            int reg,
            int rm,
            int base,
            int index,
            int scale,
            int vvvv) {
        return op
                | (long) size << SIZE_SHIFT
                | (long) addressSize << ADDR_SHIFT
                | (long) segment << SEG_SHIFT
                | (long) form << FORM_SHIFT
                | bits
                | (long) length << LENGTH_SHIFT
                | (long) reg << REG_SHIFT
                | (long) rm << RM_SHIFT
                | (long) base << BASE_SHIFT
                | (long) index << INDEX_SHIFT
                | (long) scale << SCALE_SHIFT
                | (long) vvvv << VVVV_SHIFT;
    }

    /** Builds word 1. */
    public static long word1(long displacement, int offset) {
        return displacement & 0xffff_ffff_ffffL | (long) offset << 48;
    }
}
