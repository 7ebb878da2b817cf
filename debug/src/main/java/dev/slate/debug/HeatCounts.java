package dev.slate.debug;

import java.util.Arrays;

/** Counts of accesses by offset, width and kind. Thread-safe. */
final class HeatCounts {
    static final int READ = 0;
    static final int WRITE = 1;
    /** Added to a kind: the access is the processor's own. */
    static final int OWN = 2;

    private final Tally tally = new Tally(64);

    private static long key(long offset, int bytes, int kind) {
        return offset << 6 | (long) bytes << 2 | kind;
    }

    synchronized void add(long offset, int bytes, int kind, long times) {
        tally.add(key(offset, bytes, kind), times);
    }

    /** Adds all of these to {@code sum}. */
    synchronized void addTo(HeatCounts sum) {
        synchronized (sum) {
            for (long key : tally.numbers()) {
                sum.tally.add(key, tally.of(key));
            }
        }
    }

    synchronized long of(long offset, int bytes, int kind) {
        return tally.of(key(offset, bytes, kind));
    }

    /** All places that were touched, {@code offset << 4 | bytes}, in their order. */
    synchronized long[] places() {
        return Arrays.stream(tally.numbers()).map(key -> key >>> 2).distinct().toArray();
    }
}
