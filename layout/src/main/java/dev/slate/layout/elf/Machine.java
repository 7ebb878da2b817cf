package dev.slate.layout.elf;

/** What differs between machines: the relocations that debug sections have, and the widest alignment of a scalar. */
final class Machine {
    /** A relocation that a layout does not need: an address, or a difference of addresses. */
    static final int UNNEEDED = 0;

    /** A relocation that is not known. */
    static final int UNKNOWN = -1;

    private static final int SPARC = 2;
    private static final int I386 = 3;
    private static final int M68K = 4;
    private static final int MIPS = 8;
    private static final int HPPA = 15;
    private static final int SPARC32PLUS = 18;
    private static final int PPC = 20;
    private static final int PPC64 = 21;
    private static final int S390 = 22;
    private static final int ARM = 40;
    private static final int SH = 42;
    private static final int SPARCV9 = 43;
    private static final int H8_300 = 46;
    private static final int IA_64 = 50;
    private static final int X86_64 = 62;
    private static final int AVR = 83;
    private static final int OR1K = 92;
    private static final int ARC = 93;
    private static final int XTENSA = 94;
    private static final int MSP430 = 105;
    private static final int HEXAGON = 164;
    private static final int AARCH64 = 183;
    private static final int ARC_V2 = 195;
    private static final int RISCV = 243;
    private static final int LANAI = 244;
    private static final int BPF = 247;
    private static final int CSKY = 252;
    private static final int LOONGARCH = 258;
    private static final int ALPHA = 0x9026;

    private Machine() {}

    /** The widest alignment of a scalar, in bytes, of the Linux ABI (or the only one) of a machine. */
    static long widestAlignment(int machine, boolean wide) {
        return switch (machine) {
            case AVR -> 1;
            case M68K, MSP430 -> 2;
            case I386, SH, OR1K, ARC, ARC_V2, CSKY, H8_300 -> 4;
            case S390, ARM, XTENSA -> 8;
            case MIPS, HPPA, SPARC, SPARC32PLUS -> wide ? 16 : 8;
            default -> 16;
        };
    }

    /** Whether the relocation table says both halves in another order: MIPS of 64 bits has four bytes of type behind the symbol. */
    static boolean mips64(int machine, boolean wide) {
        return machine == MIPS && wide;
    }

    /** Whether only the low byte of the type counts: SPARC of 64 bits keeps an operand above it. */
    static boolean byteType(int machine) {
        return machine == SPARCV9;
    }

    /** Whether a relocation adds to what lies at its place even where its table has an addend. */
    static boolean addsInPlace(int machine) {
        return machine == SH || machine == XTENSA;
    }

