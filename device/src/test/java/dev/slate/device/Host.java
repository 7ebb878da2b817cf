package dev.slate.device;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** The machine's C compiler and programs, for tests. */
public final class Host {
    /** The module's folder, where Maven runs tests. */
    static final Path MODULE = Path.of("").toAbsolutePath();

    private static final Path BUILT = MODULE.resolve("target/test-native");

    /** What programs are made of: the command, and the source's text. */
    private static final Map<Path, List<String>> COMPILED = new HashMap<>();

    /** How a program ended. */
    public record Result(int status, String output) {}

    private Host() {}

    /** Compiles a C program and gives its file. */
    public static Path compile(String name, String source) throws IOException, InterruptedException {
        Path file = built().resolve(name + ".c");
        Files.writeString(file, source);
        return compile(file);
    }

    /** Compiles a C program and gives its file. */
    public static Path compile(Path source) throws IOException, InterruptedException {
        return compile(source, "", List.of("cc"));
    }

    /**
     * Compiles a C program with a compiler and its options; what is added to the name of its file tells the builds apart. What is
     * built already is as it was: tests run at the same time, and a program that runs cannot be written.
     */
    static Path compile(Path source, String suffix, List<String> compiler) throws IOException, InterruptedException {
        needKvmHeaders();
        String name = source.getFileName().toString();
        Path program = built().resolve(name.substring(0, name.lastIndexOf('.')) + suffix);
        List<String> command = new ArrayList<>(compiler);
        command.addAll(List.of("-O1", "-g", "-w", "-pthread", "-o", program.toString(), source.toString()));
        List<String> made = new ArrayList<>(command);
        made.add(Files.readString(source));
        synchronized (COMPILED) {
            if (!made.equals(COMPILED.get(program))) {
                Result result = run(Map.of(), command);
                if (result.status() != 0) {
                    throw new IllegalStateException(command + ":\n" + result.output());
                }
                COMPILED.put(program, made);
            }
        }
        return program;
    }

    /** The folder for what tests build. */
    static Path built() throws IOException {
        return Files.createDirectories(BUILT);
    }

    /** Skips the test where the compiler finds no linux/kvm.h of the age of the ABI that Slate serves. */
    private static void needKvmHeaders() throws IOException, InterruptedException {
        synchronized (Host.class) {
            if (kvmHeaders == null) {
                String probe = "printf '#include <linux/kvm.h>\\nint probe = KVM_CAP_DIRTY_LOG_RING_ACQ_REL;\\n'"
                        + " | cc -xc -fsyntax-only - 2>&1";
                kvmHeaders = run(Map.of(), List.of("sh", "-c", probe)).status() == 0;
            }
        }
        assumeTrue(kvmHeaders, "needs linux/kvm.h of Linux 6.1 or newer: apt-get install -y linux-libc-dev");
    }

    /** How long a program may take that a test runs; on a busy machine, too. The nightly profile's run for longer. */
    private static final Duration LIMIT =
            Duration.ofMinutes(5).plusSeconds(Integer.getInteger("slate.soak.seconds", 0));

    /** Runs a program to its end, both its outputs together; one that hangs is killed, with all that it has started, and the test fails. */
    public static Result run(Map<String, String> environment, List<String> command)
            throws IOException, InterruptedException {
        return run(environment, command, LIMIT);
    }

    static Result run(Map<String, String> environment, List<String> command, Duration limit)
            throws IOException, InterruptedException {
        Files.createDirectories(BUILT);
        Path output = Files.createTempFile(BUILT, "output", ".txt");
        ProcessBuilder builder =
                new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile());
        builder.environment().putAll(environment);
        Process process = builder.start();
        boolean ended = false;
        try {
            ended = process.waitFor(limit.toMillis(), TimeUnit.MILLISECONDS);
            String text = Files.readString(output, StandardCharsets.ISO_8859_1);
            if (!ended) {
                throw new AssertionError(command + " did not end in " + limit + "; its output:\n" + text);
            }
            return new Result(process.exitValue(), text);
        } finally {
            if (!ended) {
                process.descendants().forEach(ProcessHandle::destroyForcibly);
                process.destroyForcibly().waitFor();
            }
            Files.delete(output);
        }
    }

    /** Runs a program on Slate, as `slate run` does, with the classes that Maven has just compiled. */
    static Result slate(Map<String, String> more, Path program, String... arguments)
            throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(program.toString()));
        command.addAll(List.of(arguments));
        return run(onSlate(more), command);
    }

    /** Runs a program that nothing can be preloaded into, as `slate run` does: Slate's loader brings it in. */
    static Result loaded(Map<String, String> more, List<String> before, Path program, String... arguments)
            throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(before);
        Map<String, String> environment = onSlate(more);
        command.addAll(List.of(BUILT.resolve("slate-loader").toString(), program.toString(), program.toString()));
        command.addAll(List.of(arguments));
        return run(environment, command);
    }

    /** Skips a test whose client Slate's loader must bring in, where the machine lacks what that needs: it says so and ends with 126. */
    static void needLoader() throws IOException, InterruptedException {
        Result result = loaded(Map.of("SLATE_QUIET", "1"), List.of(), Path.of("/bin/true"));
        assumeTrue(result.status() != 126, "needs syscall user dispatch: Linux 5.11 or newer");
    }

    /** Starts a program on Slate; the file that its output goes to. It ends by itself. */
    static Path start(Map<String, String> more, Path program) throws IOException, InterruptedException {
        Path output = Files.createTempFile(BUILT, "started", ".txt");
        ProcessBuilder builder =
                new ProcessBuilder(program.toString()).redirectErrorStream(true).redirectOutput(output.toFile());
        builder.environment().putAll(onSlate(more));
        builder.start();
        return output;
    }

    private static Map<String, String> onSlate(Map<String, String> more) throws IOException, InterruptedException {
        Map<String, String> environment = new HashMap<>(more);
        Path root = MODULE.getParent();
        assumeTrue(
                !root.toString().matches(".*[ :].*"),
                "needs a checkout whose path has neither blank nor colon, which LD_PRELOAD can't hold: move it");
        String javaHome = System.getProperty("java.home");
        environment.put("LD_PRELOAD", shim().toString());
        environment.put("ASAN_OPTIONS", "verify_asan_link_order=0");
        environment.put("SLATE_HOME", root.toString());
        environment.put("SLATE_JAVA_HOME", javaHome);
        environment.put(
                "SLATE_CLASSPATH",
                root.resolve("cpu/target/classes") + ":" + root.resolve("kvm/target/classes") + ":"
                        + root.resolve("debug/target/classes") + ":"
                        + root.resolve("device/target/classes"));
        return environment;
    }

    private static Path shim() throws IOException, InterruptedException {
        Path library = BUILT.resolve("libslate.so");
        synchronized (Host.class) {
            if (!built) {
                Result result = run(
                        Map.of("JAVA_HOME", System.getProperty("java.home")),
                        List.of("sh", MODULE.resolve("native/build.sh").toString(), BUILT.toString()));
                if (result.status() != 0) {
                    throw new IllegalStateException("native/build.sh:\n" + result.output());
                }
                built = true;
            }
        }
        return library;
    }

    private static boolean built;
    private static @Nullable Boolean kvmHeaders;
}
