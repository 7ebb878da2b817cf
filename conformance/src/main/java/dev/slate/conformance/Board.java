package dev.slate.conformance;

import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import tools.jackson.databind.ObjectWriter;
import tools.jackson.databind.json.JsonMapper;

/** The score board of a run: its results as lines for a terminal, as a page for the documents, and as JSON. */
public final class Board {
    private final int nameWidth;
    private final List<Result> results = new ArrayList<>();

    /** Makes an empty board that is wide enough for the rows of a suite. */
    public Board(Suite suite) {
        int width = "test".length();
        for (Row row : suite.rows()) {
            width = Math.max(width, row.name().length());
        }
        nameWidth = width;
    }

    /** The line above the rows. */
    public String header() {
        return line("result", "test", "time", "ioctls", "exits", "reason");
    }

    /** Adds a result and returns its line. */
    public String add(Result result) {
        results.add(result);
        return line(
                result.outcome().word(),
                result.row().name(),
                seconds(result.time()),
                Long.toString(result.counters().ioctls()),
                Long.toString(result.counters().exits()),
                result.reason());
    }

    /** The results in the order in which they came. */
    public List<Result> results() {
        return List.copyOf(results);
    }

    /** For instance {@code 67 rows: 40 passed, 20 skipped, 7 failed}. */
    public String summary() {
        Map<Outcome, Integer> count = count();
        return results.size() + (results.size() == 1 ? " row: " : " rows: ") + count.get(Outcome.PASS) + " passed, "
                + count.get(Outcome.SKIP) + " skipped, " + count.get(Outcome.FAIL) + " failed";
    }

    /** How many rows failed. */
    public int failed() {
        return count().getOrDefault(Outcome.FAIL, 0);
    }

    private Map<Outcome, Integer> count() {
        Map<Outcome, Integer> count = new EnumMap<>(Outcome.class);
        for (Outcome outcome : Outcome.values()) {
            count.put(outcome, 0);
        }
        for (Result result : results) {
            count.merge(result.outcome(), 1, Integer::sum);
        }
        return count;
    }

    /**
     * The board as a Markdown page.
     *
     * @param heading the page's heading and what it is about
     * @param command the command that made it
     * @param machine what it ran on, as pairs of a word and its value
     */
    public String markdown(String heading, String command, Map<String, String> machine) {
        StringBuilder page = new StringBuilder();
        page.append(heading).append(" Made by\n\n");
        page.append("```\n").append(command).append("\n```\n\n");
        page.append(summary()).append(".\n\n");
        machine.forEach((word, value) ->
                page.append("- ").append(word).append(": ").append(value).append('\n'));
        page.append("""

                A row that passes has shown by Slate's own counters that Slate served it: *ioctls* counts the ioctls, *exits* the
                guest exits. A skip or a failure gives its reason; expected ones are kept in `conformance/suites/`.

                """);
        List<List<String>> table = new ArrayList<>();
        table.add(List.of("test", "result", "time", "ioctls", "exits", "reason"));
        for (Result result : results) {
            table.add(List.of(
                    "`" + result.row().name() + "`",
                    result.outcome().word(),
                    seconds(result.time()),
                    Long.toString(result.counters().ioctls()),
                    Long.toString(result.counters().exits()),
                    result.reason().replace("<", "&lt;").replace("|", "\\|")));
        }
        appendTable(page, table);
        return page.toString();
    }

    private static void appendTable(StringBuilder page, List<List<String>> table) {
        int columns = table.get(0).size();
        int[] width = new int[columns];
        for (List<String> row : table) {
            for (int i = 0; i < columns; i++) {
                width[i] = Math.max(width[i], row.get(i).length());
            }
        }
        for (int line = 0; line < table.size(); line++) {
            for (int i = 0; i < columns; i++) {
                String cell = table.get(line).get(i);
                boolean last = i == columns - 1;
                boolean number = i >= 2 && i <= 4;
                String pad = " ".repeat(last ? 0 : width[i] - cell.length());
                page.append("| ").append(number ? pad + cell : cell + pad).append(' ');
            }
            page.append("|\n");
            if (line == 0) {
                for (int i = 0; i < columns; i++) {
                    boolean number = i >= 2 && i <= 4;
                    int dashes = Math.max(3, i == columns - 1 ? 6 : width[i]);
                    page.append("| ")
                            .append("-".repeat(number ? dashes - 1 : dashes))
                            .append(number ? ":" : "")
                            .append(' ');
                }
                page.append("|\n");
            }
        }
    }

    /** The board as JSON, for programs. Times are in milliseconds. */
    public String json(String command, Map<String, String> machine, List<Expectations.Difference> differences) {
        List<Map<String, Object>> rows = new ArrayList<>();
        for (Result result : results) {
            Map<String, Object> row = new LinkedHashMap<>();
            row.put("test", result.row().name());
            row.put("result", result.outcome().word());
            row.put("reason", result.reason());
            row.put("time_ms", result.time().toMillis());
            row.put("ioctls", result.counters().ioctls());
            row.put("exits", result.counters().exits());
            row.put("kvm_run_returns", result.counters().returns());
            row.put("vms", result.counters().vms());
            row.put("vcpus", result.counters().vcpus());
            rows.add(row);
        }
        List<Map<String, Object>> unexpected = new ArrayList<>();
        for (Expectations.Difference difference : differences) {
            Map<String, Object> entry = new LinkedHashMap<>();
            entry.put("test", difference.result().row().name());
            entry.put("difference", difference.text());
            unexpected.add(entry);
        }
        Map<String, Object> board = new LinkedHashMap<>();
        board.put("command", command);
        board.put("machine", machine);
        count().forEach((outcome, count) -> board.put(outcome.word(), count));
        board.put("rows", rows);
        board.put("differences", unexpected);
        ObjectWriter writer = JsonMapper.builder().build().writerWithDefaultPrettyPrinter();
        return writer.writeValueAsString(board) + "\n";
    }

    private String line(String outcome, String name, String time, String ioctls, String exits, String reason) {
        String format = "%-6s  %-" + nameWidth + "s  %8s  %10s  %11s  %s";
        return String.format(Locale.ROOT, format, outcome, name, time, ioctls, exits, reason)
                .stripTrailing();
    }

    private static String seconds(Duration time) {
        return String.format(Locale.ROOT, "%.2f s", time.toMillis() / 1000.0);
    }
}
