package dev.slate.device;

import static dev.slate.cpu.mem.HostMemory.get32;
import static dev.slate.cpu.mem.HostMemory.get64;

import dev.slate.device.abi.Abi;
import dev.slate.device.abi.KvmClockData;
import dev.slate.kvm.ClockData;
import dev.slate.kvm.Errno;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.KvmException;
import dev.slate.kvm.Vm;
import dev.slate.kvm.host.EventFd;

/** A VM's descriptor. */
final class VmFile extends KvmFile {
    /** The page behind a VM: the ring of coalesced writes, which its vCPUs' descriptors show. */
    static final int RING_BYTES = 4096;

    private final Vm vm;
    private final InterruptIoctls interrupts;
    /** Descriptors of the VM and of its vCPUs and statistics that live. */
    private int references = 1;

    VmFile(int handle, Vm vm) {
        super(handle);
        this.vm = vm;
        this.interrupts = new InterruptIoctls(vm.interrupts());
    }

    Vm vm() {
        return vm;
    }

    @Override
    long ioctl(int request, long arg, long scratch) {
        return switch (request) {
            case Ioctl.CREATE_VCPU -> createVcpu(arg);
            case Ioctl.SET_USER_MEMORY_REGION -> setUserMemoryRegion(arg, scratch);
            case Ioctl.GET_DIRTY_LOG -> getDirtyLog(arg, scratch);
            case Ioctl.CLEAR_DIRTY_LOG -> clearDirtyLog(arg, scratch);
            case Ioctl.CHECK_EXTENSION -> arg == (int) arg ? vm.checkExtension((int) arg) : 0;
            case Ioctl.ENABLE_CAP -> {
                UserMemory.read(scratch, arg, Abi.ENABLE_CAP.bytes());
                vm.enableCap(get32(scratch + Caps.CAP), get32(scratch + Caps.FLAGS), Caps.arguments(scratch));
                yield 0;
            }
            case Ioctl.CREATE_IRQCHIP -> {
                vm.createIrqchip();
                yield 0;
            }
            case Ioctl.SET_BOOT_CPU_ID -> {
                vm.setBootCpuId((int) arg);
                yield 0;
            }
            case Ioctl.SET_TSS_ADDR -> {
                vm.setTssAddr(arg);
                yield 0;
            }
            case Ioctl.SET_IDENTITY_MAP_ADDR -> {
                UserMemory.read(scratch, arg, 8);
                vm.setIdentityMapAddr(get64(scratch));
                yield 0;
            }
            case Ioctl.SET_NR_MMU_PAGES -> {
                vm.setNrMmuPages(arg);
                yield 0;
            }
            case Ioctl.GET_NR_MMU_PAGES -> vm.nrMmuPages();
            case Ioctl.GET_TSC_KHZ -> vm.tscKhz();
            case Ioctl.SET_TSC_KHZ -> {
                vm.setTscKhz((int) arg);
                yield 0;
            }
            case Ioctl.GET_CLOCK -> {
                ClockData clock = new ClockData();
                vm.getClock(clock);
                KvmClockData.write(scratch, clock);
                UserMemory.write(arg, scratch, KvmClockData.BYTES);
                yield 0;
            }
            case Ioctl.SET_CLOCK -> {
                UserMemory.read(scratch, arg, KvmClockData.BYTES);
                ClockData clock = new ClockData();
                KvmClockData.read(scratch, clock);
                vm.setClock(clock);
                yield 0;
            }
            case Ioctl.HYPERV_EVENTFD -> hypervEventFd(arg, scratch);
            case Ioctl.XEN_HVM_CONFIG, Ioctl.XEN_HVM_GET_ATTR, Ioctl.XEN_HVM_SET_ATTR, Ioctl.XEN_HVM_EVTCHN_SEND ->
                XenIoctls.ofVm(vm.xen(), request, arg, scratch);
            case Ioctl.X86_SET_MSR_FILTER -> Msrs.filter(vm, arg, scratch);
            case Ioctl.SET_PMU_EVENT_FILTER -> pmuEventFilter(arg, scratch);
            case Ioctl.GET_STATS_FD -> StatsFile.open(this, "kvm-" + Native.pid(), vm.stats());
            case Ioctl.RESET_DIRTY_RINGS -> vm.resetDirtyRings();
            // VFIO's is the one kind, and there are no devices to hand over.
            case Ioctl.CREATE_DEVICE -> -Errno.ENODEV.number();
            default -> interrupts.ioctl(request, arg, scratch);
        };
    }

