package dev.slate.cpu;

/** A set of linear pages, of which a processor that counts accesses keeps no TLB entry for data. Immutable. */
public final class WatchedPages {
    /** Page numbers plus one, open addressing; 0: free. */
    private final long[] slots;

    private final int mask;

    /**
     * A set that stays as it is.
     *
     * @param addresses one linear address on each page; a page may be named more than once
     */
    public WatchedPages(long[] addresses) {
        int size = Integer.highestOneBit(Math.max(4, addresses.length)) << 2;
        slots = new long[size];
        mask = size - 1;
        for (long la : addresses) {
            long page = (la >>> 12) + 1;
            int i = hash(page) & mask;
            while (slots[i] != 0 && slots[i] != page) {
                i = i + 1 & mask;
            }
            slots[i] = page;
        }
    }

    private static int hash(long page) {
        return (int) (page * 0x9e37_79b9_7f4a_7c15L >>> 32);
    }

    /** Whether the page of {@code la} is in it. */
    public boolean contains(long la) {
        long page = (la >>> 12) + 1;
        for (int i = hash(page) & mask; slots[i] != 0; i = i + 1 & mask) {
            if (slots[i] == page) {
                return true;
            }
        }
        return false;
    }
}
