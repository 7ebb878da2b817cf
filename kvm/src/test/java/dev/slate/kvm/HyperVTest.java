package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.cpuid.CpuidEntry;
import dev.slate.kvm.host.FakeEventFd;
import dev.slate.kvm.stats.VcpuStats;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Hyper-V's interface: hypercalls with their rules, synthetic interrupts and timers, reference time, what goes to the client. */
class HyperVTest {
    private static final int GUEST_OS_ID = 0x4000_0000;
    private static final int HYPERCALL = 0x4000_0001;
    private static final int VP_INDEX = 0x4000_0002;
    private static final int RESET = 0x4000_0003;
    private static final int TIME_REF_COUNT = 0x4000_0020;
    private static final int REFERENCE_TSC = 0x4000_0021;
    private static final int TPR = 0x4000_0072;
    private static final int VP_ASSIST_PAGE = 0x4000_0073;
    private static final int SCONTROL = 0x4000_0080;
    private static final int SIMP = 0x4000_0083;
    private static final int EOM = 0x4000_0084;
    private static final int SINT2 = 0x4000_0092;
    private static final int STIMER0_CONFIG = 0x4000_00b0;
    private static final int STIMER0_COUNT = 0x4000_00b1;
    private static final int SYNDBG_CONTROL = 0x4000_00f1;
    private static final int SYNDBG_OPTIONS = 0x4000_00ff;
    private static final int CRASH_CTL = 0x4000_0105;
    private static final int TSC_EMULATION_CONTROL = 0x4000_0107;

    private static final long FAST = 1 << 16;
    private static final long REP = 1L << 32;
    private static final long PAGE = Guest64.DATA + 0x1000;
    private static final long MESSAGES = Guest64.DATA + 0x2000;
    private static final long HANDLED = Guest64.DATA + 0x600;
    private static final int VECTOR = 0x51;

    // Where the pieces of guest code lie.
    private static final int CALL = 0;
    private static final int READ = Guest64.PIECE;
    private static final int WRITE = 2 * Guest64.PIECE;
    private static final int SLEEP = 3 * Guest64.PIECE;

    private final List<Guest64> open = new ArrayList<>();

    @AfterEach
    void close() {
        open.forEach(Guest64::close);
    }

    /** vmmcall, rdmsr, wrmsr or sti and hlt, each followed by an exit; a handler of {@link #VECTOR} that counts and does no EOI. */
    private Guest64 guest() {
        int[] code = Guest64.pieces(
                new int[] {0x0f, 0x01, 0xd9, 0xe6, 1},
                new int[] {0x0f, 0x32, 0xe6, 1},
                new int[] {0x0f, 0x30, 0xe6, 1},
                new int[] {0xfb, 0xf4, 0xe6, 1});
        Guest64 g = new Guest64(Knobs.parse("cpu.vendor=amd"), Vm::createIrqchip, code);
        open.add(g);
        g.vcpu.setCpuid(hyperV(g));
        g.apic(true);
        g.gate(VECTOR, HANDLED + 0x100);
        // lock incl HANDLED; iretq
        g.write(
                HANDLED + 0x100,
                0xf0,
                0xff,
                0x04,
                0x25,
                (int) HANDLED & 0xff,
                (int) HANDLED >> 8 & 0xff,
                4,
                0,
                0x48,
                0xcf);
        return g;
    }

    private static List<CpuidEntry> hyperV(Guest64 g) {
        List<CpuidEntry> all = new ArrayList<>();
        for (CpuidEntry e : g.kvm.supportedCpuid()) {
            if (e.function() >>> 28 != 4) {
                all.add(e);
            }
        }
        all.addAll(g.kvm.supportedHypervCpuid());
        return all;
    }

    private static void start(Guest64 g, int piece, long rax, long rcx, long rdx, long r8) {
        Regs r = new Regs();
        r.rip = Guest64.CODE + piece;
        r.rsp = Guest64.STACK;
        r.rflags = 2;
        r.rax = rax;
        r.rcx = rcx;
        r.rdx = rdx;
        r.r8 = r8;
        g.vcpu.setRegs(r);
    }

