package dev.slate.kvm.mmu.shadow;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Errno;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.mmu.MmuContext;
import dev.slate.kvm.mmu.Slab;
import dev.slate.kvm.mmu.Spte;
import dev.slate.kvm.mode.GuestModes;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.stats.VmStats;
import dev.slate.kvm.tracepoint.Tracepoints;
import java.lang.invoke.VarHandle;

/**
 * A VM's shadow pages: the hash by gfn ({@code mmu_page_hash}), the list from newest to oldest ({@code active_mmu_pages}), their number's
 * limit, and zapping. A zapped page is invalid at once and freed by {@link #commit}, when every vCPU has passed; a root in use is freed by the
 * vCPU that drops it.
 *
 * <p>Under the MMU's lock.
 */
final class ShadowPages {
    private static final int HASH_SHIFT = 12;
    private static final long GOLDEN_RATIO_64 = 0x61c8_8646_80b5_83ebL;
    private static final long BUCKETS = 1L << HASH_SHIFT;
    private static final long LIST_HEAD_BYTES = 16;
    private static final long HASH_BYTES = BUCKETS * Long.BYTES + 2 * LIST_HEAD_BYTES;
    private static final int MIN_FREE_MMU_PAGES = 5;
    private static final int REFILL_PAGES = 25;
    /** {@code KVM_MIN_ALLOC_MMU_PAGES}. */
    static final int MIN_ALLOC_MMU_PAGES = 64;

    final Slab headers;
    final Slab tables;
    final Slab shadowedInfo;

    private final HostServices host;
    private final GuestModes modes;
    private final VmStats stats;
    private final ShadowSptes sptes;

    /** The hash's buckets; behind them the heads of the lists. */
    private final long hash;

    private final long active;
    /** Head of the list of pages that NX huge pages brought, oldest first ({@code lpage_disallowed_mmu_pages}). */
    private final long disallowed;

    private long used;
    private long limit = MIN_ALLOC_MMU_PAGES;
    /** {@code mmu_valid_gen}: toggled, as no page of the one before the last is ever left. */
    private int generation;
    /** Pages to free, linked by their first word. */
    private long invalid;
    /** A page was zapped since the last flush. */
    private boolean zappedAny;

    /** Shadow pages that have a guest table: while there is none, no page is protected. */
    private long indirect;

    /** There ever was a page ({@code shadow_root_allocated}). */
    private volatile boolean everUsed;

    ShadowPages(MmuContext context, ShadowSptes sptes) {
        this.host = context.host();
        this.modes = context.modes();
        this.stats = context.stats();
        this.sptes = sptes;
        this.headers = new Slab(host, ShadowPage.BYTES, Long.BYTES);
        this.tables = Slab.ofOwnedPages(host);
        this.shadowedInfo = Slab.ofPages(host);
        this.hash = host.allocate(HASH_BYTES, 64);
        if (hash == 0) {
            throw Errno.ENOMEM.raise();
        }
        this.active = hash + BUCKETS * Long.BYTES;
        this.disallowed = active + LIST_HEAD_BYTES;
        ShadowPage.initList(active);
        ShadowPage.initList(disallowed);
    }

    // ------------------------------------------------------------------ finding

    private long bucket(long gfn) {
        return hash + (gfn * GOLDEN_RATIO_64 >>> 64 - HASH_SHIFT) * Long.BYTES;
    }

    /** The first page, of any gfn, in the bucket of a gfn; then {@link ShadowPage#nextInBucket}. */
    long first(long gfn) {
        return HostMemory.get64(bucket(gfn));
    }

    /** Whether a page may no longer be used: zapped, or of before the last {@link #invalidateAll}. */
    boolean obsolete(long sp) {
        return ShadowPage.invalid(sp) || ShadowPage.generation(sp) != generation;
    }

    /** Whether {@code sp} shadows a guest table at {@code gfn} and may be used. */
    boolean shadows(long sp, long gfn) {
        return ShadowPage.gfn(sp) == gfn && !Role.direct(ShadowPage.role(sp)) && !obsolete(sp);
    }

    /** Number of shadow pages. */
    long used() {
        return used;
    }

    /** Whether there ever was one. Any thread. */
    boolean everUsed() {
        return everUsed;
    }

    boolean anyIndirect() {
        return indirect != 0;
    }

    // ------------------------------------------------------------------ making

    /** A new page; its guest table is write-protected when this returns. */
    long create(ShadowCaches caches, long gfn, int role) {
        boolean direct = Role.direct(role);
        everUsed = true;
        long sp = caches.headers.take();
        ShadowPage.init(sp, gfn, role, caches.tables.take(), direct ? 0 : caches.shadowedInfo.take(), generation);
        ShadowPage.addFirst(active, sp);
        ShadowPage.addToBucket(bucket(gfn), sp);
        used++;
        if (!direct) {
            accountShadowed(role, gfn);
        }
        return sp;
    }

