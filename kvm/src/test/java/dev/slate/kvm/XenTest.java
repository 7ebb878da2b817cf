package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.host.EventFd;
import dev.slate.kvm.host.FakeEventFd;
import dev.slate.kvm.mode.GuestMode;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Xen's interface: the hypercall page, events with their bits, run states, the timer, polling, and what goes to the client. */
class XenTest {
    private static final int INTERCEPT = 1 << 1;
    private static final int SENDS = 1 << 5;
    private static final int MSR = 0x4000_0000;
    private static final int TWO_LEVELS = -1;

    // KVM_XEN_ATTR_TYPE_*, KVM_XEN_VCPU_ATTR_TYPE_*
    private static final int LONG_MODE = 0;
    private static final int SHARED_INFO = 1;
    private static final int UPCALL_VECTOR = 2;
    private static final int EVTCHN = 3;
    private static final int VERSION = 4;
    private static final int VCPU_INFO = 0;
    private static final int TIME_INFO = 1;
    private static final int RUNSTATE_ADDR = 2;
    private static final int RUNSTATE_CURRENT = 3;
    private static final int RUNSTATE_DATA = 4;
    private static final int RUNSTATE_ADJUST = 5;
    private static final int TIMER = 7;
    private static final int OWN_VECTOR = 8;

    private static final int SET_TIMER = 15;
    private static final int XEN_VERSION = 17;
    private static final int SCHED = 29;
    private static final int EVENT_CHANNEL = 32;

    private static final long PAGE = Guest64.DATA + 0x1000;
    private static final long SHARED = Guest64.DATA + 0x2000;
    private static final long INFO = Guest64.DATA + 0x3000;
    private static final long STATES = Guest64.DATA + 0x4008;
    private static final long HANDLED = Guest64.DATA + 0x600;
    private static final int VECTOR = 0x51;

    private static final int CALL = 0;
    private static final int SLEEP = Guest64.PIECE;
    private static final int WRITE = 2 * Guest64.PIECE;

    private static EventFd none(int fd) {
        throw new AssertionError("no descriptor is needed: " + fd);
    }

    private final List<Guest64> open = new CopyOnWriteArrayList<>();

    /** A run that hangs ends with EINTR. */
    private final Thread guard = new Thread(this::endHangs);

    private void endHangs() {
        try {
            Thread.sleep(20_000);
            open.forEach(g -> g.vcpu.mode().signal());
        } catch (InterruptedException e) {
            // The test has ended.
        }
    }

    @BeforeEach
    void watch() {
        guard.start();
    }

    @AfterEach
    void close() throws InterruptedException {
        guard.interrupt();
        guard.join();
        open.forEach(Guest64::close);
    }

    /** vmmcall, sti and hlt, or wrmsr, each with an exit behind; a handler that clears the flag of events, counts and returns. */
    private Guest64 guest(int flags) {
        int[] code = Guest64.pieces(
                new int[] {0x0f, 0x01, 0xd9, 0xe6, 1}, new int[] {0xfb, 0xf4, 0xe6, 1}, new int[] {0x0f, 0x30, 0xe6, 1
                });
        Guest64 g = new Guest64(Knobs.parse("cpu.vendor=amd"), Vm::createIrqchip, code);
        open.add(g);
        g.apic(true);
        g.gate(VECTOR, HANDLED + 0x100);
        // movb $0,INFO; movq $0,INFO+8; lock incl HANDLED; iretq
        g.write(HANDLED + 0x100, 0xc6, 0x04, 0x25, 0, 0x30, 4, 0, 0);
        g.write(HANDLED + 0x108, 0x48, 0xc7, 0x04, 0x25, 8, 0x30, 4, 0, 0, 0, 0, 0);
        g.write(HANDLED + 0x114, 0xf0, 0xff, 0x04, 0x25, 0, 6, 4, 0, 0x48, 0xcf);
        g.vm.xen().configure(flags, MSR, 0, 0, 0, 0);
        set(g, LONG_MODE, 1);
        return g;
    }

