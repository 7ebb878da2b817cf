package dev.slate.sweep;

import dev.slate.conformance.BoardSuite;
import dev.slate.conformance.Machines;
import dev.slate.conformance.Row;
import dev.slate.conformance.Selftests;
import dev.slate.conformance.Suite;
import dev.slate.kvm.Knobs;
import dev.slate.sweep.Yaml.Value;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/** Makes the jobs of a sweep's file. Everything in the file is looked at before the first job runs. */
final class SweepFile {
    /** Each is a process; more of them are a mistake, or seeds that should be fewer and longer. */
    static final int MOST_JOBS = 100_000;

    private static final List<String> KEYS = List.of("repeats", "limit", "knobs", "jobs");
    private static final List<String> KINDS = List.of("run", "selftests", "machines", "lab", "silicon", "garbage");
    private static final Pattern TIME = Pattern.compile("([0-9]{1,6})(s|m|h)");
    private static final Pattern SEEDS = Pattern.compile("(-?[0-9]{1,18})(?:\\.\\.(-?[0-9]{1,18}))?");

    private final Path home;
    private final boolean archive;
    private final Map<String, Job> jobs = new LinkedHashMap<>();
    private final Map<BoardSuite, Set<Row>> boards = new LinkedHashMap<>();
    private boolean tests;
    private long repeats = 1;
    private long limit = 600;
    private List<Map<String, String>> knobs = List.of(Map.of());

    private SweepFile(Path home, boolean archive) {
        this.home = home;
        this.archive = archive;
    }

    /**
     * Reads a file.
     *
     * @param home the root of Slate's tree
     * @param archive whether workers have a distribution only, which has neither boards nor tests
     * @throws SweepException something in it is wrong: names the line and what would be right
     */
    static SweepFile read(Path file, Path home, boolean archive) throws IOException {
        SweepFile sweep = new SweepFile(home, archive);
        Value root = Yaml.read(file);
        Map<String, Value> values = root.map(KEYS);
        if (values.get("repeats") instanceof Value value) {
            sweep.repeats = value.number(1, MOST_JOBS);
        }
        if (values.get("limit") instanceof Value value) {
            sweep.limit = seconds(value);
        }
        if (values.get("knobs") instanceof Value value) {
            sweep.knobs = knobs(value);
        }
        Value jobs = values.get("jobs");
        if (jobs == null || jobs.list().isEmpty()) {
            throw root.wrong("has no jobs; `slate sweep --help` has an example");
        }
        for (Value entry : jobs.list()) {
            sweep.entry(entry);
        }
        return sweep;
    }

    /** In the file's order: the first repeat of all of them, then the second. */
    List<Job> jobs() {
        return jobs.values().stream()
                .sorted(java.util.Comparator.comparingInt(Job::repeat))
                .toList();
    }

    /** The suites of which rows are jobs, each with those; what they need must be there before. */
    Map<BoardSuite, Suite> boards() {
        Map<BoardSuite, Suite> suites = new LinkedHashMap<>();
        boards.forEach((suite, rows) -> suites.put(suite, new Suite(List.copyOf(rows))));
        return suites;
    }

    private void entry(Value entry) throws IOException {
        Map<String, Value> all = entry.map();
        List<String> kinds = all.keySet().stream().filter(KINDS::contains).toList();
        if (kinds.size() != 1) {
            throw entry.wrong("each entry of jobs has one of " + String.join(", ", KINDS));
        }
        String kind = kinds.getFirst();
        Value what = java.util.Objects.requireNonNull(all.get(kind));
        if (archive && !kind.equals("run") && !kind.equals("lab")) {
            throw what.wrong("needs Slate's tree on every worker, and --archive brings a distribution");
        }
        switch (kind) {
            case "run" -> run(entry, what);
            case "selftests" -> board(entry, what, new Selftests(home));
            case "machines" -> board(entry, what, new Machines(home));
            case "lab" -> lab(entry, what);
            default -> seeds(entry, what, kind);
        }
    }

