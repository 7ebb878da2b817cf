package dev.slate.kvm.mmu.tdp;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.mmu.MemoryCache;
import dev.slate.kvm.mmu.Slab;
import dev.slate.kvm.mmu.Spte;
import dev.slate.kvm.stats.VmStats;
import dev.slate.kvm.tracepoint.Tracepoints;
import java.util.Arrays;

/**
 * Edits of one VM's tables: four levels of 4 KiB native pages.
 *
 * <p>{@link #map} is for any vCPU inside a reading window, {@link #leaf} and {@link #lowestLevel} also in guest mode; the rest wants the
 * MMU's lock. Every edit is one atomic operation on one entry. A table is unlinked by exchanging the entry above it, then each of its
 * entries is exchanged for {@link Spte#REMOVED}: a vCPU still in there fails its compare-and-set, and what it installed just before is
 * found and accounted.
 */
final class TdpTables {
    static final int ROOT_LEVEL = 4;

    /** {@link #map}: an entry was made or got more rights. */
    static final int MAPPED = 0;
    /** {@link #map}: the entry was there already. */
    static final int SPURIOUS = 1;
    /** {@link #map}: another translation stands there or the table is going away; start again. */
    static final int AGAIN = 2;

    private static final int ENTRIES = 512;

    private final Slab pages;
    private final VmStats stats;
    /** Tables that stand where a large page could, had the guest not executed there: for {@link TdpMmu#recoverNxHugePages}. */
    private final NxSplits nxSplits;

    /** Table pages unlinked and not yet free, under the MMU's lock. */
    private long[] unlinked = new long[64];

    private int unlinkedCount;

    /** Leaves dropped by the zap under way, for the statistics. */
    private long dropped4k;

    private long dropped2m;

    /** Address space of the zap under way. */
    private int zapping;

    TdpTables(Slab pages, VmStats stats) {
        this.pages = pages;
        this.stats = stats;
        this.nxSplits = new NxSplits(stats);
    }

    /** Bytes of tables taken, vCPUs' caches included. */
    long bytes() {
        return pages.used() * Slab.PAGE;
    }

    NxSplits nxSplits() {
        return nxSplits;
    }

    // ------------------------------------------------------------------ looking

    /** Address of the leaf entry that maps {@code gfn}, or 0. The entry may change any time. */
    long leaf(long root, long gfn) {
        long table = root;
        for (int level = ROOT_LEVEL; ; level--) {
            long at = table + Spte.offset(gfn, level);
            long spte = HostMemory.get64(at);
            if (!Spte.mapped(spte)) {
                return 0;
            }
            if (Spte.leaf(spte, level)) {
                return at;
            }
            table = Spte.frame(spte);
        }
    }

    /** Level of the entry at which a walk for {@code gfn} ends: not present, or a leaf. */
    int lowestLevel(long root, long gfn) {
        long table = root;
        for (int level = ROOT_LEVEL; ; level--) {
            long spte = HostMemory.get64(table + Spte.offset(gfn, level));
            if (!Spte.mapped(spte) || Spte.leaf(spte, level)) {
                return level;
            }
            table = Spte.frame(spte);
        }
    }

    /** Whether a table stands at {@code level} for {@code gfn}: neither nothing nor a leaf. */
    boolean hasTable(long root, long gfn, int level) {
        return lowestLevel(root, gfn) < level;
    }

    // ------------------------------------------------------------------ mapping

    /** What {@link #map} does beside mapping for a read. Bits. */
    static final int WRITE = 1;
    /** For an instruction fetch. */
    static final int FETCH = 1 << 1;
    /** A large page in the way of a write is split rather than made writable as a whole. */
    static final int SPLIT = 1 << 2;
    /** A table made for this stands in the way of a large page only because the guest executes there. */
    static final int NX_SPLIT = 1 << 3;
    /** Large pages are mapped without execution. */
    static final int LARGE_NX = 1 << 4;
    /** Nobody has accessed the page yet. */
    static final int PREFETCH = 1 << 5;
    /** Instead of {@link #WRITE}: the page is there for writing, but writes to it are watched. */
    static final int WATCHED = 1 << 6;

