package dev.slate.conformance;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * Runs one row as a process group of its own and judges it. Whatever the program started is gone when {@link #run} returns.
 * May be used by several threads at once.
 */
public final class RowRunner {
    private static final Duration PATIENCE_FOR_OUTPUT = Duration.ofSeconds(5);

    private final List<String> launcher;
    private final Path programs;
    private final Path work;
    private final Set<Process> running = ConcurrentHashMap.newKeySet();

    /**
     * Makes a runner.
     *
     * @param launcher the command that runs a program on Slate, for instance {@code slate run --quiet}: a row's knobs as {@code --set}, then
     *     {@code --}, the program and its arguments are put behind it
     * @param programs the folder of the programs
     * @param work a folder for the logs and for what the programs leave behind
     */
    public RowRunner(List<String> launcher, Path programs, Path work) {
        this.launcher = List.copyOf(launcher);
        this.programs = programs;
        this.work = work;
    }

    /** Where the output of a row's last run lies (its first and last 64 KiB). */
    public Path log(Row row) {
        return work.resolve(fileName(row) + ".log");
    }

    /** Runs a row to its end or its time limit. */
    public Result run(Row row) throws IOException, InterruptedException {
        Path program = programs.resolve(row.program());
        if (!Files.isExecutable(program)) {
            return new Result(
                    row,
                    Outcome.FAIL,
                    "the program was not built: " + programs.getFileName() + "/" + row.program(),
                    Duration.ZERO,
                    Counters.NONE);
        }
        Path folder = work.resolve(fileName(row));
        Files.createDirectories(folder);
        Path counters = work.resolve(fileName(row) + ".counters");
        Counters.create(counters);

        // setsid: the program and all that it starts form one process group, whose number is the program's.
        List<String> command = new ArrayList<>(List.of("setsid"));
        command.addAll(launcher);
        for (String knob : row.knobs()) {
            command.add("--set");
            command.add(knob);
        }
        command.add("--");
        command.add(program.toString());
        command.addAll(row.arguments());
        ProcessBuilder builder = new ProcessBuilder(command)
                .directory(folder.toFile())
                .redirectErrorStream(true)
                .redirectInput(Path.of("/dev/null").toFile());
        Map<String, String> environment = builder.environment();
        environment.put("SLATE_COUNTERS", counters.toString());
        environment.put("LC_ALL", "C");

        long begin = System.nanoTime();
        Process process = builder.start();
        OutputTail output = new OutputTail(process.getInputStream());
        Thread reader =
                Thread.ofPlatform().daemon().name("output of " + row.name()).start(output);
        boolean ended;
        running.add(process);
        try {
            ended = process.waitFor(row.limit().toMillis(), TimeUnit.MILLISECONDS);
        } finally {
            killGroup(process);
            running.remove(process);
        }
        Duration time = Duration.ofNanos(System.nanoTime() - begin);
        int status = ended ? process.exitValue() : -1;
        if (!reader.join(PATIENCE_FOR_OUTPUT)) {
            process.getInputStream().close(); // something left the process group and holds the pipe
        }

        try (OutputStream log = Files.newOutputStream(log(row))) {
            output.writeTo(log);
        }
        Counters served = Counters.read(counters);
        Files.delete(counters);
        deleteUnlessCrashed(folder);
        Verdict verdict = Verdict.of(new Verdict.Evidence(status, !ended, row.limit(), output.lines(), served));
        return new Result(row, verdict.outcome(), verdict.reason(), time, served);
    }

    /** Ends every program that runs now: what an interrupted command does, since they are not in its process group. */
    void killAll() {
        for (Process process : running) {
            try {
                killGroup(process);
            } catch (IOException | InterruptedException e) {
                process.destroyForcibly();
            }
        }
    }

    private static void killGroup(Process process) throws IOException, InterruptedException {
        // Fails when the group is gone already, which is what we want.
        new ProcessBuilder("kill", "-KILL", "--", "-" + process.pid())
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start()
                .waitFor();
        process.destroyForcibly().waitFor();
    }

    /** Deletes what the program left, but keeps the folder with the report of a crashed JVM. */
    private static void deleteUnlessCrashed(Path folder) throws IOException {
        List<Path> left;
        try (Stream<Path> files = Files.list(folder)) {
            left = files.toList();
        }
        for (Path file : left) {
            if (!file.getFileName().toString().startsWith("hs_err") && Files.isRegularFile(file)) {
                Files.delete(file);
            }
        }
        try (Stream<Path> files = Files.list(folder)) {
            if (files.findAny().isPresent()) {
                return;
            }
        }
        Files.delete(folder);
    }

    private static String fileName(Row row) {
        return row.name().replaceAll("[^A-Za-z0-9_.-]+", "_");
    }
}
