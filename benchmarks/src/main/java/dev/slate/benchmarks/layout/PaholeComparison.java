package dev.slate.benchmarks.layout;

import dev.slate.layout.LayoutSource;
import dev.slate.layout.file.LayoutFiles;
import dev.slate.layout.text.PaholeText;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/**
 * Lists every type of a file with pahole and with slate layout, each as a command of its own (cold) and slate also again and again in one JVM
 * (warm). Wall time, processor time and peak memory; the listings are compared byte for byte.
 */
public final class PaholeComparison {
    private static final int ROUNDS = Integer.getInteger("slate.rounds", 5);

    private PaholeComparison() {}

    /** One run of a command: seconds, and peak resident memory in KiB. */
    private record Run(double wall, double cpu, long memory) {}

    /** Compares for each file named, by default for the kernel's BTF that the tests downloaded. */
    public static void main(String[] files) throws IOException, InterruptedException {
        Path root = Path.of(System.getProperty("slate.home", "."));
        if (!Files.isExecutable(Path.of("/usr/bin/time")) || !Files.isExecutable(Path.of("/usr/bin/pahole"))) {
            System.err.println("slate: needs GNU time and pahole: apt-get install time dwarves");
            System.exit(3);
        }
        List<String> all = new ArrayList<>(List.of(files));
        if (all.isEmpty()) {
            Path cache = root.resolve("build/linux-image");
            if (Files.isDirectory(cache)) {
                try (Stream<Path> found = Files.walk(cache)) {
                    found.filter(f -> f.endsWith("vmlinux.btf"))
                            .map(Path::toString)
                            .forEach(all::add);
                }
            }
        }
        if (all.isEmpty()) {
            System.err.println("slate: name a file; the tests of module layout leave build/linux-image/vmlinux.btf");
            System.exit(2);
        }
        for (String file : all) compare(root, file);
    }

    private static void compare(Path root, String file) throws IOException, InterruptedException {
        boolean btf = file.endsWith(".btf");
        Path ours = Files.createTempFile("slate", ".txt");
        Path theirs = Files.createTempFile("pahole", ".txt");
        String[] pahole = btf
                ? new String[] {"pahole", "-F", "btf", file}
                : new String[] {"pahole", "-F", "dwarf", "--show_private_classes", file};
        String[] slate = {root.resolve("slate").toString(), "layout", "show", "--all", file};
        run(ours, slate); // builds what is stale, and warms the page cache
        List<Run> cold = new ArrayList<>();
        List<Run> his = new ArrayList<>();
        for (int i = 0; i < ROUNDS; i++) {
            his.add(run(theirs, pahole));
            cold.add(run(ours, slate));
        }
        int[] types = new int[1];
        double[] warm = warm(file, types);
        System.out.println("## " + Path.of(file).getFileName() + ", " + types[0] + " types, listings "
                + (Files.mismatch(ours, theirs) < 0 ? "equal byte for byte" : "DIFFERENT"));
        System.out.println();
        System.out.println("median of " + ROUNDS + " | wall s | processor s | peak MiB | µs a type");
        System.out.println("---|---|---|---|---");
        row("pahole", median(his), types[0]);
        row("slate layout, cold", median(cold), types[0]);
        System.out.printf(
                Locale.ROOT, "slate layout, warm | %.3f | %.3f | | %.2f%n", warm[1], warm[2], warm[1] * 1e6 / types[0]);
        System.out.printf(
                Locale.ROOT,
                "%nwhere the warm time goes: %.0f ms to open and find the types, %.0f ms to read members and write text%n%n",
                warm[0] * 1e3,
                (warm[1] - warm[0]) * 1e3);
        Files.delete(ours);
        Files.delete(theirs);
    }

    private static void row(String what, Run run, int types) {
        System.out.printf(
                Locale.ROOT,
                "%s | %.3f | %.3f | %.0f | %.2f%n",
                what,
                run.wall(),
                run.cpu(),
                run.memory() / 1024.0,
                run.wall() * 1e6 / types);
    }

    private static Run median(List<Run> runs) {
        double[] wall = runs.stream().mapToDouble(Run::wall).sorted().toArray();
        double[] cpu = runs.stream().mapToDouble(Run::cpu).sorted().toArray();
        long[] memory = runs.stream().mapToLong(Run::memory).sorted().toArray();
        return new Run(wall[wall.length / 2], cpu[cpu.length / 2], memory[memory.length / 2]);
    }

    private static Run run(Path output, String... command) throws IOException, InterruptedException {
        Path report = Files.createTempFile("time", ".txt");
        List<String> words = new ArrayList<>(List.of("/usr/bin/time", "-o", report.toString(), "-f", "%e %U %S %M"));
        words.addAll(Arrays.asList(command));
        Process process = new ProcessBuilder(words)
                .redirectOutput(output.toFile())
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        long start = System.nanoTime();
        int status = process.waitFor();
        double wall = (System.nanoTime() - start) / 1e9;
        if (status != 0) throw new IOException(String.join(" ", command) + " ended with " + status);
        String[] fields = Files.readString(report).strip().split(" ");
        Files.delete(report);
        return new Run(wall, Double.parseDouble(fields[1]) + Double.parseDouble(fields[2]), Long.parseLong(fields[3]));
    }

    /** Seconds to open a file, to open and list it, and the processor seconds of that, in a JVM that has done so a few times. */
    private static double[] warm(String file, int[] types) {
        double[] best = {Double.MAX_VALUE, Double.MAX_VALUE, Double.MAX_VALUE};
        long end = System.nanoTime() + 20_000_000_000L;
        for (int i = 0; i < 60 && (i < 3 * ROUNDS || System.nanoTime() < end); i++) {
            long start = System.nanoTime();
            double cpu = cpu();
            StringBuilder text = new StringBuilder(1 << 20);
            int[] count = new int[1];
            try (LayoutSource source = LayoutFiles.open(file, LayoutFiles.Options.DEFAULT)) {
                double opened = (System.nanoTime() - start) / 1e9;
                PaholeText listing = new PaholeText(text, PaholeText.Options.DEFAULT);
                source.forEachAggregate(type -> {
                    listing.write(type);
                    count[0]++;
                    if (text.length() > 1 << 19) text.setLength(0);
                });
                double all = (System.nanoTime() - start) / 1e9;
                best[2] = Math.min(best[2], cpu() - cpu);
                if (all < best[1]) {
                    best[0] = opened;
                    best[1] = all;
                }
            }
            types[0] = count[0];
        }
        return best;
    }

    /** Processor seconds of this JVM so far, those of its compiler included. */
    private static double cpu() {
        return ProcessHandle.current()
                        .info()
                        .totalCpuDuration()
                        .orElse(Duration.ZERO)
                        .toNanos()
                / 1e9;
    }
}