    /** Bytes that an absolute relocation writes, {@link #UNNEEDED} or {@link #UNKNOWN}. From the psABI of each machine. */
    static int width(int machine, int type) {
        if (type == 0) return UNNEEDED; // R_*_NONE, everywhere
        return switch (machine) {
            case X86_64 ->
                switch (type) {
                    case 1 -> 8; // R_X86_64_64
                    case 10, 11 -> 4; // R_X86_64_32, R_X86_64_32S
                    case 2, 17, 21, 24 -> UNNEEDED; // PC32, DTPOFF64, DTPOFF32, PC64
                    default -> UNKNOWN;
                };
            case I386 -> plain(type, 1, 2, 32); // R_386_32; PC32, TLS_LDO_32
            case AARCH64 ->
                switch (type) {
                    case 257 -> 8; // R_AARCH64_ABS64
                    case 258 -> 4; // R_AARCH64_ABS32
                    case 256, 260, 261, 1028, 1029 -> UNNEEDED;
                    default -> UNKNOWN;
                };
            case ARM -> plain(type, 2, 3, 106); // R_ARM_ABS32; REL32, TLS_LDO32
            case PPC -> type == 24 ? 4 : plain(type, 1, 26, 78); // ADDR32, UADDR32; REL32, DTPREL32
            case PPC64 ->
                switch (type) {
                    case 38, 43 -> 8; // R_PPC64_ADDR64, UADDR64
                    case 1, 24 -> 4; // R_PPC64_ADDR32, UADDR32
                    case 26, 44, 78 -> UNNEEDED;
                    default -> UNKNOWN;
                };
            case S390 ->
                switch (type) {
                    case 22 -> 8; // R_390_64
                    case 4 -> 4; // R_390_32
                    case 5, 23, 54, 55 -> UNNEEDED;
                    default -> UNKNOWN;
                };
            case RISCV ->
                switch (type) {
                    case 2 -> 8; // R_RISCV_64
                    case 1 -> 4; // R_RISCV_32
                    // Differences of addresses: ADD, SUB, SET and ULEB128 of all widths, RELAX,
                    // ALIGN, 32_PCREL, TLS_DTPREL.
                    case 8, 9, 33, 34, 35, 36, 37, 38, 39, 40, 43, 51, 52, 53, 54, 55, 56, 57, 60, 61 -> UNNEEDED;
                    default -> UNKNOWN;
                };
            case LOONGARCH ->
                switch (type) {
                    case 2 -> 8; // R_LARCH_64
                    case 1 -> 4; // R_LARCH_32
                    case 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 99, 100, 102, 105, 106, 107, 108 -> UNNEEDED;
                    default -> UNKNOWN;
                };
            case MIPS ->
                switch (type) {
                    case 18 -> 8; // R_MIPS_64
                    case 2 -> 4; // R_MIPS_32
                    case 3, 39, 41, 248 -> UNNEEDED; // REL32, TLS_DTPREL32, TLS_DTPREL64, PC32
                    default -> UNKNOWN;
                };
            case SPARC, SPARC32PLUS, SPARCV9 ->
                switch (type) {
                    case 32, 54 -> 8; // R_SPARC_64, UA64
                    case 3, 23 -> 4; // R_SPARC_32, UA32
                    case 55 -> 2; // UA16
                    case 6, 46, 76, 77 -> UNNEEDED; // DISP32, DISP64, TLS_DTPOFF32, TLS_DTPOFF64
                    default -> UNKNOWN;
                };
            case ALPHA ->
                switch (type) {
                    case 2 -> 8; // R_ALPHA_REFQUAD
                    case 1 -> 4; // R_ALPHA_REFLONG
                    case 9, 10, 11, 32, 33 -> UNNEEDED; // SREL16 to 64, DTPREL
                    default -> UNKNOWN;
                };
            case HPPA ->
                switch (type) {
                    case 80 -> 8; // R_PARISC_DIR64
                    case 1, 65 -> 4; // R_PARISC_DIR32, SECREL32
                    case 9, 49, 72, 73, 242, 246 -> UNNEEDED; // PCREL32, SEGREL32, TLS_DTPOFF32, TLS_DTPOFF64
                    default -> UNKNOWN;
                };
            case IA_64 ->
                switch (type) {
                    case 0x26, 0x27, 0x66, 0x67 -> 8; // DIR64MSB, DIR64LSB, SECREL64
                    case 0x24, 0x25, 0x64, 0x65 -> 4; // DIR32MSB, DIR32LSB, SECREL32
                    case 0x4c, 0x4d, 0x4e, 0x4f, 0xb6, 0xb7 -> UNNEEDED;
                    default -> UNKNOWN;
                };
            case M68K -> plain(type, 1, 4, 31); // R_68K_32; PC32, TLS_LDO32
            case SH -> plain(type, 1, 2, 146); // R_SH_DIR32; REL32, TLS_LDO_32
            case OR1K -> type == 2 ? 2 : plain(type, 1, 9, 9); // R_OR1K_32, 16; 32_PCREL
            case XTENSA ->
                switch (type) {
                    case 1 -> 4; // R_XTENSA_32
                    case 17, 18, 19, 14, 52, 57, 58, 59, 60, 61, 62 ->
                        UNNEEDED; // DIFF, PDIFF, NDIFF, 32_PCREL, TLS_DTPOFF
                    default -> UNKNOWN;
                };
            case AVR ->
                switch (type) {
                    case 1 -> 4; // R_AVR_32
                    case 4 -> 2; // R_AVR_16
                    case 26 -> 1; // R_AVR_8
                    case 5, 30, 31, 32, 36 -> UNNEEDED; // 16_PM, DIFF8 to DIFF32, 32_PCREL
                    default -> UNKNOWN;
                };
            case MSP430 ->
                switch (type) {
                    case 1 -> 4; // R_MSP430_32, R_MSP430_ABS32
                    case 2, 3, 5 -> 2; // R_MSP430_ABS16, 16, 16_BYTE
                    case 10, 11, 12, 21, 22, 23 -> UNNEEDED; // SYM_DIFF, SET_ULEB128, SUB_ULEB128 of both ABIs
                    default -> UNKNOWN;
                };
            case ARC, ARC_V2 -> type == 2 ? 2 : plain(type, 4, 49, 70); // R_ARC_32, 16; PC32, TLS_DTPOFF
            case HEXAGON -> plain(type, 6, 31, 31); // R_HEX_32; 32_PCREL
            case LANAI -> plain(type, 4, 4, 4); // R_LANAI_32
            case CSKY -> plain(type, 1, 9, 9); // R_CKCORE_ADDR32; PCREL32
            case H8_300 ->
                switch (type) {
                    case 1, 63 -> 4; // R_H8_DIR32, DIR32A16
                    case 17 -> 2; // R_H8_DIR16
                    default -> UNKNOWN;
                };
            case BPF ->
                switch (type) {
                    case 1, 2 -> 8; // R_BPF_64_64, ABS64
                    case 3, 4 -> 4; // ABS32, NODYLD32
                    case 10 -> UNNEEDED; // R_BPF_64_32: a call
                    default -> UNKNOWN;
                };
            default -> UNKNOWN;
        };
    }

    private static int plain(int type, int word, int relative, int local) {
        return type == word ? 4 : type == relative || type == local ? UNNEEDED : UNKNOWN;
    }
}