    /**
     * Maps {@code gfn} to {@code hva}, making the tables on the way.
     *
     * @param cache holds as many pages as this can need
     * @param hva of the page; at level 2, of the large page that holds it
     * @param level 1, or 2 where nothing stands in the way: else level 1 is made
     * @param how bits as above
     */
    int map(MemoryCache cache, long root, int asId, long gfn, long hva, int level, int how) {
        long table = root;
        int l = ROOT_LEVEL;
        while (l > level) {
            long at = table + Spte.offset(gfn, l);
            long spte = HostMemory.getVolatile64(at);
            if (spte == 0) {
                long page = cache.take();
                if (!link(at, 0, page, l, asId, gfn, how)) {
                    cache.putBack(page);
                    continue;
                }
                table = page;
            } else if (!Spte.mapped(spte)) {
                return AGAIN;
            } else if (Spte.leaf(spte, l)) {
                // Asked for a small page under a large one.
                long part = Spte.frame(spte) + ((gfn & Spte.gfns(l) - 1) << 12);
                if (part != (hva & -4096)) {
                    return AGAIN;
                }
                boolean writes = (how & (WRITE | WATCHED)) != 0 && (how & SPLIT) != 0 && !Spte.writable(spte);
                boolean executes = (how & FETCH) != 0 && (spte & Spte.NO_EXECUTE) != 0;
                if (!writes && !executes) {
                    return grant(at, spte, how);
                }
                split(cache.take(), cache, at, spte, l, asId, gfn, how);
                continue;
            } else {
                table = Spte.frame(spte);
            }
            l--;
        }
        return install(table + Spte.offset(gfn, level), asId, gfn, hva, level, how);
    }

    /** Puts a table where {@code old} stands, at level {@code level}. */
    private boolean link(long at, long old, long page, int level, int asId, long gfn, int how) {
        return (how & NX_SPLIT) != 0 && level == 2
                ? nxSplits.link(at, old, Spte.table(page), asId, gfn)
                : HostMemory.cas64(at, old, Spte.table(page));
    }

    int install(long at, int asId, long gfn, long hva, int level, int how) {
        for (; ; ) {
            long spte = HostMemory.getVolatile64(at);
            if (spte == 0 || Spte.mmio(spte)) {
                // No memory was here, or no longer is none: the caller's snapshot has a slot.
                long made = leaf(hva, level, how);
                if (HostMemory.cas64(at, spte, made)) {
                    if (Tracepoints.ON) {
                        traceSet(at, spte, made, asId, gfn, level);
                    }
                    stats.addPages(at, level == 1 ? VmStats.PAGES_4K : VmStats.PAGES_2M, 1);
                    return MAPPED;
                }
            } else if (!Spte.mapped(spte)) {
                return AGAIN;
            } else if (!Spte.leaf(spte, level)) {
                // Another vCPU has made a table here meanwhile: the next try sees it and asks for a small page.
                long page = Spte.frame(spte);
                long small = hva + ((gfn & Spte.gfns(level) - 1) << 12);
                return install(page + Spte.offset(gfn, 1), asId, gfn, small, 1, how);
            } else if (Spte.frame(spte) != hva) {
                return AGAIN;
            } else {
                int made = grant(at, spte, how);
                if (made != AGAIN) {
                    if (Tracepoints.ON && made == MAPPED) {
                        traceSet(at, spte, HostMemory.get64(at), asId, gfn, level);
                    }
                    return made;
                }
            }
        }
    }

    private static void traceSet(long at, long old, long made, int asId, long gfn, int level) {
        Tracepoints.setSpte(gfn, at, made, level, Spte.present(made), (made & Spte.NO_EXECUTE) == 0);
        Tracepoints.spteChanged(asId, gfn, level, old, made);
    }

    private static long leaf(long hva, int level, int how) {
        long spte = Spte.page(hva, (how & WRITE) != 0, level);
        if (level > 1 && (how & LARGE_NX) != 0) {
            spte |= Spte.NO_EXECUTE;
        }
        if ((how & WATCHED) != 0) {
            spte |= Spte.HOST_WRITABLE;
        }
        return (how & PREFETCH) != 0 ? spte & ~Spte.ACCESSED : spte;
    }

