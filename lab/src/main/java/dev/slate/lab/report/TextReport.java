package dev.slate.lab.report;

import dev.slate.lab.LabRun;
import java.util.List;

/** A report as text for a terminal, and as Markdown for the documents. */
public final class TextReport {
    private TextReport() {}

    /** Tables with aligned columns, then the notes. */
    public static String terminal(LabRun run) {
        StringBuilder text = new StringBuilder();
        text.append(run.experiment().name())
                .append(" (seed ")
                .append(run.experiment().seed())
                .append("): ")
                .append(run.experiment().question())
                .append('\n');
        text.append(rounds(run)).append('\n');
        for (Grid grid : Grid.all(run)) {
            text.append('\n').append(grid.title()).append('\n').append(grid.text());
        }
        text.append('\n');
        for (String note : run.design().notes()) {
            text.append("- ").append(note).append('\n');
        }
        return text.toString();
    }

    /** For instance {@code 5 of 5 rounds; median, ± half the distance of the quartiles}. */
    static String rounds(LabRun run) {
        String rounds = run.roundsDone() + " of " + run.design().rounds() + " rounds";
        return (run.complete() ? rounds : "stopped after " + rounds)
                + ", variants in turn; median ± half the distance between the quartiles";
    }

    /** The tables and notes as Markdown, without a heading above them. */
    public static String markdown(LabRun run, Machine machine) {
        StringBuilder text = new StringBuilder();
        text.append("Made by `")
                .append(machine.command())
                .append("` on ")
                .append(machine.date())
                .append("; ");
        text.append(rounds(run)).append(".\n");
        for (Grid grid : Grid.all(run)) {
            text.append("\n**").append(grid.title()).append("**\n\n");
            int[] widths = grid.widths();
            row(text, grid.headings(), grid.labels(), widths);
            for (int i = 0; i < widths.length; i++) {
                int dashes = Math.max(widths[i], 3);
                text.append("| ").append("-".repeat(i < grid.labels() ? dashes : dashes - 1));
                text.append(i < grid.labels() ? " " : ": ");
            }
            text.append("|\n");
            for (List<String> cells : grid.cells()) {
                row(text, cells, grid.labels(), widths);
            }
        }
        text.append('\n');
        for (String note : run.design().notes()) {
            text.append("- ").append(note).append('\n');
        }
        return text.toString();
    }

    private static void row(StringBuilder text, List<String> cells, int labels, int[] widths) {
        for (int i = 0; i < cells.size(); i++) {
            String cell = cells.get(i).replace("|", "\\|");
            String pad =
                    " ".repeat(Math.max(Math.max(widths[i], 3) - cells.get(i).length(), 0));
            text.append("| ").append(i < labels ? cell + pad : pad + cell).append(' ');
        }
        text.append("|\n");
    }
}
