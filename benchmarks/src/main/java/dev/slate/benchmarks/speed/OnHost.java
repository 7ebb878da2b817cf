package dev.slate.benchmarks.speed;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** The loops compiled for the host: benchmarks/clients/native-loops.c. */
record OnHost(Path program) implements Side {
    private static final int ANSWER = 2;

    /** Whether the host can do it at all. */
    boolean can(Work work) throws IOException, InterruptedException {
        return output(work, 0).startsWith("B");
    }

    @Override
    public Took run(Work work, long rounds) throws IOException, InterruptedException {
        String[] lines = output(work, rounds).split("\n");
        if (lines.length != 2 || !lines[0].startsWith("BE")) {
            throw new IllegalStateException(
                    program + " did not finish " + work.name() + ": " + String.join("; ", lines));
        }
        return new Took(Long.parseLong(lines[1]) / 1e9, lines[0].substring(ANSWER));
    }

    private String output(Work work, long rounds) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(
                        program.toString(), Long.toString(work.parameters()[0]), Long.toString(rounds))
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.ISO_8859_1);
        process.waitFor();
        return output;
    }
}
