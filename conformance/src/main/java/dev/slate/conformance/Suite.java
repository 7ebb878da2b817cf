package dev.slate.conformance;

import java.io.IOException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * The rows of a suite, as its file lists them. A line is a time limit in seconds, knobs of Slate if any, and a command, for instance
 * {@code 120s tdp=off demand_paging_test -u MISSING}; empty lines and lines that start with # say nothing.
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
        List<Row> rows = new ArrayList<>();
        Set<String> names = new HashSet<>();
        List<String> lines = Files.readAllLines(file);
        for (int i = 0; i < lines.size(); i++) {
            String line = lines.get(i).strip();
            if (line.isEmpty() || line.startsWith("#")) {
                continue;
            }
            String[] words = line.split("\\s+");
            int program = 1;
            while (program < words.length && words[program].contains("=")) {
                program++;
            }
            if (program >= words.length || !words[0].matches("[1-9][0-9]{0,4}s")) {
                throw new SuiteFormatException(file + ":" + (i + 1) + ": '" + line
                        + "': wanted a time limit and a command, for instance '60s cpuid_test'");
            }
            long seconds = Long.parseLong(words[0].substring(0, words[0].length() - 1));
            List<String> all = List.of(words);
            Row row = new Row(
                    all.subList(1, program),
                    words[program],
                    all.subList(program + 1, words.length),
                    Duration.ofSeconds(seconds));
            if (!names.add(row.name())) {
                throw new SuiteFormatException(
                        file + ":" + (i + 1) + ": '" + row.name() + "' is there already; leave one out");
            }
            rows.add(row);
        }
        return new Suite(rows);
    }

    /**
     * The rows that a shell pattern matches, by their command line or by the program's name alone.
     *
     * @param glob for instance {@code dirty_*} or {@code *perf_test -v*}
     */
    public Suite filter(String glob) {
        PathMatcher matcher = FileSystems.getDefault().getPathMatcher("glob:" + glob);
        List<Row> chosen = new ArrayList<>();
        for (Row row : rows) {
            // A row's arguments may hold slashes, which a glob's * would not cross.
            if (matcher.matches(Path.of(row.name().replace('/', '_'))) || matcher.matches(Path.of(row.program()))) {
                chosen.add(row);
            }
        }
        return new Suite(chosen);
    }
}
