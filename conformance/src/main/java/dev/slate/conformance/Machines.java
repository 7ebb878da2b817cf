package dev.slate.conformance;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** Whole machines: VMMs and guests as their makers ship them. Their parts are fetched into {@code build/machines/parts}. */
public record Machines(Path home) implements BoardSuite {
    /** For one part; the largest is a package of 70 MB. */
    private static final Duration PATIENCE = Duration.ofMinutes(15);

    @Override
    public String name() {
        return "machines";
    }

    @Override
    public String heading() {
        return """
                # Whole machines on Slate

                VMMs, kernels and programs as Debian and npm ship them, unmodified, each to what its console must show.""";
    }

    @Override
    public Path programs() {
        return home.resolve("build/machines/parts");
    }

    @Override
    public Optional<Map<String, String>> prepare(Suite rows, PrintStream messages)
            throws IOException, InterruptedException {
        Files.createDirectories(programs());
        Map<String, String> unobtainable = new LinkedHashMap<>();
        for (String part : rows.needs()) {
            String reason = obtain(part);
            if (!reason.isEmpty()) {
                messages.println("slate: without " + part + ": " + reason);
                unobtainable.put(part, reason);
            }
        }
        return Optional.of(unobtainable);
    }

    /** Runs the recipe, whose progress goes to standard error; returns why the part can't be had, or nothing. */
    private String obtain(String part) throws IOException, InterruptedException {
        Process recipe = new ProcessBuilder(
                        "sh",
                        home.resolve("conformance/machines/part.sh").toString(),
                        programs().toString(),
                        part)
                .redirectInput(Path.of("/dev/null").toFile())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        String reason;
        try {
            if (!recipe.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)) {
                return "fetching it had not ended after " + PATIENCE.toMinutes() + " minutes";
            }
            reason = new String(recipe.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
        } finally {
            recipe.descendants().forEach(ProcessHandle::destroy);
            recipe.destroy();
        }
        if (recipe.exitValue() == 0) {
            return "";
        }
        return reason.isEmpty() ? "its recipe ended with status " + recipe.exitValue() : reason;
    }
}
