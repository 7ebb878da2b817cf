package dev.slate.device;

import static dev.slate.cpu.mem.HostMemory.get32;
import static dev.slate.cpu.mem.HostMemory.get64;
import static dev.slate.cpu.mem.HostMemory.get8;
import static dev.slate.cpu.mem.HostMemory.put32;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.device.abi.Abi;
import dev.slate.kvm.Errno;
import dev.slate.kvm.GsiRoute;
import dev.slate.kvm.Interrupts;
import dev.slate.kvm.KvmException;
import dev.slate.kvm.host.EventFd;
import java.util.ArrayList;
import java.util.List;

/** The ioctls of a VM that concern interrupts and devices of its own. */
final class InterruptIoctls {
    private static final long CHIP = Abi.IRQCHIP.at("chip");
    private static final long ENTRY_BYTES = Abi.IRQ_ROUTING_ENTRY.bytes();
    /** Entries that are copied at once. */
    private static final int ENTRIES = (int) (Device.SCRATCH_BYTES / ENTRY_BYTES);

    private final Interrupts interrupts;

    InterruptIoctls(Interrupts interrupts) {
        this.interrupts = interrupts;
    }

    /** As {@link KvmFile#ioctl}; ENOTTY for what is none of these. */
    long ioctl(int request, long arg, long scratch) {
        switch (request) {
            case Ioctl.IRQ_LINE, Ioctl.IRQ_LINE_STATUS -> setLine(request == Ioctl.IRQ_LINE_STATUS, arg, scratch);
            case Ioctl.SIGNAL_MSI -> {
                return signalMsi(arg, scratch);
            }
            case Ioctl.GET_IRQCHIP -> {
                UserMemory.read(scratch, arg, Abi.IRQCHIP.bytes());
                byte[] state = chip(scratch);
                interrupts.getChip(get32(scratch), state);
                HostMemory.copyIn(state, 0, scratch + CHIP, state.length);
                UserMemory.write(arg, scratch, Abi.IRQCHIP.bytes());
            }
            case Ioctl.SET_IRQCHIP -> {
                UserMemory.read(scratch, arg, Abi.IRQCHIP.bytes());
                interrupts.setChip(get32(scratch), chip(scratch));
            }
            case Ioctl.SET_GSI_ROUTING -> setRouting(arg, scratch);
            case Ioctl.IRQFD -> irqFd(arg, scratch);
            case Ioctl.IOEVENTFD -> ioEventFd(arg, scratch);
            case Ioctl.REGISTER_COALESCED_MMIO, Ioctl.UNREGISTER_COALESCED_MMIO -> coalesce(request, arg, scratch);
            // The first form had no flags; the speaker's port was always there.
            case Ioctl.CREATE_PIT -> interrupts.createPit(1);
            case Ioctl.CREATE_PIT2 -> {
                UserMemory.read(scratch, arg, Abi.PIT_CONFIG.bytes());
                interrupts.createPit(get32(scratch));
            }
            case Ioctl.GET_PIT -> getPit(arg, scratch, Abi.PIT_STATE.bytes());
            case Ioctl.GET_PIT2 -> getPit(arg, scratch, Abi.PIT_STATE2.bytes());
            case Ioctl.SET_PIT -> setPit(arg, scratch, Abi.PIT_STATE.bytes());
            case Ioctl.SET_PIT2 -> setPit(arg, scratch, Abi.PIT_STATE2.bytes());
            case Ioctl.REINJECT_CONTROL -> {
                UserMemory.read(scratch, arg, Abi.REINJECT_CONTROL.bytes());
                interrupts.reinject(get8(scratch) != 0);
            }
            default -> {
                return UnknownRequests.refuse(request, Errno.ENOTTY);
            }
        }
        return 0;
    }

    private void setLine(boolean tellsStatus, long arg, long scratch) {
        UserMemory.read(scratch, arg, Abi.IRQ_LEVEL.bytes());
        int status = interrupts.setLine(get32(scratch), get32(scratch + Abi.IRQ_LEVEL.at("level")) != 0);
        if (tellsStatus) {
            put32(scratch, status);
            UserMemory.write(arg, scratch, Abi.IRQ_LEVEL.bytes());
        }
    }

    private long signalMsi(long arg, long scratch) {
        UserMemory.read(scratch, arg, Abi.MSI.bytes());
        // Nobody is -1 in KVM, which reads as EPERM.
        return interrupts.signalMsi(
                get32(scratch),
                get32(scratch + Abi.MSI.at("address_hi")),
                get32(scratch + Abi.MSI.at("data")),
                get32(scratch + Abi.MSI.at("flags")));
    }

    private static byte[] chip(long scratch) {
        byte[] state = new byte[Interrupts.CHIP_BYTES];
        HostMemory.copyOut(scratch + CHIP, state, 0, state.length);
        return state;
    }

