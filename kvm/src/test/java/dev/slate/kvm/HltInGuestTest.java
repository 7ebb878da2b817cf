package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.slate.cpu.CpuState;
import dev.slate.kvm.cpuid.CpuidEntry;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.msr.MsrFile;
import dev.slate.kvm.stats.VcpuStats;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** KVM_CAP_X86_DISABLE_EXITS: HLT is no exit, and the guest halts in guest mode until an event comes. */
@Timeout(60)
final class HltInGuestTest {
    private static final int HLT = 1 << 1;

    private static void hltInGuest(Vm vm) {
        vm.enableCap(Cap.X86_DISABLE_EXITS.number(), 0, new long[] {HLT, 0, 0, 0});
    }

    /** Runs until it halts inside, lets {@code meanwhile} happen, and gives what the run ends with. */
    private static int haltsThen(Guest64 g, Runnable meanwhile) throws InterruptedException {
        AtomicInteger errno = new AtomicInteger(-1);
        Thread runs = new Thread(() -> errno.set(g.vcpu.run(false)));
        runs.start();
        while (g.vcpu.mode().mpState != GuestMode.HALTED_INSIDE) {
            Thread.onSpinWait();
        }
        meanwhile.run();
        runs.join();
        return errno.get();
    }

    @Test
    void whatCanBeLeftToTheGuestIsAllButMwait() {
        Kvm kvm = new Kvm(new TestHost());
        assertThat(kvm.checkExtension(Cap.X86_DISABLE_EXITS.number())).isEqualTo(0b1110);
        try (Vm vm = kvm.createVm(0)) {
            vm.enableCap(Cap.X86_DISABLE_EXITS.number(), 0, new long[] {0xf, 0, 0, 0});
            assertThatExceptionOfType(KvmException.class)
                    .isThrownBy(() -> vm.enableCap(Cap.X86_DISABLE_EXITS.number(), 0, new long[] {0x10, 0, 0, 0}))
                    .matches(e -> e.errno() == Errno.EINVAL);
        }
    }

    @Test
    void theTimerOfItsOwnApicEndsIt() {
        // svr on; timer vector 30h, one shot; initial count 10^6; sti; hlt; in $0x40,%al
        try (Guest64 g = new Guest64(
                true, 0xbf, 0xf0, 0x00, 0xe0, 0xfe, 0xc7, 0x07, 0xff, 0x01, 0, 0, 0xbf, 0x20, 0x03, 0xe0, 0xfe, 0xc7,
                0x07, 0x30, 0, 0, 0, 0xbf, 0x80, 0x03, 0xe0, 0xfe, 0xc7, 0x07, 0x40, 0x42, 0x0f, 0, 0xfb, 0xf4, 0xe4,
                0x40)) {
            hltInGuest(g.vm);
            g.gate(0x30, Guest64.DATA);
            g.write(Guest64.DATA, 0x48, 0xff, 0xc3, 0x48, 0xcf); // inc %rbx; iretq
            assertThat(g.run()).isEqualTo(new Exit.PortIn(0x40, 1, 1));
            assertThat(g.regs().rbx).isEqualTo(1);
            assertThat(g.vcpu.stats().get(VcpuStats.HALT_EXITS)).isZero();
            assertThat(g.vcpu.stats().get(VcpuStats.HALT_WAKEUP)).isZero();
        }
    }

    @Test
    void aSignalEndsTheRunAndTheNextOneHaltsOnUntilAnNmiComes() throws InterruptedException {
        try (Guest64 g = new Guest64(0xf4, 0xe4, 0x41)) { // hlt; in $0x41,%al
            hltInGuest(g.vm);
            g.gate(2, Guest64.DATA);
            g.write(Guest64.DATA, 0xe4, 0x40); // in $0x40,%al
            assertThat(haltsThen(g, g.vcpu::signal)).isEqualTo(Errno.EINTR.number());
            assertThat(g.vcpu.getMpState()).isEqualTo(MpState.RUNNABLE);
            assertThat(g.regs().rip).isEqualTo(Guest64.CODE + 1);
            assertThat(haltsThen(g, g.vcpu::signal)).isEqualTo(Errno.EINTR.number());
            assertThat(g.regs().rip).isEqualTo(Guest64.CODE + 1);
            g.vcpu.nmi();
            assertThat(g.run()).isEqualTo(new Exit.PortIn(0x40, 1, 1));
        }
    }

    @Test
    void anInterruptOfTheClientEndsItAndItsWindowIsOpen() throws InterruptedException {
        try (Guest64 g = new Guest64(0xfb, 0xf4, 0xe4, 0x41)) { // sti; hlt; in $0x41,%al
            hltInGuest(g.vm);
            g.gate(0x30, Guest64.DATA);
            g.write(Guest64.DATA, 0xe4, 0x40);
            assertThat(haltsThen(g, g.vcpu::signal)).isEqualTo(Errno.EINTR.number());
            g.vcpu.exit().requestInterruptWindow = true;
            assertThat(g.run()).isEqualTo(new Exit.InterruptWindow());
            g.vcpu.exit().requestInterruptWindow = false;
            g.vcpu.interrupt(0x30);
            assertThat(g.run()).isEqualTo(new Exit.PortIn(0x40, 1, 1));
        }
    }

    /** As the processor stands still for an interrupt that it may not take. */
    @Test
    void whatIsMaskedEndsNothing() throws InterruptedException {
        try (Guest64 g = new Guest64(true, 0xf4, 0xe4, 0x41)) {
            hltInGuest(g.vm);
            g.apic(true);
            assertThat(haltsThen(g, () -> {
                        g.vm.interrupts().signalMsi(0xfee0_0000, 0, 0x4030, 0);
                        g.vcpu.signal();
                    }))
                    .isEqualTo(Errno.EINTR.number());
            assertThat(g.regs().rip).isEqualTo(Guest64.CODE + 1);
            assertThat(g.regs().rflags & CpuState.IF).isZero();
        }
    }

    @Test
    void nobodyIsToldThatAHypercallEndsIt() {
        try (Guest64 g = new Guest64(true, 0xf4)) {
            hltInGuest(g.vm);
            g.vcpu.setCpuid(g.kvm.supportedCpuid());
            int offered = g.kvm.supportedCpuid().stream()
                    .filter(e -> e.function() == 0x4000_0001)
                    .mapToInt(CpuidEntry::eax)
                    .sum();
            int has = g.vcpu.getCpuid().stream()
                    .filter(e -> e.function() == 0x4000_0001)
                    .mapToInt(CpuidEntry::eax)
                    .sum();
            assertThat(offered & MsrFile.PV_UNHALT).isNotZero();
            assertThat(has).isEqualTo(offered & ~MsrFile.PV_UNHALT);
        }
    }
}
