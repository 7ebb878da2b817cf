package dev.slate.conformance;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * The questions that are put to a KVM and the answers of a real one: programs and answers in {@code conformance/answers} of Slate's tree,
 * how they are built, and how they are asked of Slate.
 */
public final class Answers {
    /** The sets, each a C program and a file of answers. */
    public static final List<String> SETS = List.of("ask", "exit-rip", "irq-answers", "no-memory", "mmio-emulation");

    private static final Duration LIMIT = Duration.ofMinutes(2);

    private final Path home;

    /** The sets in the tree whose root is {@code home}. */
    public Answers(Path home) {
        this.home = home;
    }

    private Path folder() {
        return home.resolve("conformance/answers");
    }

    private Path built() {
        return home.resolve("build/answers");
    }

    /** Where Slate is expected to differ. */
    public Path expectations() {
        return folder().resolve("expected");
    }

    /** The page made of it. */
    public Path page() {
        return home.resolve("docs/answers.md");
    }

    /** What the real KVM answered. */
    public AnswerSet real(String set) throws IOException {
        return AnswerSet.read(set, folder().resolve(set + ".txt"));
    }

    /**
     * Compiles the programs that are not there or older than their source; a second.
     *
     * @return false when that failed; the compiler's output has been printed
     */
    public boolean build(PrintStream messages) throws IOException, InterruptedException {
        Files.createDirectories(built());
        for (String set : SETS) {
            Path source = folder().resolve(set + ".c");
            Path program = built().resolve(set);
            if (Files.exists(program)
                    && Files.getLastModifiedTime(program).compareTo(Files.getLastModifiedTime(source)) >= 0) {
                continue;
            }
            Path log = built().resolve(set + ".log");
            int status = new ProcessBuilder("cc", "-O1", "-w", "-o", program.toString(), source.toString())
                    .redirectErrorStream(true)
                    .redirectOutput(log.toFile())
                    .start()
                    .waitFor();
            if (status != 0) {
                messages.println("slate: " + home.relativize(source) + " does not compile:");
                Files.readAllLines(log).forEach(line -> messages.println("       " + line));
                return false;
            }
        }
        return true;
    }

    /** To be set where Slate is asked: the real KVM's processor had no performance counters. */
    public static final String KNOB = "pmu=off";

    /**
     * Asks Slate.
     *
     * @param launcher the command that runs a program on Slate
     * @param complaint told why there is no answer: the program failed, or another KVM than Slate served it
     * @return what it answered; nothing after a complaint
     */
    public Optional<AnswerSet> ask(String set, List<String> launcher, Consumer<String> complaint)
            throws IOException, InterruptedException {
        Path output = built().resolve(set + ".out");
        Path counters = built().resolve(set + ".counters");
        Counters.create(counters);
        List<String> command = new ArrayList<>(launcher);
        command.add("--");
        command.add(built().resolve(set).toString());
        ProcessBuilder builder = new ProcessBuilder(command)
                .redirectInput(Path.of("/dev/null").toFile())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .redirectOutput(output.toFile());
        Map<String, String> environment = builder.environment();
        environment.put("SLATE_COUNTERS", counters.toString());
        environment.put("LC_ALL", "C");
        Process process = builder.start();
        boolean ended = process.waitFor(LIMIT.toMillis(), TimeUnit.MILLISECONDS);
        process.destroyForcibly().waitFor();
        Counters served = Counters.read(counters);
        Files.delete(counters);
        if (!ended) {
            complaint.accept(
                    set + " had not ended after " + LIMIT.toSeconds() + " s; what it said: " + home.relativize(output));
            return Optional.empty();
        }
        if (process.exitValue() != 0) {
            complaint.accept(
                    set + " ended with status " + process.exitValue() + "; what it said: " + home.relativize(output));
            return Optional.empty();
        }
        if (served.ioctls() == 0) {
            complaint.accept(set + " was not served by Slate");
            return Optional.empty();
        }
        return Optional.of(AnswerSet.read(set, output));
    }
}
