package dev.slate.lab;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A table of a report: which cases are its rows, and what its columns show of them.
 *
 * @param title above it
 * @param labels headings of the cases' labels
 * @param rows in the order of the table
 * @param columns from left to right
 */
public record Table(String title, List<String> labels, List<Case> rows, List<Column> columns) {
    /** A column. */
    public sealed interface Column {
        /** The heading. */
        String heading();
    }

    /** A metric's median and spread. */
    public record Measured(Metric metric) implements Column {
        @Override
        public String heading() {
            return metric.name();
        }
    }

    /**
     * How many times the metric of a case is that of another.
     *
     * @param to the other case of each
     */
    public record Ratio(String heading, Metric metric, Map<Case, Case> to) implements Column {}

    /**
     * The seed's own figures, word by word.
     *
     * @param figures for the cases that it has one for
     */
    public record Seed(String heading, Map<Case, String> figures) implements Column {}

    public Table {
        labels = List.copyOf(labels);
        rows = List.copyOf(rows);
        columns = List.copyOf(columns);
    }

    /** Builds a table column by column. */
    public static final class Builder {
        private final String title;
        private final List<String> labels;
        private final List<Case> rows;
        private final List<Column> columns = new ArrayList<>();

        public Builder(String title, List<String> labels, List<Case> rows) {
            this.title = title;
            this.labels = labels;
            this.rows = rows;
        }

        public Builder measured(Metric... metrics) {
            for (Metric metric : metrics) {
                columns.add(new Measured(metric));
            }
            return this;
        }

        public Builder ratio(String heading, Metric metric, Map<Case, Case> to) {
            columns.add(new Ratio(heading, metric, to));
            return this;
        }

        public Builder seed(String heading, Map<Case, String> figures) {
            columns.add(new Seed(heading, new LinkedHashMap<>(figures)));
            return this;
        }

        public Table build() {
            return new Table(title, labels, rows, columns);
        }
    }
}
