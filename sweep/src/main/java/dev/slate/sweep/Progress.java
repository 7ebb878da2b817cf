package dev.slate.sweep;

import java.io.PrintStream;
import java.time.Duration;

/** How far a sweep is, with the time left: on a terminal its last line, elsewhere a line now and then. */
final class Progress {
    private static final long BETWEEN = Duration.ofSeconds(30).toNanos();

    private final PrintStream out;
    private final boolean terminal;
    private final int jobs;
    private final long start = System.nanoTime();
    private long said = start;
    private int done;
    private int failed;

    Progress(PrintStream out, boolean terminal, int jobs) {
        this.out = out;
        this.terminal = terminal;
        this.jobs = jobs;
    }

    synchronized void ended(boolean passed) {
        done++;
        failed += passed ? 0 : 1;
        long now = System.nanoTime();
        if (!terminal && now - said < BETWEEN && done < jobs) {
            return;
        }
        said = now;
        String line = text(now - start);
        if (terminal) {
            out.print("\r\033[K" + line + (done == jobs ? "\n" : ""));
            out.flush();
        } else {
            out.println(line);
        }
    }

    /** The line after {@code nanos}. */
    String text(long nanos) {
        long left = Duration.ofNanos(nanos / Math.max(done, 1) * (jobs - done)).toSeconds();
        return "slate: " + done + " of " + jobs + " jobs done, " + failed + " not passed"
                + (done == jobs
                        ? ""
                        : String.format(java.util.Locale.ROOT, ", about %d:%02d left", left / 60, left % 60));
    }
}
