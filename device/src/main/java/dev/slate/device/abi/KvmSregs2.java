package dev.slate.device.abi;

import static dev.slate.cpu.mem.HostMemory.fill;
import static dev.slate.cpu.mem.HostMemory.get64;
import static dev.slate.cpu.mem.HostMemory.put64;
import static dev.slate.device.abi.Struct.u64;
import static dev.slate.device.abi.Struct.u64s;

import dev.slate.kvm.Sregs;
import java.util.Arrays;

/** {@code struct kvm_sregs2}: {@code kvm_sregs} with PAE paging's directory pointers where that has interrupts. */
public final class KvmSregs2 {
    public static final Struct LAYOUT = KvmSregs.layout("kvm_sregs2", u64("flags"), u64s("pdptrs", 4));
    /** Size in bytes. */
    public static final long BYTES = LAYOUT.bytes();

    private static final long FLAGS = LAYOUT.at("flags");
    private static final long PDPTRS = LAYOUT.at("pdptrs");

    private KvmSregs2() {}

    /** Reads the structure at {@code hva}, all but the flags; the interrupts are none. */
    public static void read(long hva, Sregs into, long[] pdptrs) {
        KvmSregs.read(hva, into);
        Arrays.fill(into.interruptBitmap, 0);
        for (int i = 0; i < 4; i++) {
            pdptrs[i] = get64(hva + PDPTRS + 8L * i);
        }
    }

    /** The structure's flags. */
    public static long flags(long hva) {
        return get64(hva + FLAGS);
    }

    /** Writes the structure at {@code hva}. */
    public static void write(long hva, Sregs from, long flags, long[] pdptrs) {
        KvmSregs.write(hva, from);
        fill(hva + FLAGS, BYTES - FLAGS, 0);
        put64(hva + FLAGS, flags);
        for (int i = 0; i < 4; i++) {
            put64(hva + PDPTRS + 8L * i, pdptrs[i]);
        }
    }
}
