package dev.slate.conformance;

import java.io.IOException;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Predicate;

/** Runs the rows of a suite and fills a board, in the suite's order. */
public final class ConformanceRun {
    private final RowRunner runner;
    private final PrintStream out;
    private final boolean terminal;
    private final int columns;

    /**
     * Makes a run.
     *
     * @param runner runs one row
     * @param out where the board goes while it grows
     * @param terminal whether {@code out} is a terminal, on which progress can be shown
     * @param columns the terminal's width
     */
    public ConformanceRun(RowRunner runner, PrintStream out, boolean terminal, int columns) {
        this.runner = runner;
        this.out = out;
        this.terminal = terminal;
        this.columns = columns;
    }

    /**
     * Runs every row.
     *
     * @param suite the rows
     * @param repeat how often each row runs, one after the other; the worst result counts
     * @param jobs how many rows run at the same time
     * @param again whether a result is worth a second try, whose result then counts
     */
    public Board run(Suite suite, int repeat, int jobs, Predicate<Result> again)
            throws IOException, InterruptedException {
        Board board = new Board(suite);
        out.println(board.header());
        Thread killer = new Thread(runner::killAll, "kill what runs");
        Runtime.getRuntime().addShutdownHook(killer);
        try (ExecutorService workers = Executors.newFixedThreadPool(jobs);
                Progress progress =
                        new Progress(out, terminal, columns, suite.rows().size())) {
            List<Future<Result>> futures = new ArrayList<>();
            for (Row row : suite.rows()) {
                futures.add(workers.submit(() -> {
                    progress.started(row);
                    Result result = repeated(row, repeat);
                    if (again.test(result)) {
                        result = repeated(row, repeat);
                    }
                    progress.ended(row);
                    return result;
                }));
            }
            try {
                for (Future<Result> future : futures) {
                    progress.print(board.add(future.get()));
                }
            } catch (ExecutionException e) {
                workers.shutdownNow();
                if (e.getCause() instanceof IOException io) {
                    throw io;
                }
                throw new IllegalStateException(e);
            } catch (InterruptedException e) {
                workers.shutdownNow();
                throw e;
            }
        }
        Runtime.getRuntime().removeShutdownHook(killer);
        return board;
    }

    private Result repeated(Row row, int repeat) throws IOException, InterruptedException {
        Result result = runner.run(row);
        for (int i = 1; i < repeat * row.times(); i++) {
            result = result.merge(runner.run(row));
        }
        return result;
    }
}
