package dev.slate.kvm.io;

import dev.slate.kvm.host.EventFd;

/** A place where a guest's write becomes a signal to the client, without an exit ({@code KVM_IOEVENTFD}). */
final class IoEventFd implements BusDevice {
    final DeviceBus bus;
    final EventFd target;
    final long address;
    /** 1, 2, 4, 8; 0: any. */
    final int bytes;
    /** Whether only {@link #match} is taken. */
    final boolean matches;

    final long match;

    IoEventFd(DeviceBus bus, EventFd target, long address, int bytes, boolean matches, long match) {
        this.bus = bus;
        this.target = target;
        this.address = address;
        this.bytes = bytes;
        this.matches = matches;
        this.match = match;
    }

    /** Whether a write could belong to both. */
    boolean collides(IoEventFd other) {
        return bus == other.bus
                && address == other.address
                && (bytes == 0
                        || other.bytes == 0
                        || bytes == other.bytes && (!matches || !other.matches || match == other.match));
    }

    /** What deassigning must name. */
    boolean sameAs(DeviceBus onBus, long identity, long at, int length, boolean withMatch, long value) {
        return bus == onBus
                && target.identity() == identity
                && address == at
                && bytes == length
                && matches == withMatch
                && (!matches || match == value);
    }

    @Override
    public boolean answersReads() {
        return false;
    }

    @Override
    public boolean write(long offset, int size, long value) {
        if (offset != 0
                || bytes != 0 && (bytes != size || matches && truncated(value, size) != truncated(match, size))) {
            return false;
        }
        target.signal();
        return true;
    }

    private static long truncated(long value, int size) {
        return size == 8 ? value : value & (1L << 8 * size) - 1;
    }
}
