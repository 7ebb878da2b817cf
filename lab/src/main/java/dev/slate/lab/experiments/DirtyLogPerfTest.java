package dev.slate.lab.experiments;

import dev.slate.conformance.Result;
import dev.slate.conformance.Row;
import dev.slate.conformance.RowRunner;
import dev.slate.lab.Bench;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** KVM's own dirty_log_perf_test, unmodified, as a process on Slate. */
final class DirtyLogPerfTest {
    private static final Duration LIMIT = Duration.ofMinutes(10);
    private static final Pattern POPULATE = Pattern.compile("Populate memory time: ([0-9.]+)s");
    private static final Pattern DIRTY = Pattern.compile("Iteration 2 dirty memory time: ([0-9.]+)s");
    /** A line of {@code slate run --stats}. */
    private static final Pattern STAT = Pattern.compile("  (?:VM|vCPU) (\\w+) +([0-9,]+)");

    private final Bench bench;
    private final Path programs;
    private final int vcpus;
    private final int megabytes;

    DirtyLogPerfTest(Bench bench, int vcpus, int megabytes) throws IOException, InterruptedException {
        this.bench = bench;
        this.programs = bench.selftests();
        this.vcpus = vcpus;
        this.megabytes = megabytes;
    }

    /** Of each vCPU. */
    int megabytes() {
        return megabytes;
    }

    /** The command line. */
    String command(int slots) {
        return row(List.of(), slots).name();
    }

    private Row row(List<String> knobs, int slots) {
        return new Row(
                knobs,
                "dirty_log_perf_test",
                List.of("-v", Integer.toString(vcpus), "-x", Integer.toString(slots), "-b", megabytes + "M", "-i", "2"),
                LIMIT);
    }

    /**
     * What a run said.
     *
     * @param populateSeconds "Populate memory time"
     * @param dirtySeconds "Iteration 2 dirty memory time"
     * @param stats Slate's statistics, all vCPUs added up
     */
    record Outcome(double populateSeconds, double dirtySeconds, Map<String, Double> stats) {
        /** 0 for a counter that stayed 0. */
        double stat(String name) {
            return stats.getOrDefault(name, 0.0);
        }
    }

    /** Runs it once. @throws IOException it did not pass */
    Outcome run(Mmus mmu, String knob, int slots) throws IOException, InterruptedException {
        RowRunner runner = new RowRunner(bench.launcher(), programs, Map.of(), bench.work());
        Row row = row(List.of(mmu.knob(), knob), slots);
        Result result = runner.run(row);
        String output = Files.readString(runner.log(row), StandardCharsets.UTF_8);
        if (result.outcome() != dev.slate.conformance.Outcome.PASS) {
            throw new IOException(row.name() + " gave " + result.outcome().word() + ": " + result.reason() + "; see "
                    + runner.log(row));
        }
        Map<String, Double> stats = new HashMap<>();
        Matcher matcher = STAT.matcher(output);
        while (matcher.find()) {
            stats.put(matcher.group(1), Double.parseDouble(matcher.group(2).replace(",", "")));
        }
        return new Outcome(find(POPULATE, output, runner.log(row)), find(DIRTY, output, runner.log(row)), stats);
    }

    private static double find(Pattern pattern, String output, Path log) throws IOException {
        Matcher matcher = pattern.matcher(output);
        if (!matcher.find()) {
            throw new IOException("no line like '" + pattern + "' in " + log);
        }
        return Double.parseDouble(matcher.group(1));
    }
}
