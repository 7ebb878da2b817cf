package dev.slate.cpu.mem;

/**
 * Which 64-byte lines of host pages hold code that a processor has decoded, so that a store into a page with code is told from a store
 * into code.
 *
 * <p>Native memory, in a form that native code can probe: an open-addressed table of pairs of longs, the host page (0: nothing here, and
 * the end of a search) and a mask with bit n for line n, at {@link #hva}, of {@link #pages} pairs; a page's search begins at pair
 * {@code (page >>> 12) * 0x9e3779b97f4a7c15 >>> 40 & pages - 1} and goes upwards, round the end. Both move when the table grows.
 *
 * <p>A line is marked by whoever is going to run code from it, and unmarked by the store that hits it, after which that code counts as
 * unproved. A page without marked lines keeps its place until the table grows. Of its processor's thread only.
 */
public final class CodeLines {
    private static final int PAGE = 4096;
    private static final int LINE_SHIFT = 6;
    private static final int PAIR = 16;
    private static final int FIRST_PAGES = 64;

    private Scratch table = new Scratch(FIRST_PAGES * PAIR);
    private long hva = table.hva();
    private int pages = FIRST_PAGES;
    private int taken;

    /** An empty map. */
    public CodeLines() {}

    /** Host address of the table. */
    public long hva() {
        return hva;
    }

    /** Number of pairs in the table, a power of two. */
    public int pages() {
        return pages;
    }

    /** The marked lines of the page of host address {@code at}. */
    public long lines(long at) {
        long pair = find(at & -PAGE);
        return HostMemory.get64(pair) == 0 ? 0 : HostMemory.get64(pair + 8);
    }

    /** Whether {@code bytes} bytes at {@code at}, all on one page, touch a marked line. */
    public boolean hit(long at, int bytes) {
        return (lines(at) & mask(at, bytes)) != 0;
    }

    /**
     * Marks the lines of {@code bytes} bytes at {@code at}, all on one page.
     *
     * @return whether the page had none before: stores to it may still take paths that do not ask here
     */
    public boolean mark(long at, int bytes) {
        long page = at & -PAGE;
        long pair = find(page);
        long marked = 0;
        if (HostMemory.get64(pair) == 0) {
            if (++taken * 2 > pages) {
                grow();
                pair = find(page);
            }
            HostMemory.put64(pair, page);
        } else {
            marked = HostMemory.get64(pair + 8);
        }
        HostMemory.put64(pair + 8, marked | mask(at, bytes));
        return marked == 0;
    }

    /** Unmarks the lines of {@code bytes} bytes at {@code at}, all on one page. */
    public void unmark(long at, int bytes) {
        long pair = find(at & -PAGE);
        if (HostMemory.get64(pair) != 0) {
            HostMemory.put64(pair + 8, HostMemory.get64(pair + 8) & ~mask(at, bytes));
        }
    }

    private static long mask(long at, int bytes) {
        int within = (int) at & PAGE - 1;
        int first = within >>> LINE_SHIFT;
        int last = within + bytes - 1 >>> LINE_SHIFT;
        return -1L << first & -1L >>> 63 - last;
    }

    /** The pair of a page, or the free one where it belongs. */
    private long find(long page) {
        int last = pages - 1;
        for (int i = (int) ((page >>> 12) * 0x9e37_79b9_7f4a_7c15L >>> 40) & last; ; i = i + 1 & last) {
            long pair = hva + (long) i * PAIR;
            long there = HostMemory.get64(pair);
            if (there == page || there == 0) {
                return pair;
            }
        }
    }

    private void grow() {
        Scratch old = table;
        long from = hva;
        int count = pages;
        table = new Scratch(2L * count * PAIR);
        hva = table.hva();
        pages = 2 * count;
        taken = 1;
        try {
            for (long pair = from; pair < from + (long) count * PAIR; pair += PAIR) {
                long lines = HostMemory.get64(pair + 8);
                if (lines != 0) {
                    long page = HostMemory.get64(pair);
                    long to = find(page);
                    HostMemory.put64(to, page);
                    HostMemory.put64(to + 8, lines);
                    taken++;
                }
            }
        } finally {
            java.lang.ref.Reference.reachabilityFence(old);
        }
    }
}
