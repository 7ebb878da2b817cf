package dev.slate.debug;

import java.util.Arrays;

/** Counts of accesses by offset, width and kind. Thread-safe. */
final class HeatCounts {
    static final int READ = 0;
    static final int WRITE = 1;
    /** Added to a kind: the access is the processor's own. */
    static final int OWN = 2;

    // Open addressing: the key plus one, 0 where it is free, and the count.
    private long[] keys = new long[64];
    private long[] counts = new long[64];
    private int used;

    private static long key(long offset, int bytes, int kind) {
        return (offset << 6 | (long) bytes << 2 | kind) + 1;
    }

    synchronized void add(long offset, int bytes, int kind, long times) {
        add(key(offset, bytes, kind), times);
    }

    private void add(long key, long times) {
        if (2 * used >= keys.length) {
            long[] oldKeys = keys;
            long[] oldCounts = counts;
            keys = new long[2 * oldKeys.length];
            counts = new long[2 * oldKeys.length];
            used = 0;
            for (int i = 0; i < oldKeys.length; i++) {
                if (oldKeys[i] != 0) {
                    add(oldKeys[i], oldCounts[i]);
                }
            }
        }
        int mask = keys.length - 1;
        int i = (int) (key * 0x9e37_79b9_7f4a_7c15L >>> 40) & mask;
        while (keys[i] != 0 && keys[i] != key) {
            i = i + 1 & mask;
        }
        if (keys[i] == 0) {
            keys[i] = key;
            used++;
        }
        counts[i] += times;
    }

    /** Adds all of these to {@code sum}. */
    synchronized void addTo(HeatCounts sum) {
        synchronized (sum) {
            for (int i = 0; i < keys.length; i++) {
                if (keys[i] != 0) {
                    sum.add(keys[i], counts[i]);
                }
            }
        }
    }

    synchronized long of(long offset, int bytes, int kind) {
        long key = key(offset, bytes, kind);
        int mask = keys.length - 1;
        for (int i = (int) (key * 0x9e37_79b9_7f4a_7c15L >>> 40) & mask; keys[i] != 0; i = i + 1 & mask) {
            if (keys[i] == key) {
                return counts[i];
            }
        }
        return 0;
    }

    /** All places that were touched, {@code offset << 4 | bytes}, in their order. */
    synchronized long[] places() {
        return Arrays.stream(keys)
                .filter(k -> k != 0)
                .map(k -> k - 1 >>> 2)
                .sorted()
                .distinct()
                .toArray();
    }
}