    /** Gives an entry that maps the right page what the access needs; AGAIN when it changed meanwhile. */
    static int grant(long at, long spte, int how) {
        long more = Spte.accessTracked(spte) ? Spte.restoreAccess(spte) : spte;
        if ((how & WRITE) != 0) {
            more |= Spte.WRITABLE | Spte.DIRTY | Spte.HOST_WRITABLE | Spte.MMU_WRITABLE;
        }
        if ((how & WATCHED) != 0) {
            more |= Spte.HOST_WRITABLE;
        }
        if ((how & FETCH) != 0) {
            more &= ~Spte.NO_EXECUTE;
        }
        if (more == spte || (how & WRITE) != 0 && (how & FETCH) == 0 && Spte.writable(spte)) {
            return SPURIOUS;
        }
        return HostMemory.cas64(at, spte, more) ? MAPPED : AGAIN;
    }

    /**
     * Says that {@code gfn} is no memory, making the tables on the way.
     *
     * @param cache holds as many pages as this can need
     * @return whether the entry was made or renewed
     */
    boolean mapMmio(MemoryCache cache, long root, long gfn, long generation) {
        long table = root;
        for (int l = ROOT_LEVEL; l > 1; ) {
            long at = table + Spte.offset(gfn, l);
            long spte = HostMemory.getVolatile64(at);
            if (spte == 0) {
                long page = cache.take();
                if (!HostMemory.cas64(at, 0, Spte.table(page))) {
                    cache.putBack(page);
                    continue;
                }
                table = page;
            } else if (!Spte.mapped(spte) || Spte.leaf(spte, l)) {
                return false;
            } else {
                table = Spte.frame(spte);
            }
            l--;
        }
        long at = table + Spte.offset(gfn, 1);
        long spte = HostMemory.getVolatile64(at);
        long wanted = Spte.mmio(gfn, generation);
        boolean made = spte != wanted && (spte == 0 || Spte.mmio(spte)) && HostMemory.cas64(at, spte, wanted);
        if (Tracepoints.ON && made) {
            Tracepoints.markMmioSpte(at, gfn, 0, generation & Spte.GENERATION);
        }
        return made;
    }

    /** The last entry of the walk for {@code gfn}, present or not; it may change any time. */
    long last(long root, long gfn) {
        long table = root;
        for (int level = ROOT_LEVEL; ; level--) {
            long spte = HostMemory.getVolatile64(table + Spte.offset(gfn, level));
            if (!Spte.mapped(spte) || Spte.leaf(spte, level)) {
                return spte;
            }
            table = Spte.frame(spte);
        }
    }

    /** Replaces a large leaf by a table of its parts with the same rights; no translation changes, so no TLB needs a flush. */
    private void split(long page, MemoryCache cache, long at, long spte, int level, int asId, long gfn, int how) {
        fill(page, level, spte);
        if (link(at, spte, page, level, asId, gfn, how)) {
            countSplit();
        } else {
            HostMemory.fill(page, Slab.PAGE, 0);
            cache.putBack(page);
        }
    }

    /** Small pages may be executed: what forbids it for large ones (NX huge pages) is no matter of theirs. */
    private static void fill(long page, int level, long parts) {
        for (int i = 0; i < ENTRIES; i++) {
            HostMemory.put64(page + (long) i * Long.BYTES, Spte.part(parts, level, i) & ~Spte.NO_EXECUTE);
        }
    }

    private void countSplit() {
        stats.add(VmStats.PAGES_2M, -1);
        stats.add(VmStats.PAGES_4K, ENTRIES);
    }

    private boolean fillAndLink(long page, long at, long spte, int level, long parts) {
        fill(page, level, parts);
        if (!HostMemory.cas64(at, spte, Spte.table(page))) {
            return false;
        }
        countSplit();
        return true;
    }

    // ------------------------------------------------------------------ zapping

