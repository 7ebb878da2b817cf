package dev.slate.cpu.exec;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import java.util.SplittableRandom;

/**
 * Makes random cases: random bytes that decode to an instruction of user mode, registers and memory with values that matter, and
 * addresses that mostly hit the data window, its page's end or a bad place.
 */
final class SiliconGenerator {
    private static final long[] INTEGERS = {
        0,
        1,
        2,
        3,
        -1,
        -2,
        0x7f,
        0x80,
        0xff,
        0x100,
        0x7fff,
        0x8000,
        0xffff,
        0x7fff_ffffL,
        0x8000_0000L,
        0xffff_ffffL,
        0x1_0000_0000L,
        Long.MAX_VALUE,
        Long.MIN_VALUE,
        0x8080_8080_8080_8080L,
        0x7f7f_7f7f_7f7f_7f7fL,
        63,
        64,
        31,
        32,
        15,
        16
    };
    private static final int[] FLOATS = {
        0, 0x8000_0000, 0x3f80_0000, 0xbf80_0000, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_0001, 0x7f80_0001,
                0xffa0_0000,
        1, 0x8000_0001, 0x007f_ffff, 0x0080_0000, 0x7f7f_ffff, 0xff7f_ffff, 0x4f00_0000, 0xcf00_0000, 0x4eff_ffff,
                0x5f00_0000,
        0x3f00_0000, 0x3fc0_0000, 0x4020_0000, 0x4b00_0001
    };
    private static final long[] DOUBLES = {
        0,
        Long.MIN_VALUE,
        0x3ff0_0000_0000_0000L,
        0xbff0_0000_0000_0000L,
        0x7ff0_0000_0000_0000L,
        0xfff0_0000_0000_0000L,
        0x7ff8_0000_0000_0000L,
        0xfff8_0000_0000_0001L,
        0x7ff0_0000_0000_0001L,
        0xfff4_0000_0000_0000L,
        1,
        0x8000_0000_0000_0001L,
        0x000f_ffff_ffff_ffffL,
        0x0010_0000_0000_0000L,
        0x7fef_ffff_ffff_ffffL,
        0x41df_ffff_ffc0_0000L,
        0x41e0_0000_0000_0000L,
        0xc1e0_0000_0000_0000L,
        0x43e0_0000_0000_0000L,
        0x3fe0_0000_0000_0000L,
        0x3ff8_0000_0000_0000L,
        0x4004_0000_0000_0000L,
        0x47ef_ffff_e000_0000L,
        0x36a0_0000_0000_0000L,
        0x3690_0000_0000_0001L,
        0x4330_0000_0000_0001L
    };

    private final SplittableRandom random;
    private final InterpretedCase interpreted;
    final long[] perOperation = new long[Op.COUNT];
    private long made;

    SiliconGenerator(long seed, InterpretedCase interpreted) {
        random = new SplittableRandom(seed);
        this.interpreted = interpreted;
    }

    /** Fills {@code c}; returns its decoded block. */
    Block next(SiliconCase c) {
        for (; ; ) {
            bytes(c.code);
            Block b = interpreted.decode(c);
            long w0 = b.code[0];
            int op = Insn.op(w0);
            if (!wanted(op, w0)) {
                continue;
            }
            // Rare operations are as interesting as frequent ones.
            if (perOperation[op] > 20 + made / 60 && random.nextInt(64) != 0) {
                continue;
            }
            // With the other one's repeat prefix, AMD's LOOPE and LOOPNE change places; no manual says so.
            if ((op == Op.LOOPE || op == Op.LOOPNE) && (c.has(b.byteLength, 0xf2) || c.has(b.byteLength, 0xf3))) {
                continue;
            }
            // An alias of FSTP that no manual describes, and that takes no notice of empty registers.
            if (op == Op.FSTP && !Insn.isMemory(w0) && c.has(b.byteLength, 0xd9)) {
                continue;
            }
            state(c);
            if (!aim(c, b)) {
                continue;
            }
            made++;
            perOperation[op]++;
            c.rip = b.byteLength;
            return interpreted.decode(c);
        }
    }

    /** Whether an operation can be compared at all: no kernel, no clock, no other privilege, nothing random. */
    private static boolean wanted(int op, long w0) {
        if (op <= Op.OVERLONG
                || op >= Op.CALL_FAR_IMM && op < Op.LDMXCSR && op != Op.PUSH_SEG && op != Op.MOV_FROM_SEG) {
            return false;
        }
        if (op == Op.MOVDIRI || op == Op.RDRAND || op == Op.RDSEED || op == Op.MOV_A_MOFFS || op == Op.MOV_MOFFS_A) {
            return false;
        }
        // To be mended in the instruction table.
        if (op == Op.NOP || op == Op.PAUSE) {
            return false;
        }
        // RSQRT and RCP are approximations that differ between processors; a test of their own bounds them.
        if (op >= Op.RSQRTPS && op <= Op.RCPSS) {
            return false;
        }
        return !(Insn.segment(w0) >= CpuState.FS
                && (Insn.isMemory(w0) || op >= Op.MOVS && op <= Op.SCAS || op == Op.XLAT));
    }

