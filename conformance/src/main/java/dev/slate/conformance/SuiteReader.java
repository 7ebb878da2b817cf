package dev.slate.conformance;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Reads a suite's lines one by one; {@link Suite} says their form. */
final class SuiteReader {
    private static final String MACHINE = "machine";
    private static final String LONG = "long";
    private static final Pattern LIMIT = Pattern.compile("[1-9][0-9]{0,4}s");
    private static final Pattern TIMES = Pattern.compile("x([1-9][0-9]{0,2})");
    /** A word, or words in single quotes. */
    private static final Pattern WORD = Pattern.compile("'([^']*)'|([^\\s']+)");

    private static final Pattern PART = Pattern.compile("\\{([^{}]*)}");
    /** Of a row's words: any of these in its place. */
    private static final Pattern CHOICE = Pattern.compile("\\{([^{},]*(?:,[^{},]*)+)}");

    private final Path file;
    private final Map<String, Program> machines = new LinkedHashMap<>();
    private final List<Row> rows = new ArrayList<>();
    private final Set<String> names = new HashSet<>();

    /** What indented lines belong to: a machine, or a line's rows. */
    private @Nullable Definition definition;

    private List<Row> begun = List.of();
    /** The line where that began. */
    private int begin;

    private String beginning = "";

    SuiteReader(Path file) {
        this.file = file;
    }

    /** What is said of a machine, until it is whole. */
    private static final class Definition {
        final String name;
        final List<String> command;
        final List<String> needs;
        final List<String> shows;
        int status;
        boolean ends = true;

        Definition(String name) {
            this.name = name;
            command = new ArrayList<>();
            needs = new ArrayList<>();
            shows = new ArrayList<>();
        }

        Definition(Program program) {
            name = program.name();
            command = new ArrayList<>(program.command());
            needs = new ArrayList<>(program.needs());
            shows = new ArrayList<>(program.shows());
            status = program.status();
            ends = program.ends();
        }

        Program program() {
            return new Program(name, command, needs, shows, status, ends);
        }
    }

    void line(int number, String text) {
        String line = text.strip();
        if (line.isEmpty() || line.startsWith("#")) {
            return;
        }
        if (Character.isWhitespace(text.charAt(0)) && (!begun.isEmpty() || definition != null)) {
            property(number, line);
            return;
        }
        finish();
        begin = number;
        beginning = line;
        List<String> words = words(number, line);
        if (words.getFirst().equals(MACHINE)) {
            if (words.size() != 2) {
                throw wrong(number, line, "wanted 'machine NAME'");
            }
            if (machines.containsKey(words.get(1))) {
                throw wrong(number, line, "that machine is there already; leave one out");
            }
            definition = new Definition(words.get(1));
        } else {
            List<Row> each = new ArrayList<>();
            for (List<String> chosen : choices(words)) {
                each.add(row(number, line, chosen));
            }
            begun = each;
        }
    }

    Suite end() {
        finish();
        return new Suite(rows);
    }

    /** The words in each way that their choices can be made, the last choice changing first. */
    private static List<List<String>> choices(List<String> words) {
        List<List<String>> ways = List.of(List.of());
        for (String word : words) {
            List<List<String>> longer = new ArrayList<>();
            for (List<String> way : ways) {
                for (String chosen : choices(word)) {
                    List<String> next = new ArrayList<>(way);
                    next.add(chosen);
                    longer.add(next);
                }
            }
            ways = longer;
        }
        return ways;
    }

    private static List<String> choices(String word) {
        Matcher matcher = CHOICE.matcher(word);
        if (!matcher.find()) {
            return List.of(word);
        }
        List<String> chosen = new ArrayList<>();
        for (String one : matcher.group(1).split(",", -1)) {
            for (String rest : choices(word.substring(matcher.end()))) {
                chosen.add(word.substring(0, matcher.start()) + one + rest);
            }
        }
        return chosen;
    }

