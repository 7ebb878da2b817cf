package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Random bytes as code, random registers, random events: whatever a guest does ends in an exit or an errno that KVM has. */
class GarbageGuestTest {
    private static final int GUESTS = 2_000;
    private static final int EXITS = 8;

    @Test
    void randomGuestsEndInExitsThatKvmHas() {
        long seed = Long.getLong("slate.seed", System.nanoTime());
        System.out.println("GarbageGuestTest seed " + seed);
        SplittableRandom random = new SplittableRandom(seed);
        try (Guest64 g = new Guest64(0xf4);
                Signals _ = new Signals(g.vcpu)) {
            for (int i = 0; i < GUESTS; i++) {
                prepare(g, random);
                for (int k = 0; k < EXITS; k++) {
                    int errno = g.vcpu.run(random.nextInt(8) == 0);
                    assertThat(errno)
                            .as("guest %d of seed %d", i, seed)
                            .isIn(0, Errno.EINTR.number(), Errno.EINVAL.number());
                    if (errno == 0 && g.vcpu.exit().reason == VcpuExit.FAIL_ENTRY) {
                        // A state that VMRUN refuses: it stands for as long as the client leaves it.
                        break;
                    }
                    if (errno == 0) {
                        assertThat(g.vcpu.exit().value()).isNotInstanceOf(Exit.Other.class);
                        random.nextBytes(g.vcpu.exit().mmioData);
                    } else if (errno == Errno.EINTR.number() && g.vcpu.exit().reason == VcpuExit.INTR) {
                        break;
                    }
                }
            }
        }
    }

    private static void prepare(Guest64 g, SplittableRandom random) {
        g.start(g.vcpu, Guest64.CODE, Guest64.STACK);
        for (int at = 0; at < 512; at += 8) {
            HostMemory.put64(g.hva + Guest64.CODE + at, random.nextLong());
        }
        Regs r = g.regs();
        r.rax = small(random);
        r.rbx = small(random);
        r.rcx = small(random);
        r.rdx = small(random);
        r.rsi = small(random);
        r.rdi = small(random);
        r.rbp = small(random);
        r.r8 = random.nextLong();
        r.rflags = random.nextInt() & 0x247fd5 | 2;
        g.vcpu.setRegs(r);
        Sregs s = new Sregs();
        g.vcpu.getSregs(s);
        if (random.nextInt(4) == 0) {
            // Any mode at all, from real to long, as long as it is one.
            s.cr0 = random.nextInt() & 0x8005_003fL | 0x10;
            s.cr4 = random.nextInt() & 0x3607ff;
            s.efer = random.nextInt() & 0xd01;
            s.cs.l = random.nextInt(2);
            s.cs.db = random.nextInt(2);
            s.cs.type = random.nextInt(16);
            s.ss.dpl = random.nextInt(4);
            s.cr3 = random.nextInt(4) << 12;
            try {
                g.vcpu.setSregs(s);
            } catch (KvmException e) {
                assertThat(e.errno()).isEqualTo(Errno.EINVAL);
            }
        }
        if (random.nextInt(4) == 0) {
            VcpuEvents e = new VcpuEvents();
            e.exceptionInjected = random.nextInt(2);
            e.exceptionNr = random.nextInt(40);
            e.exceptionHasErrorCode = random.nextInt(2);
            e.interruptInjected = random.nextInt(2);
            e.interruptNr = random.nextInt(256);
            e.nmiInjected = random.nextInt(2);
            e.nmiMasked = random.nextInt(2);
            try {
                g.vcpu.setEvents(e);
            } catch (KvmException expected) {
                assertThat(expected.errno()).isEqualTo(Errno.EINVAL);
            }
        }
    }

    /** A number, an address in memory, one in MMIO, or anything. */
    private static long small(SplittableRandom random) {
        return switch (random.nextInt(4)) {
            case 0 -> random.nextInt(4096);
            case 1 -> Guest64.DATA + random.nextInt(0x10000);
            case 2 -> Guest64.NOWHERE + random.nextInt(0x10000);
            default -> random.nextLong();
        };
    }
}