    /** With shared info, an info page and a vector. */
    private Guest64 withEvents() {
        Guest64 g = guest(INTERCEPT | SENDS);
        set(g, SHARED_INFO, SHARED >> 12);
        g.vcpu.setXenAttribute(VCPU_INFO, u(INFO));
        set(g, UPCALL_VECTOR, VECTOR);
        return g;
    }

    private static long[] u(long... words) {
        return java.util.Arrays.copyOf(words, 8);
    }

    private static void set(Guest64 g, int type, long value) {
        g.vm.xen().setAttribute(type, u(value), XenTest::none);
    }

    private static long[] channel(int port, int type, int flags, int to, int vcpu, int priority) {
        return u(
                port & 0xffff_ffffL | (long) type << 32,
                flags & 0xffff_ffffL | (long) to << 32,
                vcpu & 0xffff_ffffL | (long) priority << 32);
    }

    private static void start(Guest64 g, int piece, long rax, long rdi, long rsi) {
        Regs r = new Regs();
        r.rip = Guest64.CODE + piece;
        r.rsp = Guest64.STACK;
        r.rflags = 2;
        r.rax = rax;
        r.rdi = rdi;
        r.rsi = rsi;
        g.vcpu.setRegs(r);
    }

    private static long call(Guest64 g, long rax, long rdi, long rsi) {
        start(g, CALL, rax, rdi, rsi);
        assertThat(g.run()).as("%d %x %x", rax, rdi, rsi).isInstanceOf(Exit.PortOut.class);
        return g.regs().rax;
    }

    private static void sleep(Guest64 g) {
        start(g, SLEEP, 0, 0, 0);
        assertThat(g.run()).isInstanceOf(Exit.PortOut.class);
    }

    @Test
    void aHypercallThatIsNotDoneHereIsTheClients() {
        Guest64 g = guest(INTERCEPT);
        for (long nr : new long[] {0, 1, SET_TIMER, XEN_VERSION, 24, EVENT_CHANNEL, 41, -1 >>> 1}) {
            start(g, CALL, nr, 0x11, 0x22);
            assertThat(g.run()).isInstanceOf(Exit.Other.class);
            VcpuExit exit = g.vcpu.exit();
            assertThat(exit.reason).isEqualTo(VcpuExit.XEN);
            assertThat(exit.xenInput).isEqualTo(nr);
            assertThat(exit.xenLongmode).isTrue();
            assertThat(exit.xenParams).startsWith(0x11, 0x22);
            exit.xenResult = 0x77;
            assertThat(g.run()).isInstanceOf(Exit.PortOut.class);
            assertThat(g.regs().rax).isEqualTo(0x77);
        }
        assertThat(call(g, SCHED, 0, 0)).as("yield").isZero();
        set(g, VERSION, 0x4_0011);
        assertThat(call(g, XEN_VERSION, 0, 0)).isEqualTo(0x4_0011);
    }

    @Test
    void theHypercallPageHoldsACallEvery32Bytes() {
        Guest64 g = guest(INTERCEPT);
        assertThat(g.vcpu.setMsr(MSR, PAGE)).isTrue();
        for (int i : new int[] {0, 1, 127}) {
            assertThat(g.word(PAGE + 32 * i)).as("entry " + i).isEqualTo(0xd901_0f00_0000_00b8L | (long) i << 8);
            assertThat(g.word(PAGE + 32 * i + 8)).isEqualTo(0xcccc_cccc_cccc_ccc3L);
        }
        assertThat(g.vcpu.setMsr(MSR, PAGE | 1)).as("there is one page").isFalse();
        assertThat(g.vcpu.setMsr(MSR, Guest64.NOWHERE)).isFalse();
    }

