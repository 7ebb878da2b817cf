package dev.slate.conformance;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * What each row is expected to give. The file has a line for a row: outcome, row and, for a skip or a failure, its reason,
 * parted by {@code |}. A line that begins with {@code or} gives what some hosts make of the row instead. Immutable.
 */
public final class Expectations {
    /** An expected result; the reason is empty for a pass. */
    public record Expected(Outcome outcome, String reason) {}

    /** A row that came out otherwise than expected; {@code text} says how, for a person. */
    public record Difference(Result result, String text) {}

    /**
     * What changes from run to run without meaning: addresses, times, page counts, process numbers, and the errno that an assertion finds, which is
     * that of whatever call failed last.
     */
    private static final Pattern VOLATILE =
            Pattern.compile("0x[0-9a-fA-F]+|\\b\\d+\\.\\d+\\b|\\b\\d{5,}\\b|(?<=[pt]id[= ]|\\(errno )\\d+");

    private static final String OR = "or ";

    /** Of each row what it gives, then what it may give instead. */
    private final Map<String, List<Expected>> rows;

    private Expectations(Map<String, List<Expected>> rows) {
        this.rows = rows;
    }

    /**
     * Reads a file of expectations; a file that is not there expects nothing.
     *
     * @throws SuiteFormatException when a line has another form; names the line
     */
    public static Expectations read(Path file) throws IOException {
        Map<String, List<Expected>> rows = new LinkedHashMap<>();
        if (!Files.exists(file)) {
            return new Expectations(rows);
        }
        List<String> lines = Files.readAllLines(file);
        for (int i = 0; i < lines.size(); i++) {
            String line = lines.get(i).strip();
            if (line.isEmpty() || line.startsWith("#")) {
                continue;
            }
            String[] columns = line.split("\\|", 3);
            String place = file + ":" + (i + 1) + ": '" + line + "'";
            if (columns.length < 2) {
                throw new SuiteFormatException(place + ": wanted 'outcome | row' or 'outcome | row | reason'");
            }
            String reason = columns.length == 3 ? columns[2].strip() : "";
            boolean instead = columns[0].startsWith(OR);
            Outcome outcome;
            try {
                outcome = Outcome.of(instead ? columns[0].substring(OR.length()).strip() : columns[0].strip());
            } catch (IllegalArgumentException e) {
                throw new SuiteFormatException(place + ": " + e.getMessage());
            }
            if (outcome != Outcome.PASS && reason.isEmpty()) {
                throw new SuiteFormatException(place + ": a " + outcome.word() + " needs its reason");
            }
            List<Expected> expected = rows.computeIfAbsent(columns[1].strip(), name -> new ArrayList<>());
            if (instead == expected.isEmpty()) {
                throw new SuiteFormatException(place
                        + (instead
                                ? ": 'or' follows the line with what the row gives on most hosts"
                                : ": the row is there already; leave one out"));
            }
            expected.add(new Expected(outcome, reason));
        }
        return new Expectations(rows);
    }

    /** Compares results with the expectations. Rows that were not run are not looked at. */
    public List<Difference> compare(List<Result> results) {
        List<Difference> differences = new ArrayList<>();
        for (Result result : results) {
            List<Expected> any = rows.get(result.row().name());
            if (any == null) {
                differences.add(new Difference(result, "nothing was expected of it yet, " + said(result)));
                continue;
            }
            if (any.stream().anyMatch(e -> fits(e, result))) {
                continue;
            }
            Expected expected = any.getFirst();
            if (expected.outcome() != result.outcome()) {
                differences.add(new Difference(
                        result,
                        "expected " + expected.outcome().word()
                                + (expected.reason().isEmpty() ? "" : " (" + expected.reason() + ")") + ", "
                                + said(result)));
            } else {
                differences.add(new Difference(
                        result,
                        result.outcome().word() + " as expected, but for another reason: '" + result.reason()
                                + "' where '" + expected.reason() + "' was expected"));
            }
        }
        return differences;
    }

    private static boolean fits(Expected expected, Result result) {
        return expected.outcome() == result.outcome()
                && stable(expected.reason()).equals(stable(result.reason()));
    }

    private static String said(Result result) {
        return "got " + result.outcome().word() + (result.reason().isEmpty() ? "" : " (" + result.reason() + ")");
    }

    private static String stable(String reason) {
        return VOLATILE.matcher(reason).replaceAll("#");
    }

    /** These expectations with the given results in place of what was expected of their rows. */
    public Expectations accept(List<Result> results) {
        Map<String, List<Expected>> accepted = new LinkedHashMap<>(rows);
        for (Result result : results) {
            List<Expected> before = accepted.getOrDefault(result.row().name(), List.of());
            if (before.stream().noneMatch(e -> fits(e, result))) {
                accepted.put(result.row().name(), List.of(new Expected(result.outcome(), result.reason())));
            }
        }
        return new Expectations(accepted);
    }

    /**
     * Writes the file: the suite's rows in its order. Rows that the suite no longer has are left out.
     *
     * @param command the command whose rows they are, for instance {@code slate conformance selftests}
     */
    public void write(Path file, Suite suite, String command) throws IOException {
        int width = 0;
        for (Row row : suite.rows()) {
            width = Math.max(width, row.name().length());
        }
        StringBuilder text =
                new StringBuilder("# What each row of the suite gives on Slate, and why when it is not a pass.\n# `"
                        + command + "` compares with it; `" + command + " --update` writes it.\n");
        for (Row row : suite.rows()) {
            String or = "";
            for (Expected expected : rows.getOrDefault(row.name(), List.of())) {
                String name = expected.reason().isEmpty()
                        ? row.name()
                        : row.name() + " ".repeat(width - row.name().length()) + " | " + expected.reason();
                text.append(or)
                        .append(expected.outcome().word())
                        .append(" | ")
                        .append(name)
                        .append('\n');
                or = OR;
            }
        }
        Files.writeString(file, text);
    }
}
