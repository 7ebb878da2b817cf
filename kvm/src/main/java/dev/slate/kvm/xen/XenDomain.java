package dev.slate.kvm.xen;

import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.Errno;
import dev.slate.kvm.KvmException;
import dev.slate.kvm.clock.VmClock;
import dev.slate.kvm.host.EventFd;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.irqchip.SyntheticSources;
import dev.slate.kvm.mmu.MmuContext;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.setting.VmSettings;
import java.time.Instant;
import java.util.Arrays;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;

/**
 * What of Xen a VM has as a whole: its shared info page, its event channels, and the client's choices.
 *
 * <p>Thread-safe; its lock guards the attributes, and the memory's is taken inside it.
 */
public final class XenDomain implements SyntheticSources.Channels {
    /** {@code KVM_XEN_HVM_CONFIG_*}: everything but what KVM 6.1 has not either. */
    public static final int FEATURES = 0x3f;

    /** The client lets the hypervisor take hypercalls, and makes no page for them itself. */
    static final int INTERCEPT_HYPERCALLS = 1 << 1;

    static final int SENDS_EVENTS = 1 << 5;

    /** Instead of an address. */
    static final long NOWHERE = -1;

    // KVM_XEN_ATTR_TYPE_*
    private static final int LONG_MODE = 0;
    private static final int SHARED_INFO = 1;
    private static final int UPCALL_VECTOR = 2;
    private static final int EVENT_CHANNEL = 3;
    private static final int XEN_VERSION = 4;

    // KVM_XEN_EVTCHN_*
    private static final int DEASSIGN = 1;
    private static final int UPDATE = 2;
    private static final int RESET = 4;

    // EVTCHNSTAT_*
    private static final int INTERDOMAIN = 2;
    private static final int IPI = 5;

    // shared_info of a 64-bit and of a 32-bit guest.
    private static final int PENDING = 0x800;
    private static final int MASK = 0xa00;
    private static final int MASK_32 = 0x880;
    private static final int WALL_CLOCK = 0xc00;
    private static final int WALL_CLOCK_32 = 0x900;
    private static final int SECONDS_HIGH = 0xc0c;
    private static final int SECONDS_HIGH_32 = 0x924;
    private static final int PORTS = 4096;
    private static final int PORTS_32 = 1024;

    /** The only kind of priority there is: two levels of bits. */
    static final int TWO_LEVELS = -1;

    static final int LOWEST_VECTOR = 0x10;
    private static final long NANOS = 1_000_000_000L;

    private final HostServices host;
    private final MmuContext context;
    private final VmClock clock;
    private final VmSettings settings;
    private final EventPorts ports = new EventPorts();
    private volatile XenVcpu[] vcpus = {};
    private @Nullable XenMemory memory;

    private volatile int flags;
    private volatile boolean longMode;
    private volatile long sharedInfo = NOWHERE;
    private volatile int upcallVector;
    private volatile int version;
    private long blob32;
    private long blob64;
    private int blobPages32;
    private int blobPages64;

    public XenDomain(HostServices host, MmuContext context, VmClock clock, VmSettings settings) {
        this.host = host;
        this.context = context;
        this.clock = clock;
        this.settings = settings;
    }

    /** A vCPU's part; it gets the next number. */
    public synchronized void add(XenVcpu vcpu) {
        XenVcpu[] all = vcpus;
        vcpu.numbered(all.length);
        XenVcpu[] next = Arrays.copyOf(all, all.length + 1);
        next[all.length] = vcpu;
        vcpus = next;
    }

    private @Nullable XenVcpu vcpu(int id) {
        for (XenVcpu v : vcpus) {
            if (v.id() == id) {
                return v;
            }
        }
        return null;
    }

    synchronized XenMemory memory() {
        XenMemory m = memory;
        if (m == null) {
            m = new XenMemory(host, context);
            memory = m;
        }
        return m;
    }

    boolean longMode() {
        return longMode;
    }

    /** The vector of events on every vCPU that has none of its own; 0: none. */
    int upcallVector() {
        return upcallVector;
    }

    /** What XENVER_version answers; 0: the client does. */
    public int version() {
        return version;
    }

    boolean sendsEvents() {
        return (flags & SENDS_EVENTS) != 0;
    }

    /** Ports are below this. */
    int maxPort() {
        return longMode ? PORTS : PORTS_32;
    }

    // ------------------------------------------------------------------ what the client chooses

    /**
     * {@code KVM_XEN_HVM_CONFIG}.
     *
     * @param msr by which the guest asks for its hypercall page; 0: none
     * @param blob32 where the client has pages for 32-bit guests, {@code pages32} of them; 0 when hypercalls are intercepted
     * @throws dev.slate.kvm.KvmException EINVAL
     */
    public synchronized void configure(int newFlags, int msr, long blob32, long blob64, int pages32, int pages64) {
        boolean intercepts = (newFlags & INTERCEPT_HYPERCALLS) != 0;
        if ((newFlags & ~(INTERCEPT_HYPERCALLS | SENDS_EVENTS)) != 0
                || intercepts && (blob32 | blob64 | pages32 | pages64) != 0) {
            throw Errno.EINVAL.raise();
        }
        flags = newFlags;
        this.blob32 = blob32;
        this.blob64 = blob64;
        blobPages32 = pages32;
        blobPages64 = pages64;
        settings.xenHypercallMsr = msr;
        settings.xenHypercalls = intercepts && msr != 0;
    }