    private void bytes(byte[] to) {
        random.nextBytes(to);
        int n = 0;
        int prefix = random.nextInt(16);
        if (prefix < 3) {
            to[n++] = 0x66;
        } else if (prefix < 5) {
            to[n++] = (byte) 0xf2;
        } else if (prefix < 7) {
            to[n++] = (byte) 0xf3;
        } else if (prefix == 7) {
            to[n++] = (byte) 0xf0;
        } else if (prefix == 8) {
            to[n++] = 0x67;
        }
        if (random.nextInt(24) == 0) {
            to[n++] = 0x66;
        }
        if (random.nextBoolean()) {
            to[n++] = (byte) (0x40 | random.nextInt(16));
        }
        int map = random.nextInt(20);
        if (map < 8) {
            n++;
        } else if (map < 16) {
            to[n++] = 0x0f;
            n++;
        } else if (map == 16) {
            to[n++] = (byte) (0xd8 | random.nextInt(8));
        } else if (map == 17) {
            // VEX, three bytes, for BMI.
            n = 0;
            to[n++] = (byte) 0xc4;
            to[n++] = (byte) (to[n - 1] & 0xe0 | 1 + random.nextInt(3));
            to[n] &= (byte) ~4;
            n += 2;
        } else {
            to[n++] = 0x0f;
            to[n++] = (byte) (map == 18 ? 0x38 : 0x3a);
            n++;
        }
        // A third of the operands in memory through a register, some with a displacement.
        if (random.nextInt(3) == 0) {
            to[n] = (byte) (to[n] & 0x3f | (random.nextInt(3) << 6));
        }
    }

    private long integer() {
        return switch (random.nextInt(6)) {
            case 0, 1 -> INTEGERS[random.nextInt(INTEGERS.length)];
            case 2 -> random.nextLong() >>> 32;
            case 3 -> random.nextInt(256) - 128;
            default -> random.nextLong();
        };
    }

    private long vectorWord() {
        return switch (random.nextInt(8)) {
            case 0, 1 -> DOUBLES[random.nextInt(DOUBLES.length)];
            case 2, 3 ->
                (long) FLOATS[random.nextInt(FLOATS.length)] << 32
                        | FLOATS[random.nextInt(FLOATS.length)] & 0xffff_ffffL;
            case 4 -> Double.doubleToRawLongBits(random.nextDouble(-1e10, 1e10));
            case 5 ->
                (long) Float.floatToRawIntBits((float) random.nextDouble(-1e6, 1e6)) << 32
                        | Float.floatToRawIntBits((float) random.nextDouble(-1e3, 1e3)) & 0xffff_ffffL;
            case 6 -> integer();
            default -> random.nextLong();
        };
    }

    private void state(SiliconCase c) {
        for (int i = 0; i < 16; i++) {
            c.gpr[i] = integer();
        }
        c.rflags = 0x202 | random.nextInt() & (0x8d5 | (random.nextInt(4) == 0 ? 0x400 : 0));
        for (int i = 0; i < SiliconCase.WINDOW_BYTES; i += 8) {
            long v = vectorWord();
            for (int k = 0; k < 8; k++) {
                c.window[i + k] = (byte) (v >>> 8 * k);
            }
        }
        java.util.Arrays.fill(c.fx, (byte) 0);
        c.setFxInt(0, 0x37f);
        if (random.nextInt(4) == 0) {
            c.setFxInt(
                    0,
                    0x340
                            | random.nextInt(4) << 10
                            | (random.nextInt(8) == 0 ? random.nextInt(64) : 63)
                            | random.nextInt(8) << 27
                            | random.nextInt(16) << 24 & 0x4700_0000);
            if (random.nextInt(3) == 0) {
                c.setFxInt(0, c.fxInt(0) & ~0x300 | (random.nextBoolean() ? 0x200 : 0));
            }
        }
        c.fx[4] = (byte) (random.nextInt(3) == 0 ? random.nextInt(256) : 0xff);
        for (int i = 0; i < 8; i++) {
            extended(c, 32 + 16 * i);
        }
        int mxcsr = 0x1f80;
        int kind = random.nextInt(10);
        if (kind < 3) {
            mxcsr |= random.nextInt() & 0xe07f;
        } else if (kind == 3) {
            mxcsr = random.nextInt() & 0xffff;
        }
        c.setFxInt(24, mxcsr);
        for (int i = 0; i < 32; i++) {
            c.setFxLong(160 + 8 * i, vectorWord());
        }
    }

