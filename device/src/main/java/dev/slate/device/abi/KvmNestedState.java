package dev.slate.device.abi;

import static dev.slate.device.abi.Struct.inner;
import static dev.slate.device.abi.Struct.u16;
import static dev.slate.device.abi.Struct.u32;
import static dev.slate.device.abi.Struct.u64;
import static dev.slate.device.abi.Struct.u8s;
import static dev.slate.device.abi.Struct.union;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.NestedState;

/** {@code struct kvm_nested_state}, with the header of AMD's format. The VMCB follows. */
public final class KvmNestedState {
    public static final Struct LAYOUT = Struct.of(
            "kvm_nested_state",
            u16("flags"),
            u16("format"),
            u32("size"),
            union("hdr", inner("svm", u64("vmcb_pa")), u8s("pad", 120)));

    /** Size in bytes of the header. */
    public static final long BYTES = LAYOUT.bytes();

    private static final long FLAGS = LAYOUT.at("flags");
    private static final long FORMAT = LAYOUT.at("format");
    private static final long SIZE = LAYOUT.at("size");
    private static final long VMCB_PA = LAYOUT.at("hdr.svm.vmcb_pa");

    private KvmNestedState() {}

    /** The size that the structure at {@code hva} says. */
    public static int size(long hva) {
        return HostMemory.get32(hva + SIZE);
    }

    /** Writes only the size. */
    public static void putSize(long hva, int size) {
        HostMemory.put32(hva + SIZE, size);
    }

    /** Reads the header at {@code hva}. */
    public static void read(long hva, NestedState into) {
        into.flags = HostMemory.get16(hva + FLAGS) & 0xffff;
        into.format = HostMemory.get16(hva + FORMAT) & 0xffff;
        into.size = HostMemory.get32(hva + SIZE);
        into.vmcbGpa = HostMemory.get64(hva + VMCB_PA);
    }

    /** Writes the header at {@code hva}. */
    public static void write(long hva, NestedState from) {
        HostMemory.fill(hva, BYTES, 0);
        HostMemory.put16(hva + FLAGS, from.flags);
        HostMemory.put16(hva + FORMAT, from.format);
        HostMemory.put32(hva + SIZE, from.size);
        HostMemory.put64(hva + VMCB_PA, from.vmcbGpa);
    }
}
