package dev.slate.cpu.exec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/**
 * The interpreter against the host's own processor, instruction by instruction, on random cases. The build runs some thousands;
 * {@code -Psilicon -Dsilicon.cases=N [-Dsilicon.seed=S]} as many as asked. What differs is written to target/silicon-failures.txt in
 * the form of src/test/resources/silicon-cases.txt, which {@link #storedCasesGiveTheirStoredResults} replays on any host.
 */
final class SiliconTest {
    private static final int SHOWN = 40;

    @Test
    void randomInstructionsGiveWhatSiliconGives() throws Exception {
        String missing = SiliconHelper.missing();
        if (!missing.isEmpty()) {
            System.out.println("silicon: skipped, " + missing);
        }
        assumeTrue(missing.isEmpty(), missing);
        long cases = Long.getLong("silicon.cases", 30_000);
        // The build's own cases are the same every time; whoever asks for a number of cases gets fresh ones.
        long seed = Long.getLong("silicon.seed", Long.getLong("silicon.cases") == null ? 23 : System.nanoTime());
        System.out.println("silicon: " + cases + " cases, seed " + seed);
        List<String> failures = run(cases, seed);
        assertThat(failures)
                .as("differences (silicon/interpreter), seed " + seed)
                .isEmpty();
    }

    private static List<String> run(long cases, long seed) throws IOException, InterruptedException {
        List<String> shown = new ArrayList<>();
        List<String> stored = new ArrayList<>();
        long[] compared = new long[Op.COUNT];
        long[] lacking = new long[Op.COUNT];
        long[] different = new long[Op.COUNT];
        SiliconComparison comparison = new SiliconComparison();
        try (SiliconHelper helper = SiliconHelper.start();
                InterpretedCase interpreted = new InterpretedCase(ImplementedFeatures.COMPLETE)) {
            SiliconGenerator generator = new SiliconGenerator(seed, interpreted);
            int batch = SiliconHelper.BATCH;
            SiliconCase[] in = new SiliconCase[batch];
            SiliconCase[] out = new SiliconCase[batch];
            Block[] blocks = new Block[batch];
            for (int i = 0; i < batch; i++) {
                in[i] = new SiliconCase();
                out[i] = new SiliconCase();
            }
            SiliconCase ours = new SiliconCase();
            for (long done = 0; done < cases; done += batch) {
                for (int i = 0; i < batch; i++) {
                    blocks[i] = generator.next(in[i]);
                }
                helper.run(in, out, batch);
                for (int i = 0; i < batch; i++) {
                    long w0 = blocks[i].code[0];
                    int op = Insn.op(w0);
                    if (!interpreted.run(in[i], blocks[i], ours)) {
                        lacking[op]++;
                        continue;
                    }
                    compared[op]++;
                    String difference = comparison.difference(in[i], w0, blocks[i].code[2], out[i], ours);
                    if (!difference.isEmpty()) {
                        if (different[op]++ < 3 && shown.size() < SHOWN) {
                            shown.add(Op.name(op) + " " + in[i].bytes(blocks[i].byteLength) + difference);
                            stored.add(Op.name(op) + " " + in[i].text() + " " + out[i].text());
                        }
                    }
                }
            }
        }
        report(compared, lacking, different);
        if (!stored.isEmpty()) {
            Path file = Path.of("target", "silicon-failures.txt");
            if (Files.isDirectory(file.getParent())) {
                Files.write(file, stored);
                System.out.println("silicon: failures stored in " + file.toAbsolutePath());
            }
        }
        return shown;
    }

    private static void report(long[] compared, long[] lacking, long[] different) {
        long all = 0;
        int covered = 0;
        TreeMap<String, Long> bad = new TreeMap<>();
        StringBuilder missing = new StringBuilder();
        StringBuilder coverage = new StringBuilder();
        for (int op = 0; op < Op.COUNT; op++) {
            all += compared[op];
            if (compared[op] != 0) {
                covered++;
                coverage.append(' ').append(Op.name(op)).append(' ').append(compared[op]);
            }
            if (different[op] != 0) {
                bad.put(Op.name(op), different[op]);
            }
            if (lacking[op] != 0) {
                missing.append(' ').append(Op.name(op));
            }
        }
        System.out.println("silicon: compared " + all + " cases of " + covered + " operations; different: " + bad);
        if (missing.length() != 0) {
            System.out.println("silicon: offered by the decoder, lacking in the interpreter:" + missing);
        }
        if (Boolean.getBoolean("silicon.coverage")) {
            System.out.println("silicon: cases per operation:" + coverage);
        }
    }

    @Test
    void storedCasesGiveTheirStoredResults() throws IOException {
        Path file = Path.of("src/test/resources/silicon-cases.txt");
        if (!Files.exists(file)) {
            file = Path.of("cpu").resolve(file);
        }
        SiliconComparison comparison = new SiliconComparison();
        List<String> failures = new ArrayList<>();
        int replayed = 0;
        try (InterpretedCase interpreted = new InterpretedCase(ImplementedFeatures.COMPLETE)) {
            SiliconCase ours = new SiliconCase();
            for (String line : Files.readAllLines(file)) {
                if (line.isBlank() || line.startsWith("#")) {
                    continue;
                }
                String[] words = line.split(" ");
                SiliconCase in = SiliconCase.parse(words[1]);
                SiliconCase silicon = SiliconCase.parse(words[2]);
                Block b = interpreted.decode(in);
                assertThat(interpreted.run(in, b, ours)).as(words[0]).isTrue();
                String difference = comparison.difference(in, b.code[0], b.code[2], silicon, ours);
                if (!difference.isEmpty()) {
                    failures.add(words[0] + " " + in.bytes(b.byteLength) + difference);
                }
                replayed++;
            }
        }
        assertThat(failures).isEmpty();
        assertThat(replayed).isPositive();
    }
}
