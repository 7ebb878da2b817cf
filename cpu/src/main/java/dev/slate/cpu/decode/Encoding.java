package dev.slate.cpu.decode;

import org.jspecify.annotations.Nullable;

/**
 * One instruction of 64-bit code taken apart into the fields of its encoding, for who writes it anew with other registers: the
 * decoder's own reading of the bytes and the operands of the row that matched.
 *
 * <p>Valid until the next {@link #read}. One thread at a time.
 */
public final class Encoding {
    /** Number of rows. */
    public static final int ROWS = DecodeText.ROWS.length;

    private static final @Nullable String[] OPERANDS = new String[ROWS];

    private final Decoder decoder;

    /** The row that matched. */
    public int row;

    /** The row's operands in the letters of encodings.isa, separated by commas. */
    public String operands = "";

    /** Opcode map: 0 one-byte, 1 0F, 2 0F38, 3 0F3A. */
    public int map;

    public int opcode;
    public int modrm;
    public boolean hasModrm;
    public boolean vex;
    /** VEX.pp, or for a legacy encoding 2 for F3 and 3 for F2 where the opcode needs it, else 0. */
    public int mandatory;
    /** The operand-size prefix stands before it, as a mandatory prefix or for its own sake. */
    public boolean operandPrefix;

    /** REX.W or VEX.W. */
    public boolean wide;
    /** VEX.L: 1 for 256 bits. */
    public int vexL;
    /** log2 of the operand size in bytes that prefixes give (1..3). */
    public int operandSize;
    /** How many bytes of immediate it has. */
    public int immediateBytes;
    /** {@link Feature} number that it needs. */
    public int feature;

    private long word0;
    private long word1;
    private long word2;

    /** As an instruction of a processor. @param features {@link Feature} bits of the processor that decoded it */
    public Encoding(long features) {
        decoder = new Decoder(features);
    }

    /** For instructions of the same processor as {@code other}'s. */
    public Encoding(Encoding other) {
        decoder = other.decoder;
    }

    /** Reads the instruction at {@code bytes[from]}; false when there is none before {@code to}. */
    public boolean read(byte[] bytes, int from, int to) {
        Decoder d = decoder;
        if (d.decodeArray(bytes, from, to, Mode.BITS64) == 0 || d.row < 0) {
            return false;
        }
        row = d.row;
        String text = OPERANDS[row];
        if (text == null) {
            String whole = DecodeText.ROWS[row];
            text = whole.substring(whole.indexOf(' ') + 1);
            OPERANDS[row] = text;
        }
        operands = text;
        word0 = d.word(0);
        word1 = d.word(1);
        word2 = d.word(2);
        vex = d.vex;
        map = d.map == 0 ? 0 : d.map <= 3 ? d.map : d.map - 3;
        opcode = d.opcode;
        modrm = d.modrm;
        hasModrm = d.hasModrm;
        boolean needed = vex || (Decoder.rowMask(d.row) >> Decoder.KEY_PREFIX_SHIFT & 3) != 0;
        mandatory = !needed || !vex && d.prefix == 1 ? 0 : d.prefix;
        operandPrefix = d.operandPrefix;
        wide = (d.rex & 8) != 0;
        vexL = d.vexL;
        operandSize = d.operandSize;
        long word = Decoder.rowWord(d.row);
        feature = (int) (word >>> Decoder.ROW_FEATURE_SHIFT) & 63;
        immediateBytes = switch ((int) (word >>> Decoder.ROW_IMMEDIATE_SHIFT) & 15) {
            case 0, 12 -> 0;
            case 1, 2, 6, 13 -> 1;
            case 3, 11 -> 2;
            case 4, 7 -> operandSize == 1 ? 2 : 4;
            case 5 -> operandSize == 1 ? 2 : operandSize == 2 ? 4 : 8;
            default -> 8;
        };
        return true;
    }

    /** Word {@code i} (0..2) of its flat form, {@link Insn}; what is relative is relative to this instruction's first byte. */
    public long word(int i) {
        return i == 0 ? word0 : i == 1 ? word1 : word2;
    }

    /** log2 of the bytes that an operand of a size letter has; -1 for letters that say none. */
    public int size(String letter) {
        return switch (letter) {
            case "b" -> 0;
            case "w" -> 1;
            case "d", "ss" -> 2;
            case "q", "sd" -> 3;
            case "dq", "o" -> 4;
            case "qq" -> 5;
            case "v" -> operandSize;
            case "z" -> Math.min(operandSize, 2);
            case "y" -> wide ? 3 : 2;
            case "m" -> 3;
            case "x", "ps", "pd" -> 4 + vexL;
            default -> -1;
        };
    }
}
