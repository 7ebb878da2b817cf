package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.slate.kvm.host.ModuleParameters;
import org.junit.jupiter.api.Test;

final class ModuleParametersTest {
    private static final String NX = "kvm.nx_huge_pages";
    private static final String RATIO = "kvm.nx_huge_pages_recovery_ratio";
    private static final String PERIOD = "kvm.nx_huge_pages_recovery_period_ms";

    private final ModuleParameters parameters = new ModuleParameters(Knobs.standard());

    private void refused(String name, String value, Errno errno) {
        String before = parameters.text(name);
        assertThatExceptionOfType(KvmException.class)
                .as(value)
                .isThrownBy(() -> parameters.write(name, value))
                .matches(e -> e.errno() == errno);
        assertThat(parameters.text(name)).isEqualTo(before);
    }

    @Test
    void startAsTheKernelsDo() {
        assertThat(parameters.text(NX)).isEqualTo("N\n");
        assertThat(parameters.text(RATIO)).isEqualTo("60\n");
        assertThat(parameters.text(PERIOD)).isEqualTo("0\n");
        assertThat(parameters.text("kvm.tdp_mmu")).isNull();
    }

    @Test
    void takeWhatTheKernelTakesAndNothingElse() {
        for (String on : new String[] {"1", "y", "Y\n", "on", "On", "force", "true", "yes"}) {
            parameters.write(NX, "off");
            parameters.write(NX, on);
            assertThat(parameters.text(NX)).as(on).isEqualTo("Y\n");
        }
        for (String off : new String[] {"0", "n", "off", "OFF\n", "auto", "false"}) {
            parameters.write(NX, "1");
            parameters.write(NX, off);
            assertThat(parameters.text(NX)).as(off).isEqualTo("N\n");
        }
        for (String bad : new String[] {"", "\n", "o", "ox", "maybe", "2", "-1"}) {
            refused(NX, bad, Errno.EINVAL);
        }
        parameters.write(RATIO, "010\n");
        assertThat(parameters.text(RATIO)).isEqualTo("8\n");
        parameters.write(RATIO, "+0xffffffff");
        assertThat(parameters.text(RATIO)).isEqualTo("4294967295\n");
        for (String bad : new String[] {"", "-1", "1 2", "09", "0x", "1\n\n", "++1", "+-1"}) {
            refused(RATIO, bad, Errno.EINVAL);
        }
        refused(RATIO, "4294967296", Errno.ERANGE);
        refused("kvm.none", "1", Errno.ENOENT);
    }

    @Test
    void withoutAPeriodEverythingIsRecoveredWithinAnHour() {
        assertThat(parameters.recoveryMillis()).isZero();
        parameters.write(NX, "1");
        assertThat(parameters.recoveryMillis()).isEqualTo(60_000);
        parameters.write(RATIO, "100000");
        assertThat(parameters.recoveryMillis()).isEqualTo(1000);
        parameters.write(PERIOD, "7");
        assertThat(parameters.recoveryMillis()).isEqualTo(7);
        parameters.write(RATIO, "0");
        assertThat(parameters.recoveryMillis()).isZero();
    }

    @Test
    void neverIsForGoodAndNotWhileThereAreVms() {
        parameters.add(changed -> {});
        refused(NX, "never", Errno.EBUSY);
        ModuleParameters fresh = new ModuleParameters(Knobs.standard());
        fresh.write(NX, "never");
        assertThat(fresh.text(NX)).isEqualTo("never\n");
        assertThatExceptionOfType(KvmException.class)
                .isThrownBy(() -> fresh.write(NX, "1"))
                .matches(e -> e.errno() == Errno.EPERM);
    }

    @Test
    void aVmMayDoWithoutThemOnlyBeforeItsFirstVcpuAndIfTheProcessMayReboot() {
        try (Guest64 g = new Guest64(0xe4, 0x40)) {
            assertThatExceptionOfType(KvmException.class)
                    .isThrownBy(() -> g.vm.enableCap(Cap.VM_DISABLE_NX_HUGE_PAGES.number(), 0, new long[] {1, 0, 0, 0}))
                    .matches(e -> e.errno() == Errno.EPERM);
            g.host.mayReboot = true;
            for (long arg : new long[] {0, 1}) {
                assertThatExceptionOfType(KvmException.class)
                        .isThrownBy(() ->
                                g.vm.enableCap(Cap.VM_DISABLE_NX_HUGE_PAGES.number(), 0, new long[] {arg, 0, 0, 0}))
                        .matches(e -> e.errno() == Errno.EINVAL);
            }
            Vm other = g.kvm.createVm(0);
            other.enableCap(Cap.VM_DISABLE_NX_HUGE_PAGES.number(), 0, new long[4]);
            other.close();
        }
    }

    @Test
    void theRecoveryRunsByItselfWhenTheParametersSaySo() throws InterruptedException {
        // A large slot whose code runs: in $0x40,%al
        try (Guest64 g = new Guest64(0xe4, 0x40)) {
            g.kvm.parameters().write(NX, "1");
            g.host.huge = true;
            long large = g.host.allocate(2 << 20, 2 << 20);
            g.vm.setUserMemoryRegion(1, 0, 0x40_0000, 2 << 20, large);
            dev.slate.cpu.mem.HostMemory.put16(large, 0x40e4);
            Regs regs = g.regs();
            regs.rip = 0x40_0000;
            g.vcpu.setRegs(regs);
            g.run();
            assertThat(g.vm.debugFiles().read("nx_lpage_splits")).isEqualTo("1\n");
            g.kvm.parameters().write(RATIO, "1");
            g.kvm.parameters().write(PERIOD, "1");
            while (!"0\n".equals(g.vm.debugFiles().read("nx_lpage_splits"))) {
                Thread.sleep(1);
            }
            g.vm.setUserMemoryRegion(1, 0, 0, 0, 0);
            g.host.free(large, 2 << 20);
        }
    }
}
