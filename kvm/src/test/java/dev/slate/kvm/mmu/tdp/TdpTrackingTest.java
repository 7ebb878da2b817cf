package dev.slate.kvm.mmu.tdp;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.mmu.Spte;
import dev.slate.kvm.mmu.TestVcpu;
import dev.slate.kvm.mmu.TestVm;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.kvm.stats.VmStats;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Cached MMIO, use with and without accessed bits, NX huge pages, mapping in advance. */
final class TdpTrackingTest {
    private static final long MIB2 = 2 << 20;
    private static final int LOG = Memslot.LOG_DIRTY_PAGES;

    private TestVm vm = new TestVm();
    private TestVcpu vcpu = vm.vcpu();
    private long ram = vm.ram(4 * MIB2);

    @AfterEach
    void everythingIsGivenBack() {
        vm.close();
    }

    private void restart(String knobs) {
        vm.close();
        vm = new TestVm(knobs);
        vcpu = vm.vcpu();
        ram = vm.ram(4 * MIB2);
    }

    private void slot(int flags) {
        vm.memory.setUserMemoryRegion(0, flags, MIB2, 4 * MIB2, ram);
    }

    private long stat(int offset) {
        return vcpu.mmu.stats.get(offset);
    }

    // ------------------------------------------------------------------ MMIO

    @Test
    void theFirstAccessToNoMemoryMakesAnEntryThatAnswersTheNext() {
        slot(0);
        assertThat(vcpu.touch(0x5123, false)).isEqualTo(TestVcpu.MMIO);
        assertThat(stat(VcpuStats.PF_MMIO_SPTE_CREATED)).isOne();
        assertThat(stat(VcpuStats.PF_EMULATE)).isOne();
        long spte = vcpu.walk(0x5000);
        assertThat(Spte.mmio(spte)).isTrue();
        assertThat(Spte.present(spte)).isFalse();
        assertThat(Spte.frame(spte)).isEqualTo(0x5000);
        for (int i = 0; i < 10; i++) {
            assertThat(vcpu.touch(0x5000 + i, i % 2 == 0)).isEqualTo(TestVcpu.MMIO);
        }
        // KVM counts neither a fault nor an emulation of one for those.
        assertThat(stat(VcpuStats.PF_TAKEN)).isOne();
        assertThat(stat(VcpuStats.PF_EMULATE)).isOne();
        assertThat(vm.stats.get(VmStats.PAGES_4K)).isZero();
    }

    @Test
    void anEntryOfAnOldGenerationIsLookedAtAgain() {
        slot(0);
        vcpu.touch(0x5000, true);
        vm.memory.setUserMemoryRegion(1, 0, 0x1000_0000, 0x1000, ram);
        assertThat(vcpu.touch(0x5000, true)).isEqualTo(TestVcpu.MMIO);
        assertThat(stat(VcpuStats.PF_MMIO_SPTE_CREATED)).isEqualTo(2);
        assertThat(stat(VcpuStats.PF_TAKEN)).isEqualTo(2);
        // Memory comes where none was: the entry must not hide it.
        vm.memory.setUserMemoryRegion(2, 0, 0x5000, 0x1000, ram + 0x3000);
        assertThat(vcpu.touch(0x5010, true)).isEqualTo(ram + 0x3010);
        // And goes again.
        vm.memory.setUserMemoryRegion(2, 0, 0x5000, 0, ram);
        assertThat(vcpu.touch(0x5010, true)).isEqualTo(TestVcpu.MMIO);
    }

    @Test
    void writesToReadonlyMemoryAreNotCachedAsMmio() {
        slot(Memslot.READONLY);
        assertThat(vcpu.touch(MIB2, true)).isEqualTo(TestVcpu.MMIO);
        assertThat(stat(VcpuStats.PF_MMIO_SPTE_CREATED)).isZero();
        assertThat(vcpu.touch(MIB2, false)).isEqualTo(ram);
    }

    @Test
    void tablesOfMmioEntriesDoNotStandInTheWayOfLargePages() {
        vm.host.huge = true;
        assertThat(vcpu.touch(MIB2 + 0x5000, true)).isEqualTo(TestVcpu.MMIO);
        slot(0);
        assertThat(vcpu.touch(MIB2 + 0x5000, true)).isEqualTo(ram + 0x5000);
        assertThat(vm.stats.get(VmStats.PAGES_2M)).isOne();
    }

    @Test
    void aGenerationWhoseNumberComesAgainFindsNoEntryOfTheFirst() {
        assertThat(vcpu.touch(0x5000, true)).isEqualTo(TestVcpu.MMIO);
        // Two changes a round: 2^19 later the bits in the entry are the same again.
        long generation = vm.memory.slots(0).generation;
        while (vm.memory.slots(0).generation - generation < Spte.GENERATION - 1) {
            vm.memory.setUserMemoryRegion(1, 0, 0x1000_0000, 0x1000, ram);
            vm.memory.setUserMemoryRegion(1, 0, 0x1000_0000, 0, ram);
        }
        vm.memory.setUserMemoryRegion(1, 0, 0x1000_0000, 0x1000, ram);
        vm.memory.setUserMemoryRegion(2, 0, 0x5000, 0x1000, ram);
        assertThat(vm.memory.slots(0).generation & Spte.GENERATION).isEqualTo(generation & Spte.GENERATION);
        assertThat(vcpu.touch(0x5010, true)).isEqualTo(ram + 0x10);
    }

