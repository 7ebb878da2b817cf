package dev.slate.device.abi;

import static dev.slate.device.abi.Struct.u16;
import static dev.slate.device.abi.Struct.u32;
import static dev.slate.device.abi.Struct.u64;
import static dev.slate.device.abi.Struct.u8;
import static dev.slate.device.abi.Struct.u8s;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Fpu;

/** {@code struct kvm_fpu}. */
public final class KvmFpu {
    public static final Struct LAYOUT = Struct.of(
            "kvm_fpu",
            u8s("fpr", 128),
            u16("fcw"),
            u16("fsw"),
            u8("ftwx"),
            u8("pad1"),
            u16("last_opcode"),
            u64("last_ip"),
            u64("last_dp"),
            u8s("xmm", 256),
            u32("mxcsr"),
            u32("pad2"));
    /** Size in bytes. */
    public static final long BYTES = LAYOUT.bytes();

    private static final long FPR = LAYOUT.at("fpr");
    private static final long FCW = LAYOUT.at("fcw");
    private static final long FSW = LAYOUT.at("fsw");
    private static final long FTWX = LAYOUT.at("ftwx");
    private static final long LAST_OPCODE = LAYOUT.at("last_opcode");
    private static final long LAST_IP = LAYOUT.at("last_ip");
    private static final long LAST_DP = LAYOUT.at("last_dp");
    private static final long XMM = LAYOUT.at("xmm");
    private static final long MXCSR = LAYOUT.at("mxcsr");

    private KvmFpu() {}

    /** Reads the structure at {@code hva}. */
    public static void read(long hva, Fpu into) {
        HostMemory.copyOut(hva + FPR, into.fpr, 0, 128);
        into.fcw = HostMemory.get16(hva + FCW);
        into.fsw = HostMemory.get16(hva + FSW);
        into.ftwx = HostMemory.get8(hva + FTWX);
        into.lastOpcode = HostMemory.get16(hva + LAST_OPCODE);
        into.lastIp = HostMemory.get64(hva + LAST_IP);
        into.lastDp = HostMemory.get64(hva + LAST_DP);
        HostMemory.copyOut(hva + XMM, into.xmm, 0, 256);
        into.mxcsr = HostMemory.get32(hva + MXCSR);
    }

    /** Writes the structure at {@code hva}. */
    public static void write(long hva, Fpu from) {
        HostMemory.fill(hva, BYTES, 0);
        HostMemory.copyIn(from.fpr, 0, hva + FPR, 128);
        HostMemory.put16(hva + FCW, from.fcw);
        HostMemory.put16(hva + FSW, from.fsw);
        HostMemory.put8(hva + FTWX, from.ftwx);
        HostMemory.put16(hva + LAST_OPCODE, from.lastOpcode);
        HostMemory.put64(hva + LAST_IP, from.lastIp);
        HostMemory.put64(hva + LAST_DP, from.lastDp);
        HostMemory.copyIn(from.xmm, 0, hva + XMM, 256);
        HostMemory.put32(hva + MXCSR, from.mxcsr);
    }
}
