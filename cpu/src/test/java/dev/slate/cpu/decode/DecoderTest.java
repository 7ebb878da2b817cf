package dev.slate.cpu.decode;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.reflect.Method;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Blocks and the flat form of instructions. Which bytes are which instruction is DisassemblerTest's and SiliconDecodeTest's. */
class DecoderTest {
    private final MemorySegment page = Arena.ofAuto().allocate(4096, 4096);
    private final Decoder decoder = new Decoder(Feature.ALL);

    private static byte[] bytes(String hex) {
        String[] words = hex.trim().split(" +");
        byte[] code = new byte[words.length];
        for (int i = 0; i < code.length; i++) {
            code[i] = (byte) Integer.parseInt(words[i], 16);
        }
        return code;
    }

    /** Puts bytes at an offset of the page; returns their host address. */
    private long put(int at, String hex) {
        byte[] code = bytes(hex);
        MemorySegment.copy(code, 0, page, ValueLayout.JAVA_BYTE, at, code.length);
        return page.address() + at;
    }

    private Block block(int mode, String hex) {
        long hva = put(0, hex + " f4");
        Block b = decoder.decode(hva, 4096, mode);
        assertThat(b).isNotNull();
        return b;
    }

    private static long w0(Block b, int i) {
        return b.code[i * Insn.WORDS];
    }

    @Test
    void blockEndsAfterTheFirstInstructionThatMayChangeTheFlow() {
        Block b = block(Mode.BITS64, "48 89 d8 48 01 c8 75 fa 90");
        assertThat(b.count).isEqualTo(3);
        assertThat(b.byteLength).isEqualTo(8);
        assertThat(b.hva).isEqualTo(page.address());
        assertThat(b.mode).isEqualTo(Mode.BITS64);
        assertThat(Insn.op(w0(b, 0))).isEqualTo(Op.MOV);
        assertThat(Insn.op(w0(b, 1))).isEqualTo(Op.ADD);
        assertThat(Insn.op(w0(b, 2))).isEqualTo(Op.JNZ);
        assertThat(Insn.offset(b.code[2 * Insn.WORDS + 1])).isEqualTo(6);
        // From the block's first byte: 8 - 6.
        assertThat(b.code[2 * Insn.WORDS + 2]).isEqualTo(2);
        assertThat(b.bytes).containsExactly(0xfa75_c801_48d8_8948L);
    }

    @Test
    void bytesArePackedAndPaddedWithZeros() {
        Block b = block(Mode.BITS64, "48 89 d8 48 01 c8 48 29 c8 c3");
        assertThat(b.bytes).containsExactly(0x2948_c801_48d8_8948L, 0xc3c8L);
    }

    @Test
    void blockHoldsAtMost64Instructions() {
        Block b = block(Mode.BITS64, "90 ".repeat(100));
        assertThat(b.count).isEqualTo(Decoder.MAX_INSTRUCTIONS);
        assertThat(b.byteLength).isEqualTo(64);
    }

    @Test
    void instructionThatCrossesTheEndIsLeftToTheNextBlock() {
        put(4090, "90 90 90 48 8b 05");
        Block b = decoder.decode(page.address() + 4090, 6, Mode.BITS64);
        assertThat(b).isNotNull();
        assertThat(b.count).isEqualTo(3);
        assertThat(decoder.decode(page.address() + 4093, 3, Mode.BITS64)).isNull();
    }

    @Test
    void onlyBytesThatThereAreTakePartInTheDecision() {
        // The same first byte, cut off: whatever follows in memory.
        for (String after : new String[] {"00 00", "ff ff", "0b 90"}) {
            put(100, "0f " + after);
            assertThat(decoder.decode(page.address() + 100, 1, Mode.BITS64))
                    .as(after)
                    .isNull();
        }
    }

