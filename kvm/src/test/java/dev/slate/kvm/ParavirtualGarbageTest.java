package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.kvm.cpuid.CpuidEntry;
import dev.slate.kvm.host.EventFd;
import dev.slate.kvm.host.FakeEventFd;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/**
 * Whatever clients and guests say to the interfaces of Hyper-V and Xen is done or refused with an errno of KVM's: no bug, no hang, and
 * every counter that was handed over is given back when the VM goes. {@code -Dslate.paravirtual.seed=N} repeats one.
 */
class ParavirtualGarbageTest {
    private static final int MACHINES = 8;
    private static final int CALLS = 1500;
    private static final Set<Errno> REFUSALS = Set.of(Errno.EINVAL, Errno.ENOENT, Errno.EFAULT, Errno.EEXIST);

    private final long seed = Long.getLong("slate.paravirtual.seed", System.nanoTime());
    private final SplittableRandom random = new SplittableRandom(seed);
    private final List<FakeEventFd> counters = new ArrayList<>();
    private String last = "";

    @Test
    void garbageIsDoneOrRefused() throws InterruptedException {
        System.out.println("paravirtual garbage: seed " + seed);
        int done = 0;
        int refused = 0;
        for (int m = 0; m < MACHINES; m++) {
            try (Guest64 g = machine()) {
                Thread watch = watch(g);
                try {
                    for (int i = 0; i < CALLS; i++) {
                        if (isDone(g, m, i)) {
                            done++;
                        } else {
                            refused++;
                        }
                    }
                } finally {
                    watch.interrupt();
                    watch.join();
                }
            }
            assertThat(counters).as("seed %d: counters", seed).allMatch(c -> c.closed);
        }
        assertThat(done).as("seed %d", seed).isGreaterThan(1000);
        assertThat(refused).as("seed %d", seed).isGreaterThan(1000);
    }

    private boolean isDone(Guest64 g, int machine, int number) {
        try {
            call(g);
            return true;
        } catch (KvmException e) {
            assertThat(e.errno()).as("seed %d: %s", seed, last).isIn(REFUSALS);
            return false;
        } catch (RuntimeException | Error e) {
            throw new AssertionError("seed " + seed + ", machine " + machine + ", call " + number + ": " + last, e);
        }
    }

    private Guest64 machine() {
        // vmmcall, rdmsr, wrmsr, sti and hlt
        int[] code = Guest64.pieces(
                new int[] {0x0f, 0x01, 0xd9, 0xe6, 1},
                new int[] {0x0f, 0x32, 0xe6, 1},
                new int[] {0x0f, 0x30, 0xe6, 1},
                new int[] {0xfb, 0xf4, 0xe6, 1});
        Guest64 g =
                new Guest64(Knobs.parse("cpu.vendor=amd"), random.nextInt(4) == 0 ? vm -> {} : Vm::createIrqchip, code);
        List<CpuidEntry> all = new ArrayList<>();
        for (CpuidEntry e : g.kvm.supportedCpuid()) {
            if (e.function() >>> 28 != 4) {
                all.add(e);
            }
        }
        all.addAll(g.kvm.supportedHypervCpuid());
        g.vcpu.setCpuid(all);
        return g;
    }

    /** Ends runs that wait or loop. */
    private static Thread watch(Guest64 g) {
        Thread thread = new Thread(() -> {
            try {
                for (; ; ) {
                    Thread.sleep(1);
                    g.vcpu.mode().signal();
                }
            } catch (InterruptedException e) {
                // The machine goes.
            }
        });
        thread.start();
        return thread;
    }

    private void call(Guest64 g) {
        int what = random.nextInt(13);
        int type = random.nextInt(11);
        long[] u = new long[8];
        for (int i = 0; i < u.length; i++) {
            u[i] = random.nextInt(3) == 0 ? 0 : word();
        }
        last = what + " type " + type + " " + Arrays.toString(u);
        switch (what) {
            case 0 -> configure(g, u);
            case 1 -> g.vm.xen().setAttribute(type, u, this::counter);
            case 2 -> {
                // An event channel, nearly right.
                u[0] = random.nextInt(8) | (long) (random.nextBoolean() ? 2 : 5) << 32;
                u[1] = random.nextInt(6) | (long) random.nextInt(4) << 32;
                u[2] = random.nextInt(3) | (random.nextInt(4) == 0 ? 0 : -1L << 32);
                g.vm.xen().setAttribute(3, u, this::counter);
            }
            case 3 -> g.vm.xen().getAttribute(type, u);
            case 4 -> g.vm.xen().send(random.nextBoolean() ? (int) u[0] : random.nextInt(4096), (int) u[1], -1);
            case 5 -> g.vcpu.setXenAttribute(type, u);
            case 6 -> g.vcpu.getXenAttribute(type, u);
            case 7 -> connect(g, random.nextInt(4) == 0 ? (int) u[0] : random.nextInt(8), random.nextInt(3));
            case 8 -> g.vcpu.setMsr(msr(), u[0]);
            case 9 -> g.vcpu.getMsr(msr(), u);
            case 10 -> route(g);
            case 11 ->
                g.vcpu.enableCap(
                        (random.nextBoolean() ? Cap.HYPERV_SYNIC2 : Cap.HYPERV_SYNIC).number(), 0, new long[4]);
            default -> run(g, u);
        }
    }