    private void setRouting(long arg, long scratch) {
        long header = Abi.IRQ_ROUTING.bytes();
        UserMemory.read(scratch, arg, header);
        int n = get32(scratch);
        if (!interrupts.exist()
                || Integer.compareUnsigned(n, GsiRoute.MAX) > 0
                || get32(scratch + Abi.IRQ_ROUTING.at("flags")) != 0) {
            throw Errno.EINVAL.raise();
        }
        List<GsiRoute> routes = new ArrayList<>(n);
        long first = Abi.IRQ_ROUTING_ENTRY.at("u");
        for (int done = 0; done < n; ) {
            int some = Math.min(ENTRIES, n - done);
            UserMemory.read(scratch, arg + header + done * ENTRY_BYTES, some * ENTRY_BYTES);
            for (int i = 0; i < some; i++) {
                long at = scratch + i * ENTRY_BYTES;
                routes.add(new GsiRoute(
                        get32(at),
                        get32(at + Abi.IRQ_ROUTING_ENTRY.at("type")),
                        get32(at + Abi.IRQ_ROUTING_ENTRY.at("flags")),
                        get32(at + first),
                        get32(at + first + 4),
                        get32(at + first + 8)));
            }
            done += some;
        }
        interrupts.setRouting(routes);
    }

    private void irqFd(long arg, long scratch) {
        UserMemory.read(scratch, arg, Abi.IRQFD.bytes());
        int fd = get32(scratch);
        int gsi = get32(scratch + Abi.IRQFD.at("gsi"));
        int flags = get32(scratch + Abi.IRQFD.at("flags"));
        interrupts.checkIrqFd(flags);
        EventFds eventFds = Device.system().eventFds();
        EventFd counter = eventFds.open(fd);
        if ((flags & Interrupts.IRQFD_DEASSIGN) != 0) {
            try (counter) {
                interrupts.deassignIrqFd(counter.identity(), gsi);
            }
            return;
        }
        EventFd resample = null;
        try {
            if ((flags & Interrupts.IRQFD_RESAMPLE) != 0) {
                resample = eventFds.open(get32(scratch + Abi.IRQFD.at("resamplefd")));
            }
            interrupts.assignIrqFd(counter, gsi, resample);
        } catch (KvmException e) {
            counter.close();
            if (resample != null) {
                resample.close();
            }
            throw e;
        }
    }

    private void ioEventFd(long arg, long scratch) {
        UserMemory.read(scratch, arg, Abi.IOEVENTFD.bytes());
        long match = get64(scratch);
        long address = get64(scratch + Abi.IOEVENTFD.at("addr"));
        int bytes = get32(scratch + Abi.IOEVENTFD.at("len"));
        int fd = get32(scratch + Abi.IOEVENTFD.at("fd"));
        int flags = get32(scratch + Abi.IOEVENTFD.at("flags"));
        EventFds eventFds = Device.system().eventFds();
        if ((flags & Interrupts.IOEVENTFD_DEASSIGN) != 0) {
            try (EventFd counter = eventFds.open(fd)) {
                interrupts.deassignIoEventFd(counter.identity(), address, bytes, flags, match);
            }
            return;
        }
        Interrupts.checkIoEventFd(address, bytes, flags);
        EventFd counter = eventFds.open(fd);
        try {
            interrupts.assignIoEventFd(counter, address, bytes, flags, match);
        } catch (KvmException e) {
            counter.close();
            throw e;
        }
    }

    private void coalesce(int request, long arg, long scratch) {
        UserMemory.read(scratch, arg, Abi.COALESCED_MMIO_ZONE.bytes());
        long first = get64(scratch);
        int bytes = get32(scratch + Abi.COALESCED_MMIO_ZONE.at("size"));
        int pio = get32(scratch + Abi.COALESCED_MMIO_ZONE.at("pio"));
        if (request == Ioctl.REGISTER_COALESCED_MMIO) {
            interrupts.coalesce(first, bytes, pio);
        } else {
            interrupts.uncoalesce(first, bytes, pio);
        }
    }

    private void getPit(long arg, long scratch, long bytes) {
        byte[] state = new byte[Interrupts.PIT_BYTES];
        interrupts.getPit(state);
        HostMemory.copyIn(state, 0, scratch, state.length);
        UserMemory.write(arg, scratch, bytes);
    }

    private void setPit(long arg, long scratch, long bytes) {
        UserMemory.read(scratch, arg, bytes);
        byte[] state = new byte[Interrupts.PIT_BYTES];
        HostMemory.copyOut(scratch, state, 0, (int) bytes);
        interrupts.setPit(state, bytes == Abi.PIT_STATE2.bytes());
    }
}
