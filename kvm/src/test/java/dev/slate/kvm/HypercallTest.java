package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.cpuid.CpuidEntry;
import dev.slate.kvm.stats.VcpuStats;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/** KVM_HC_*: every number with arguments at their extremes, in 64-bit and in 32-bit code, at both privileges. */
class HypercallTest {
    private static final long ENOSYS = -1000;
    private static final long EPERM = -1;
    private static final long EFAULT = -14;
    private static final long EINVAL = -22;
    private static final long EOPNOTSUPP = -95;

    private static final int VAPIC_POLL_IRQ = 1;
    private static final int KICK_CPU = 5;
    private static final int CLOCK_PAIRING = 9;
    private static final int SEND_IPI = 10;
    private static final int SCHED_YIELD = 11;
    private static final int MAP_GPA_RANGE = 12;

    private static final int PV_FEATURES_LEAF = 0x4000_0001;

    private final List<Guest64> open = new ArrayList<>();

    /** vmmcall; out %al,$1. With KVM's leaf cut down to {@code features} and enforced when that is not -1. */
    private Guest64 guest(boolean irqchip, int features) {
        Guest64 g = new Guest64(irqchip, 0x0f, 0x01, 0xd9, 0xe6, 1);
        open.add(g);
        if (irqchip) {
            g.apic(true);
        }
        if (features != -1) {
            List<CpuidEntry> less = new ArrayList<>();
            for (CpuidEntry e : g.kvm.supportedCpuid()) {
                less.add(e.function() == PV_FEATURES_LEAF ? new CpuidEntry(e.function(), 0, 0, features, 0, 0, 0) : e);
            }
            g.vcpu.setCpuid(less);
            g.vcpu.enableCap(Cap.ENFORCE_PV_FEATURE_CPUID.number(), 0, new long[] {1, 0, 0, 0});
        }
        return g;
    }

    @org.junit.jupiter.api.AfterEach
    void close() {
        open.forEach(Guest64::close);
    }

    private static void set(Guest64 g, long nr, long a0, long a1, long a2, long a3) {
        Regs r = new Regs();
        r.rip = Guest64.CODE;
        r.rsp = Guest64.STACK;
        r.rflags = 2;
        r.rax = nr;
        r.rbx = a0;
        r.rcx = a1;
        r.rdx = a2;
        r.rsi = a3;
        g.vcpu.setRegs(r);
    }

    private static long call(Guest64 g, long nr, long a0, long a1, long a2, long a3) {
        set(g, nr, a0, a1, a2, a3);
        assertThat(g.run()).isInstanceOf(Exit.PortOut.class);
        return g.regs().rax;
    }

    @Test
    void everyNumberThatIsNoHypercallAnswersMinusThousand() {
        Guest64 g = guest(false, -1);
        for (long nr : new long[] {0, 2, 3, 4, 6, 7, 8, 13, 14, 99, -1, Long.MIN_VALUE, 1L << 32 | 1}) {
            assertThat(call(g, nr, -1, -1, -1, -1)).as("number " + nr).isEqualTo(ENOSYS);
        }
    }

