package dev.slate.kvm.mmu.shadow;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mmu.Tlb;
import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.mmu.PagedVcpu;
import dev.slate.kvm.stats.ShadowFigures;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.kvm.stats.VmStats;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Shadow pages: syncing, write tracking, reclaim, and what all of it must agree on. */
final class ShadowMmuTest extends ShadowGuest {
    /** Memory that comes and goes. */
    private static final long OTHER = 1L << 30;

    private static final long OTHER_BYTES = 1 << 20;

    @Test
    void aTableBecomesUnsyncWhenTheGuestWritesToItAndIsReadAgainAtItsNextFlush() {
        map(0, 1, P | W | A | D);
        HostMemory.put64(hva + data(1), 11);
        HostMemory.put64(hva + data(2), 22);
        assertThat(v.load64(la(0))).isEqualTo(11);
        assertThat(vm.stat(VmStats.MMU_UNSYNC)).isZero();
        map(0, 2, P | W | A | D);
        assertThat(vm.stat(VmStats.MMU_UNSYNC)).isEqualTo(1);
        ShadowAudit.run(vm);
        v.changed();
        assertThat(v.load64(la(0))).isEqualTo(22);
        assertThat(vm.stat(VmStats.MMU_UNSYNC)).isZero();
    }

    @Test
    void aTableThatIsUnsyncWhenAnotherSpaceLinksItIsReadAgainAtThatSpacesFlushToo() {
        long other = table();
        HostMemory.put64(hva + other, HostMemory.get64(hva + pml4));
        long pdpt = table();
        long pd = table();
        HostMemory.put64(hva + other + 8, pdpt | P | W | A);
        HostMemory.put64(hva + pdpt, pd | P | W | A);
        HostMemory.put64(hva + pd, pt | P | W | A);
        for (int i = 1; i < 4; i++) {
            HostMemory.put64(hva + data(i), i);
        }
        map(0, 1, P | W | A | D);
        assertThat(v.load64(la(0))).isEqualTo(1);
        map(0, 2, P | W | A | D);
        v.s.cr3 = other;
        v.changed();
        assertThat(v.load64(la(0))).isEqualTo(2);
        assertThat(vm.stat(VmStats.MMU_UNSYNC)).isEqualTo(1);
        ShadowAudit.run(vm);
        map(0, 3, P | W | A | D);
        v.changed();
        assertThat(v.load64(la(0))).isEqualTo(3);
        v.s.cr3 = pml4;
        v.changed();
    }

    @Test
    void invlpgForgetsOnePageOfAnUnsyncTable() {
        map(0, 1, P | W | A | D);
        map(1, 1, P | W | A | D);
        HostMemory.put64(hva + data(1), 11);
        HostMemory.put64(hva + data(2), 22);
        v.load64(la(0));
        v.load64(la(1));
        map(0, 2, P | W | A | D);
        v.invlpg(la(0));
        assertThat(v.stats.get(VcpuStats.INVLPG)).isEqualTo(1);
        assertThat(v.load64(la(0))).isEqualTo(22);
        assertThat(v.load64(la(1))).isEqualTo(11);
    }

    @Test
    void anEntryMadePresentNeedsNoFlush() {
        map(0, 1, P | W | A | D);
        v.load64(la(0));
        assertThat(v.access(la(5), Tlb.READ)).isZero();
        map(5, 3, P | W | A | D);
        HostMemory.put64(hva + data(3), 33);
        assertThat(v.load64(la(5))).isEqualTo(33);
    }

    @Test
    void writesToAnUpperTableAreWatchedAndAFloodOfThemZapsItsShadow() {
        map(0, 1, P | W | A | D);
        v.load64(la(0));
        long pd = tableFor(pml4, LA, 2);
        long zapped = vm.stat(VmStats.MMU_SHADOW_ZAPPED);
        v.store64(pd + 8 * 100, 0);
        assertThat(vm.stat(VmStats.MMU_PTE_WRITE)).isEqualTo(1);
        assertThat(vm.stat(VmStats.MMU_FLOODED)).isZero();
        v.store64(pd + 8 * 101, 0);
        v.store64(pd + 8 * 102, 0);
        assertThat(vm.stat(VmStats.MMU_PTE_WRITE)).isEqualTo(3);
        assertThat(vm.stat(VmStats.MMU_FLOODED)).isEqualTo(1);
        assertThat(vm.stat(VmStats.MMU_SHADOW_ZAPPED)).isGreaterThan(zapped);
        v.store64(pd + 8 * 103, 0);
        assertThat(vm.stat(VmStats.MMU_PTE_WRITE)).isEqualTo(3);
    }

