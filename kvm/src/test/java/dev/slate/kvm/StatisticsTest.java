package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.slate.cpu.TranslationFigures;
import dev.slate.kvm.host.Worker;
import dev.slate.kvm.stats.DebugFiles;
import dev.slate.kvm.stats.Stat;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.kvm.stats.VmStats;
import org.junit.jupiter.api.Test;

/** Each statistic counts what KVM counts under its name, and debugfs shows it. */
class StatisticsTest {
    private static long stat(Guest64 g, int offset) {
        return g.vcpu.stats().get(offset);
    }

    @Test
    void anMmioInstructionIsOneFaultOneEmulationAndOneMmioExit() {
        // mov $0x10000000,%edi; mov (%rdi),%eax; mov %eax,(%rdi); in $0x40,%al
        try (Guest64 g = new Guest64(false, 0xbf, 0, 0, 0, 0x10, 0x8b, 0x07, 0x89, 0x07, 0xe4, 0x40)) {
            assertThat(g.run()).isInstanceOf(Exit.MmioRead.class);
            long taken = stat(g, VcpuStats.PF_TAKEN);
            assertThat(stat(g, VcpuStats.PF_EMULATE)).isOne();
            assertThat(stat(g, VcpuStats.INSN_EMULATION)).isOne();
            assertThat(stat(g, VcpuStats.MMIO_EXITS)).isOne();
            // The load goes on with the answer, without a second fault; then the store finds the entry of the first.
            assertThat(g.run()).isInstanceOf(Exit.MmioWrite.class);
            assertThat(stat(g, VcpuStats.PF_TAKEN)).isEqualTo(taken);
            assertThat(stat(g, VcpuStats.PF_EMULATE)).isOne();
            assertThat(stat(g, VcpuStats.PF_MMIO_SPTE_CREATED)).isOne();
            assertThat(stat(g, VcpuStats.INSN_EMULATION)).isEqualTo(2);
            assertThat(stat(g, VcpuStats.MMIO_EXITS)).isEqualTo(2);
            assertThat(g.run()).isInstanceOf(Exit.PortIn.class);
            assertThat(stat(g, VcpuStats.IO_EXITS)).isOne();
            assertThat(stat(g, VcpuStats.FPU_RELOAD)).isEqualTo(3);
        }
    }

    @Test
    void metadataGrowsByTheTablesThatAPageNeedsAndByNoCache() {
        // mov $0x10000000,%edi; mov %eax,(%rdi); in $0x40,%al
        try (Guest64 g = new Guest64(false, 0xbf, 0, 0, 0, 0x10, 0x89, 0x07, 0xe4, 0x40)) {
            long hva = g.host.allocate(0x1000, 0x1000);
            g.vm.setUserMemoryRegion(1, 0, 0x1000_0000, 0x1000, hva);
            long before = g.vm.mmuMetadataBytes();
            assertThat(g.run()).isInstanceOf(Exit.PortIn.class);
            // The root is there. Code and data lie in the same GiB, in two pieces of 2 MiB: one directory pointer's,
            // one directory, two tables.
            assertThat(g.vm.mmuMetadataBytes() - before).isEqualTo(4 * 4096);
        }
    }

    @Test
    void everyCallOnAVcpuEndsWithItsHostStateReloaded() {
        try (Guest64 g = new Guest64(false, 0xe4, 0x40)) {
            long before = stat(g, VcpuStats.HOST_STATE_RELOAD);
            g.vcpu.getRegs(new Regs());
            g.run();
            assertThat(stat(g, VcpuStats.HOST_STATE_RELOAD)).isGreaterThanOrEqualTo(before + 2);
        }
    }

