package dev.slate.cli;

import dev.slate.lab.Progress;
import java.io.PrintStream;
import java.time.Duration;

/** A run's progress where there is no terminal, as in a CI log: a line when an experiment starts, and one now and then. */
final class ProgressLog implements Progress {
    private static final Duration BETWEEN = Duration.ofSeconds(30);

    private final PrintStream out;
    private String experiment = "";
    private int steps;
    private int begun;
    private long start;
    private long said;

    ProgressLog(PrintStream out) {
        this.out = out;
    }

    @Override
    public void begin(String name, int count) {
        experiment = name;
        steps = count;
        begun = 0;
        start = System.nanoTime();
        said = start;
        out.printf("slate: %s, %d trials%n", experiment, steps);
    }

    @Override
    public void step(String what) {
        long now = System.nanoTime();
        if (now - said >= BETWEEN.toNanos()) {
            said = now;
            long left = Duration.ofNanos((now - start) / Math.max(begun, 1) * (steps - begun))
                    .toSeconds();
            out.printf(
                    "slate: %s, %d of %d trials done, about %d:%02d left; now %s%n",
                    experiment, begun, steps, left / 60, left % 60, what);
        }
        begun++;
    }

    @Override
    public void close() {}
}
