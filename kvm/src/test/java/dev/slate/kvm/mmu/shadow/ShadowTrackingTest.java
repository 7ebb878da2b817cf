package dev.slate.kvm.mmu.shadow;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mmu.Tlb;
import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.mmu.PagedVcpu;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.kvm.stats.VmStats;
import org.junit.jupiter.api.Test;

/** Entries that say more than where a page is: no memory, not to be executed from, used. */
final class ShadowTrackingTest extends ShadowGuest {
    private static final long PS = 1 << 7;
    private static final long MIB2 = 2 << 20;
    private static final long NO_MEMORY = 3L << 30;
    /** Where {@link #large} maps. */
    private static final long LARGE_LA = LA + (1L << 30);

    private void mmio(int page, long bits) {
        v.store64(pt + 8L * page, NO_MEMORY | bits);
    }

    private void assertMmio(long la, int access) {
        assertThat(v.access(la, access)).isEqualTo(PagedVcpu.OK);
        assertThat(v.hva).isEqualTo(~(NO_MEMORY | la & 4095));
    }

    private long faults() {
        return v.stats.get(VcpuStats.PF_TAKEN);
    }

    // ------------------------------------------------------------------ no memory

    @Test
    void anEntryAnswersTheSecondAccessToNoMemory() {
        mmio(0, P | W | A | D);
        assertMmio(la(0) + 8, Tlb.READ);
        assertThat(v.stats.get(VcpuStats.PF_MMIO_SPTE_CREATED)).isOne();
        long taken = faults();
        assertMmio(la(0) + 16, Tlb.READ);
        assertMmio(la(0) + 24, Tlb.WRITE);
        assertThat(faults()).isEqualTo(taken);
    }

    @Test
    void theFirstWriteThroughACleanEntrySetsItsDirtyBit() {
        mmio(0, P | W);
        assertMmio(la(0), Tlb.READ);
        assertThat(HostMemory.get64(hva + pt)).isEqualTo(NO_MEMORY | P | W | A);
        assertMmio(la(0), Tlb.WRITE);
        assertThat(HostMemory.get64(hva + pt)).isEqualTo(NO_MEMORY | P | W | A | D);
        long taken = faults();
        assertMmio(la(0), Tlb.WRITE);
        assertThat(faults()).isEqualTo(taken);
    }

    @Test
    void anAccessThatTheEntryCannotAnswerForLeavesItAsItIs() {
        mmio(0, P | W | A | D);
        assertMmio(la(0), Tlb.READ);
        long made = v.stats.get(VcpuStats.PF_MMIO_SPTE_CREATED);
        long taken = faults();
        assertMmio(la(0), Tlb.FETCH);
        assertThat(faults()).isEqualTo(taken + 1);
        assertThat(v.stats.get(VcpuStats.PF_MMIO_SPTE_CREATED)).isEqualTo(made);
    }

    @Test
    void anEntryOfMemslotsThatAreNoMoreAnswersNothing() {
        mmio(0, P | W | A | D);
        assertMmio(la(0), Tlb.READ);
        long other = vm.ram(1 << 20);
        vm.memory.setUserMemoryRegion(1, 0, NO_MEMORY, 1 << 20, other);
        HostMemory.put64(other, 77);
        assertThat(v.load64(la(0))).isEqualTo(77);
        vm.memory.setUserMemoryRegion(1, 0, NO_MEMORY, 0, other);
        assertMmio(la(0), Tlb.READ);
    }

    @Test
    void whatTheGuestHasFlushedIsForgotten() {
        mmio(0, P | W | A | D);
        mmio(1, P | W | A | D);
        HostMemory.put64(hva + data(2), 22);
        assertMmio(la(0), Tlb.READ);
        assertMmio(la(1), Tlb.READ);
        map(0, 2, P | W | A | D);
        v.invlpg(la(0));
        assertThat(v.load64(la(0))).isEqualTo(22);
        map(1, 2, P | W | A | D);
        v.changed();
        assertThat(v.load64(la(1))).isEqualTo(22);
    }

    @Test
    void aSyncKeepsWhatStillHoldsAndTakesRightsAway() {
        mmio(0, P | W | A | D);
        map(1, 1, P | W | A | D);
        assertMmio(la(0), Tlb.WRITE);
        map(1, 2, P | W | A | D);
        v.changed();
        long taken = faults();
        assertMmio(la(0), Tlb.WRITE);
        assertThat(faults()).isEqualTo(taken);
        mmio(0, P | A | D);
        v.changed();
        assertThat(v.access(la(0), Tlb.WRITE)).isEqualTo(3);
        assertMmio(la(0), Tlb.READ);
        // The store to the table, which the sync had protected, and the write that is no longer allowed.
        assertThat(faults()).isEqualTo(taken + 2);
    }

    @Test
    void aMappingOfMemoryThatBecomesNoMemoryGoes() {
        map(0, 1, P | W | A | D);
        v.load64(la(0));
        long pages = vm.stat(VmStats.PAGES_4K);
        mmio(0, P | W | A | D);
        v.invlpg(la(0));
        assertMmio(la(0), Tlb.READ);
        assertThat(vm.stat(VmStats.PAGES_4K)).isEqualTo(pages - 1);
    }

    // ------------------------------------------------------------------ tables that the client changes itself