    private static long call(Guest64 g, long input, long first, long second) {
        start(g, CALL, 0, input, first, second);
        assertThat(g.run()).isInstanceOf(Exit.PortOut.class);
        return g.regs().rax;
    }

    private static Exit wrmsr(Guest64 g, int msr, long v) {
        start(g, WRITE, v & 0xffff_ffffL, msr & 0xffff_ffffL, v >>> 32, 0);
        return g.run();
    }

    private static long rdmsr(Guest64 g, int msr) {
        start(g, READ, 0, msr & 0xffff_ffffL, 0, 0);
        assertThat(g.run()).isInstanceOf(Exit.PortOut.class);
        return g.regs().rax & 0xffff_ffffL | g.regs().rdx << 32;
    }

    private static void write(Guest64 g, int msr, long v) {
        assertThat(wrmsr(g, msr, v)).as("%x", msr).isInstanceOf(Exit.PortOut.class);
    }

    private static void identify(Guest64 g) {
        assertThat(g.vcpu.setMsr(GUEST_OS_ID, 0x8100L << 48)).isTrue();
    }

    private static void synIc(Guest64 g) {
        g.vcpu.enableCap(Cap.HYPERV_SYNIC2.number(), 0, new long[4]);
    }

    @Test
    void eachHypercallAnswersByItsRules() {
        Guest64 g = guest();
        identify(g);
        long ex = 1L << 17;
        HostMemory.put64(g.hva + PAGE + 16, 1);
        long[][] table = {
            // input, first, second, result
            {0x8, 0, 0, 0},
            {0x8 | REP, 0, 0, 3},
            {0x8 | ex, 0, 0, 3},
            {0x77, 0, 0, 2},
            {0x2 | 1 << 27, PAGE, 0, 3},
            {0x2 | 1L << 44, PAGE, 0, 3},
            {0x2 | 1L << 63, PAGE, 0, 3},
            {0x2, PAGE, 0, 0},
            {0x2, Guest64.NOWHERE, 0, 3},
            {0x2 | REP, PAGE, 0, 3},
            {0x2 | FAST, 0, 1, 0},
            {0x3, PAGE, 0, 3},
            {0x3 | 5 * REP, PAGE, 0, 5 * REP},
            {0x3 | 5 * REP | 1L << 48, PAGE, 0, 3},
            {0x3 | 5 * REP | ex, PAGE, 0, 3},
            // Sparse sets: the header's words are the valid banks.
            {0x13, PAGE + 0x100, 0, 0},
            {0x13 | ex, PAGE + 0x100, 0, 3},
            {0x13 | ex, PAGE + 0x200, 0, 0},
            {0x14 | ex | 2 * REP, PAGE + 0x200, 0, 2 * REP},
            {0x13 | ex | FAST, 0, 0, 3},
            {0xb | FAST, VECTOR, 0, 0},
            {0xb | FAST, 1L << 32 | VECTOR, 0, 3},
            {0xb | FAST, 0xf, 0, 3},
            {0xb | FAST, 0x100, 0, 3},
            {0xb | FAST | REP, VECTOR, 1, 3},
            {0x15 | FAST, VECTOR, 0, 0},
            // Without a SynIC nobody could take a message.
            {0x5c, PAGE, 0, 3},
            {0x5d | FAST, 7, 0, 3},
            {0x5d | FAST, 1 << 24, 0, 3},
            {0x5d, PAGE + 4, 0, 4},
            {0x6b, 0, 0, 8},
            {0x69 | FAST, 0, 0, 5},
        };
        HostMemory.put64(g.hva + PAGE + 0x200 + 24, 1);
        HostMemory.put64(g.hva + PAGE + 0x200 + 32, 1);
        long before = g.vcpu.stats().get(VcpuStats.HYPERCALLS);
        for (long[] row : table) {
            assertThat(call(g, row[0], row[1], row[2]))
                    .as("%x %x %x", row[0], row[1], row[2])
                    .isEqualTo(row[3]);
        }
        assertThat(g.vcpu.stats().get(VcpuStats.HYPERCALLS) - before).isEqualTo(table.length);
    }

