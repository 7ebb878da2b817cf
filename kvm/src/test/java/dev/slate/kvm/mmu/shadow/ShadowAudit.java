package dev.slate.kvm.mmu.shadow;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.memslot.Memslots;
import dev.slate.kvm.mmu.PagedVm;
import dev.slate.kvm.mmu.Spte;
import dev.slate.kvm.rmap.SlotRmaps;
import dev.slate.kvm.stats.VmStats;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/** Compares every entry of every shadow page with the rmaps, the parent pointers, the write tracking and the statistics. */
final class ShadowAudit {
    private final PagedVm vm;
    private final ShadowMmu mmu;
    /** Leaves by their rmap head, links by the list of the child. */
    private final Map<Long, Set<Long>> expected = new HashMap<>();

    private final Map<Long, Integer> tracked = new HashMap<>();
    private final long[] leaves = new long[4];
    private long unsync;
    private long pages;
    private long flagged;
    private long listed;

    private ShadowAudit(PagedVm vm, ShadowMmu mmu) {
        this.vm = vm;
        this.mmu = mmu;
    }

    /** Throws when two structures contradict each other. Nothing else may happen meanwhile. */
    static void run(PagedVm vm) {
        ShadowMmu mmu = vm.shadow;
        if (mmu == null) {
            throw new AssertionError("no shadow MMU");
        }
        new ShadowAudit(vm, mmu).run();
    }

    private static void check(boolean ok, String what, long value) {
        if (!ok) {
            throw new AssertionError("%s: 0x%x".formatted(what, value));
        }
    }

    private void run() {
        mmu.pages.forEach(this::page);
        expected.forEach((head, entries) -> {
            Set<Long> found = new HashSet<>();
            mmu.sptes.lists.forEach(head, sptep -> check(found.add(sptep), "twice in its list", sptep));
            check(found.equals(entries), "a list and its entries differ", head);
        });
        for (int as = 0; as < GuestMemory.ADDRESS_SPACES; as++) {
            Memslots slots = mmu.sptes.view(as);
            for (int i = 0; i < slots.used(); i++) {
                slot(slots.at(i));
            }
        }
        check(vm.stat(VmStats.PAGES_4K) == leaves[1], "pages_4k", vm.stat(VmStats.PAGES_4K) - leaves[1]);
        check(vm.stat(VmStats.PAGES_2M) == leaves[2], "pages_2m", vm.stat(VmStats.PAGES_2M) - leaves[2]);
        check(vm.stat(VmStats.MMU_UNSYNC) == unsync, "mmu_unsync", vm.stat(VmStats.MMU_UNSYNC) - unsync);
        mmu.pages.forEachDisallowed(sp -> {
            check(ShadowPage.lpageDisallowed(sp), "on the list of NX splits without the flag", sp);
            listed++;
        });
        check(listed == flagged, "NX splits and their list differ", listed - flagged);
        check(
                vm.stat(VmStats.NX_LPAGE_SPLITS) == flagged,
                "nx_lpage_splits",
                vm.stat(VmStats.NX_LPAGE_SPLITS) - flagged);
        check(mmu.pages.used() >= pages, "pages counted", mmu.pages.used());
    }

