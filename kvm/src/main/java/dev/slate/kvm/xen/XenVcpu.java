package dev.slate.kvm.xen;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Errno;
import dev.slate.kvm.clock.VmClock;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.irqchip.LocalApic;
import dev.slate.kvm.irqchip.Timers;
import dev.slate.kvm.irqchip.VcpuApic;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.pv.KvmClock;
import java.util.concurrent.atomic.AtomicLong;

/**
 * What of Xen belongs to one vCPU: its info page with the events that wait, its run states, its timer, and what it polls for.
 *
 * <p>Guarded by the vCPU's mutex, except what says otherwise.
 */
public final class XenVcpu {
    // KVM_XEN_VCPU_ATTR_TYPE_*
    private static final int VCPU_INFO = 0;
    private static final int VCPU_TIME_INFO = 1;
    private static final int RUNSTATE_ADDR = 2;
    private static final int RUNSTATE_CURRENT = 3;
    private static final int RUNSTATE_DATA = 4;
    private static final int RUNSTATE_ADJUST = 5;
    private static final int VCPU_ID = 6;
    private static final int TIMER = 7;
    private static final int UPCALL_VECTOR = 8;

    private static final int MAX_VCPUS = 1024;
    private static final int INFO_BYTES = 64;
    private static final int TIME_BYTES = 32;
    private static final int RUNSTATE_BYTES = 48;

    // struct vcpu_info: whether events wait, and in which words; of a 32-bit guest the words lie lower.
    private static final int UPCALL_PENDING = 0;
    private static final int SELECTOR = 8;
    private static final int SELECTOR_32 = 4;
    private static final int TIME = 32;

    private static final int POLLS_MANY = -1;

    private final int id;
    private final XenDomain domain;
    private final HostServices host;
    private final CpuState s;
    private final GuestMode mode;
    private final VcpuApic apic;
    private final VcpuMmu mmu;
    private final KvmClock clock;
    private final Timers timers;
    private final boolean intel;
    private final RunStates states;
    private final byte[] pending = new byte[1];

    /** Something of it is in use: there is work before an entry. */
    private volatile boolean used;

    private volatile long info = XenDomain.NOWHERE;
    private long timeInfo = XenDomain.NOWHERE;
    private int xenId;
    private volatile int upcallVector;
    /** Words whose events could not be told for want of memory. */
    private final AtomicLong untold = new AtomicLong();

    private int timerPort;
    private volatile long timerExpires;
    private volatile boolean timerDue;

    /** The port that is polled for; {@link #POLLS_MANY}; 0: none. */
    private volatile int polled;

    private volatile boolean polls;
    private volatile boolean pollOver;

    private final Timers.Timer timer = new Timers.Timer() {
        @Override
        protected long expire(long now) {
            timerDue = true;
            wake();
            return Timers.NEVER;
        }
    };

    private final Timers.Timer pollTimer = new Timers.Timer() {
        @Override
        protected long expire(long now) {
            pollOver = true;
            wake();
            return Timers.NEVER;
        }
    };

    public XenVcpu(
            int id,
            XenDomain domain,
            HostServices host,
            VmClock vmClock,
            CpuState state,
            GuestMode mode,
            VcpuApic apic,
            VcpuMmu mmu,
            KvmClock clock,
            Timers timers,
            boolean intel) {
        this.id = id;
        this.domain = domain;
        this.host = host;
        this.s = state;
        this.mode = mode;
        this.apic = apic;
        this.mmu = mmu;
        this.clock = clock;
        this.timers = timers;
        this.intel = intel;
        this.states = new RunStates(vmClock, host, mmu);
    }

    void numbered(int number) {
        xenId = number;
    }

    int id() {
        return id;
    }

    /** The VM's part. */
    public XenDomain domain() {
        return domain;
    }

    /** Whether events can reach it. From any thread. */
    boolean hasInfo() {
        return info != XenDomain.NOWHERE;
    }

    private void wake() {
        mode.request(Request.UNBLOCK);
        mode.kick();
    }

    // ------------------------------------------------------------------ attributes

