package dev.slate.cpu;

import dev.slate.cpu.mem.HostMemory;
import java.util.HexFormat;

/**
 * A processor in 64-bit mode at privilege 0: flat segments of both privileges in the order that SYSCALL, SYSRET, SYSENTER and SYSEXIT want
 * them, a TSS, and a handler for every vector that halts. For tests of what moves between rings and modes.
 */
public final class Long64 implements AutoCloseable {
    public static final int GDT = 0x10_0000;
    public static final int IDT = 0x10_1000;
    public static final int TSS = 0x10_2000;
    public static final int CODE = 0x20_0000;
    public static final int STACK = 0x18_0000;
    /** RSP0 of the TSS. */
    public static final int STACK0 = 0x19_0000;

    public static final int DATA = 0x30_0000;

    private static final int HANDLERS = 0x21_0000;

    public static final int CODE0 = 0x08;
    public static final int DATA0 = 0x10;
    /** 32-bit code of privilege 3. */
    public static final int COMPAT3 = 0x1b;

    public static final int DATA3 = 0x23;
    public static final int CODE3 = 0x2b;
    /** 32-bit code of privilege 0. */
    public static final int COMPAT0 = 0x30;

    public final PhysicalMemory memory;
    public final Cpu cpu;
    public final CpuState s;

    public Long64(Vendor vendor) {
        this(vendor.features());
    }

    public Long64(long features) {
        memory = new PhysicalMemory(8 << 20, features);
        cpu = memory.cpu;
        s = cpu.s;
        memory.mapAll();
        memory.longMode(0x1000);
        put64(GDT + CODE0, 0x00af_9b00_0000_ffffL);
        put64(GDT + DATA0, 0x00cf_9300_0000_ffffL);
        put64(GDT + (COMPAT3 & ~3), 0x00cf_fb00_0000_ffffL);
        put64(GDT + (DATA3 & ~3), 0x00cf_f300_0000_ffffL);
        put64(GDT + (CODE3 & ~3), 0x00af_fb00_0000_ffffL);
        put64(GDT + COMPAT0, 0x00cf_9b00_0000_ffffL);
        s.gdtBase = GDT;
        s.gdtLimit = 0xfff;
        s.idtBase = IDT;
        s.idtLimit = 0xfff;
        for (int v = 0; v < 256; v++) {
            long target = handler(v);
            put64(IDT + 16L * v, target & 0xffff | CODE0 << 16 | 0xee00L << 32 | (target >>> 16 & 0xffff) << 48);
            put64(IDT + 16L * v + 8, 0);
            HostMemory.put8(memory.hva(target), 0xf4);
        }
        s.segBase[CpuState.TR] = TSS;
        s.segLimit[CpuState.TR] = 0x67;
        s.segAttr[CpuState.TR] = 0x8b;
        s.segAttr[CpuState.LDTR] = CpuState.ATTR_UNUSABLE;
        put64(TSS + 4, STACK0);
        s.gpr[CpuState.RSP] = STACK;
        s.efer |= CpuState.EFER_SCE;
        s.star = (long) COMPAT3 << 48 | (long) CODE0 << 32;
        s.sysenterCs = CODE0;
        cpu.modeChanged();
    }

    /** Where the handler of a vector halts, rip behind it. */
    public static int handler(int vector) {
        return HANDLERS + vector * 2;
    }

    /** Code of 32 bits at a privilege in the same address space. */
    public void compatibility(int cpl) {
        s.cpl = cpl;
        s.segSelector[CpuState.CS] = cpl == 3 ? COMPAT3 : COMPAT0;
        s.segAttr[CpuState.CS] = 0xc09b | cpl << CpuState.ATTR_DPL_SHIFT;
        stack(cpl);
    }

    /** 64-bit code at privilege 3. */
    public void user() {
        s.cpl = 3;
        s.segSelector[CpuState.CS] = CODE3;
        s.segAttr[CpuState.CS] = 0xa0fb;
        stack(3);
    }

    private void stack(int cpl) {
        s.segSelector[CpuState.SS] = cpl == 3 ? DATA3 : DATA0;
        s.segAttr[CpuState.SS] = 0xc093 | cpl << CpuState.ATTR_DPL_SHIFT;
        cpu.modeChanged();
    }

    public void code(long at, String hex) {
        byte[] bytes = HexFormat.of().parseHex(hex.replace(" ", ""));
        HostMemory.copyIn(bytes, 0, memory.hva(at), bytes.length);
        cpu.serialize();
    }

    /** Puts code at {@link #CODE} and starts there. */
    public void start(String hex) {
        code(CODE, hex);
        s.rip = CODE;
    }

    public int run() {
        return cpu.run();
    }

    /** The vector whose handler has halted, or -1. */
    public int vector() {
        long n = s.rip - HANDLERS;
        return s.cpl == 0 && n >= 0 && n < 512 ? (int) n / 2 : -1;
    }

    /** A slot of 8 bytes above the stack's top. */
    public long top(int slot) {
        return get64(s.gpr[CpuState.RSP] + 8L * slot);
    }

    public void put64(long gpa, long v) {
        HostMemory.put64(memory.hva(gpa), v);
    }

    public long get64(long gpa) {
        return HostMemory.get64(memory.hva(gpa));
    }

    @Override
    public void close() {
        memory.close();
    }
}