    @Test
    void aLargePageThatTheClientPutsElsewhereGetsATableOfItsOwn() {
        large();
        vm.host.huge = false;
        touch(DATA, Tlb.READ);
        long entry = hva + pd + 8 * (DATA / MIB2);
        // No store of the guest's, so no shadow page hears of it. First to no memory, then to memory.
        HostMemory.put64(entry, NO_MEMORY | P | W | A | D | PS);
        v.changed();
        assertThat(v.access(inLarge(DATA + 0x1000), Tlb.READ)).isEqualTo(PagedVcpu.OK);
        assertThat(v.hva).isEqualTo(~(NO_MEMORY + 0x1000));
        ShadowAudit.run(vm);
        HostMemory.put64(entry, 3 * MIB2 | P | W | A | D | PS);
        v.changed();
        assertThat(v.access(inLarge(DATA + 0x2000), Tlb.WRITE)).isEqualTo(PagedVcpu.OK);
        assertThat(v.hva).isEqualTo(hva + 3 * MIB2 + 0x2000);
        ShadowAudit.run(vm);
    }

    @Test
    void aTableThatTheClientPutsElsewhereGetsAShadowOfItsOwn() {
        map(0, 1, P | W | A | D);
        HostMemory.put64(hva + data(1), 11);
        HostMemory.put64(hva + data(7), 77);
        assertThat(v.load64(la(0))).isEqualTo(11);
        long other = table();
        HostMemory.put64(hva + other + 8, data(7) | P | W | A | D);
        HostMemory.put64(hva + tableFor(pml4, LA, 2), other | P | W | A);
        v.changed();
        assertThat(v.load64(la(1))).isEqualTo(77);
        assertThat(v.access(la(0), Tlb.READ))
                .as("the other table has nothing there")
                .isZero();
    }

    // ------------------------------------------------------------------ NX huge pages

    private long pd;

    /** The guest maps its memory again, by pages of 2 MiB. */
    private void large() {
        vm.host.huge = true;
        vm.nxHugePages = true;
        pd = tableFor(pml4, LARGE_LA, 2);
        for (int i = 0; i < RAM / MIB2; i++) {
            HostMemory.put64(hva + pd + 8L * i, i * MIB2 | P | W | A | D | PS);
        }
        v.changed();
    }

    private static long inLarge(long gpa) {
        return LARGE_LA + gpa;
    }

    private void touch(long gpa, int access) {
        assertThat(v.access(inLarge(gpa), access)).isEqualTo(PagedVcpu.OK);
        assertThat(v.hva).isEqualTo(hva + gpa);
    }

    @Test
    void aFetchFromALargePageSplitsItAndDataAccessesLeaveItSo() {
        large();
        touch(DATA, Tlb.WRITE);
        touch(DATA + MIB2, Tlb.READ);
        assertThat(vm.stat(VmStats.PAGES_2M)).isEqualTo(2);
        touch(DATA + 0x3000, Tlb.FETCH);
        assertThat(vm.stat(VmStats.PAGES_2M)).isOne();
        assertThat(vm.stat(VmStats.NX_LPAGE_SPLITS)).isOne();
        touch(DATA + 0x5000, Tlb.WRITE);
        assertThat(vm.stat(VmStats.PAGES_2M)).isOne();
        touch(DATA + 0x3000, Tlb.FETCH);
        assertThat(vm.stat(VmStats.PAGES_2M)).isOne();
        assertThat(vm.stat(VmStats.NX_LPAGE_SPLITS)).isOne();
        ShadowAudit.run(vm);
    }

    @Test
    void theOldestSplitsAreRecoveredOneInSoMany() {
        large();
        for (int i = 1; i < 4; i++) {
            touch(i * MIB2, Tlb.FETCH);
        }
        assertThat(vm.stat(VmStats.NX_LPAGE_SPLITS)).isEqualTo(3);
        vm.mmu().recoverNxHugePages(2);
        assertThat(vm.stat(VmStats.NX_LPAGE_SPLITS)).isOne();
        ShadowAudit.run(vm);
        touch(3 * MIB2, Tlb.READ);
        assertThat(vm.stat(VmStats.PAGES_2M)).isZero();
        touch(MIB2, Tlb.READ);
        touch(2 * MIB2, Tlb.READ);
        assertThat(vm.stat(VmStats.PAGES_2M)).isEqualTo(2);
        vm.mmu().recoverNxHugePages(60);
        assertThat(vm.stat(VmStats.NX_LPAGE_SPLITS)).isZero();
        vm.mmu().recoverNxHugePages(1);
        vm.mmu().zapAll();
        touch(3 * MIB2, Tlb.FETCH);
        vm.mmu().zapAll();
        assertThat(vm.stat(VmStats.NX_LPAGE_SPLITS)).isZero();
    }

    // ------------------------------------------------------------------ use

    @Test
    void useIsSeenOnceAndThenNotUntilTheNextAccess() {
        map(0, 1, P | W | A | D);
        map(1, 2, P | W | A | D);
        assertThat(used(1, true)).isFalse();
        v.load64(la(0));
        v.store64(la(1), 1);
        assertThat(used(1, false)).isTrue();
        assertThat(used(3, true)).isFalse();
        assertThat(used(1, true)).isTrue();
        assertThat(used(1, true)).isFalse();
        assertThat(used(2, true)).isTrue();
        map(2, 4, P | W | A | D);
        v.changed();
        assertThat(used(1, true)).as("a sync is no use").isFalse();
        v.load64(la(0));
        assertThat(used(1, true)).isTrue();
    }

    private boolean used(int page, boolean clear) {
        return vm.mmu().used(hva + data(page), hva + data(page + 1), clear);
    }

    @Test
    void aLoggedPageThatIsUnusedIsStillLogged() {
        map(0, 1, P | W | A | D);
        vm.memory.setUserMemoryRegion(0, Memslot.LOG_DIRTY_PAGES, 0, RAM, hva);
        v.store64(la(0), 1);
        used(1, true);
        vm.memory.getDirtyLog(0, (from, bytes) -> 0);
        v.store64(la(0), 2);
        assertThat(vm.memory.slot(0, 0).dirtyBitmap.marked(data(1) >>> 12)).isTrue();
    }
}
