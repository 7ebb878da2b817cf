package dev.slate.cli;

import dev.slate.conformance.Board;
import dev.slate.conformance.BoardSuite;
import dev.slate.conformance.ConformanceRun;
import dev.slate.conformance.Expectations;
import dev.slate.conformance.Expectations.Difference;
import dev.slate.conformance.Row;
import dev.slate.conformance.RowRunner;
import dev.slate.conformance.Suite;
import dev.slate.conformance.SuiteFormatException;
import java.io.Console;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.regex.PatternSyntaxException;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Runs a suite on Slate, prints its board while it grows and compares it with the expected one. */
abstract class BoardCommand implements Callable<Integer> {
    @Option(
            names = "--filter",
            paramLabel = "GLOB",
            description = "Run the rows whose command line or program matches.")
    private @Nullable String filter;

    @Option(names = "--row", paramLabel = "NAME", description = "Run the one row that --list shows under this name.")
    private @Nullable String only;

    @Option(names = "--json", paramLabel = "FILE", description = "Write the board as JSON.")
    private @Nullable Path json;

    @Option(names = "--board", paramLabel = "FILE", description = "Write the board as a Markdown page.")
    private @Nullable Path board;

    @Option(
            names = "--logs",
            paramLabel = "FOLDER",
            description = "Where the rows' logs go and what they leave; two boards of one tree at once need two.")
    private @Nullable Path logs;

    @Option(
            names = "--repeat",
            paramLabel = "N",
            defaultValue = "1",
            description = "Run each row N times; the worst result counts.")
    private int repeat;

    @Option(
            names = "--jobs",
            paramLabel = "N",
            defaultValue = "1",
            description = "Run N rows at once. Several tests measure time and may fail on a busy machine.")
    private int jobs;

    @Option(
            names = "--retry",
            description = "Run a row that came out otherwise than expected once more; the second result counts."
                    + " For machines whose load nobody controls.")
    private boolean retry;

    @Option(
            names = "--set",
            paramLabel = "NAME=VALUE",
            description = "Set a knob for every row, as slate run does; may be repeated.")
    private List<String> knobs = List.of();

    @Option(names = "--update", description = "Take what the rows gave as the expected result.")
    private boolean update;

    @Option(names = "--list", description = "Show the rows and run nothing.")
    private boolean list;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    /** The suite of the tree whose root is {@code home}. */
    abstract BoardSuite suite(Path home);

    /** The options that this suite alone has, as they were given, each behind a blank. */
    String ownOptions() {
        return "";
    }

    /** The rows that run when no filter is given. */
    Suite unfiltered(Suite whole) {
        return whole;
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        PrintStream out = System.out;
        PrintStream err = System.err;
        if (repeat < 1 || jobs < 1) {
            throw new CommandLine.ParameterException(spec.commandLine(), "--repeat and --jobs start at 1");
        }
        Path home = Main.home();
        BoardSuite suite = suite(home);
        Suite whole;
        Expectations read;
        try {
            whole = Suite.read(suite.suite());
            read = Expectations.read(suite.expectations());
        } catch (SuiteFormatException e) {
            throw new UserException(String.valueOf(e.getMessage()));
        }
        Expectations expectations = read;
        Expectations accepted = read;
        Suite chosen = chosen(whole);
        if (chosen.rows().isEmpty()) {
            throw new CommandLine.ParameterException(
                    spec.commandLine(),
                    "no row matches '" + (only != null ? only : filter) + "'; --list shows them all");
        }
        if (list) {
            for (Row row : chosen.rows()) {
                out.println(row.limit().toSeconds() + "s\t" + (row.extended() ? "long " : "") + row.name());
            }
            return 0;
        }
        Optional<Map<String, String>> unobtainable = suite.prepare(chosen, err);
        if (unobtainable.isEmpty()) {
            return Main.UNABLE;
        }

        Path work = logs == null ? suite.logs() : logs.toAbsolutePath();
        Files.createDirectories(work);
        RowRunner runner = new RowRunner(launcher(home), suite.programs(), unobtainable.get(), work);
        int columns = terminalColumns();
        Board result = new ConformanceRun(runner, out, columns > 0, columns)
                .run(
                        chosen,
                        repeat,
                        jobs,
                        row -> retry && !expectations.compare(List.of(row)).isEmpty());
        out.println();
        out.println(result.summary());
        out.println("logs: " + (logs == null ? home.relativize(work) : work));

        if (update) {
            accepted = expectations.accept(result.results());
            accepted.write(suite.expectations(), whole, "slate conformance " + suite.name());
            out.println("written: " + home.relativize(suite.expectations()));
        }
        List<Difference> differences = accepted.compare(result.results());
        if (json != null) {
            Files.writeString(json, result.json(commandLine(), machine(), differences));
        }
        if (board != null) {
            Files.writeString(board, result.markdown(suite.heading(), commandLine(), machine()));
        }
        return report(out, differences);
    }

