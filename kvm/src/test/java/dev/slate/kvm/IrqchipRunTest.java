package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.stats.VcpuStats;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** Guests with an in-kernel interrupt controller: halting, interrupts between vCPUs, start-up of further ones. */
class IrqchipRunTest {
    // mov $0xfee000f0,%edi; movl $0x1ff,(%rdi): the APIC is on
    private static final int[] APIC_ON = {0xbf, 0xf0, 0, 0xe0, 0xfe, 0xc7, 0x07, 0xff, 0x01, 0, 0};

    private static int[] code(int[]... parts) {
        int[] all = {};
        for (int[] p : parts) {
            int[] longer = Arrays.copyOf(all, all.length + p.length);
            System.arraycopy(p, 0, longer, all.length, p.length);
            all = longer;
        }
        return all;
    }

    @Test
    void haltWaitsForTheTimerOfItsOwnApic() {
        // timer vector 30h, one shot; initial count 10^6; sti; hlt; in $0x40,%al
        int[] guest = code(
                APIC_ON,
                new int[] {0xbf, 0x20, 0x03, 0xe0, 0xfe, 0xc7, 0x07, 0x30, 0, 0, 0},
                new int[] {0xbf, 0x80, 0x03, 0xe0, 0xfe, 0xc7, 0x07, 0x40, 0x42, 0x0f, 0},
                new int[] {0xfb, 0xf4, 0xe4, 0x40});
        try (Guest64 g = new Guest64(true, guest)) {
            g.gate(0x30, Guest64.DATA);
            // inc %rbx; iretq
            g.write(Guest64.DATA, 0x48, 0xff, 0xc3, 0x48, 0xcf);
            assertThat(g.run()).isEqualTo(new Exit.PortIn(0x40, 1, 1));
            assertThat(g.regs().rbx).isEqualTo(1);
            assertThat(g.vcpu.stats().get(VcpuStats.HALT_EXITS)).isEqualTo(1);
            assertThat(g.vcpu.stats().get(VcpuStats.IRQ_INJECTIONS)).isEqualTo(1);
        }
    }

    @Test
    void aSignalEndsAHaltThatNobodyWakes() throws InterruptedException {
        try (Guest64 g = new Guest64(true, 0xfb, 0xf4)) {
            AtomicInteger errno = new AtomicInteger();
            Thread t = new Thread(() -> errno.set(g.vcpu.run(false)));
            t.start();
            while (g.vcpu.stats().get(VcpuStats.HALT_EXITS) == 0) {
                Thread.onSpinWait();
            }
            g.vcpu.signal();
            t.join();
            assertThat(errno.get()).isEqualTo(Errno.EINTR.number());
            assertThat(g.vcpu.getMpState()).isEqualTo(MpState.HALTED);
        }
    }

    @Test
    void initAndSipiStartAnotherVcpuInRealMode() throws InterruptedException {
        // ICR2 = 1 << 24; ICR = INIT; ICR = SIPI to page 8; in $0x40,%al
        int[] guest = code(
                APIC_ON,
                new int[] {0xbf, 0x10, 0x03, 0xe0, 0xfe, 0xc7, 0x07, 0, 0, 0, 1},
                new int[] {0xbf, 0x00, 0x03, 0xe0, 0xfe, 0xc7, 0x07, 0, 0x45, 0, 0},
                new int[] {0xc7, 0x07, 0x08, 0x46, 0, 0, 0xe4, 0x40});
        try (Guest64 g = new Guest64(true, guest)) {
            Vcpu second = g.vm.createVcpu(1);
            // At 8000h, 16-bit code: out %al,$0x41
            g.write(0x8000, 0xe6, 0x41);
            AtomicInteger errno = new AtomicInteger(-1);
            Thread t = new Thread(() -> {
                int r;
                do {
                    r = second.run(false);
                } while (r == Errno.EAGAIN.number());
                errno.set(r);
            });
            t.start();
            assertThat(g.run()).isEqualTo(new Exit.PortIn(0x40, 1, 1));
            t.join();
            assertThat(errno.get()).isZero();
            assertThat(second.exit().value()).isEqualTo(new Exit.PortOut(0x41, 1, 1));
            Sregs s = new Sregs();
            second.getSregs(s);
            assertThat(s.cs.selector).isEqualTo(0x800);
            assertThat(s.cs.base).isEqualTo(0x8000);
        }
    }

    @Test
    void anInterruptFromAnotherVcpuComesInTheMiddleOfALoop() throws InterruptedException {
        // the target: in $0x42,%al; sti; jmp .
        try (Guest64 g = new Guest64(true, code(APIC_ON, new int[] {0xe4, 0x42, 0xfb, 0xeb, 0xfe}))) {
            g.gate(0x33, Guest64.DATA);
            g.write(Guest64.DATA, 0xe4, 0x40);
            Vcpu sender = g.vm.createVcpu(1);
            // ICR2 = 0; ICR = fixed 33h; in $0x41,%al
            long senderCode = 0x11000;
            g.write(senderCode, code(APIC_ON, new int[] {
                0xbf, 0x10, 0x03, 0xe0, 0xfe, 0xc7, 0x07, 0, 0, 0, 0, 0xbf, 0x00, 0x03, 0xe0, 0xfe, 0xc7, 0x07, 0x33,
                0x40, 0, 0, 0xe4, 0x41
            }));
            g.start(sender, senderCode, 0x22000);
            assertThat(g.run()).as("its APIC is on").isEqualTo(new Exit.PortIn(0x42, 1, 1));
            Thread t = new Thread(() -> sender.run(false));
            t.start();
            Exit exit = g.run();
            t.join();
            assertThat(exit).isEqualTo(new Exit.PortIn(0x40, 1, 1));
            assertThat(g.regs().rip).isEqualTo(Guest64.DATA);
        }
    }

    @Test
    void theApicsPageIsNoMemoryOfTheClient() {
        // mov 0xfee00030,%eax (version); hlt would wait: in $0x40,%al
        try (Guest64 g = new Guest64(true, 0xbf, 0x30, 0, 0xe0, 0xfe, 0x8b, 0x07, 0xe4, 0x40)) {
            g.run();
            assertThat(g.regs().rax).isEqualTo(0x50014);
            assertThat(HostMemory.get32(g.hva)).isZero();
        }
    }
}
