package dev.slate.sweep;

import dev.slate.conformance.BoardSuite;
import dev.slate.conformance.Suite;
import dev.slate.lab.report.Machine;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * {@code slate sweep}. Its help is the script's, which must not fetch Spark to show it. The script sets {@code slate.home}, the root of the
 * tree, {@code slate.version} and {@code slate.sweep.jars}, what workers load.
 */
@Command(name = "sweep")
public final class SweepCommand implements Callable<Integer> {
    /** Exit status when a job did not pass. */
    static final int NOT_PASSED = 1;

    static final int USAGE = 2;
    static final int UNABLE = 3;

    @Parameters(paramLabel = "FILE", arity = "1")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path file;

    @Option(names = "--master")
    private String master = "local[*]";

    @Option(names = "--conf")
    private List<String> settings = List.of();

    @Option(names = "--archive")
    private @Nullable Path archive;

    @Option(names = "--output")
    private @Nullable Path output;

    @Option(names = "--anew")
    private boolean anew;

    @Option(names = "--list")
    private boolean list;

    /** Runs the command and ends the JVM with its exit status. */
    public static void main(String[] arguments) {
        System.exit(commandLine().execute(arguments));
    }

    static CommandLine commandLine() {
        return new CommandLine(new SweepCommand())
                .setExecutionExceptionHandler((exception, command, parsed) -> {
                    if (exception instanceof SweepException || exception instanceof IOException) {
                        command.getErr().println("slate: " + wording(exception));
                        return exception instanceof SweepException ? USAGE : UNABLE;
                    }
                    throw exception;
                })
                .setParameterExceptionHandler((exception, arguments) -> {
                    PrintStream err = System.err;
                    err.println("slate: sweep: " + exception.getMessage());
                    err.println("       `slate sweep --help` says more.");
                    return USAGE;
                });
    }

    private static String wording(Exception exception) {
        if (exception instanceof java.nio.file.NoSuchFileException missing) {
            return missing.getFile() + ": no such file";
        }
        if (exception instanceof FileSystemException failure) {
            return failure.getFile() + ": "
                    + (failure.getReason() == null ? "can't be read or written" : failure.getReason());
        }
        return String.valueOf(exception.getMessage());
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        Path home = Path.of(System.getProperty("slate.home", ".."));
        if (archive != null && !Files.isRegularFile(archive)) {
            throw new SweepException("--archive " + archive + ": no such file; `slate dist` makes it");
        }
        SweepFile sweep = SweepFile.read(file, home, archive != null);
        List<Job> jobs = sweep.jobs();
        if (list) {
            jobs.forEach(job -> System.out.println(job.id() + (job.timed() ? " (alone)" : "")));
            return 0;
        }
        for (Map.Entry<BoardSuite, Suite> board : sweep.boards().entrySet()) {
            if (board.getKey().prepare(board.getValue(), System.err).isEmpty()) {
                return UNABLE;
            }
        }
        String name = String.valueOf(file.getFileName()).replaceFirst("\\.ya?ml$", "");
        Path folder = output != null ? output : Path.of(name + ".sweep");
        Files.createDirectories(folder);
        Path lines = folder.resolve("results.jsonl");
        if (anew) {
            Files.deleteIfExists(lines);
        }
        try (Journal journal = new Journal(lines, System.getProperty("slate.version", "unknown"))) {
            run(jobs, journal, home);
            return report(jobs, journal, folder, name);
        }
    }