    @Test
    void withoutTheGuestsIdentityOrItsLeavesACallIsKvms() {
        Guest64 g = guest();
        assertThat(call(g, 0x8, 0, 0)).as("no identity").isEqualTo(0xffff_ffff_ffff_fc18L);
        identify(g);
        assertThat(call(g, 0x8, 0, 0)).isZero();
        List<CpuidEntry> plain = g.kvm.supportedCpuid();
        Guest64 other = new Guest64(Knobs.parse("cpu.vendor=amd"), true, 0x0f, 0x01, 0xd9, 0xe6, 1);
        open.add(other);
        other.vcpu.setCpuid(plain);
        identify(other);
        assertThat(call(other, 0x8, 0, 0)).as("KVM's leaves").isEqualTo(0xffff_ffff_ffff_fc18L);
    }

    @Test
    void enforcedLeavesCloseWhatTheyDoNotName() {
        Guest64 g = guest();
        identify(g);
        List<CpuidEntry> less = new ArrayList<>();
        for (CpuidEntry e : hyperV(g)) {
            less.add(
                    e.function() == 0x4000_0003 || e.function() == 0x4000_0004
                            ? new CpuidEntry(e.function(), 0, 0, 1 << 1, 0, 0, 0)
                            : e);
        }
        Guest64 h = new Guest64(Knobs.parse("cpu.vendor=amd"), true, 0x0f, 0x01, 0xd9, 0xe6, 1);
        open.add(h);
        h.vcpu.setCpuid(less);
        identify(h);
        h.vcpu.enableCap(Cap.HYPERV_ENFORCE_CPUID.number(), 0, new long[] {1, 0, 0, 0});
        for (long code : new long[] {0x2, 0x3 | REP, 0x8, 0xb, 0x13, 0x14 | REP, 0x15, 0x5c, 0x5d}) {
            assertThat(call(h, code, PAGE, 0)).as("%x", code).isEqualTo(6);
        }
        assertThat(h.vcpu.getMsr(VP_INDEX, new long[1])).as("the client may").isTrue();
    }

    @Test
    void theHypercallPageHoldsTheProcessorsInstruction() {
        for (String vendor : List.of("amd", "intel")) {
            Guest64 g = new Guest64(Knobs.parse("cpu.vendor=" + vendor), true, 0x90);
            open.add(g);
            assertThat(g.vcpu.setMsr(HYPERCALL, PAGE | 1)).isTrue();
            long[] v = new long[1];
            assertThat(g.vcpu.getMsr(HYPERCALL, v)).isTrue();
            assertThat(v[0]).as("no identity yet").isZero();
            identify(g);
            assertThat(g.vcpu.setMsr(HYPERCALL, PAGE | 1)).isTrue();
            assertThat((int) g.word(PAGE)).isEqualTo(vendor.equals("amd") ? 0xc3d9010f : 0xc3c1010f);
            assertThat(g.vcpu.setMsr(HYPERCALL, Guest64.NOWHERE | 1)).isFalse();
            assertThat(g.vcpu.setMsr(GUEST_OS_ID, 0)).isTrue();
            assertThat(g.vcpu.getMsr(HYPERCALL, v)).isTrue();
            assertThat(v[0]).as("the identity is gone").isEqualTo(PAGE);
        }
    }