    // -------------------------------------------------------------------------------------------------------- kinds

    private void run(Value entry, Value what) {
        Map<String, Value> values =
                entry.map(List.of("run", "with", "knobs", "timed", "limit", "status", "measure", "repeats"));
        List<String> words =
                what.isList() ? what.texts() : List.of(what.text().strip().split("\\s+"));
        if (words.getFirst().isEmpty()) {
            throw what.wrong("the command is empty");
        }
        Map<String, String> measures = new LinkedHashMap<>();
        if (values.get("measure") instanceof Value measure) {
            measure.map().forEach((name, pattern) -> measures.put(name, pattern(pattern)));
        }
        List<Map<String, String>> variables =
                values.get("with") instanceof Value with ? product(with) : List.of(Map.of());
        if (values.get("with") instanceof Value with) {
            for (String name : variables.getFirst().keySet()) {
                if (words.stream().noneMatch(word -> word.contains("{" + name + "}"))) {
                    throw with.wrong("{" + name + "} does not stand in the command");
                }
            }
        }
        Base base = base(values, true);
        int status = values.get("status") instanceof Value value ? (int) value.number(0, 255) : 0;
        room(entry, variables.size(), base);
        for (Map<String, String> filling : variables) {
            List<String> filled = new ArrayList<>();
            for (String word : words) {
                String text = word;
                for (Map.Entry<String, String> variable : filling.entrySet()) {
                    text = text.replace("{" + variable.getKey() + "}", variable.getValue());
                }
                filled.add(text);
            }
            for (Map<String, String> set : base.knobs) {
                List<String> command = new ArrayList<>(List.of("{slate}", "run", "--quiet"));
                settings(set, command);
                command.add("--");
                command.addAll(filled);
                add(
                        entry,
                        base,
                        String.join(" ", words),
                        String.join(" ", filled),
                        set,
                        filling,
                        command,
                        status,
                        "",
                        measures);
            }
        }
    }

    private void board(Value entry, Value what, BoardSuite suite) throws IOException {
        Map<String, Value> values = entry.map(List.of(suite.name(), "knobs", "timed", "repeats"));
        Base base = base(values, true);
        Suite whole = Suite.read(suite.suite());
        Set<Row> chosen = boards.computeIfAbsent(suite, s -> new LinkedHashSet<>());
        Set<List<Object>> met = new HashSet<>();
        for (Value glob : what.list()) {
            List<Row> rows;
            try {
                // The plain row comes first: it gives its name to what is one job.
                rows = whole.filter(glob.text()).rows().stream()
                        .sorted(Comparator.comparingInt(row -> row.knobs().size()))
                        .toList();
            } catch (PatternSyntaxException e) {
                throw glob.wrong(glob.text() + " is no pattern: " + e.getDescription());
            }
            if (rows.isEmpty()) {
                throw glob.wrong("no row of the board matches '" + glob.text() + "'; `slate conformance " + suite.name()
                        + " --list` shows them");
            }
            room(entry, rows.size(), base);
            chosen.addAll(rows);
            for (Row row : rows) {
                for (Map<String, String> set : base.knobs) {
                    if (contradicts(row, set)) {
                        continue; // the row's own knob would win, and the result would bear the other's name
                    }
                    if (!met.add(whatRuns(row, set))) {
                        continue; // a row that has turned a knob itself is the plain one's job under that combination
                    }
                    List<String> command = new ArrayList<>(List.of(
                            "{slate}", "conformance", suite.name(), "--row", row.name(), "--logs", "{work}/logs"));
                    settings(set, command);
                    command.add("--json");
                    command.add("{work}/board.json");
                    // The row's own limit ends it; this one is for what does not.
                    Base limited =
                            new Base(base.knobs, base.timed, row.limit().toSeconds() * row.times() + 300, base.repeats);
                    String name = row.name();
                    add(glob, limited, name, name, set, Map.of(), command, 0, "board.json", Map.of());
                }
            }
        }
    }