    private long hypervEventFd(long arg, long scratch) {
        UserMemory.read(scratch, arg, Abi.HYPERV_EVENTFD.bytes());
        int connection = get32(scratch);
        int flags = get32(scratch + Abi.HYPERV_EVENTFD.at("flags"));
        Vm.checkHypervEventFd(connection, flags);
        if (flags == Vm.HYPERV_EVENTFD_DEASSIGN) {
            vm.deassignHypervEventFd(connection);
            return 0;
        }
        EventFd counter = Device.system().eventFds().open(get32(scratch + Abi.HYPERV_EVENTFD.at("fd")));
        try {
            vm.assignHypervEventFd(connection, counter);
        } catch (KvmException e) {
            counter.close();
            throw e;
        }
        return 0;
    }

    private long pmuEventFilter(long arg, long scratch) {
        long header = Abi.PMU_EVENT_FILTER.bytes();
        UserMemory.read(scratch, arg, header);
        int action = get32(scratch);
        int count = get32(scratch + Abi.PMU_EVENT_FILTER.at("nevents"));
        Vm.checkPmuEventFilter(action, get32(scratch + Abi.PMU_EVENT_FILTER.at("flags")), count);
        UserMemory.read(scratch, arg + header, (long) count * Long.BYTES);
        long[] events = new long[count];
        for (int i = 0; i < count; i++) {
            events[i] = get64(scratch + (long) i * Long.BYTES);
        }
        vm.setPmuEventFilter(action, events);
        return 0;
    }

    private long createVcpu(long id) {
        // KVM takes the low 32 bits, unsigned.
        if (Integer.compareUnsigned((int) id, Kvm.MAX_VCPU_IDS) >= 0) {
            throw Errno.EINVAL.raise();
        }
        return Device.create(Native.KIND_VCPU, (int) id, vm.runAreaBytes(), (vcpuHandle, fd) -> {
            Native.showRing(vcpuHandle, handle);
            return new VcpuFile(vcpuHandle, this, (int) id, Native.area(vcpuHandle));
        });
    }

    private static final long SLOT = Abi.USERSPACE_MEMORY_REGION.at("slot");
    private static final long SLOT_FLAGS = Abi.USERSPACE_MEMORY_REGION.at("flags");
    private static final long GUEST_PHYS_ADDR = Abi.USERSPACE_MEMORY_REGION.at("guest_phys_addr");
    private static final long MEMORY_SIZE = Abi.USERSPACE_MEMORY_REGION.at("memory_size");
    private static final long USERSPACE_ADDR = Abi.USERSPACE_MEMORY_REGION.at("userspace_addr");

    private long setUserMemoryRegion(long arg, long scratch) {
        UserMemory.read(scratch, arg, Abi.USERSPACE_MEMORY_REGION.bytes());
        long bytes = get64(scratch + MEMORY_SIZE);
        long hva = get64(scratch + USERSPACE_ADDR);
        if (hva >= 0 && bytes > 0 && hva <= Device.WATCHED_HVAS - bytes) {
            Device.watch(hva, hva + bytes);
        }
        vm.setUserMemoryRegion(
                get32(scratch + SLOT), get32(scratch + SLOT_FLAGS), get64(scratch + GUEST_PHYS_ADDR), bytes, hva);
        return 0;
    }

    private long getDirtyLog(long arg, long scratch) {
        UserMemory.read(scratch, arg, Abi.DIRTY_LOG.bytes());
        long bitmap = get64(scratch + Abi.DIRTY_LOG.at("dirty_bitmap"));
        vm.getDirtyLog(get32(scratch), (from, bytes) -> -Native.copyOut(bitmap, from, bytes));
        return 0;
    }

    private long clearDirtyLog(long arg, long scratch) {
        UserMemory.read(scratch, arg, Abi.CLEAR_DIRTY_LOG.bytes());
        long bitmap = get64(scratch + Abi.CLEAR_DIRTY_LOG.at("dirty_bitmap"));
        vm.clearDirtyLog(
                get32(scratch),
                get64(scratch + Abi.CLEAR_DIRTY_LOG.at("first_page")),
                Integer.toUnsignedLong(get32(scratch + Abi.CLEAR_DIRTY_LOG.at("num_pages"))),
                (to, bytes) -> -Native.copyIn(to, bitmap, bytes));
        return 0;
    }

    /** A vCPU or statistics file needs the VM. */
    synchronized void retain() {
        references++;
    }

    /** It needs it no longer; the last one ends the VM. */
    void drop() {
        synchronized (this) {
            if (--references > 0) {
                return;
            }
        }
        Device.close(vm);
        vm.close();
    }

    @Override
    void release() {
        drop();
    }
}
