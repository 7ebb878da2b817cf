package dev.slate.device;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.device.abi.Abi;
import dev.slate.device.stats.StatsFolder;
import dev.slate.kvm.Errno;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.Vm;
import dev.slate.kvm.stats.DebugFiles;
import org.jspecify.annotations.Nullable;

/** {@code /dev/kvm} itself. One object serves all its descriptors. */
final class SystemFile {
    private static final String DEBUGFS = "/sys/kernel/debug/kvm/";

    private final Kvm kvm;
    private final StatsFolder statistics;
    private final EventFds eventFds = new EventFds();

    SystemFile(Kvm kvm) {
        this.kvm = kvm;
        this.statistics =
                new StatsFolder(kvm.worker(), Device::say, Native.environment(StatsFolder.ROOT_VARIABLE), Native::uid);
    }

    /** The statistics that other processes see. */
    StatsFolder statistics() {
        return statistics;
    }

    /** The client's eventfds. */
    EventFds eventFds() {
        return eventFds;
    }

    /** As {@link KvmFile#ioctl}. */
    long ioctl(int request, long arg, long scratch) {
        return switch (request) {
            case Ioctl.GET_API_VERSION -> noArgument(arg, Kvm.API_VERSION);
            case Ioctl.CREATE_VM -> createVm(arg);
            case Ioctl.CHECK_EXTENSION -> arg == (int) arg ? kvm.checkExtension((int) arg) : 0;
            case Ioctl.GET_VCPU_MMAP_SIZE -> noArgument(arg, Kvm.RUN_AREA_PAGES * 4096);
            case Ioctl.GET_SUPPORTED_CPUID -> Cpuids.get(kvm.supportedCpuid(), arg, scratch);
            case Ioctl.GET_EMULATED_CPUID -> Cpuids.get(kvm.emulatedCpuid(), arg, scratch);
            case Ioctl.GET_SUPPORTED_HV_CPUID -> Cpuids.get(kvm.supportedHypervCpuid(), arg, scratch);
            case Ioctl.GET_MSR_INDEX_LIST -> Msrs.list(kvm.msrIndexList(), arg, scratch);
            case Ioctl.GET_MSR_FEATURE_INDEX_LIST -> Msrs.list(kvm.msrFeatureIndexList(), arg, scratch);
            case Ioctl.GET_MSRS -> Msrs.get(kvm, null, arg, scratch);
            case Ioctl.X86_GET_MCE_CAP_SUPPORTED -> {
                HostMemory.put64(scratch, kvm.mceCapSupported());
                UserMemory.write(arg, scratch, 8);
                yield 0;
            }
            case Ioctl.GET_DEVICE_ATTR, Ioctl.HAS_DEVICE_ATTR -> attribute(request, arg, scratch);
            default -> UnknownRequests.refuse(request, Errno.EINVAL);
        };
    }

    /** {@code KVM_X86_XCOMP_GUEST_SUPP}, in group 0, is the one attribute: XSAVE's components that a guest can have. */
    private long attribute(int request, long arg, long scratch) {
        UserMemory.read(scratch, arg, Abi.DEVICE_ATTR.bytes());
        if (HostMemory.get32(scratch + Abi.DEVICE_ATTR.at("group")) != 0
                || HostMemory.get64(scratch + Abi.DEVICE_ATTR.at("attr")) != 0) {
            throw Errno.ENXIO.raise();
        }
        if (request == Ioctl.GET_DEVICE_ATTR) {
            long address = HostMemory.get64(scratch + Abi.DEVICE_ATTR.at("addr"));
            HostMemory.put64(scratch, kvm.supportedXcr0());
            UserMemory.write(address, scratch, Long.BYTES);
        }
        return 0;
    }

    private static long noArgument(long arg, long result) {
        return arg == 0 ? result : -Errno.EINVAL.number();
    }

    private long createVm(long type) {
        if (type != 0) {
            throw Errno.EINVAL.raise();
        }
        return Device.create(Native.KIND_VM, 0, VmFile.RING_BYTES, (handle, fd) -> {
            Vm vm = kvm.createVm(0, Native.area(handle));
            Device.open(vm);
            statistics.add(vm, Native.pid() + "-" + fd);
            return new VmFile(handle, vm);
        });
    }

    /** The text of a file that KVM has in sysfs or debugfs; null: there is none. */
    @Nullable
    String pseudoFile(String path) {
        return path.startsWith(DEBUGFS)
                ? statistics.text(path.substring(DEBUGFS.length()))
                : Parameters.text(path, kvm);
    }

    /** The mode of such a file (S_IRUSR and the like); 0: there is none. */
    int pseudoMode(String path) {
        if (pseudoFile(path) == null) {
            return 0;
        }
        boolean writable = path.startsWith(DEBUGFS)
                ? DebugFiles.clearable(path.substring(path.lastIndexOf('/') + 1))
                : Parameters.writable(path, kvm);
        return writable ? 0644 : 0444;
    }

    /** Writes such a file. @throws KvmException what the kernel gives: ENOENT, EACCES, EINVAL and others */
    void pseudoWrite(String path, String text) {
        if ((pseudoMode(path) & 0222) == 0) {
            throw Errno.EACCES.raise();
        }
        if (path.startsWith(DEBUGFS)) {
            if (!text.strip().equals("0")) {
                throw Errno.EINVAL.raise();
            }
            statistics.clear(path.substring(DEBUGFS.length()));
        } else {
            Parameters.write(path, text, kvm);
        }
    }
}
