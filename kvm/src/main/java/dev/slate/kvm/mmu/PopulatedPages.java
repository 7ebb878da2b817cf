package dev.slate.kvm.mmu;

import dev.slate.kvm.memslot.Memslots;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Pages of the client's that a vCPU has populated, as long as memslots and invalidation sequence are what they were: to populate one again is
 * a system call that finds nothing to do.
 *
 * <p>Of one thread.
 */
final class PopulatedPages {
    private static final int SIZE = 64;
    private static final long WRITABLE = 1;

    /** By the page's number: its address and {@link #WRITABLE}; 0: none. */
    private final long[] pages = new long[SIZE];

    private @Nullable Memslots slots;
    private long sequence;

    private static int place(long hva) {
        return (int) ((hva >>> 12) * 0x9e37_79b9_7f4a_7c15L >>> 58);
    }

    /** Whether a page has been populated under these memslots and this sequence, for writing if {@code write}. */
    boolean has(Memslots now, long sequenceNow, long hva, boolean write) {
        if (now != slots || sequenceNow != sequence) {
            return false;
        }
        long page = pages[place(hva)];
        return page == (hva | WRITABLE) || !write && page == hva;
    }

    /** Notes one that was populated after both were read. */
    void add(Memslots now, long sequenceNow, long hva, boolean write) {
        if (now != slots || sequenceNow != sequence) {
            slots = now;
            sequence = sequenceNow;
            Arrays.fill(pages, 0);
        }
        pages[place(hva)] = write ? hva | WRITABLE : hva;
    }
}