    private Row row(int number, String line, List<String> words) {
        int at = 1;
        boolean extended = at < words.size() && words.get(at).equals(LONG);
        if (extended) {
            at++;
        }
        int times = 1;
        Matcher matcher = TIMES.matcher(at < words.size() ? words.get(at) : "");
        if (matcher.matches()) {
            times = Integer.parseInt(matcher.group(1));
            at++;
        }
        int knobs = at;
        while (at < words.size() && words.get(at).contains("=")) {
            at++;
        }
        if (at >= words.size() || !LIMIT.matcher(words.getFirst()).matches()) {
            throw wrong(number, line, "wanted a time limit and a command, for instance '60s cpuid_test'");
        }
        if (line.contains("|")) {
            throw wrong(number, line, "a row can't hold a |, which parts the columns of what is expected");
        }
        String name = words.get(at);
        Program program = machines.isEmpty() ? Program.built(name) : machines.get(name);
        if (program == null) {
            throw wrong(number, line, "no machine " + name + " is defined above");
        }
        String seconds = words.getFirst().substring(0, words.getFirst().length() - 1);
        return new Row(
                words.subList(knobs, at),
                program,
                words.subList(at + 1, words.size()),
                Duration.ofSeconds(Long.parseLong(seconds)),
                times,
                extended);
    }

    private void property(int number, String line) {
        Definition d = definition;
        if (d == null) {
            Program changed = begun.getFirst().program();
            if (!changed.machine()) {
                throw wrong(number, line, "only a machine and its rows have indented lines");
            }
            d = new Definition(changed);
            definition = d;
        }
        int blank = line.indexOf(' ');
        String word = blank < 0 ? line : line.substring(0, blank);
        String value = blank < 0 ? "" : line.substring(blank).strip();
        if (value.isEmpty()) {
            throw wrong(number, line, "'" + word + "' says nothing; for instance: shows Power down");
        }
        switch (word) {
            case "needs" -> d.needs.addAll(words(number, value));
            case "runs" -> d.command.addAll(words(number, value));
            case "shows" -> d.shows.add(value);
            case "status" -> {
                if (!value.matches("[0-9]{1,3}") || Integer.parseInt(value) > 255) {
                    throw wrong(number, line, "an exit status from 0 to 255 is wanted");
                }
                d.status = Integer.parseInt(value);
            }
            case "ends" -> {
                if (!value.equals("never")) {
                    throw wrong(number, line, "wanted 'ends never', for what does not end by itself");
                }
                d.ends = false;
            }
            default -> throw wrong(number, line, "'" + word + "' is none of needs, runs, shows, status, ends");
        }
    }

    /** Ends the machine or row that the last lines were about. */
    private void finish() {
        Definition d = definition;
        Program program = null;
        if (d != null) {
            if (d.command.isEmpty()) {
                throw wrong(begin, beginning, "a machine needs a line 'runs COMMAND'");
            }
            if (!d.ends && d.shows.isEmpty()) {
                throw wrong(begin, beginning, "what never ends needs a line 'shows TEXT'");
            }
            for (String word : d.command) {
                Matcher part = PART.matcher(word);
                while (part.find()) {
                    if (!d.needs.contains(part.group(1))) {
                        throw wrong(begin, beginning, "its command has " + part.group() + ", which it does not need");
                    }
                }
            }
            program = d.program();
        }
        for (Row r : begun) {
            Row whole = program == null
                    ? r
                    : new Row(r.knobs(), program, r.arguments(), r.limit(), r.times(), r.extended());
            if (!names.add(whole.name())) {
                throw wrong(begin, beginning, "'" + whole.name() + "' is there already; leave one out");
            }
            rows.add(whole);
        }
        if (begun.isEmpty() && program != null) {
            machines.put(program.name(), program);
        }
        definition = null;
        begun = List.of();
    }

    private List<String> words(int number, String text) {
        List<String> words = new ArrayList<>();
        Matcher matcher = WORD.matcher(text);
        int end = 0;
        while (matcher.find()) {
            if (!text.substring(end, matcher.start()).isBlank()) {
                throw wrong(number, text, "a quote is not closed");
            }
            words.add(matcher.group(1) != null ? matcher.group(1) : matcher.group(2));
            end = matcher.end();
        }
        if (!text.substring(end).isBlank()) {
            throw wrong(number, text, "a quote is not closed");
        }
        return words;
    }

    private SuiteFormatException wrong(int number, String line, String what) {
        return new SuiteFormatException(file + ":" + number + ": '" + line + "': " + what);
    }
}