    @Test
    void withoutInterceptionThePagesAreTheClients() {
        Guest64 g = guest(0);
        long blob = g.host.allocate(8192, 4096);
        HostMemory.put64(blob + 4096, 0x1122_3344_5566_7788L);
        g.vm.xen().configure(0, MSR, 0, blob, 0, 2);
        assertThat(g.vcpu.setMsr(MSR, PAGE | 1)).isTrue();
        assertThat(g.word(PAGE)).isEqualTo(0x1122_3344_5566_7788L);
        assertThat(g.vcpu.setMsr(MSR, PAGE | 2)).isFalse();
        for (int bad : new int[] {1, 1 << 2, 1 << 6, -1}) {
            assertThatThrownBy(() -> g.vm.xen().configure(bad, 0, 0, 0, 0, 0)).hasMessageContaining("EINVAL");
        }
        assertThatThrownBy(() -> g.vm.xen().configure(INTERCEPT, MSR, blob, 0, 0, 0))
                .hasMessageContaining("EINVAL");
    }

    @Test
    void anEventSetsItsBitsAndComesByTheVector() {
        Guest64 g = withEvents();
        assertThat((int) g.word(SHARED + 0xc00) & 1).as("the wall clock stands").isZero();
        assertThat((int) g.word(SHARED + 0xc04)).isNotZero();
        g.vm.xen().send(70, 0, TWO_LEVELS);
        assertThat(g.word(SHARED + 0x808)).isEqualTo(1L << 6);
        assertThat(g.word(INFO + 8)).isEqualTo(2);
        assertThat(HostMemory.get8(g.hva + INFO)).isEqualTo(1);
        sleep(g);
        assertThat(g.word(HANDLED)).isEqualTo(1);
        // Still pending in the shared page: nobody is told again.
        g.vm.xen().send(70, 0, TWO_LEVELS);
        assertThat(HostMemory.get8(g.hva + INFO)).isZero();
        // Masked: the bit alone.
        HostMemory.put64(g.hva + SHARED + 0xa00, 1L << 9);
        g.vm.xen().send(9, 0, TWO_LEVELS);
        assertThat(g.word(SHARED + 0x800)).isEqualTo(1L << 9);
        assertThat(HostMemory.get8(g.hva + INFO)).isZero();
        // A vector of the vCPU's own is an interrupt of its APIC.
        set(g, UPCALL_VECTOR, 0);
        g.vcpu.setXenAttribute(OWN_VECTOR, u(VECTOR));
        g.vm.xen().send(71, 0, TWO_LEVELS);
        sleep(g);
        assertThat(g.word(HANDLED)).isEqualTo(2);
    }

    @Test
    void a32BitGuestsBitsLieCloser() {
        Guest64 g = withEvents();
        set(g, LONG_MODE, 0);
        HostMemory.put64(g.hva + SHARED + 0x880, 1L << 33);
        g.vm.xen().send(40, 0, TWO_LEVELS);
        assertThat(g.word(SHARED + 0x800)).isEqualTo(1L << 40);
        assertThat(HostMemory.get32(g.hva + INFO + 4)).isEqualTo(2);
        g.vm.xen().send(33, 0, TWO_LEVELS);
        assertThat(HostMemory.get32(g.hva + INFO + 4)).as("masked").isEqualTo(2);
        assertThatThrownBy(() -> g.vm.xen().send(1024, 0, TWO_LEVELS)).hasMessageContaining("EINVAL");
    }

