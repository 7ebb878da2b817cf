package dev.slate.device.abi;

import static dev.slate.device.abi.Struct.u64;
import static dev.slate.device.abi.Struct.u64s;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.DebugRegs;

/** {@code struct kvm_debugregs}. */
public final class KvmDebugRegs {
    public static final Struct LAYOUT =
            Struct.of("kvm_debugregs", u64s("db", 4), u64("dr6"), u64("dr7"), u64("flags"), u64s("reserved", 9));
    /** Size in bytes. */
    public static final long BYTES = LAYOUT.bytes();

    private static final long DB = LAYOUT.at("db");
    private static final long DR6 = LAYOUT.at("dr6");
    private static final long DR7 = LAYOUT.at("dr7");
    private static final long FLAGS = LAYOUT.at("flags");

    private KvmDebugRegs() {}

    /** Reads the structure at {@code hva}. */
    public static void read(long hva, DebugRegs into) {
        for (int i = 0; i < 4; i++) {
            into.db[i] = HostMemory.get64(hva + DB + 8L * i);
        }
        into.dr6 = HostMemory.get64(hva + DR6);
        into.dr7 = HostMemory.get64(hva + DR7);
        into.flags = HostMemory.get64(hva + FLAGS);
    }

    /** Writes the structure at {@code hva}. */
    public static void write(long hva, DebugRegs from) {
        HostMemory.fill(hva, BYTES, 0);
        for (int i = 0; i < 4; i++) {
            HostMemory.put64(hva + DB + 8L * i, from.db[i]);
        }
        HostMemory.put64(hva + DR6, from.dr6);
        HostMemory.put64(hva + DR7, from.dr7);
        HostMemory.put64(hva + FLAGS, from.flags);
    }
}
