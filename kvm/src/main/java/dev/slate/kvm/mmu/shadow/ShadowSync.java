package dev.slate.kvm.mmu.shadow;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mmu.GuestWalk;
import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.mmu.Spte;
import dev.slate.kvm.rmap.PteLists;
import dev.slate.kvm.rmap.SpteVisitor;
import dev.slate.kvm.stats.VmStats;
import dev.slate.kvm.tracepoint.Tracepoints;
import java.util.Arrays;

/**
 * Unsync pages: a guest's last-level table may be written freely once its shadow is marked unsync, because the guest owes a TLB flush before
 * it may count on what it wrote. At that flush the shadow is read again (synced) and the table protected.
 *
 * <p>Also finds or makes the shadow of a guest table, which may sync one. Under the MMU's lock.
 */
final class ShadowSync {
    /** {@link #syncPage}: nothing that a TLB could hold was taken away. */
    private static final int SAME = 0;
    /** {@link #syncPage}: a flush must follow. */
    private static final int CHANGED = 1;
    /** {@link #syncPage}: the page is of another mode, or its table is gone: it must be zapped. */
    private static final int LOST = -1;

    private static final int GPTES_4_BYTE_HALF = 2048;

    private final ShadowSptes sptes;
    private final ShadowPages pages;
    private final VmStats stats;
    private final SpteVisitor marker = this::markUnsync;

    /** Unsync pages that are being collected. */
    private long[] found = new long[64];

    private int foundCount;

    ShadowSync(ShadowSptes sptes, ShadowPages pages, VmStats stats) {
        this.sptes = sptes;
        this.pages = pages;
        this.stats = stats;
    }

    // ------------------------------------------------------------------ becoming unsync

    /**
     * A gfn is about to be mapped writable. True: it must not be, because a guest table lies there that stays protected. Else the
     * shadows of last-level tables there, if any, are unsync now.
     *
     * @param canUnsync false while syncing: the flush under way must be over before anything may become unsync
     */
    boolean mustProtect(Memslot slot, long gfn, boolean canUnsync) {
        if (!pages.anyIndirect()) {
            return false;
        }
        ShadowSlot s = ShadowSlot.of(slot);
        if (s.tracked(gfn)) {
            return true;
        }
        if (s.allowsLarge(gfn)) {
            // No table in the whole 2 MiB.
            return false;
        }
        for (long sp = pages.first(gfn); sp != 0; sp = ShadowPage.nextInBucket(sp)) {
            if (pages.shadows(sp, gfn)) {
                if (!canUnsync) {
                    return true;
                }
                if (!ShadowPage.unsync(sp)) {
                    if (Tracepoints.ON) {
                        Tracepoints.unsyncPage(ShadowPage.traced(sp));
                    }
                    ShadowPage.unsync(sp, true);
                    stats.add(VmStats.MMU_UNSYNC, 1);
                    markParents(sp);
                }
            }
        }
        return false;
    }

    private void markParents(long sp) {
        PteLists lists = sptes.lists;
        lists.forEach(ShadowPage.parentPtes(sp), marker);
    }

    private void markUnsync(long sptep) {
        long parent = ShadowPage.of(sptep);
        boolean first = ShadowPage.unsyncChildren(parent) == 0;
        if (!ShadowPage.markUnsyncChild(parent, ShadowPage.index(sptep)) && first) {
            markParents(parent);
        }
    }

    /** A page was linked below an entry: what is unsync in it or below it is unsync below the entry's page too. */
    void linked(long sptep, long child) {
        if (ShadowPage.unsync(child) || ShadowPage.unsyncChildren(child) != 0) {
            markUnsync(sptep);
        }
    }

    // ------------------------------------------------------------------ syncing

    /** Syncs all that is unsync below a page, in the mode of a walk. */
    void syncChildren(GuestWalk walk, int vcpuRole, long root) {
        while (ShadowPage.unsyncChildren(root) != 0) {
            foundCount = 0;
            collect(root);
            boolean flush = false;
            for (int i = 0; i < foundCount; i++) {
                long sp = found[i];
                Memslot slot = sptes.slot(ShadowPage.role(sp), ShadowPage.gfn(sp));
                flush |= slot != null && sptes.protectGfn(slot, ShadowPage.gfn(sp));
            }
            if (flush) {
                // Before the tables are read: what is written later faults.
                pages.flush();
            }
            flush = false;
            for (int i = 0; i < foundCount; i++) {
                long sp = found[i];
                if (!ShadowPage.unsync(sp) || ShadowPage.invalid(sp)) {
                    continue;
                }
                if (Tracepoints.ON) {
                    Tracepoints.syncPage(ShadowPage.traced(sp));
                }
                ShadowPage.unsync(sp, false);
                stats.add(VmStats.MMU_UNSYNC, -1);
                int result = syncPage(walk, vcpuRole, sp);
                flush |= result == CHANGED;
                if (result == LOST) {
                    pages.zap(sp);
                }
            }
            pages.commit(flush);
        }
    }