    @Test
    void whatIsNoEventIsRefused() {
        Guest64 g = withEvents();
        int[][] bad = {{0, 0, TWO_LEVELS}, {4096, 0, TWO_LEVELS}, {-1, 0, TWO_LEVELS}, {5, 0, 0}, {5, 7, TWO_LEVELS}};
        for (int[] row : bad) {
            assertThatThrownBy(() -> g.vm.xen().send(row[0], row[1], row[2])).hasMessageContaining("EINVAL");
        }
        set(g, SHARED_INFO, -1);
        assertThatThrownBy(() -> g.vm.xen().send(5, 0, TWO_LEVELS)).hasMessageContaining("EFAULT");
        assertThatThrownBy(() -> set(g, UPCALL_VECTOR, 15)).hasMessageContaining("EINVAL");
        assertThatThrownBy(() -> set(g, 5, 0)).hasMessageContaining("ENOENT");
        assertThatThrownBy(() -> set(g, SHARED_INFO, Guest64.NOWHERE >> 12)).hasMessageContaining("EFAULT");
        assertThatThrownBy(() -> g.vcpu.setXenAttribute(VCPU_INFO, u(INFO + 4096 - 32)))
                .hasMessageContaining("EINVAL");
        assertThatThrownBy(() -> g.vcpu.setXenAttribute(VCPU_INFO, u(Guest64.NOWHERE)))
                .hasMessageContaining("EFAULT");
        assertThatThrownBy(() -> g.vcpu.setXenAttribute(9, u())).hasMessageContaining("ENOENT");
    }

    @Test
    void aGuestSendsToItselfAndToACounter() {
        Guest64 g = withEvents();
        Xen xen = g.vm.xen();
        FakeEventFd counter = new FakeEventFd(1);
        xen.setAttribute(EVTCHN, channel(127, 2, 0, 15, 1, TWO_LEVELS), XenTest::none);
        // Update: the vCPU alone may change.
        assertThatThrownBy(() -> xen.setAttribute(EVTCHN, channel(127, 2, 2, 16, 0, TWO_LEVELS), XenTest::none))
                .hasMessageContaining("EINVAL");
        assertThatThrownBy(() -> xen.setAttribute(EVTCHN, channel(126, 2, 2, 15, 0, TWO_LEVELS), XenTest::none))
                .hasMessageContaining("ENOENT");
        xen.setAttribute(EVTCHN, channel(127, 2, 2, 15, 0, TWO_LEVELS), XenTest::none);
        xen.setAttribute(EVTCHN, channel(9, 2, 0, 0, 42, 0), fd -> {
            assertThat(fd).isEqualTo(42);
            return counter;
        });
        assertThatThrownBy(() -> xen.setAttribute(EVTCHN, channel(127, 5, 0, 127, 0, TWO_LEVELS), XenTest::none))
                .hasMessageContaining("EEXIST");
        assertThatThrownBy(() -> xen.setAttribute(EVTCHN, channel(8, 5, 0, 7, 0, TWO_LEVELS), XenTest::none))
                .as("an IPI comes back to its own port")
                .hasMessageContaining("EINVAL");
        HostMemory.put32(g.hva + PAGE, 127);
        assertThat(call(g, EVENT_CHANNEL, 4, PAGE)).isZero();
        assertThat(g.word(SHARED + 0x800)).isEqualTo(1L << 15);
        HostMemory.put32(g.hva + PAGE, 9);
        assertThat(call(g, EVENT_CHANNEL, 4, PAGE)).isZero();
        assertThat(counter.count).isEqualTo(1);
        assertThat(call(g, EVENT_CHANNEL, 4, 0x5000_0000L)).as("no memory").isEqualTo(-14);
        xen.setAttribute(EVTCHN, channel(9, 0, 1, 0, 0, 0), XenTest::none);
        assertThat(counter.closed).isTrue();
        start(g, CALL, EVENT_CHANNEL, 4, PAGE);
        assertThat(g.run()).as("nobody's port is the client's").isInstanceOf(Exit.Other.class);
    }

    @Test
    void aRouteLeadsToAPort() {
        Guest64 g = withEvents();
        g.vm.interrupts().setRouting(List.of(new GsiRoute(32, GsiRoute.XEN_EVTCHN, 0, 15, 0, TWO_LEVELS)));
        assertThat(g.vm.interrupts().setLine(32, true)).isEqualTo(1);
        assertThat(g.vm.interrupts().setLine(32, true)).as("raised before").isZero();
        assertThat(g.word(SHARED + 0x800)).isEqualTo(1L << 15);
        assertThatThrownBy(
                        () -> g.vm.interrupts().setRouting(List.of(new GsiRoute(32, GsiRoute.XEN_EVTCHN, 0, 15, 0, 0))))
                .hasMessageContaining("EINVAL");
    }

