package dev.slate.cpu.mmu;

/**
 * Where the last-level tables of the guest's long mode lie, with the rights that the levels above leave: the paging-structure cache of one
 * processor (SDM 3A 4.10.3, APM 2 5.5.1). It holds what has been walked to with all accessed bits set, until the TLB's {@link Tlb#stamp} is
 * another: that is, until anything is dropped from the address space, as by INVLPG of any page. So it knows nothing that the TLB might not.
 */
final class TableCache {
    /** A power of two. */
    private static final int ENTRIES = 16;

    private static final int REGION_SHIFT = 21;
    private static final long PAGE_MASK = -4096L;

    private final Tlb tlb;
    private final long[] region = new long[ENTRIES];
    private final long[] stamp = new long[ENTRIES];
    private final long[] cr3 = new long[ENTRIES];
    /** Bits that were looked at to be zero on the way. */
    private final long[] reserved = new long[ENTRIES];

    private final long[] table = new long[ENTRIES];
    private final int[] rights = new int[ENTRIES];

    TableCache(Tlb tlb) {
        this.tlb = tlb;
    }

    private static int number(long la) {
        return (int) (la >>> REGION_SHIFT) & ENTRIES - 1;
    }

    /** The number of the entry for {@code la}, or -1. */
    int find(long la, long cr3Now, long reservedNow) {
        int n = number(la);
        return stamp[n] == tlb.stamp()
                        && region[n] == la >>> REGION_SHIFT
                        && cr3[n] == cr3Now
                        && reserved[n] == reservedNow
                ? n
                : -1;
    }

    /** Guest physical address. */
    long table(int n) {
        return table[n];
    }

    /** As {@link GuestWalk#rightsAt}, of level 2. */
    int rights(int n) {
        return rights[n];
    }

    /** @param slot guest physical address of the entry that maps the page of {@code la} */
    void keep(long la, long cr3Now, long slot, int rightsAbove, long reservedNow) {
        int n = number(la);
        stamp[n] = tlb.stamp();
        region[n] = la >>> REGION_SHIFT;
        cr3[n] = cr3Now;
        reserved[n] = reservedNow;
        table[n] = slot & PAGE_MASK;
        rights[n] = rightsAbove;
    }

    /** Forgets the entry for {@code la}. */
    void drop(long la) {
        stamp[number(la)] = 0;
    }
}
