package dev.slate.device;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.device.abi.Abi;

/** The fields of {@code struct kvm_enable_cap}. */
final class Caps {
    static final long CAP = Abi.ENABLE_CAP.at("cap");
    static final long FLAGS = Abi.ENABLE_CAP.at("flags");
    private static final long ARGS = Abi.ENABLE_CAP.at("args");

    private Caps() {}

    /** The four arguments. */
    static long[] arguments(long hva) {
        long[] args = new long[4];
        for (int i = 0; i < 4; i++) {
            args[i] = HostMemory.get64(hva + ARGS + 8L * i);
        }
        return args;
    }
}