    @Test
    void theTimerRaisesItsPortAndAPollEnds() {
        Guest64 g = withEvents();
        HostMemory.put64(g.hva + SHARED + 0xa00, -1);
        g.vcpu.setXenAttribute(TIMER, u(13 | (long) TWO_LEVELS << 32, 0));
        ClockData clock = new ClockData();
        g.vm.getClock(clock);
        assertThat(call(g, SET_TIMER, clock.clock + 5_000_000, 0)).isZero();
        // struct sched_poll, and the port behind it
        HostMemory.put64(g.hva + PAGE, PAGE + 24);
        HostMemory.put64(g.hva + PAGE + 8, 1);
        HostMemory.put64(g.hva + PAGE + 16, 0);
        HostMemory.put32(g.hva + PAGE + 24, 13);
        assertThat(call(g, SCHED, 3, PAGE)).isZero();
        assertThat(g.word(SHARED + 0x800)).isEqualTo(1L << 13);
        assertThat(call(g, SCHED, 3, PAGE)).as("pending already").isZero();
        long[] timer = u();
        g.vcpu.getXenAttribute(TIMER, timer);
        assertThat(timer[1]).as("expired").isZero();
        // Another port, and a time limit.
        HostMemory.put32(g.hva + PAGE + 24, 14);
        HostMemory.put64(g.hva + PAGE + 16, 3_000_000);
        assertThat(call(g, SCHED, 3, PAGE)).isZero();
        HostMemory.put32(g.hva + PAGE + 24, 4096);
        assertThat(call(g, SCHED, 3, PAGE)).isEqualTo(-22);
        HostMemory.put32(g.hva + PAGE + 8, 129);
        assertThat(call(g, SCHED, 3, PAGE)).isEqualTo(-22);
    }

    @Test
    void runStatesAddUpWhereverTheyAreSet() {
        Guest64 g = guest(INTERCEPT);
        assertThatThrownBy(() -> g.vcpu.getXenAttribute(RUNSTATE_ADDR, u())).hasMessageContaining("ENOENT");
        g.vcpu.setXenAttribute(RUNSTATE_ADDR, u(STATES));
        assertThatThrownBy(() -> g.vcpu.setXenAttribute(RUNSTATE_CURRENT, u(4))).hasMessageContaining("EINVAL");
        assertThatThrownBy(() -> g.vcpu.setXenAttribute(RUNSTATE_DATA, u(0, 5, 1, 1, 1, 1)))
                .hasMessageContaining("EINVAL");
        assertThatThrownBy(() -> g.vcpu.setXenAttribute(RUNSTATE_DATA, u(0, Long.MAX_VALUE, Long.MAX_VALUE, 0, 0, 0)))
                .hasMessageContaining("EINVAL");
        g.vcpu.setXenAttribute(RUNSTATE_DATA, u(0, 100, 10, 20, 30, 40));
        long[] got = u();
        g.vcpu.getXenAttribute(RUNSTATE_DATA, got);
        assertThat(got).startsWith(0, 100, 10, 20, 30, 40);
        g.vcpu.setXenAttribute(RUNSTATE_ADJUST, u(-1, 0, 0, -5, 2, 3));
        assertThat(call(g, SCHED, 0, 0)).isZero();
        assertThat((int) g.word(STATES)).as("it runs").isZero();
        assertThat(g.word(STATES + 32)).as("blocked").isEqualTo(32);
        assertThat(g.word(STATES + 40)).as("offline").isEqualTo(43);
        long sum = 0;
        for (int i = 2; i < 6; i++) {
            sum += g.word(STATES + 8 * i);
        }
        assertThat(g.word(STATES + 8)).as("entered at").isEqualTo(sum);
        assertThatThrownBy(() -> g.vcpu.getXenAttribute(RUNSTATE_ADJUST, u())).hasMessageContaining("EINVAL");
    }

