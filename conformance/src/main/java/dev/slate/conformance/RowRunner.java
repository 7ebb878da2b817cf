package dev.slate.conformance;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Runs one row as a process group of its own and judges it. Whatever the program started is gone when {@link #run} returns.
 * May be used by several threads at once.
 */
public final class RowRunner {
    private static final Duration PATIENCE_FOR_OUTPUT = Duration.ofSeconds(5);

    /** Of a name that is kept whole; file systems take 255 bytes. */
    private static final int LONGEST_NAME = 200;

    private final List<String> launcher;
    private final Path programs;
    private final Map<String, String> unobtainable;
    private final Path work;
    /** What runs, and the file that it counts in. */
    private final Map<Process, Path> running = new ConcurrentHashMap<>();

    /**
     * Makes a runner.
     *
     * @param launcher the command that runs a program on Slate, for instance {@code slate run --quiet}: a row's knobs as {@code --set}, then
     *     {@code --}, the program and its arguments are put behind it
     * @param programs the folder of the programs, or of the machines' parts
     * @param unobtainable the parts that can't be had here, and why: what needs one is skipped
     * @param work a folder for the logs and for what the programs leave behind
     */
    public RowRunner(List<String> launcher, Path programs, Map<String, String> unobtainable, Path work) {
        this.launcher = List.copyOf(launcher);
        this.programs = programs;
        this.unobtainable = Map.copyOf(unobtainable);
        this.work = work;
    }

    /** Where the output of a row's last run lies (its first and last 64 KiB). */
    public Path log(Row row) {
        return work.resolve(fileName(row) + ".log");
    }

    /** Runs a row to its end or its time limit. */
    public Result run(Row row) throws IOException, InterruptedException {
        Verdict unable = whyNot(row);
        if (unable != null) {
            return new Result(row, unable.outcome(), unable.reason(), Duration.ZERO, Counters.NONE);
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
        command.addAll(commandLine(row));
        ProcessBuilder builder = new ProcessBuilder(command)
                .directory(folder.toFile())
                .redirectErrorStream(true)
                .redirectInput(Path.of("/dev/null").toFile());
        Map<String, String> environment = builder.environment();
        environment.put("SLATE_COUNTERS", counters.toString());
        environment.put("LC_ALL", "C");

        long begin = System.nanoTime();
        Process process = builder.start();
        ConsoleWatch watch = new ConsoleWatch(row.program().shows());
        OutputTail output = new OutputTail(process.getInputStream(), watch);
        Thread reader =
                Thread.ofPlatform().daemon().name("output of " + row.name()).start(output);
        boolean over;
        running.put(process, counters);
        try {
            over = waitFor(process, row, watch);
        } finally {
            killGroup(process);
            killLeftBehind(counters);
            running.remove(process);
        }
        Duration time = Duration.ofNanos(System.nanoTime() - begin);
        if (!reader.join(PATIENCE_FOR_OUTPUT)) {
            process.getInputStream().close(); // something left the process group and holds the pipe
        }

        // One that never ends has been killed: having shown all is its success.
        boolean stopped = !row.program().ends() && watch.missing().isEmpty();
        int status = stopped ? row.program().status() : process.exitValue();
        try (OutputStream log = Files.newOutputStream(log(row))) {
            output.writeTo(log);
        }
        Counters served = Counters.read(counters);
        Files.delete(counters);
        deleteUnlessCrashed(folder);
        Verdict verdict = Verdict.of(new Verdict.Evidence(row, status, !over, watch.missing(), output.lines(), served));
        return new Result(row, verdict.outcome(), verdict.reason(), time, served);
    }

    /** Why the row can't run; null when it can. */
    private @Nullable Verdict whyNot(Row row) {
        Program program = row.program();
        for (String part : program.needs()) {
            String reason = unobtainable.get(part);
            if (reason != null) {
                return Verdict.skip("needs " + part + ": " + reason);
            }
        }
        if (!program.machine() && !Files.isExecutable(programs.resolve(program.name()))) {
            return new Verdict(
                    Outcome.FAIL, "the program was not built: " + programs.getFileName() + "/" + program.name());
        }
        return null;
    }

    private List<String> commandLine(Row row) {
        Program program = row.program();
        List<String> words = new ArrayList<>();
        if (program.machine()) {
            for (String word : program.command()) {
                String filled = word;
                for (String part : program.needs()) {
                    filled = filled.replace(
                            "{" + part + "}", programs.resolve(part).toString());
                }
                words.add(filled);
            }
        } else {
            words.add(programs.resolve(program.name()).toString());
        }
        words.addAll(row.arguments());
        return words;
    }

    /** Waits for the end of a program, or of what must be seen of one that has none; false when the limit came first. */
    private static boolean waitFor(Process process, Row row, ConsoleWatch watch) throws InterruptedException {
        long limit = row.limit().toMillis();
        if (row.program().ends()) {
            return process.waitFor(limit, TimeUnit.MILLISECONDS);
        }
        try {
            CompletableFuture.anyOf(process.onExit(), watch.complete()).get(limit, TimeUnit.MILLISECONDS);
            return true;
        } catch (TimeoutException late) {
            return false;
        } catch (ExecutionException impossible) {
            throw new AssertionError("neither of the two fails", impossible);
        }
    }

    /**
     * Kills what has left the process group, as a daemon does: its environment still names the row's file of counters. What belongs to
     * another user can't be read and is none of ours.
     */
    private static void killLeftBehind(Path counters) throws IOException {
        byte[] mark = ("SLATE_COUNTERS=" + counters).getBytes(StandardCharsets.UTF_8);
        try (DirectoryStream<Path> processes = Files.newDirectoryStream(Path.of("/proc"), "[0-9]*")) {
            for (Path process : processes) {
                String environment;
                try {
                    environment =
                            new String(Files.readAllBytes(process.resolve("environ")), StandardCharsets.ISO_8859_1);
                } catch (IOException goneOrForeign) {
                    continue;
                }
                if (("\0" + environment + "\0").contains("\0" + new String(mark, StandardCharsets.ISO_8859_1) + "\0")) {
                    ProcessHandle.of(Long.parseLong(process.getFileName().toString()))
                            .ifPresent(ProcessHandle::destroyForcibly);
                }
            }
        }
    }

    /** Ends every program that runs now: what an interrupted command does, since they are not in its process group. */
    void killAll() {
        for (Map.Entry<Process, Path> entry : running.entrySet()) {
            Process process = entry.getKey();
            try {
                killGroup(process);
                killLeftBehind(entry.getValue());
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
        // By its handle: Process.destroyForcibly would close the output, and what nobody has read yet would be gone.
        process.toHandle().destroyForcibly();
        process.waitFor();
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

    /** A row's name can be longer than a file's. */
    private static String fileName(Row row) {
        String name = row.name();
        String plain = name.replaceAll("[^A-Za-z0-9_.-]+", "_");
        return plain.length() <= LONGEST_NAME
                ? plain
                : plain.substring(0, LONGEST_NAME) + "_" + Integer.toHexString(name.hashCode());
    }
}