    /**
     * {@code KVM_XEN_HVM_SET_ATTR}.
     *
     * @param u the union, word by word
     * @param counters opens the client's eventfds
     * @throws dev.slate.kvm.KvmException ENOENT: no such attribute; EINVAL, EFAULT, EEXIST
     */
    public void setAttribute(int type, long[] u, IntFunction<EventFd> counters) {
        switch (type) {
            case LONG_MODE -> longMode = (u[0] & 0xff) != 0;
            case SHARED_INFO -> setSharedInfo(u[0]);
            case UPCALL_VECTOR -> {
                int vector = (int) u[0] & 0xff;
                requireVector(vector);
                upcallVector = vector;
            }
            case EVENT_CHANNEL -> setChannel(u, counters);
            case XEN_VERSION -> version = (int) u[0];
            default -> throw Errno.ENOENT.raise();
        }
    }

    /** {@code KVM_XEN_HVM_GET_ATTR}. @throws dev.slate.kvm.KvmException ENOENT */
    public void getAttribute(int type, long[] u) {
        switch (type) {
            case LONG_MODE -> u[0] = u[0] & ~0xffL | (longMode ? 1 : 0);
            case SHARED_INFO -> u[0] = sharedInfo == NOWHERE ? NOWHERE : sharedInfo >>> 12;
            case UPCALL_VECTOR -> u[0] = u[0] & ~0xffL | upcallVector;
            case XEN_VERSION -> u[0] = u[0] & ~0xffff_ffffL | version & 0xffff_ffffL;
            default -> throw Errno.ENOENT.raise();
        }
    }

    static void requireVector(int vector) {
        if (vector != 0 && vector < LOWEST_VECTOR) {
            throw Errno.EINVAL.raise();
        }
    }

    /** The page gets the wall-clock time at which the VM's clock read 0. */
    private synchronized void setSharedInfo(long gfn) {
        if (gfn == NOWHERE) {
            sharedInfo = NOWHERE;
            return;
        }
        if (gfn >>> 52 != 0) {
            throw Errno.EFAULT.raise();
        }
        long gpa = gfn << 12;
        sharedInfo = gpa;
        XenMemory m = memory();
        byte[] b = new byte[12];
        long at = gpa + (longMode ? WALL_CLOCK : WALL_CLOCK_32);
        if (!m.read(at, b, 4)) {
            throw Errno.EFAULT.raise();
        }
        int v = LittleEndian.getInt(b, 0) + 1 | 1;
        Instant now = Instant.now();
        long boot = now.getEpochSecond() * NANOS + now.getNano() - clock.now();
        LittleEndian.putInt(b, 0, v);
        LittleEndian.putInt(b, 4, (int) (boot / NANOS));
        LittleEndian.putInt(b, 8, (int) (boot % NANOS));
        boolean done = m.write(at, b, 0, 4) && m.write(at + 4, b, 4, 8);
        LittleEndian.putInt(b, 4, (int) (boot / NANOS >>> 32));
        done &= m.write(gpa + (longMode ? SECONDS_HIGH : SECONDS_HIGH_32), b, 4, 4);
        LittleEndian.putInt(b, 0, v + 1);
        if (!done || !m.write(at, b, 0, 4)) {
            throw Errno.EFAULT.raise();
        }
        context.modes().requestAll(Request.CLOCK_UPDATE);
    }

    private void setChannel(long[] u, IntFunction<EventFd> counters) {
        int port = (int) u[0];
        int type = (int) (u[0] >>> 32);
        int how = (int) u[1];
        int deliverPort = (int) (u[1] >>> 32);
        int vcpuId = (int) u[2];
        int priority = (int) (u[2] >>> 32);
        if (how == RESET) {
            ports.reset();
            return;
        }
        requirePort(port);
        switch (how) {
            case DEASSIGN -> ports.deassign(port);
            case UPDATE -> {
                EventPorts.Target old = ports.of(port);
                if (old == null) {
                    throw Errno.ENOENT.raise();
                }
                // Nothing but the vCPU may change.
                if (old.type() != type || old.port() == 0 || old.port() != deliverPort || priority != TWO_LEVELS) {
                    throw Errno.EINVAL.raise();
                }
                ports.update(port, new EventPorts.Target(type, deliverPort, vcpuId, null));
            }
            case 0 -> assign(port, type, deliverPort, vcpuId, priority, counters);
            default -> throw Errno.EINVAL.raise();
        }
    }

