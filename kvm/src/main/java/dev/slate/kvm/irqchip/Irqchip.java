package dev.slate.kvm.irqchip;

import dev.slate.kvm.Errno;
import dev.slate.kvm.GsiRoute;
import dev.slate.kvm.io.DeviceBus;
import dev.slate.kvm.tracepoint.Tracepoints;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A VM's interrupt hardware as a whole: which controllers there are, and what connects them.
 *
 * <pre>
 *   KVM_IRQ_LINE, irqfd, PIT ──► GSI ──routes──┬─► 8259s ──── output ────► LINT0 of one vCPU
 *                                              ├─► I/O APIC ─┐
 *   KVM_SIGNAL_MSI ────────────────────────────┴─► message ──┴─► bus ────► local APICs ─► vCPU
 *   end of an interrupt ◄── 8259s, I/O APIC ◄── local APIC's EOI
 *        └─► next tick of the PIT, resampling irqfds
 * </pre>
 *
 * <p>Thread-safe. Lock order: this object's lock (which guards making controllers and changing routes), the irqfds' lock, then one
 * controller's, then the PIT's tick lock or the timers'. What one controller tells another it tells after its own lock.
 */
public final class Irqchip implements Pic.Owner, IoApic.Owner, Pit.Output, ApicBus.Ends {
    private final ApicBus bus = new ApicBus();
    private final GsiRouting routing = new GsiRouting();
    private final IrqFds irqFds = new IrqFds(this);
    private final TimerThread timers;
    private final DeviceBus ports;
    private final DeviceBus memory;

    private volatile @Nullable Pic pic;
    private volatile @Nullable IoApic ioApic;
    private volatile @Nullable Pit pit;
    private volatile boolean split;
    private volatile int clientPins;
    private volatile SyntheticSources.@Nullable Targets synthetic;
    private volatile SyntheticSources.@Nullable Channels channels;

    public Irqchip(TimerThread timers, DeviceBus ports, DeviceBus memory) {
        this.timers = timers;
        this.ports = ports;
        this.memory = memory;
    }

    /** Between the local APICs. */
    public ApicBus bus() {
        return bus;
    }

    /** Where routes to synthetic sources lead. */
    public void sendSyntheticTo(SyntheticSources.Targets targets) {
        synthetic = targets;
    }

    /** Where routes to event channels lead. */
    public void sendEventsTo(SyntheticSources.Channels to) {
        channels = to;
    }

    public IrqFds irqFds() {
        return irqFds;
    }

    /** Whether vCPUs have local APICs. */
    public boolean exists() {
        return split || ioApic != null;
    }

    /** Whether the 8259s and the I/O APIC are here, too. */
    public boolean hasControllers() {
        return ioApic != null;
    }

    // ------------------------------------------------------------------ making them

    /** {@code KVM_CREATE_IRQCHIP}; the caller has seen to it that there are no vCPUs. @throws dev.slate.kvm.KvmException EEXIST */
    public synchronized void create() {
        if (exists()) {
            throw Errno.EEXIST.raise();
        }
        Pic p = new Pic(this);
        IoApic io = new IoApic(bus, timers, this);
        p.attach(ports);
        io.attach(memory);
        routing.setDefault();
        bus.tellEnds(this);
        pic = p;
        ioApic = io;
        io.watch();
    }

    /**
     * {@code KVM_CAP_SPLIT_IRQCHIP}: local APICs here, the rest is the client's.
     *
     * @param pins how many GSIs from 0 on are pins of the client's I/O APIC: it hears of the ends of their level-triggered interrupts
     * @throws dev.slate.kvm.KvmException EEXIST
     */
    public synchronized void createSplit(int pins) {
        if (exists()) {
            throw Errno.EEXIST.raise();
        }
        clientPins = pins;
        bus.tellEnds(this);
        split = true;
    }

    /** {@code KVM_CREATE_PIT2}. @throws dev.slate.kvm.KvmException EEXIST */
    public synchronized void createPit(int flags) {
        if (pit != null) {
            throw Errno.EEXIST.raise();
        }
        Pit p = new Pit(timers, this);
        p.attach(ports, (flags & Pit.SPEAKER) != 0);
        pit = p;
        watchersChanged();
    }

    // ------------------------------------------------------------------ what a client asks

