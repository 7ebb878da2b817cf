package dev.slate.lab.experiments;

import java.util.Arrays;

/**
 * Times operations of some nanoseconds each in chunks, of which the median counts: a chunk in which the thread lost the processor does not.
 *
 * <p>Its {@link #run} is called after each operation.
 */
final class ChunkTimer implements Runnable {
    private final int chunk;
    private long[] nanos = new long[64];
    private int chunks;
    private int left;
    private long since;

    /** @param chunk operations in one */
    ChunkTimer(int chunk) {
        this.chunk = chunk;
    }

    /** The first operation starts now; what was timed before is forgotten. */
    void start() {
        chunks = 0;
        left = chunk;
        since = System.nanoTime();
    }

    @Override
    public void run() {
        if (--left == 0) {
            long now = System.nanoTime();
            if (chunks == nanos.length) {
                nanos = Arrays.copyOf(nanos, chunks * 2);
            }
            nanos[chunks++] = now - since;
            left = chunk;
            since = System.nanoTime();
        }
    }

    /** Nanoseconds of one operation in the median chunk. */
    double median() {
        if (chunks == 0) {
            throw new IllegalStateException("not one chunk of " + chunk + " operations was timed");
        }
        long[] sorted = Arrays.copyOf(nanos, chunks);
        Arrays.sort(sorted);
        return (double) sorted[chunks / 2] / chunk;
    }
}