    private void accountShadowed(int role, long gfn) {
        indirect++;
        Memslot slot = slot(role, gfn);
        ShadowSlot s = ShadowSlot.of(slot);
        boolean first = s.allowsLarge(gfn);
        if (Role.level(role) > 1) {
            // Tables above the last level stay protected.
            s.track(gfn, 1);
        } else {
            s.disallowLarge(gfn, 1);
        }
        if (first && sptes.besideOthers()) {
            // Two-dimensional paging maps without the lock where it sees no table: see ShadowedTables.near.
            VarHandle.fullFence();
            modes.waitForReaders();
        }
        if (sptes.protectGfn(slot, gfn)) {
            flush();
        }
    }

    private void unaccountShadowed(int role, long gfn) {
        indirect--;
        ShadowSlot s = ShadowSlot.of(slot(role, gfn));
        if (Role.level(role) > 1) {
            s.track(gfn, -1);
        } else {
            s.disallowLarge(gfn, -1);
        }
    }

    private Memslot slot(int role, long gfn) {
        Memslot slot = sptes.slot(role, gfn);
        if (slot == null) {
            throw new IllegalStateException("a shadow page for gfn 0x%x, which no slot has".formatted(gfn));
        }
        return slot;
    }

    // ------------------------------------------------------------------ zapping

    /** Takes a page, and all unsync pages below it, out of use. {@link #commit} follows. @return pages zapped */
    int zap(long sp) {
        if (Tracepoints.ON) {
            Tracepoints.prepareZapPage(ShadowPage.traced(sp));
        }
        stats.add(VmStats.MMU_SHADOW_ZAPPED, 1);
        zappedAny = true;
        int zapped = zapUnsyncChildren(sp);
        int role = ShadowPage.role(sp);
        int level = Role.level(role);
        long spt = ShadowPage.spt(sp);
        for (int i = 0; i < ShadowPage.ENTRIES; i++) {
            sptes.clear(spt + (long) i * Long.BYTES, level);
        }
        sptes.unlinkParents(sp);
        boolean wasInvalid = ShadowPage.invalid(sp);
        if (!wasInvalid && !Role.direct(role)) {
            unaccountShadowed(role, ShadowPage.gfn(sp));
        }
        if (ShadowPage.unsync(sp)) {
            ShadowPage.unsync(sp, false);
            stats.add(VmStats.MMU_UNSYNC, -1);
        }
        if (ShadowPage.lpageDisallowed(sp)) {
            ShadowPage.lpageDisallowed(sp, false);
            ShadowPage.removeFromList(ShadowPage.disallowedLink(sp));
            stats.add(VmStats.NX_LPAGE_SPLITS, -1);
        }
        boolean rootInUse = ShadowPage.rootCount(sp) != 0;
        boolean obsolete = obsolete(sp);
        if (!wasInvalid) {
            ShadowPage.removeFromList(sp);
            ShadowPage.invalidate(sp);
        }
        if (!rootInUse) {
            zapped++;
            used--;
            ShadowPage.setNext(sp, invalid);
            invalid = sp;
        } else if (!obsolete) {
            // After the page was made invalid: else a vCPU could look too early.
            modes.requestAll(Request.MMU_FREE_OBSOLETE_ROOTS);
        }
        return zapped;
    }

    private int zapUnsyncChildren(long sp) {
        int zapped = 0;
        for (int i = ShadowPage.nextUnsyncChild(sp, 0); i >= 0; i = ShadowPage.nextUnsyncChild(sp, i + 1)) {
            ShadowPage.clearUnsyncChild(sp, i);
            long spte = HostMemory.getVolatile64(ShadowPage.sptep(sp, i));
            if (!Spte.present(spte) || Spte.leaf(spte, ShadowPage.level(sp))) {
                continue;
            }
            long child = ShadowPage.child(spte);
            if (ShadowPage.unsyncChildren(child) != 0) {
                zapped += zapUnsyncChildren(child);
            }
            if (ShadowPage.unsync(child)) {
                zapped += zap(child);
            }
        }
        return zapped;
    }

    /** Frees what was zapped, when every vCPU has passed; or flushes for {@code flushAnyway}. */
    void commit(boolean flushAnyway) {
        if (!zappedAny && !flushAnyway) {
            return;
        }
        flush();
        zappedAny = false;
        while (invalid != 0) {
            long sp = invalid;
            invalid = ShadowPage.next(sp);
            free(sp);
        }
    }

