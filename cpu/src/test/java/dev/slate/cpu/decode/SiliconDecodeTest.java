package dev.slate.cpu.decode;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Random bytes, decoded here and by the host's own processor: #UD in the same places, and the same lengths. More cases with
 * {@code -Dtest.long.options=-Dslate.silicon.cases=N}, the same again with {@code -Dslate.seed=N} there.
 */
class SiliconDecodeTest {
    private static final int CASES = Integer.getInteger("slate.silicon.cases", 16_000);
    private static final boolean INTEL = HostProcessor.intel();
    private static final long SEED = Long.getLong("slate.seed", System.nanoTime());

    @ParameterizedTest
    @ValueSource(ints = {64, 32, 16})
    void randomBytesAreInstructionsWhereTheHostSaysSo(int bits, @TempDir Path folder) throws Exception {
        compare(bits, folder, CASES, SiliconDecodeTest::random);
    }

    @ParameterizedTest
    @ValueSource(ints = {64, 32, 16})
    void everyOpcodeWithEveryModrmIsAnInstructionWhereTheHostSaysSo(int bits, @TempDir Path folder) throws Exception {
        // A normal build takes a sample: a step that has no divisor in common with the number of cases meets each
        // at most once.
        long total = LEGACY + VEX;
        long step = CASES >= total ? 1 : 1_000_003;
        long[] next = {Math.floorMod(SEED, total)};
        compare(bits, folder, (int) Math.min(CASES, total), (random, code, at) -> {
            systematic(next[0], random, code, at);
            next[0] = (next[0] + step) % total;
        });
    }

    /** Makes the bytes of one case. */
    private interface Source {
        void fill(SplittableRandom random, byte[] code, int at);
    }

    // Prefixes (8), map (4), opcode, modrm; and for VEX: map (3), opcode, pp (4), W and L (4), vvvv unused or
    // not, modrm (16).
    private static final long LEGACY = 8L * 4 * 256 * 256;
    private static final long VEX = 3L * 256 * 4 * 4 * 2 * 16;

    private static void systematic(long n, SplittableRandom random, byte[] code, int at) {
        random(random, code, at);
        long r = random.nextLong();
        for (int i = 0; i < 8; i++) {
            code[at + i] = (byte) (r >>> 8 * i);
        }
        int p = at;
        if (n < LEGACY) {
            int[][] prefixes = {{}, {0x66}, {0xf3}, {0xf2}, {0xf0}, {0x48}, {0x66, 0xf2}, {0x66, 0xf3}};
            for (int b : prefixes[(int) (n >> 18)]) {
                code[p++] = (byte) b;
            }
            int map = (int) (n >> 16) & 3;
            if (map != 0) {
                code[p++] = 0x0f;
            }
            if (map > 1) {
                code[p++] = (byte) (map == 2 ? 0x38 : 0x3a);
            }
            code[p++] = (byte) (n >> 8);
            code[p] = (byte) n;
            return;
        }
        n -= LEGACY;
        int modrm = (int) n & 15;
        n >>= 4;
        int vvvv = (n & 1) == 0 ? 0x78 : 0x28;
        n >>= 1;
        int opcode = (int) n & 255;
        n >>= 8;
        int pp = (int) n & 3;
        n >>= 2;
        int wl = (int) n & 3;
        n >>= 2;
        code[p] = (byte) 0xc4;
        code[p + 1] = (byte) (0xe1 + (int) n);
        code[p + 2] = (byte) (vvvv | pp | (wl & 1) << 2 | (wl & 2) << 6);
        code[p + 3] = (byte) opcode;
        code[p + 4] = (byte) ((modrm & 7) << 3 | (modrm & 8) * 0xc0 / 8 | 4);
    }

