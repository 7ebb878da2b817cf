package dev.slate.kvm.dirty;

import dev.slate.cpu.mem.HostMemory;

/**
 * A vCPU's dirty ring ({@code struct kvm_dirty_ring}; KVM document 8.29): pages it made dirty, in native memory that the client maps. The
 * vCPU pushes, the client collects entries and flags them, KVM_RESET_DIRTY_RINGS takes the flagged ones back.
 *
 * <pre>
 *  0  flags   DIRTY: there to collect; RESET: collected; 0: free
 *  4  slot    address space in bits 16 and up
 *  8  offset  page within the slot
 * </pre>
 *
 * <p>{@link #push} is of the vCPU's thread, {@link #reset} under the slots lock.
 */
public final class DirtyRing {
    /** {@code KVM_DIRTY_LOG_PAGE_OFFSET}: where the ring lies in a vCPU's run area, in pages. */
    public static final int PAGE_OFFSET = 64;
    /** Most bytes of a ring ({@code KVM_DIRTY_RING_MAX_ENTRIES} of 16). */
    public static final int MAX_BYTES = 65536 * 16;
    /** Least bytes of a ring. */
    public static final int MIN_BYTES = 4096;

    private static final int ENTRY_BYTES = 16;
    private static final int FLAG_DIRTY = 1;
    private static final int FLAG_RESET = 1 << 1;
    /** {@code KVM_DIRTY_RING_RSVD_ENTRIES}: what a vCPU may still push after it was told to leave. */
    private static final int RESERVED = 64;

    private final long hva;
    private final int size;

    private volatile int dirtyIndex;
    private volatile int resetIndex;
    private boolean closed;

    /** Is shown the entries that a reset takes back. */
    @FunctionalInterface
    public interface Collected {
        /**
         * Pages that the client has collected; whatever it has written there stands in the arguments, so they may be nonsense.
         *
         * @param page number of the first bit's page within the slot
         */
        void pages(int slot, long page, long mask);
    }

    /**
     * An empty ring in the client's memory.
     *
     * @param hva {@code bytes} zeroed bytes
     * @param bytes a power of two, {@link #MIN_BYTES} to {@link #MAX_BYTES}
     */
    public DirtyRing(long hva, long bytes) {
        this.hva = hva;
        this.size = (int) bytes / ENTRY_BYTES;
    }

    private long entry(int index) {
        return hva + (long) (index & size - 1) * ENTRY_BYTES;
    }

    /** Enters a page. Not when {@link #full}. */
    public void push(int slot, long page) {
        int index = dirtyIndex;
        long entry = entry(index);
        HostMemory.put32(entry + 4, slot);
        HostMemory.put64(entry + 8, page);
        // Release order: who sees the flag sees the entry.
        HostMemory.put32(entry, FLAG_DIRTY);
        dirtyIndex = index + 1;
    }

    private int used() {
        return dirtyIndex - resetIndex;
    }

    /** Only the reserve is left: the vCPU must leave with KVM_EXIT_DIRTY_RING_FULL and not come back before a reset. */
    public boolean softFull() {
        return used() >= size - RESERVED;
    }

    /** The memory goes away: a reset finds nothing from now on. Under the slots lock. */
    public void close() {
        closed = true;
    }

    /** No entry is left. */
    public boolean full() {
        return used() >= size;
    }

    /**
     * Takes back the entries that the client has flagged, in order, up to the first that it has not.
     *
     * @return their number
     */
    public int reset(Collected collected) {
        if (closed) {
            return 0;
        }
        int index = resetIndex;
        int count = 0;
        int slot = 0;
        long word = -1;
        long mask = 0;
        // The client may flag on and on while this runs; a whole ring is enough for one call.
        while (count < size) {
            long entry = entry(index);
            if ((HostMemory.get32(entry) & FLAG_RESET) == 0) {
                break;
            }
            int nextSlot = HostMemory.get32(entry + 4);
            long page = HostMemory.get64(entry + 8);
            HostMemory.put32(entry, 0);
            index++;
            count++;
            if (mask != 0 && (nextSlot != slot || page >>> 6 != word)) {
                collected.pages(slot, word << 6, mask);
                mask = 0;
            }
            slot = nextSlot;
            word = page >>> 6;
            mask |= 1L << page;
        }
        resetIndex = index;
        if (mask != 0) {
            collected.pages(slot, word << 6, mask);
        }
        return count;
    }
}