    @Test
    void oneInstructionFromAFetchBufferHasNoHostAddress() {
        long hva = put(0, "48 8b 05 10 00 00 00 90 90 90 90 90 90 90 90 90");
        Block b = decoder.decodeOne(hva, 15, Mode.BITS64);
        assertThat(b.count).isEqualTo(1);
        assertThat(b.hva).isZero();
        assertThat(b.byteLength).isEqualTo(7);
        assertThatThrownBy(() -> decoder.decodeOne(hva, 14, Mode.BITS64)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void ripRelativeDisplacementCountsFromTheBlocksFirstByte() {
        Block b = block(Mode.BITS64, "90 48 8b 05 10 00 00 00");
        long w = w0(b, 1);
        assertThat(Insn.base(w)).isEqualTo(Insn.RIP_BASE);
        assertThat(Insn.isMemory(w)).isTrue();
        assertThat(Insn.displacement(b.code[Insn.WORDS + 1])).isEqualTo(0x18);
        // An immediate behind the displacement counts too.
        b = block(Mode.BITS64, "c7 05 f0 ff ff ff 78 56 34 12");
        assertThat(Insn.displacement(b.code[1])).isEqualTo(-6);
        assertThat(b.code[2]).isEqualTo(0x12345678);
    }

    @Test
    void memoryOperandIsBaseIndexScaleDisplacement() {
        long w = w0(block(Mode.BITS64, "4a 8b 84 b3 80 00 00 00"), 0);
        assertThat(new int[] {
                    Insn.base(w),
                    Insn.index(w),
                    Insn.scale(w),
                    Insn.reg(w),
                    Insn.size(w),
                    Insn.addressSize(w),
                    Insn.segment(w)
                })
                .containsExactly(3, 14, 2, 0, 3, 3, 3);
        // No base, no index, FS; 32-bit address.
        w = w0(block(Mode.BITS64, "64 67 8b 04 25 28 00 00 00"), 0);
        assertThat(new int[] {Insn.base(w), Insn.index(w), Insn.segment(w), Insn.addressSize(w)})
                .containsExactly(Insn.NO_REG, Insn.NO_REG, 4, 2);
        // 16 bits: [bp+di-2] is in the stack segment.
        w = w0(block(Mode.BITS16, "8b 43 fe"), 0);
        assertThat(new int[] {Insn.base(w), Insn.index(w), Insn.segment(w), Insn.addressSize(w), Insn.size(w)})
                .containsExactly(5, 7, 2, 1, 1);
    }

    @ParameterizedTest
    @CsvSource({
        "88 e0,     20, 0", // mov al,ah
        "40 88 e0,  4, 0", // mov al,spl
        "44 88 e0,  12, 0", // mov al,r12b
        "00 c7,     0, 23", // add bh,al
        "66 89 e0,  4, 0", // mov ax,sp
    })
    void byteRegistersWithoutRexAreTheHighOnes(String hex, int reg, int rm) {
        long w = w0(block(Mode.BITS64, hex), 0);
        assertThat(Insn.reg(w)).isEqualTo(reg);
        assertThat(Insn.rm(w)).isEqualTo(rm);
    }

    @ParameterizedTest
    @CsvSource({
        // hex, mode, operation, size, form, immediate
        "b8 ff ff ff ff,               2, MOV, 2, 4, -1",
        "48 b8 88 77 66 55 44 33 22 11, 2, MOV, 3, 4, 1234605616436508552",
        "48 83 c0 80,                  2, ADD, 3, 4, -128",
        "6a ff,                        2, PUSH, 3, 9, -1",
        "66 6a ff,                     2, PUSH, 1, 9, -1",
        "6a ff,                        0, PUSH, 1, 9, -1",
        "50,                           2, PUSH, 3, 1, 0",
        "d1 e0,                        2, SHL, 2, 4, 1",
        "d3 e0,                        2, SHL, 2, 7, 0",
        "c1 e0 85,                     2, SHL, 2, 4, 133",
        "0f a4 c8 07,                  2, SHLD, 2, 6, 7",
        "c8 10 00 21,                  2, ENTER, 3, 9, 4294967312",
        "9a 78 56 34 12 10 00,         1, CALL_FAR_IMM, 2, 9, 69024896632",
        "a1 88 77 66 55 44 33 22 11,   2, MOV_A_MOFFS, 2, 10, 1234605616436508552",
        "a3 34 12,                     0, MOV_MOFFS_A, 1, 10, 4660",
        "e5 60,                        2, IN, 2, 9, 96",
        "66 ef,                        2, OUT, 1, 0, 0",
        "f3 a4,                        2, MOVS, 0, 0, 0",
        "f3 0f 58 c1,                  2, ADDSS, 2, 3, 0",
        "66 0f 58 c1,                  2, ADDPD, 4, 3, 0",
        "c5 fd 58 c1,                  2, ADDPD, 5, 11, 0",
        "0f 6f c1,                     2, MOVQ_MMX, 3, 3, 0",
        "66 48 0f 6e c0,               2, MOVD_V_E, 3, 3, 0",
        "c5 f9 73 d1 04,               2, PSRLQ, 4, 14, 4",
        "0f 20 d8,                     2, MOV_FROM_CR, 3, 2, 0",
        "0f 20 d8,                     1, MOV_FROM_CR, 2, 2, 0",
        "f3 90,                        2, PAUSE, 0, 0, 0",
        "f3 0f bc c1,                  2, TZCNT, 2, 3, 0",
        "41 90,                        2, XCHG, 2, 2, 0",
        "f3 41 90,                     2, XCHG, 2, 2, 0",
    })
    void operationSizeFormAndImmediateAreTheTables(
            String hex, int mode, String op, int size, int form, long immediate) {
        Block b = block(mode, hex);
        assertThat(Op.name(Insn.op(w0(b, 0)))).isEqualTo(op);
        assertThat(Insn.size(w0(b, 0))).as("size").isEqualTo(size);
        assertThat(Insn.form(w0(b, 0))).as("form").isEqualTo(form);
        assertThat(b.code[2]).as("immediate").isEqualTo(immediate);
        assertThat(Insn.length(w0(b, 0))).isEqualTo(bytes(hex).length);
    }

    @Test
    void instructionOfABlockPrintsAtTheRipThatTheBlockWasEnteredAt() {
        Block b = block(Mode.BITS64, "48 89 d8 48 8b 05 10 00 00 00 75 f4");
        b.rip = 0x401000;
        Disassembler d = new Disassembler();
        assertThat(d.one(b, 0)).isEqualTo("mov    rax,rbx");
        assertThat(d.one(b, 1)).isEqualTo("mov    rax,QWORD PTR [rip+0x10]");
        assertThat(d.one(b, 2)).isEqualTo("jne    0x401000");
        assertThat(d.length()).isEqualTo(2);
    }

    @Test
    void vexGivesItsRegisterAndItsBits() {
        // vaddpd ymm1, ymm9, ymm10
        long w = w0(block(Mode.BITS64, "c4 c1 35 58 ca"), 0);
        assertThat(new int[] {Insn.reg(w), Insn.vvvv(w), Insn.rm(w), Insn.unit(w)})
                .containsExactly(1, 9, 10, Insn.UNIT_AVX);
        assertThat(w & Insn.VEX).isNotZero();
        // A legacy operation's first source is its destination.
        w = w0(block(Mode.BITS64, "66 0f 58 ca"), 0);
        assertThat(new int[] {Insn.reg(w), Insn.vvvv(w), Insn.rm(w), Insn.unit(w)})
                .containsExactly(1, 1, 2, Insn.UNIT_SSE);
    }

    @ParameterizedTest
    @CsvSource({
        "f0 48 0f b1 0f, 2, CMPXCHG",
        "f0 48 0f b1 c8, 2, INVALID", // LOCK without memory
        "f0 8b 07, 2, INVALID", // LOCK on a load
        "f0 0f 22 c0, 1, MOV_TO_CR", // CR8, to AMD
        "06, 2, INVALID", // PUSH ES in 64-bit mode
        "06, 1, PUSH_SEG",
        "0f 20 c8, 2, INVALID", // CR1
        "8e c8, 2, INVALID", // MOV CS
        "66 c5 f9 58 c0, 2, INVALID", // VEX after 66
        "62 f1 7c 48 10 06, 2, INVALID", // EVEX
        "c4 e2 71 92 04 10, 2, GATHERDPS",
        "c4 e2 79 92 04 10, 2, INVALID", // gather into its own mask
        "66 66 66 66 66 66 66 66 66 66 66 66 66 66 90, 2, NOP",
        "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90, 2, OVERLONG",
        "66 66 66 66 66 66 66 66 66 66 66 66 66 b8 11 22, 2, OVERLONG",
    })
    void whatSiliconRefusesIsRefused(String hex, int mode, String op) {
        Block b = block(mode, hex + " 00 00 00 00");
        assertThat(Op.name(Insn.op(w0(b, 0)))).isEqualTo(op);
        if (b.code[0] << 52 >>> 52 <= Op.OVERLONG) {
            assertThat(b.count).isEqualTo(1);
        }
    }

    @Test
    void instructionOfAFeatureThatIsNotOfferedIsWhatItsBytesMeanWithoutIt() {
        Decoder plain = new Decoder(Feature.ALL & ~(Feature.bit(Feature.BMI1) | Feature.bit(Feature.RDRAND)));
        Block b = plain.decode(put(0, "f3 0f bc c1 c3"), 4096, Mode.BITS64);
        assertThat(b).isNotNull();
        assertThat(Insn.op(w0(b, 0))).isEqualTo(Op.BSF);
        b = plain.decode(put(0, "0f c7 f0 c3"), 4096, Mode.BITS64);
        assertThat(b).isNotNull();
        assertThat(Insn.op(w0(b, 0))).isEqualTo(Op.INVALID);
        // FCOMI needs CMOV and an x87 unit.
        plain = new Decoder(Feature.ALL & ~Feature.bit(Feature.FPU));
        b = plain.decode(put(0, "db f1 c3"), 4096, Mode.BITS64);
        assertThat(b).isNotNull();
        assertThat(Insn.op(w0(b, 0))).isEqualTo(Op.INVALID);
    }

    @ParameterizedTest
    @CsvSource({
        // Bytes, and what they are to AMD and to Intel: operation, log2 of the operand size, length.
        "66 e8 11 22 33 44, CALL_REL 1 4, CALL_REL 3 6",
        "66 e9 11 22 33 44, JMP_REL 1 4, JMP_REL 3 6",
        "66 0f 84 11 22 33 44, JZ 1 5, JZ 3 7",
        "66 74 11 22 33 44, JZ 1 3, JZ 3 3",
        "66 e2 11 22 33 44, LOOP 1 3, LOOP 3 3",
        "66 c3 11 22 33 44, RET 1 2, RET 3 2",
        "66 c2 11 22 33 44, RET_IMM 1 4, RET_IMM 3 4",
        "66 ff d0 22 33 44, CALL_RM 1 3, CALL_RM 3 3",
        "66 ff e0 22 33 44, JMP_RM 1 3, JMP_RM 3 3",
        "66 48 ff e0 33 44, JMP_RM 3 4, JMP_RM 3 4",
        "66 6a 11 22 33 44, PUSH 1 3, PUSH 1 3",
        "f3 41 90 22 33 44, XCHG 2 3, PAUSE 0 3",
        "0f 0d d3 22 33 44, INVALID 0 3, NOP 2 3",
    })
    void whatTheMakersTakeForDifferentInstructionsIsToEachWhatItIs(String hex, String amd, String intel) {
        assertThat(described(new Decoder(Feature.ALL), hex)).isEqualTo(amd);
        assertThat(described(new Decoder(Feature.ALL | Feature.bit(Feature.INTEL)), hex))
                .isEqualTo(intel);
    }

    @ParameterizedTest
    @CsvSource({
        "c4 e3 f9 16 e4 9d, INVALID, PEXTRD",
        "c4 e3 79 16 e4 9d, PEXTRD, PEXTRD",
        "c4 e3 a9 22 cc 00, INVALID, PINSRD",
        "c4 e3 29 22 cc 00, PINSRD, PINSRD",
    })
    void aQuadwordIsNoneOutside64BitModeToAmdAndADoublewordToIntel(String hex, String amd, String intel) {
        for (int mode : new int[] {Mode.BITS16, Mode.BITS32}) {
            assertThat(described(new Decoder(Feature.ALL), hex, mode)).startsWith(amd + " ");
            assertThat(described(new Decoder(Feature.ALL | Feature.bit(Feature.INTEL)), hex, mode))
                    .startsWith(intel + " ");
        }
    }

    private String described(Decoder decoder, String hex) {
        return described(decoder, hex, Mode.BITS64);
    }

    private String described(Decoder decoder, String hex, int mode) {
        Block b = decoder.decode(put(0, hex + " 00 00 00 00"), 4096, mode);
        assertThat(b).isNotNull();
        long w0 = w0(b, 0);
        return Op.name(Insn.op(w0)) + " " + Insn.size(w0) + " " + Insn.length(w0);
    }

    @Test
    void vexWidthAndRegisterBitsMeanNothingOutside64BitMode() {
        // VPCMPESTRI with W set; VBLENDVPS with the register's top bit set.
        assertThat(w0(block(Mode.BITS32, "c4 e3 f9 61 fb 2d"), 0) & Insn.VEX_W).isZero();
        assertThat(w0(block(Mode.BITS64, "c4 e3 f9 61 fb 2d"), 0) & Insn.VEX_W).isNotZero();
        assertThat(block(Mode.BITS32, "c4 e3 15 4a d6 c3").code[2]).isEqualTo(0x43);
        assertThat(block(Mode.BITS64, "c4 e3 15 4a d6 c3").code[2]).isEqualTo(0xc3);
    }

    @Test
    void outsHasTheSizeOfItsMemoryOperand() {
        assertThat(Insn.size(w0(block(Mode.BITS32, "f3 6e"), 0))).isZero();
        assertThat(Insn.size(w0(block(Mode.BITS32, "f3 66 6f"), 0))).isEqualTo(1);
        assertThat(Insn.size(w0(block(Mode.BITS32, "f3 6f"), 0))).isEqualTo(2);
        assertThat(Insn.size(w0(block(Mode.BITS64, "f3 48 6f"), 0))).isEqualTo(2);
    }

    @ParameterizedTest
    @CsvSource({"0", "1", "2"})
    void anyBytesAreABlockInEveryMode(int mode) {
        long seed = Long.getLong("slate.seed", System.nanoTime());
        System.out.println("slate.seed=" + seed);
        SplittableRandom random = new SplittableRandom(seed);
        for (int round = 0; round < 300; round++) {
            for (int i = 0; i < 4096; i += 8) {
                page.set(ValueLayout.JAVA_LONG, i, random.nextLong());
            }
            int at = 0;
            while (at < 4096) {
                Block b = decoder.decode(page.address() + at, 4096 - at, mode);
                if (b == null) {
                    assertThat(4096 - at).isLessThan(Decoder.MAX_LENGTH);
                    break;
                }
                int next = 0;
                for (int i = 0; i < b.count; i++) {
                    assertThat(Insn.offset(b.code[i * Insn.WORDS + 1])).isEqualTo(next);
                    next += Insn.length(w0(b, i));
                    assertThat(Insn.op(w0(b, i))).isLessThan(Op.COUNT);
                }
                assertThat(b.byteLength).isEqualTo(next).isPositive();
                at += b.byteLength;
            }
        }
    }

    @Test
    void decodingAllocatesNothingButTheBlock() throws ReflectiveOperationException {
        // By reflection: the module under test has no use for java.management itself.
        Object threads = Class.forName("java.lang.management.ManagementFactory")
                .getMethod("getThreadMXBean")
                .invoke(null);
        Method allocated = Class.forName("com.sun.management.ThreadMXBean").getMethod("getCurrentThreadAllocatedBytes");
        byte[] code = bytes("48 8b 84 b3 80 00 00 00 00 00 00 00 00 00 00");
        long sum = 0;
        for (int i = 0; i < 1000; i++) {
            sum += decoder.decodeArray(code, 0, code.length, Mode.BITS64);
        }
        long before = (long) allocated.invoke(threads);
        for (int i = 0; i < 10_000; i++) {
            sum += decoder.decodeArray(code, 0, code.length, Mode.BITS64);
        }
        assertThat((long) allocated.invoke(threads) - before).isLessThan(10_000);
        assertThat(sum).isEqualTo(11_000 * 8);
    }
}
