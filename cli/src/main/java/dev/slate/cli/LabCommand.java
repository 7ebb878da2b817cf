package dev.slate.cli;

import dev.slate.lab.Bench;
import dev.slate.lab.Design;
import dev.slate.lab.Experiment;
import dev.slate.lab.LabRun;
import dev.slate.lab.Progress;
import dev.slate.lab.Scale;
import dev.slate.lab.experiments.Experiments;
import dev.slate.lab.report.HtmlReport;
import dev.slate.lab.report.JsonReport;
import dev.slate.lab.report.Machine;
import dev.slate.lab.report.Page;
import dev.slate.lab.report.TextReport;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Runs experiments on Slate's structures. */
@Command(
        name = "lab",
        description = "Runs experiments: variants of one structure side by side on one workload.",
        footer = {"", "example: slate lab run last-used-slot --quick"},
        subcommands = {LabCommand.ListCommand.class, LabCommand.RunCommand.class})
final class LabCommand implements Runnable {
    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Override
    public void run() {
        throw new CommandLine.ParameterException(spec.commandLine(), "say what: slate lab list, slate lab run NAME");
    }

    /** Lists the experiments. */
    @Command(
            name = "list",
            description = "Lists the experiments with the seed (the discussion of KVM's developers) that each answers.",
            footer = {"", "example: slate lab list"})
    static final class ListCommand implements Runnable {
        @Override
        public void run() {
            int width = Experiments.all().stream()
                    .mapToInt(experiment -> experiment.name().length())
                    .max()
                    .orElse(0);
            for (Experiment experiment : Experiments.all()) {
                System.out.println(
                        experiment.name() + " ".repeat(width - experiment.name().length() + 2) + experiment.question()
                                + " (seed " + experiment.seed() + ")");
            }
            System.out.println();
            System.out.println(
                    "A seed is a discussion of KVM's developers that the experiment answers; docs/experiments.md"
                            + " has them by number.");
        }
    }

    /** Runs one experiment, or all. */
    @Command(
            name = "run",
            description = {
                "Runs an experiment, or all of them one after the other, and prints a table of medians and spreads, with counters"
                        + " and beside them the figures of its seed, the discussion of KVM's developers that it answers"
                        + " (docs/experiments.md). Ctrl-C ends the run; what is measured by then is"
                        + " printed and written.",
                "",
                "Exit status: 0 when all rounds were run, 2 for a wrong option, 3 when the experiment could not be run,"
                        + " 130 after Ctrl-C.",
                ""
            },
            footer = {"", "example: slate lab run exit-latency --quick --html exits.html"},
            sortOptions = false)
    static final class RunCommand implements Callable<Integer> {
        @Parameters(paramLabel = "NAME", description = "The experiment (`slate lab list` names them), or all.")
        @SuppressWarnings("NullAway.Init") // picocli sets it
        private String name;

        @Option(names = "--quick", description = "Run less of it: enough to see which way the effect goes.")
        private boolean quick;

        @Option(names = "--json", paramLabel = "FILE", description = "Write every measured value as JSON.")
        private @Nullable Path json;

        @Option(names = "--html", paramLabel = "FILE", description = "Write one self-contained page with plots.")
        private @Nullable Path html;

        @Option(
                names = "--update",
                paramLabel = "FILE",
                description =
                        "Put the tables into a Markdown file, between its lines <!-- lab NAME --> and <!-- end -->.")
        private @Nullable Path update;

        @Spec
        @SuppressWarnings("NullAway.Init") // picocli sets it
        private CommandSpec spec;

        private final List<LabRun> runs = new ArrayList<>();
        private boolean reported;

        @Override
        public Integer call() throws IOException, InterruptedException {
            List<Experiment> chosen = Experiments.all().stream()
                    .filter(experiment ->
                            name.equals("all") || experiment.name().equals(name))
                    .toList();
            if (chosen.isEmpty()) {
                throw new CommandLine.ParameterException(
                        spec.commandLine(),
                        "there is no experiment '" + name + "'; `slate lab list` shows them: "
                                + String.join(
                                        ", ",
                                        Experiments.all().stream()
                                                .map(Experiment::name)
                                                .toList()));
            }
            for (Path file : new Path[] {json, html, update}) {
                if (file != null && (Files.isDirectory(file) || !Files.isWritable(writable(file)))) {
                    throw new CommandLine.ParameterException(spec.commandLine(), file + " can't be written");
                }
            }
            Bench bench = new Bench(Main.home(), quick ? Scale.QUICK : Scale.FULL, System.err);
            Thread worker = Thread.currentThread();
            Thread stopper = new Thread(() -> interrupted(worker), "report what there is");
            Runtime.getRuntime().addShutdownHook(stopper);
            PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
            for (Experiment experiment : chosen) {
                try (Design design = experiment.design(bench)) {
                    LabRun run = new LabRun(experiment, design);
                    synchronized (runs) {
                        runs.add(run);
                    }
                    run.run(progress());
                    if (!run.complete()) {
                        // The stopper reports and ends the program.
                        Thread.sleep(Long.MAX_VALUE);
                    }
                    out.println(TextReport.terminal(run));
                }
            }
            Runtime.getRuntime().removeShutdownHook(stopper);
            writeFiles();
            return 0;
        }

        /** The file itself where there is one, else the folder that it would stand in. */
        private static Path writable(Path file) {
            Path absolute = file.toAbsolutePath();
            Path folder = absolute.getParent();
            return Files.exists(absolute) || folder == null ? absolute : folder;
        }

        private static Progress progress() {
            return System.console() != null && System.console().isTerminal()
                    ? new ProgressLine()
                    : new ProgressLog(System.err);
        }

        /** Ctrl-C, on the JVM's thread for shutdown: reports and lets the JVM end. */
        private void interrupted(Thread worker) {
            LabRun last;
            synchronized (runs) {
                last = runs.isEmpty() ? null : runs.getLast();
            }
            if (last == null) {
                return;
            }
            last.stop();
            // Ends what it waits for: a selftest that runs is killed with all it has started.
            worker.interrupt();
            PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
            out.println();
            out.println(TextReport.terminal(last));
            try {
                writeFiles();
            } catch (IOException | UncheckedIOException e) {
                System.err.println("slate: " + Wording.of(e));
            }
        }

        private void writeFiles() throws IOException {
            List<LabRun> done;
            synchronized (runs) {
                if (reported) {
                    return;
                }
                reported = true;
                done = List.copyOf(runs);
            }
            Machine machine = Machine.here("./slate lab run " + name + (quick ? " --quick" : ""));
            if (json != null) {
                Files.writeString(json, JsonReport.text(done, machine));
            }
            if (html != null) {
                Files.writeString(html, HtmlReport.page(done, machine));
            }
            if (update != null) {
                Page.update(update, done, machine);
            }
        }
    }
}
