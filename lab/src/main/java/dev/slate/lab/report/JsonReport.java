package dev.slate.lab.report;

import dev.slate.lab.Case;
import dev.slate.lab.LabRun;
import dev.slate.lab.Metric;
import dev.slate.lab.Results;
import dev.slate.lab.Sample;
import dev.slate.lab.Table;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.json.JsonMapper;

/** Reports as JSON, for programs: every value of every round in its base unit. */
public final class JsonReport {
    private static final double[] PERCENTILES = {0, 50, 90, 99, 99.9, 99.99, 100};

    private JsonReport() {}

    public static String text(List<LabRun> runs, Machine machine) {
        Map<String, Object> top = new LinkedHashMap<>();
        top.put("command", machine.command());
        Map<String, String> where = new LinkedHashMap<>();
        where.put("processor", machine.processor());
        where.put("memory", machine.memory());
        where.put("kernel", machine.kernel());
        where.put("jdk", machine.jdk());
        where.put("date", machine.date());
        top.put("machine", where);
        top.put("experiments", runs.stream().map(JsonReport::experiment).toList());
        return JsonMapper.builder().build().writerWithDefaultPrettyPrinter().writeValueAsString(top) + "\n";
    }

    private static Map<String, Object> experiment(LabRun run) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("name", run.experiment().name());
        json.put("seed", run.experiment().seed());
        json.put("question", run.experiment().question());
        json.put("complete", run.complete());
        json.put("rounds", run.roundsDone());
        json.put("notes", run.design().notes());
        json.put(
                "tables",
                run.design().tables().stream()
                        .map(table -> table(table, run.results()))
                        .toList());
        return json;
    }

    private static Map<String, Object> table(Table table, Results results) {
        List<Map<String, Object>> rows = new ArrayList<>();
        for (Case row : table.rows()) {
            Map<String, Object> cells = new LinkedHashMap<>();
            for (int i = 0; i < table.labels().size(); i++) {
                cells.put(table.labels().get(i), row.labels().get(i));
            }
            for (Table.Column column : table.columns()) {
                Object cell = cell(column, row, results);
                if (cell != null) {
                    cells.put(column.heading(), cell);
                }
            }
            Histogram histogram = results.histogram(row);
            if (histogram != null) {
                Map<String, Object> percentiles = new LinkedHashMap<>();
                for (double p : PERCENTILES) {
                    percentiles.put("p" + (p == Math.rint(p) ? (long) p : p), histogram.getValueAtPercentile(p));
                }
                percentiles.put("count", histogram.getTotalCount());
                cells.put("distribution", percentiles);
            }
            rows.add(cells);
        }
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("title", table.title());
        json.put("rows", rows);
        return json;
    }

    private static @Nullable Object cell(Table.Column column, Case row, Results results) {
        return switch (column) {
            case Table.Measured measured ->
                sample(results.sample(row, measured.metric()), measured.metric().unit());
            case Table.Ratio ratio -> {
                Case to = ratio.to().get(row);
                yield to == null ? null : sample(results.ratio(row, to, ratio.metric()), Metric.Unit.COUNT);
            }
            case Table.Seed seed -> seed.figures().get(row);
        };
    }

    private static @Nullable Object sample(@Nullable Sample sample, Metric.Unit unit) {
        if (sample == null) {
            return null;
        }
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("unit", unit.symbol());
        json.put("median", sample.median());
        json.put("q1", sample.quantile(0.25));
        json.put("q3", sample.quantile(0.75));
        json.put("values", sample.values());
        return json;
    }
}