    @Test
    void anEventThatComesBetweenTheLookAndTheSleepWakesTheGuest() {
        Guest64 g = guest(0);
        g.vm.xen().configure(0, 0, 0, 0, 0, 0);
        set(g, SHARED_INFO, SHARED >> 12);
        g.vcpu.setXenAttribute(VCPU_INFO, u(INFO));
        set(g, UPCALL_VECTOR, VECTOR);
        // On its way into HLT the vCPU looks at its info page, then wants to write to its steal-time page.
        assertThat(g.vcpu.setMsr(0x4b564d03, PAGE | 1)).isTrue();
        g.host.refused = g.hva + PAGE;
        g.vm.hostInvalidateBegin(g.hva, g.hva + PAGE);
        g.vm.hostInvalidateEnd(g.hva, g.hva + PAGE);
        int[] looks = {0};
        g.host.onPopulate = () -> {
            if (g.vcpu.mode().mpState == MpState.HALTED && ++looks[0] == 1) {
                g.vm.xen().send(70, 0, TWO_LEVELS);
            }
        };
        sleep(g);
        assertThat(looks[0]).isPositive();
        assertThat(g.word(HANDLED)).isEqualTo(1);
    }

    @Test
    void anEventEndsAHltThatIsNoExit() throws InterruptedException {
        Guest64 g = withEvents();
        g.vm.enableCap(Cap.X86_DISABLE_EXITS.number(), 0, new long[] {Kvm.DISABLE_EXITS_HLT, 0, 0, 0});
        Thread sender = new Thread(() -> {
            while (g.vcpu.mode().mpState != GuestMode.HALTED_INSIDE) {
                Thread.onSpinWait();
            }
            g.vm.xen().send(70, 0, TWO_LEVELS);
        });
        sender.start();
        sleep(g);
        sender.join();
        assertThat(g.word(HANDLED)).isEqualTo(1);
    }

    @Test
    void aPollEndsWhenItsPortIsRaisedWhetherThatIsMaskedOrNot() throws InterruptedException {
        for (long masks : new long[] {-1, 0}) {
            Guest64 g = withEvents();
            HostMemory.put64(g.hva + SHARED + 0xa00, masks);
            HostMemory.put64(g.hva + PAGE, PAGE + 24);
            HostMemory.put64(g.hva + PAGE + 8, 1);
            HostMemory.put64(g.hva + PAGE + 16, 0);
            HostMemory.put32(g.hva + PAGE + 24, 13);
            Thread sender = new Thread(() -> {
                while (g.vcpu.mode().mpState != MpState.HALTED) {
                    Thread.onSpinWait();
                }
                g.vm.xen().send(13, 0, TWO_LEVELS);
            });
            sender.start();
            // With interrupts off.
            assertThat(call(g, SCHED, 3, PAGE)).isZero();
            sender.join();
        }
    }

    @Test
    void anEventThatWaitsComesWhenTheApicIsSwitchedOn() {
        Guest64 g = guest(INTERCEPT | SENDS);
        set(g, SHARED_INFO, SHARED >> 12);
        g.vcpu.setXenAttribute(VCPU_INFO, u(INFO));
        g.vcpu.setXenAttribute(OWN_VECTOR, u(VECTOR));
        g.apic(false);
        g.vm.xen().send(70, 0, TWO_LEVELS);
        assertThat(call(g, SCHED, 0, 0)).isZero();
        g.apic(true);
        sleep(g);
        assertThat(g.word(HANDLED)).isEqualTo(1);
        // Nothing waits now.
        g.apic(true);
        assertThat(call(g, SCHED, 0, 0)).isZero();
        assertThat(g.vcpu.getMpState()).isEqualTo(MpState.RUNNABLE);
        byte[] apic = new byte[1024];
        g.vcpu.getLapic(apic);
        assertThat(apic[0x220] & 1 << (VECTOR & 7)).as("requested").isZero();
    }

