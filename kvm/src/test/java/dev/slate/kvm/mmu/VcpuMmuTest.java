package dev.slate.kvm.mmu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.kvm.Errno;
import dev.slate.kvm.memslot.Memslot;
import org.junit.jupiter.api.Test;

/** The hypervisor's own accesses to guest memory populate a page when something may have taken it away, and not each time. */
class VcpuMmuTest {
    private final byte[] word = new byte[8];

    @Test
    void aPageIsPopulatedAgainOnlyWhenItMayHaveGone() {
        try (TestVm vm = new TestVm()) {
            long hva = vm.ram(4 << 12);
            vm.memory.setUserMemoryRegion(0, 0, 0, 4 << 12, hva);
            VcpuMmu mmu = vm.vcpu().mmu;
            assertThat(populations(vm, () -> mmu.read(0, word, 0, 8))).isEqualTo(1);
            assertThat(populations(vm, () -> mmu.read(8, word, 0, 8))).isZero();
            assertThat(populations(vm, () -> mmu.write(8, word, 0, 8)))
                    .as("there for reading is not there for writing")
                    .isEqualTo(1);
            assertThat(populations(vm, () -> mmu.read(0, word, 0, 8) && mmu.write(8, word, 0, 8)))
                    .isZero();
            assertThat(populations(vm, () -> mmu.read(4096 - 4, word, 0, 8))).isEqualTo(1);
            // Whatever the client takes away may be this.
            vm.context.invalidation().begin(hva + 8192, hva + 12288);
            vm.context.invalidation().end();
            assertThat(populations(vm, () -> mmu.read(0, word, 0, 8))).isEqualTo(1);
            // Memory that is in no slot goes without a word, and its slot may come back.
            vm.memory.setUserMemoryRegion(0, Memslot.LOG_DIRTY_PAGES, 0, 4 << 12, hva);
            assertThat(populations(vm, () -> mmu.read(0, word, 0, 8))).isEqualTo(1);
        }
    }

    @Test
    void aPageThatCouldNotBePopulatedIsAskedForAgain() {
        try (TestVm vm = new TestVm()) {
            vm.memory.setUserMemoryRegion(0, 0, 0, 4096, vm.ram(4096));
            VcpuMmu mmu = vm.vcpu().mmu;
            vm.host.populateErrno = Errno.EFAULT.number();
            assertThat(mmu.write(0, word, 0, 8)).isFalse();
            assertThat(mmu.write(0, word, 0, 8)).isFalse();
            vm.host.populateErrno = 0;
            assertThat(populations(vm, () -> mmu.write(0, word, 0, 8))).isEqualTo(1);
        }
    }

    private static int populations(TestVm vm, java.util.function.BooleanSupplier access) {
        int before = vm.host.populations;
        assertThat(access.getAsBoolean()).isTrue();
        return vm.host.populations - before;
    }
}
