package dev.slate.kvm.mmu;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.host.HostServices;

/**
 * The native 4 KiB pages that a VM's page tables are made of, carved from larger pieces and counted. A page handed out is zero.
 *
 * <p>Thread-safe. Taken in batches by {@link MemoryCache}, so that no fault takes the lock.
 */
public final class TablePages implements AutoCloseable {
    public static final int PAGE = 4096;
    private static final int PIECE_PAGES = 128;

    private final HostServices host;
    private long[] pieces = new long[8];
    private int pieceCount;
    private long[] free = new long[PIECE_PAGES];
    private int freeCount;

    public TablePages(HostServices host) {
        this.host = host;
    }

    /** Fills {@code into[from..to)}; false when the host has no more memory, and then nothing was taken. */
    synchronized boolean take(long[] into, int from, int to) {
        int want = to - from;
        while (freeCount < want) {
            if (!grow()) {
                return false;
            }
        }
        freeCount -= want;
        System.arraycopy(free, freeCount, into, from, want);
        return true;
    }

    /** One page, or 0 when the host has no more memory. */
    public synchronized long take() {
        return freeCount > 0 || grow() ? free[--freeCount] : 0;
    }

    /** Takes back a page that nobody can reach any more; it is zeroed here. */
    public void give(long page) {
        HostMemory.fill(page, PAGE, 0);
        giveZeroed(page);
    }

    /** Takes back a page that is zero. */
    synchronized void giveZeroed(long page) {
        free[freeCount++] = page;
    }

    private boolean grow() {
        long piece = host.allocate((long) PIECE_PAGES * PAGE, PAGE);
        if (piece == 0) {
            return false;
        }
        if (pieceCount == pieces.length) {
            pieces = java.util.Arrays.copyOf(pieces, pieceCount * 2);
        }
        pieces[pieceCount++] = piece;
        // The free list can hold every page there is.
        if (free.length < pieceCount * PIECE_PAGES) {
            free = java.util.Arrays.copyOf(free, Math.max(pieceCount * PIECE_PAGES, free.length * 2));
        }
        for (int i = PIECE_PAGES; --i >= 0; ) {
            free[freeCount++] = piece + (long) i * PAGE;
        }
        return true;
    }

    /** Pages handed out and not given back: tables and what caches hold. */
    public synchronized long used() {
        return (long) pieceCount * PIECE_PAGES - freeCount;
    }

    /** Bytes taken from the host. */
    public synchronized long bytes() {
        return (long) pieceCount * PIECE_PAGES * PAGE;
    }

    /** Gives everything back to the host, used or not. */
    @Override
    public synchronized void close() {
        for (int i = 0; i < pieceCount; i++) {
            host.free(pieces[i], (long) PIECE_PAGES * PAGE);
        }
        pieceCount = 0;
        freeCount = 0;
    }
}
