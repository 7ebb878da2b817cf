package dev.slate.device.abi;

import static dev.slate.device.abi.Struct.u32;
import static dev.slate.device.abi.Struct.u32s;
import static dev.slate.device.abi.Struct.u64;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.ClockData;

/** {@code struct kvm_clock_data}. */
public final class KvmClockData {
    public static final Struct LAYOUT = Struct.of(
            "kvm_clock_data",
            u64("clock"),
            u32("flags"),
            u32("pad0"),
            u64("realtime"),
            u64("host_tsc"),
            u32s("pad", 4));
    /** Size in bytes. */
    public static final long BYTES = LAYOUT.bytes();

    private static final long CLOCK = LAYOUT.at("clock");
    private static final long FLAGS = LAYOUT.at("flags");
    private static final long REALTIME = LAYOUT.at("realtime");
    private static final long HOST_TSC = LAYOUT.at("host_tsc");

    private KvmClockData() {}

    /** Reads the structure at {@code hva}. */
    public static void read(long hva, ClockData into) {
        into.clock = HostMemory.get64(hva + CLOCK);
        into.flags = HostMemory.get32(hva + FLAGS);
        into.realtime = HostMemory.get64(hva + REALTIME);
        into.hostTsc = HostMemory.get64(hva + HOST_TSC);
    }

    /** Writes the structure at {@code hva}. */
    public static void write(long hva, ClockData from) {
        HostMemory.fill(hva, BYTES, 0);
        HostMemory.put64(hva + CLOCK, from.clock);
        HostMemory.put32(hva + FLAGS, from.flags);
        HostMemory.put64(hva + REALTIME, from.realtime);
        HostMemory.put64(hva + HOST_TSC, from.hostTsc);
    }
}
