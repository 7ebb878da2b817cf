package dev.slate.debug;

import java.io.IOException;
import java.io.Writer;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;

/** What exits of guests' guests touched, by reason; exits that touched the same are kept once. Thread-safe. */
final class HeatExits {
    /** What one exit touched: ascending keys of {@link HeatExit}, and how often. */
    private record Touched(long[] keys, int[] counts) {
        @Override
        public boolean equals(Object other) {
            return other instanceof Touched t && Arrays.equals(keys, t.keys) && Arrays.equals(counts, t.counts);
        }

        @Override
        public int hashCode() {
            return 31 * Arrays.hashCode(keys) + Arrays.hashCode(counts);
        }
    }

    private static final class Reason {
        private long exits;
        private final Map<Touched, long[]> sets = new LinkedHashMap<>();
    }

    private final Map<String, Reason> reasons = new TreeMap<>();
    private final long most;

    HeatExits(long most) {
        this.most = most;
    }

    synchronized void add(String reason, long[] keys, int[] counts) {
        Reason r = reasons.computeIfAbsent(reason, x -> new Reason());
        if (r.exits < most) {
            r.exits++;
            r.sets.computeIfAbsent(new Touched(keys, counts), x -> new long[1])[0]++;
        }
    }

    synchronized long exits() {
        return reasons.values().stream().mapToLong(r -> r.exits).sum();
    }

    /** Lines {@code exits COUNT REASON}, and behind each {@code set TIMES TYPE.OBJECT.FIRST-LAST:READS/WRITES...}. */
    synchronized void write(Writer to) throws IOException {
        for (Map.Entry<String, Reason> e : reasons.entrySet()) {
            to.write("exits " + e.getValue().exits + " " + e.getKey() + "\n");
            for (Map.Entry<Touched, long[]> set : e.getValue().sets.entrySet()) {
                StringBuilder line = new StringBuilder("set ").append(set.getValue()[0]);
                Touched t = set.getKey();
                for (int i = 0; i < t.keys.length; i++) {
                    long key = t.keys[i];
                    boolean both = i + 1 < t.keys.length && t.keys[i + 1] == key + 1;
                    boolean write = (key & 1) == HeatCounts.WRITE;
                    line.append(' ').append(HeatExit.type(key)).append('.').append(HeatExit.object(key));
                    line.append('.').append(HeatExit.offset(key)).append('-');
                    line.append(HeatExit.offset(key) + HeatExit.bytes(key) - 1).append(':');
                    line.append(write ? 0 : t.counts[i]).append('/');
                    line.append(write ? t.counts[i] : both ? t.counts[i + 1] : 0);
                    if (both && !write) {
                        i++;
                    }
                }
                to.write(line.append('\n').toString());
            }
        }
    }
}
