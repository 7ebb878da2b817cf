package dev.slate.lab.report;

import dev.slate.lab.LabRun;
import dev.slate.lab.Plot;
import java.util.List;

/** Reports as one page that needs nothing else: tables, plots, notes. */
public final class HtmlReport {
    private HtmlReport() {}

    public static String page(List<LabRun> runs, Machine machine) {
        String names = String.join(
                ", ", runs.stream().map(run -> run.experiment().name()).toList());
        HtmlPage page = new HtmlPage("Slate lab: " + names, "Slate lab", machine);
        for (LabRun run : runs) {
            page.section(
                    run.experiment().name(),
                    run.experiment().question(),
                    "Seed " + run.experiment().seed() + ". " + TextReport.rounds(run) + ".");
            Grid.all(run).forEach(page::table);
            for (Plot plot : run.design().plots()) {
                page.plot(plot.title(), plot.x(), plot.y(), plot.series().apply(run.results()));
            }
            page.notes(run.design().notes());
        }
        return page.text();
    }
}
