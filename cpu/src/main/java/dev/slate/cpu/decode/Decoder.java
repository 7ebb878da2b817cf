package dev.slate.cpu.decode;

import dev.slate.cpu.mem.HostMemory;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import org.jspecify.annotations.Nullable;

/**
 * Turns instruction bytes into {@link Block}s, by the instruction table (src/main/isa).
 *
 * <p>As strict as silicon: bytes that are no instruction of the offered feature set, LOCK where it is not allowed, and VEX after a
 * legacy prefix become {@link Op#INVALID}; an instruction of more than {@value #MAX_LENGTH} bytes becomes {@link Op#OVERLONG}. What
 * depends on more than the bytes and {@link Mode} (privilege, CR0, real mode) is the interpreter's to check. Where the makers differ the
 * bytes mean what they mean to AMD, or with {@link Feature#INTEL} to Intel: in 64-bit mode a near branch with an operand-size prefix is
 * 16 bits wide to the one, and to the other 64 as ever.
 *
 * <p>Allocates the block and nothing else. One thread at a time.
 */
public final class Decoder {
    /** Longest instruction, in bytes. */
    public static final int MAX_LENGTH = 15;
    /** Most instructions that a block can have. */
    public static final int MAX_INSTRUCTIONS = 64;

    private static final int PAGE = 4096;

    // A row's key: what of the prefixes, opcode and modrm byte has to fit. The same bits are made
    // from each instruction.
    static final int KEY_REG = 7;
    static final int KEY_REGISTER = 1 << 3;
    static final int KEY_RM_SHIFT = 4;
    /** Mandatory prefix: 0 none, 1 66, 2 F3, 3 F2. */
    static final int KEY_PREFIX_SHIFT = 7;

    static final int KEY_W = 1 << 9;
    static final int KEY_L = 1 << 10;
    static final int KEY_64 = 1 << 11;
    /** REX.B. */
    static final int KEY_B = 1 << 12;
    /** VEX.vvvv (inverted) is not 1111. */
    static final int KEY_VVVV = 1 << 13;

    // A row's word. Bits 0-11 are the operation.
    static final int ROW_SIZE_SHIFT = 12;
    static final int ROW_FORM_SHIFT = 16;
    static final int ROW_IMMEDIATE_SHIFT = 20;
    static final int ROW_FEATURE_SHIFT = 24;
    static final int ROW_UNIT_SHIFT = 30;
    /** 1 segment, 2 control, 3 debug register. */
    static final int ROW_REG_KIND_SHIFT = 33;

    static final int ROW_FIXED_SHIFT = 35;
    static final long ROW_LOCK = 1L << 38;
    static final long ROW_D64 = 1L << 39;
    static final long ROW_REP = 1L << 40;
    static final long ROW_MOD_IGNORED = 1L << 41;
    static final long ROW_VSIB = 1L << 42;
    static final long ROW_END = 1L << 43;
    static final long ROW_REG_BYTE = 1L << 44;
    static final long ROW_RM_BYTE = 1L << 45;
    /** The reg field has no REX bit: MMX and segment registers. */
    static final long ROW_REG_PLAIN = 1L << 46;

    static final long ROW_RM_PLAIN = 1L << 47;
    /** The rm operand is in the opcode's low bits. */
    static final long ROW_RM_OPCODE = 1L << 48;

    static final long ROW_RM_FIXED = 1L << 49;
    static final long ROW_REG_FIXED = 1L << 50;
    static final long ROW_LOCK_CR8 = 1L << 51;
    /** A near branch. */
    static final long ROW_NEAR = 1L << 52;

    // Sizes of a row that depend on prefixes; 0..5 are themselves.
    static final int SIZE_V = 6;
    static final int SIZE_Y = 7;
    static final int SIZE_X = 8;
    static final int SIZE_Z = 9;
    static final int SIZE_M = 10;

    private static final int MAP_0F = 1;
    private static final int MAP_0F38 = 2;
    private static final int MAP_0F3A = 3;
    private static final int MAP_VEX = 3;

    private static final char[] INDEX = DecodeTable.INDEX.toCharArray();
    private static final char[] ROWS = DecodeTable.ROWS.toCharArray();
    private static final int ROW_CHARS = 6;

    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