    @Test
    void signalsAreCountedOrGoToTheClientWithMessages() {
        Guest64 g = guest();
        identify(g);
        synIc(g);
        FakeEventFd counter = new FakeEventFd(1);
        Vm.checkHypervEventFd(7, 0);
        g.vm.assignHypervEventFd(7, counter);
        assertThatThrownBy(() -> g.vm.assignHypervEventFd(7, new FakeEventFd(2)))
                .hasMessageContaining("EEXIST");
        HostMemory.put64(g.hva + PAGE, 7);
        assertThat(call(g, 0x5d | FAST, 7, 0)).isZero();
        assertThat(call(g, 0x5d, PAGE, 0)).isZero();
        assertThat(counter.count).isEqualTo(2);
        g.vm.deassignHypervEventFd(7);
        assertThatThrownBy(() -> g.vm.deassignHypervEventFd(7)).hasMessageContaining("ENOENT");

        start(g, CALL, 0, 0x5c, PAGE, 0x1234);
        assertThat(g.run()).isInstanceOf(Exit.Other.class);
        VcpuExit exit = g.vcpu.exit();
        assertThat(exit.reason).isEqualTo(VcpuExit.HYPERV);
        assertThat(exit.hypervType).isEqualTo(VcpuExit.HYPERV_HCALL);
        assertThat(exit.hypervData).startsWith(0x5c, 0, PAGE, 0x1234);
        exit.hypervData[1] = 0x13;
        assertThat(g.run()).isInstanceOf(Exit.PortOut.class);
        assertThat(g.regs().rax).isEqualTo(0x13);
        for (int bad : new int[] {2, 3, -1}) {
            assertThatThrownBy(() -> Vm.checkHypervEventFd(7, bad)).hasMessageContaining("EINVAL");
        }
        assertThatThrownBy(() -> Vm.checkHypervEventFd(1 << 24, 0)).hasMessageContaining("EINVAL");
    }

    @Test
    void aGuestsWritesToItsSynIcReachTheClient() {
        Guest64 g = guest();
        assertThat(g.vcpu.setMsr(SIMP, 1)).as("not active").isFalse();
        assertThat(g.vcpu.setMsr(SIMP, 0)).isTrue();
        synIc(g);
        start(g, WRITE, MESSAGES | 1, SIMP, 0, 0);
        assertThat(g.run()).isInstanceOf(Exit.Other.class);
        assertThat(g.vcpu.exit().hypervType).isEqualTo(VcpuExit.HYPERV_SYNIC);
        assertThat(g.vcpu.exit().hypervData).startsWith(SIMP, 1, 0, MESSAGES | 1);
        assertThat(g.run()).isInstanceOf(Exit.PortOut.class);
        assertThat(rdmsr(g, SCONTROL)).isEqualTo(1);
    }

    @Test
    void aMessageTimerFillsItsPlaceAndWaitsWhileThatIsTaken() {
        Guest64 g = guest();
        synIc(g);
        assertThat(g.vcpu.setMsr(SIMP, MESSAGES | 1)).isTrue();
        // Source 2 with a vector that ends itself.
        write(g, SINT2, VECTOR | 1 << 17);
        write(g, STIMER0_CONFIG, 2 << 16 | 1 << 3);
        write(g, STIMER0_COUNT, 1);
        sleep(g);
        long place = MESSAGES + 2 * 256;
        assertThat((int) g.word(place)).isEqualTo(0x8000_0010);
        assertThat(HostMemory.get8(g.hva + place + 4)).isEqualTo(24);
        assertThat(g.word(place + 24)).as("expiration").isEqualTo(1);
        assertThat(g.word(HANDLED)).isEqualTo(1);
        assertThat(rdmsr(g, STIMER0_CONFIG) & 1).as("one shot is over").isZero();

        // Nobody has taken the first message: the second one waits, and says so in the first.
        write(g, STIMER0_COUNT, 2);
        assertThat(HostMemory.get8(g.hva + place + 5) & 1).isEqualTo(1);
        assertThat(rdmsr(g, STIMER0_CONFIG) & 1).isEqualTo(1);
        HostMemory.put64(g.hva + place, 0);
        write(g, EOM, 0);
        sleep(g);
        assertThat(g.word(place + 24)).isEqualTo(2);
        assertThat(g.word(HANDLED)).isEqualTo(2);
    }

    /** sti; hlt until the handler has run. */
    private static void sleep(Guest64 g) {
        start(g, SLEEP, 0, 0, 0, 0);
        assertThat(g.run()).isInstanceOf(Exit.PortOut.class);
    }

