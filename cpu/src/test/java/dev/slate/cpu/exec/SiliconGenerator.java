package dev.slate.cpu.exec;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Mode;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.decode.RowBytes;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.SplittableRandom;

/**
 * Makes random cases: instructions of the table's rows in turn, registers and memory with values that matter, and addresses that mostly
 * hit the data window, its page's end or a bad place.
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
        0xffa0_0000, 1, 0x8000_0001, 0x007f_ffff, 0x0080_0000, 0x7f7f_ffff, 0xff7f_ffff, 0x4f00_0000, 0xcf00_0000,
        0x4eff_ffff, 0x5f00_0000, 0x3f00_0000, 0x3fc0_0000, 0x4020_0000, 0x4b00_0001
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
    private final RowBytes bytes;
    private final InterpretedCase interpreted;
    private final SiliconComparison comparison;
    private final boolean avx;
    private final byte[] code = new byte[SiliconCase.CODE_BYTES];

    /** Rows by how they are run: {@link SiliconHelper#DIRECT} and so on. */
    private final int[][] rows;

    /** Rows that may stand in sequences. */
    private final int[] sequenceRows;

    private final int[] turn = new int[4];

    /** The row of the case last made; the first one's of a sequence. */
    int row;

    /** @param avx the host and the interpreter have YMM registers to compare */
    SiliconGenerator(
            long seed, RowBytes bytes, InterpretedCase interpreted, SiliconComparison comparison, boolean avx) {
        random = new SplittableRandom(seed);
        this.bytes = bytes;
        this.interpreted = interpreted;
        this.comparison = comparison;
        this.avx = avx;
        List<Integer> direct = new ArrayList<>();
        List<Integer> sequence = new ArrayList<>();
        List<Integer> stepped = new ArrayList<>();
        List<Integer> stepped32 = new ArrayList<>();
        List<Integer> segmented = new ArrayList<>();
        for (int r = 0; r < bytes.count(); r++) {
            int op = bytes.operation(r);
            boolean outside64 = bytes.offered(r, Mode.BITS16, random) || bytes.offered(r, Mode.BITS32, random);
            if (outside64 && (wanted(op) || loadsSegment(op))) {
                segmented.add(r);
                for (int i = usesAddress(op) ? 11 : 0; i > 0; i--) {
                    segmented.add(r);
                }
            }
            if (!wanted(op)) {
                continue;
            }
            if (bytes.offered(r, Mode.BITS64, random)) {
                if (jumps(op)) {
                    stepped.add(r);
                } else {
                    direct.add(r);
                    if (op >= Op.MOVS && op <= Op.SCAS) {
                        stepped.add(r);
                    }
                    if (composable(op)) {
                        sequence.add(r);
                    }
                }
            }
            if (op != Op.POP_SEG && bytes.offered(r, Mode.BITS32, random)) {
                stepped32.add(r);
            }
        }
        rows = new int[][] {ints(direct), ints(stepped), ints(stepped32), ints(segmented)};
        sequenceRows = ints(sequence);
    }

    private static int[] ints(List<Integer> list) {
        return list.stream().mapToInt(i -> i).toArray();
    }

    /** Rows that this compares at all, run in those ways. */
    int rowsCompared(int first, int last) {
        BitSet all = new BitSet();
        for (int how = first; how <= last; how++) {
            for (int r : rows[how]) {
                all.set(r);
            }
        }
        return all.cardinality();
    }

    /** How a case must be run whose operation it is: what may go elsewhere, or set TF, is stepped. */
    private static boolean jumps(int op) {
        return op >= Op.JO && op <= Op.JNLE
                || op >= Op.CALL_REL && op <= Op.RET_IMM
                || op >= Op.LOOPNE && op <= Op.JCXZ
                || op == Op.POPF;
    }

    /** Far transfers and loads of segment registers, but not of SS, which holds the single-step trap off. */
    private static boolean loadsSegment(int op) {
        return op >= Op.CALL_FAR_IMM && op <= Op.IRET || op == Op.POP_SEG || op >= Op.MOV_TO_SEG && op <= Op.LGS;
    }

    /** What touches the stack or forms an address by itself: of these there are to be many cases in segments. */
    private static boolean usesAddress(int op) {
        return switch (op) {
            case Op.PUSH, Op.POP, Op.PUSHA, Op.POPA, Op.PUSHF, Op.POPF, Op.ENTER, Op.LEAVE, Op.PUSH_SEG -> true;
            case Op.MOV_A_MOFFS, Op.MOV_MOFFS_A, Op.XLAT, Op.LEA, Op.MASKMOVQ, Op.MASKMOVDQU, Op.BOUND -> true;
            case Op.FNSTENV, Op.FLDENV, Op.FNSAVE, Op.FRSTOR, Op.FXSAVE, Op.FXRSTOR -> true;
            default -> jumps(op) || loadsSegment(op) || op >= Op.MOVS && op <= Op.SCAS;
        };
    }

    /** What may stand in a sequence: its results are wholly defined. */
    private boolean composable(int op) {
        return !(op >= Op.SHLD && op <= Op.SHRD
                || op == Op.BSWAP
                || op == Op.FPREM
                || op == Op.FPREM1
                || op >= Op.MOVS && op <= Op.SCAS
                || op == Op.ENTER
                || op >= Op.UD0 && op <= Op.UD2
                || op >= Op.FXSAVE && op <= Op.XRSTOR
                // Where no pointers are compared they are not what silicon has.
                || (op == Op.FNSTENV || op == Op.FNSAVE) && !comparison.pointers
                || SiliconComparison.transcendental(op)
                || SiliconComparison.approximate(op));
    }

    /** Whether an operation can be compared: no kernel, no clock, no other privilege, nothing random. */
    private static boolean wanted(int op) {
        return switch (op) {
            case Op.PUSH_SEG, Op.MOV_FROM_SEG, Op.UD0, Op.UD1, Op.UD2, Op.CLFLUSH, Op.CLFLUSHOPT, Op.CLWB -> true;
            case Op.FXSAVE, Op.FXRSTOR, Op.XSAVE, Op.XSAVEC, Op.XRSTOR -> true;
            case Op.RDRAND, Op.RDSEED -> false;
            default -> op > Op.OVERLONG && op < Op.CALL_FAR_IMM || op >= Op.LDMXCSR;
        };
    }

    /** Fills the image, whose code is to be at {@code address}; returns its decoded block. */
    Block next(SiliconCase c, int how, long address) {
        int[] from = rows[how];
        for (; ; ) {
            int mode = how == SiliconHelper.DIRECT || how == SiliconHelper.STEPPED
                    ? Mode.BITS64
                    : how == SiliconHelper.STEPPED_32 || random.nextBoolean() ? Mode.BITS32 : Mode.BITS16;
            boolean segments = how == SiliconHelper.SEGMENTED;
            row = from[turn[how]];
            turn[how] = turn[how] + 1 == from.length ? 0 : turn[how] + 1;
            int length = make(row, mode, 0);
            if (length == 0) {
                continue;
            }
            int instructions = 1;
            if (how == SiliconHelper.DIRECT && random.nextInt(4) == 0 && composable(bytes.operation(row))) {
                int more = 1 + random.nextInt(3);
                for (; more > 0; more--) {
                    int n = make(sequenceRows[random.nextInt(sequenceRows.length)], mode, length);
                    length += n;
                    instructions += n != 0 ? 1 : 0;
                }
            }
            c.code(code, length, instructions);
            Block b = interpreted.decode(c, mode);
            if (b == null || b.count != instructions || unfit(b, segments)) {
                continue;
            }
            if (segments) {
                SiliconSegments.choose(c, mode == Mode.BITS16, address, random);
            } else {
                c.flat();
                c.rip(address);
            }
            state(c, mode);
            claimed = 0;
            patched = false;
            boolean aimed = true;
            for (int i = 0; i < instructions && aimed; i++) {
                aimed = point(c, b, i * Insn.WORDS);
            }
            if (!aimed || how != SiliconHelper.DIRECT && c.gpr(CpuState.RSP) >>> 47 != 0) {
                // Not every kernel comes back from a signal to a stack that is not canonical.
                continue;
            }
            return patched ? interpreted.decode(c, mode) : b;
        }
    }

    private int make(int which, int mode, int at) {
        for (int i = 0; i < 8; i++) {
            int n = bytes.make(which, mode, random, code, at);
            if (n != 0) {
                return n;
            }
        }
        return 0;
    }

    private boolean unfit(Block b, boolean segments) {
        for (int i = 0; i < b.count; i++) {
            long w0 = b.code[i * Insn.WORDS];
            int op = Insn.op(w0);
            boolean segmented = Insn.isMemory(w0) || op >= Op.MOVS && op <= Op.SCAS || op == Op.XLAT;
            if (Insn.segment(w0) >= CpuState.FS && segmented && !segments) {
                return true;
            }
            if ((op == Op.POP_SEG || op == Op.MOV_TO_SEG) && Insn.reg(w0) == CpuState.SS) {
                return true;
            }
            if (op == Op.LOOPE || op == Op.LOOPNE || op == Op.FSTP) {
                if (quirk(op, b, w0)) {
                    return true;
                }
            }
        }
        return b.count > 1 && comparison.readsUndefined(b);
    }

    /** What silicon does and no manual says. */
    private static boolean quirk(int op, Block b, long w0) {
        int first = (int) b.bytes[0] & 0xff;
        if (op == Op.FSTP) {
            // An alias of FSTP that takes no notice of empty registers.
            return !Insn.isMemory(w0) && has(b, 0xd9);
        }
        // With the other one's repeat prefix, AMD's LOOPE and LOOPNE change places.
        return has(b, 0xf2) || has(b, 0xf3) || first == 0xf2;
    }

    private static boolean has(Block b, int value) {
        for (int i = 0; i < b.byteLength; i++) {
            if (((b.bytes[i >> 3] >>> 8 * (i & 7)) & 0xff) == value) {
                return true;
            }
        }
        return false;
    }

    private long integer() {
        int bits = random.nextInt();
        return switch (bits & 7) {
            case 0, 1, 2 -> INTEGERS[(bits >>> 3) % INTEGERS.length];
            case 3 -> bits >>> 3;
            case 4 -> bits >> 24;
            default -> random.nextLong();
        };
    }

    private long vectorWord() {
        int bits = random.nextInt();
        return switch (bits & 7) {
            case 0, 1 -> DOUBLES[(bits >>> 3) % DOUBLES.length];
            case 2, 3 ->
                (long) FLOATS[(bits >>> 3 & 0xfff) % FLOATS.length] << 32
                        | FLOATS[(bits >>> 15) % FLOATS.length] & 0xffff_ffffL;
            case 4 -> Double.doubleToRawLongBits((random.nextDouble() - 0.5) * 2e10);
            case 5 ->
                (long) Float.floatToRawIntBits((float) (random.nextDouble() - 0.5) * 2e6f) << 32
                        | Float.floatToRawIntBits((float) (random.nextDouble() - 0.5) * 2e3f) & 0xffff_ffffL;
            case 6 -> INTEGERS[(bits >>> 3) % INTEGERS.length];
            default -> random.nextLong();
        };
    }

    /** Made now and then: a case's state is one of these, with some of it made anew. */
    private static final int POOL = 2048;

    private final Scratch pool = new Scratch((long) POOL * SiliconCase.IMAGE_BYTES);
    private final SiliconCase entry = new SiliconCase();
    private int made;

    private void state(SiliconCase c, int mode) {
        if (made < POOL) {
            fresh(entry.at(pool.hva() + (long) made * SiliconCase.IMAGE_BYTES));
        } else if ((made & 15) == 0) {
            fresh(entry.at(pool.hva() + (long) random.nextInt(POOL) * SiliconCase.IMAGE_BYTES));
        }
        int bits = random.nextInt();
        long from = pool.hva() + (long) ((bits >>> 1) % Math.min(made + 1, POOL)) * SiliconCase.IMAGE_BYTES;
        made = made == Integer.MAX_VALUE ? POOL : made + 1;
        HostMemory.copy(from, c.at, 128);
        HostMemory.copy(from + SiliconCase.FX, c.at + SiliconCase.FX, SiliconCase.IMAGE_BYTES - SiliconCase.FX);
        for (int i = 0; i < 5; i++) {
            c.gpr(random.nextInt(16), integer());
        }
        if (mode != Mode.BITS64) {
            for (int i = 0; i < 16; i++) {
                c.gpr(i, c.gpr(i) & 0xffff_ffffL);
            }
        }
        bits = random.nextInt();
        c.rflags(0x202 | bits & (0x8d5 | ((bits & 0x3000) == 0 ? 0x400 : 0)));
        for (int i = 0; i < 8; i++) {
            bits = random.nextInt();
            c.fxLong(160 + (bits >>> 8 & 31) * 8, vectorWord());
            if (avx && c.fxLong(576) != 0) {
                c.fxLong(576 + (bits >>> 16 & 31) * 8, vectorWord());
            }
        }
        c.set(SiliconCase.WINDOW_AT + 8 * random.nextInt(32), vectorWord());
        extended(c, 32);
        extended(c, 48);
    }

    private void fresh(SiliconCase c) {
        for (int i = 0; i < 16; i++) {
            c.gpr(i, integer());
        }
        for (int i = 0; i < SiliconCase.WINDOW_BYTES; i += 8) {
            c.set(SiliconCase.WINDOW_AT + i, vectorWord());
        }
        c.fxInt(0, 0x37f);
        int bits = random.nextInt();
        if ((bits & 3) == 0) {
            int fcw = 0x340 | (bits >>> 2 & 3) << 10 | ((bits & 0x70) == 0 ? random.nextInt(64) : 63);
            if ((bits >>> 8) % 3 == 0) {
                fcw = fcw & ~0x300 | ((bits & 128) != 0 ? 0x200 : 0);
            }
            c.fxInt(0, fcw | random.nextInt(8) << 27 | random.nextInt(16) << 24 & 0x4700_0000);
            if (random.nextInt(4) == 0) {
                // Exceptions that wait, where they are not masked.
                int exceptions = random.nextInt(0x80);
                boolean unmasked = (exceptions & ~fcw & 0x3f) != 0;
                c.fxInt(0, c.fxInt(0) | (exceptions | (unmasked ? X87Stack.SUMMARY | X87Stack.BUSY : 0)) << 16);
            }
        }
        int tags = random.nextInt();
        c.fxInt(4, (tags & 3) == 0 ? tags >>> 2 & 0xff : 0xff);
        boolean pointers = comparison.pointers && random.nextBoolean();
        c.fxInt(4, c.fxInt(4) & 0xffff | (pointers ? random.nextInt(0x800) << 16 : 0));
        c.fxLong(8, pointers ? vectorWord() << 16 >> 16 : 0);
        // Of the data pointer AMD's processors have 57 bits.
        c.fxLong(16, !pointers ? 0 : comparison.intel ? vectorWord() : vectorWord() << 7 >> 7);
        for (int i = 0; i < 8; i++) {
            extended(c, 32 + 16 * i);
        }
        int mxcsr = 0x1f80;
        bits = random.nextInt();
        int kind = (bits >>> 16) % 10;
        if (kind < 3) {
            mxcsr |= bits & 0xe07f;
        } else if (kind == 3) {
            mxcsr = bits & 0xffff;
        }
        c.fxInt(24, mxcsr);
        for (int i = 0; i < 256; i += 8) {
            c.fxLong(160 + i, vectorWord());
        }
        boolean upper = avx && (bits & 1 << 20) != 0;
        for (int i = 0; i < 256; i += 8) {
            c.fxLong(576 + i, upper ? vectorWord() : 0);
        }
        c.set(SiliconCase.XSTATE_BV, 7);
        for (int i = 8; i < 64; i += 8) {
            c.set(SiliconCase.XSTATE_BV + i, 0);
        }
    }

    /** An 80-bit value. */
    private void extended(SiliconCase c, int at) {
        int bits = random.nextInt();
        long mantissa = random.nextLong() | Long.MIN_VALUE;
        int exponent = 0x3fff + ((bits >>> 8) % 80 - 40);
        switch (bits & 7) {
            case 0 -> mantissa = Long.MIN_VALUE;
            case 1 -> exponent = (bits >>> 8) % 0x7fff;
            case 2 -> {
                exponent = 0;
                mantissa = (bits & 0x300) == 0 ? 0 : mantissa << 1 >>> (bits >>> 10 & 63);
            }
            case 3 -> {
                exponent = 0x7fff;
                mantissa = (bits & 0x100) != 0 ? Long.MIN_VALUE : mantissa;
            }
            case 4 -> mantissa = Long.MIN_VALUE | mantissa << (bits >>> 10 & 63);
            case 5 -> exponent = 0x3fff + ((bits >>> 8) % 6 - 4);
            default -> {}
        }
        if ((bits & 0x78) == 0) {
            // Unnormals and their like.
            mantissa &= Long.MAX_VALUE;
        }
        c.fxLong(at, mantissa);
        c.fxLong(at + 8, exponent | ((bits & 1 << 30) != 0 ? 0x8000 : 0));
    }

    private long target() {
        int bits = random.nextInt();
        int kind = (bits & 0xff) % 20;
        if (kind < 12) {
            return SiliconCase.DATA + SiliconCase.WINDOW + 16 * ((bits >>> 8 & 0xff) % 12);
        }
        if (kind < 17) {
            return SiliconCase.DATA + SiliconCase.WINDOW + (bits >>> 8 & 0xfff) % 200;
        }
        if (kind < 19) {
            return SiliconCase.DATA + 4096 - (bits >>> 8 & 0xff) % 40;
        }
        return (bits & 0x100) != 0 ? SiliconCase.DATA - (bits >>> 9 & 15) : integer();
    }

    /** Registers that an earlier instruction of the sequence has its address in. */
    private int claimed;

    /** An address in the code has been changed. */
    private boolean patched;

    private void claim(SiliconCase c, int r, long v) {
        if ((claimed >> r & 1) == 0) {
            claimed |= 1 << r;
            c.gpr(r, v);
        }
    }

    /** Points the address registers of an instruction at data. False: it cannot be. */
    private boolean point(SiliconCase c, Block b, int p) {
        long w0 = b.code[p];
        int op = Insn.op(w0);
        if (c.segmented()) {
            return pointSegmented(c, b, p);
        }
        if (p == 0 && random.nextInt(40) != 0) {
            c.gpr(CpuState.RSP, SiliconCase.DATA + SiliconCase.WINDOW + 64 + 8 * random.nextInt(16));
            if (random.nextBoolean()) {
                c.gpr(CpuState.RBP, SiliconCase.DATA + SiliconCase.WINDOW + 64 + 8 * random.nextInt(16));
            }
        }
        if (op >= Op.MOVS && op <= Op.SCAS) {
            c.gpr(CpuState.RSI, target());
            c.gpr(CpuState.RDI, target());
            c.gpr(CpuState.RCX, random.nextInt(random.nextInt(8) == 0 ? 80 : 4));
            return true;
        }
        switch (op) {
            case Op.MASKMOVDQU, Op.MASKMOVQ -> {
                claim(c, CpuState.RDI, target());
                return true;
            }
            case Op.XLAT -> {
                claim(c, CpuState.RBX, target());
                return true;
            }
            case Op.MOV_A_MOFFS, Op.MOV_MOFFS_A -> {
                patched = true;
                int bytes = 1 << Insn.addressSize(w0);
                int at = Insn.offset(b.code[p + 1]) + Insn.length(w0) - bytes;
                long address = target();
                for (int i = 0; i < bytes; i++) {
                    HostMemory.put8(c.at + SiliconCase.CODE_AT + at + i, (int) (address >>> 8 * i));
                }
                return true;
            }
            case Op.XSAVE, Op.XSAVEC, Op.XRSTOR -> {
                // Only what both have: x87, SSE and AVX.
                c.gpr(CpuState.RAX, random.nextInt(8));
                c.gpr(CpuState.RDX, 0);
                claimed |= 1 << CpuState.RAX | 1 << CpuState.RDX;
            }
            default -> {}
        }
        if (!Insn.isMemory(w0)) {
            return true;
        }
        if (op >= Op.BT && op <= Op.BTC && Insn.form(w0) == Insn.FORM_RM_R) {
            claim(c, Insn.reg(w0), random.nextInt(-300, 300));
        }
        return pointMemory(c, b, p, op);
    }

    /** An offset in the segment that a register of the case names. */
    private long offset(SiliconCase c, int seg, int addressSize) {
        return SiliconSegments.offset(c.selector(seg), target(), addressSize, random) & 0xffff_ffffL;
    }

    /** The same in 16- and 32-bit code, whose segments have bases and limits. */
    private boolean pointSegmented(SiliconCase c, Block b, int p) {
        long w0 = b.code[p];
        int op = Insn.op(w0);
        int width = Insn.addressSize(w0);
        int seg = Insn.segment(w0);
        // The upper half of a 16-bit stack's pointer is anything, now and then that of a 32-bit stack, too.
        int stack = random.nextInt(4) == 0 ? 2 : 1;
        c.gpr(CpuState.RSP, offset(c, CpuState.SS, stack));
        c.gpr(CpuState.RBP, offset(c, CpuState.SS, stack));
        if (stack == 1 && random.nextBoolean()) {
            c.gpr(CpuState.RSP, c.gpr(CpuState.RSP) & 0xffff);
        }
        for (int i = 0; i < 3; i++) {
            // Selectors for what is popped.
            HostMemory.put16(c.at + SiliconCase.WINDOW_AT + 2 * random.nextInt(128), SiliconSegments.any(random));
        }
        if (op >= Op.MOVS && op <= Op.SCAS) {
            c.gpr(CpuState.RSI, offset(c, seg, width));
            c.gpr(CpuState.RDI, offset(c, CpuState.ES, width));
            int count = random.nextInt(random.nextInt(8) == 0 ? 80 : 4);
            c.gpr(CpuState.RCX, width == 1 ? count | (long) random.nextInt(0x1_0000) << 16 : count);
            return true;
        }
        switch (op) {
            case Op.LOOP, Op.LOOPE, Op.LOOPNE, Op.JCXZ -> {
                if (random.nextBoolean()) {
                    c.gpr(CpuState.RCX, c.gpr(CpuState.RCX) & (width == 1 ? 0xffff_0000L : 0) | random.nextInt(3));
                }
                return true;
            }
            case Op.MASKMOVDQU, Op.MASKMOVQ -> {
                c.gpr(CpuState.RDI, offset(c, seg, width));
                return true;
            }
            case Op.XLAT -> {
                c.gpr(CpuState.RBX, offset(c, seg, width));
                return true;
            }
            case Op.MOV_A_MOFFS, Op.MOV_MOFFS_A -> {
                patched = true;
                put(c, Insn.length(w0) - (1 << width), 1 << width, offset(c, seg, width));
                return true;
            }
            case Op.CALL_FAR_IMM, Op.JMP_FAR_IMM -> {
                patched = true;
                put(c, Insn.length(w0) - 2, 2, SiliconSegments.any(random));
                return true;
            }
            case Op.MOV_TO_SEG -> {
                if (!Insn.isMemory(w0)) {
                    c.gpr(Insn.rm(w0), c.gpr(Insn.rm(w0)) & 0xffff_0000L | SiliconSegments.any(random));
                    return true;
                }
            }
            default -> {}
        }
        if (!Insn.isMemory(w0) || op >= Op.GATHERDPS && op <= Op.PGATHERQQ) {
            return true;
        }
        if (op >= Op.BT && op <= Op.BTC && Insn.form(w0) == Insn.FORM_RM_R) {
            c.gpr(Insn.reg(w0), random.nextInt(-300, 300) & 0xffff_ffffL);
        }
        long at = offset(c, seg, width);
        if (op >= Op.FXSAVE && op <= Op.XRSTOR) {
            at -= random.nextInt(16) != 0 ? at + SiliconSegments.base(c.selector(seg)) & 63 : 0;
            c.gpr(CpuState.RAX, random.nextInt(8));
            c.gpr(CpuState.RDX, 0);
        }
        int base = Insn.base(w0);
        int index = Insn.index(w0);
        if (op >= Op.XSAVE && op <= Op.XRSTOR && (base == CpuState.RAX || base == CpuState.RDX)) {
            // It would choose components that the interpreter has not.
            return false;
        }
        if (base != Insn.NO_REG && base != index) {
            long rest = Insn.displacement(b.code[p + 1]) + (index == Insn.NO_REG ? 0 : c.gpr(index) << Insn.scale(w0));
            c.gpr(base, at - rest & 0xffff_ffffL);
        }
        return true;
    }

    /** Overwrites bytes of the code. */
    private static void put(SiliconCase c, int at, int bytes, long v) {
        for (int i = 0; i < bytes; i++) {
            HostMemory.put8(c.at + SiliconCase.CODE_AT + at + i, (int) (v >>> 8 * i));
        }
    }

    private boolean pointMemory(SiliconCase c, Block b, int p, int op) {
        long w0 = b.code[p];
        int base = Insn.base(w0);
        int index = Insn.index(w0);
        long displacement = Insn.displacement(b.code[p + 1]);
        long at = target();
        if (op >= Op.FXSAVE && op <= Op.XRSTOR && random.nextInt(16) != 0) {
            at = at & -64L | (random.nextInt(8) == 0 ? 16 : 0);
        }
        if (base == Insn.RIP_BASE) {
            patched = true;
            int end = Insn.offset(b.code[p + 1]) + Insn.length(w0);
            int old = (int) (displacement - end);
            for (int i = Insn.offset(b.code[p + 1]) + 1; i + 4 <= end; i++) {
                if (HostMemory.get32(c.at + SiliconCase.CODE_AT + i) == old) {
                    HostMemory.put32(c.at + SiliconCase.CODE_AT + i, (int) (at - c.rip() - end));
                    return true;
                }
            }
            return false;
        }
        if (op >= Op.GATHERDPS && op <= Op.PGATHERQQ) {
            return pointGather(c, w0, at - displacement);
        }
        if (base != Insn.NO_REG && base != index) {
            long rest = displacement + (index == Insn.NO_REG ? 0 : c.gpr(index) << Insn.scale(w0));
            if (index != Insn.NO_REG) {
                claimed |= 1 << index;
            }
            claim(c, base, mask(at - rest, b.mode));
            return true;
        }
        if (index != Insn.NO_REG && base == Insn.NO_REG) {
            claim(c, index, mask(at - displacement >> Insn.scale(w0), b.mode));
            return true;
        }
        return true;
    }

    private static long mask(long v, int mode) {
        return mode == Mode.BITS64 ? v : v & 0xffff_ffffL;
    }

    /** Indices are small; now and then one is not. */
    private boolean pointGather(SiliconCase c, long w0, long at) {
        int base = Insn.base(w0);
        if (base == Insn.NO_REG) {
            return random.nextInt(8) == 0;
        }
        claim(c, base, at);
        int op = Insn.op(w0);
        boolean dwords = op == Op.GATHERDPS || op == Op.GATHERDPD || op == Op.PGATHERDD || op == Op.PGATHERDQ;
        int index = Insn.index(w0);
        for (int k = 0; k < 4; k++) {
            int offset = (k < 2 ? 160 : 576) + 16 * index + 8 * (k & 1);
            long first = random.nextInt(24) == 0 ? random.nextInt() : random.nextInt(-8, 20);
            long second = random.nextInt(24) == 0 ? random.nextInt() : random.nextInt(-8, 20);
            c.fxLong(offset, dwords ? first & 0xffff_ffffL | second << 32 : first);
        }
        return true;
    }
}
