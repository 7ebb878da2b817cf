package dev.slate.cpu;

import dev.slate.cpu.mem.HostMemory;
import java.util.HexFormat;

/**
 * A processor in 32-bit protected mode without paging, at privilege 0: flat segments of both privileges, a TSS, and a handler for every
 * vector that halts at {@link #handler}. For tests of what moves between tasks, rings and modes.
 */
public final class Protected32 implements AutoCloseable {
    public static final int GDT = 0x10_0000;
    public static final int IDT = 0x10_1000;
    /** The running task's TSS. */
    public static final int TSS = 0x10_2000;

    public static final int CODE = 0x20_0000;
    public static final int STACK = 0x18_0000;
    /** ESP0 of {@link #TSS}. */
    public static final int STACK0 = 0x19_0000;

    private static final int HANDLERS = 0x21_0000;

    public static final int CODE0 = 0x08;
    public static final int DATA0 = 0x10;
    public static final int CODE3 = 0x1b;
    public static final int DATA3 = 0x23;
    public static final int TASK = 0x28;
    /** First selector of the table that is free for a test. */
    public static final int FREE = 0x30;

    public final PhysicalMemory memory;
    public final Cpu cpu;
    public final CpuState s;

    /** With a processor of AMD's. */
    public Protected32() {
        this(Vendor.AMD);
    }

    public Protected32(Vendor vendor) {
        memory = new PhysicalMemory(8 << 20, vendor.features());
        cpu = memory.cpu;
        s = cpu.s;
        memory.mapAll();
        descriptor(CODE0, 0, 0xfffff, 0x9b, 0xc);
        descriptor(DATA0, 0, 0xfffff, 0x93, 0xc);
        descriptor(CODE3 & ~3, 0, 0xfffff, 0xfb, 0xc);
        descriptor(DATA3 & ~3, 0, 0xfffff, 0xf3, 0xc);
        descriptor(TASK, TSS, 0x67, 0x8b, 0);
        put32(TSS + 4, STACK0);
        put32(TSS + 8, DATA0);
        s.gdtBase = GDT;
        s.gdtLimit = 0xfff;
        s.idtBase = IDT;
        s.idtLimit = 0x7ff;
        for (int v = 0; v < 64; v++) {
            gate(v, CODE0, handler(v), 0x8e);
            HostMemory.put8(memory.hva(handler(v)), 0xf4);
        }
        s.cr0 = CpuState.CR0_PE | CpuState.CR0_ET | CpuState.CR0_NE;
        segment(CpuState.CS, CODE0, 0xc09b);
        for (int seg : new int[] {CpuState.ES, CpuState.SS, CpuState.DS, CpuState.FS, CpuState.GS}) {
            segment(seg, DATA0, 0xc093);
        }
        s.segSelector[CpuState.TR] = TASK;
        s.segBase[CpuState.TR] = TSS;
        s.segLimit[CpuState.TR] = 0x67;
        s.segAttr[CpuState.TR] = 0x8b;
        s.segAttr[CpuState.LDTR] = CpuState.ATTR_UNUSABLE;
        s.gpr[CpuState.RSP] = STACK;
        cpu.modeChanged();
    }

    private void segment(int seg, int selector, int attr) {
        s.segSelector[seg] = selector;
        s.segBase[seg] = 0;
        s.segLimit[seg] = -1;
        s.segAttr[seg] = attr;
    }

    /** Privilege 3 with the flat segments. */
    public void user() {
        s.cpl = 3;
        segment(CpuState.CS, CODE3, 0xc0fb);
        for (int seg : new int[] {CpuState.ES, CpuState.SS, CpuState.DS, CpuState.FS, CpuState.GS}) {
            segment(seg, DATA3, 0xc0f3);
        }
        cpu.modeChanged();
    }

    /** Where the handler of a vector halts, rip behind it. */
    public static int handler(int vector) {
        return HANDLERS + vector * 2;
    }

    public void descriptor(int selector, long base, int limit, int access, int flags) {
        put64(
                GDT + (selector & ~7),
                limit & 0xffff
                        | (base & 0xff_ffff) << 16
                        | (long) access << 40
                        | (long) (limit >> 16 & 15) << 48
                        | (long) flags << 52
                        | (base >>> 24 & 0xff) << 56);
    }

    public void gate(int vector, int selector, int target, int access) {
        put64(IDT + 8L * vector, gateDescriptor(selector, target, access));
    }

    public static long gateDescriptor(int selector, int target, int access) {
        return target & 0xffff | (long) selector << 16 | (long) access << 40 | (target >>> 16 & 0xffffL) << 48;
    }

    /** A 32-bit TSS of a privilege-0 task that starts at {@code eip} with flat segments. */
    public void task32(int tss, int eip, int esp) {
        put32(tss + 0x20, eip);
        put32(tss + 0x24, 2);
        for (int i = 0; i < 8; i++) {
            put32(tss + 0x28 + 4 * i, 0x1000_0000 + i);
        }
        put32(tss + 0x38, esp);
        for (int i = 0; i < 6; i++) {
            put32(tss + 0x48 + 4 * i, i == CpuState.CS ? CODE0 : DATA0);
        }
    }

    public void code(int at, String hex) {
        byte[] bytes = HexFormat.of().parseHex(hex.replace(" ", ""));
        HostMemory.copyIn(bytes, 0, memory.hva(at), bytes.length);
    }

    /** Puts code at {@link #CODE} and starts there. */
    public void start(String hex) {
        code(CODE, hex);
        cpu.serialize();
        s.rip = CODE;
    }

    public int run() {
        return cpu.run();
    }

    /** The vector whose handler has halted, or -1. */
    public int vector() {
        long n = s.rip - HANDLERS;
        return s.segSelector[CpuState.CS] == CODE0 && n >= 0 && n < 128 ? (int) n / 2 : -1;
    }

    public int top(int slot) {
        return get32(s.segBase[CpuState.SS] + s.gpr[CpuState.RSP] + 4L * slot);
    }

    public void put64(long gpa, long v) {
        HostMemory.put64(memory.hva(gpa), v);
    }

    public void put32(long gpa, int v) {
        HostMemory.put32(memory.hva(gpa), v);
    }

    public void put16(long gpa, int v) {
        HostMemory.put16(memory.hva(gpa), v);
    }

    public int get32(long gpa) {
        return HostMemory.get32(memory.hva(gpa));
    }

    public int get16(long gpa) {
        return HostMemory.get16(memory.hva(gpa));
    }

    public int get8(long gpa) {
        return HostMemory.get8(memory.hva(gpa));
    }

    @Override
    public void close() {
        memory.close();
    }
}