    @Test
    @Timeout(
            value = 10,
            unit = TimeUnit.MINUTES,
            threadMode = Timeout.ThreadMode.SEPARATE_THREAD) // when it fails, it loops
    void aWriteThroughAnEntryThatWasChangedFromOneWatchedTableToAnotherGoesOn() {
        map(0, 1, P | W | A | D);
        v.load64(la(0));
        long pdpt = tableFor(pml4, LA, 3);
        long pd = tableFor(pml4, LA, 2);
        v.store64(pt + 8 * 7, pd | P | W | A | D);
        v.store64(la(7) + 8 * 100, 0);
        assertThat(vm.stat(VmStats.MMU_PTE_WRITE)).isEqualTo(1);
        // The table is unsync, so the SPTE goes on mapping the directory, write-protected; nothing is flushed.
        v.store64(pt + 8 * 7, pdpt | P | W | A | D);
        assertThat(vm.stat(VmStats.MMU_UNSYNC)).isEqualTo(1);
        v.store64(la(7) + 8 * 100, 0x5000_0000L);
        assertThat(HostMemory.get64(hva + pdpt + 8 * 100)).isEqualTo(0x5000_0000L);
        assertThat(HostMemory.get64(hva + pd + 8 * 100)).isZero();
        ShadowAudit.run(vm);
    }

    @Test
    void aDirectoryEntryThatIsReplacedIsZappedAtOnce() {
        map(0, 1, P | W | A | D);
        HostMemory.put64(hva + data(1), 11);
        HostMemory.put64(hva + data(7), 77);
        assertThat(v.load64(la(0))).isEqualTo(11);
        long pd = tableFor(pml4, LA, 2);
        long other = table();
        HostMemory.put64(hva + other, data(7) | P | W | A | D);
        v.store64(pd, other | P | W | A);
        assertThat(vm.stat(VmStats.MMU_PDE_ZAPPED)).isEqualTo(1);
        v.changed();
        assertThat(v.load64(la(0))).isEqualTo(77);
    }

    @Test
    void pagesThatManySpacesShareStandInOneRmapThatIsZappedWhole() {
        int spaces = 40;
        vm.shadow.limit(1000);
        long[] roots = new long[spaces];
        for (int i = 0; i < spaces; i++) {
            roots[i] = table();
            HostMemory.put64(hva + roots[i], HostMemory.get64(hva + pml4));
            HostMemory.put64(hva + tableFor(roots[i], LA), data(1) | P | W | A | D);
        }
        for (long root : roots) {
            v.s.cr3 = root;
            v.changed();
            v.load64(la(0));
        }
        ShadowFigures f = figures();
        // 32-63 SPTEs: class 6.
        assertThat(f.rmaps()[0][6]).isEqualTo(1);
        assertThat(vm.stat(VmStats.MAX_MMU_RMAP_SIZE)).isGreaterThanOrEqualTo(spaces - 1);
        ShadowAudit.run(vm);
        vm.mmu().hostInvalidateBegin(hva + data(1), hva + data(2));
        vm.mmu().hostInvalidateEnd(hva + data(1), hva + data(2));
        assertThat(figures().rmaps()[0][6]).isZero();
        v.s.cr3 = pml4;
        v.changed();
    }

    @Test
    void theOldestPagesAreReclaimedWhenTheLimitIsReached() {
        for (int i = 0; i < 100; i++) {
            long root = table();
            HostMemory.put64(hva + root, HostMemory.get64(hva + pml4));
            HostMemory.put64(hva + tableFor(root, LA), data(1) | P | W | A | D);
            v.s.cr3 = root;
            v.changed();
            v.load64(la(0));
            assertThat(figures().shadowPages()).isLessThanOrEqualTo(64 + 5);
        }
        assertThat(vm.stat(VmStats.MMU_RECYCLED)).isPositive();
        v.s.cr3 = pml4;
        v.changed();
    }

    @Test
    void movingASlotMakesEveryPageObsoleteAndTheGuestSeesTheNewPlace() {
        long other = vm.ram(1 << 20);
        vm.memory.setUserMemoryRegion(1, 0, 1L << 30, 1 << 20, other);
        HostMemory.put64(other, 5);
        v.store64(pt, 1L << 30 | P | W | A | D);
        assertThat(v.load64(la(0))).isEqualTo(5);
        vm.memory.setUserMemoryRegion(1, 0, 2L << 30, 1 << 20, other);
        ShadowAudit.run(vm);
        assertThat(v.access(la(0), Tlb.READ)).isEqualTo(PagedVcpu.OK);
        assertThat(v.hva).isEqualTo(~(1L << 30));
        v.store64(pt, 2L << 30 | P | W | A | D);
        v.invlpg(la(0));
        assertThat(v.load64(la(0))).isEqualTo(5);
        vm.memory.setUserMemoryRegion(1, 0, 2L << 30, 0, other);
    }

    @Test
    void aWriteIsLoggedOnceUntilTheLogIsHarvestedAndAgainAfterwards() {
        map(0, 1, P | W | A | D);
        v.store64(la(0), 1);
        vm.memory.setUserMemoryRegion(0, Memslot.LOG_DIRTY_PAGES, 0, RAM, hva);
        Memslot slot = vm.memory.slot(0, 0);
        for (int round = 0; round < 3; round++) {
            assertThat(slot.dirtyBitmap.marked(data(1) >>> 12)).isFalse();
            v.load64(la(0));
            assertThat(slot.dirtyBitmap.marked(data(1) >>> 12)).isFalse();
            v.store64(la(0), round);
            assertThat(slot.dirtyBitmap.marked(data(1) >>> 12)).isTrue();
            vm.memory.getDirtyLog(0, (from, bytes) -> 0);
        }
    }

