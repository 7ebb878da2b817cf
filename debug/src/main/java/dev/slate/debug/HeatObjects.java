package dev.slate.debug;

import dev.slate.cpu.WatchedPages;
import java.util.Arrays;

/**
 * The objects that are known at one time, and the pages that hold them. Immutable. They may lie in one another.
 *
 * @param bases linear addresses, ascending
 * @param types of each, by its number
 * @param origins of each, what the register held where it was learnt
 * @param greatest bytes of the largest of them
 */
record HeatObjects(long[] bases, int[] types, long[] origins, long greatest, WatchedPages pages) {
    static final HeatObjects NONE =
            new HeatObjects(new long[0], new int[0], new long[0], 0, new WatchedPages(new long[0]));

    /** Index behind the last object that begins at {@code la} or before. */
    int behind(long la) {
        int low = 0;
        int high = bases.length;
        while (low < high) {
            int middle = low + high >>> 1;
            // Linear addresses have a sign: a kernel's are negative, and objects do not span 0.
            if (bases[middle] <= la) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

    boolean has(long base, int type) {
        for (int i = behind(base) - 1; i >= 0 && bases[i] == base; i--) {
            if (types[i] == type) {
                return true;
            }
        }
        return false;
    }

    /** With one more; this, when it is known. */
    HeatObjects with(long base, int type, long origin, HeatPlan plan) {
        if (has(base, type)) {
            return this;
        }
        int at = behind(base);
        int n = bases.length;
        long[] newBases = Arrays.copyOf(bases, n + 1);
        int[] newTypes = Arrays.copyOf(types, n + 1);
        long[] newOrigins = Arrays.copyOf(origins, n + 1);
        System.arraycopy(bases, at, newBases, at + 1, n - at);
        System.arraycopy(types, at, newTypes, at + 1, n - at);
        System.arraycopy(origins, at, newOrigins, at + 1, n - at);
        newBases[at] = base;
        newTypes[at] = type;
        newOrigins[at] = origin;
        return of(newBases, newTypes, newOrigins, plan);
    }

    /** Without those that were learnt with this value; this, when there are none. */
    HeatObjects without(long origin, HeatPlan plan) {
        int kept = 0;
        long[] newBases = new long[bases.length];
        int[] newTypes = new int[bases.length];
        long[] newOrigins = new long[bases.length];
        for (int i = 0; i < bases.length; i++) {
            if (origins[i] != origin) {
                newBases[kept] = bases[i];
                newTypes[kept] = types[i];
                newOrigins[kept++] = origins[i];
            }
        }
        return kept == bases.length
                ? this
                : of(
                        Arrays.copyOf(newBases, kept),
                        Arrays.copyOf(newTypes, kept),
                        Arrays.copyOf(newOrigins, kept),
                        plan);
    }

    /** Whether one was learnt with this value. */
    boolean learntWith(long origin) {
        for (long one : origins) {
            if (one == origin) {
                return true;
            }
        }
        return false;
    }

    private static HeatObjects of(long[] bases, int[] types, long[] origins, HeatPlan plan) {
        int pages = 0;
        long greatest = 0;
        for (int type : types) {
            long size = plan.types().get(type).size();
            pages += (int) (size + 4095 >>> 12) + 1;
            greatest = Math.max(greatest, size);
        }
        long[] addresses = new long[pages];
        int used = 0;
        for (int i = 0; i < bases.length; i++) {
            long last = bases[i] + plan.types().get(types[i]).size() - 1;
            for (long at = bases[i]; at <= last; at = (at | 4095) + 1) {
                addresses[used++] = at;
            }
        }
        return new HeatObjects(bases, types, origins, greatest, new WatchedPages(Arrays.copyOf(addresses, used)));
    }
}
