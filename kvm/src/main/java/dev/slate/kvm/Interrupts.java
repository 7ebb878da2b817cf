package dev.slate.kvm;

import dev.slate.kvm.host.EventFd;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.io.CoalescedZones;
import dev.slate.kvm.io.DeviceBus;
import dev.slate.kvm.io.IoEventFds;
import dev.slate.kvm.irqchip.IrqFds;
import dev.slate.kvm.irqchip.Irqchip;
import dev.slate.kvm.irqchip.TimerThread;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What of a VM's machine is not the client's: its interrupt hardware, and the places at which a guest's write makes no exit.
 *
 * <p>Thread-safe, as KVM's VM ioctls are.
 */
public final class Interrupts {
    /** {@code KVM_X2APIC_API_*}. */
    static final int X2APIC_USE_32BIT_IDS = 1;

    static final int X2APIC_DISABLE_BROADCAST_QUIRK = 2;

    /** {@code KVM_IRQFD_FLAG_*}. */
    public static final int IRQFD_DEASSIGN = IrqFds.DEASSIGN;

    public static final int IRQFD_RESAMPLE = IrqFds.RESAMPLE;

    /** {@code KVM_IOEVENTFD_FLAG_DEASSIGN}. */
    public static final int IOEVENTFD_DEASSIGN = IoEventFds.DEASSIGN;

    /** Bytes of the state of a chip ({@link #getChip}), and of the timer ({@link #getPit}). */
    public static final int CHIP_BYTES = Irqchip.CHIP_BYTES;

    public static final int PIT_BYTES = Irqchip.PIT_BYTES;

    private static final int RING_BYTES = 4096;

    private final HostServices host;
    private final DeviceBus ports = new DeviceBus();
    private final DeviceBus memory = new DeviceBus();
    private final IoEventFds ioEventFds = new IoEventFds(ports, memory);
    private final CoalescedZones coalescedZones;
    private final Irqchip irqchip;
    private final long ringHva;
    private final boolean ownsRing;

    Interrupts(HostServices host, TimerThread timers, long ringHva, boolean ownsRing) {
        this.host = host;
        this.ringHva = ringHva;
        this.ownsRing = ownsRing;
        this.coalescedZones = new CoalescedZones(ports, memory, ringHva);
        this.irqchip = new Irqchip(timers, ports, memory);
    }

    DeviceBus ports() {
        return ports;
    }

    DeviceBus memory() {
        return memory;
    }

    Irqchip irqchip() {
        return irqchip;
    }

    /** Whether vCPUs have local APICs here: {@code KVM_CREATE_IRQCHIP} was called, or {@code KVM_CAP_SPLIT_IRQCHIP} enabled. */
    public boolean exist() {
        return irqchip.exists();
    }

    /** {@code KVM_CAP_X2APIC_API}. */
    void x2apicApi(int flags) {
        if ((flags & X2APIC_USE_32BIT_IDS) != 0) {
            irqchip.bus().use32BitIds();
        }
        if ((flags & X2APIC_DISABLE_BROADCAST_QUIRK) != 0) {
            irqchip.bus().disableBroadcastQuirk();
        }
    }

    /**
     * {@code KVM_IRQ_LINE}.
     *
     * @return number of processors that took it; 0: it became one with an earlier one; -1: masked, or no such line
     * @throws KvmException ENXIO without an interrupt controller
     */
    public int setLine(int gsi, boolean level) {
        if (!irqchip.exists()) {
            throw Errno.ENXIO.raise();
        }
        return irqchip.setLine(gsi, level);
    }

    /**
     * {@code KVM_SIGNAL_MSI}.
     *
     * @return number of processors that took it; -1: there is none
     * @throws KvmException EINVAL: no interrupt controller, unknown flags; or with 32-bit ids an address whose upper half does not end in 0
     */
    public int signalMsi(int addressLow, int addressHigh, int data, int flags) {
        if (!irqchip.exists() || (flags & ~GsiRoute.MSI_VALID_DEVID) != 0) {
            throw Errno.EINVAL.raise();
        }
        return irqchip.signalMsi(addressLow, addressHigh, data);
    }

