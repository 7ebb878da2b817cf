package dev.slate.kvm.io;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Errno;
import java.util.ArrayList;
import java.util.List;

/**
 * Places whose writes the client need not hear of at once: they wait in a ring, which it reads at its next exit
 * ({@code KVM_REGISTER_COALESCED_MMIO}).
 *
 * <p>The ring is a page that the client maps: it moves {@code first}, the hypervisor moves {@code last}, and neither trusts the other.
 * vCPUs write one at a time, under this object's lock, which is the innermost of all. Thread-safe.
 */
public final class CoalescedZones {
    // struct kvm_coalesced_mmio_ring: first, last, then entries of address, length, pio, eight bytes of data.
    private static final int FIRST = 0;
    private static final int LAST = 4;
    private static final int ENTRIES = 8;
    private static final int ENTRY_BYTES = 24;
    private static final int ENTRY_LENGTH = 8;
    private static final int ENTRY_PIO = 12;
    private static final int ENTRY_DATA = 16;

    /** {@code KVM_COALESCED_MMIO_MAX}: slots of the ring, one of which stays empty. */
    public static final int SLOTS = (4096 - ENTRIES) / ENTRY_BYTES;

    private final DeviceBus ports;
    private final DeviceBus memory;
    private final long ringHva;
    private final List<Zone> zones = new ArrayList<>();

    /** @param ringHva a page that lives as long as this */
    public CoalescedZones(DeviceBus ports, DeviceBus memory, long ringHva) {
        this.ports = ports;
        this.memory = memory;
        this.ringHva = ringHva;
    }

    /** A zone; its offset is from {@code first}. */
    private final class Zone implements BusDevice {
        final long first;
        final long bytes;
        final boolean pio;

        Zone(long first, long bytes, boolean pio) {
            this.first = first;
            this.bytes = bytes;
            this.pio = pio;
        }

        @Override
        public boolean answersReads() {
            return false;
        }

        @Override
        public boolean write(long offset, int size, long value) {
            return offset + size <= bytes && append(first + offset, size, value, pio);
        }
    }

    /**
     * Adds a zone.
     *
     * @param pio 1: ports; 0: memory
     * @throws dev.slate.kvm.KvmException EINVAL: {@code pio} is neither; ENOSPC: too many devices
     */
    public synchronized void register(long first, int bytes, int pio) {
        requireFlag(pio);
        Zone zone = new Zone(first, Integer.toUnsignedLong(bytes), pio == 1);
        (zone.pio ? ports : memory).add(first, zone.bytes, zone);
        zones.add(zone);
    }

    /** Removes every zone that the given one lies in. @throws dev.slate.kvm.KvmException EINVAL: {@code pio} is neither 0 nor 1 */
    public synchronized void unregister(long first, int bytes, int pio) {
        requireFlag(pio);
        long length = Integer.toUnsignedLong(bytes);
        for (int i = zones.size() - 1; i >= 0; i--) {
            Zone z = zones.get(i);
            boolean inside = Long.compareUnsigned(first, z.first) >= 0
                    && Long.compareUnsigned(first + length, first) >= 0
                    && Long.compareUnsigned(first + length, z.first + z.bytes) <= 0;
            if (z.pio == (pio == 1) && inside) {
                zones.remove(i);
                (z.pio ? ports : memory).remove(z);
            }
        }
    }

    private static void requireFlag(int pio) {
        if (pio != 0 && pio != 1) {
            throw Errno.EINVAL.raise();
        }
    }

    /** False: the ring is full, or the client has written nonsense into it; the write goes out as an exit. */
    private synchronized boolean append(long address, int size, long value, boolean pio) {
        int last = HostMemory.get32(ringHva + LAST);
        int first = HostMemory.getVolatile32(ringHva + FIRST);
        int next = last + 1 == SLOTS ? 0 : last + 1;
        if (last < 0 || last >= SLOTS || next == first) {
            return false;
        }
        long entry = ringHva + ENTRIES + (long) last * ENTRY_BYTES;
        HostMemory.put64(entry, address);
        HostMemory.put32(entry + ENTRY_LENGTH, size);
        HostMemory.put32(entry + ENTRY_PIO, pio ? 1 : 0);
        HostMemory.put64(entry + ENTRY_DATA, value);
        // The client sees the entry when it sees the index.
        HostMemory.putVolatile32(ringHva + LAST, next);
        return true;
    }
}
