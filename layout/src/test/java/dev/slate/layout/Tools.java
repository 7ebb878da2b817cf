package dev.slate.layout;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.junit.jupiter.api.Assumptions;

/** Programs of this machine that the tests compare with or build with. A test without its program is skipped, and says so. */
final class Tools {
    private Tools() {}

    /** The project's root. */
    static Path root() {
        String root = System.getProperty("slate.root");
        return root == null ? Path.of("..").toAbsolutePath().normalize() : Path.of(root);
    }

    /** A folder below build/ that outlives the test, for what was downloaded. */
    static Path cache(String name) throws IOException {
        return Files.createDirectories(root().resolve("build").resolve(name));
    }

    static boolean has(String program) {
        for (String folder : System.getenv("PATH").split(":"))
            if (Files.isExecutable(Path.of(folder, program))) return true;
        String home = System.getProperty("user.home");
        return Files.isExecutable(Path.of(home, ".cargo", "bin", program));
    }

    /** Debian's packages, where the program is not called as they are. */
    private static final Map<String, String> PACKAGES = Map.of(
            "cc", "gcc libc6-dev",
            "c++", "g++",
            "pahole", "dwarves",
            "objcopy", "binutils",
            "strip", "binutils",
            "size", "binutils");

    /** Skips the test if a program is missing; `slate test` lists the reason. */
    static void need(String... programs) {
        for (String program : programs) {
            if (has(program)) continue;
            skip("needs " + program + ": "
                    + (program.startsWith("apt-") || program.equals("dpkg-deb")
                            ? "it comes with Debian and its kin"
                            : "apt-get install -y " + PACKAGES.getOrDefault(program, program)));
        }
    }

    /** Skips the test; `slate test` lists the reason, which says what is needed and the command that brings it. */
    static void skip(String why) {
        Assumptions.abort(why);
    }

    /** What a program writes to standard output; fails the test if it fails. */
    static String run(Path folder, String... command) throws IOException, InterruptedException {
        Path output = Files.createTempFile("slate", ".out");
        Path error = Files.createTempFile("slate", ".err");
        try {
            int status = start(folder, output, error, command);
            String text = Files.readString(output, StandardCharsets.ISO_8859_1);
            if (status != 0) {
                throw new AssertionError(
                        String.join(" ", command) + " ended with " + status + ": " + Files.readString(error));
            }
            return text;
        } finally {
            Files.deleteIfExists(output);
            Files.deleteIfExists(error);
        }
    }

    /** Whether a program succeeds. */
    static boolean succeeds(Path folder, String... command) throws IOException, InterruptedException {
        Path sink = Path.of("/dev/null");
        return start(folder, sink, sink, command) == 0;
    }

    private static int start(Path folder, Path output, Path error, String... command)
            throws IOException, InterruptedException {
        List<String> words = new ArrayList<>(Arrays.asList(command));
        Path cargo = Path.of(System.getProperty("user.home"), ".cargo", "bin", words.getFirst());
        if (Files.isExecutable(cargo)) words.set(0, cargo.toString());
        ProcessBuilder builder = new ProcessBuilder(words)
                .directory(folder.toFile())
                .redirectOutput(output.toFile())
                .redirectError(error.toFile());
        builder.environment().put("LC_ALL", "C");
        Process process = builder.start();
        try {
            return process.waitFor();
        } finally {
            process.destroyForcibly(); // the test is past its time
        }
    }

    /** The option with which truth/truth.rs compiles with an old rustc (Debian 12 has 1.63), or nothing. */
    static String rustConfiguration() throws IOException, InterruptedException {
        String[] version = run(root(), "rustc", "--version").split("[ .]");
        return version[1].equals("1") && Integer.parseInt(version[2]) < 66 ? "--cfg before_1_66 " : "";
    }

    /** A file of src/test/resources. */
    static Path resource(String name) {
        return root().resolve("layout/src/test/resources").resolve(name);
    }

    /** Splits a listing of pahole's into the types it has. */
    static void blocks(String listing, Consumer<String> each) {
        int start = 0;
        int at = 0;
        while (at < listing.length()) {
            int end = listing.indexOf('\n', at);
            if (end < 0) end = listing.length();
            // A definition ends where a line starts with its closing brace.
            if (listing.startsWith("}", at)) {
                each.accept(listing.substring(start, Math.min(end + 1, listing.length())));
                start = end + 1;
            }
            at = end + 1;
        }
    }
}
