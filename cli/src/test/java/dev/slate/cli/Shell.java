package dev.slate.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Runs a command to its end and keeps what it said. */
public record Shell(int status, String out, String err) {
    static Shell run(Path folder, Map<String, String> environment, String... command)
            throws IOException, InterruptedException {
        return run(folder, environment, Arrays.asList(command));
    }

    static Shell run(Path folder, Map<String, String> environment, List<String> command)
            throws IOException, InterruptedException {
        return run(folder, environment, Path.of("/dev/null"), command);
    }

    /**
     * Runs it.
     *
     * @param input its standard input
     */
    public static Shell run(Path folder, Map<String, String> environment, Path input, List<String> command)
            throws IOException, InterruptedException {
        Path err = java.nio.file.Files.createTempFile("slate-test", ".err");
        try {
            ProcessBuilder builder = new ProcessBuilder(command)
                    .directory(folder.toFile())
                    .redirectInput(input.toFile())
                    .redirectError(err.toFile());
            builder.environment().keySet().removeIf(name -> name.startsWith("SLATE_") || name.equals("LD_PRELOAD"));
            builder.environment().putAll(environment);
            Process process = builder.start();
            String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            int status = process.waitFor();
            return new Shell(status, out, java.nio.file.Files.readString(err));
        } finally {
            java.nio.file.Files.delete(err);
        }
    }

    /** Runs a line of sh that has to succeed, with this JDK and in no language. */
    public static Shell sh(Path folder, String line) throws IOException, InterruptedException {
        Shell result =
                run(folder, Map.of("JAVA_HOME", System.getProperty("java.home"), "LC_ALL", "C"), "sh", "-c", line);
        assertThat(result.status()).as(line + ": " + result.err()).isZero();
        return result;
    }

    /** The root of Slate's tree. */
    public static Path root() {
        return Path.of(System.getProperty("slate.root", "..")).toAbsolutePath().normalize();
    }
}