    private static void compare(int bits, Path folder, int cases, Source source) throws Exception {
        assumeTrue(System.getProperty("os.arch").equals("amd64"), "needs an x86-64 processor: run it on one");
        System.out.println("slate.seed=" + SEED);
        SplittableRandom random = new SplittableRandom(SEED);
        int mode = bits == 64 ? Mode.BITS64 : bits == 32 ? Mode.BITS32 : Mode.BITS16;
        Decoder decoder = new Decoder(HostProcessor.features());
        // A hypervisor under the host may hide features that its processor has all the same.
        Decoder everything = new Decoder(Feature.ALL | HostProcessor.features());
        Disassembler disassembler = new Disassembler();
        Map<String, String> differences = new TreeMap<>();
        Map<String, Integer> counts = new TreeMap<>();
        int valid = 0;
        int killed = 0;
        byte[] code = new byte[SiliconFetch.SLOTS * 32];
        int[] op = new int[SiliconFetch.SLOTS];
        int[] length = new int[SiliconFetch.SLOTS];
        try (SiliconFetch silicon = new SiliconFetch(folder, bits)) {
            if (!silicon.runs()) {
                Assumptions.abort(
                        bits == 64
                                ? "needs FSGSBASE: a processor that has it, and Linux 5.9"
                                : "needs a kernel that lets " + bits + "-bit code run: CONFIG_IA32_EMULATION and, for"
                                        + " 16 bits, CONFIG_MODIFY_LDT_SYSCALL, and no sandbox that refuses modify_ldt");
            }
            for (int done = 0; done < cases; done += SiliconFetch.SLOTS - 1) {
                for (int i = 1; i < SiliconFetch.SLOTS; i++) {
                    do {
                        source.fill(random, code, i * 32);
                    } while (!asked(code, i * 32, bits));
                    length[i] = decoder.decodeArray(code, i * 32, i * 32 + 16, mode);
                    op[i] = Insn.op(decoder.word(0));
                    if (dependsOnMore(op[i], decoder, bits)) {
                        op[i] = Op.INVALID;
                        length[i] = -1;
                    }
                    boolean bad = op[i] == Op.INVALID || op[i] == Op.UD0 || op[i] == Op.UD1 || op[i] == Op.UD2;
                    silicon.put(i, code, i * 32, bad || op[i] == Op.OVERLONG ? 0 : length[i]);
                    valid += bad ? 0 : 1;
                }
                silicon.run(SiliconFetch.SLOTS);
                for (int i = 1; i < SiliconFetch.SLOTS; i++) {
                    boolean bad = op[i] == Op.INVALID || op[i] == Op.UD0 || op[i] == Op.UD1 || op[i] == Op.UD2;
                    int trap = silicon.trap(i);
                    String wrong = null;
                    if (length[i] < 0) {
                        continue;
                    } else if (trap == SiliconFetch.KILLED) {
                        killed++;
                    } else if (op[i] == Op.INVALID && hidden(everything, code, i * 32, mode)) {
                        continue;
                    } else if (op[i] == Op.INT && trap == 6) {
                        // What INT n raises, the host's interrupt table says; there are some with #UD for 1Bh.
                        continue;
                    } else if (bad != (trap == 6)) {
                        wrong = bad ? "#UD here" : "#UD there";
                    } else if (!bad && op[i] != Op.OVERLONG && trap == SiliconFetch.LONGER) {
                        wrong = "shorter here";
                    } else if (!bad && op[i] != Op.OVERLONG && length[i] > 1 && !silicon.cut(i)) {
                        wrong = "longer here";
                    }
                    if (wrong != null) {
                        String key =
                                wrong + " " + Op.name(op[i]) + (bad ? " " + opcode(code, i * 32, decoder, mode) : "");
                        counts.merge(key, 1, Integer::sum);
                        StringBuilder b = new StringBuilder();
                        for (int k = 0; k < 15; k++) {
                            b.append("%02x ".formatted(code[i * 32 + k]));
                        }
                        differences.putIfAbsent(
                                key,
                                b + " trap " + trap + ", length here " + length[i] + ": "
                                        + disassembler.one(code, i * 32, i * 32 + 16, 0, mode));
                    }
                }
            }
        }
        List<String> lines = new ArrayList<>();
        differences.forEach((k, v) -> lines.add(counts.get(k) + " x " + k + ": " + v));
        System.out.println(bits + "-bit: " + cases + " cases, " + valid + " decode, " + killed + " killed the helper, "
                + lines.size() + " kinds of difference");
        assertThat(lines).isEmpty();
    }

    private static boolean hidden(Decoder everything, byte[] code, int at, int mode) {
        everything.decodeArray(code, at, at + 16, mode);
        return Insn.op(everything.word(0)) != Op.INVALID;
    }

    private static String opcode(byte[] code, int at, Decoder decoder, int mode) {
        decoder.decodeArray(code, at, at + 16, mode);
        return "map %d opcode %02x".formatted(decoder.map, decoder.opcode);
    }