    private static List<Object> whatRuns(Row row, Map<String, String> set) {
        Set<String> knobs = new HashSet<>(row.knobs());
        set.forEach((name, value) -> knobs.add(name + "=" + value));
        return List.of(knobs, row.program(), row.arguments(), row.times());
    }

    private static boolean contradicts(Row row, Map<String, String> set) {
        for (String knob : row.knobs()) {
            String name = knob.substring(0, knob.indexOf('='));
            if (set.containsKey(name) && !knob.equals(name + "=" + set.get(name))) {
                return true;
            }
        }
        return false;
    }

    private void lab(Value entry, Value what) {
        Map<String, Value> values = entry.map(List.of("lab", "quick", "limit", "repeats"));
        Base base = base(values, false);
        boolean quick = values.get("quick") instanceof Value value && value.yes();
        List<String> known = dev.slate.lab.experiments.Experiments.all().stream()
                .map(dev.slate.lab.Experiment::name)
                .toList();
        room(entry, what.texts().size(), base);
        for (Value name : what.list()) {
            if (!known.contains(name.text())) {
                throw name.wrong("there is no experiment " + name.text() + ", only " + String.join(", ", known));
            }
            List<String> command = new ArrayList<>(List.of("{slate}", "lab", "run", name.text()));
            if (quick) {
                command.add("--quick");
            }
            command.addAll(List.of("--json", "{work}/lab.json"));
            // What an experiment measures is time.
            Base timed = new Base(base.knobs, true, base.limit, base.repeats);
            String title = "lab " + name.text();
            add(name, timed, title, title, Map.of(), Map.of(), command, 0, "lab.json", Map.of());
        }
    }

    /** Cases against silicon, or garbage streams: each seed is a job. */
    private void seeds(Value entry, Value what, String kind) {
        boolean garbage = kind.equals("garbage");
        List<String> keys = new ArrayList<>(List.of(kind, "cases", "limit", "repeats"));
        if (garbage) {
            keys.add("knobs");
        }
        Map<String, Value> values = entry.map(keys);
        Base base = base(values, garbage);
        long cases = values.get("cases") instanceof Value value ? value.number(1, 1_000_000_000_000L) : 100_000;
        var range = SEEDS.matcher(what.text());
        if (!range.matches()) {
            throw what.wrong(what.text() + " is neither a seed nor seeds, such as 1..100");
        }
        long first = Long.parseLong(range.group(1));
        long last = range.group(2) == null ? first : Long.parseLong(range.group(2));
        if (last < first) {
            throw what.wrong("the last seed lies before the first");
        }
        tests = true;
        // In the order in which the columns stand.
        Map<String, String> measures = new LinkedHashMap<>();
        measures.put("cases", "^" + kind + ": ([0-9]+) cases");
        measures.put("differ", ", ([0-9]+) differ");
        measures.put("digest", ", digest ([0-9]+)");
        room(entry, last - first + 1, base);
        for (long seed = first; seed <= last; seed++) {
            for (Map<String, String> set : base.knobs) {
                List<String> command = new ArrayList<>(
                        List.of("{slate}", "sweep", "--seed", kind, Long.toString(seed), Long.toString(cases)));
                set.forEach((name, value) -> command.add(name + "=" + value));
                String title = kind + " seed " + seed + " cases " + cases;
                add(what, base, kind, title, set, Map.of("seed", Long.toString(seed)), command, 0, "", measures);
            }
        }
    }

    // ------------------------------------------------------------------------------------------------- what all have

    /** What an entry says of its jobs, or the file. */
    private record Base(List<Map<String, String>> knobs, boolean timed, long limit, long repeats) {}

    private Base base(Map<String, Value> values, boolean takesKnobs) {
        return new Base(
                !takesKnobs ? List.of(Map.of()) : values.get("knobs") instanceof Value value ? knobs(value) : knobs,
                values.get("timed") instanceof Value timed && timed.yes(),
                values.get("limit") instanceof Value value ? seconds(value) : limit,
                values.get("repeats") instanceof Value value ? value.number(1, MOST_JOBS) : repeats);
    }