    @Test
    void argumentsAtTheirExtremes() {
        // number, a0, a1, a2, a3, without an irqchip, with one vCPU's APIC
        long[][] table = {
            {VAPIC_POLL_IRQ, -1, -1, -1, -1, 0, 0},
            {KICK_CPU, 0, 0, 0, 0, 0, 0},
            {KICK_CPU, 0, -1, 0, 0, 0, 0},
            {KICK_CPU, 0, 0xff, 0, 0, 0, 0},
            {KICK_CPU, -1, 4096, 0, 0, 0, 0},
            {CLOCK_PAIRING, Guest64.DATA, 0, 0, 0, 0, 0},
            {CLOCK_PAIRING, Guest64.DATA, 1, 0, 0, EOPNOTSUPP, EOPNOTSUPP},
            {CLOCK_PAIRING, Guest64.DATA, -1, 0, 0, EOPNOTSUPP, EOPNOTSUPP},
            {CLOCK_PAIRING, Guest64.NOWHERE, 0, 0, 0, EFAULT, EFAULT},
            {CLOCK_PAIRING, -1, 0, 0, 0, EFAULT, EFAULT},
            {CLOCK_PAIRING, Guest64.MEMORY - 32, 0, 0, 0, EFAULT, EFAULT},
            {SEND_IPI, 1, 0, 0, 0x41, EOPNOTSUPP, 1},
            {SEND_IPI, -1, -1, 0, 0x41, EOPNOTSUPP, 1},
            {SEND_IPI, -2, -1, 0, 0x41, EOPNOTSUPP, 0},
            {SEND_IPI, 0, 0, 0, 0x41, EOPNOTSUPP, 0},
            // The lowest id is 32 bits, unsigned: of the second mask it comes round.
            {SEND_IPI, -1, 0, -1, 0x41, EOPNOTSUPP, 0},
            {SEND_IPI, 0, 1, -64, 0x41, EOPNOTSUPP, 1},
            {SEND_IPI, 1, 0, 1L << 32, 0x41, EOPNOTSUPP, 1},
            {SEND_IPI, 1, 0, 0, 0x441, EOPNOTSUPP, 1},
            {SEND_IPI, 1, 0, 0, 0x841, EINVAL, EINVAL},
            {SEND_IPI, 1, 0, 0, 0x4_0041, EINVAL, EINVAL},
            {SEND_IPI, 1, 0, 0, -1, EINVAL, EINVAL},
            {SCHED_YIELD, 0, 0, 0, 0, 0, 0},
            {SCHED_YIELD, -1, 0, 0, 0, 0, 0},
            {MAP_GPA_RANGE, 0, 1, 0, 0, ENOSYS, ENOSYS},
        };
        for (boolean irqchip : new boolean[] {false, true}) {
            Guest64 g = guest(irqchip, -1);
            // An NMI that the guest sends itself: iretq.
            g.gate(2, Guest64.DATA + 0x800);
            g.write(Guest64.DATA + 0x800, 0x48, 0xcf);
            for (long[] row : table) {
                assertThat(call(g, row[0], row[1], row[2], row[3], row[4]))
                        .as("KVM_HC " + java.util.Arrays.toString(row))
                        .isEqualTo(row[irqchip ? 6 : 5]);
            }
        }
    }

    @Test
    void withoutItsFeatureAHypercallIsNotThere() {
        Guest64 none = guest(false, 0);
        for (int nr : new int[] {KICK_CPU, SEND_IPI, SCHED_YIELD}) {
            assertThat(call(none, nr, 1, 0, 0, 0x41)).as("number " + nr).isEqualTo(ENOSYS);
        }
        // These ask for none.
        assertThat(call(none, VAPIC_POLL_IRQ, 0, 0, 0, 0)).isZero();
        assertThat(call(none, CLOCK_PAIRING, Guest64.DATA, 0, 0, 0)).isZero();
        TreeMap<Integer, Integer> feature = new TreeMap<>();
        feature.put(KICK_CPU, 1 << 7);
        feature.put(SEND_IPI, 1 << 11);
        feature.put(SCHED_YIELD, 1 << 13);
        feature.forEach((nr, bit) -> assertThat(call(guest(false, bit), nr, 1, 0, 0, 0x41))
                .as("number " + nr)
                .isNotEqualTo(ENOSYS));
    }

    @Test
    void thirtyTwoBitCodePassesAndGetsThirtyTwoBits() {
        Guest64 g = guest(true, -1);
        Sregs s = new Sregs();
        g.vcpu.getSregs(s);
        s.cs.l = 0;
        s.cs.db = 1;
        g.vcpu.setSregs(s);
        long high = 0xabcd_0000_0000L;
        assertThat(call(g, high | 99, 0, 0, 0, 0)).isEqualTo(ENOSYS & 0xffff_ffffL);
        assertThat(call(g, high | SEND_IPI, high | 1, high, high, high | 0x41)).isEqualTo(1);
        // Masks of 32 ids each: the second begins at 32.
        assertThat(call(g, SEND_IPI, 0, 1, 0xffff_ffe0L, 0x41)).isEqualTo(1);
        assertThat(call(g, SEND_IPI, 0, 1, -64, 0x41)).isEqualTo(0);
        assertThat(call(g, CLOCK_PAIRING, high | Guest64.DATA, high, 0, 0)).isZero();
    }

