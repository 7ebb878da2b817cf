package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.dirty.DirtyRing;
import dev.slate.kvm.host.HostServices;
import org.junit.jupiter.api.Test;

/** A guest that dirties pages into a ring. */
final class DirtyRingRunTest {
    private static final int ENTRIES = DirtyRing.MIN_BYTES / 16;
    private static final long GPA = 4 << 20;
    private static final int PAGES = 1024;

    /** {@code mov rbx, GPA; mov ecx, 1024; 1: inc qword [rbx]; add rbx, 4096; dec ecx; jnz 1b; out 0x10, al}. */
    private static final int[] DIRTY_ALL = {
        0x48, 0xbb, 0, 0, 0x40, 0, 0, 0, 0, 0, 0xb9, 0, 4, 0, 0, 0x48, 0xff, 0x03, 0x48, 0x81, 0xc3, 0, 0x10, 0, 0,
        0xff, 0xc9, 0x75, 0xf2, 0xe6, 0x10,
    };

    private static Errno errno(Runnable call) {
        try {
            call.run();
            return null;
        } catch (KvmException e) {
            return e.errno();
        }
    }

    private static void enable(Vm vm, long bytes) {
        vm.enableCap(Cap.DIRTY_LOG_RING.number(), 0, new long[] {bytes, 0, 0, 0});
    }

    @Test
    void aFullRingEndsRunUntilTheClientHasCollectedAndNoPageIsLost() {
        TestHost host = new TestHost();
        Guest64 template = new Guest64(DIRTY_ALL);
        Vm vm = new Kvm(host).createVm(0);
        enable(vm, DirtyRing.MIN_BYTES);
        vm.setUserMemoryRegion(0, 0, 0, Guest64.MEMORY, template.hva);
        host.alsoPopulatesFrom = template.hva;
        host.alsoPopulatesTo = template.hva + Guest64.MEMORY;
        long ram = host.allocate(PAGES << 12, 4096);
        vm.setUserMemoryRegion(1, 1, GPA, PAGES << 12, ram);
        long area = host.allocate(vm.runAreaBytes(), 4096);
        assertThat(vm.runAreaBytes()).isEqualTo(64 * 4096 + DirtyRing.MIN_BYTES);
        Vcpu vcpu = vm.createVcpu(0, area);
        template.start(vcpu, Guest64.CODE, Guest64.STACK);
        long ring = area + 64 * 4096;
        boolean[] seen = new boolean[PAGES];
        int next = 0;
        int full = 0;
        for (; ; ) {
            assertThat(vcpu.run(false)).isZero();
            while (HostMemory.get32(ring + next % ENTRIES * 16L) == 1) {
                long entry = ring + next % ENTRIES * 16L;
                assertThat(HostMemory.get32(entry + 4)).isOne();
                seen[(int) HostMemory.get64(entry + 8)] = true;
                HostMemory.put32(entry, 2);
                next++;
            }
            if (vcpu.exit().reason != VcpuExit.DIRTY_RING_FULL) {
                break;
            }
            full++;
            // Without a reset it stays full.
            assertThat(vcpu.run(false)).isZero();
            assertThat(vcpu.exit().reason).isEqualTo(VcpuExit.DIRTY_RING_FULL);
            assertThat(vm.resetDirtyRings()).isBetween(ENTRIES - 64, ENTRIES);
        }
        assertThat(vcpu.exit().reason).isEqualTo(VcpuExit.IO);
        assertThat(full).isGreaterThanOrEqualTo(PAGES / ENTRIES);
        assertThat(seen).doesNotContain(false);
        assertThat(errno(() -> vm.getDirtyLog(1, (from, bytes) -> 0))).isEqualTo(Errno.ENXIO);
        assertThat(errno(() -> vm.clearDirtyLog(1, 0, 64, (to, bytes) -> 0))).isEqualTo(Errno.ENXIO);
        vcpu.close();
        vm.resetDirtyRings();
        vm.close();
        template.close();
    }

    @Test
    void nonsenseInACollectedEntryIsPassedOver() {
        TestHost host = new TestHost();
        Vm vm = new Kvm(host).createVm(0);
        enable(vm, DirtyRing.MIN_BYTES);
        long area = host.allocate(vm.runAreaBytes(), 4096);
        Vcpu vcpu = vm.createVcpu(0, area);
        long entry = area + 64 * 4096;
        int[] slots = {0, 5, 32764, 2 << 16, -1};
        long[] pages = {0, 1L << 62, -1, Long.MIN_VALUE};
        int n = 0;
        for (int slot : slots) {
            for (long page : pages) {
                HostMemory.put32(entry + 4, slot);
                HostMemory.put64(entry + 8, page);
                HostMemory.put32(entry, 2);
                entry += 16;
                n++;
            }
        }
        vm.setUserMemoryRegion(0, 1, 0, 4096, host.allocate(4096, 4096));
        assertThat(vm.resetDirtyRings()).isEqualTo(n);
        vcpu.close();
        vm.close();
    }

    @Test
    void theSizeIsAPowerOfTwoWithinBoundsSetOnceBeforeTheFirstVcpu() {
        HostServices host = new TestHost();
        Kvm kvm = new Kvm(host);
        assertThat(kvm.checkExtension(Cap.DIRTY_LOG_RING.number())).isEqualTo(1 << 20);
        Vm vm = kvm.createVm(0);
        assertThat(errno(vm::resetDirtyRings)).isEqualTo(Errno.EINVAL);
        for (long bad : new long[] {0, 3, 2048, 4097, 12288, -1}) {
            assertThat(errno(() -> enable(vm, bad))).as("%d", bad).isEqualTo(Errno.EINVAL);
        }
        assertThat(errno(() -> enable(vm, 1 << 21))).isEqualTo(Errno.E2BIG);
        enable(vm, 1 << 20);
        assertThat(errno(() -> enable(vm, 1 << 20))).isEqualTo(Errno.EINVAL);
        vm.close();
        Vm late = kvm.createVm(0);
        Vcpu vcpu = late.createVcpu(0);
        assertThatExceptionOfType(KvmException.class).isThrownBy(() -> enable(late, 4096));
        vcpu.close();
        late.close();
    }
}
