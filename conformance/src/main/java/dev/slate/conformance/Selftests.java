package dev.slate.conformance;

import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * The KVM selftests of Debian's {@code linux-source-6.1}: where their sources, programs and expectations lie in Slate's
 * tree, and how they are built. The board is the same however they are linked.
 *
 * @param linkedStatically the programs are static, and Slate's loader brings them in
 */
public record Selftests(Path home, boolean linkedStatically) implements BoardSuite {
    private static final int PROGRESS_SECONDS = 10;

    /** Linked dynamically, as the sources' own Makefile does. */
    public Selftests(Path home) {
        this(home, false);
    }

    private Path folder() {
        return home.resolve(linkedStatically ? "build/selftests-static" : "build/selftests");
    }

    @Override
    public String name() {
        return "selftests";
    }

    @Override
    public String heading() {
        return """
                # KVM selftests on Slate

                The board of whole machines (QEMU with Debian's kernels, microsandbox) is [another page](machines.md). This one has the
                KVM selftests of Debian's `linux-source-6.1`, compiled and run unmodified.""";
    }

    @Override
    public Path programs() {
        return folder().resolve("bin");
    }

    @Override
    public Path logs() {
        return folder().resolve("log");
    }

    @Override
    public Optional<Map<String, String>> prepare(Suite rows, PrintStream messages)
            throws IOException, InterruptedException {
        return build(messages) ? Optional.of(Map.of()) : Optional.empty();
    }

    /**
     * Unpacks and compiles the programs when they are not there or the recipe has changed since: half a minute, or some
     * where the machine is busy.
     *
     * @return false when that failed; the end of the compiler's output has been printed
     */
    public boolean build(PrintStream messages) throws IOException, InterruptedException {
        Path recipe = home.resolve("conformance/build-selftests.sh");
        Path folder = folder();
        Path stamp = folder.resolve("built");
        if (Files.exists(stamp) && Files.getLastModifiedTime(stamp).compareTo(Files.getLastModifiedTime(recipe)) >= 0) {
            return true;
        }
        messages.println("slate: building the KVM selftests of linux-source-6.1 (half a minute on a quiet machine)");
        Files.createDirectories(folder);
        Path log = folder.resolve("build.log");
        List<String> command = new ArrayList<>(List.of("sh", recipe.toString(), folder.toString()));
        if (linkedStatically) {
            command.add("-static");
        }
        Process build = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        long begin = System.nanoTime();
        while (!build.waitFor(PROGRESS_SECONDS, TimeUnit.SECONDS)) {
            messages.println("slate:   " + (System.nanoTime() - begin) / 1_000_000_000 + " s: " + step(folder));
        }
        int status = build.exitValue();
        if (status == 0) {
            return true;
        }
        String output = Files.readString(log);
        messages.println(output.substring(Math.max(0, output.length() - 4000)));
        messages.println("slate: the selftests could not be built; the whole output is in " + log
                + ". `slate doctor` says what is missing.");
        return false;
    }

    /** How far the recipe has come, by what lies there. */
    private static String step(Path folder) throws IOException {
        Path sources = folder.resolve("src/tools/testing/selftests/kvm");
        if (!Files.isDirectory(folder.resolve("src/usr/include/linux"))) {
            return Files.isDirectory(sources) ? "installing the kernel's headers" : "unpacking the sources";
        }
        int programs = 0;
        try (Stream<Path> files = Files.walk(sources, 2)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                String name = file.getFileName().toString();
                if (Files.isRegularFile(file) && Files.isExecutable(file) && !name.contains(".")) {
                    programs++;
                }
            }
        } catch (UncheckedIOException goneMeanwhile) {
            return "compiling";
        }
        return "compiling, " + programs + " of 68 programs built";
    }
}
