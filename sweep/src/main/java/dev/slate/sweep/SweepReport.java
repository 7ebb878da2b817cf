package dev.slate.sweep;

import dev.slate.lab.Metric;
import dev.slate.lab.Plot;
import dev.slate.lab.Sample;
import dev.slate.lab.report.Grid;
import dev.slate.lab.report.HtmlPage;
import dev.slate.lab.report.Machine;
import dev.slate.lab.report.Values;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** Results as a table, whose lines are jobs with all their repeats, and as a page with plots. */
final class SweepReport {
    /** More lines are in no one's interest on a page; the JSON has them. */
    private static final int MOST_LINES = 5_000;

    private static final int LEGEND = 38;

    private final List<Job> jobs;
    private final Map<String, List<Map<String, Object>>> byRow;
    private final Set<String> measures = new LinkedHashSet<>();

    /**
     * Looks at the results of the jobs of a file; those of others are left out.
     *
     * @param jobs in the file's order
     */
    SweepReport(List<Job> jobs, Collection<Map<String, Object>> results) {
        this.jobs = jobs.stream().filter(job -> job.repeat() == 1).toList();
        Set<String> ids = jobs.stream().map(Job::id).collect(Collectors.toSet());
        byRow = results.stream()
                .filter(result -> ids.contains(String.valueOf(result.get("job"))))
                .collect(Collectors.groupingBy(result -> String.valueOf(result.get("row"))));
        for (List<Map<String, Object>> row : byRow.values()) {
            for (Map<String, Object> result : row) {
                measures(result).keySet().forEach(measures::add);
            }
        }
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Number> measures(Map<String, Object> result) {
        return (Map<String, Number>) result.getOrDefault("measures", Map.of());
    }

    private List<Map<String, Object>> of(Job job) {
        return byRow.getOrDefault(job.row(), List.of());
    }

    /** How many jobs have each result. */
    Map<String, Long> count() {
        return byRow.values().stream()
                .flatMap(List::stream)
                .collect(Collectors.groupingBy(
                        result -> String.valueOf(result.get("result")), TreeMap::new, Collectors.counting()));
    }

    Grid grid() {
        Set<String> knobs = new LinkedHashSet<>();
        jobs.forEach(job -> knobs.addAll(job.knobs().keySet()));
        List<String> headings = new ArrayList<>(List.of("job"));
        headings.addAll(knobs);
        headings.addAll(List.of("result", "runs", "time", "processor"));
        headings.addAll(measures);
        List<List<String>> cells = new ArrayList<>();
        for (Job job : jobs) {
            if (cells.size() == MOST_LINES) {
                break;
            }
            List<String> line = new ArrayList<>(List.of(job.title()));
            knobs.forEach(knob -> line.add(job.knobs().getOrDefault(knob, "-")));
            List<Map<String, Object>> results = of(job);
            line.add(outcome(results));
            line.add(Integer.toString(results.size()));
            line.add(value(results, "seconds", Metric.Unit.SECONDS));
            line.add(value(results, "cpu_seconds", Metric.Unit.SECONDS));
            for (String measure : measures) {
                line.add(value(results, measure, Metric.Unit.COUNT));
            }
            cells.add(line);
        }
        String title = "Jobs, median of their runs ± half the distance between the quartiles";
        return new Grid(
                cells.size() < jobs.size() ? title + "; the first " + MOST_LINES + " of " + jobs.size() : title,
                headings,
                knobs.size() + 2,
                cells);
    }

    private static String outcome(List<Map<String, Object>> results) {
        return results.stream()
                .map(result -> String.valueOf(result.get("result")))
                .distinct()
                .sorted()
                .collect(Collectors.joining(", "));
    }

    private static String value(List<Map<String, Object>> results, String name, Metric.Unit unit) {
        double[] values = values(results, name);
        return values.length == 0 ? "" : Values.text(new Sample(values), unit);
    }

    private static double[] values(List<Map<String, Object>> results, String name) {
        return results.stream()
                .map(result ->
                        measures(result).containsKey(name) ? measures(result).get(name) : result.get(name))
                .filter(Number.class::isInstance)
                .mapToDouble(value -> ((Number) value).doubleValue())
                .toArray();
    }

    /** The lines that people look at first: what did not pass, and why. */
    List<String> failures() {
        List<String> lines = new ArrayList<>();
        for (Job job : jobs) {
            for (Map<String, Object> result : of(job)) {
                if (!SweepCommand.passed(result)) {
                    lines.add(result.get("job") + ": " + result.get("result") + ", " + result.get("reason"));
                }
            }
        }
        return lines;
    }

    String page(Machine machine, String name) {
        HtmlPage page = new HtmlPage("Slate sweep: " + name, "Slate sweep", machine);
        page.section(name, "Jobs by result: " + count().toString().replaceAll("[{}]", "") + ".", "");
        List<String> failures = failures();
        page.notes(failures.subList(0, Math.min(failures.size(), MOST_LINES)));
        List<String> numeric = new ArrayList<>();
        for (Job job : jobs) {
            job.variables().forEach((variable, value) -> {
                // A seed is a number, and no quantity.
                if (!variable.equals("seed") && !numeric.contains(variable) && value.matches("-?[0-9]+(\\.[0-9]+)?")) {
                    numeric.add(variable);
                }
            });
        }
        List<String> shown = new ArrayList<>(List.of("seconds", "cpu_seconds"));
        shown.addAll(measures);
        for (String variable : numeric) {
            for (String what : shown) {
                page.plot(
                        what + " by " + variable,
                        new Plot.Axis(variable, false),
                        new Plot.Axis(what, false),
                        series(variable, what));
            }
        }
        if (numeric.isEmpty()) {
            page.plot(
                    "Time of each job",
                    new Plot.Axis("job, in the table's order", false),
                    new Plot.Axis("seconds", true),
                    series("", "seconds"));
        }
        page.table(grid());
        return page.text();
    }

    /** A page for a documentation: a line for each job, and side by side what each combination of knobs gave it. */
    String markdown(Machine machine, String name) {
        List<Map<String, String>> combinations =
                jobs.stream().map(Job::knobs).distinct().toList();
        Map<String, Map<Map<String, String>, Job>> byTitle = new LinkedHashMap<>();
        for (Job job : jobs) {
            byTitle.computeIfAbsent(job.title(), title -> new LinkedHashMap<>()).put(job.knobs(), job);
        }
        StringBuilder text = new StringBuilder();
        text.append("# Slate sweep: " + name + "\n\n```\n" + machine.command() + "\n```\n\n");
        text.append(machine.text() + "; " + machine.date() + ". Jobs by result: "
                + count().toString().replaceAll("[{}]", "") + ". Times are the processor's, of the job alone.\n\n| job |");
        combinations.forEach(knobs -> text.append(" " + settings(knobs) + " |"));
        text.append("\n| --- |" + " --- |".repeat(combinations.size()) + "\n");
        byTitle.forEach((title, byKnobs) -> {
            text.append("| `" + title.replace("|", "\\|") + "` |");
            for (Map<String, String> knobs : combinations) {
                Job job = byKnobs.get(knobs);
                List<Map<String, Object>> results = job == null ? List.of() : of(job);
                text.append(" " + (results.isEmpty() ? "-" : outcome(results)));
                text.append(results.isEmpty() ? " |" : ", " + value(results, "cpu_seconds", Metric.Unit.SECONDS) + " |");
            }
            text.append('\n');
        });
        List<String> failures = failures();
        if (!failures.isEmpty()) {
            text.append("\nWhat did not pass:\n\n");
            failures.forEach(line -> text.append("- " + line + "\n"));
        }
        return text.toString();
    }

    private static String settings(Map<String, String> knobs) {
        return knobs.isEmpty()
                ? "result"
                : knobs.entrySet().stream()
                        .map(knob -> knob.getKey() + "=" + knob.getValue())
                        .collect(Collectors.joining(" "));
    }

    /** Lines over a variable, or over the jobs' numbers where it is empty: one for each command and the rest of what sets jobs apart. */
    private List<Plot.Series> series(String variable, String what) {
        Map<String, Map<Double, Plot.Point>> lines = new LinkedHashMap<>();
        Map<String, Integer> numbers = new LinkedHashMap<>();
        boolean one = variable.isEmpty()
                || jobs.stream()
                                .filter(job -> job.variables().containsKey(variable))
                                .map(Job::template)
                                .distinct()
                                .count()
                        == 1;
        for (Job job : jobs) {
            double[] values = values(of(job), what);
            String at = job.variables().get(variable);
            if (values.length == 0 || !variable.isEmpty() && at == null) {
                continue;
            }
            Map<String, String> rest = new LinkedHashMap<>(job.knobs());
            job.variables().forEach((name, value) -> {
                if (!name.equals(variable) && !name.equals("seed")) {
                    rest.put(name, value);
                }
            });
            String settings = rest.toString().replaceAll("[{}]", "");
            String command = variable.isEmpty() ? "jobs" : job.template();
            String name = rest.isEmpty() ? command : one ? settings : settings + " " + command;
            double x = variable.isEmpty()
                    ? numbers.computeIfAbsent(job.title(), title -> numbers.size() + 1)
                    : Double.parseDouble(at);
            Sample sample = new Sample(values);
            lines.computeIfAbsent(name, n -> new TreeMap<>())
                    .put(x, new Plot.Point(x, sample.median(), sample.quantile(0.25), sample.quantile(0.75)));
        }
        return lines.entrySet().stream()
                .map(entry -> new Plot.Series(
                        shortened(entry.getKey()), List.copyOf(entry.getValue().values())))
                .toList();
    }

    /** As much as has room beside a plot. */
    private static String shortened(String name) {
        return name.length() <= LEGEND ? name : name.substring(0, LEGEND - 1) + "…";
    }
}