    @Test
    void generationsKeepAllTheirBits() {
        for (int bit = 0; bit < 19; bit++) {
            long spte = Spte.mmio(0x1234_5678, 1L << bit);
            assertThat(Spte.mmio(spte)).isTrue();
            for (int other = 0; other < 19; other++) {
                assertThat(Spte.mmioOf(spte, 1L << other)).isEqualTo(bit == other);
            }
            assertThat(Spte.mmioOf(spte, 0)).isFalse();
            assertThat(Spte.frame(spte)).isEqualTo(0x1234_5678_000L);
        }
    }

    // ------------------------------------------------------------------ use

    @ParameterizedTest
    @ValueSource(strings = {"on", "off"})
    void useIsSeenOnceAndThenNotUntilTheNextAccess(String accessedBits) {
        restart("mmu.ad-bits=" + accessedBits);
        slot(0);
        assertThat(vm.mmu.used(ram, ram + 4 * MIB2, true)).isFalse();
        vcpu.touch(MIB2 + 0x7000, true);
        vcpu.touch(MIB2 + 0x9000, false);
        assertThat(vm.mmu.used(ram + 0x7000, ram + 0x8000, false)).isTrue();
        assertThat(vm.mmu.used(ram + 0x8000, ram + 0x9000, true)).isFalse();
        assertThat(vm.mmu.used(ram, ram + 4 * MIB2, true)).isTrue();
        assertThat(vm.mmu.used(ram, ram + 4 * MIB2, true)).isFalse();
        assertThat(vm.stats.get(VmStats.PAGES_4K)).as("nothing was unmapped").isEqualTo(2);
    }

    @Test
    void withoutAccessedBitsTheNextUseFaultsAndIsMendedWithoutLookingForTheMemory() {
        restart("mmu.ad-bits=off");
        slot(LOG);
        vcpu.touch(MIB2 + 0x7000, true);
        vm.mmu.used(ram, ram + 4 * MIB2, true);
        assertThat(vcpu.walk(MIB2 + 0x7000)).as("the processor finds nothing").isZero();
        int populations = vm.host.populations;
        long fast = stat(VcpuStats.PF_FAST);
        assertThat(vcpu.touch(MIB2 + 0x7010, false)).isEqualTo(ram + 0x7010);
        assertThat(vm.mmu.used(ram, ram + 4 * MIB2, false)).isTrue();
        assertThat(vcpu.walk(MIB2 + 0x7000) & Spte.WRITABLE)
                .as("W waits for a write")
                .isZero();
        assertThat(vcpu.touch(MIB2 + 0x7010, true)).isEqualTo(ram + 0x7010);
        assertThat(stat(VcpuStats.PF_FAST)).isEqualTo(fast + 2);
        assertThat(vm.host.populations).isEqualTo(populations);
    }

    @Test
    void aPageWaitingForItsNextUseIsUnmappedAndWriteProtectedAsAnyOther() {
        restart("mmu.ad-bits=off");
        slot(LOG);
        vcpu.touch(MIB2 + 0x7000, true);
        vm.mmu.used(ram, ram + 4 * MIB2, true);
        boolean[] dirty = new boolean[1];
        vm.memory.getDirtyLog(0, (from, bytes) -> {
            dirty[0] = dev.slate.cpu.mem.HostMemory.get64(from) == 1L << 7;
            return 0;
        });
        assertThat(dirty[0]).isTrue();
        vcpu.touch(MIB2 + 0x7000, true);
        vm.memory.getDirtyLog(0, (from, bytes) -> {
            dirty[0] = dev.slate.cpu.mem.HostMemory.get64(from) == 1L << 7;
            return 0;
        });
        assertThat(dirty[0]).as("the write after it is logged").isTrue();
        vm.mmu.used(ram, ram + 4 * MIB2, true);
        vm.memory.setUserMemoryRegion(0, 0, 0, 0, 0);
        assertThat(vm.stats.get(VmStats.PAGES_4K)).isZero();
        assertThat(vcpu.touch(MIB2 + 0x7000, true)).isEqualTo(TestVcpu.MMIO);
    }

    // ------------------------------------------------------------------ NX huge pages

    private void nx() {
        vm.nxHugePages = true;
        vm.host.huge = true;
        slot(0);
    }

