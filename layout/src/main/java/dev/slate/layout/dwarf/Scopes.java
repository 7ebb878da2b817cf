package dev.slate.layout.dwarf;

import java.util.Arrays;

/**
 * The namespaces, modules, classes and functions of one unit: which entry lies in which. An entry does not say what it lies in, so
 * {@link Scan} writes it down on its walk. A scope is the stretch of the section from its entry to the end of its children.
 */
final class Scopes {
    private int[] starts = new int[16];
    private int[] ends = new int[16];
    private int[] parents = new int[16];
    private int count;
    private int open = -1;

    /** Opens a scope inside the one that is open. */
    void enter(int at) {
        if (count == starts.length) {
            starts = Arrays.copyOf(starts, count * 2);
            ends = Arrays.copyOf(ends, count * 2);
            parents = Arrays.copyOf(parents, count * 2);
        }
        starts[count] = at;
        ends[count] = Integer.MAX_VALUE;
        parents[count] = open;
        open = count++;
    }

    /** Closes the innermost open scope, which ends before {@code at}. */
    void leave(int at) {
        ends[open] = at;
        open = parents[open];
    }

    /** The entry of the innermost scope that is open, -1 for none. */
    int current() {
        return open < 0 ? -1 : starts[open];
    }

    /** The entry of the scope around an entry, -1 for none. */
    int around(int at) {
        int low = 0;
        int high = count - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            if (starts[middle] < at) low = middle + 1;
            else high = middle - 1;
        }
        // The last scope that starts before the entry, or one that this one lies in.
        int scope = high;
        while (scope >= 0 && ends[scope] <= at) scope = parents[scope];
        return scope < 0 ? -1 : starts[scope];
    }
}
