package dev.slate.benchmarks;

import dev.slate.kvm.Knobs;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Measures the promises of SPECIFICATION.md that a client sees, each as the median of several runs, side by side with a plain
 * C loop that touches the same memory. The command is {@code slate speed}.
 */
public final class Promises {
    private static final int RUNS = 5;
    private static final int PAGES = 4 * (64 << 20) / 4096;
    private static final Pattern SECONDS = Pattern.compile("(\\d+\\.\\d+)s");

    private final Path home;
    private final Path client;
    private final Path dirtyLogPerfTest;
    private int broken;

    private Promises(Path home) {
        this.home = home;
        client = home.resolve("build/speed/measure");
        dirtyLogPerfTest = home.resolve("build/selftests/bin/dirty_log_perf_test");
    }

    /** Measures everything, prints a table, and ends with 1 when a limit is exceeded. */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        Promises promises = new Promises(Path.of(System.getProperty("slate.home", ".")));
        promises.build();
        promises.measure();
        System.exit(promises.broken == 0 ? 0 : 1);
    }

    private void build() throws IOException, InterruptedException {
        Files.createDirectories(client.getParent());
        run(List.of(
                "cc",
                "-O2",
                "-o",
                client.toString(),
                home.resolve("benchmarks/client/measure.c").toString(),
                "-lpthread"));
        if (!Files.exists(dirtyLogPerfTest)) {
            System.err.println("slate: building the KVM selftests of linux-source-6.1 (about half a minute)");
            run(List.of(
                    "sh",
                    home.resolve("conformance/build-selftests.sh").toString(),
                    home.resolve("build/selftests").toString()));
        }
    }

    private void measure() throws IOException, InterruptedException {
        System.out.printf("%-58s %10s %10s%n", "promise (median of " + RUNS + " runs)", "limit", "measured");

        double[] create = new double[RUNS];
        double[] plain = new double[RUNS];
        double[] command = new double[RUNS];
        double[] populate = new double[RUNS];
        double[] dirty = new double[RUNS];
        double[] exits = new double[RUNS];
        double[] memory = new double[RUNS];
        double[] vcpu = new double[RUNS];
        for (int i = 0; i < RUNS; i++) {
            create[i] = timed(slate(client.toString(), "create"));
            plain[i] = Double.parseDouble(
                    run(List.of(client.toString(), "touch", "4", "64")).strip());
            long begin = System.nanoTime();
            String output = run(slate(dirtyLogPerfTest.toString(), "-v", "4", "-b", "64M", "-i", "3"));
            command[i] = (System.nanoTime() - begin) / 1e9;
            populate[i] = seconds(output, "Populate memory time");
            dirty[i] = seconds(output, "Iteration 2 dirty memory time");
            exits[i] = Double.parseDouble(
                    run(slate(client.toString(), "exits", "1000000")).strip());
            String[] bytes =
                    run(slate(client.toString(), "memory", "60")).strip().split(" ", -1);
            memory[i] = (Double.parseDouble(bytes[1]) - Double.parseDouble(bytes[0])) / (1 << 20);
            vcpu[i] = Double.parseDouble(bytes[2]) / 1024;
        }
        row("a client that creates a VM and ends", 250, median(create) * 1e3, "ms");
        row("dirty_log_perf_test -v 4 -b 64M -i 3, the whole command", 1.5, median(command), "s");
        row("  populate, times the plain C loop", 4, median(populate) / median(plain), "x");
        row("  populate, each page", Double.NaN, median(populate) * 1e6 / PAGES, "µs");
        row("  the plain C loop, each page", Double.NaN, median(plain) * 1e6 / PAGES, "µs");
        row("  a dirty pass (iteration 2), each page", 1.5, median(dirty) * 1e6 / PAGES, "µs");
        row("an exit to the client and back", 300, median(exits), "ns");
        row("resident memory beyond the client's, 4 vCPUs", 200, median(memory), "MB");
        row("resident memory of each further vCPU", Double.NaN, median(vcpu), "KB");
        row("metadata of a 4 KiB guest page, TDP", Double.NaN, metadata("tdp=on", false), "B");
        row("  with a dirty log", Double.NaN, metadata("tdp=on", true), "B");
        row("metadata of a 4 KiB guest page, shadow paging", Double.NaN, metadata("tdp=off", false), "B");
        row("  with a dirty log", Double.NaN, metadata("tdp=off", true), "B");
    }

    /** Native bytes that a mapped guest page costs beside itself, the dirty bitmap included where the page is logged. */
    private static double metadata(String mmu, boolean logged) {
        int pages = 64 << 20 >> 12;
        Knobs knobs = Knobs.parse(mmu);
        long without;
        try (SmallGuest empty = new SmallGuest(0, SmallGuest.inForEver(), knobs)) {
            empty.runToExit();
            without = empty.vm.mmuMetadataBytes();
        }
        try (SmallGuest guest = new SmallGuest(pages * 4096L, SmallGuest.touchLoop(pages), knobs, true)) {
            long bitmap = guest.host.allocatedBytes();
            if (logged) {
                guest.mapData(1); // KVM_MEM_LOG_DIRTY_PAGES
            }
            bitmap = guest.host.allocatedBytes() - bitmap;
            guest.runToExit();
            return (double) (guest.vm.mmuMetadataBytes() - without + bitmap) / pages;
        }
    }

    private void row(String name, double limit, double measured, String unit) {
        boolean over = measured > limit; // false when there is no limit
        if (over) {
            broken++;
        }
        String most = Double.isNaN(limit) ? "" : number(limit) + " " + unit;
        System.out.printf("%-58s %10s %10s%s%n", name, most, number(measured) + " " + unit, over ? "  OVER" : "");
    }

    private static String number(double value) {
        return String.format(Locale.ROOT, value >= 100 || value == Math.rint(value) ? "%.0f" : "%.2f", value);
    }

    private List<String> slate(String... program) {
        List<String> words = new ArrayList<>(List.of(home.resolve("slate").toString(), "run", "--quiet", "--"));
        words.addAll(Arrays.asList(program));
        return words;
    }

    private static double timed(List<String> command) throws IOException, InterruptedException {
        long begin = System.nanoTime();
        run(command);
        return (System.nanoTime() - begin) / 1e9;
    }

    private static String run(List<String> command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        int status = process.waitFor();
        if (status != 0) {
            throw new IOException(String.join(" ", command) + " ended with " + status + ":\n" + output);
        }
        return output;
    }

    private static double seconds(String output, String line) throws IOException {
        int at = output.indexOf(line);
        Matcher matcher = SECONDS.matcher(output);
        if (at < 0 || !matcher.find(at)) {
            throw new IOException("no line '" + line + "' in:\n" + output);
        }
        return Double.parseDouble(matcher.group(1));
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }
}