    // What instruction() says.
    private static final int GO_ON = 0;
    private static final int END = 1;
    private static final int CUT_OFF = 2;

    private final long offered;
    /** One bit for each {@code Insn.UNIT_*} that is there: FCOMI needs both CMOV and an x87 unit. */
    private final int units;

    /** Rows whose operand size the prefix does not change in 64-bit mode have this bit of it. */
    private final long fixed64;

    /** MFENCE is a serializing instruction (APM 2 7.6.4), as on AMD's processors. */
    private final boolean fenceSerializes;

    // The bytes: those before `filled` are in `text`; there are `room` of them in all, from host address `source` on.
    private final byte[] text = new byte[PAGE + 8];
    private long source;
    private int room;
    private int filled;
    private int at;

    private final long[] code = new long[MAX_INSTRUCTIONS * Insn.WORDS];

    // The instruction at hand. The disassembler reads these.
    int mode;
    boolean operandPrefix;
    boolean addressPrefix;
    boolean lock;
    /** 0, 2 for F3 or 3 for F2: the last of them. */
    int repeat;
    /** Segment override, -1 for none. */
    int segmentPrefix;
    /** The REX byte, or one made of the VEX bits; 0 when there is none. */
    int rex;

    boolean vex;
    int vexL;
    int vvvv;
    /** Mandatory prefix by VEX.pp or by the last of F3, F2, else 66. */
    int prefix;

    int map;
    int opcode;
    int modrm;
    boolean hasModrm;
    /** Number of the row that matched, -1 for none. */
    int row;

    int operandSize;
    int addressSize;
    int base;
    int index;
    int scale;
    long displacement;
    int segment;
    long immediate;
    boolean hasSib;
    int displacementBytes;

    /**
     * A decoder for a processor with those features.
     *
     * @param features set of {@link Feature} bits
     */
    public Decoder(long features) {
        offered = features | Feature.bit(Feature.BASE);
        units = 1 << Insn.UNIT_NONE
                | unit(Feature.FPU, Insn.UNIT_X87)
                | unit(Feature.MMX, Insn.UNIT_MMX)
                | unit(Feature.SSE, Insn.UNIT_SSE)
                | unit(Feature.AVX, Insn.UNIT_AVX);
        boolean intel = (features >>> Feature.INTEL & 1) != 0;
        fixed64 = intel ? ROW_NEAR : 0;
        fenceSerializes = !intel;
    }

    private int unit(int feature, int unit) {
        return (int) (offered >>> feature & 1) << unit;
    }

    /**
     * Decodes the block that starts at {@code hva}: up to a block end, {@value #MAX_INSTRUCTIONS} instructions, or the last instruction
     * that lies within the {@code available} bytes.
     *
     * @param available bytes that may be read at {@code hva}, 1..4096: to the end of the page
     * @param mode a {@link Mode}
     * @return the block, or null when the first instruction goes on beyond the available bytes: see {@link #decodeOne}
     */
    public @Nullable Block decode(long hva, int available, int mode) {
        start(hva, available, mode);
        int count = decode(MAX_INSTRUCTIONS);
        return count == 0 ? null : block(count, hva);
    }

    /**
     * Decodes the one instruction that a caller has put together from two pages.
     *
     * @param buffer host address of its bytes
     * @param available how many there are, at least {@value #MAX_LENGTH}
     * @return a block of one instruction with {@code hva} 0
     */
    public Block decodeOne(long buffer, int available, int mode) {
        if (available < MAX_LENGTH) {
            throw new IllegalArgumentException(
                    "an instruction may have " + MAX_LENGTH + " bytes, here are " + available);
        }
        start(buffer, available, mode);
        return block(decode(1), 0);
    }

    /** Decodes one instruction of an array: its fields are then in this object. Returns its length, 0 when it is cut off. */
    int decodeArray(byte[] bytes, int from, int to, int mode) {
        start(0, Math.min(to - from, PAGE), mode);
        System.arraycopy(bytes, from, text, 0, room);
        filled = room;
        return decode(1) == 0 ? 0 : at;
    }

