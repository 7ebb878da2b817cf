package dev.slate.kvm.mmu.tdp;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Allocations;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.mmu.Spte;
import dev.slate.kvm.mmu.TestVcpu;
import dev.slate.kvm.mmu.TestVm;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.kvm.stats.VmStats;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class TdpMmuTest {
    private static final long MIB2 = 2 << 20;
    private static final int LOG = Memslot.LOG_DIRTY_PAGES;

    private TestVm vm = new TestVm();
    private TestVcpu vcpu = vm.vcpu();
    private final long ram = vm.ram(4 * MIB2);

    @AfterEach
    void everythingIsGivenBack() {
        vm.close();
    }

    private void slot(int flags) {
        vm.memory.setUserMemoryRegion(0, flags, MIB2, 4 * MIB2, ram);
    }

    private void deleteSlot() {
        vm.memory.setUserMemoryRegion(0, 0, 0, 0, 0);
    }

    private long stat(int offset) {
        return vcpu.mmu.stats.get(offset);
    }

    private boolean writable(long gpa) {
        return (vcpu.walk(gpa) & Spte.WRITABLE) != 0;
    }

    private boolean large(long gpa) {
        return (vcpu.walk(gpa) & Spte.LARGE) != 0;
    }

    /** Which pages of slot 0 the log reports, harvesting them. */
    private boolean[] harvest() {
        boolean[] pages = new boolean[2048];
        vm.memory.getDirtyLog(0, (from, bytes) -> {
            for (int i = 0; i < pages.length; i++) {
                pages[i] = (HostMemory.get8(from + i / 8) >> i % 8 & 1) != 0;
            }
            return 0;
        });
        return pages;
    }

    @Test
    void aReadMapsWithoutWriteAndTheFirstWriteGrantsIt() {
        slot(0);
        assertThat(vcpu.touch(MIB2 + 0x5123, false)).isEqualTo(ram + 0x5123);
        assertThat(writable(MIB2 + 0x5000)).isFalse();
        assertThat(vm.host.populatedForWrite).isFalse();
        assertThat(vcpu.touch(MIB2 + 0x5123, true)).isEqualTo(ram + 0x5123);
        assertThat(writable(MIB2 + 0x5000)).isTrue();
        assertThat(vm.host.populatedForWrite).isTrue();
        assertThat(vm.stats.get(VmStats.PAGES_4K)).isOne();
        assertThat(stat(VcpuStats.PF_FIXED)).isEqualTo(2);
    }

    @Test
    void noSlotIsMmioAndSoIsAWriteToAReadonlyOne() {
        slot(Memslot.READONLY);
        assertThat(vcpu.touch(0, false)).isEqualTo(TestVcpu.MMIO);
        assertThat(vcpu.touch(MIB2 - 1, true)).isEqualTo(TestVcpu.MMIO);
        assertThat(vcpu.touch(5 * MIB2, true)).isEqualTo(TestVcpu.MMIO);
        assertThat(vcpu.touch(1L << 48, true)).isEqualTo(TestVcpu.MMIO);
        assertThat(vcpu.touch(-4096, true)).isEqualTo(TestVcpu.MMIO);
        assertThat(vcpu.touch(MIB2, true)).isEqualTo(TestVcpu.MMIO);
        assertThat(vcpu.touch(MIB2, false)).isEqualTo(ram);
        assertThat(vcpu.touch(MIB2, true)).isEqualTo(TestVcpu.MMIO);
        assertThat(writable(MIB2)).isFalse();
    }

    @Test
    void clientMemoryThatIsNotThereLeavesWithEfault() {
        vm.memory.setUserMemoryRegion(1, 0, 0, 0x1000, 0x1000);
        assertThat(vcpu.touch(0, true)).isEqualTo(TestVcpu.LEFT);
        assertThat(vcpu.mmu.errno).isEqualTo(14);
        assertThat(vcpu.walk(0)).isZero();
        // An interrupted population is no failure: the vCPU looks at its signals and comes again.
        vm.host.populateErrno = 4;
        assertThat(vcpu.touch(0, true)).isEqualTo(TestVcpu.LEFT);
        assertThat(vcpu.mmu.errno).isZero();
        vm.host.populateErrno = 0;
    }

    @Test
    void largeMappingsWantAlignmentRoomAndAHugeHostPage() {
        slot(0);
        vcpu.touch(MIB2 + 0x5000, true);
        assertThat(large(MIB2 + 0x5000)).isFalse();
        vm.host.huge = true;
        // The table that stands there already stays in use.
        vcpu.touch(MIB2 + 0x6000, true);
        assertThat(large(MIB2 + 0x6000)).isFalse();
        assertThat(vcpu.touch(2 * MIB2 + 0x5123, true)).isEqualTo(ram + MIB2 + 0x5123);
        assertThat(large(2 * MIB2)).isTrue();
        assertThat(vm.stats.get(VmStats.PAGES_2M)).isOne();
        assertThat(vcpu.touch(2 * MIB2 + 0x1f_f000, true)).isEqualTo(ram + MIB2 + 0x1f_f000);
        assertThat(vm.stats.get(VmStats.PAGES_4K)).isEqualTo(2);

        // Aligned differently; and with too little room before or behind.
        deleteSlot();
        vm.memory.setUserMemoryRegion(1, 0, 0x1000, 2 * MIB2, ram);
        vcpu.touch(MIB2, true);
        assertThat(large(MIB2)).isFalse();
        vm.memory.setUserMemoryRegion(2, 0, 16 * MIB2 + 0x1000, MIB2 - 0x1000, ram + 0x1000);
        vcpu.touch(16 * MIB2 + 0x1000, true);
        assertThat(large(16 * MIB2 + 0x1000)).isFalse();
        vm.memory.setUserMemoryRegion(3, 0, 32 * MIB2, MIB2 - 0x1000, ram);
        vcpu.touch(32 * MIB2, true);
        assertThat(large(32 * MIB2)).isFalse();
    }

    private boolean maps(long gpa, boolean write) {
        vcpu.mode.beginReading();
        boolean maps = vm.mmu.maps(0, gpa >>> 12, ram + gpa - MIB2, write);
        boolean another = vm.mmu.maps(0, gpa >>> 12, ram + gpa - MIB2 + 4096, write);
        vcpu.mode.endReading();
        assertThat(another).isFalse();
        return maps;
    }

    @Test
    void whatIsMappedIsKnownToBePopulatedUntilItIsTakenAway() {
        slot(0);
        assertThat(maps(MIB2, false)).isFalse();
        assertThat(maps(1L << 52, false)).isFalse();
        vcpu.touch(MIB2, false);
        assertThat(maps(MIB2, false)).isTrue();
        assertThat(maps(MIB2, true)).isFalse();
        vcpu.touch(MIB2, true);
        assertThat(maps(MIB2, true)).isTrue();
        vm.host.huge = true;
        vcpu.touch(2 * MIB2, true);
        assertThat(maps(2 * MIB2 + 0x5000, true)).isTrue();
        vm.mmu.hostInvalidateBegin(ram, ram + 4096);
        assertThat(maps(MIB2, false)).isFalse();
        vm.mmu.hostInvalidateEnd(ram, ram + 4096);
    }

    @Test
    void aReadLargeMappingGetsWriteAsAWhole() {
        vm.host.huge = true;
        slot(0);
        vcpu.touch(2 * MIB2, false);
        assertThat(writable(2 * MIB2)).isFalse();
        vcpu.touch(2 * MIB2 + 0x3000, true);
        assertThat(large(2 * MIB2)).isTrue();
        assertThat(writable(2 * MIB2 + 0x7000)).isTrue();
        assertThat(vm.stats.get(VmStats.PAGES_2M)).isOne();
    }

    @Test
    void loggingStartsBySplittingAndWriteProtectingAndEndsByCollapsing() {
        vm.host.huge = true;
        slot(0);
        vcpu.touch(2 * MIB2, true);
        vcpu.touch(4 * MIB2 + 0x1000, true);
        slot(LOG);
        assertThat(large(2 * MIB2)).isFalse();
        assertThat(writable(2 * MIB2 + 0x4000)).isFalse();
        assertThat(vcpu.walk(4 * MIB2 + 0x1000) & Spte.FRAME).isEqualTo(ram + 3 * MIB2 + 0x1000);
        assertThat(vm.stats.get(VmStats.PAGES_2M)).isZero();
        assertThat(vm.stats.get(VmStats.PAGES_4K)).isEqualTo(1024);

        vcpu.touch(2 * MIB2 + 0x4000, true);
        assertThat(stat(VcpuStats.PF_FAST)).isOne();
        boolean[] pages = harvest();
        for (int i = 0; i < pages.length; i++) {
            assertThat(pages[i]).as("page %d", i).isEqualTo(i == 512 + 4);
        }
        assertThat(writable(2 * MIB2 + 0x4000)).isFalse();

        slot(0);
        assertThat(vcpu.walk(2 * MIB2)).isZero();
        assertThat(vm.stats.get(VmStats.PAGES_4K)).isZero();
        vcpu.touch(2 * MIB2, true);
        assertThat(large(2 * MIB2)).isTrue();
    }

    @Test
    void withoutEagerSplittingTheFirstWriteToALargePageSplitsIt() {
        vm.close();
        vm = new TestVm("mmu.eager-page-split=off");
        vcpu = vm.vcpu();
        vm.host.huge = true;
        long memory = vm.ram(2 * MIB2);
        vm.memory.setUserMemoryRegion(0, 0, 0, 2 * MIB2, memory);
        vcpu.touch(MIB2, true);
        vm.memory.setUserMemoryRegion(0, LOG, 0, 2 * MIB2, memory);
        assertThat(large(MIB2)).isTrue();
        assertThat(writable(MIB2)).isFalse();
        vcpu.touch(MIB2 + 0x5000, true);
        assertThat(large(MIB2)).isFalse();
        assertThat(writable(MIB2 + 0x5000)).isTrue();
        assertThat(writable(MIB2 + 0x6000)).isFalse();
        assertThat(harvest()[512 + 5]).isTrue();
    }

    @Test
    void initiallySetLeavesPagesWritableUntilTheyAreCleared() {
        vm.host.huge = true;
        vm.memory.manualDirtyLogProtect(GuestMemory.MANUAL_PROTECT_ENABLE | GuestMemory.INITIALLY_SET);
        slot(0);
        vcpu.touch(2 * MIB2, true);
        slot(LOG);
        assertThat(large(2 * MIB2)).isTrue();
        assertThat(writable(2 * MIB2)).isTrue();
        vm.memory.clearDirtyLog(0, 512, 64, (to, bytes) -> {
            HostMemory.put64(to, 0b1010);
            return 0;
        });
        assertThat(large(2 * MIB2)).isFalse();
        assertThat(writable(2 * MIB2)).isTrue();
        assertThat(writable(2 * MIB2 + 0x1000)).isFalse();
        assertThat(writable(2 * MIB2 + 0x2000)).isTrue();
        assertThat(writable(2 * MIB2 + 0x3000)).isFalse();
        vcpu.touch(2 * MIB2 + 0x3000, true);
        boolean[] pages = harvest();
        assertThat(pages[513]).isFalse();
        assertThat(pages[515]).isTrue();
        assertThat(pages[0]).isTrue();
    }

    @Test
    void aHarvestWriteProtectsSlotsThatStartAnywhereInATable() {
        vm.memory.setUserMemoryRegion(0, LOG, MIB2 - 0x7000, 100 << 12, ram);
        for (int i = 0; i < 100; i++) {
            vcpu.touch(MIB2 - 0x7000 + ((long) i << 12), true);
        }
        harvest();
        for (int i = 0; i < 100; i++) {
            assertThat(writable(MIB2 - 0x7000 + ((long) i << 12)))
                    .as("page %d", i)
                    .isFalse();
        }
    }

    @Test
    void aDeletedSlotIsMmioAndItsTablesAreGone() {
        slot(0);
        for (long gpa = MIB2; gpa < 5 * MIB2; gpa += 0x1000) {
            vcpu.touch(gpa, true);
        }
        assertThat(vm.stats.get(VmStats.PAGES_4K)).isEqualTo(2048);
        long before = vm.context.tablePages().used();
        deleteSlot();
        assertThat(vm.stats.get(VmStats.PAGES_4K)).isZero();
        assertThat(vm.context.tablePages().used()).isEqualTo(before - 4);
        assertThat(vcpu.touch(MIB2, false)).isEqualTo(TestVcpu.MMIO);
    }

    @Test
    void aMovedSlotIsFoundAtItsNewPlaceOnly() {
        slot(0);
        vcpu.touch(MIB2, true);
        vm.memory.setUserMemoryRegion(0, 0, 2 * MIB2, 4 * MIB2, ram);
        assertThat(vcpu.touch(MIB2, false)).isEqualTo(TestVcpu.MMIO);
        assertThat(vcpu.touch(2 * MIB2, false)).isEqualTo(ram);
    }

    @Test
    void clientMemoryBeingTakenAwayIsNotMappedUntilItIsGone() throws InterruptedException {
        slot(0);
        vcpu.touch(MIB2, true);
        vcpu.touch(MIB2 + 0x1000, true);
        vcpu.touch(MIB2 + 0x2000, true);
        vm.mmu.hostInvalidateBegin(ram + 0x1000, ram + 0x2000);
        assertThat(vcpu.walk(MIB2)).isNotZero();
        assertThat(vcpu.walk(MIB2 + 0x1000)).isZero();
        assertThat(vcpu.walk(MIB2 + 0x2000)).isNotZero();
        // Another page faults all the same.
        assertThat(vcpu.touch(MIB2 + 0x3000, true)).isEqualTo(ram + 0x3000);
        // A kicked vCPU does not wait.
        vcpu.mode.kick();
        assertThat(vcpu.touch(MIB2 + 0x1000, true)).isEqualTo(TestVcpu.LEFT);
        assertThat(vcpu.mmu.errno).isZero();
        vcpu.mode.clearKick();
        long[] got = new long[1];
        Thread thread = new Thread(() -> got[0] = vcpu.touch(MIB2 + 0x1000, true));
        thread.start();
        thread.join(30);
        assertThat(thread.isAlive()).isTrue();
        vm.mmu.hostInvalidateEnd(ram + 0x1000, ram + 0x2000);
        thread.join();
        assertThat(got[0]).isEqualTo(ram + 0x1000);
    }

    @Test
    void invalidationReachesEverySlotThatSharesTheMemory() {
        vm.memory.setUserMemoryRegion(0, 0, 0, MIB2, ram);
        vm.memory.setUserMemoryRegion(1, 0, MIB2, MIB2, ram);
        vm.memory.setUserMemoryRegion(2, 0, 2 * MIB2, MIB2, ram + MIB2);
        vm.memory.setUserMemoryRegion(1 << 16, 0, 0, MIB2, ram);
        vcpu.touch(0x3000, true);
        vcpu.touch(MIB2 + 0x3000, true);
        vcpu.touch(2 * MIB2 + 0x3000, true);
        vcpu.mmu.addressSpace = 1;
        vcpu.touch(0x3000, true);
        vm.mmu.hostInvalidateBegin(ram + 0x3fff, ram + 0x4000);
        vm.mmu.hostInvalidateEnd(ram + 0x3fff, ram + 0x4000);
        assertThat(vcpu.walk(0x3000)).isZero();
        vcpu.mmu.addressSpace = 0;
        assertThat(vcpu.walk(0x3000)).isZero();
        assertThat(vcpu.walk(MIB2 + 0x3000)).isZero();
        assertThat(vcpu.walk(2 * MIB2 + 0x3000)).isNotZero();
    }

    @Test
    void memoryTakenAwayDuringPopulationIsLookedUpAgain() {
        slot(0);
        vm.host.onPopulate = () -> {
            vm.host.onPopulate = null;
            deleteSlot();
        };
        assertThat(vcpu.touch(MIB2, true)).isEqualTo(TestVcpu.MMIO);
        slot(0);
        int before = vm.host.populations;
        vm.host.onPopulate = () -> {
            vm.host.onPopulate = null;
            vm.mmu.hostInvalidateBegin(ram, ram + 0x1000);
            vm.mmu.hostInvalidateEnd(ram, ram + 0x1000);
        };
        assertThat(vcpu.touch(MIB2, true)).isEqualTo(ram);
        assertThat(vm.host.populations).isEqualTo(before + 2);
    }

    @Test
    void loggingThatStartsDuringAFaultSeesItsWrite() {
        slot(0);
        vm.host.onPopulate = () -> {
            vm.host.onPopulate = null;
            slot(LOG);
        };
        vcpu.touch(MIB2 + 0x9000, true);
        assertThat(harvest()[9]).isTrue();
    }

    @Test
    void theHypervisorsOwnAccessesCrossPagesAndSlotsAndAreLogged() {
        slot(LOG);
        vm.memory.setUserMemoryRegion(1, Memslot.READONLY, 5 * MIB2, MIB2, ram);
        byte[] bytes = new byte[6000];
        new java.util.Random(1).nextBytes(bytes);
        assertThat(vcpu.mmu.write(MIB2 + 0x2ff8, bytes, 0, bytes.length)).isTrue();
        byte[] back = new byte[6000];
        assertThat(vcpu.mmu.read(MIB2 + 0x2ff8, back, 0, back.length)).isTrue();
        assertThat(back).isEqualTo(bytes);
        assertThat(HostMemory.get8(ram + 0x2ff8)).isEqualTo(bytes[0] & 0xff);
        boolean[] pages = harvest();
        assertThat(pages[2]).isTrue();
        assertThat(pages[3]).isTrue();
        assertThat(pages[4]).isTrue();
        assertThat(pages[5]).isFalse();
        assertThat(vcpu.mmu.read(5 * MIB2 - 8, back, 0, 16)).isTrue();
        assertThat(vcpu.mmu.write(5 * MIB2 - 8, back, 0, 16))
                .as("read-only slot")
                .isFalse();
        assertThat(vcpu.mmu.read(6 * MIB2 - 8, back, 0, 16)).as("no slot").isFalse();
        assertThat(vcpu.mmu.read(-8, back, 0, 16)).isFalse();
    }

    @Test
    void faultsMakeNoGarbage() {
        slot(LOG);
        long own = Long.MAX_VALUE;
        long least = Long.MAX_VALUE;
        for (int round = 0; round < 5; round++) {
            long before = Allocations.bytes();
            long between = Allocations.bytes();
            for (int i = 0; i < 500; i++) {
                vcpu.touch(MIB2 + ((long) round * 100 + i % 100 << 12), true);
                vcpu.mmu.mode.request(Request.TLB_FLUSH);
            }
            long after = Allocations.bytes();
            own = Math.min(own, between - before);
            least = Math.min(least, after - between);
        }
        assertThat(least).isEqualTo(own);
    }
}