    private Suite chosen(Suite whole) {
        if (only != null) {
            return whole.only(only);
        }
        if (filter == null) {
            return list ? whole : unfiltered(whole);
        }
        try {
            return whole.filter(filter);
        } catch (PatternSyntaxException e) {
            throw new CommandLine.ParameterException(
                    spec.commandLine(), "--filter " + filter + ": is no pattern: " + e.getDescription());
        }
    }

    private int report(PrintStream out, List<Difference> differences) {
        if (differences.isEmpty()) {
            out.println("As expected.");
            return 0;
        }
        out.println();
        out.println(differences.size() + (differences.size() == 1 ? " row differs" : " rows differ") + " from what "
                + Main.home().relativize(suite(Main.home()).expectations()) + " expects:");
        for (Difference difference : differences) {
            out.println("  " + difference.result().row().name() + ": " + difference.text());
        }
        out.println("If that is right, accept it: " + commandLine() + " --update");
        return Main.FOUND_DIFFERENCES;
    }

    private List<String> launcher(Path home) {
        List<String> launcher = new ArrayList<>(List.of(home.resolve("slate").toString(), "run", "--quiet"));
        for (String knob : knobs) {
            launcher.add("--set");
            launcher.add(knob);
        }
        return launcher;
    }

    /** The command that would give this board again; where it is written to is left out. */
    String commandLine() {
        StringBuilder text = new StringBuilder("./slate " + spec.qualifiedName().substring("slate ".length()));
        text.append(ownOptions());
        if (only != null) {
            text.append(" --row '").append(only).append('\'');
        } else if (filter != null) {
            text.append(" --filter '").append(filter).append('\'');
        }
        for (String knob : knobs) {
            text.append(" --set ").append(knob);
        }
        if (repeat > 1) {
            text.append(" --repeat ").append(repeat);
        }
        if (jobs > 1) {
            text.append(" --jobs ").append(jobs);
        }
        return text.toString();
    }

    /** The terminal's width; 0 when standard output is not a terminal. */
    private static int terminalColumns() throws InterruptedException {
        Console console = System.console();
        if (console == null || !console.isTerminal()) {
            return 0;
        }
        try {
            Process stty = new ProcessBuilder("stty", "size")
                    .redirectInput(ProcessBuilder.Redirect.INHERIT)
                    .start();
            String[] size;
            try (InputStream output = stty.getInputStream()) {
                size = new String(output.readAllBytes(), StandardCharsets.US_ASCII)
                        .strip()
                        .split(" ");
            }
            stty.waitFor();
            return size.length == 2 && !size[1].equals("0") ? Integer.parseInt(size[1]) : 80;
        } catch (IOException | NumberFormatException e) {
            return 80;
        }
    }

    private static Map<String, String> machine() throws IOException {
        Map<String, String> machine = new LinkedHashMap<>();
        machine.put("processor", cpuModel() + ", " + Runtime.getRuntime().availableProcessors() + " usable");
        machine.put("kernel", "Linux " + System.getProperty("os.version"));
        machine.put("JDK", System.getProperty("java.vm.version"));
        machine.put("date", LocalDate.now(ZoneOffset.UTC).toString());
        return machine;
    }

    private static String cpuModel() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/cpuinfo"))) {
            if (line.startsWith("model name")) {
                return line.substring(line.indexOf(':') + 1).strip();
            }
        }
        return "unknown";
    }
}
