package dev.slate.layout.dwarf;

import java.util.Arrays;
import java.util.BitSet;

/**
 * The namespaces, modules, classes and functions of one unit: which entry lies in which. An entry does not say what it lies in, so
 * {@link Scan} writes it down on its walk. A scope is the stretch of the section from its entry to the end of its children.
 */
final class Scopes {
    private int[] starts = new int[16];
    private int[] ends = new int[16];
    private int[] parents = new int[16];
    private final BitSet templated = new BitSet();
    private int count;
    private int open = -1;

    /** Opens a scope inside the one that is open. */
    void enter(int at) {
        if (count == starts.length) size(count * 2);
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

    /** The innermost open scope is a class with template arguments that its name leaves out. */
    void templated() {
        templated.set(open);
    }

    /** The walk has ended. */
    void done() {
        size(count);
    }

    private void size(int size) {
        starts = Arrays.copyOf(starts, size);
        ends = Arrays.copyOf(ends, size);
        parents = Arrays.copyOf(parents, size);
    }

    /** The last scope that starts before an entry, -1 for none. */
    private int before(int at) {
        int low = 0;
        int high = count - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            if (starts[middle] < at) low = middle + 1;
            else high = middle - 1;
        }
        return high;
    }

    /** Whether a class has template arguments that its name leaves out. */
    boolean templated(int at) {
        int scope = before(at) + 1;
        return scope < count && starts[scope] == at && templated.get(scope);
    }

    /** The entry of the scope around an entry, -1 for none. */
    int around(int at) {
        // The last scope that starts before the entry, or one that this one lies in.
        int scope = before(at);
        while (scope >= 0 && ends[scope] <= at) scope = parents[scope];
        return scope < 0 ? -1 : starts[scope];
    }
}