    /** {@code KVM_XEN_VCPU_SET_ATTR}. @param u the union, word by word @throws dev.slate.kvm.KvmException ENOENT, EINVAL, EFAULT */
    public void setAttribute(int type, long[] u) {
        if (!used) {
            // Until now nothing could wait for it.
            apic.takeSwitchedOn();
            used = true;
        }
        switch (type) {
            case VCPU_INFO -> {
                requireOnePage(u[0], INFO_BYTES);
                info = u[0];
                clock.copyTo(0, u[0] == XenDomain.NOWHERE ? KvmClock.NOWHERE : u[0] + TIME);
                place(u[0]);
            }
            case VCPU_TIME_INFO -> {
                requireOnePage(u[0], TIME_BYTES);
                timeInfo = u[0];
                clock.copyTo(1, u[0]);
                place(u[0]);
            }
            case RUNSTATE_ADDR -> {
                requireOnePage(u[0], RUNSTATE_BYTES);
                states.gpa = u[0];
                place(u[0]);
            }
            case RUNSTATE_CURRENT -> {
                requireState(u[0]);
                states.enter((int) u[0]);
            }
            case RUNSTATE_DATA -> {
                requireState(u[0]);
                requireSum(u);
                if (states.now() < u[1]) {
                    throw Errno.EINVAL.raise();
                }
                states.state = (int) u[0];
                states.entryTime = u[1];
                System.arraycopy(u, 2, states.times, 0, RunStates.STATES);
                states.delayCountedSoFar();
            }
            case RUNSTATE_ADJUST -> adjust(u);
            case VCPU_ID -> {
                if (Integer.compareUnsigned((int) u[0], MAX_VCPUS) >= 0) {
                    throw Errno.EINVAL.raise();
                }
                xenId = (int) u[0];
            }
            case TIMER -> {
                int port = (int) u[0];
                if (port != 0 && (int) (u[0] >>> 32) != XenDomain.TWO_LEVELS) {
                    throw Errno.EINVAL.raise();
                }
                stopTimer();
                timerPort = port;
                if (port != 0 && u[1] != 0) {
                    startTimer(u[1], u[1] - states.now());
                }
            }
            case UPCALL_VECTOR -> {
                XenDomain.requireVector((int) u[0] & 0xff);
                upcallVector = (int) u[0] & 0xff;
            }
            default -> throw Errno.ENOENT.raise();
        }
    }

    /** {@code KVM_XEN_VCPU_GET_ATTR}. @throws dev.slate.kvm.KvmException ENOENT, EINVAL */
    public void getAttribute(int type, long[] u) {
        switch (type) {
            case VCPU_INFO -> u[0] = info;
            case VCPU_TIME_INFO -> u[0] = timeInfo;
            case RUNSTATE_ADDR -> {
                if (states.gpa == XenDomain.NOWHERE) {
                    throw Errno.ENOENT.raise();
                }
                u[0] = states.gpa;
            }
            case RUNSTATE_CURRENT -> u[0] = states.state;
            case RUNSTATE_DATA -> {
                u[0] = states.state;
                u[1] = states.entryTime;
                System.arraycopy(states.times, 0, u, 2, RunStates.STATES);
            }
            case RUNSTATE_ADJUST -> throw Errno.EINVAL.raise();
            case VCPU_ID -> u[0] = u[0] & ~0xffff_ffffL | xenId & 0xffff_ffffL;
            case TIMER -> {
                u[0] = timerPort & 0xffff_ffffL | (long) XenDomain.TWO_LEVELS << 32;
                u[1] = timerExpires;
            }
            case UPCALL_VECTOR -> u[0] = u[0] & ~0xffL | upcallVector;
            default -> throw Errno.ENOENT.raise();
        }
    }

    private static void requireOnePage(long gpa, int bytes) {
        if (gpa != XenDomain.NOWHERE && (gpa & 0xfff) + bytes > 4096) {
            throw Errno.EINVAL.raise();
        }
    }

    /** There must be memory. As with KVM an address where there is none stays, and memory may come there later. */
    private void place(long gpa) {
        if (gpa == XenDomain.NOWHERE) {
            return;
        }
        if (!domain.memory().there(gpa)) {
            throw Errno.EFAULT.raise();
        }
        mode.request(Request.CLOCK_UPDATE);
    }

    private static void requireState(long state) {
        if (Long.compareUnsigned(state, RunStates.OFFLINE) > 0) {
            throw Errno.EINVAL.raise();
        }
    }

    private static void requireSum(long[] u) {
        if (u[1] != u[2] + u[3] + u[4] + u[5]) {
            throw Errno.EINVAL.raise();
        }
    }

    private void adjust(long[] u) {
        if (u[0] != -1) {
            requireState(u[0]);
        }
        requireSum(u);
        if (Long.compareUnsigned(states.now(), states.entryTime + u[1]) < 0) {
            throw Errno.EINVAL.raise();
        }
        states.entryTime += u[1];
        for (int i = 0; i < RunStates.STATES; i++) {
            states.times[i] += u[2 + i];
        }
        if (u[0] != -1) {
            states.enter((int) u[0]);
        }
    }

    // ------------------------------------------------------------------ before the guest is entered

    /** KVM_RUN begins to run the guest, or it has waited: it runs now. */
    public void running() {
        if (used) {
            states.enter(RunStates.RUNNING);
            states.tell(domain.longMode());
        }
    }

    /** What waits is brought to the guest's memory, and looked at there; outside guest mode. */
    public void prepare() {
        if (!used) {
            return;
        }
        if (timerDue) {
            domain.raise(timerPort, id);
            timerExpires = 0;
            timerDue = false;
        }
        tellUntold();
        int vector = domain.upcallVector();
        boolean on = apic.takeSwitchedOn();
        boolean waits = info != XenDomain.NOWHERE
                && (vector != 0 || on)
                && mmu.read(info + UPCALL_PENDING, pending, 0, 1)
                && pending[0] != 0;
        apic.upcallVector = waits && vector != 0 ? vector : -1;
        if (waits && on) {
            // While it was off the APIC took no interrupt for them.
            interrupt();
        }
    }

