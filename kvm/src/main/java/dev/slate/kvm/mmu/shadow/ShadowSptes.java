package dev.slate.kvm.mmu.shadow;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mmu.GuestWalk;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.memslot.Memslots;
import dev.slate.kvm.mmu.MemoryCache;
import dev.slate.kvm.mmu.Spte;
import dev.slate.kvm.mmu.TdpBeside;
import dev.slate.kvm.rmap.PteLists;
import dev.slate.kvm.rmap.SpteVisitor;
import dev.slate.kvm.stats.VmStats;
import org.jspecify.annotations.Nullable;

/**
 * Edits of single entries, with the lists that lead back to them: from a gfn to the leaves that map it (rmaps), from a table to the
 * entries that point to it (parent pointers).
 *
 * <p>Invariant: a leaf that is present is in the rmap of its gfn at its level, and its page populated, with {@link Spte#HOST_WRITABLE} for writing.
 * Under the MMU's lock; processors read entries meanwhile, and set accessed and dirty bits by compare-and-set.
 */
final class ShadowSptes {
    /** {@code RMAP_RECYCLE_THRESHOLD}: a longer list is dropped, its pages fault again. */
    private static final int RMAP_RECYCLE_THRESHOLD = 1000;

    final PteLists lists;
    private final VmStats stats;
    /** Two-dimensional paging beside the shadow MMU, which maps the same pages for the guest; or null. */
    private final @Nullable TdpBeside beside;

    /**
     * The memslots as the tables know them. Changes are published before the MMU hears of them; entries of a slot that is gone are taken
     * out by this view, and none is made while it lags behind.
     */
    private final Memslots[] view = new Memslots[GuestMemory.ADDRESS_SPACES];

    private final SpteVisitor zapper = this::zapLeaf;
    private final SpteVisitor protector = this::protectLeaf;
    private boolean protectForTable;
    private boolean changed;

    ShadowSptes(PteLists lists, VmStats stats, GuestMemory memory, @Nullable TdpBeside beside) {
        this.lists = lists;
        this.beside = beside;
        this.stats = stats;
        for (int i = 0; i < view.length; i++) {
            view[i] = memory.slots(i);
        }
    }

    boolean besideOthers() {
        return beside != null;
    }

    Memslots view(int addressSpace) {
        return view[addressSpace];
    }

    void view(int addressSpace, Memslots slots) {
        view[addressSpace] = slots;
    }

    /** The slot of a gfn for a page of a role, or null. */
    @Nullable
    Memslot slot(int role, long gfn) {
        return view[Role.addressSpace(role)].find(gfn);
    }

    private static int pages(int level) {
        return level == 1 ? VmStats.PAGES_4K : level == 2 ? VmStats.PAGES_2M : VmStats.PAGES_1G;
    }

    // ------------------------------------------------------------------ leaves

    /** A leaf with the rights of {@code access}. */
    static long leaf(long hva, int level, int access, int key, boolean hostWritable, boolean writable) {
        return hva
                | Spte.PRESENT
                | Spte.ACCESSED
                | ((access & GuestWalk.USER) != 0 ? Spte.USER : 0)
                | ((access & GuestWalk.EXECUTE) != 0 ? 0 : Spte.NO_EXECUTE)
                | (level > 1 ? Spte.LARGE : 0)
                | (hostWritable ? Spte.HOST_WRITABLE : 0)
                | (writable ? Spte.WRITABLE | Spte.DIRTY | Spte.MMU_WRITABLE : 0)
                | (long) key << Spte.PROTECTION_KEY_SHIFT;
    }

    /** An entry that says that no memory is there, with what the guest's tables allow. */
    static long mmio(long spte, int access) {
        return spte & ~(Spte.WRITABLE | Spte.USER)
                | ((access & GuestWalk.WRITE) != 0 ? Spte.WRITABLE : 0)
                | ((access & GuestWalk.USER) != 0 ? Spte.USER : 0);
    }

    /** The rights that {@link #mmio} has noted. */
    static int access(long mmio) {
        return (Spte.writable(mmio) ? GuestWalk.WRITE : 0) | ((mmio & Spte.USER) != 0 ? GuestWalk.USER : 0);
    }

    /** Whether a TLB that holds {@code old} allows or finds what {@code now} does not. */
    static boolean needsFlush(long old, long now) {
        return Spte.present(old)
                && ((old & ~now & (Spte.WRITABLE | Spte.USER)) != 0
                        || (~old & now & Spte.NO_EXECUTE) != 0
                        || ((old ^ now) & (Spte.FRAME | Spte.LARGE | Spte.PROTECTION_KEY)) != 0);
    }

