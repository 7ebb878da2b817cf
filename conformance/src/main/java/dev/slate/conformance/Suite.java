package dev.slate.conformance;

import java.io.IOException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * The rows of a suite, as its file lists them. A line is a time limit in seconds, {@code long} and {@code xTIMES} if they apply, knobs of Slate
 * if any, and a command, for instance {@code 120s tdp=off demand_paging_test -u MISSING}; empty lines and lines that start with # say nothing.
 * Words with choices, {@code -smp {1,4}}, make a row of each way to choose.
 *
 * <p>A suite of machines defines each before its first row, in a line {@code machine NAME} and indented ones below it: {@code needs PART...},
 * {@code runs COMMAND...} (a further one goes on with it), {@code shows TEXT} (as often as wanted), {@code status NUMBER}, {@code ends never}.
 * The arguments of its rows go behind its command. Indented lines below a row change the machine for that row: {@code shows} adds to what must
 * be seen.
 *
 * @param rows the rows in the file's order; no two have the same name
 */
public record Suite(List<Row> rows) {
    public Suite {
        rows = List.copyOf(rows);
    }

    /**
     * Reads a suite file.
     *
     * @throws SuiteFormatException when a line has another form; names the line
     */
    public static Suite read(Path file) throws IOException {
        SuiteReader reader = new SuiteReader(file);
        List<String> lines = Files.readAllLines(file);
        for (int i = 0; i < lines.size(); i++) {
            reader.line(i + 1, lines.get(i));
        }
        return reader.end();
    }

    /**
     * The rows that a shell pattern matches, by their command line or by the program's name alone.
     *
     * @param glob for instance {@code dirty_*} or {@code *perf_test -v*}
     */
    public Suite filter(String glob) {
        PathMatcher matcher = FileSystems.getDefault().getPathMatcher("glob:" + glob.replace('/', '_'));
        List<Row> chosen = new ArrayList<>();
        for (Row row : rows) {
            // A row's arguments may hold slashes, which a glob's * would not cross.
            if (matcher.matches(Path.of(row.name().replace('/', '_')))
                    || matcher.matches(Path.of(row.program().name()))) {
                chosen.add(row);
            }
        }
        return new Suite(chosen);
    }

    /** The row of that name; without rows where there is none. */
    public Suite only(String name) {
        return new Suite(rows.stream().filter(row -> row.name().equals(name)).toList());
    }

    /** The rows without those that run only when they are asked for. */
    public Suite withoutExtended() {
        return new Suite(rows.stream().filter(row -> !row.extended()).toList());
    }

    /** The parts that the rows need, in their order. */
    public Set<String> needs() {
        Set<String> needs = new LinkedHashSet<>();
        for (Row row : rows) {
            needs.addAll(row.program().needs());
        }
        return needs;
    }
}