    /**
     * Drops every leaf that maps a gfn in {@code [start, end)}, and the tables that lie wholly inside. Large leaves are dropped whole.
     *
     * @return whether anything was there: then a flush must follow, then {@link #freeUnlinked}
     */
    boolean zap(long root, int asId, long start, long end) {
        dropped4k = 0;
        dropped2m = 0;
        zapping = asId;
        boolean any = zapTable(root, ROOT_LEVEL, 0, start, end);
        if (dropped4k != 0) {
            stats.add(VmStats.PAGES_4K, -dropped4k);
        }
        if (dropped2m != 0) {
            stats.add(VmStats.PAGES_2M, -dropped2m);
        }
        return any;
    }

    private boolean zapTable(long table, int level, long base, long start, long end) {
        long span = Spte.gfns(level);
        boolean any = false;
        int first = start <= base ? 0 : (int) (start - base >>> 9 * (level - 1));
        for (int i = first; i < ENTRIES; i++) {
            long low = base + i * span;
            if (low >= end) {
                break;
            }
            long at = table + (long) i * Long.BYTES;
            long spte = HostMemory.getVolatile64(at);
            if (!Spte.mapped(spte)) {
                continue;
            }
            if (!Spte.leaf(spte, level) && (low < start || low + span > end)) {
                any |= zapTable(Spte.frame(spte), level - 1, low, start, end);
                continue;
            }
            drop(HostMemory.getAndSet64(at, 0), level, low);
            any = true;
        }
        return any;
    }

    /** Accounts for an entry that was taken out of a table, and takes down the table it led to. */
    private void drop(long spte, int level, long gfn) {
        if (!Spte.mapped(spte)) {
            return;
        }
        if (Spte.leaf(spte, level)) {
            if (Tracepoints.ON) {
                Tracepoints.spteChanged(zapping, gfn, level, spte, 0);
            }
            if (level == 1) {
                dropped4k++;
            } else {
                dropped2m++;
            }
            return;
        }
        if (level == 2) {
            nxSplits.forget(zapping, gfn);
        }
        long table = Spte.frame(spte);
        for (int i = 0; i < ENTRIES; i++) {
            drop(
                    HostMemory.getAndSet64(table + (long) i * Long.BYTES, Spte.REMOVED),
                    level - 1,
                    gfn + i * Spte.gfns(level - 1));
        }
        if (unlinkedCount == unlinked.length) {
            unlinked = Arrays.copyOf(unlinked, unlinkedCount * 2);
        }
        unlinked[unlinkedCount++] = table;
    }

    /** Frees what was unlinked: every vCPU has passed since. */
    void freeUnlinked() {
        while (unlinkedCount > 0) {
            pages.give(unlinked[--unlinkedCount]);
        }
    }

    // ------------------------------------------------------------------ use

    /**
     * Looks which leaves that map a gfn in {@code [start, end)} have been used, and with {@code clear} makes them unused.
     *
     * @param accessedBits whether the processor sets accessed bits; else a leaf is made to fault at its next use
     * @return whether any had been used; with {@code clear} a flush must follow then
     */
    boolean used(long root, long start, long end, boolean clear, boolean accessedBits) {
        return usedIn(root, ROOT_LEVEL, 0, start, end, clear, accessedBits);
    }

    private boolean usedIn(
            long table, int level, long base, long start, long end, boolean clear, boolean accessedBits) {
        long span = Spte.gfns(level);
        boolean any = false;
        int first = start <= base ? 0 : (int) (start - base >>> 9 * (level - 1));
        for (int i = first; i < ENTRIES && base + i * span < end; i++) {
            long at = table + (long) i * Long.BYTES;
            long spte = HostMemory.getVolatile64(at);
            if (Spte.mapped(spte) && !Spte.leaf(spte, level)) {
                any |= usedIn(Spte.frame(spte), level - 1, base + i * span, start, end, clear, accessedBits);
            } else {
                any |= use(at, spte, clear, accessedBits);
            }
        }
        return any;
    }

    private static boolean use(long at, long spte, boolean clear, boolean accessedBits) {
        while (Spte.present(spte) && (!accessedBits || (spte & Spte.ACCESSED) != 0)) {
            if (!clear || HostMemory.cas64(at, spte, accessedBits ? spte & ~Spte.ACCESSED : Spte.trackAccess(spte))) {
                return true;
            }
            spte = HostMemory.getVolatile64(at);
        }
        return false;
    }

