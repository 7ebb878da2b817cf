package dev.slate.kvm.io;

import dev.slate.kvm.Errno;
import java.util.Arrays;

/**
 * One address space of a VM's devices: ports, or guest physical addresses without memory.
 *
 * <p>Looking up takes no lock: the table is immutable and replaced by one volatile write. Changes are made one at a time; whoever looks
 * while a device goes may still reach it once. Thread-safe.
 */
public final class DeviceBus {
    /** Nobody here answers the read. No device gives it: answers have 32 bits. */
    public static final long NOBODY = -1;

    /** {@code NR_IOBUS_DEVS}: most devices, watchers of one write not counted. */
    public static final int MAX_DEVICES = 1000;

    /**
     * Devices by their first address; equal ones in the order in which they came.
     *
     * @param reach the highest last address of all devices up to an index: the walk back from a place ends where it is passed
     */
    private record Table(long[] first, long[] bytes, long[] reach, BusDevice[] devices) {}

    private volatile Table table = new Table(new long[0], new long[0], new long[0], new BusDevice[0]);

    /** An empty bus. */
    public DeviceBus() {}

    /**
     * Puts a device on the bus.
     *
     * @param first its first address
     * @param bytes how many addresses it has; an access must lie in them. 0: accesses of any size that begin at {@code first}
     * @throws dev.slate.kvm.KvmException ENOSPC: there are {@link #MAX_DEVICES}
     */
    public synchronized void add(long first, long bytes, BusDevice device) {
        Table old = table;
        int n = old.devices.length;
        if (!(device instanceof IoEventFd) && devices(old) >= MAX_DEVICES) {
            throw Errno.ENOSPC.raise();
        }
        int at = 0;
        while (at < n && Long.compareUnsigned(old.first[at], first) <= 0) {
            at++;
        }
        long[] starts = inserted(old.first, at, first);
        long[] lengths = inserted(old.bytes, at, bytes);
        BusDevice[] all = Arrays.copyOf(old.devices, n + 1);
        System.arraycopy(old.devices, at, all, at + 1, n - at);
        all[at] = device;
        publish(starts, lengths, all);
    }

    /** Takes a device off the bus, wherever it sits; nothing happens if it is not there. */
    public synchronized void remove(BusDevice device) {
        Table old = table;
        int n = old.devices.length;
        int kept = 0;
        long[] starts = new long[n];
        long[] lengths = new long[n];
        BusDevice[] all = new BusDevice[n];
        for (int i = 0; i < n; i++) {
            if (old.devices[i] != device) {
                starts[kept] = old.first[i];
                lengths[kept] = old.bytes[i];
                all[kept++] = old.devices[i];
            }
        }
        publish(Arrays.copyOf(starts, kept), Arrays.copyOf(lengths, kept), Arrays.copyOf(all, kept));
    }

    private static int devices(Table t) {
        int n = 0;
        for (BusDevice d : t.devices) {
            n += d instanceof IoEventFd ? 0 : 1;
        }
        return n;
    }

    private static long[] inserted(long[] from, int at, long value) {
        long[] to = Arrays.copyOf(from, from.length + 1);
        System.arraycopy(from, at, to, at + 1, from.length - at);
        to[at] = value;
        return to;
    }

    private void publish(long[] first, long[] bytes, BusDevice[] devices) {
        long[] reach = new long[first.length];
        long highest = 0;
        for (int i = 0; i < first.length; i++) {
            long last = first[i] + Math.max(bytes[i], 1) - 1;
            if (Long.compareUnsigned(last, first[i]) < 0) {
                last = -1;
            }
            if (Long.compareUnsigned(last, highest) > 0) {
                highest = last;
            }
            reach[i] = highest;
        }
        table = new Table(first, bytes, reach, devices);
    }

    /** Whether any device is on the bus. */
    public boolean isEmpty() {
        return table.devices.length == 0;
    }

    /** Reads {@code bytes} (1, 2, 4 or 8) at {@code address}: the first device that answers, or {@link #NOBODY}. */
    public long read(long address, int bytes) {
        Table t = table;
        int end = upTo(t, address);
        for (int i = from(t, address, end); i < end; i++) {
            if (holds(t, i, address, bytes) && t.devices[i].answersReads()) {
                long answer = t.devices[i].read(address - t.first[i], bytes);
                if (answer != NOBODY) {
                    return answer;
                }
            }
        }
        return NOBODY;
    }

    /** Writes; false: no device took it. */
    public boolean write(long address, int bytes, long value) {
        Table t = table;
        int end = upTo(t, address);
        for (int i = from(t, address, end); i < end; i++) {
            if (holds(t, i, address, bytes) && t.devices[i].write(address - t.first[i], bytes, value)) {
                return true;
            }
        }
        return false;
    }

    /** Number of devices that begin at or below an address. */
    private static int upTo(Table t, long address) {
        int low = 0;
        int high = t.first.length;
        while (low < high) {
            int middle = low + high >>> 1;
            if (Long.compareUnsigned(t.first[middle], address) <= 0) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

    /** The first of those devices that may still reach the address. */
    private static int from(Table t, long address, int end) {
        int i = end;
        while (i > 0 && Long.compareUnsigned(t.reach[i - 1], address) >= 0) {
            i--;
        }
        return i;
    }

    private static boolean holds(Table t, int i, long address, int bytes) {
        long offset = address - t.first[i];
        return t.bytes[i] == 0 ? offset == 0 : offset + bytes <= t.bytes[i] && offset >= 0;
    }
}
