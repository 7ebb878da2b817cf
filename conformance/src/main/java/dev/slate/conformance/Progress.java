package dev.slate.conformance;

import java.io.PrintStream;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What is running now, on the last line of a terminal: rows done, rows in all, the time so far, and each running row with
 * its own time and limit. Prints nothing but the finished lines when the output is not a terminal. Thread-safe.
 */
final class Progress implements AutoCloseable {
    private static final Duration TICK = Duration.ofMillis(500);
    private static final String ERASE_LINE = "\r\033[K";

    private final PrintStream out;
    private final boolean terminal;
    private final int columns;
    private final int rows;
    private final long begin = System.nanoTime();
    private final Map<Row, Long> running = new LinkedHashMap<>();
    private final Thread ticker;
    private int done;

    Progress(PrintStream out, boolean terminal, int columns, int rows) {
        this.out = out;
        this.terminal = terminal;
        this.columns = columns;
        this.rows = rows;
        ticker = Thread.ofPlatform().daemon().name("progress").unstarted(this::tick);
        if (terminal) {
            ticker.start();
        }
    }

    private void tick() {
        try {
            while (true) {
                Thread.sleep(TICK);
                show();
            }
        } catch (InterruptedException closed) {
            // close() ends us.
        }
    }

    synchronized void started(Row row) {
        running.put(row, System.nanoTime());
        show();
    }

    synchronized void ended(Row row) {
        running.remove(row);
        done++;
        show();
    }

    /** Prints a finished line above the line of what is running. */
    synchronized void print(String line) {
        if (terminal) {
            out.print(ERASE_LINE);
        }
        out.println(line);
        show();
    }

    private synchronized void show() {
        if (!terminal) {
            return;
        }
        long now = System.nanoTime();
        StringBuilder text = new StringBuilder();
        text.append('[').append(done).append('/').append(rows).append("] ").append(clock(now - begin));
        running.forEach((row, since) -> text.append("  ")
                .append(row.name())
                .append(" (")
                .append(Duration.ofNanos(now - since).toSeconds())
                .append(" of ")
                .append(row.limit().toSeconds())
                .append(" s)"));
        out.print(ERASE_LINE + text.substring(0, Math.min(text.length(), columns - 1)));
        out.flush();
    }

    private static String clock(long nanoseconds) {
        long seconds = Duration.ofNanos(nanoseconds).toSeconds();
        return String.format("%d:%02d", seconds / 60, seconds % 60);
    }

    @Override
    public synchronized void close() {
        ticker.interrupt();
        if (terminal) {
            out.print(ERASE_LINE);
            out.flush();
        }
    }
}
