package dev.slate.lab.report;

import dev.slate.lab.Case;
import dev.slate.lab.LabRun;
import dev.slate.lab.Results;
import dev.slate.lab.Sample;
import dev.slate.lab.Table;
import java.util.ArrayList;
import java.util.List;

/**
 * A table with its cells filled in, for whatever writes it.
 *
 * @param headings of all columns
 * @param labels how many columns on the left hold labels and no numbers
 * @param cells row by row; what was not measured is empty
 */
public record Grid(String title, List<String> headings, int labels, List<List<String>> cells) {
    static List<Grid> all(LabRun run) {
        return run.design().tables().stream()
                .map(table -> of(table, run.results()))
                .toList();
    }

    private static Grid of(Table table, Results results) {
        List<String> headings = new ArrayList<>(table.labels());
        for (Table.Column column : table.columns()) {
            headings.add(column.heading());
        }
        List<List<String>> cells = new ArrayList<>();
        for (Case row : table.rows()) {
            List<String> line = new ArrayList<>(row.labels());
            for (Table.Column column : table.columns()) {
                line.add(cell(column, row, results));
            }
            cells.add(line);
        }
        return new Grid(table.title(), headings, table.labels().size(), cells);
    }

    private static String cell(Table.Column column, Case row, Results results) {
        return switch (column) {
            case Table.Measured measured -> {
                Sample sample = results.sample(row, measured.metric());
                yield sample == null
                        ? ""
                        : Values.text(sample, measured.metric().unit());
            }
            case Table.Ratio ratio -> {
                Case to = ratio.to().get(row);
                Sample sample = to == null ? null : results.ratio(row, to, ratio.metric());
                yield sample == null ? "" : Values.ratio(sample);
            }
            case Table.Seed seed -> seed.figures().getOrDefault(row, "");
        };
    }

    /** Its columns aligned, for a terminal; without the title. */
    public String text() {
        StringBuilder text = new StringBuilder();
        int[] widths = widths();
        line(text, headings, widths);
        for (List<String> line : cells) {
            line(text, line, widths);
        }
        return text.toString();
    }

    private void line(StringBuilder text, List<String> line, int[] widths) {
        StringBuilder padded = new StringBuilder();
        for (int i = 0; i < line.size(); i++) {
            String pad = " ".repeat(widths[i] - line.get(i).length());
            padded.append("  ").append(i < labels ? line.get(i) + pad : pad + line.get(i));
        }
        text.append(padded.toString().stripTrailing()).append('\n');
    }

    /** Widest cell of each column. */
    int[] widths() {
        int[] widths = new int[headings.size()];
        for (int i = 0; i < widths.length; i++) {
            widths[i] = headings.get(i).length();
            for (List<String> line : cells) {
                widths[i] = Math.max(widths[i], line.get(i).length());
            }
        }
        return widths;
    }
}