    @Test
    void haltsThatEndSoonArePolledForAndTheRestIsSlept() throws InterruptedException {
        // 1: hlt; jmp 1b. Woken by NMIs, whose handler counts.
        try (Guest64 g = new Guest64(true, 0xf4, 0xeb, 0xfd)) {
            // inc %rbx; iretq
            g.write(Guest64.DATA, 0x48, 0xff, 0xc3, 0x48, 0xcf);
            g.gate(2, Guest64.DATA);
            Thread t = new Thread(() -> g.vcpu.run(false));
            t.start();
            int naps = 30;
            for (int i = 1; i <= naps; i++) {
                // Every other wake-up comes when the vCPU sleeps, the others as soon as it has halted.
                while (stat(g, VcpuStats.HALT_EXITS) < i || i % 2 == 0 && stat(g, VcpuStats.BLOCKING) == 0) {
                    Thread.onSpinWait();
                }
                g.vcpu.nmi();
            }
            while (stat(g, VcpuStats.HALT_EXITS) <= naps) {
                Thread.onSpinWait();
            }
            g.vcpu.signal();
            t.join();
            long attempted = stat(g, VcpuStats.HALT_ATTEMPTED_POLL);
            long success = stat(g, VcpuStats.HALT_SUCCESSFUL_POLL);
            assertThat(success).isLessThanOrEqualTo(attempted);
            assertThat(stat(g, VcpuStats.HALT_WAKEUP)).isPositive().isLessThanOrEqualTo(naps);
            assertThat(stat(g, VcpuStats.HALT_WAIT_NS)).isPositive();
            assertThat(stat(g, VcpuStats.BLOCKING)).isZero();
            assertThat(histogram(g, VcpuStats.HALT_POLL_SUCCESS_HIST)).isEqualTo(success);
            assertThat(histogram(g, VcpuStats.HALT_POLL_FAIL_HIST)).isEqualTo(attempted - success);
            assertThat(stat(g, VcpuStats.NMI_INJECTIONS)).isPositive();
        }
    }

    @Test
    void aHaltIsNeverPolledForWhereTheClientForbidsIt() throws InterruptedException {
        try (Guest64 g = new Guest64(true, 0xf4, 0xeb, 0xfd)) {
            g.write(Guest64.DATA, 0x48, 0xcf);
            g.gate(2, Guest64.DATA);
            g.vm.enableCap(Cap.HALT_POLL.number(), 0, new long[4]);
            Thread t = new Thread(() -> g.vcpu.run(false));
            t.start();
            for (int i = 1; i <= 10; i++) {
                while (stat(g, VcpuStats.HALT_EXITS) < i) {
                    Thread.onSpinWait();
                }
                g.vcpu.nmi();
            }
            while (stat(g, VcpuStats.HALT_EXITS) <= 10) {
                Thread.onSpinWait();
            }
            g.vcpu.signal();
            t.join();
            assertThat(stat(g, VcpuStats.HALT_ATTEMPTED_POLL)).isZero();
        }
    }

    private static long histogram(Guest64 g, int offset) {
        long sum = 0;
        for (int i = 0; i < 32; i++) {
            sum += stat(g, offset + i * Long.BYTES);
        }
        return sum;
    }

    @Test
    void debugfsHasAFileForEachStatisticAndAFolderForEachVcpu() {
        try (Guest64 g = new Guest64(Knobs.parse("cpu.translator=off"), true, 0xe4, 0x40)) {
            Vcpu other = g.vm.createVcpu(7);
            g.run();
            assertThat(g.vm.debugFiles().names())
                    .doesNotHaveDuplicates()
                    .hasSize(15 + 45 + 1 + 2 * 5)
                    .contains("max_mmu_rmap_size", "mmu_rmaps_stat", "vcpu0/tsc-offset", "vcpu7/guest_mode");
            for (String name : g.vm.debugFiles().names()) {
                assertThat(g.vm.debugFiles().read(name)).as(name).isNotNull();
            }
            assertThat(g.vm.debugFiles().read("exits")).isEqualTo(stat(g, VcpuStats.EXITS) + "\n");
            assertThat(g.vm.debugFiles().read("vcpu7/tsc-scaling-ratio")).isEqualTo((1L << 32) + "\n");
            for (String none : new String[] {"", "nothing", "vcpu1/tsc-offset", "vcpux/pid", "vcpu0/", "vcpu0/exits"}) {
                assertThat(g.vm.debugFiles().read(none)).as(none).isNull();
            }
            other.close();
        }
    }