    private void room(Value entry, long commands, Base base) {
        double all = jobs.size() + (double) commands * base.knobs.size() * base.repeats;
        if (all > MOST_JOBS) {
            throw entry.wrong(String.format(
                    java.util.Locale.ROOT,
                    "makes %,.0f jobs with those above it (%,d commands, %,d combinations of knobs, %,d repeats), and a sweep has at most %,d;"
                            + " of seeds take fewer with more cases",
                    all,
                    commands,
                    base.knobs.size(),
                    base.repeats,
                    MOST_JOBS));
        }
    }

    private void add(
            Value at,
            Base base,
            String template,
            String title,
            Map<String, String> set,
            Map<String, String> variables,
            List<String> command,
            int status,
            String report,
            Map<String, String> measures) {
        for (int repeat = 1; repeat <= base.repeats; repeat++) {
            Job job = new Job(
                    template,
                    title,
                    new LinkedHashMap<>(set),
                    new LinkedHashMap<>(variables),
                    repeat,
                    new ArrayList<>(command),
                    base.limit,
                    base.timed,
                    status,
                    report,
                    new LinkedHashMap<>(measures));
            if (jobs.put(job.id(), job) != null) {
                throw at.wrong("`" + job.row() + "` is there twice; repeats says how often a job runs");
            }
        }
    }

    private static void settings(Map<String, String> set, List<String> command) {
        set.forEach((name, value) -> {
            command.add("--set");
            command.add(name + "=" + value);
        });
    }

    private static String pattern(Value value) {
        try {
            if (Pattern.compile(value.text()).matcher("").groupCount() >= 1) {
                return value.text();
            }
        } catch (PatternSyntaxException e) {
            throw value.wrong(value.text() + " is no regular expression: " + e.getDescription());
        }
        throw value.wrong(value.text() + " has no group; the first one is the number, such as 'took ([0-9.]+) s'");
    }

    private static long seconds(Value value) {
        var time = TIME.matcher(value.text());
        if (!time.matches()) {
            throw value.wrong(value.text() + " is no time, such as 90s, 10m or 2h");
        }
        long number = Long.parseLong(time.group(1));
        long seconds = number * (time.group(2).equals("s") ? 1 : time.group(2).equals("m") ? 60 : 3600);
        if (seconds == 0) {
            throw value.wrong("a job needs some time");
        }
        return seconds;
    }

    private static List<Map<String, String>> knobs(Value value) {
        value.map().forEach((name, choices) -> {
            for (Value choice : choices.list()) {
                try {
                    Knobs.parse(name + "=" + choice.text());
                } catch (IllegalArgumentException e) {
                    throw choice.wrong(String.valueOf(e.getMessage()));
                }
            }
        });
        return product(value);
    }

    /** Every combination of the values of some names. */
    private static List<Map<String, String>> product(Value value) {
        List<Map<String, String>> product = List.of(Map.of());
        for (Map.Entry<String, Value> entry : value.map().entrySet()) {
            List<String> choices = entry.getValue().texts();
            if ((long) product.size() * choices.size() > MOST_JOBS) {
                throw value.wrong(String.format(
                        java.util.Locale.ROOT,
                        "has more than %,d combinations, and a sweep has at most so many jobs",
                        MOST_JOBS));
            }
            List<Map<String, String>> next = new ArrayList<>();
            for (Map<String, String> so : product) {
                for (String choice : choices) {
                    Map<String, String> longer = new LinkedHashMap<>(so);
                    if (longer.put(entry.getKey(), choice) != null) {
                        throw entry.getValue().wrong("is there twice");
                    }
                    next.add(longer);
                }
            }
            product = next;
        }
        return product;
    }

    /** Whether test classes must be compiled. */
    boolean tests() {
        return tests;
    }
}