    // ------------------------------------------------------------------ write protection

    /**
     * Takes W from every leaf in {@code [start, end)}; a flush must follow.
     *
     * @param split large leaves are split at once (eager page splitting); else they lose W as they are
     */
    void writeProtect(long root, long start, long end, boolean split) {
        protectTable(root, ROOT_LEVEL, 0, start, end, split);
    }

    private void protectTable(long table, int level, long base, long start, long end, boolean split) {
        long span = Spte.gfns(level);
        int first = start <= base ? 0 : (int) (start - base >>> 9 * (level - 1));
        for (int i = first; i < ENTRIES; i++) {
            long low = base + i * span;
            if (low >= end) {
                break;
            }
            long at = table + (long) i * Long.BYTES;
            long spte = HostMemory.getVolatile64(at);
            if (!Spte.mapped(spte)) {
                continue;
            }
            if (!Spte.leaf(spte, level)) {
                protectTable(Spte.frame(spte), level - 1, low, start, end, split);
            } else if (level > 1 && split && splitProtected(at, level)) {
                if (Tracepoints.ON) {
                    Tracepoints.splitHugePage(low, spte, level, 0);
                }
            } else {
                takeWrite(at);
            }
        }
    }

    /** Splits a large leaf into parts without W; false when there is no page for the table or it is no large leaf any more. */
    private boolean splitProtected(long at, int level) {
        long page = pages.take();
        if (page == 0) {
            return false;
        }
        for (; ; ) {
            long spte = HostMemory.getVolatile64(at);
            if (!Spte.mapped(spte) || !Spte.leaf(spte, level)) {
                break;
            }
            if (fillAndLink(page, at, spte, level, spte & ~Spte.WRITABLE)) {
                return true;
            }
        }
        pages.give(page);
        return false;
    }

    static boolean takeWrite(long at) {
        long spte = HostMemory.getVolatile64(at);
        while (Spte.writable(spte) && Spte.mapped(spte)) {
            if (HostMemory.cas64(at, spte, spte & ~Spte.WRITABLE)) {
                return true;
            }
            spte = HostMemory.getVolatile64(at);
        }
        return false;
    }

    /** Takes W from the leaf that maps a gfn, and {@link Spte#MMU_WRITABLE}. @return whether it had W */
    boolean protectForTable(long root, long gfn) {
        long at = leaf(root, gfn);
        if (at == 0) {
            return false;
        }
        for (; ; ) {
            long spte = HostMemory.getVolatile64(at);
            if (!Spte.mapped(spte)) {
                return false;
            }
            if (HostMemory.cas64(at, spte, spte & ~(Spte.WRITABLE | Spte.MMU_WRITABLE))) {
                return Spte.writable(spte);
            }
        }
    }

    /**
     * Takes W from the pages of {@code mask}, a bit for each from {@code gfn} on; a large leaf in the way is split first.
     */
    void writeProtect64(long root, long gfn, long mask) {
        long table = 0;
        long tableGfn = -1;
        while (mask != 0) {
            long page = gfn + Long.numberOfTrailingZeros(mask);
            mask &= mask - 1;
            long of = page & -Spte.gfns(2);
            if (of != tableGfn) {
                tableGfn = of;
                table = lastTable(root, page);
            }
            if (table != 0) {
                takeWrite(table + Spte.offset(page, 1));
            }
        }
    }

    /** The last-level table for {@code gfn}, or 0 when nothing is mapped there. A large leaf is split. */
    private long lastTable(long root, long gfn) {
        long table = root;
        for (int level = ROOT_LEVEL; level > 1; ) {
            long at = table + Spte.offset(gfn, level);
            long spte = HostMemory.getVolatile64(at);
            if (!Spte.mapped(spte)) {
                return 0;
            }
            if (Spte.leaf(spte, level)) {
                long page = pages.take();
                if (page == 0) {
                    // No memory to split it: without the whole large page nothing would be logged.
                    takeWrite(at);
                    return 0;
                }
                if (!fillAndLink(page, at, spte, level, spte)) {
                    pages.give(page);
                }
                continue;
            }
            table = Spte.frame(spte);
            level--;
        }
        return table;
    }
}