    private void tellUntold() {
        long words = untold.get();
        if (words == 0 || info == XenDomain.NOWHERE) {
            return;
        }
        for (long rest = words; rest != 0; rest &= rest - 1) {
            if (!tell(Long.numberOfTrailingZeros(rest))) {
                return;
            }
        }
        untold.accumulateAndGet(words, (now, told) -> now & ~told);
        interrupt();
    }

    // ------------------------------------------------------------------ events, from any thread

    /** An event stands in a word of the shared info page. */
    void select(int word) {
        long gpa = info;
        if (gpa == XenDomain.NOWHERE) {
            return;
        }
        XenMemory m = domain.memory();
        int was = m.setBit(gpa + selector(), word);
        if (was == 1) {
            return;
        }
        if (was == XenMemory.NOWHERE || !m.raiseByte(gpa + UPCALL_PENDING)) {
            untold.accumulateAndGet(1L << word, (before, bit) -> before | bit);
            wake();
        } else if (!interrupt()) {
            wake();
        }
    }

    private int selector() {
        return domain.longMode() ? SELECTOR : SELECTOR_32;
    }

    private boolean tell(int word) {
        XenMemory m = domain.memory();
        return m.setBit(info + selector(), word) != XenMemory.NOWHERE && m.raiseByte(info + UPCALL_PENDING);
    }

    /** Its own vector, where it has one. */
    private boolean interrupt() {
        LocalApic a = apic.lapic();
        int vector = upcallVector;
        if (vector == 0 || a == null) {
            return false;
        }
        a.request(vector);
        return true;
    }

    /** A port was raised, masked or not: who polls for it goes on. */
    void polledPortRaised(int port) {
        int p = polled;
        if (polls && (p == port || p == POLLS_MANY)) {
            pollOver = true;
            wake();
        }
    }

    // ------------------------------------------------------------------ timer and polling

    /** Whether the guest may use the timer: the client has given it a port. */
    public boolean hasTimer() {
        return timerPort != 0;
    }

    /** What Xen calls it. */
    public int xenId() {
        return xenId;
    }

    /** The VM's clock. */
    public long now() {
        return states.now();
    }

    /** @param at in the VM's clock @param left until then, in nanoseconds */
    public void startTimer(long at, long left) {
        timerDue = false;
        timerExpires = at;
        if (left <= 0) {
            timers.cancel(timer);
            timerDue = true;
            wake();
        } else {
            timers.arm(timer, timers.now() + Math.min(left, Long.MAX_VALUE >> 1));
        }
    }

    public void stopTimer() {
        timers.cancel(timer);
        timerExpires = 0;
        timerDue = false;
    }

    /** Whether SCHEDOP_poll is done here. */
    public boolean pollsHere() {
        return s.mode64() && apic.inKernel() && domain.sendsEvents();
    }

    /** Whether a port can be polled for. */
    public boolean isPort(int port) {
        return Integer.compareUnsigned(port, domain.maxPort()) < 0;
    }

    /**
     * SCHEDOP_poll, with ports for which {@link #isPort}.
     *
     * @param timeout nanoseconds; 0: for ever
     * @return whether it has to wait
     */
    public boolean poll(int[] ports, int count, long timeout) {
        pollOver = false;
        polled = count == 1 ? ports[0] : POLLS_MANY;
        polls = true;
        if (domain.anyPending(ports, count)) {
            endPoll();
            return false;
        }
        if (timeout != 0) {
            timers.arm(
                    pollTimer,
                    timers.now() + (timeout < 0 ? Long.MAX_VALUE >> 1 : Math.min(timeout, Long.MAX_VALUE >> 1)));
        }
        return true;
    }

    /** Whether it waits in SCHEDOP_poll. */
    public boolean polls() {
        return polls;
    }

    /** Whether a waiting vCPU has something to do: the end of its poll, or of its timer. From its thread. */
    public boolean wakes() {
        return pollOver || timerDue;
    }

    /** It waits no more. */
    public void endPoll() {
        if (polls) {
            timers.cancel(pollTimer);
            polls = false;
            polled = 0;
            pollOver = false;
        }
    }

    // ------------------------------------------------------------------ the hypercall page

    /** The guest, or the client, asks for a page of hypercalls: 0, EINVAL (refused), or EFAULT (the client's page is not there). */
    public int writeHypercallPage(long value) {
        return domain.writeHypercallPage(this, value, (s.efer & CpuState.EFER_LMA) != 0, intel);
    }

    /** A page of the client's memory; false: there is none. */
    boolean readClient(long hva, byte[] page) {
        boolean crosses = (hva & 0xfff) != 0;
        if (hva < 0
                || host.populate(hva & ~0xfffL, 4096, false) != 0
                || crosses && host.populate((hva | 0xfff) + 1, 4096, false) != 0) {
            return false;
        }
        HostMemory.copyOut(hva, page, 0, page.length);
        return true;
    }

    boolean write(long gpa, byte[] page) {
        return mmu.write(gpa, page, 0, page.length);
    }

    /** The vCPU is gone. */
    public void close() {
        timers.cancel(timer);
        timers.cancel(pollTimer);
    }
}