    /** Word {@code i} of the instruction that {@link #decodeArray} decoded. */
    long word(int i) {
        return code[i];
    }

    /** The row word of the row that matched. */
    static long rowWord(int row) {
        int i = row * ROW_CHARS;
        return ROWS[i + 2] | (long) ROWS[i + 3] << 16 | (long) ROWS[i + 4] << 32 | (long) ROWS[i + 5] << 48;
    }

    /** The key bits that the row looks at. */
    static int rowMask(int row) {
        return ROWS[row * ROW_CHARS];
    }

    private void start(long hva, int available, int mode) {
        source = hva;
        room = available;
        filled = 0;
        at = 0;
        this.mode = mode;
    }

    private int decode(int max) {
        int count = 0;
        int result = GO_ON;
        while (result == GO_ON && count < max && at < room) {
            int first = at;
            result = instruction(first, count * Insn.WORDS);
            if (result == CUT_OFF) {
                at = first;
            } else {
                count++;
            }
        }
        return count;
    }

    private Block block(int count, long hva) {
        int length = at;
        long[] words = new long[count * Insn.WORDS];
        System.arraycopy(code, 0, words, 0, words.length);
        long[] bytes = new long[(length + 7) >>> 3];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (long) LONG.get(text, i * 8);
        }
        if ((length & 7) != 0) {
            bytes[bytes.length - 1] &= -1L >>> (8 - (length & 7)) * 8;
        }
        return new Block(words, count, length, hva, mode, bytes);
    }

    // ------------------------------------------------------------------ bytes

    private int next() {
        int i = at++;
        return i < filled ? text[i] & 0xff : fill(i);
    }

    /** Reads on; beyond what there is, zeros, and the check at the instruction's end sees that {@code at} went too far. */
    private int fill(int i) {
        while (filled <= i && filled < room) {
            if (room - filled >= 8) {
                LONG.set(text, filled, HostMemory.get64(source + filled));
                filled += 8;
            } else {
                text[filled] = (byte) HostMemory.get8(source + filled);
                filled++;
            }
        }
        return i < filled ? text[i] & 0xff : 0;
    }

    private int next16() {
        int low = next();
        return low | next() << 8;
    }

    private int next32() {
        int low = next16();
        return low | next16() << 16;
    }

    private long next64() {
        long low = next32() & 0xffff_ffffL;
        return low | (long) next32() << 32;
    }

    // ------------------------------------------------------------------ one instruction

    private int instruction(int first, int out) {
        prefixes(first);
        row = -1;
        if (at - first <= MAX_LENGTH && opcodeAndMap()) {
            hasModrm = false;
            base = Insn.NO_REG;
            index = Insn.NO_REG;
            scale = 0;
            displacement = 0;
            displacementBytes = 0;
            hasSib = false;
            immediate = 0;
            match();
        }
        long word = 0;
        if (row >= 0) {
            word = rowWord(row);
            operands(word);
        }
        int length = at - first;
        if (at > room && room - first < MAX_LENGTH) {
            return CUT_OFF;
        }
        if (length > MAX_LENGTH || row < 0 || !allowed(word)) {
            at = Math.min(at, first + MAX_LENGTH);
            row = -1;
            int op = length > MAX_LENGTH ? Op.OVERLONG : Op.INVALID;
            code[out] = Insn.word0(op, 0, 1, 0, Insn.FORM_NONE, 0, at - first, 0, 0, Insn.NO_REG, Insn.NO_REG, 0, 0);
            code[out + 1] = Insn.word1(0, first);
            code[out + 2] = 0;
            return END;
        }
        emit(word, first, out);
        boolean ends = (word & ROW_END) != 0 || fenceSerializes && Insn.op(code[out]) == Op.MFENCE;
        return ends ? END : GO_ON;
    }

    /** Reads prefixes; the byte after them is in {@code opcode}. */
    private void prefixes(int first) {
        operandPrefix = false;
        addressPrefix = false;
        lock = false;
        repeat = 0;
        segmentPrefix = -1;
        rex = 0;
        vex = false;
        vexL = 0;
        vvvv = 0;
        boolean bits64 = mode == Mode.BITS64;
        while (at - first <= MAX_LENGTH) {
            int b = next();
            int isRex = 0;
            switch (b) {
                case 0x66 -> operandPrefix = true;
                case 0x67 -> addressPrefix = true;
                case 0xf0 -> lock = true;
                case 0xf2 -> repeat = 3;
                case 0xf3 -> repeat = 2;
                case 0x64 -> segmentPrefix = 4;
                case 0x65 -> segmentPrefix = 5;
                case 0x26, 0x2e, 0x36, 0x3e -> {
                    if (!bits64) {
                        segmentPrefix = b >> 3 & 3;
                    }
                }
                default -> {
                    if (!bits64 || (b & 0xf0) != 0x40) {
                        opcode = b;
                        return;
                    }
                    isRex = b;
                }
            }
            // REX counts only directly before the opcode.
            rex = isRex;
        }
    }

    /** Reads the rest of the opcode, or the VEX prefix and the opcode after it. False: no instruction starts like this. */
    private boolean opcodeAndMap() {
        map = 0;
        prefix = repeat != 0 ? repeat : operandPrefix ? 1 : 0;
        if (opcode == 0x0f) {
            map = MAP_0F;
            opcode = next();
            if (opcode == 0x38 || opcode == 0x3a) {
                map = opcode == 0x38 ? MAP_0F38 : MAP_0F3A;
                opcode = next();
            }
            return true;
        }
        if (opcode == 0xc4 || opcode == 0xc5) {
            int b = next();
            if (mode == Mode.BITS64 || b >= 0xc0) {
                return vexPrefix(b);
            }
            at--;
        }
        return true;
    }

    private boolean vexPrefix(int second) {
        int third = second;
        map = MAP_0F + MAP_VEX;
        int bits = ~second >> 5 & 4;
        if (opcode == 0xc4) {
            map = (second & 0x1f) + MAP_VEX;
            third = next();
            bits = ~second >> 5 & 7 | third >> 4 & 8;
        }
        vex = true;
        vexL = third >> 2 & 1;
        vvvv = ~third >> 3 & 15;
        if (operandPrefix || repeat != 0 || lock || rex != 0 || map <= MAP_VEX || map > MAP_0F3A + MAP_VEX) {
            return false;
        }
        prefix = third & 3;
        rex = 0x40 | bits;
        opcode = next();
        return true;
    }

    private void match() {
        int slot = map << 8 | opcode;
        int from = INDEX[slot] & 0x7fff;
        int to = INDEX[slot + 1] & 0x7fff;
        if (from == to) {
            return;
        }
        int key = prefix << KEY_PREFIX_SHIFT;
        if (INDEX[slot] >= 0x8000) {
            hasModrm = true;
            modrm = next();
            key |= modrm >> 3 & 7 | (modrm & 7) << KEY_RM_SHIFT | (modrm >= 0xc0 ? KEY_REGISTER : 0);
        }
        key |= (rex & 8) != 0 ? KEY_W : 0;
        key |= vexL != 0 ? KEY_L : 0;
        key |= mode == Mode.BITS64 ? KEY_64 : 0;
        key |= (rex & 1) != 0 ? KEY_B : 0;
        key |= vvvv != 0 ? KEY_VVVV : 0;
        for (int r = from; r < to; r++) {
            int i = r * ROW_CHARS;
            if ((key & ROWS[i]) == ROWS[i + 1]) {
                long word = rowWord(r);
                int feature = (int) (word >>> ROW_FEATURE_SHIFT) & 63;
                int unit = (int) (word >>> ROW_UNIT_SHIFT) & 7;
                if ((offered >>> feature & units >>> unit & 1) != 0) {
                    row = r;
                    return;
                }
            }
        }
    }

    private void operands(long word) {
        boolean wide = (rex & 8) != 0;
        if (mode == Mode.BITS64) {
            boolean narrow = operandPrefix && (word & fixed64) == 0;
            operandSize = wide ? 3 : narrow ? 1 : (word & ROW_D64) != 0 ? 3 : 2;
            addressSize = addressPrefix ? 2 : 3;
        } else {
            // VEX.W and the extension bits mean nothing outside 64-bit mode.
            rex &= vex ? 8 : 0;
            vvvv &= 7;
            operandSize = operandPrefix == (mode == Mode.BITS32) ? 1 : 2;
            addressSize = addressPrefix == (mode == Mode.BITS32) ? 1 : 2;
        }
        segment = 3;
        boolean relative = false;
        if (hasModrm && modrm < 0xc0 && (word & ROW_MOD_IGNORED) == 0) {
            if (addressSize == 1) {
                memory16();
            } else {
                relative = memory((word & ROW_VSIB) != 0);
            }
        }
        if (segmentPrefix >= 0) {
            segment = segmentPrefix;
        }
        immediate(word);
        if (relative) {
            displacement += at;
        }
    }

    private void memory16() {
        int rm = modrm & 7;
        int mod = modrm >> 6;
        if (mod == 0 && rm == 6) {
            displacement = (short) next16();
            displacementBytes = 2;
            return;
        }
        // BX+SI BX+DI BP+SI BP+DI SI DI BP BX
        base = rm < 4 ? (rm < 2 ? 3 : 5) : rm == 4 ? 6 : rm == 5 ? 7 : rm == 6 ? 5 : 3;
        if (rm < 4) {
            index = 6 + (rm & 1);
        }
        if (base == 5) {
            segment = 2;
        }
        displacementBytes = mod;
        displacement = mod == 1 ? (byte) next() : mod == 2 ? (short) next16() : 0;
    }

    /** The 32- and 64-bit forms. True: the displacement is relative to the end of the instruction. */
    private boolean memory(boolean vectorIndex) {
        int rm = modrm & 7;
        int mod = modrm >> 6;
        hasSib = rm == 4;
        if (hasSib) {
            int sib = next();
            scale = sib >> 6;
            int i = sib >> 3 & 7 | (rex & 2) << 2;
            if (i != 4 || vectorIndex) {
                index = i;
            }
            rm = sib & 7;
        }
        if (rm == 5 && mod == 0) {
            displacement = next32();
            displacementBytes = 4;
            if (hasSib || mode != Mode.BITS64) {
                return false;
            }
            base = Insn.RIP_BASE;
            return true;
        }
        base = rm | (rex & 1) << 3;
        if (base == 4 || base == 5) {
            segment = 2;
        }
        displacementBytes = mod == 1 ? 1 : mod == 2 ? 4 : 0;
        displacement = mod == 1 ? (byte) next() : mod == 2 ? next32() : 0;
        return false;
    }

    private void immediate(long word) {
        switch ((int) (word >>> ROW_IMMEDIATE_SHIFT) & 15) {
            case 0 -> {}
            case 1 -> immediate = next();
            case 2 -> immediate = (byte) next();
            case 3 -> immediate = next16();
            case 4 -> immediate = operandSize == 1 ? (short) next16() : next32();
            case 5 -> immediate = operandSize == 1 ? (short) next16() : operandSize == 2 ? next32() : next64();
            case 6 -> {
                int offset = (byte) next();
                immediate = (long) at + offset;
            }
            case 7 -> {
                int offset = operandSize == 1 ? (short) next16() : next32();
                immediate = at + (long) offset;
            }
            case 8 -> {
                long offset = operandSize == 1 ? next16() : next32() & 0xffff_ffffL;
                immediate = offset | (long) next16() << 32;
            }
            case 9 -> immediate = addressSize == 1 ? next16() : addressSize == 2 ? next32() & 0xffff_ffffL : next64();
            case 10 -> {
                long bytes = next16();
                immediate = bytes | (long) (next() & 31) << 32;
            }
            case 11 -> {
                int length = next();
                immediate = length | next() << 8;
            }
            // A register in the upper four bits, of which outside 64-bit mode three count.
            case 13 -> immediate = next() & (mode == Mode.BITS64 ? 0xff : 0x7f);
            default -> immediate = 1;
        }
    }

    /** Whether LOCK, the register numbers and the form of the address fit the row. */
    private boolean allowed(long word) {
        boolean memory = hasModrm && modrm < 0xc0;
        int reg = modrm >> 3 & 7 | (rex & 4) << 1;
        if (lock) {
            boolean cr8 =
                    (word & ROW_LOCK_CR8) != 0 && reg == 0 && fixed64 == 0 && (offered >>> Feature.CR8_LEGACY & 1) != 0;
            if (!cr8 && ((word & ROW_LOCK) == 0 || !memory)) {
                return false;
            }
        }
        if ((word & ROW_VSIB) != 0) {
            return hasSib && index != reg && index != vvvv && reg != vvvv;
        }
        return switch ((int) (word >>> ROW_REG_KIND_SHIFT) & 3) {
            // CR0, CR2, CR3, CR4, CR8
            case 2 -> (0b1_0001_1101 >> reg & 1) != 0;
            case 3 -> reg < 8;
            default -> true;
        };
    }

    private void emit(long word, int first, int out) {
        boolean wide = (rex & 8) != 0 && mode == Mode.BITS64;
        int size = (int) (word >>> ROW_SIZE_SHIFT) & 15;
        switch (size) {
            case SIZE_V -> size = operandSize;
            case SIZE_Y -> size = wide ? 3 : 2;
            case SIZE_X -> size = 4 + vexL;
            case SIZE_Z -> size = operandSize == 3 ? 2 : operandSize;
            case SIZE_M -> size = mode == Mode.BITS64 ? 3 : 2;
            default -> {}
        }
        int form = (int) (word >>> ROW_FORM_SHIFT) & 15;
        int reg = hasModrm ? modrm >> 3 & 7 | (rex & 4) << 1 : 0;
        int rm = hasModrm ? modrm & 7 | (rex & 1) << 3 : 0;
        if ((word & (ROW_REG_PLAIN | ROW_RM_PLAIN | ROW_RM_OPCODE | ROW_RM_FIXED | ROW_REG_FIXED)) != 0) {
            reg = (word & ROW_REG_FIXED) != 0
                    ? (int) (word >>> ROW_FIXED_SHIFT) & 7
                    : (word & ROW_REG_PLAIN) != 0 ? reg & 7 : reg;
            rm = (word & ROW_RM_FIXED) != 0
                    ? 0
                    : (word & ROW_RM_OPCODE) != 0
                            ? opcode & 7 | (rex & 1) << 3
                            : (word & ROW_RM_PLAIN) != 0 ? rm & 7 : rm;
        }
        if ((word >>> ROW_REG_KIND_SHIFT & 3) == 1) {
            reg &= 7;
        }
        if (lock && (word & ROW_LOCK_CR8) != 0) {
            reg = 8;
        }
        if (rex == 0) {
            // AH, CH, DH, BH
            reg += (word & ROW_REG_BYTE) != 0 && (reg & 28) == 4 ? Insn.HIGH_BYTE - 4 : 0;
            rm += (word & ROW_RM_BYTE) != 0 && (rm & 28) == 4 ? Insn.HIGH_BYTE - 4 : 0;
        }
        long bits = (word >>> ROW_UNIT_SHIFT & 7) << Insn.UNIT_SHIFT;
        bits |= lock && (word & ROW_LOCK) != 0 ? Insn.LOCK : 0;
        if (vex) {
            bits |= Insn.VEX | (wide ? Insn.VEX_W : 0);
        }
        if ((word & ROW_REP) != 0 && repeat != 0) {
            bits |= repeat == 2 ? Insn.REP : Insn.REPNE;
        }
        boolean memory = hasModrm && modrm < 0xc0 && (word & ROW_MOD_IGNORED) == 0;
        if (memory || form == Insn.FORM_MOFFS) {
            bits |= Insn.MEM;
        }
        code[out] = Insn.word0(
                (int) word & 0xfff,
                size,
                addressSize,
                segment,
                form,
                bits,
                at - first,
                reg,
                memory ? 0 : rm,
                base,
                index,
                scale,
                vex ? vvvv : reg);
        code[out + 1] = Insn.word1(displacement, first);
        // The x87 keeps the opcode of what it executed last (SDM 1 8.1.9).
        boolean x87 = (word >>> ROW_UNIT_SHIFT & 7) == Insn.UNIT_X87 && hasModrm;
        code[out + 2] = x87 ? (opcode & 7) << 8 | modrm : immediate;
    }
}