    private void run(List<Job> jobs, Journal journal, Path home) throws IOException {
        List<Job> left = jobs.stream().filter(job -> !journal.has(job)).toList();
        if (left.size() < jobs.size()) {
            System.err.println(
                    "slate: going on: " + (jobs.size() - left.size()) + " of " + jobs.size() + " jobs are done");
        }
        if (left.isEmpty()) {
            return;
        }
        // Spark would end the JVM without a word.
        Files.delete(JobRun.folder(Path.of(System.getProperty("java.io.tmpdir"))));
        boolean terminal = System.console() != null && System.console().isTerminal();
        Progress progress = new Progress(System.err, terminal, left.size());
        AtomicReference<@Nullable String> trouble = new AtomicReference<>();
        String jars = System.getProperty("slate.sweep.jars", "");
        try (SparkRun spark = new SparkRun(
                master,
                jars.isEmpty() ? List.of() : List.of(jars.split(":")),
                home.resolve("slate").toAbsolutePath(),
                archive == null ? "" : archive.toString(),
                settings)) {
            // What is timed comes last, so that it waits for nothing else's end but once.
            for (boolean timed : new boolean[] {false, true}) {
                spark.run(left.stream().filter(job -> job.timed() == timed).toList(), (job, result) -> {
                    if (SparkRun.TROUBLE.equals(result.get("result"))) {
                        trouble.set(job.id() + ": " + result.get("reason"));
                    } else {
                        Map<String, Object> kept = reported(result);
                        journal.add(job, kept);
                        progress.ended(passed(kept));
                    }
                });
            }
        } catch (UncheckedIOException e) {
            throw new IOException(e.getMessage(), e);
        }
        if (trouble.get() != null) {
            System.err.println("slate: not run: " + trouble.get());
            System.err.println("       The same command goes on with what is left.");
        }
    }

    /** A result with what the job's own report says in place of the report. */
    static Map<String, Object> reported(Map<String, Object> result) {
        Map<String, Object> whole = new LinkedHashMap<>(result);
        if (!(whole.remove("report") instanceof String text)) {
            return whole;
        }
        JsonNode report;
        try {
            report = JsonMapper.builder().build().readTree(text);
        } catch (JacksonException e) {
            whole.put("result", "fail");
            whole.put("reason", "its report is cut off");
            return whole;
        }
        JsonNode row = report.path("rows").path(0);
        if (row.isMissingNode()) {
            whole.put("report", report);
            return whole;
        }
        boolean expected = report.path("differences").isEmpty();
        String outcome = row.path("result").asString("");
        whole.put("result", expected && outcome.equals("fail") ? "fail as expected" : expected ? outcome : "fail");
        whole.put(
                "reason",
                expected
                        ? row.path("reason").asString("")
                        : report.path("differences").path(0).path("difference").asString(""));
        // The row's own time, without the start of what ran it.
        whole.put("seconds", row.path("time_ms").asDouble(0) / 1000);
        Map<String, Long> measures = new LinkedHashMap<>();
        measures.put("ioctls", row.path("ioctls").asLong(0));
        measures.put("exits", row.path("exits").asLong(0));
        whole.put("measures", measures);
        return whole;
    }

    /** Whether a result is no reason to look. */
    static boolean passed(Map<String, Object> result) {
        return !"fail".equals(result.get("result")) && !"limit".equals(result.get("result"));
    }

    private int report(List<Job> jobs, Journal journal, Path folder, String name) throws IOException {
        SweepReport report = new SweepReport(jobs, journal.results());
        String table = report.grid().text();
        List<String> command = new ArrayList<>(List.of("./slate", "sweep", String.valueOf(file)));
        if (!master.equals("local[*]")) {
            command.addAll(List.of("--master", master));
        }
        Files.writeString(folder.resolve("table.txt"), table);
        Machine machine = Machine.here(String.join(" ", command));
        Files.writeString(folder.resolve("page.html"), report.page(machine, name));
        Files.writeString(folder.resolve("page.md"), report.markdown(machine, name));
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        out.print(table);
        report.failures().stream().limit(20).forEach(line -> out.println("  " + line));
        out.println("jobs: " + report.count().toString().replaceAll("[{}]", "") + "; " + folder
                + "/results.jsonl, table.txt, page.html, page.md");
        boolean complete = jobs.stream().allMatch(journal::has);
        return !complete ? UNABLE : report.failures().isEmpty() ? 0 : NOT_PASSED;
    }
}