    @Test
    void withXenTheStealTimeIsInTheRunStatesAlone() {
        Guest64 g = guest(INTERCEPT);
        g.vcpu.setXenAttribute(RUNSTATE_ADDR, u(STATES));
        assertThat(g.vcpu.setMsr(0x4b564d03, PAGE | 1)).isTrue();
        int version = HostMemory.get32(g.hva + PAGE + 8);
        assertThat(call(g, SCHED, 0, 0)).isZero();
        assertThat(HostMemory.get32(g.hva + PAGE + 8)).as("version").isEqualTo(version);
        assertThat(HostMemory.get8(g.hva + PAGE + 16)).as("out").isZero();
        assertThat(g.word(STATES + 8)).as("in the run states").isNotZero();
        g.vm.xen().configure(0, 0, 0, 0, 0, 0);
        call(g, SCHED, 0, 0);
        assertThat(HostMemory.get32(g.hva + PAGE + 8))
                .as("version, without Xen")
                .isGreaterThan(version);
        assertThat(HostMemory.get8(g.hva + PAGE + 16)).as("without Xen").isEqualTo((byte) 1);
    }

    @Test
    void aPageOfTheClientsThatIsNotThereIsTheClientsFault() {
        Guest64 g = guest(0);
        g.vm.xen().configure(0, MSR, 0, 0x7000_0000_0000L, 0, 2);
        assertThat(g.vcpu.setMsr(MSR, PAGE)).isFalse();
        Regs r = new Regs();
        r.rip = Guest64.CODE + WRITE;
        r.rsp = Guest64.STACK;
        r.rflags = 2;
        r.rax = PAGE;
        r.rcx = MSR;
        g.vcpu.setRegs(r);
        assertThat(g.vcpu.run(false)).isEqualTo(Errno.EFAULT.number());
        assertThat(g.regs().rip).isEqualTo(r.rip);
        // Whoever wants to hear of refused MSRs hears of it.
        g.vm.enableCap(Cap.X86_USER_SPACE_MSR.number(), 0, new long[] {VcpuExit.MSR_EXIT_REASON_INVAL, 0, 0, 0});
        assertThat(g.run()).isInstanceOf(Exit.WriteMsr.class);
    }

    @Test
    void anAddressThatIsRefusedChangesNothing() {
        Guest64 g = withEvents();
        for (int type : new int[] {VCPU_INFO, TIME_INFO, RUNSTATE_ADDR}) {
            g.vcpu.setXenAttribute(type, u(INFO));
            assertThatThrownBy(() -> g.vcpu.setXenAttribute(type, u(INFO + 4096 - 16)))
                    .hasMessageContaining("EINVAL");
            long[] got = u();
            g.vcpu.getXenAttribute(type, got);
            assertThat(got[0]).as("type " + type).isEqualTo(INFO);
        }
        assertThatThrownBy(() -> set(g, SHARED_INFO, 1L << 52 | SHARED >> 12)).hasMessageContaining("EFAULT");
        long[] got = u();
        g.vm.xen().getAttribute(SHARED_INFO, got);
        assertThat(got[0]).isEqualTo(SHARED >> 12);
    }

    @Test
    void theTimeStandsInBothPlaces() {
        Guest64 g = withEvents();
        g.vcpu.setXenAttribute(TIME_INFO, u(PAGE + 0x40));
        call(g, SCHED, 0, 0);
        for (long page : new long[] {INFO + 32, PAGE + 0x40}) {
            assertThat((int) g.word(page)).as("version").isNotZero();
            assertThat((int) g.word(page) & 1).isZero();
            assertThat((int) g.word(page + 24)).as("multiplier").isNotZero();
        }
        long[] got = u();
        g.vcpu.getXenAttribute(TIME_INFO, got);
        assertThat(got[0]).isEqualTo(PAGE + 0x40);
    }
}