    /** {@code KVM_SET_GSI_ROUTING}. @throws dev.slate.kvm.KvmException EINVAL, see {@link GsiRouting} */
    public synchronized void setRouting(List<GsiRoute> routes) {
        routing.set(routes, split, bus.uses32BitIds());
        SyntheticSources.Targets targets = synthetic;
        if (targets != null) {
            for (GsiRoute r : routes) {
                if (r.type() == GsiRoute.HV_SINT) {
                    targets.sourceRouted(r.first(), r.second(), r.gsi());
                }
            }
        }
        watchersChanged();
    }

    /** {@code KVM_IRQ_LINE}: number of processors that took it, 0 for one that became one with another, -1 for nobody. */
    public int setLine(int gsi, boolean level) {
        return setGsi(IrqLines.SOURCE_CLIENT, gsi, level, true);
    }

    /**
     * {@code KVM_SIGNAL_MSI}.
     *
     * @return number of processors that took it; -1: there is nobody
     * @throws dev.slate.kvm.KvmException EINVAL: with 32-bit ids, an address whose upper half ends in another byte than 0
     */
    public int signalMsi(int addressLow, int addressHigh, int data) {
        if (bus.uses32BitIds() && (addressHigh & 0xff) != 0) {
            throw Errno.EINVAL.raise();
        }
        return bus.msi(addressLow, addressHigh, data);
    }

    /** Bytes of a controller's state. */
    public static final int CHIP_BYTES = 512;

    /** Bytes of the timer's. */
    public static final int PIT_BYTES = Pit.STATE_BYTES;

    /** {@code KVM_GET_IRQCHIP}. @param chip {@code KVM_IRQCHIP_*} @throws dev.slate.kvm.KvmException ENXIO, EINVAL */
    public void getChip(int chip, byte[] to) {
        IoApic io = ioApic;
        Pic p = pic;
        if (io == null || p == null) {
            throw Errno.ENXIO.raise();
        }
        switch (chip) {
            case GsiRoute.PIC_MASTER, GsiRoute.PIC_SLAVE -> p.get(chip == GsiRoute.PIC_SLAVE, to, 0);
            case GsiRoute.IOAPIC -> io.get(to, 0);
            default -> throw Errno.EINVAL.raise();
        }
    }

    /** {@code KVM_SET_IRQCHIP}. @throws dev.slate.kvm.KvmException ENXIO, EINVAL */
    public void setChip(int chip, byte[] from) {
        IoApic io = ioApic;
        Pic p = pic;
        if (io == null || p == null) {
            throw Errno.ENXIO.raise();
        }
        switch (chip) {
            case GsiRoute.PIC_MASTER, GsiRoute.PIC_SLAVE -> p.set(chip == GsiRoute.PIC_SLAVE, from, 0);
            case GsiRoute.IOAPIC -> io.set(from, 0);
            default -> throw Errno.EINVAL.raise();
        }
    }

    private Pit requiredPit() {
        Pit p = pit;
        if (p == null) {
            throw Errno.ENXIO.raise();
        }
        return p;
    }

    /** {@code KVM_GET_PIT2}. @throws dev.slate.kvm.KvmException ENXIO */
    public void getPit(byte[] to) {
        requiredPit().get(to);
    }

    /** {@code KVM_SET_PIT2}; {@code withFlags} false: {@code KVM_SET_PIT}. @throws dev.slate.kvm.KvmException ENXIO */
    public void setPit(byte[] from, boolean withFlags) {
        requiredPit().set(from, withFlags);
    }

    /** {@code KVM_REINJECT_CONTROL}. @throws dev.slate.kvm.KvmException ENXIO */
    public void reinject(boolean on) {
        requiredPit().reinject(on);
        watchersChanged();
    }

    // ------------------------------------------------------------------ lines

    /** A source drives a GSI: what its routes did, added up; -1: none took it. From any thread; takes the controllers' locks one by one. */
    int setGsi(int source, int gsi, boolean level, boolean tellsLost) {
        if (Tracepoints.ON) {
            Tracepoints.setIrq(gsi, level, source);
        }
        GsiRouting.Table t = routing.table();
        int result = -1;
        if (gsi < 0 || gsi >= t.gsis()) {
            return result;
        }
        Pic p = pic;
        IoApic io = ioApic;
        for (int i = t.start[gsi]; i < t.start[gsi + 1]; i++) {
            GsiRoute r = t.routes[i];
            int taken = -1;
            if (r.type() == GsiRoute.MSI) {
                taken = level ? bus.msi(r.first(), r.second(), r.third()) : -1;
            } else if (r.type() == GsiRoute.HV_SINT) {
                SyntheticSources.Targets targets = synthetic;
                taken = level && targets != null ? targets.raiseSource(r.first(), r.second()) : -1;
            } else if (r.type() == GsiRoute.XEN_EVTCHN) {
                SyntheticSources.Channels to = channels;
                taken = level && to != null ? to.raiseChannel(r.first(), r.second()) : -1;
            } else if (r.first() == GsiRoute.IOAPIC) {
                taken = io == null ? -1 : io.setIrq(r.second(), source, level, tellsLost);
            } else if (p != null) {
                taken = p.setIrq(r.first() * 8 + r.second(), source, level);
            }
            if (taken >= 0) {
                result = Math.max(result, 0) + taken;
            }
        }
        return result;
    }

