package dev.slate.lab;

import java.io.IOException;
import java.util.List;

/**
 * An experiment made ready: its trials, and how their results are shown.
 *
 * @param trials in the order of the first round
 * @param warmups rounds before those that count
 * @param rounds that count, at least 1
 * @param notes for the reader: what is held fixed, rules, what the seed measured otherwise
 * @param resources closed when all is over
 */
public record Design(
        List<Trial> trials,
        int warmups,
        int rounds,
        List<Table> tables,
        List<Plot> plots,
        List<String> notes,
        List<? extends AutoCloseable> resources)
        implements AutoCloseable {
    public Design {
        trials = List.copyOf(trials);
        tables = List.copyOf(tables);
        plots = List.copyOf(plots);
        notes = List.copyOf(notes);
        resources = List.copyOf(resources);
        if (rounds < 1 || warmups < 0) {
            throw new IllegalArgumentException(rounds + " rounds, " + warmups + " warm-ups");
        }
    }

    @Override
    public void close() throws IOException {
        IOException failed = null;
        for (AutoCloseable resource : resources) {
            try {
                resource.close();
            } catch (Exception e) {
                failed = failed == null ? new IOException(e) : failed;
                failed.addSuppressed(e);
            }
        }
        if (failed != null) {
            throw failed;
        }
    }
}