    @Test
    void anUnpagedGuestRunsOnDirectPagesAndUsesALargeOneWhereItMay() {
        vm.host.huge = true;
        v.s.cr0 = CpuState.CR0_PE | CpuState.CR0_ET;
        v.s.efer = 0;
        v.s.cr4 = 0;
        v.s.segAttr[CpuState.CS] = 0xb | CpuState.ATTR_S | CpuState.ATTR_P | CpuState.ATTR_DB;
        v.changed();
        v.store64(DATA, 9);
        assertThat(HostMemory.get64(hva + DATA)).isEqualTo(9);
        assertThat(vm.stat(VmStats.PAGES_2M)).isEqualTo(1);
        vm.memory.setUserMemoryRegion(0, Memslot.LOG_DIRTY_PAGES, 0, RAM, hva);
        v.store64(DATA + 4096, 9);
        assertThat(vm.memory.slot(0, 0).dirtyBitmap.marked(DATA + 4096 >>> 12)).isTrue();
        assertThat(vm.stat(VmStats.PAGES_2M)).isZero();
        ShadowAudit.run(vm);
    }

    @Test
    void aPageTableInNoMemoryEndsTheGuest() {
        v.s.cr3 = 1L << 40;
        assertThat(v.guest(() -> {})).isEqualTo(PagedVcpu.LEFT);
        assertThat(v.mmu.errno).isEqualTo(ShadowRoots.TRIPLE_FAULT);
        v.s.cr3 = pml4;
        v.load64(DATA);
    }

    /**
     * A guest that maps, unmaps, writes, flushes and switches at random, while memory is taken away, logged and limited: after a flush every
     * translation is the tables', and the structures agree with one another.
     */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "mmu.pte-list-entries=2",
                "mmu.pte-list-entries=3\nmmu.pte-list-form=uncounted\nmmu.rmap-zap=entry"
            })
    void structuresAgreeAfterRandomOperations(String knobs) {
        vm.close();
        boot(knobs);
        long seed = Long.getLong("slate.seed", System.nanoTime());
        SplittableRandom random = new SplittableRandom(seed);
        long[] roots = {pml4, 0, 0, 0, 0, 0};
        long[] tables = {pt, 0, 0, 0, 0, 0};
        for (int i = 1; i < roots.length; i++) {
            roots[i] = table();
            HostMemory.put64(hva + roots[i], HostMemory.get64(hva + pml4));
            tables[i] = tableFor(roots[i], LA);
        }
        for (int i = 0; i < 600; i++) {
            HostMemory.put64(hva + data(i), 1000 + i);
        }
        try {
            int space = 0;
            boolean there = false;
            long other = vm.ram(OTHER_BYTES);
            for (int step = 0; step < 6000; step++) {
                int page = random.nextInt(40);
                switch (random.nextInt(12)) {
                    case 0, 1, 2 -> {
                        long bits = random.nextInt(4) == 0 ? 0 : P | W | (random.nextBoolean() ? A | D : 0);
                        long to = random.nextInt(5) == 0 ? OTHER + page * 4096L : data(random.nextInt(50));
                        v.store64(tables[random.nextInt(6)] + 8L * page, to | bits);
                    }
                    case 3 -> {
                        space = random.nextInt(6);
                        v.s.cr3 = roots[space];
                        v.changed();
                    }
                    case 4 -> v.invlpg(la(page));
                    case 5 ->
                        vm.memory.setUserMemoryRegion(
                                0, random.nextBoolean() ? Memslot.LOG_DIRTY_PAGES : 0, 0, RAM, hva);
                    case 6 -> {
                        long from = hva + random.nextLong(RAM >>> 12) * 4096;
                        vm.mmu().hostInvalidateBegin(from, from + 8192);
                        vm.mmu().hostInvalidateEnd(from, from + 8192);
                    }
                    case 7 -> {
                        if (random.nextInt(20) == 0) {
                            vm.mmu().zapAll();
                        } else if (random.nextInt(10) == 0) {
                            there = !there;
                            vm.memory.setUserMemoryRegion(1, 0, OTHER, there ? OTHER_BYTES : 0, other);
                        }
                    }
                    default -> {
                        v.invlpg(la(page));
                        long e = HostMemory.get64(hva + tables[space] + 8L * page);
                        int outcome = v.access(la(page), random.nextBoolean() ? Tlb.WRITE : Tlb.READ);
                        if ((e & P) == 0) {
                            assertThat(outcome & 1).isZero();
                        } else {
                            assertThat(outcome).isEqualTo(PagedVcpu.OK);
                            long gpa = e & 0xffff_f000L;
                            assertThat(v.hva).isEqualTo(gpa < OTHER ? hva + gpa : there ? other + gpa - OTHER : ~gpa);
                        }
                    }
                }
                if (step % 50 == 0) {
                    ShadowAudit.run(vm);
                }
            }
        } catch (Throwable e) {
            throw new AssertionError("seed " + seed, e);
        } finally {
            v.s.cr3 = pml4;
        }
    }
}