    /** Whether the 8259s ask the processor for an interrupt. Takes no lock. */
    public boolean picOutput() {
        Pic p = pic;
        return p != null && p.output();
    }

    /** The processor takes the 8259s' interrupt: its vector. Only after {@link #picOutput}. */
    public int acknowledgePic() {
        Pic p = pic;
        if (p == null) {
            throw new IllegalStateException("no 8259");
        }
        return p.acknowledge();
    }

    // ------------------------------------------------------------------ what controllers tell

    @Override
    public void picRaised() {
        bus.picRaised();
    }

    @Override
    public void picAcknowledged(int pins) {
        for (int rest = pins; rest != 0; rest &= rest - 1) {
            gsiAcknowledged(routing.table().picGsi(Integer.numberOfTrailingZeros(rest)));
        }
    }

    @Override
    public void picMaskChanged(int pin, boolean masked) {
        gsiMaskChanged(routing.table().picGsi(pin), masked);
    }

    @Override
    public void ioApicMaskChanged(int pin, boolean masked) {
        gsiMaskChanged(routing.table().ioApicGsi(pin), masked);
    }

    @Override
    public void ioApicAcknowledged(int pin) {
        gsiAcknowledged(routing.table().ioApicGsi(pin));
    }

    @Override
    public boolean watchesIoApic(int pin) {
        int gsi = routing.table().ioApicGsi(pin);
        Pit p = pit;
        return gsi == 0 && p != null && p.reinjects() || gsi >= 0 && irqFds.resamples(gsi);
    }

    private void gsiMaskChanged(int gsi, boolean masked) {
        Pit p = pit;
        if (gsi == 0 && !masked && p != null) {
            p.unmasked();
        }
    }

    /** An interrupt that came in by a GSI is over: who waits for that hears of it. */
    public void gsiEnded(int gsi) {
        gsiAcknowledged(gsi);
    }

    private void gsiAcknowledged(int gsi) {
        Pit p = pit;
        if (gsi == 0 && p != null) {
            p.acknowledge();
        }
        if (gsi >= 0) {
            irqFds.acknowledged(gsi);
        }
    }

    /** Who waits for ends of interrupts, or where they come in, has changed. */
    void watchersChanged() {
        IoApic io = ioApic;
        if (io != null) {
            io.watch();
        }
    }

    @Override
    public void tick() {
        if (ioApic == null) {
            return;
        }
        setGsi(IrqLines.SOURCE_PIT, 0, true, false);
        setGsi(IrqLines.SOURCE_PIT, 0, false, false);
        bus.lint0Watchdog();
    }

    @Override
    public void ended(LocalApic apic, int vector, boolean level) {
        IoApic io = ioApic;
        if (io != null) {
            if (io.watches(vector)) {
                io.ended(apic, vector, level);
            }
            return;
        }
        if (isClientLevel(apic, vector)) {
            apic.clientIoApicEoi(vector);
        }
    }

    /** Whether anybody here or at the client's waits for the end of an APIC's interrupt. Takes no lock. */
    public boolean endMatters(LocalApic apic, int vector) {
        IoApic io = ioApic;
        return io != null ? io.watches(vector) : isClientLevel(apic, vector);
    }

    private boolean isClientLevel(LocalApic apic, int vector) {
        GsiRouting.Table t = routing.table();
        int end = t.start[Math.min(clientPins, t.gsis())];
        for (int i = 0; i < end; i++) {
            GsiRoute r = t.routes[i];
            if (bus.levelMsiFor(apic, vector, r.first(), r.second(), r.third())) {
                return true;
            }
        }
        return false;
    }

    /** The VM is gone. */
    public void close() {
        irqFds.close();
        Pit p = pit;
        if (p != null) {
            p.close();
        }
        IoApic io = ioApic;
        if (io != null) {
            io.close();
        }
    }
}