    @Test
    void aDirectTimerWakesTheGuestAndAPeriodicOneComesAgain() {
        Guest64 g = guest();
        synIc(g);
        write(g, STIMER0_COUNT, 20_000);
        // Periodic, direct, enabled: 2 ms.
        write(g, STIMER0_CONFIG, 1 | 1 << 1 | VECTOR << 4 | 1 << 12);
        for (int i = 0; i < 3; i++) {
            sleep(g);
            long[] eoi = {0};
            assertThat(g.vcpu.setMsr(0x4000_0070, eoi[0]))
                    .as("end of interrupt")
                    .isTrue();
        }
        assertThat(g.word(HANDLED)).isGreaterThanOrEqualTo(3);
        assertThat(rdmsr(g, STIMER0_CONFIG) & 1).isEqualTo(1);
        write(g, STIMER0_COUNT, 0);
        assertThat(rdmsr(g, STIMER0_CONFIG) & 1).as("a count of 0 stops it").isZero();
    }

    @Test
    void aRouteToASourceRaisesItsVector() {
        Guest64 g = guest();
        synIc(g);
        g.vm.interrupts().setRouting(List.of(new GsiRoute(40, GsiRoute.HV_SINT, 0, 0, 2, 0)));
        assertThat(g.vm.interrupts().setLine(40, true)).as("masked").isEqualTo(-1);
        write(g, SINT2, VECTOR | 1 << 17);
        assertThat(g.vm.interrupts().setLine(40, true)).isEqualTo(1);
        sleep(g);
        assertThat(g.word(HANDLED)).isEqualTo(1);
        // It ended itself: another comes without an EOI.
        assertThat(g.vm.interrupts().setLine(40, true)).isEqualTo(1);
        sleep(g);
        assertThat(g.word(HANDLED)).isEqualTo(2);
        g.vm.interrupts().setRouting(List.of(new GsiRoute(40, GsiRoute.HV_SINT, 0, 9, 2, 0)));
        assertThat(g.vm.interrupts().setLine(40, true)).as("no such processor").isEqualTo(-1);
    }

    @Test
    void thePageAndTheCounterTellTheSameTime() {
        Guest64 g = guest();
        write(g, REFERENCE_TSC, PAGE | 1);
        int sequence = (int) g.word(PAGE);
        assertThat(sequence).isNotZero();
        long scale = g.word(PAGE + 8);
        long tsc = rdmsr(g, 0x10);
        long counter = rdmsr(g, TIME_REF_COUNT);
        long later = rdmsr(g, 0x10);
        assertThat(counter)
                .isBetween(
                        Math.unsignedMultiplyHigh(tsc, scale) + g.word(PAGE + 16),
                        Math.unsignedMultiplyHigh(later, scale) + g.word(PAGE + 16));
        ClockData clock = new ClockData();
        clock.clock = 1_000_000_000_000L;
        g.vm.setClock(clock);
        assertThat(rdmsr(g, TIME_REF_COUNT)).isGreaterThanOrEqualTo(10_000_000_000L);
        assertThat((int) g.word(PAGE)).isNotEqualTo(sequence);
        // Under emulation after a migration the page stays.
        write(g, TSC_EMULATION_CONTROL, 1);
        long offset = g.word(PAGE + 16);
        g.vm.setClock(new ClockData());
        rdmsr(g, TIME_REF_COUNT);
        assertThat(g.word(PAGE + 16)).isEqualTo(offset);
    }

    @Test
    void crashAndResetAreSystemEvents() {
        Guest64 g = guest();
        assertThat(wrmsr(g, CRASH_CTL, 1L << 63)).isInstanceOf(Exit.Other.class);
        assertThat(g.vcpu.exit().reason).isEqualTo(VcpuExit.SYSTEM_EVENT);
        assertThat(g.vcpu.exit().systemEventType).isEqualTo(VcpuExit.SYSTEM_EVENT_CRASH);
        assertThat(wrmsr(g, RESET, 1)).isInstanceOf(Exit.Other.class);
        assertThat(g.vcpu.exit().systemEventType).isEqualTo(VcpuExit.SYSTEM_EVENT_RESET);
        assertThat(wrmsr(g, RESET, 2)).isInstanceOf(Exit.PortOut.class);
    }

