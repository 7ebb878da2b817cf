package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.irqchip.Irqchip;
import dev.slate.kvm.irqchip.LocalApic;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/** Guests and clients that write anything into the interrupt controllers, while lines, messages and routes come from elsewhere. */
class GarbageIrqchipTest {
    private static final int MACHINES = 20;
    private static final int GUESTS = 15;
    private static final int OPERATIONS = 200;
    private static final int EXITS = 40;
    private static final int STORM = 1_000_000;

    private static final int DONE_PORT = 0x99;
    /** An IRETQ: every vector's handler. */
    private static final long HANDLER = 0x11000;
    /** Ends the interrupt and returns. */
    private static final long ENDING_HANDLER = 0x11010;

    /** The 8259s with their ELCR, the 8254 and port 61h. */
    private static final int[] PORTS = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x61};

    // RSI has a table of RBP entries: what, where, value. 0: port write, 1: port read, 2: memory write, 3: its read.
    private static final int[] SCRIBBLER = {
        0xfb, // sti
        0x8b, 0x0e, //       next: mov (%rsi),%ecx
        0x8b, 0x56, 0x04, //       mov 4(%rsi),%edx
        0x8b, 0x46, 0x08, //       mov 8(%rsi),%eax
        0x85, 0xc9, 0x75, 0x03, // test %ecx,%ecx; jne read
        0xee, 0xeb, 0x13, //       out %al,(%dx); jmp on
        0xff, 0xc9, 0x75, 0x03, // read: dec %ecx; jne write
        0xec, 0xeb, 0x0c, //       in (%dx),%al; jmp on
        0xff, 0xc9, 0x75, 0x05, // write: dec %ecx; jne load
        0x89, 0x02, 0x90, 0xeb, 0x03, // mov %eax,(%rdx); nop; jmp on
        0x8b, 0x02, 0x90, //       load: mov (%rdx),%eax; nop
        0x48, 0x83, 0xc6, 0x10, // on: add $16,%rsi
        0xff, 0xcd, 0x75, 0xd6, // dec %ebp; jne next
        0xe6, DONE_PORT
    };

    @Test
    void guestsThatScribbleOverAllControllersEndInExitsThatKvmHas() throws InterruptedException {
        long seed = Long.getLong("slate.seed", System.nanoTime());
        System.out.println("GarbageIrqchipTest seed " + seed);
        SplittableRandom random = new SplittableRandom(seed);
        int finished = 0;
        for (int machine = 0; machine < MACHINES; machine++) {
            // One that an SMI has taken away does not come back.
            try (Guest64 g = new Guest64(Knobs.standard(), GarbageIrqchipTest::withPit, SCRIBBLER);
                    Signals _ = new Signals(g.vcpu)) {
                Storming storming = new Storming(g.vm.interrupts().irqchip(), random.split());
                try {
                    for (int i = 0; i < GUESTS; i++) {
                        prepare(g, random);
                        finished += finishes(g, seed) ? 1 : 0;
                        meddle(g, random);
                    }
                } finally {
                    storming.end();
                }
            }
        }
        assertThat(finished)
                .as("guests that came through their table, seed %d", seed)
                .isGreaterThan(MACHINES);
    }

    /** Runs until the guest is through its table, or for some exits. */
    private static boolean finishes(Guest64 g, long seed) {
        for (int k = 0; k < EXITS; k++) {
            int errno = g.vcpu.run(false);
            assertThat(errno)
                    .as("seed %d", seed)
                    .isIn(0, Errno.EINTR.number(), Errno.EAGAIN.number(), Errno.EINVAL.number());
            if (errno == 0) {
                if (g.vcpu.exit().reason == VcpuExit.FAIL_ENTRY) {
                    return false;
                }
                Exit exit = g.vcpu.exit().value();
                assertThat(exit).isNotInstanceOf(Exit.Other.class);
                if (exit instanceof Exit.PortOut out && out.port() == DONE_PORT) {
                    return true;
                }
            }
        }
        return false;
    }

    @Test
    void aStormOfAMillionMessagesLosesNoLastOne() throws InterruptedException {
        // movl $0x1ff,0xfee000f0; in $0x42,%al; sti; jmp .
        int[] guest = {0xbf, 0xf0, 0, 0xe0, 0xfe, 0xc7, 0x07, 0xff, 0x01, 0, 0, 0xe4, 0x42, 0xfb, 0xeb, 0xfe};
        try (Guest64 g = new Guest64(true, guest)) {
            g.gate(0x40, ENDING_HANDLER);
            // inc %rbx; movl $0,0xfee000b0 (by rcx); iretq
            g.write(ENDING_HANDLER, 0x48, 0xff, 0xc3, 0xb9, 0xb0, 0, 0xe0, 0xfe, 0xc7, 0x01, 0, 0, 0, 0, 0x48, 0xcf);
            // Lower than the storm's: it comes when that is over.
            g.gate(0x30, HANDLER);
            g.write(HANDLER, 0xe6, 0x41);
            assertThat(g.run()).isEqualTo(new Exit.PortIn(0x42, 1, 1));
            AtomicReference<Exit> exit = new AtomicReference<>();
            Thread runs = new Thread(() -> exit.set(g.run()));
            runs.start();
            Irqchip chip = g.vm.interrupts().irqchip();
            int taken = 0;
            for (int i = 0; i < STORM; i++) {
                taken += chip.signalMsi(0xfee0_0000, 0, 0x40) > 0 ? 1 : 0;
            }
            assertThat(chip.signalMsi(0xfee0_0000, 0, 0x30)).isPositive();
            runs.join();
            assertThat(exit.get()).isEqualTo(new Exit.PortOut(0x41, 1, 1));
            // Each that was taken was either handled or merged with one that waited.
            assertThat(g.regs().rbx).isPositive().isLessThanOrEqualTo(taken);
            assertThat(taken).isPositive();
            byte[] state = new byte[LocalApic.STATE_BYTES];
            g.vcpu.getLapic(state);
            for (int i = 0; i < 8; i++) {
                for (int k = 0; k < 4; k++) {
                    assertThat(state[0x200 + i * 16 + k]).as("IRR %d", i).isZero();
                }
            }
        }
    }

    private static void withPit(Vm vm) {
        vm.createIrqchip();
        vm.interrupts().irqchip().createPit(0);
    }

    private static void prepare(Guest64 g, SplittableRandom random) {
        g.restore();
        for (int vector = 0; vector < 256; vector++) {
            g.gate(vector, HANDLER);
        }
        g.write(HANDLER, 0x48, 0xcf);
        for (int i = 0; i < OPERATIONS; i++) {
            long at = g.hva + Guest64.DATA + i * 16L;
            int what = random.nextInt(4);
            HostMemory.put32(at, what);
            HostMemory.put32(at + 4, what < 2 ? PORTS[random.nextInt(PORTS.length)] : register(random));
            HostMemory.put32(at + 8, value(random));
        }
        g.start(g.vcpu, Guest64.CODE, Guest64.STACK);
        Regs r = g.regs();
        r.rsi = Guest64.DATA;
        r.rbp = OPERATIONS;
        g.vcpu.setRegs(r);
        VcpuEvents events = new VcpuEvents();
        g.vcpu.setEvents(events);
    }

    private static int register(SplittableRandom random) {
        return switch (random.nextInt(3)) {
            case 0 -> 0xfec0_0000 + (random.nextInt(8) == 0 ? random.nextInt(256) : random.nextInt(2) * 16);
            // Seldom the register that sends: it may start this processor anew.
            case 1 -> 0xfee0_0000 + 16 * random.nextInt(0x30);
            default -> 0xfee0_0000 + (random.nextInt(8) == 0 ? random.nextInt(4096) : 16 * (0x31 + random.nextInt(15)));
        };
    }

    private static int value(SplittableRandom random) {
        return switch (random.nextInt(4)) {
            case 0 -> random.nextInt();
            case 1 -> random.nextInt(256);
            case 2 -> 1 << random.nextInt(32);
            default -> random.nextInt(1 << 18);
        };
    }

    /** The client reads each controller's state, changes a byte and puts it back. */
    private static void meddle(Guest64 g, SplittableRandom random) {
        Irqchip chip = g.vm.interrupts().irqchip();
        byte[] state = new byte[Irqchip.CHIP_BYTES];
        for (int which = 0; which < 3; which++) {
            chip.getChip(which, state);
            state[random.nextInt(state.length)] = (byte) random.nextInt();
            chip.setChip(which, state);
        }
        byte[] pit = new byte[Irqchip.PIT_BYTES];
        chip.getPit(pit);
        pit[random.nextInt(pit.length)] = (byte) random.nextInt();
        chip.setPit(pit, true);
        byte[] apic = new byte[LocalApic.STATE_BYTES];
        g.vcpu.getLapic(apic);
        apic[random.nextInt(apic.length)] = (byte) random.nextInt();
        try {
            g.vcpu.setLapic(apic);
        } catch (KvmException e) {
            assertThat(e.errno()).isEqualTo(Errno.EINVAL);
        }
        assertThatThrownBy(() -> chip.getChip(3 + random.nextInt(100), state)).isInstanceOf(KvmException.class);
    }

    /** Lines, messages and new routes from another thread. */
    private static final class Storming {
        private final Thread thread;
        private volatile boolean over;
        private volatile Throwable failure;

        Storming(Irqchip chip, SplittableRandom random) {
            thread = new Thread(() -> {
                try {
                    while (!over) {
                        switch (random.nextInt(8)) {
                            case 0 -> chip.setRouting(routes(random));
                            case 1 -> chip.signalMsi(0xfee0_0000 | random.nextInt(1 << 20), 0, fixedMessage(random));
                            default -> chip.setLine(random.nextInt(28), random.nextBoolean());
                        }
                        Thread.onSpinWait();
                    }
                } catch (Throwable e) {
                    failure = e;
                }
            });
            thread.setDaemon(true);
            thread.start();
        }

        void end() throws InterruptedException {
            over = true;
            thread.join();
            assertThat(failure).isNull();
        }

        /** Fixed or lowest priority: INIT and SMI leave nothing of the guest. */
        private static int fixedMessage(SplittableRandom random) {
            return random.nextInt(256) | random.nextInt(2) << 8 | random.nextInt(4) << 14;
        }

        private static List<GsiRoute> routes(SplittableRandom random) {
            List<GsiRoute> routes = new ArrayList<>();
            for (int gsi = 0; gsi < 24; gsi++) {
                if (random.nextBoolean()) {
                    routes.add(new GsiRoute(gsi, GsiRoute.IRQCHIP, 0, GsiRoute.IOAPIC, gsi, 0));
                }
                if (gsi < 16 && random.nextBoolean()) {
                    routes.add(new GsiRoute(
                            gsi, GsiRoute.IRQCHIP, 0, gsi < 8 ? GsiRoute.PIC_MASTER : GsiRoute.PIC_SLAVE, gsi & 7, 0));
                }
            }
            return routes;
        }
    }
}