    private void free(long sp) {
        ShadowPage.removeFromBucket(sp);
        if (ShadowPage.shadowed(sp) != 0) {
            shadowedInfo.give(ShadowPage.shadowed(sp));
        }
        tables.give(ShadowPage.spt(sp));
        headers.give(sp);
    }

    /** Returns when no vCPU has a translation from before. */
    void flush() {
        stats.add(VmStats.REMOTE_TLB_FLUSH_REQUESTS, 1);
        if (modes.flushRemoteTlbs()) {
            stats.add(VmStats.REMOTE_TLB_FLUSH, 1);
        }
    }

    /** A vCPU no longer uses a page as its root. {@link #commit} follows. */
    void releaseRoot(long sp) {
        ShadowPage.addRootCount(sp, -1);
        if (ShadowPage.rootCount(sp) == 0 && ShadowPage.invalid(sp)) {
            zap(sp);
        }
    }

    /**
     * Fast invalidation ({@code kvm_mmu_zap_all_fast}): all pages become obsolete at once by another generation, vCPUs are told to drop
     * their roots, and then the pages are zapped, oldest first.
     */
    void invalidateAll() {
        generation ^= 1;
        if (Tracepoints.ON) {
            Tracepoints.zapAllFast(generation, used);
        }
        modes.requestAll(Request.MMU_FREE_OBSOLETE_ROOTS);
        for (long sp = ShadowPage.previous(active); sp != active; sp = ShadowPage.previous(active)) {
            if (!obsolete(sp)) {
                break;
            }
            zap(sp);
        }
        commit(false);
    }

    // ------------------------------------------------------------------ NX huge pages

    /** Remembers that a page stands where a large mapping would, had the guest not executed there ({@code account_huge_nx_page}). */
    void disallowLarge(long sp) {
        if (!ShadowPage.lpageDisallowed(sp)) {
            ShadowPage.lpageDisallowed(sp, true);
            ShadowPage.addFirst(ShadowPage.previous(disallowed), ShadowPage.disallowedLink(sp));
            stats.add(VmStats.NX_LPAGE_SPLITS, 1);
        }
    }

    /** Zaps the oldest of these pages, one of {@code ratio}, rounded up. */
    void recoverLarge(int ratio) {
        long count = 0;
        for (long link = ShadowPage.next(disallowed); link != disallowed; link = ShadowPage.next(link)) {
            count++;
        }
        for (long n = (count + ratio - 1) / ratio; n > 0; n--) {
            zap(ShadowPage.ofDisallowedLink(ShadowPage.next(disallowed)));
        }
        commit(false);
    }

    // ------------------------------------------------------------------ the limit

    /** {@code make_mmu_pages_available}: false when not one page can be had. */
    boolean makeAvailable() {
        long free = Math.max(limit - used, 0);
        if (free >= MIN_FREE_MMU_PAGES) {
            return true;
        }
        zapOldest(REFILL_PAGES - free);
        return limit > used;
    }

    /** {@code kvm_mmu_change_mmu_pages}. */
    void limit(long pages) {
        if (used > pages) {
            zapOldest(used - pages);
            limit = Math.max(pages, used);
        } else {
            limit = pages;
        }
    }

    long limit() {
        return limit;
    }

    private void zapOldest(long count) {
        long zapped = 0;
        long sp = ShadowPage.previous(active);
        while (sp != active && zapped < count) {
            if (ShadowPage.rootCount(sp) != 0) {
                // Its vCPU would only load it again.
                sp = ShadowPage.previous(sp);
                continue;
            }
            int here = zap(sp);
            zapped += here;
            // Whatever stood before it may be gone too.
            sp = ShadowPage.previous(active);
        }
        commit(false);
        stats.add(VmStats.MMU_RECYCLED, zapped);
    }

    /** All pages, newest first, to an auditor. */
    void forEach(java.util.function.LongConsumer visitor) {
        for (long sp = ShadowPage.next(active); sp != active; sp = ShadowPage.next(sp)) {
            visitor.accept(sp);
        }
    }

    /** The pages of the list of NX splits, oldest first, to an auditor. */
    void forEachDisallowed(java.util.function.LongConsumer visitor) {
        for (long link = ShadowPage.next(disallowed); link != disallowed; link = ShadowPage.next(link)) {
            visitor.accept(ShadowPage.ofDisallowedLink(link));
        }
    }

    /** Gives all memory back; no vCPU uses anything of it. */
    void close() {
        headers.close();
        tables.close();
        shadowedInfo.close();
        host.free(hash, HASH_BYTES);
    }
}
