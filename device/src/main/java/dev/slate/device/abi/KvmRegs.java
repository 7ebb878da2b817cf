package dev.slate.device.abi;

import static dev.slate.cpu.mem.HostMemory.get64;
import static dev.slate.cpu.mem.HostMemory.put64;
import static dev.slate.device.abi.Struct.u64;

import dev.slate.kvm.Regs;

/** {@code struct kvm_regs}. */
public final class KvmRegs {
    public static final Struct LAYOUT = Struct.of(
            "kvm_regs",
            u64("rax"),
            u64("rbx"),
            u64("rcx"),
            u64("rdx"),
            u64("rsi"),
            u64("rdi"),
            u64("rsp"),
            u64("rbp"),
            u64("r8"),
            u64("r9"),
            u64("r10"),
            u64("r11"),
            u64("r12"),
            u64("r13"),
            u64("r14"),
            u64("r15"),
            u64("rip"),
            u64("rflags"));
    /** Size in bytes. */
    public static final long BYTES = LAYOUT.bytes();

    private static final long RAX = LAYOUT.at("rax");
    private static final long RBX = LAYOUT.at("rbx");
    private static final long RCX = LAYOUT.at("rcx");
    private static final long RDX = LAYOUT.at("rdx");
    private static final long RSI = LAYOUT.at("rsi");
    private static final long RDI = LAYOUT.at("rdi");
    private static final long RSP = LAYOUT.at("rsp");
    private static final long RBP = LAYOUT.at("rbp");
    private static final long R8 = LAYOUT.at("r8");
    private static final long R9 = LAYOUT.at("r9");
    private static final long R10 = LAYOUT.at("r10");
    private static final long R11 = LAYOUT.at("r11");
    private static final long R12 = LAYOUT.at("r12");
    private static final long R13 = LAYOUT.at("r13");
    private static final long R14 = LAYOUT.at("r14");
    private static final long R15 = LAYOUT.at("r15");
    private static final long RIP = LAYOUT.at("rip");
    private static final long RFLAGS = LAYOUT.at("rflags");

    private KvmRegs() {}

    /** Reads the structure at {@code hva}. */
    public static void read(long hva, Regs into) {
        into.rax = get64(hva + RAX);
        into.rbx = get64(hva + RBX);
        into.rcx = get64(hva + RCX);
        into.rdx = get64(hva + RDX);
        into.rsi = get64(hva + RSI);
        into.rdi = get64(hva + RDI);
        into.rsp = get64(hva + RSP);
        into.rbp = get64(hva + RBP);
        into.r8 = get64(hva + R8);
        into.r9 = get64(hva + R9);
        into.r10 = get64(hva + R10);
        into.r11 = get64(hva + R11);
        into.r12 = get64(hva + R12);
        into.r13 = get64(hva + R13);
        into.r14 = get64(hva + R14);
        into.r15 = get64(hva + R15);
        into.rip = get64(hva + RIP);
        into.rflags = get64(hva + RFLAGS);
    }

    /** Writes the structure at {@code hva}. */
    public static void write(long hva, Regs from) {
        put64(hva + RAX, from.rax);
        put64(hva + RBX, from.rbx);
        put64(hva + RCX, from.rcx);
        put64(hva + RDX, from.rdx);
        put64(hva + RSI, from.rsi);
        put64(hva + RDI, from.rdi);
        put64(hva + RSP, from.rsp);
        put64(hva + RBP, from.rbp);
        put64(hva + R8, from.r8);
        put64(hva + R9, from.r9);
        put64(hva + R10, from.r10);
        put64(hva + R11, from.r11);
        put64(hva + R12, from.r12);
        put64(hva + R13, from.r13);
        put64(hva + R14, from.r14);
        put64(hva + R15, from.r15);
        put64(hva + RIP, from.rip);
        put64(hva + RFLAGS, from.rflags);
    }
}