    private void configure(Guest64 g, long[] u) {
        int flags = random.nextBoolean() ? random.nextInt(64) & 0x22 : (int) u[0];
        boolean plain = random.nextBoolean();
        g.vm.xen()
                .configure(
                        flags,
                        random.nextInt(4) == 0 ? (int) u[1] : 0x4000_0200,
                        plain ? 0 : u[2],
                        plain ? 0 : u[3],
                        plain ? 0 : random.nextInt(256),
                        plain ? 0 : random.nextInt(256));
    }

    private EventFd counter(int fd) {
        FakeEventFd counter = new FakeEventFd(fd);
        counters.add(counter);
        return counter;
    }

    private void connect(Guest64 g, int connection, int flags) {
        Vm.checkHypervEventFd(connection, flags);
        if (flags != 0) {
            g.vm.deassignHypervEventFd(connection);
            return;
        }
        EventFd counter = counter(0);
        try {
            g.vm.assignHypervEventFd(connection, counter);
        } catch (KvmException e) {
            counter.close();
            throw e;
        }
    }

    private void route(Guest64 g) {
        int kind = random.nextBoolean() ? GsiRoute.HV_SINT : GsiRoute.XEN_EVTCHN;
        int first = random.nextInt(4) == 0 ? (int) word() : random.nextInt(20);
        int second = random.nextInt(4) == 0 ? (int) word() : random.nextInt(20);
        int gsi = random.nextInt(24);
        g.vm.interrupts().setRouting(List.of(new GsiRoute(gsi, kind, 0, first, second, -random.nextInt(2))));
        g.vm.interrupts().setLine(gsi, random.nextBoolean());
    }

    private int msr() {
        return 0x4000_0000 + random.nextInt(0x10a);
    }

    /** A hypercall, an MSR or HLT of the guest, with what it says at random. */
    private void run(Guest64 g, long[] u) {
        Regs r = new Regs();
        r.rip = Guest64.CODE + random.nextInt(4) * Guest64.PIECE;
        r.rsp = Guest64.STACK;
        r.rflags = 2;
        int[] codes = {2, 3, 8, 0xb, 0x13, 0x14, 0x15, 0x5c, 0x5d, 0x69, 0x6a, 0x6b};
        int[] numbers = {15, 17, 24, 29, 32};
        r.rax = random.nextBoolean() ? numbers[random.nextInt(numbers.length)] : u[0];
        r.rcx = random.nextBoolean()
                ? msr()
                : codes[random.nextInt(codes.length)]
                        | random.nextInt(2) << 16
                        | (long) random.nextInt(20) << 17
                        | (long) random.nextInt(3) << 32;
        r.rdx = random.nextBoolean() ? Guest64.DATA + random.nextInt(8192) : u[1];
        r.r8 = random.nextBoolean() ? Guest64.DATA + random.nextInt(8192) : u[2];
        r.rdi = random.nextInt(12);
        r.rsi = random.nextBoolean() ? Guest64.DATA + random.nextInt(8192) : u[3];
        for (int i = 0; i < 64; i++) {
            g.write(Guest64.DATA + random.nextInt(8192), random.nextInt(256));
        }
        g.vcpu.setRegs(r);
        g.vcpu.setMpState(MpState.RUNNABLE);
        last += " run " + Long.toHexString(r.rip) + " " + Long.toHexString(r.rax) + " " + Long.toHexString(r.rcx);
        for (int i = 0; i < 3 && g.vcpu.run(false) == 0; i++) {
            g.vcpu.exit().hypervData[1] = u[4];
            g.vcpu.exit().xenResult = u[5];
        }
    }

    /** Numbers at the edges of things, and addresses of the guest's. */
    private long word() {
        return switch (random.nextInt(6)) {
            case 0 -> random.nextLong();
            case 1 -> 1L << random.nextInt(64);
            case 2 -> -1L << random.nextInt(64);
            case 3 -> random.nextInt(64);
            case 4 -> Guest64.DATA + random.nextInt(0x8000);
            default -> Guest64.DATA + random.nextInt(8) * 4096L | random.nextInt(2);
        };
    }
}
