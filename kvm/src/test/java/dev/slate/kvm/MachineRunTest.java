package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.host.FakeEventFd;
import dev.slate.kvm.stats.VcpuStats;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Guests that meet a machine's own devices and the paravirtual features: what makes an exit, and what does not. */
class MachineRunTest {
    // mov $0xfee000f0,%edi; movl $0x1ff,(%rdi): the APIC is on
    private static final int[] APIC_ON = {0xbf, 0xf0, 0, 0xe0, 0xfe, 0xc7, 0x07, 0xff, 0x01, 0, 0};
    /** in $0x42,%al: the test goes on here. */
    private static final int[] PAUSE = {0xe4, 0x42};
    /** in $0x40,%al. */
    private static final int[] END = {0xe4, 0x40};

    private static final long SHARED = 0x30000;

    private static int[] code(int[]... parts) {
        return Arrays.stream(parts).flatMapToInt(Arrays::stream).toArray();
    }

    private static int[] wrmsr(int index, long value) {
        int[] c = new int[17];
        c[0] = 0xb9;
        c[5] = 0xb8;
        c[10] = 0xba;
        c[15] = 0x0f;
        c[16] = 0x30;
        for (int i = 0; i < 4; i++) {
            c[1 + i] = index >>> 8 * i & 0xff;
            c[6 + i] = (int) (value >>> 8 * i) & 0xff;
            c[11 + i] = (int) (value >>> 32 + 8 * i) & 0xff;
        }
        return c;
    }

    private static int[] out(int port, int value) {
        return new int[] {0xb0, value, 0xe6, port};
    }

    private static Exit paused() {
        return new Exit.PortIn(0x42, 1, 1);
    }

    private static Exit ended() {
        return new Exit.PortIn(0x40, 1, 1);
    }

    private static int inService(Guest64 g) {
        byte[] lapic = new byte[1024];
        g.vcpu.getLapic(lapic);
        int words = 0;
        for (int i = 0; i < 8; i++) {
            words |= lapic[0x100 + 16 * i] | lapic[0x101 + 16 * i] | lapic[0x102 + 16 * i] | lapic[0x103 + 16 * i];
        }
        return words;
    }

    @Test
    void aWriteThatAnEventfdTakesMakesNoExit() {
        // mov $NOWHERE,%edi; movl $7,(%rdi); movl $8,(%rdi)
        int[] guest = code(
                new int[] {0xbf, 0, 0, 0, 0x10, 0xc7, 0x07, 7, 0, 0, 0, 0xc7, 0x07, 8, 0, 0, 0}, out(0x50, 3), END);
        try (Guest64 g = new Guest64(guest)) {
            FakeEventFd seven = new FakeEventFd(1);
            FakeEventFd port = new FakeEventFd(2);
            g.vm.interrupts().assignIoEventFd(seven, Guest64.NOWHERE, 4, 1, 7);
            g.vm.interrupts().assignIoEventFd(port, 0x50, 1, 2, 0);
            assertThat(g.run()).isEqualTo(new Exit.MmioWrite(Guest64.NOWHERE, 4, 8));
            assertThat(seven.count).isEqualTo(1);
            assertThat(g.run()).isEqualTo(ended());
            assertThat(port.count).isEqualTo(1);
        }
    }

    @Test
    void aCoalescedWriteWaitsInTheRing() {
        int[] guest = code(new int[] {0xbf, 0, 0, 0, 0x10, 0xc7, 0x07, 7, 0, 0, 0}, END);
        try (Guest64 g = new Guest64(guest)) {
            g.vm.interrupts().coalesce(Guest64.NOWHERE, 16, 0);
            assertThat(g.run()).isEqualTo(ended());
            g.vm.interrupts().uncoalesce(Guest64.NOWHERE, 16, 0);
        }
        try (Guest64 g = new Guest64(guest)) {
            assertThat(g.run()).isEqualTo(new Exit.MmioWrite(Guest64.NOWHERE, 4, 7));
        }
    }

    @Test
    void anInterruptOfThe8259sReachesTheBootProcessorOutOfHlt() {
        int[] guest = code(
                out(0x20, 0x11),
                out(0x21, 0x30),
                out(0x21, 4),
                out(0x21, 1),
                out(0x21, 0),
                PAUSE,
                new int[] {0xfb, 0xf4},
                END);
        try (Guest64 g = new Guest64(true, guest)) {
            g.gate(0x33, Guest64.DATA);
            // inc %rbx; the end of the interrupt; iretq
            g.write(Guest64.DATA, code(new int[] {0x48, 0xff, 0xc3}, out(0x20, 0x20), new int[] {0x48, 0xcf}));
            assertThat(g.run()).isEqualTo(paused());
            assertThat(g.vm.interrupts().setLine(3, true)).isEqualTo(1);
            assertThat(g.run()).isEqualTo(ended());
            assertThat(g.regs().rbx).isEqualTo(1);
        }
    }