    /** Enters a leaf, that has just been made, into the rmap. True: the list was too long and is gone, so a flush must follow. */
    boolean added(MemoryCache cache, Memslot slot, long sptep, int level, long gfn) {
        stats.add(pages(level), 1);
        long head = ShadowSlot.of(slot).rmaps.head(gfn, level);
        int count = lists.add(cache, head, sptep);
        stats.peak(VmStats.MAX_MMU_RMAP_SIZE, count);
        return count > RMAP_RECYCLE_THRESHOLD && zapRmap(head);
    }

    /** Clears a leaf and takes it out of the rmap; true when it was present. */
    boolean drop(long sptep) {
        long old = HostMemory.getAndSet64(sptep, 0);
        if (!Spte.present(old)) {
            return false;
        }
        long sp = ShadowPage.of(sptep);
        int role = ShadowPage.role(sp);
        long gfn = ShadowPage.entryGfn(sp, ShadowPage.index(sptep));
        Memslot slot = slot(role, gfn);
        if (slot == null) {
            throw new IllegalStateException("SPTE 0x%x maps gfn 0x%x, which no slot has".formatted(old, gfn));
        }
        stats.add(pages(Role.level(role)), -1);
        lists.remove(ShadowSlot.of(slot).rmaps.head(gfn, Role.level(role)), sptep);
        return true;
    }

    /** Clears every leaf of a list; true when there was one. */
    boolean zapRmap(long head) {
        return HostMemory.get64(head) != 0 && lists.zap(head, zapper) != 0;
    }

    private void zapLeaf(long sptep) {
        HostMemory.getAndSet64(sptep, 0);
        stats.add(pages(ShadowPage.level(ShadowPage.of(sptep))), -1);
    }

    /**
     * Takes W from every leaf of a list; true when one had it.
     *
     * @param forTable a guest table lies there, so not even the MMU may give it back unasked
     */
    boolean protectRmap(long head, boolean forTable) {
        if (HostMemory.get64(head) == 0) {
            return false;
        }
        changed = false;
        protectForTable = forTable;
        lists.forEach(head, protector);
        return changed;
    }

    private void protectLeaf(long sptep) {
        long clear = protectForTable ? Spte.WRITABLE | Spte.MMU_WRITABLE : Spte.WRITABLE;
        long old = HostMemory.getAndAnd64(sptep, ~clear);
        changed |= Spte.writable(old);
    }

    /** Takes W from whatever maps a gfn on which a guest table lies; true when a flush must follow. */
    boolean protectGfn(Memslot slot, long gfn) {
        ShadowSlot s = ShadowSlot.of(slot);
        boolean any = false;
        for (int level = 1; level <= 3; level++) {
            any |= protectRmap(s.rmaps.head(gfn, level), true);
        }
        if (beside != null) {
            any |= beside.protect(slot.asId, gfn);
        }
        return any;
    }

    /** Whether any leaf of a list was used since this was last cleared. */
    boolean used(long head, boolean clear) {
        if (HostMemory.get64(head) == 0) {
            return false;
        }
        changed = false;
        lists.forEach(head, clear ? ager : tester);
        return changed;
    }

    private final SpteVisitor tester = sptep -> changed |= (HostMemory.getVolatile64(sptep) & Spte.ACCESSED) != 0;
    private final SpteVisitor ager =
            sptep -> changed |= (HostMemory.getAndAnd64(sptep, ~Spte.ACCESSED) & Spte.ACCESSED) != 0;

    // ------------------------------------------------------------------ tables

    /** Makes an entry, empty until now, point to a child's table. */
    void link(MemoryCache cache, long sptep, long child) {
        lists.add(cache, ShadowPage.parentPtes(child), sptep);
        HostMemory.putVolatile64(sptep, Spte.table(ShadowPage.spt(child)));
    }

    /** Clears an entry that points to a table. */
    void unlink(long sptep) {
        long child = ShadowPage.child(HostMemory.getVolatile64(sptep));
        lists.remove(ShadowPage.parentPtes(child), sptep);
        HostMemory.getAndSet64(sptep, 0);
    }

    /** Clears all entries that point to a page. */
    void unlinkParents(long sp) {
        lists.zap(ShadowPage.parentPtes(sp), clearer);
    }

    private final SpteVisitor clearer = sptep -> HostMemory.getAndSet64(sptep, 0);

    /** Clears an entry, whatever it is; true when it was present. */
    boolean clear(long sptep, int level) {
        long spte = HostMemory.getVolatile64(sptep);
        if (spte == 0) {
            return false;
        }
        if (Spte.present(spte) && !Spte.leaf(spte, level)) {
            unlink(sptep);
            return true;
        }
        return drop(sptep);
    }
}