    @Test
    void aFetchFromALargePageSplitsItAndTheRestStaysAsItWas() {
        nx();
        vcpu.touch(2 * MIB2, true);
        vcpu.touch(3 * MIB2, false);
        assertThat(vcpu.walk(2 * MIB2) & Spte.NO_EXECUTE).isNotZero();
        assertThat(vm.stats.get(VmStats.PAGES_2M)).isEqualTo(2);
        assertThat(vcpu.fetch(2 * MIB2 + 0x3000)).isEqualTo(ram + MIB2 + 0x3000);
        assertThat(vm.stats.get(VmStats.PAGES_2M)).isOne();
        assertThat(vm.stats.get(VmStats.NX_LPAGE_SPLITS)).isOne();
        assertThat(vcpu.walk(2 * MIB2 + 0x3000) & (Spte.NO_EXECUTE | Spte.LARGE | Spte.WRITABLE))
                .isEqualTo(Spte.WRITABLE);
        assertThat(vcpu.touch(2 * MIB2 + 0x3000, true)).isEqualTo(ram + MIB2 + 0x3000);
        // A first access that is a fetch makes a small page at once.
        assertThat(vcpu.fetch(4 * MIB2)).isEqualTo(ram + 3 * MIB2);
        assertThat(vm.stats.get(VmStats.NX_LPAGE_SPLITS)).isEqualTo(2);
        assertThat(vm.stats.get(VmStats.PAGES_2M)).isOne();
    }

    @Test
    void splitPagesAreRecoveredOldestFirstOneInSoMany() {
        nx();
        for (int i = 1; i <= 4; i++) {
            vcpu.fetch(i * MIB2);
        }
        assertThat(vm.stats.get(VmStats.NX_LPAGE_SPLITS)).isEqualTo(4);
        vm.mmu.recoverNxHugePages(3);
        assertThat(vm.stats.get(VmStats.NX_LPAGE_SPLITS)).isEqualTo(2);
        assertThat(vcpu.walk(MIB2)).isZero();
        assertThat(vcpu.walk(2 * MIB2)).isZero();
        assertThat(vcpu.walk(3 * MIB2)).isNotZero();
        vm.mmu.recoverNxHugePages(1);
        assertThat(vm.stats.get(VmStats.NX_LPAGE_SPLITS)).isZero();
        vcpu.touch(MIB2, false);
        assertThat(vm.stats.get(VmStats.PAGES_2M)).isOne();
        vm.mmu.recoverNxHugePages(1);
        assertThat(vm.stats.get(VmStats.PAGES_2M)).isOne();
    }

    @Test
    void aSplitThatGoesForAnotherReasonIsNoLongerCounted() {
        nx();
        vcpu.fetch(MIB2);
        vcpu.fetch(2 * MIB2);
        vm.mmu.hostInvalidateBegin(ram, ram + MIB2);
        vm.mmu.hostInvalidateEnd(ram, ram + MIB2);
        assertThat(vm.stats.get(VmStats.NX_LPAGE_SPLITS)).isOne();
        vm.memory.setUserMemoryRegion(0, 0, 0, 0, 0);
        assertThat(vm.stats.get(VmStats.NX_LPAGE_SPLITS)).isZero();
    }

    @Test
    void splitsForTheDirtyLogAreExecutableAndNotCounted() {
        nx();
        vcpu.touch(MIB2, true);
        slot(LOG);
        assertThat(vm.stats.get(VmStats.PAGES_2M)).isZero();
        assertThat(vm.stats.get(VmStats.NX_LPAGE_SPLITS)).isZero();
        long taken = stat(VcpuStats.PF_TAKEN);
        assertThat(vcpu.fetch(MIB2)).isEqualTo(ram);
        assertThat(stat(VcpuStats.PF_TAKEN)).isEqualTo(taken);
    }

    // ------------------------------------------------------------------ mapping in advance

    @Test
    void whatIsMappedInAdvanceFaultsNoMoreAndWasNotUsed() {
        slot(0);
        assertThat(vm.mmu.preFault(vcpu.mmu, 512)).isOne();
        assertThat(vm.mmu.preFault(vcpu.mmu, 513)).isOne();
        assertThat(vm.mmu.used(ram, ram + MIB2, false)).isFalse();
        assertThat(vcpu.touch(MIB2 + 0x1000, false)).isEqualTo(ram + 0x1000);
        assertThat(stat(VcpuStats.PF_TAKEN)).isZero();
        assertThat(stat(VcpuStats.PF_FIXED)).isEqualTo(2);
        assertThat(vm.mmu.preFault(vcpu.mmu, 0)).isZero();
        assertThat(vm.mmu.preFault(vcpu.mmu, 1L << 40)).isZero();
        assertThat(stat(VcpuStats.PF_EMULATE)).isZero();
        vm.host.huge = true;
        assertThat(vm.mmu.preFault(vcpu.mmu, 1024 + 5)).isEqualTo(507);
        assertThat(vm.stats.get(VmStats.PAGES_2M)).isOne();
        vm.host.populateErrno = 14;
        vm.memory.setUserMemoryRegion(1, 0, 0, 0x1000, 0x1000);
        assertThat(vm.mmu.preFault(vcpu.mmu, 0)).isEqualTo(-14);
        vm.host.populateErrno = 0;
    }
}