    /** @param fd a descriptor where {@code deliverPort} is 0, else a vCPU's id */
    private void assign(int port, int type, int deliverPort, int fd, int priority, IntFunction<EventFd> counters) {
        if (type == IPI ? deliverPort != port : type != INTERDOMAIN) {
            throw Errno.EINVAL.raise();
        }
        if (deliverPort == 0) {
            EventFd counter = counters.apply(fd);
            try {
                ports.assign(port, new EventPorts.Target(type, 0, 0, counter));
            } catch (KvmException e) {
                counter.close();
                throw e;
            }
            return;
        }
        requirePort(deliverPort);
        if (priority != TWO_LEVELS) {
            throw Errno.EINVAL.raise();
        }
        ports.assign(port, new EventPorts.Target(type, deliverPort, fd, null));
    }

    private void requirePort(int port) {
        if (port <= 0 || port >= maxPort()) {
            throw Errno.EINVAL.raise();
        }
    }

    // ------------------------------------------------------------------ events

    /** What {@link #raise} answers beside 1 (somebody is told) and 0 (it was raised before). */
    static final int INVALID = -22;

    static final int MASKED = -107;
    static final int NO_MEMORY = -14;

    /** {@code KVM_XEN_HVM_EVTCHN_SEND}. @throws dev.slate.kvm.KvmException EINVAL, EFAULT */
    public void send(int port, int vcpuId, int priority) {
        requirePort(port);
        if (priority != TWO_LEVELS) {
            throw Errno.EINVAL.raise();
        }
        switch (raise(port, vcpuId)) {
            case INVALID -> throw Errno.EINVAL.raise();
            case NO_MEMORY -> throw Errno.EFAULT.raise();
            default -> {}
        }
    }

    @Override
    public int raiseChannel(int port, int vcpuId) {
        return raise(port, vcpuId);
    }

    /** Raises a port of a vCPU. From any thread. */
    int raise(int port, int vcpuId) {
        XenVcpu v = vcpu(vcpuId);
        if (v == null || !v.hasInfo() || Integer.compareUnsigned(port, maxPort()) >= 0) {
            return INVALID;
        }
        long page = sharedInfo;
        if (page == NOWHERE) {
            return NO_MEMORY;
        }
        boolean wide = longMode;
        XenMemory m = memory();
        switch (m.setBit(page + PENDING, port)) {
            case XenMemory.NOWHERE -> {
                return NO_MEMORY;
            }
            case 1 -> {
                return 0;
            }
            default -> {}
        }
        v.polledPortRaised(port);
        if (m.bit(page + (wide ? MASK : MASK_32), port) != 0) {
            return MASKED;
        }
        v.select(wide ? port / 64 : port / 32);
        return 1;
    }

    /** Whether one of the ports is pending; true where that can't be seen. */
    boolean anyPending(int[] among, int count) {
        long page = sharedInfo;
        if (page == NOWHERE) {
            return true;
        }
        XenMemory m = memory();
        for (int i = 0; i < count; i++) {
            if (m.bit(page + PENDING, among[i]) != 0) {
                return true;
            }
        }
        return false;
    }

    /** EVTCHNOP_send: whether the port is one that the hypervisor knows, and took. */
    public boolean sent(int port) {
        EventPorts.Target target = ports.of(port);
        if (target == null) {
            return false;
        }
        EventFd counter = target.counter();
        if (counter != null) {
            counter.signal();
            return true;
        }
        int result = raise(target.port(), target.vcpuId());
        return result >= 0 || result == MASKED;
    }

    // ------------------------------------------------------------------ the hypercall page

    /**
     * The guest has written the MSR by which it asks for a page of hypercalls: the address, and in the low bits which page.
     *
     * @param wide the guest is in long mode; what it is now its structures have
     * @param intel VMCALL is the instruction
     * @return 0, EINVAL: refused, or EFAULT: the client's page is not there
     */
    synchronized int writeHypercallPage(XenVcpu v, long value, boolean wide, boolean intel) {
        longMode = wide;
        int number = (int) value & 0xfff;
        byte[] page = new byte[4096];
        if (settings.xenHypercalls) {
            if (number != 0) {
                return Errno.EINVAL.number();
            }
            // Each 32 bytes: MOV EAX, number; the instruction; RET; INT3s.
            Arrays.fill(page, (byte) 0xcc);
            for (int i = 0; i < page.length / 32; i++) {
                int at = i * 32;
                page[at] = (byte) 0xb8;
                LittleEndian.putInt(page, at + 1, i);
                page[at + 5] = 0x0f;
                page[at + 6] = 0x01;
                page[at + 7] = (byte) (intel ? 0xc1 : 0xd9);
                page[at + 8] = (byte) 0xc3;
            }
        } else {
            long blob = (wide ? blob64 : blob32) + number * 4096L;
            if (number >= (wide ? blobPages64 : blobPages32)) {
                return Errno.EINVAL.number();
            }
            if (!v.readClient(blob, page)) {
                return Errno.EFAULT.number();
            }
        }
        return v.write(value & ~0xfffL, page) ? 0 : Errno.EINVAL.number();
    }

    /** The VM is gone. */
    public synchronized void close() {
        ports.reset();
        XenMemory m = memory;
        if (m != null) {
            m.close();
            memory = null;
        }
    }
}