    /** An 80-bit value. */
    private void extended(SiliconCase c, int at) {
        long mantissa = random.nextLong() | Long.MIN_VALUE;
        int exponent = 0x3fff + random.nextInt(-40, 40);
        switch (random.nextInt(8)) {
            case 0 -> mantissa = Long.MIN_VALUE;
            case 1 -> exponent = random.nextInt(0x7fff);
            case 2 -> {
                exponent = 0;
                mantissa = random.nextInt(3) == 0 ? 0 : random.nextLong() >>> random.nextInt(64);
            }
            case 3 -> {
                exponent = 0x7fff;
                mantissa = random.nextBoolean() ? Long.MIN_VALUE : random.nextLong() | Long.MIN_VALUE;
            }
            case 4 -> mantissa = Long.MIN_VALUE | random.nextLong() << random.nextInt(64);
            default -> {}
        }
        c.setFxLong(at, mantissa);
        c.setFxLong(at + 8, exponent | (random.nextBoolean() ? 0x8000 : 0));
    }

    private long target() {
        int kind = random.nextInt(20);
        if (kind < 12) {
            return SiliconCase.DATA + SiliconCase.WINDOW + 16 * random.nextInt(12);
        }
        if (kind < 17) {
            return SiliconCase.DATA + SiliconCase.WINDOW + random.nextInt(200);
        }
        if (kind < 19) {
            return SiliconCase.DATA + 4096 - random.nextInt(20);
        }
        return random.nextBoolean() ? SiliconCase.DATA - random.nextInt(16) : integer();
    }

    /** Points the address registers of the instruction at data. False: it cannot be aimed, or hits the helper's code. */
    private boolean aim(SiliconCase c, Block b) {
        if (!point(c, b)) {
            return false;
        }
        long w0 = b.code[0];
        if (!Insn.isMemory(w0) || Insn.base(w0) == Insn.RIP_BASE) {
            return true;
        }
        long ea = Insn.displacement(b.code[1])
                + (Insn.base(w0) == Insn.NO_REG ? 0 : c.gpr[Insn.base(w0)])
                + (Insn.index(w0) == Insn.NO_REG ? 0 : c.gpr[Insn.index(w0)] << Insn.scale(w0));
        return (ea + 0x1000 & 0xffff_e000L) != (SiliconCase.CODE & 0xffff_e000L);
    }

    private boolean point(SiliconCase c, Block b) {
        long w0 = b.code[0];
        int op = Insn.op(w0);
        if (random.nextInt(40) != 0) {
            c.gpr[CpuState.RSP] = SiliconCase.DATA + SiliconCase.WINDOW + 64 + 8 * random.nextInt(16);
            if (random.nextBoolean()) {
                c.gpr[CpuState.RBP] = SiliconCase.DATA + SiliconCase.WINDOW + 64 + 8 * random.nextInt(16);
            }
        }
        if (op >= Op.MOVS && op <= Op.SCAS) {
            c.gpr[CpuState.RSI] = target();
            c.gpr[CpuState.RDI] = target();
            c.gpr[CpuState.RCX] = random.nextInt(3);
            return true;
        }
        if (op == Op.MASKMOVDQU || op == Op.MASKMOVQ) {
            c.gpr[CpuState.RDI] = target();
            return true;
        }
        if (op == Op.XLAT) {
            c.gpr[CpuState.RBX] = target();
            return true;
        }
        if (!Insn.isMemory(w0)) {
            return true;
        }
        if (op >= Op.BT && op <= Op.BTC && Insn.form(w0) == Insn.FORM_RM_R) {
            c.gpr[Insn.reg(w0)] = random.nextInt(-300, 300);
        }
        int base = Insn.base(w0);
        int index = Insn.index(w0);
        long displacement = Insn.displacement(b.code[1]);
        long at = target();
        if (base == Insn.RIP_BASE) {
            int old = (int) (displacement - b.byteLength);
            for (int i = 1; i + 4 <= b.byteLength; i++) {
                if (c.codeInt(i) == old) {
                    c.setCodeInt(i, (int) (at - SiliconCase.CODE - b.byteLength));
                    return true;
                }
            }
            return false;
        }
        if (base != Insn.NO_REG && base != index) {
            long rest = displacement + (index == Insn.NO_REG ? 0 : c.gpr[index] << Insn.scale(w0));
            c.gpr[base] = at - rest;
            return true;
        }
        if (index != Insn.NO_REG && base == Insn.NO_REG) {
            c.gpr[index] = at - displacement >> Insn.scale(w0);
            return true;
        }
        return base == index && base != Insn.NO_REG;
    }
}