    /** Half plain random bytes, half with prefixes and escapes as instructions have them. */
    private static void random(SplittableRandom random, byte[] code, int at) {
        for (int i = 0; i < 16; i += 8) {
            long r = random.nextLong();
            for (int k = 0; k < 8; k++) {
                code[at + i + k] = (byte) (r >>> 8 * k);
            }
        }
        int shape = random.nextInt(16);
        if (shape < 6) {
            return;
        }
        int p = at;
        int prefixes = random.nextInt(4);
        byte[] some = {0x66, 0x66, (byte) 0xf2, (byte) 0xf3, 0x67, 0x64, 0x2e, (byte) 0xf0, 0x48, 0x41, 0x4f};
        for (int i = 0; i < prefixes; i++) {
            code[p++] = some[random.nextInt(some.length)];
        }
        switch (shape) {
            case 6, 7, 8, 9 -> code[p] = 0x0f;
            case 10 -> {
                code[p] = 0x0f;
                code[p + 1] = 0x38;
            }
            case 11 -> {
                code[p] = 0x0f;
                code[p + 1] = 0x3a;
            }
            case 12 -> {
                code[at] = (byte) 0xc4;
                code[at + 1] = (byte) (code[at + 1] & 0xe0 | 1 + random.nextInt(3));
            }
            case 13 -> code[at] = (byte) 0xc5;
            default -> {}
        }
    }

    /** Whether the host has nothing there that the table lacks: EVEX, XOP, 3DNow!, mask registers, AVX-VNNI, MOVDIR64B, ENQCMD and PTWRITE. */
    private static boolean asked(byte[] code, int at, int bits) {
        int p = at;
        boolean repeated = false;
        while (p < at + 15 && isPrefix(code[p] & 0xff, bits)) {
            repeated |= (code[p] & 0xff) == 0xf3;
            p++;
        }
        int b = code[p] & 0xff;
        int next = p < at + 15 ? code[p + 1] & 0xff : 0;
        if (b == 0x62 && (bits == 64 || next >= 0xc0)) {
            return false;
        }
        if (b == 0x8f && (next & 0x1f) >= 8) {
            // XOP: #UD, but where it would be too long #GP.
            return false;
        }
        if ((b == 0xc4 || b == 0xc5) && (bits == 64 || next >= 0xc0)) {
            // The mask registers of AVX-512 are in VEX maps 1 and 3, AVX-VNNI is in 2.
            int map = b == 0xc5 ? 1 : next & 31;
            int opcode = code[p + (b == 0xc5 ? 2 : 3)] & 0xff;
            if (INTEL && map == 1 && opcode == 0xae) {
                // VLDMXCSR's and VSTMXCSR's opcode with 66 and /6 is something to Intel's processors that
                // no manual names.
                return false;
            }
            return !(map == 2 && opcode >= 0x50 && opcode <= 0x53
                    || map == 1 && (opcode >= 0x41 && opcode <= 0x4b || opcode >= 0x90 && opcode <= 0x99)
                    || map == 3 && opcode >= 0x30 && opcode <= 0x33);
        }
        if (INTEL && repeated && b == 0x0f && next == 0xae && p + 2 < at + 16 && (code[p + 2] & 0x38) == 0x20) {
            // PTWRITE, be it offered or not.
            return false;
        }
        if (INTEL && (b == 0xc6 || b == 0xc7) && next == 0xf8) {
            // XABORT and XBEGIN: TSX that has been switched off is no longer offered, and decodes all the same.
            return false;
        }
        return !(b == 0x0f && next == 0x38 && p + 2 < at + 16 && (code[p + 2] & 0xff) == 0xf8);
    }

    private static boolean isPrefix(int b, int bits) {
        return switch (b) {
            case 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65 -> true;
            default -> bits == 64 && (b & 0xf0) == 0x40;
        };
    }

    /** Whether it is #UD for a reason that the bytes do not tell: privilege, an unset enable bit, the vendor's choice of mode. */
    private static boolean dependsOnMore(int op, Decoder decoder, int bits) {
        return switch (op) {
            // Of 64-bit mode alone, to Intel.
            case Op.SYSCALL, Op.SYSRET -> INTEL && bits != 64;
            // Outside SMM; in long mode, to AMD; above CPL 0.
            case Op.RSM, Op.SYSENTER, Op.SYSEXIT, Op.CLAC, Op.STAC -> true;
            // A hypervisor under the host answers them as it likes; with a repeat prefix VMMCALL is VMGEXIT.
            case Op.VMMCALL, Op.VMCALL -> true;
            // A hypervisor under the host may intercept them although CPUID does not offer them. AMD's processors
            // let LOCK VERW through and take VPERMQ and VPERMPD with VEX.W clear; the manuals say #UD, and Slate
            // keeps to them.
            case Op.INVALID ->
                decoder.map == 1 && decoder.opcode == 1 && decoder.modrm >= 0xc0
                        || decoder.map == 1 && decoder.opcode == 0 && decoder.lock
                        || decoder.map == 6 && decoder.opcode <= 1;
            default -> false;
        };
    }
}
