package dev.slate.lab.report;

import dev.slate.lab.LabRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** A Markdown page of the documents that holds the tables of experiments, each between two marks. */
public final class Page {
    private static final String END = "<!-- end -->";

    private Page() {}

    /**
     * Puts each run's tables between {@code <!-- lab NAME -->} and {@code <!-- end -->}.
     *
     * @throws IOException the page can't be read or written, or lacks the marks of a run; it is as before then
     */
    public static void update(Path page, List<LabRun> runs, Machine machine) throws IOException {
        String text = Files.readString(page);
        for (LabRun run : runs) {
            String begin = "<!-- lab " + run.experiment().name() + " -->";
            int from = text.indexOf(begin);
            int to = from < 0 ? -1 : text.indexOf(END, from);
            if (to < 0) {
                throw new IOException(page + " has no lines " + begin + " and " + END + " to put the tables between");
            }
            text = text.substring(0, from + begin.length())
                    + "\n\n"
                    + TextReport.markdown(run, machine)
                    + "\n"
                    + text.substring(to);
        }
        Files.writeString(page, text);
    }
}
