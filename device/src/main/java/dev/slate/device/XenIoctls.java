package dev.slate.device;

import static dev.slate.cpu.mem.HostMemory.get16;
import static dev.slate.cpu.mem.HostMemory.get32;
import static dev.slate.cpu.mem.HostMemory.get64;
import static dev.slate.cpu.mem.HostMemory.get8;
import static dev.slate.cpu.mem.HostMemory.put64;

import dev.slate.device.abi.Abi;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.Xen;

/** KVM_XEN_*: attributes of a VM and of a vCPU, and events from the client. */
final class XenIoctls {
    private static final long UNION = Abi.XEN_ATTR.at("u");
    private static final int WORDS = 8;

    private XenIoctls() {}

    static long ofVm(Xen xen, int request, long arg, long scratch) {
        switch (request) {
            case Ioctl.XEN_HVM_CONFIG -> {
                UserMemory.read(scratch, arg, Abi.XEN_HVM_CONFIG.bytes());
                xen.configure(
                        get32(scratch),
                        get32(scratch + Abi.XEN_HVM_CONFIG.at("msr")),
                        get64(scratch + Abi.XEN_HVM_CONFIG.at("blob_addr_32")),
                        get64(scratch + Abi.XEN_HVM_CONFIG.at("blob_addr_64")),
                        get8(scratch + Abi.XEN_HVM_CONFIG.at("blob_size_32")) & 0xff,
                        get8(scratch + Abi.XEN_HVM_CONFIG.at("blob_size_64")) & 0xff);
            }
            case Ioctl.XEN_HVM_EVTCHN_SEND -> {
                UserMemory.read(scratch, arg, Abi.XEN_EVTCHN.bytes());
                xen.send(
                        get32(scratch),
                        get32(scratch + Abi.XEN_EVTCHN.at("vcpu")),
                        get32(scratch + Abi.XEN_EVTCHN.at("priority")));
            }
            case Ioctl.XEN_HVM_SET_ATTR ->
                xen.setAttribute(
                        read(scratch, arg),
                        words(scratch),
                        fd -> Device.system().eventFds().open(fd));
            default -> {
                int type = read(scratch, arg);
                long[] u = words(scratch);
                xen.getAttribute(type, u);
                write(arg, scratch, u);
            }
        }
        return 0;
    }

    static void ofVcpu(Vcpu vcpu, int request, long arg, long scratch) {
        int type = read(scratch, arg);
        long[] u = words(scratch);
        if (request == Ioctl.XEN_VCPU_SET_ATTR) {
            vcpu.setXenAttribute(type, u);
        } else {
            vcpu.getXenAttribute(type, u);
            write(arg, scratch, u);
        }
    }

    /** The structure comes; its type. */
    private static int read(long scratch, long arg) {
        UserMemory.read(scratch, arg, Abi.XEN_ATTR.bytes());
        return get16(scratch) & 0xffff;
    }

    private static long[] words(long scratch) {
        long[] u = new long[WORDS];
        for (int i = 0; i < WORDS; i++) {
            u[i] = get64(scratch + UNION + 8L * i);
        }
        return u;
    }

    private static void write(long arg, long scratch, long[] u) {
        for (int i = 0; i < WORDS; i++) {
            put64(scratch + UNION + 8L * i, u[i]);
        }
        UserMemory.write(arg, scratch, Abi.XEN_ATTR.bytes());
    }
}