    /** {@code KVM_SET_GSI_ROUTING}. @throws KvmException EINVAL: routes that are none or exclude each other; nothing has changed then */
    public void setRouting(List<GsiRoute> routes) {
        if (!irqchip.exists()) {
            throw Errno.EINVAL.raise();
        }
        irqchip.setRouting(routes);
    }

    /** {@code KVM_GET_IRQCHIP}: a chip's state into {@link #CHIP_BYTES}. @throws KvmException ENXIO: not here; EINVAL: no such chip */
    public void getChip(int chip, byte[] into) {
        irqchip.getChip(chip, into);
    }

    /** {@code KVM_SET_IRQCHIP}. @throws KvmException as {@link #getChip} */
    public void setChip(int chip, byte[] from) {
        irqchip.setChip(chip, from);
    }

    /** {@code KVM_CREATE_PIT2}. @param flags 1: with port 61h @throws KvmException EEXIST */
    public void createPit(int flags) {
        irqchip.createPit(flags);
    }

    /** {@code KVM_GET_PIT2}: {@link #PIT_BYTES}. @throws KvmException ENXIO */
    public void getPit(byte[] into) {
        irqchip.getPit(into);
    }

    /** {@code KVM_SET_PIT2}; without flags {@code KVM_SET_PIT}. @throws KvmException ENXIO */
    public void setPit(byte[] from, boolean withFlags) {
        irqchip.setPit(from, withFlags);
    }

    /** {@code KVM_REINJECT_CONTROL}. @throws KvmException ENXIO */
    public void reinject(boolean on) {
        irqchip.reinject(on);
    }

    // ------------------------------------------------------------------ counters

    /** What is wrong with a {@code KVM_IRQFD} before its descriptors are looked at. @throws KvmException EINVAL */
    public void checkIrqFd(int flags) {
        irqchip.irqFds().check(flags);
    }

    /**
     * {@code KVM_IRQFD}, after {@link #checkIrqFd}: additions to {@code counter} raise {@code gsi}. Keeps both counters.
     *
     * @param resample added to when the guest has ended the interrupt, until which the line stays up; null: it goes down at once
     * @throws KvmException EBUSY: the counter raises a line already; the caller keeps both then
     */
    public void assignIrqFd(EventFd counter, int gsi, @Nullable EventFd resample) {
        irqchip.irqFds().assign(counter, gsi, resample);
    }

    /** Takes back what {@link #assignIrqFd} was given. @param identity {@link EventFd#identity} */
    public void deassignIrqFd(long identity, int gsi) {
        irqchip.irqFds().deassign(identity, gsi);
    }

    /** What is wrong with a {@code KVM_IOEVENTFD} before its descriptor is looked at. @throws KvmException EINVAL */
    public static void checkIoEventFd(long address, int bytes, int flags) {
        IoEventFds.check(address, bytes, flags);
    }

    /**
     * {@code KVM_IOEVENTFD}, after {@link #checkIoEventFd}: a guest's write is a signal to {@code target}, which this keeps.
     *
     * @throws KvmException EEXIST: another could take the same write; the caller keeps the counter then
     */
    public void assignIoEventFd(EventFd target, long address, int bytes, int flags, long match) {
        ioEventFds.assign(target, address, bytes, flags, match);
    }

    /** Takes back what {@link #assignIoEventFd} was given. @throws KvmException ENOENT */
    public void deassignIoEventFd(long identity, long address, int bytes, int flags, long match) {
        ioEventFds.deassign(identity, address, bytes, flags, match);
    }

    /** {@code KVM_REGISTER_COALESCED_MMIO}. @param pio 1: ports; 0: memory @throws KvmException EINVAL, ENOSPC */
    public void coalesce(long first, int bytes, int pio) {
        coalescedZones.register(first, bytes, pio);
    }

    /** {@code KVM_UNREGISTER_COALESCED_MMIO}: every zone that holds the given one. @throws KvmException EINVAL */
    public void uncoalesce(long first, int bytes, int pio) {
        coalescedZones.unregister(first, bytes, pio);
    }

    void close() {
        ioEventFds.close();
        irqchip.close();
        if (ownsRing) {
            host.free(ringHva, RING_BYTES);
        }
    }
}