    @Test
    void theDebuggersStatusIsTheClientsAnswer() {
        Guest64 g = guest();
        write(g, SYNDBG_OPTIONS, 0);
        assertThat(wrmsr(g, SYNDBG_CONTROL, 5)).isInstanceOf(Exit.Other.class);
        assertThat(g.vcpu.exit().hypervType).isEqualTo(VcpuExit.HYPERV_SYNDBG);
        assertThat(g.vcpu.exit().hypervData).startsWith(SYNDBG_CONTROL, 5);
        g.vcpu.exit().hypervData[2] = 0x77;
        assertThat(g.run()).isInstanceOf(Exit.PortOut.class);
        assertThat(rdmsr(g, SYNDBG_CONTROL + 1)).isEqualTo(0x77);
    }

    @Test
    void theAssistPagesFirstWordIsClearedAndTheTprFollowsItsMsr() {
        Guest64 g = guest();
        HostMemory.put64(g.hva + PAGE, -1);
        write(g, VP_ASSIST_PAGE, PAGE | 1);
        assertThat(g.word(PAGE)).isEqualTo(0xffff_ffff_0000_0000L);
        assertThat(g.vcpu.setMsr(VP_ASSIST_PAGE, Guest64.NOWHERE | 1)).isFalse();
        write(g, TPR, 0x35);
        assertThat(rdmsr(g, TPR)).isEqualTo(0x35);
        Sregs s = new Sregs();
        g.vcpu.getSregs(s);
        assertThat(s.cr8).isEqualTo(3);
    }

    @Test
    void aFlushReachesTheProcessorsThatAreNamed() {
        Guest64 g = guest();
        identify(g);
        Vcpu second = g.vm.createVcpu(1);
        assertThat(second.setMsr(VP_INDEX, 70)).isTrue();
        assertThat(second.setMsr(VP_INDEX, Kvm.MAX_VCPUS)).isFalse();
        long page = PAGE + 0x300;
        HostMemory.put64(g.hva + page + 24, 2); // bank 1 alone
        HostMemory.put64(g.hva + page + 32, 1L << 6);
        assertThat(call(g, 0x13 | 1 << 17, page, 0)).isZero();
        assertThat(second.mode().test(dev.slate.kvm.mode.Request.TLB_FLUSH_GUEST))
                .isTrue();
        HostMemory.put64(g.hva + page + 32, 1L << 5);
        second.mode().check(dev.slate.kvm.mode.Request.TLB_FLUSH_GUEST);
        assertThat(call(g, 0x13 | 1 << 17, page, 0)).isZero();
        assertThat(second.mode().test(dev.slate.kvm.mode.Request.TLB_FLUSH_GUEST))
                .isFalse();
        second.close();
    }

    @Test
    void aClientRestoresWhatItRead() {
        Guest64 g = guest();
        synIc(g);
        int[] kept = {
            0x4000_0100, 0x4000_0104, 0x4000_0106, 0x4000_0108, 0x4000_00f3, 0x4000_0083, 0x4000_009f, 0x4000_00b7
        };
        for (int msr : kept) {
            assertThat(g.vcpu.setMsr(msr, 0x1_0000)).as("%x", msr).isTrue();
            long[] v = new long[1];
            assertThat(g.vcpu.getMsr(msr, v)).isTrue();
            assertThat(v[0]).as("%x", msr).isEqualTo(0x1_0000);
        }
        for (int hole : new int[] {0x4000_0004, 0x4000_0024, 0x4000_0085, 0x4000_00a0, 0x4000_00b8, 0x4000_0109}) {
            assertThat(g.vcpu.getMsr(hole, new long[1])).as("%x", hole).isFalse();
        }
    }
}
