package dev.slate.kvm.io;

import dev.slate.cpu.decode.Mode;

/**
 * The instructions with an operand in memory that the emulator of KVM 6.1 carries out, by opcode: what KVM does for a guest on MMIO and on
 * writes to read-only slots. Everything else ends there in an internal error. Where the emulator knows an opcode but cannot reach MMIO with
 * it (SGDT, LGDT, FXSAVE and their like), it counts as unknown.
 */
public final class EmulatorOpcodes {
    private static final int NO_PREFIX = 1;
    private static final int PREFIX_66 = 1 << 1;
    private static final int PREFIX_F2 = 1 << 2;
    private static final int PREFIX_F3 = 1 << 3;
    private static final int ANY = 15;

    private EmulatorOpcodes() {}

    /**
     * Whether KVM's emulator knows a valid instruction.
     *
     * @param bytes its bytes
     * @param count how many they are
     * @param mode64 64-bit mode
     * @param codeMode {@link Mode}
     */
    public static boolean know(byte[] bytes, int count, boolean mode64, int codeMode) {
        int at = 0;
        int repeat = 0;
        boolean operandSize = false;
        boolean wide = false;
        int b = 0;
        for (; at < count; at++) {
            b = bytes[at] & 0xff;
            if (b == 0x66) {
                operandSize = true;
            } else if (b == 0xf2 || b == 0xf3) {
                repeat = b;
            } else if (mode64 && (b & 0xf0) == 0x40) {
                wide = (b & 8) != 0;
                continue;
            } else if (b != 0x67 && b != 0xf0 && b != 0x2e && b != 0x36 && b != 0x3e && b != 0x26 && b != 0x64
                    && b != 0x65) {
                break;
            }
            wide = false;
        }
        int next = at + 1 < count ? bytes[at + 1] & 0xff : 0;
        if (b != 0x0f) {
            return oneByte(b, next, codeMode);
        }
        int modrm = at + 2 < count ? bytes[at + 2] & 0xff : 0;
        // KVM takes 66 for the mandatory prefix before a repeat prefix, and refuses both together.
        int prefix = operandSize
                ? repeat == 0 ? PREFIX_66 : 0
                : repeat == 0 ? NO_PREFIX : repeat == 0xf2 ? PREFIX_F2 : PREFIX_F3;
        if (next == 0x38) {
            // MOVBE, which with an operand-size prefix is another table's row, and empty.
            return (modrm & 0xfe) == 0xf0 && prefix == NO_PREFIX;
        }
        return twoByte(next, modrm >>> 3 & 7, prefix, wide);
    }

    private static boolean oneByte(int opcode, int modrm, int codeMode) {
        int reg = modrm >>> 3 & 7;
        return switch (opcode) {
            // BOUND, or EVEX.
            case 0x62 -> false;
            // LES and LDS, or VEX.
            case 0xc4, 0xc5 -> codeMode != Mode.BITS64 && modrm < 0xc0;
            // MOVSXD, else ARPL.
            case 0x63 -> codeMode == Mode.BITS64;
            // Of the x87, FNSTCW and FNSTSW.
            case 0xd9, 0xdd -> reg == 7;
            case 0xd8, 0xda, 0xdb, 0xdc, 0xde, 0xdf -> false;
            case 0xfe -> reg < 2;
            case 0xff -> reg < 7;
            default -> true;
        };
    }

    private static boolean twoByte(int opcode, int reg, int prefix, boolean wide) {
        int allowed = switch (opcode) {
            // SLDT, STR, LLDT, LTR; SMSW, LMSW.
            case 0x00 -> reg < 4 ? ANY : 0;
            case 0x01 -> reg == 4 || reg == 6 ? ANY : 0;
            // MOVUPS, MOVUPD, MOVAPS, MOVAPD, MOVNTPS, MOVNTPD.
            case 0x10, 0x11, 0x28, 0x29, 0x2b -> NO_PREFIX | PREFIX_66;
            // MOVQ of MMX, MOVDQA, MOVDQU; MOVNTDQ.
            case 0x6f, 0x7f -> NO_PREFIX | PREFIX_66 | PREFIX_F3;
            case 0xe7 -> PREFIX_66;
            // PUSH and POP of FS and GS, bits, double shifts, CMPXCHG, far pointers, MOVZX, MOVSX, BSF and BSR (LZCNT
            // and TZCNT, too).
            case 0xa0, 0xa1, 0xa3, 0xa4, 0xa5, 0xa8, 0xa9, 0xab, 0xac, 0xad, 0xaf -> ANY;
            case 0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf -> ANY;
            // CLFLUSH, CLFLUSHOPT.
            case 0xae -> reg == 7 ? NO_PREFIX | PREFIX_66 : 0;
            case 0xba -> reg >= 4 ? ANY : 0;
            // XADD, MOVNTI, CMPXCHG8B.
            case 0xc0, 0xc1, 0xc3 -> ANY;
            case 0xc7 -> reg == 1 && !wide ? ANY : 0;
            default -> (opcode & 0xf0) == 0x40 || (opcode & 0xf0) == 0x90 ? ANY : 0;
        };
        return (allowed & prefix) != 0 || allowed == ANY;
    }
}