    private void collect(long sp) {
        int level = ShadowPage.level(sp);
        for (int i = ShadowPage.nextUnsyncChild(sp, 0); i >= 0; i = ShadowPage.nextUnsyncChild(sp, i + 1)) {
            ShadowPage.clearUnsyncChild(sp, i);
            long spte = HostMemory.getVolatile64(ShadowPage.sptep(sp, i));
            if (!Spte.present(spte) || Spte.leaf(spte, level)) {
                continue;
            }
            long child = ShadowPage.child(spte);
            if (ShadowPage.unsyncChildren(child) != 0) {
                collect(child);
            }
            if (ShadowPage.unsync(child)) {
                if (foundCount == found.length) {
                    found = Arrays.copyOf(found, foundCount * 2);
                }
                found[foundCount++] = child;
            }
        }
    }

    /** hva of the guest table that a last-level page shadows, or 0. Populated, as long as the page is valid. */
    private long tableHva(long sp) {
        int role = ShadowPage.role(sp);
        long gfn = ShadowPage.gfn(sp);
        Memslot slot = sptes.slot(role, gfn);
        return slot == null ? 0 : slot.hva(gfn) + (long) Role.quadrant(role) * GPTES_4_BYTE_HALF;
    }

    /** Reads a last-level table again. */
    private int syncPage(GuestWalk walk, int vcpuRole, long sp) {
        int role = ShadowPage.role(sp);
        long table = tableHva(sp);
        if (table == 0 || !Role.sameContext(role, vcpuRole)) {
            return LOST;
        }
        int bytes = Role.has4ByteGpte(role) ? 4 : 8;
        int result = SAME;
        for (int i = 0; i < ShadowPage.ENTRIES; i++) {
            long sptep = ShadowPage.sptep(sp, i);
            if (HostMemory.get64(sptep) == 0) {
                continue;
            }
            long at = table + (long) i * bytes;
            long gpte = bytes == 4 ? HostMemory.get32(at) & 0xffff_ffffL : HostMemory.get64(at);
            if (syncEntry(walk, role, sp, i, sptep, gpte)) {
                result = CHANGED;
            }
        }
        return result;
    }

    /** True when a flush must follow. */
    private boolean syncEntry(GuestWalk walk, int role, long sp, int index, long sptep, long gpte) {
        int rights = walk.lastLevelRights(gpte);
        long gfn = (gpte & Spte.RESERVED | gpte & Spte.FRAME) >>> 12;
        long old = HostMemory.getVolatile64(sptep);
        Memslot slot = sptes.slot(role, gfn);
        if (Spte.mmio(old) && rights >= 0 && gfn == Spte.frame(old) >>> 12) {
            // Whether its generation still is that of the memslots, the next access sees.
            HostMemory.putVolatile64(sptep, ShadowSptes.mmio(old, Role.access(role) & rights));
            return false;
        }
        if (rights < 0 || slot == null || !Spte.present(old) || gfn != ShadowPage.entryGfn(sp, index)) {
            return sptes.drop(sptep);
        }
        int access = Role.access(role) & rights;
        ShadowPage.setEntry(sp, index, gfn, access);
        boolean hostWritable = (old & Spte.HOST_WRITABLE) != 0;
        boolean writable = (access & GuestWalk.WRITE) != 0 && hostWritable;
        if (writable && !Spte.writable(old)) {
            // A logged page is made writable by the write that is to be logged.
            writable = !slot.logsDirty() && !mustProtect(slot, gfn, false);
        }
        long now = ShadowSptes.leaf(Spte.frame(old), 1, access, walk.keyOf(gpte), hostWritable, writable)
                & (old | ~Spte.ACCESSED);
        if (now == old) {
            return false;
        }
        return ShadowSptes.needsFlush(HostMemory.getAndSet64(sptep, now), now);
    }

    // ------------------------------------------------------------------ finding and making

    /** The page that shadows {@code gfn} in a role, brought up to date or made anew. */
    long get(ShadowCaches caches, GuestWalk walk, int vcpuRole, long gfn, int role) {
        int collisions = 0;
        long result = 0;
        for (long sp = pages.first(gfn); sp != 0; sp = ShadowPage.nextInBucket(sp)) {
            if (pages.obsolete(sp)) {
                continue;
            }
            if (ShadowPage.gfn(sp) != gfn) {
                collisions++;
                continue;
            }
            if (ShadowPage.role(sp) != role) {
                if (Role.level(role) > 1 && ShadowPage.unsync(sp)) {
                    // The table becomes one of a higher level, which is protected; nothing of it may stay unsync.
                    pages.zap(sp);
                }
                continue;
            }
            if (!Role.direct(role)) {
                if (ShadowPage.unsync(sp)) {
                    // It stays unsync and unprotected until the guest's next flush, but tells the truth of now.
                    int synced = syncPage(walk, vcpuRole, sp);
                    if (synced == LOST) {
                        pages.zap(sp);
                        continue;
                    }
                    if (synced == CHANGED) {
                        pages.flush();
                    }
                }
                ShadowPage.clearWriteFlooding(sp);
            }
            result = sp;
            break;
        }
        pages.commit(false);
        stats.peak(VmStats.MAX_MMU_PAGE_HASH_COLLISIONS, collisions);
        boolean create = result == 0;
        if (create) {
            stats.add(VmStats.MMU_CACHE_MISS, 1);
            result = pages.create(caches, gfn, role);
        }
        if (Tracepoints.ON) {
            Tracepoints.getPage(ShadowPage.traced(result), create);
        }
        return result;
    }
}