    @Test
    void whereCodeIsTranslatedTheFilesSayHowMuchAndWhyItLeft() {
        // 1: dec %ecx; jne 1b; out %al,$0x40
        int[] loop = {0xb9, 0x10, 0x27, 0, 0, 0xff, 0xc9, 0x75, 0xfc, 0xe6, 0x40};
        try (Guest64 g = new Guest64(Knobs.parse("cpu.translator=off"), false, loop)) {
            g.run();
            assertThat(g.vm.debugFiles().names()).doesNotContainAnyElementsOf(TranslationFigures.NAMES);
            assertThat(g.vm.debugFiles().read("translator_regions")).isNull();
        }
        try (Guest64 g = new Guest64(Knobs.parse("cpu.translator=on\ncpu.translator.cache=1"), false, loop)) {
            g.run();
            assumeTrue(g.vcpu.translation() != null, "this host allows no executable memory");
            assertThat(g.vm.debugFiles().names()).doesNotHaveDuplicates().containsAll(TranslationFigures.NAMES);
            for (String name : new String[] {"regions", "bytes", "ns", "entries", "interpreted", "exits_link"}) {
                assertThat(Long.parseLong(
                                g.vm.debugFiles().read("translator_" + name).strip()))
                        .as(name)
                        .isPositive();
            }
            assertThat(g.vm.debugFiles().read("translator_cache_resets")).isEqualTo("0\n");
        }
    }

    @Test
    void theRmapsOfAShadowedGuestAreShownAsKvmShowsThem() {
        Kvm kvm = new Kvm(new TestHost(), Knobs.parse("tdp=off"));
        Vm vm = kvm.createVm(0);
        long ram = kvm.host().allocate(16 << 12, 4096);
        vm.setUserMemoryRegion(0, 0, 0, 16 << 12, ram);
        assertThat(vm.debugFiles().read("mmu_rmaps_stat")).isEqualTo("""
                        Rmap_Count:\t0\t1\t2-3\t4-7\t8-15\t16-31\t32-63\t64-127\t128-255\t256-511\t512-1023\t
                        Level=4K:\t16\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t
                        Level=2M:\t1\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t
                        Level=1G:\t1\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t
                        """);
        vm.close();
    }

    @Test
    void clearingStartsACounterAgainAndInstantValuesStay() {
        try (Guest64 g = new Guest64(false, 0xe4, 0x40)) {
            g.run();
            assertThat(stat(g, VcpuStats.EXITS)).isPositive();
            assertThat(DebugFiles.clearable("exits")).isTrue();
            g.vm.debugFiles().clear("exits");
            assertThat(g.vm.debugFiles().read("exits")).isEqualTo("0\n");
            for (Stat s : VmStats.SCHEMA) {
                assertThat(DebugFiles.clearable(s.name())).as(s.name()).isEqualTo(s.kind() != Stat.INSTANT);
            }
        }
    }

    @Test
    void theWorkerRunsTasksWhenTheyAreDueAndNotOnceCancelled() throws InterruptedException {
        Worker worker = new Worker();
        java.util.concurrent.atomic.AtomicInteger runs = new java.util.concurrent.atomic.AtomicInteger();
        Worker.Task task = () -> runs.incrementAndGet() < 3 ? System.nanoTime() : Worker.NEVER;
        worker.schedule(task, System.nanoTime());
        while (runs.get() < 3) {
            Thread.sleep(1);
        }
        worker.schedule(task, System.nanoTime() + 3_600_000_000_000L);
        worker.cancel(task);
        assertThat(runs.get()).isEqualTo(3);
    }
}