    @Test
    void theTimerOf1981WakesAGuest() {
        // the 8259 as above; channel 0 one shot of 1,193 counts, a millisecond
        int[] guest = code(
                out(0x20, 0x11),
                out(0x21, 0x30),
                out(0x21, 4),
                out(0x21, 1),
                out(0x21, 0),
                out(0x43, 0x30),
                out(0x40, 0xa9),
                out(0x40, 0x04),
                new int[] {0xfb, 0xf4, 0xe4, 0x60});
        try (Guest64 g = new Guest64(
                Knobs.standard(),
                vm -> {
                    vm.createIrqchip();
                    vm.interrupts().createPit(0);
                },
                guest)) {
            g.gate(0x30, Guest64.DATA);
            g.write(Guest64.DATA, 0x48, 0xff, 0xc3, 0x48, 0xcf);
            assertThat(g.run()).isEqualTo(new Exit.PortIn(0x60, 1, 1));
            assertThat(g.regs().rbx).isEqualTo(1);
        }
    }

    @Test
    void theClientOfASplitChipHearsOfTheEndAndGivesTheVectorsOfIts8259s() {
        int[] guest = code(APIC_ON, PAUSE, new int[] {0xfb, 0xf4}, END);
        try (Guest64 g = new Guest64(
                Knobs.standard(), vm -> vm.enableCap(Cap.SPLIT_IRQCHIP.number(), 0, new long[] {24, 0, 0, 0}), guest)) {
            g.gate(0x59, Guest64.DATA);
            // movl $0,0xfee000b0; iretq
            g.write(Guest64.DATA, 0xbf, 0xb0, 0, 0xe0, 0xfe, 0xc7, 0x07, 0, 0, 0, 0, 0x48, 0xcf);
            g.vm.interrupts().setRouting(List.of(GsiRoute.msi(9, 0xfee0_0000L, 0xc059)));
            assertThat(g.run()).isEqualTo(paused());
            g.vm.interrupts().setLine(9, true);
            assertThat(g.vcpu.run(false)).isZero();
            assertThat(g.vcpu.exit().reason).isEqualTo(VcpuExit.IOAPIC_EOI);
            assertThat(g.vcpu.exit().eoiVector).isEqualTo(0x59);
            assertThat(g.run()).isEqualTo(ended());
        }
    }