    private void page(long sp) {
        pages++;
        if (ShadowPage.lpageDisallowed(sp)) {
            flagged++;
        }
        check(!ShadowPage.invalid(sp), "an invalid page on the active list", sp);
        int role = ShadowPage.role(sp);
        int level = Role.level(role);
        expected.computeIfAbsent(ShadowPage.parentPtes(sp), k -> new HashSet<>());
        if (!Role.direct(role)) {
            tracked.merge(ShadowPage.gfn(sp), level > 1 ? 1 : 0, Integer::sum);
        }
        int marked = 0;
        for (int i = 0; i < ShadowPage.ENTRIES; i++) {
            long sptep = ShadowPage.sptep(sp, i);
            check(ShadowPage.of(sptep) == sp, "an entry of another page", sptep);
            long spte = HostMemory.get64(sptep);
            if (Spte.mmio(spte)) {
                check(level == 1, "an MMIO entry above the last level", sptep);
                checkMmio(sp, role, i, spte);
            }
            if (!Spte.present(spte)) {
                continue;
            }
            if (Spte.leaf(spte, level)) {
                leaf(sp, role, level, i, spte);
                continue;
            }
            long child = ShadowPage.child(spte);
            check(!ShadowPage.invalid(child), "an entry to an invalid page", sptep);
            check(ShadowPage.level(child) == level - 1, "an entry to a page of another level", sptep);
            expected.computeIfAbsent(ShadowPage.parentPtes(child), k -> new HashSet<>())
                    .add(sptep);
            boolean below = ShadowPage.unsync(child) || ShadowPage.unsyncChildren(child) != 0;
            check(!below || ShadowPage.nextUnsyncChild(sp, i) == i, "something unsync below, and no mark", sptep);
        }
        for (int i = ShadowPage.nextUnsyncChild(sp, 0); i >= 0; i = ShadowPage.nextUnsyncChild(sp, i + 1)) {
            marked++;
        }
        check(marked == ShadowPage.unsyncChildren(sp), "unsync_children", sp);
        if (ShadowPage.unsync(sp)) {
            unsync++;
            check(level == 1 && !Role.direct(role), "unsync, and no last-level table", sp);
        }
    }

    /** An entry that says that no memory is there maps what the guest's table says, unless that may differ until a flush. */
    private void checkMmio(long sp, int role, int index, long spte) {
        if (Role.direct(role)) {
            check(Spte.frame(spte) >>> 12 == ShadowPage.entryGfn(sp, index), "an MMIO entry of another gfn", spte);
        } else if (!ShadowPage.unsync(sp) && !Role.has4ByteGpte(role)) {
            Memslot slot = mmu.sptes.slot(role, ShadowPage.gfn(sp));
            long gpte = slot == null ? 0 : HostMemory.get64(slot.hva(ShadowPage.gfn(sp)) + 8L * index);
            check((gpte & 1) != 0 && (gpte & 0xffff_f000L) == Spte.frame(spte), "an MMIO entry of another gpte", spte);
        }
    }

    private void leaf(long sp, int role, int level, int index, long spte) {
        leaves[level]++;
        long gfn = ShadowPage.entryGfn(sp, index);
        Memslot slot = mmu.sptes.slot(role, gfn);
        check(slot != null, "a leaf of no slot", spte);
        if (slot == null) {
            return;
        }
        check(Spte.frame(spte) == slot.hva(gfn), "a leaf to another page than its gfn's", spte);
        ShadowSlot s = ShadowSlot.of(slot);
        expected.computeIfAbsent(s.rmaps.head(gfn, level), k -> new HashSet<>()).add(ShadowPage.sptep(sp, index));
        if (Spte.writable(spte)) {
            check((spte & Spte.HOST_WRITABLE) != 0, "writable, and not populated for it", spte);
            check(level == 1 || s.allowsLarge(gfn), "a large leaf over a guest table", spte);
            for (long other = mmu.pages.first(gfn); other != 0; other = ShadowPage.nextInBucket(other)) {
                if (mmu.pages.shadows(other, gfn)) {
                    check(ShadowPage.unsync(other), "a writable leaf on a synced table", gfn);
                }
            }
        }
    }

    private void slot(Memslot slot) {
        ShadowSlot s = ShadowSlot.of(slot);
        for (int level = 1; level <= SlotRmaps.LEVELS; level++) {
            long head = s.rmaps.head(slot.baseGfn, level);
            for (long i = 0; i < s.rmaps.count(level); i++, head += Long.BYTES) {
                int count = mmu.sptes.lists.count(head);
                check(count == expected.getOrDefault(head, Set.of()).size(), "an rmap longer than its leaves", head);
            }
        }
        for (long gfn = slot.baseGfn; gfn < slot.endGfn(); gfn++) {
            boolean is = tracked.getOrDefault(gfn, 0) > 0;
            check(s.tracked(gfn) == is, "write tracking", gfn);
            check(!tracked.containsKey(gfn) || !s.allowsLarge(gfn), "a table in what may be a large page", gfn);
        }
    }
}
