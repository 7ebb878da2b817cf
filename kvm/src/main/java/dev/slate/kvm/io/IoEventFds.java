package dev.slate.kvm.io;

import dev.slate.kvm.Errno;
import dev.slate.kvm.host.EventFd;
import java.util.ArrayList;
import java.util.List;

/** The {@code KVM_IOEVENTFD}s of a VM. Matching happens on the buses, before an exit is built. Thread-safe. */
public final class IoEventFds {
    public static final int DATAMATCH = 1;
    public static final int PIO = 1 << 1;
    public static final int DEASSIGN = 1 << 2;
    /** Of another architecture; known, and a bus of its own. */
    public static final int VIRTIO_CCW = 1 << 3;

    private static final int VALID = DATAMATCH | PIO | DEASSIGN | VIRTIO_CCW;

    private final DeviceBus ports;
    private final DeviceBus memory;
    private final DeviceBus ccw = new DeviceBus();
    private final List<IoEventFd> all = new ArrayList<>();

    public IoEventFds(DeviceBus ports, DeviceBus memory) {
        this.ports = ports;
        this.memory = memory;
    }

    /**
     * Looks at the arguments of an assignment before the descriptor is looked at, as KVM does.
     *
     * @throws dev.slate.kvm.KvmException EINVAL: a length other than 0, 1, 2, 4, 8; an end beyond 2^64; unknown flags; a value to match
     *     with any length
     */
    public static void check(long address, int bytes, int flags) {
        boolean length = bytes == 0 || bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
        if (!length
                || Long.compareUnsigned(address + bytes, address) < 0
                || (flags & ~VALID) != 0
                || bytes == 0 && (flags & DATAMATCH) != 0) {
            throw Errno.EINVAL.raise();
        }
    }

    private DeviceBus bus(int flags) {
        return (flags & PIO) != 0 ? ports : (flags & VIRTIO_CCW) != 0 ? ccw : memory;
    }

    /**
     * Assigns, after {@link #check}; keeps {@code target}.
     *
     * @throws dev.slate.kvm.KvmException EEXIST: another could take the same write
     */
    public synchronized void assign(EventFd target, long address, int bytes, int flags, long match) {
        DeviceBus bus = bus(flags);
        IoEventFd added = new IoEventFd(bus, target, address, bytes, (flags & DATAMATCH) != 0, match);
        for (IoEventFd other : all) {
            if (other.collides(added)) {
                throw Errno.EEXIST.raise();
            }
        }
        bus.add(address, bytes, added);
        all.add(added);
    }

    /** Takes an assignment back. @param identity {@link EventFd#identity} @throws dev.slate.kvm.KvmException ENOENT: there is none like it */
    public synchronized void deassign(long identity, long address, int bytes, int flags, long match) {
        DeviceBus bus = bus(flags);
        for (IoEventFd e : all) {
            if (e.sameAs(bus, identity, address, bytes, (flags & DATAMATCH) != 0, match)) {
                all.remove(e);
                bus.remove(e);
                e.target.close();
                return;
            }
        }
        throw Errno.ENOENT.raise();
    }

    /** The VM is gone. */
    public synchronized void close() {
        for (IoEventFd e : all) {
            e.bus.remove(e);
            e.target.close();
        }
        all.clear();
    }
}
