package dev.slate.cpu.exec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Mode;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Floating-point instructions against GNU MPFR, which has an origin of its own and runs on any host: results and the exception flags of
 * all roundings, precisions and sizes, denormals and overflows included. Transcendental ones are within the range that needs no reduction,
 * where Slate promises the correctly rounded result. NaN operands are silicon's affair ({@link SiliconTest}).
 *
 * <p>{@code slate.float.cases} is the number of cases of each instruction, {@code slate.float.seed} the seed.
 */
final class FloatOracleTest {
    private static final int USUAL = 20_000;
    private static final int CASES = Integer.getInteger("slate.float.cases", USUAL);
    /** The build's own cases are the same every time; whoever asks for a number of cases gets fresh ones. */
    private static final long SEED = Long.getLong("slate.float.seed", CASES == USUAL ? 23 : System.nanoTime());

    private static final int QUESTION_BYTES = 64;
    private static final int ANSWER_BYTES = 24;
    private static final int BATCH = 1000;

    private static final long DATA = SiliconCase.DATA + SiliconCase.WINDOW;
    /** Invalid, divide by zero, overflow, underflow, precision: in MXCSR and in the x87 status word. */
    private static final int FLAGS = 0x3d;

    private static final int SIGN_80 = 0x8000;

    /** What is computed, with the oracle's numbers. */
    private enum Operation {
        ADD(0),
        SUB(1),
        MUL(2),
        DIV(3),
        SQRT(4),
        FMA(5),
        TO_FORMAT(6),
        TO_INT32(7),
        TO_INT64(8),
        FROM_INT64(9),
        RINT(10),
        EXP2M1(11),
        YLOG2X(12),
        YLOG2XP1(13),
        ATAN2(14),
        SIN(15),
        COS(16),
        TAN(17);

        private final int number;

        Operation(int number) {
            this.number = number;
        }
    }

    /** Where an instruction leaves its result. */
    private enum Result {
        ST0,
        ST1,
        XMM0,
        RAX,
        MEMORY
    }

    /** Instructions: operands are ST0 and ST1, or XMM0 to XMM2 as the oracle has them in turn, or RAX. */
    enum Instruction {
        FADD("d8c1", Operation.ADD, 80, 80, Result.ST0),
        FSUB("d8e1", Operation.SUB, 80, 80, Result.ST0),
        FMUL("d8c9", Operation.MUL, 80, 80, Result.ST0),
        FDIV("d8f1", Operation.DIV, 80, 80, Result.ST0),
        FSQRT("d9fa", Operation.SQRT, 80, 80, Result.ST0),
        FRNDINT("d9fc", Operation.RINT, 80, 80, Result.ST0),
        FST_M32("d910", Operation.TO_FORMAT, 80, 32, Result.MEMORY),
        FST_M64("dd10", Operation.TO_FORMAT, 80, 64, Result.MEMORY),
        FIST_M32("db10", Operation.TO_INT32, 80, 32, Result.MEMORY),
        FISTP_M64("df38", Operation.TO_INT64, 80, 64, Result.MEMORY),
        F2XM1("d9f0", Operation.EXP2M1, 80, 80, Result.ST0),
        FYL2X("d9f1", Operation.YLOG2X, 80, 80, Result.ST0),
        FYL2XP1("d9f9", Operation.YLOG2XP1, 80, 80, Result.ST0),
        FPATAN("d9f3", Operation.ATAN2, 80, 80, Result.ST0),
        FSIN("d9fe", Operation.SIN, 80, 80, Result.ST0),
        FCOS("d9ff", Operation.COS, 80, 80, Result.ST0),
        FPTAN("d9f2", Operation.TAN, 80, 80, Result.ST1),
        ADDSS("f30f58c1", Operation.ADD, 32, 32, Result.XMM0),
        ADDSD("f20f58c1", Operation.ADD, 64, 64, Result.XMM0),
        SUBSS("f30f5cc1", Operation.SUB, 32, 32, Result.XMM0),
        SUBSD("f20f5cc1", Operation.SUB, 64, 64, Result.XMM0),
        MULSS("f30f59c1", Operation.MUL, 32, 32, Result.XMM0),
        MULSD("f20f59c1", Operation.MUL, 64, 64, Result.XMM0),
        DIVSS("f30f5ec1", Operation.DIV, 32, 32, Result.XMM0),
        DIVSD("f20f5ec1", Operation.DIV, 64, 64, Result.XMM0),
        SQRTSS("f30f51c0", Operation.SQRT, 32, 32, Result.XMM0),
        SQRTSD("f20f51c0", Operation.SQRT, 64, 64, Result.XMM0),
        CVTSD2SS("f20f5ac0", Operation.TO_FORMAT, 64, 32, Result.XMM0),
        CVTSS2SD("f30f5ac0", Operation.TO_FORMAT, 32, 64, Result.XMM0),
        CVTSS2SI_R32("f30f2dc0", Operation.TO_INT32, 32, 32, Result.RAX),
        CVTSS2SI_R64("f3480f2dc0", Operation.TO_INT64, 32, 64, Result.RAX),
        CVTSD2SI_R32("f20f2dc0", Operation.TO_INT32, 64, 32, Result.RAX),
        CVTSD2SI_R64("f2480f2dc0", Operation.TO_INT64, 64, 64, Result.RAX),
        CVTSI2SS("f3480f2ac0", Operation.FROM_INT64, 0, 32, Result.XMM0),
        CVTSI2SD("f2480f2ac0", Operation.FROM_INT64, 0, 64, Result.XMM0),
        ROUNDSS("660f3a0ac004", Operation.RINT, 32, 32, Result.XMM0),
        ROUNDSD("660f3a0bc004", Operation.RINT, 64, 64, Result.XMM0),
        /** XMM0 = XMM1 * XMM0 + XMM2. */
        VFMADD213SS("c4e271a9c2", Operation.FMA, 32, 32, Result.XMM0),
        VFMADD213SD("c4e2f1a9c2", Operation.FMA, 64, 64, Result.XMM0);

