package dev.slate.cpu.exec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.slate.cpu.GuestFault;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Feature;
import dev.slate.cpu.decode.HostProcessor;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.decode.RowBytes;
import dev.slate.cpu.mem.Scratch;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/** Translated code against the interpreter, on the random cases with which the interpreter is held to silicon. */
final class TranslatedTest {
    private final Scratch before = new Scratch(SiliconCase.IMAGE_BYTES);
    private final Scratch after = new Scratch(SiliconCase.IMAGE_BYTES);

    @Test
    void random_instructions_do_what_the_interpreter_does() throws Exception {
        long cases = Long.getLong("translated.cases", 200_000);
        long seed = Long.getLong("translated.seed", 7);
        // In the ways of the host's maker, because translated code has no others.
        long features = (ImplementedFeatures.COMPLETE | (HostProcessor.intel() ? Feature.bit(Feature.INTEL) : 0))
                & ~Feature.bit(Feature.PKU);
        RowBytes rows = new RowBytes(features);
        SiliconComparison comparison = new SiliconComparison(HostProcessor.intel(), HostProcessor.intel());
        SplittableRandom random = new SplittableRandom(seed);
        List<String> shown = new ArrayList<>();
        TreeMap<String, Integer> different = new TreeMap<>();
        SiliconCase in = new SiliconCase().at(before.hva());
        SiliconCase out = new SiliconCase().at(after.hva());
        try (InterpretedCase interpreted = new InterpretedCase(features, 0);
                TranslatedCase translated = new TranslatedCase(features, 1 << 20)) {
            assumeTrue(translated.translator != null, "this host allows no executable memory");
            SiliconGenerator generator = new SiliconGenerator(seed, rows, interpreted, comparison, true);
            for (long n = 0; n < cases; n++) {
                Block b = generator.next(in, SiliconHelper.DIRECT, TranslatedCase.codeAddress((int) (n & 31)));
                if (!interpreted.run(in, b, false)) {
                    continue;
                }
                if (interpreted.trap == GuestFault.PF && interpreted.address >>> 12 == SiliconCase.CODE >>> 12) {
                    // The interpreter is given its block, and has no page of code; one address in a million finds the
                    // other's.
                    continue;
                }
                if (random.nextInt(4) == 0) {
                    translated.memory.cpu.flushTlb();
                }
                translated.run(in, out, interpreted.trap, interpreted.error);
                String difference = comparison.difference(in, b, out, interpreted);
                // Which of several NaNs a dot product gives is the vendor's.
                if (!difference.isEmpty() && !dotProduct(b)) {
                    String name = rows.name(generator.row);
                    if (different.merge(name, 1, Integer::sum) <= 2 && shown.size() < 60) {
                        shown.add(name + " " + in.bytes() + difference);
                        System.out.println("translated: " + shown.getLast());
                        StringBuilder regs = new StringBuilder("   ");
                        for (int i = 0; i < 16; i++) {
                            regs.append(String.format(" r%d=%x", i, in.gpr(i)));
                        }
                        System.out.println(regs + String.format(" cr2 %x %x", out.get(152), interpreted.address));
                    }
                }
            }
            System.out.println("translated: " + cases + " cases, seed " + seed + ", regions "
                    + translated.memory.cpu.translation.regions + ", exits "
                    + java.util.Arrays.toString(translated.memory.cpu.translation.exits)
                    + ", resets " + translated.memory.cpu.translation.resets + ", invalidations "
                    + translated.memory.cpu.translation.invalidations + "; different: " + different);
        }
        assertThat(shown).isEmpty();
    }

    private static boolean dotProduct(Block b) {
        for (int i = 0; i < b.count; i++) {
            int op = Insn.op(b.code[i * Insn.WORDS]);
            if (op == Op.DPPS || op == Op.DPPD) {
                return true;
            }
        }
        return false;
    }
}