    @Test
    void aVectorThatTheClientGivesASplitChipIsTakenOnceAndFirst() {
        int[] guest = code(APIC_ON, PAUSE, new int[] {0xfb, 0xf4}, END);
        try (Guest64 g = new Guest64(
                Knobs.standard(), vm -> vm.enableCap(Cap.SPLIT_IRQCHIP.number(), 0, new long[] {24, 0, 0, 0}), guest)) {
            g.gate(0x21, Guest64.DATA);
            g.write(Guest64.DATA, 0x48, 0xff, 0xc3, 0x48, 0xcf);
            assertThat(g.run()).isEqualTo(paused());
            g.vcpu.interrupt(0x21);
            assertThatThrownBy(() -> g.vcpu.interrupt(0x22))
                    .isInstanceOfSatisfying(
                            KvmException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EEXIST));
            assertThat(g.run()).isEqualTo(ended());
            assertThat(g.regs().rbx).isEqualTo(1);
            assertThat(inService(g)).as("no local APIC saw it").isZero();
        }
    }

    @Test
    void aClientThatWaitsForAWindowDoesNotHoldUpAGuestThatTakesNothingFromIt() {
        // movl $0x10000,0xfee00350: LINT0 is masked; sti; nop
        int[] guest =
                code(APIC_ON, new int[] {0xbf, 0x50, 3, 0xe0, 0xfe, 0xc7, 0x07, 0, 0, 1, 0, 0xfb, 0x90}, PAUSE, END);
        try (Guest64 g = new Guest64(
                Knobs.standard(), vm -> vm.enableCap(Cap.SPLIT_IRQCHIP.number(), 0, new long[] {24, 0, 0, 0}), guest)) {
            g.vcpu.exit().requestInterruptWindow = true;
            assertThat(g.run()).isEqualTo(paused());
            assertThat(g.vcpu.exit().readyForInterruptInjection).isFalse();
            assertThat(g.run()).isEqualTo(ended());
        }
    }

    @Test
    void aGuestEndsAnInterruptInMemoryWhereItMay() {
        int[] guest = code(APIC_ON, wrmsr(0x4b564d04, SHARED | 1), PAUSE, new int[] {0xfb, 0xf4}, END);
        try (Guest64 g = new Guest64(true, guest)) {
            g.gate(0x41, Guest64.DATA);
            // mov $SHARED,%edi; mov (%rdi),%bl; movb $0,(%rdi); iretq
            g.write(Guest64.DATA, 0xbf, 0, 0, 3, 0, 0x8a, 0x1f, 0xc6, 0x07, 0, 0x48, 0xcf);
            assertThat(g.run()).isEqualTo(paused());
            g.vm.interrupts().signalMsi(0xfee0_0000, 0, 0x41, 0);
            assertThat(g.run()).isEqualTo(ended());
            assertThat(g.regs().rbx).as("the bit was set").isEqualTo(1);
            assertThat(inService(g)).isZero();
        }
    }

    @Test
    void anInterruptThatTheGuestDoesNotEndInMemoryStaysInService() {
        int[] guest = code(APIC_ON, wrmsr(0x4b564d04, SHARED | 1), PAUSE, new int[] {0xfb, 0xf4}, END);
        try (Guest64 g = new Guest64(true, guest)) {
            g.gate(0x41, Guest64.DATA);
            g.write(Guest64.DATA, 0x48, 0xcf);
            assertThat(g.run()).isEqualTo(paused());
            g.vm.interrupts().signalMsi(0xfee0_0000, 0, 0x41, 0);
            assertThat(g.run()).isEqualTo(ended());
            assertThat(HostMemory.get8(g.hva + SHARED)).as("taken back").isZero();
            assertThat(inService(g)).isNotZero();
        }
    }

    @Test
    void stealTimeSaysWhetherTheVcpuRunsAndTakesAFlushThatAnotherLeft() {
        // wrmsr; mov $SHARED+16,%edi; mov (%rdi),%bl; in; in
        int[] guest = code(
                wrmsr(0x4b564d03, SHARED | 1),
                new int[] {0xbf, 0x10, 0, 3, 0, 0x8a, 0x1f},
                PAUSE,
                new int[] {0x8a, 0x1f},
                END);
        try (Guest64 g = new Guest64(true, guest)) {
            assertThat(g.run()).isEqualTo(paused());
            assertThat(g.regs().rbx).as("it runs").isZero();
            assertThat(HostMemory.get8(g.hva + SHARED + 16)).as("it is out").isEqualTo((byte) 1);
            int version = HostMemory.get32(g.hva + SHARED + 8);
            assertThat(version).isPositive().matches(v -> (v & 1) == 0);
            HostMemory.put8(g.hva + SHARED + 16, 3);
            assertThat(g.run()).isEqualTo(ended());
            assertThat(g.regs().rbx).isZero();
            assertThat(HostMemory.get32(g.hva + SHARED + 8)).isEqualTo(version + 2);
        }
    }

    @Test
    void aGuestThatSwitchesAsynchronousFaultsOnHearsThatAllMayGoOn() {
        int[] guest = code(
                APIC_ON,
                wrmsr(0x4b564d06, 0x45),
                wrmsr(0x4b564d02, SHARED | 9),
                new int[] {0xfb, 0xf4},
                wrmsr(0x4b564d07, 1),
                END);
        try (Guest64 g = new Guest64(true, guest)) {
            g.gate(0x45, Guest64.DATA);
            g.write(Guest64.DATA, 0x48, 0xff, 0xc3, 0x48, 0xcf);
            assertThat(g.run()).isEqualTo(ended());
            assertThat(g.regs().rbx).isEqualTo(1);
            assertThat(HostMemory.get32(g.hva + SHARED + 4)).isEqualTo(-1);
        }
    }

    @Test
    void paravirtualRegistersRefuseWhatKvmRefuses() {
        try (Guest64 g = new Guest64(true, END)) {
            assertThat(g.vcpu.setMsr(0x4b564d02, SHARED | 0x10)).isFalse();
            assertThat(g.vcpu.setMsr(0x4b564d03, SHARED | 2)).isFalse();
            assertThat(g.vcpu.setMsr(0x4b564d04, SHARED | 2)).isFalse();
            assertThat(g.vcpu.setMsr(0x4b564d04, -1L)).isFalse();
            assertThat(g.vcpu.setMsr(0x4b564d06, 256)).isFalse();
            assertThat(g.vcpu.setMsr(0x4b564d07, -1L)).isTrue();
        }
    }

    @Test
    void aGuestThatStoodStillIsToldOnItsClocksPage() {
        try (Guest64 g = new Guest64(true, code(wrmsr(0x4b564d01, SHARED | 1), PAUSE, PAUSE, PAUSE))) {
            assertThatThrownBy(g.vcpu::guestStopped)
                    .isInstanceOfSatisfying(
                            KvmException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EINVAL));
            g.run();
            g.vcpu.guestStopped();
            g.run();
            assertThat(HostMemory.get8(g.hva + SHARED + 29))
                    .as("stable, and stopped")
                    .isEqualTo((byte) 3);
            ClockData clock = new ClockData();
            g.vm.getClock(clock);
            clock.flags = 0;
            g.vm.setClock(clock);
            g.run();
            assertThat(HostMemory.get8(g.hva + SHARED + 29))
                    .as("until the guest takes it back")
                    .isEqualTo((byte) 3);
            assertThat(HostMemory.get32(g.hva + SHARED) & 1).isZero();
        }
    }

    @Test
    void aClientHearsOfAccessesToTheTaskPriority() {
        // mov $0xfee00080,%edi; movl $0x20,(%rdi); mov (%rdi),%ebx
        int[] guest = code(APIC_ON, new int[] {0xbf, 0x80, 0, 0xe0, 0xfe, 0xc7, 0x07, 0x20, 0, 0, 0, 0x8b, 0x1f}, END);
        try (Guest64 g = new Guest64(true, guest)) {
            g.vcpu.reportTaskPriority(true);
            assertThat(g.vcpu.run(false)).isZero();
            assertThat(g.vcpu.exit().reason).isEqualTo(VcpuExit.TPR_ACCESS);
            assertThat(g.vcpu.exit().tprIsWrite).isTrue();
            assertThat(g.vcpu.exit().tprRip).isEqualTo(Guest64.CODE + APIC_ON.length + 5);
            assertThat(g.vcpu.run(false)).isZero();
            assertThat(g.vcpu.exit().reason).isEqualTo(VcpuExit.TPR_ACCESS);
            assertThat(g.vcpu.exit().tprIsWrite).isFalse();
            assertThat(g.run()).isEqualTo(ended());
            assertThat(g.regs().rbx).isEqualTo(0x20);
        }
    }

    @Test
    void aPatchedGuestKeepsItsTaskPriorityInMemory() {
        // mov $SHARED,%edi; movb $0x50,(%rdi)
        int[] guest = code(APIC_ON, PAUSE, new int[] {0xbf, 0, 0, 3, 0, 0xc6, 0x07, 0x50}, PAUSE, END);
        try (Guest64 g = new Guest64(true, guest)) {
            g.run();
            assertThatThrownBy(() -> g.vcpu.setVapicAddress(Guest64.NOWHERE))
                    .isInstanceOfSatisfying(
                            KvmException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EINVAL));
            g.vcpu.setVapicAddress(SHARED);
            g.vm.interrupts().signalMsi(0xfee0_0000, 0, 0x41, 0);
            g.run();
            assertThat(HostMemory.get32(g.hva + SHARED)).as("41h is requested").isEqualTo(0x4100_0050);
            assertThat(g.vcpu.exit().cr8).isEqualTo(5);
        }
    }

    @Test
    void devicesOfTheMachinesOwnAreNoExitsToTheClientAndMakeNoGarbage() {
        // mov $1000000,%ecx; 1: in $0x21,%al; dec %ecx; jnz 1b
        int[] loop = {0xb9, 0x40, 0x42, 0x0f, 0, 0xe4, 0x21, 0xff, 0xc9, 0x75, 0xfa};
        try (Guest64 g = new Guest64(true, code(loop, PAUSE, loop, END))) {
            assertThat(g.run()).isEqualTo(paused());
            Allocations.bytes();
            long before = Allocations.bytes();
            assertThat(g.run()).isEqualTo(ended());
            assertThat(Allocations.bytes() - before).isLessThan(100_000);
            assertThat(g.vcpu.stats().get(VcpuStats.IO_EXITS)).isEqualTo(2_000_002);
        }
    }
}