        private final byte[] code;
        private final Operation operation;
        private final int from;
        private final int to;
        private final Result result;

        Instruction(String code, Operation operation, int from, int to, Result result) {
            this.code = HexFormat.of().parseHex(code);
            this.operation = operation;
            this.from = from;
            this.to = to;
            this.result = result;
        }

        boolean x87() {
            return from == 80;
        }

        boolean transcendental() {
            return operation.compareTo(Operation.EXP2M1) >= 0;
        }

        /** Whether the result is an integer. */
        boolean integer() {
            return operation == Operation.TO_INT32 || operation == Operation.TO_INT64;
        }

        /** Whether the control word's precision counts. */
        boolean controlled() {
            return operation.compareTo(Operation.SQRT) <= 0 && x87();
        }
    }

    private final Scratch image = new Scratch(SiliconCase.IMAGE_BYTES);
    private final SiliconCase in = new SiliconCase().at(image.hva());
    private final ByteBuffer questions =
            ByteBuffer.allocate(BATCH * QUESTION_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    private final ByteBuffer answers = ByteBuffer.allocate(BATCH * ANSWER_BYTES).order(ByteOrder.LITTLE_ENDIAN);

    private static Path build(Path folder) throws IOException, InterruptedException {
        Path source = Path.of("src/test/native/float-oracle.c");
        if (!Files.exists(source)) {
            source = Path.of("cpu").resolve(source);
        }
        Path binary = folder.resolve("float-oracle");
        boolean built = false;
        try {
            Process cc = new ProcessBuilder("cc", "-O2", "-o", binary.toString(), source.toString(), "-lmpfr", "-lgmp")
                    .redirectErrorStream(true)
                    .start();
            cc.getInputStream().readAllBytes();
            built = cc.waitFor() == 0;
        } catch (IOException e) {
            // No compiler: said below.
        }
        assumeTrue(built, "needs cc and GNU MPFR: apt-get install -y gcc libc6-dev libmpfr-dev");
        return binary;
    }

    @ParameterizedTest
    @EnumSource
    void givesWhatMpfrGives(Instruction instruction, @TempDir Path folder) throws Exception {
        SplittableRandom random = new SplittableRandom(SEED);
        List<String> differences = new ArrayList<>();
        Process oracle = new ProcessBuilder(build(folder).toString(), Integer.toString(BATCH))
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        try (OutputStream to = oracle.getOutputStream();
                DataInputStream from = new DataInputStream(oracle.getInputStream());
                InterpretedCase ours = new InterpretedCase(ImplementedFeatures.COMPLETE, 0)) {
            for (int done = 0; done < CASES && differences.size() < 10; done += BATCH) {
                for (int i = 0; i < BATCH; i++) {
                    ask(instruction, random, i * QUESTION_BYTES);
                }
                to.write(questions.array());
                to.flush();
                from.readFully(answers.array());
                for (int i = 0; i < BATCH; i++) {
                    String difference = compare(instruction, ours, i);
                    if (!difference.isEmpty()) {
                        differences.add(difference);
                    }
                }
            }
        } finally {
            oracle.destroy();
        }
        assertThat(differences).as("MPFR/Slate, slate.float.seed " + SEED).isEmpty();
    }

    private void ask(Instruction instruction, SplittableRandom random, int at) {
        int rounding = instruction.transcendental() ? 0 : random.nextInt(4);
        int bits = instruction.to == 32 ? 24 : instruction.to == 64 ? 53 : 64;
        if (instruction.controlled()) {
            bits = new int[] {24, 53, 64}[random.nextInt(3)];
        }
        questions
                .putInt(at, instruction.operation.number)
                .putInt(at + 4, rounding)
                .putInt(at + 8, instruction.to)
                .putInt(at + 12, bits);
        for (int k = 0; k < 3; k++) {
            int operand = at + 16 + 16 * k;
            questions.putInt(operand + 12, instruction.from);
            if (instruction.transcendental()) {
                bounded(instruction.operation, k, random, operand);
            } else if (instruction.from == 0) {
                questions.putLong(operand, random.nextLong() >> random.nextInt(64));
            } else {
                number(instruction.from, random, operand);
            }
        }
        if (instruction.integer() && random.nextInt(4) == 0) {
            limit(instruction, random, at + 16);
        } else if (random.nextInt(4) == 0 && instruction.from != 0 && !instruction.transcendental()) {
            near(instruction.from, random, at + 16);
        }
    }

    /** Any number that is no NaN: mostly of middling size, and all that is special. */
    private void number(int format, SplittableRandom random, int at) {
        int fraction = format == 32 ? 23 : format == 64 ? 52 : 63;
        int exponents = format == 32 ? 0xff : format == 64 ? 0x7ff : 0x7fff;
        int middle = exponents / 2;
        long significand = switch (random.nextInt(6)) {
            case 0 -> 0;
            case 1 -> -1L << random.nextInt(64);
            case 2 -> -1L >>> random.nextInt(64);
            case 3 -> random.nextLong() << random.nextInt(64);
            default -> random.nextLong();
        };
        int exponent = switch (random.nextInt(10)) {
            case 0 -> 0;
            case 1 -> 1 + random.nextInt(3);
            case 2 -> exponents - 1 - random.nextInt(3);
            case 3 -> exponents;
            case 4 -> random.nextInt(exponents);
            case 5 -> middle / 2 + random.nextInt(-3, 4);
            default -> middle + random.nextInt(-fraction - 2, fraction + 3);
        };
        put(format, random.nextBoolean(), exponent, exponent == exponents ? 0 : significand, at);
    }

    private void put(int format, boolean negative, int exponent, long significand, int at) {
        int fraction = format == 32 ? 23 : format == 64 ? 52 : 63;
        long below = significand & (1L << fraction) - 1;
        if (format == 80) {
            questions.putLong(at, exponent == 0 ? below : below | Long.MIN_VALUE);
            questions.putInt(at + 8, exponent | (negative ? SIGN_80 : 0));
        } else {
            questions.putLong(at, (negative ? 1L << format - 1 : 0) | (long) exponent << fraction | below);
        }
    }

    /** The second operand becomes almost the first's opposite, or of such a size that the rounding is close. */
    private void near(int format, SplittableRandom random, int first) {
        long bits = questions.getLong(first);
        long other = bits + random.nextInt(-3, 4);
        if (format == 80) {
            int exponent = questions.getInt(first + 8);
            boolean usual = (exponent & 0x7fff) != 0x7fff && (exponent & 0x7fff) != 0 && other < 0;
            questions.putLong(first + 16, usual ? other : bits);
            int scaled = random.nextBoolean() && usual && (exponent & 0x7fff) > 80 ? random.nextInt(66) : 0;
            questions.putInt(first + 24, (exponent ^ (random.nextBoolean() ? SIGN_80 : 0)) - scaled);
        } else {
            int fraction = format == 32 ? 23 : 52;
            long exponents = format == 32 ? 0xff : 0x7ff;
            boolean usual =
                    (other >>> fraction & exponents) != exponents && (bits >>> fraction & exponents) != exponents;
            questions.putLong(
                    first + 16,
                    (usual ? other : bits) & (format == 32 ? 0xffff_ffffL : -1L)
                            ^ (random.nextBoolean() ? 1L << format - 1 : 0));
        }
    }

    /** A number close below the greatest integer's magnitude, which rounding may reach or pass; now and then just above. */
    private void limit(Instruction instruction, SplittableRandom random, int at) {
        int bias = instruction.from == 32 ? 0x7f : instruction.from == 64 ? 0x3ff : 0x3fff;
        boolean above = random.nextInt(4) == 0;
        int exponent = bias + instruction.to - (above ? 1 : 2);
        int noise = random.nextInt(64);
        long ones = above ? 0 : -1;
        put(instruction.from, random.nextBoolean(), exponent, ones ^ random.nextLong() >>> noise, at);
    }

    /** Operands for which the instruction has a result without a reduction of the angle. */
    private void bounded(Operation operation, int k, SplittableRandom random, int at) {
        boolean negative = random.nextBoolean();
        int exponent = 0x3fff;
        switch (operation) {
            case EXP2M1 -> exponent -= 1 + random.nextInt(60);
            case SIN, COS, TAN -> exponent -= 2 + random.nextInt(30);
            case YLOG2XP1 -> exponent -= k == 0 ? 2 + random.nextInt(60) : random.nextInt(-40, 40);
            case YLOG2X -> {
                exponent += random.nextInt(-40, 40);
                negative &= k != 0;
            }
            default -> exponent += random.nextInt(-40, 40);
        }
        put(80, negative, exponent, random.nextLong(), at);
    }

    private String compare(Instruction instruction, InterpretedCase ours, int i) {
        int at = i * QUESTION_BYTES;
        int rounding = questions.getInt(at + 4);
        int bits = questions.getInt(at + 12);
        HostMemory.fill(image.hva(), SiliconCase.IMAGE_BYTES, 0);
        byte[] padded = new byte[64];
        System.arraycopy(instruction.code, 0, padded, 0, instruction.code.length);
        in.code(padded, instruction.code.length, 1);
        in.rip(SiliconCase.CODE);
        in.rflags(2);
        int precision = instruction.controlled() ? (bits == 24 ? 0 : bits == 53 ? 2 : 3) : 3;
        in.fxInt(0, 0x7f | precision << 8 | rounding << 10);
        // One register is free, for what FPTAN pushes.
        in.fxInt(4, 0x7f);
        in.fxInt(24, 0x1f80 | rounding << 13);
        in.gpr(CpuState.RAX, instruction.result == Result.MEMORY ? DATA : questions.getLong(at + 16));
        for (int k = 0; k < 3; k++) {
            int operand = at + 16 + 16 * k;
            if (instruction.x87()) {
                in.fxLong(32 + 16 * k, questions.getLong(operand));
                in.fxLong(40 + 16 * k, questions.getInt(operand + 8));
            } else {
                in.fxLong(160 + 16 * k, questions.getLong(operand));
            }
        }
        Block block = ours.decode(in, Mode.BITS64);
        assertThat(block).as(instruction.name()).isNotNull();
        assertThat(ours.run(in, block, false)).as(instruction.name()).isTrue();
        assertThat(ours.trap).as(instruction + " traps").isEqualTo(1);
        return difference(instruction, ours.s, ours.window, at, i * ANSWER_BYTES);
    }

    private String difference(Instruction instruction, CpuState s, long window, int question, int answer) {
        long significand = answers.getLong(answer);
        int exponent = answers.getInt(answer + 8);
        int flags = answers.getInt(answer + 12);
        if (answers.getInt(answer + 16) != 0) {
            // The default NaN.
            significand = instruction.to == 32 ? 0xffc0_0000L : instruction.to == 64 ? 0xfff8L << 48 : 0xc000L << 48;
            exponent = 0xffff;
        }
        int top = s.fsw >> 11 & 7;
        int st = top + (instruction.result == Result.ST1 ? 1 : 0) & 7;
        boolean stack = instruction.result == Result.ST0 || instruction.result == Result.ST1;
        long mine = switch (instruction.result) {
            case ST0, ST1 -> s.fpMantissa[st];
            case XMM0 -> s.xmm[0];
            case RAX -> s.gpr[CpuState.RAX];
            case MEMORY -> HostMemory.get64(window);
        };
        if (instruction.to == 32) {
            mine &= 0xffff_ffffL;
        }
        int mineFlags = (instruction.x87() ? s.fsw : s.mxcsr) & FLAGS;
        boolean same = mine == significand
                && (!stack || (s.fpExponent[st] & 0xffff) == exponent)
                && (instruction.transcendental() || mineFlags == flags);
        if (same) {
            return "";
        }
        StringBuilder text = new StringBuilder(instruction.name());
        for (int k = 0; k < 3; k++) {
            text.append(String.format(
                    " %x:%016x", questions.getInt(question + 24 + 16 * k), questions.getLong(question + 16 + 16 * k)));
        }
        return text.append(String.format(
                        " rounding %d bits %d: %x:%016x/%x:%016x flags %x/%x",
                        questions.getInt(question + 4),
                        questions.getInt(question + 12),
                        exponent,
                        significand,
                        stack ? s.fpExponent[st] & 0xffff : 0,
                        mine,
                        flags,
                        mineFlags))
                .toString();
    }
}