    @Test
    void outsidePrivilegeZeroEveryHypercallIsRefused() {
        for (int nr :
                new int[] {0, VAPIC_POLL_IRQ, KICK_CPU, CLOCK_PAIRING, SEND_IPI, SCHED_YIELD, MAP_GPA_RANGE, 99}) {
            // Pages of the user's.
            Guest64 g = guest(false, -1);
            for (long table : new long[] {0x1000, 0x2000, 0x3000}) {
                HostMemory.put64(g.hva + table, HostMemory.get64(g.hva + table) | 4);
            }
            g.vm.enableCap(Cap.EXIT_HYPERCALL.number(), 0, new long[] {1 << MAP_GPA_RANGE, 0, 0, 0});
            Sregs s = new Sregs();
            g.vcpu.getSregs(s);
            s.cs.dpl = 3;
            s.cs.selector = 0x0b;
            s.ss.dpl = 3;
            s.ss.selector = 0x13;
            g.vcpu.setSregs(s);
            Regs r = new Regs();
            r.rip = Guest64.CODE;
            r.rsp = Guest64.STACK;
            r.rflags = 0x3002;
            r.rax = nr;
            g.vcpu.setRegs(r);
            assertThat(g.run()).isInstanceOf(Exit.PortOut.class);
            assertThat(g.regs().rax).as("number " + nr).isEqualTo(EPERM);
        }
    }

    @Test
    void aRangeGoesToTheClientUnlessItIsNone() {
        for (long[] row : new long[][] {{1, 1}, {0xfff, 1}, {0, 0}, {0x1000, -1}, {-4096, -1}, {-1, -1}}) {
            Guest64 g = guest(false, -1);
            g.vm.enableCap(Cap.EXIT_HYPERCALL.number(), 0, new long[] {1 << MAP_GPA_RANGE, 0, 0, 0});
            assertThat(call(g, MAP_GPA_RANGE, row[0], row[1], 0, 0)).isEqualTo(EINVAL);
        }
        for (long[] row : new long[][] {{0, 1, 7}, {0, -1, -1}, {-4096, 1, 0}, {-4096, 1L << 62, 0}}) {
            Guest64 g = guest(false, -1);
            g.vm.enableCap(Cap.EXIT_HYPERCALL.number(), 0, new long[] {1 << MAP_GPA_RANGE, 0, 0, 0});
            set(g, MAP_GPA_RANGE, row[0], row[1], row[2], 0);
            g.run();
            VcpuExit exit = g.vcpu.exit();
            assertThat(exit.reason).isEqualTo(VcpuExit.HYPERCALL);
            assertThat(exit.hypercallArgs).startsWith(row[0], row[1], row[2]);
            exit.hypercallRet = -7;
            assertThat(g.run()).isInstanceOf(Exit.PortOut.class);
            assertThat(g.regs().rax).isEqualTo(-7);
        }
    }

    @Test
    void theClocksOfOneMomentStandInTheStructure() {
        Guest64 g = guest(false, -1);
        for (int i = 0; i < 64; i++) {
            g.write(Guest64.DATA + i, 0xee);
        }
        long before = java.time.Instant.now().getEpochSecond();
        assertThat(call(g, CLOCK_PAIRING, Guest64.DATA, 0, 0, 0)).isZero();
        long at = g.hva + Guest64.DATA;
        assertThat(HostMemory.get64(at))
                .isBetween(before, java.time.Instant.now().getEpochSecond());
        assertThat(HostMemory.get64(at + 8)).isBetween(0L, 999_999_999L);
        assertThat(HostMemory.get64(at + 16)).isNotZero();
        for (int i = 24; i < 64; i += 8) {
            assertThat(HostMemory.get64(at + i)).as("flags and padding").isZero();
        }
    }

    @Test
    void aKickAlsoYields() {
        Guest64 g = guest(false, -1);
        long before = g.vcpu.stats().get(VcpuStats.DIRECTED_YIELD_ATTEMPTED);
        call(g, KICK_CPU, 0, 0, 0, 0);
        assertThat(g.vcpu.stats().get(VcpuStats.DIRECTED_YIELD_ATTEMPTED)).isEqualTo(before + 1);
    }
}
