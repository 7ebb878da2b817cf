package dev.slate.kvm.mmu;

import dev.slate.kvm.memslot.MemslotListener;

/**
 * A VM's MMU: makes the tables that the processor walks, below the guest's or instead of them, and keeps them true. How a vCPU's faults come
 * in is each MMU's own.
 *
 * <p><b>Invalidation protocol.</b> A vCPU commits an entry only inside a reading window ({@code READING_SHADOW_PAGE_TABLES}), after it has
 * checked there that the memslot snapshot and the invalidation sequence that its translation rests on still stand. Whoever takes memory
 * away (1) publishes the change, (2) waits for the reading windows that are open, so that from here on nobody commits the old, (3) zaps
 * the entries, (4) posts TLB_FLUSH to all vCPUs and waits until each has left guest mode or taken the request, and (5) only then
 * reuses table pages and lets the kernel have the memory.
 */
public interface Mmu extends MemslotListener, AutoCloseable {
    /**
     * The client's kernel is about to take {@code [startHva, endHva)} away or change its protection: drops every entry on the range, returns when no vCPU
     * can touch it, and lets none map it until {@link #hostInvalidateEnd} is called for it. Any thread that is not inside a guest.
     */
    void hostInvalidateBegin(long startHva, long endHva);

    /** The kernel has done it. */
    void hostInvalidateEnd(long startHva, long endHva);

    /** Drops every entry of the VM. */
    void zapAll();

    /**
     * Which pages of {@code [startHva, endHva)} the guest has used since they were last cleared ({@code kvm_age_gfn}, {@code kvm_test_age_gfn}).
     * Any thread that is not inside a guest.
     *
     * @param clear they count as unused from now on
     * @return whether any had been used
     */
    boolean used(long startHva, long endHva, boolean clear);

    /**
     * Zaps the oldest of the tables that were made only because the guest executes there ({@code nx_lpage_splits}), one of {@code ratio}, so that
     * their pages can be large again ({@code kvm_recover_nx_lpages}). Any thread that is not inside a guest.
     */
    void recoverNxHugePages(int ratio);

    /**
     * Bytes of native memory that say where guest pages are: tables and their headers, rmaps, descriptors and slots' arrays. Objects taken,
     * those that wait in vCPUs' caches included; the dirty bitmaps are the memslots' own. Any thread.
     */
    long metadataBytes();

    /** Takes the tables down; no vCPU runs any more. */
    @Override
    void close();
}
