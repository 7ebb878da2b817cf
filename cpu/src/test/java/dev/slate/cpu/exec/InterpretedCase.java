package dev.slate.cpu.exec;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.PhysicalMemory;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Decoder;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Mode;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;

/** Runs a {@link SiliconCase} on the interpreter, at CPL 3, with the helper's two pages of data and its pages of code. */
final class InterpretedCase implements AutoCloseable {
    private static final long PAGE_GPA = 0x40_0000;
    private static final long CODE_GPA = 0x50_0000;
    private static final int CODE_PAGES = 2 * SiliconHelper.BATCH * SiliconCase.CODE_BYTES / 4096;
    private static final long TABLES = 0x1000;
    private static final long GDT = 0x60_0000;
    private static final long LDT = 0x60_1000;
    private static final long KERNEL = 0xffff_8000_0000_0000L;

    private final PhysicalMemory memory;
    final CpuState s;
    private final long page;
    private final Scratch seen = new Scratch(SiliconCase.WINDOW_BYTES);
    private final Interpreter interpreter;
    private final Decoder decoder;
    private final long[] plain = new long[16 * Insn.WORDS];

    // What came of it: registers are in `s`.
    int trap;
    int error;
    long address;
    /** Address of the instruction after the last one that ran, or of the one that faulted. */
    long rip;
    /** How many instructions were carried out. */
    int completed;
    /** Address of what the window held afterwards. */
    final long window = seen.hva();
    /** {@link SiliconCase#sum}. */
    long sum;

    /** @param codePages host address of the helper's code, 0 for none */
    InterpretedCase(long features, long codePages) {
        memory = new PhysicalMemory(8 << 20, features);
        s = memory.cpu.s;
        page = memory.hva(PAGE_GPA);
        interpreter = new Interpreter(memory.cpu, new Events(memory.cpu));
        decoder = new Decoder(features);
        memory.mapAll();
        memory.longMode(TABLES);
        HostMemory.fill(memory.hva(TABLES + 8192), 4096, 0);
        long table = TABLES + 12288;
        HostMemory.put64(memory.hva(TABLES + 8192) + 8 * (SiliconCase.DATA >>> 21), table | 7);
        HostMemory.put64(memory.hva(table), PAGE_GPA | 7);
        HostMemory.put64(memory.hva(table) + 8, PAGE_GPA + 4096 | 5);
        HostMemory.put64(memory.hva(TABLES + 8192) + 8 * (SiliconSegments.ALIAS >>> 21), table + 8192 | 7);
        HostMemory.put64(memory.hva(table + 8192) + 8 * (SiliconSegments.ALIAS >>> 12 & 511), PAGE_GPA | 7);
        // The descriptor tables lie where no program's address can be.
        HostMemory.put64(memory.hva(TABLES) + 8 * 256, table + 12288 | 3);
        HostMemory.put64(memory.hva(table + 12288), table + 16384 | 3);
        HostMemory.put64(memory.hva(table + 16384) + 8 * (GDT >>> 21), GDT & -0x20_0000L | 0x83);
        for (int i = 0; i < SiliconSegments.count(); i++) {
            HostMemory.put64(memory.hva(LDT) + 8L * i, SiliconSegments.descriptor(i));
        }
        // As Linux has them.
        HostMemory.put64(memory.hva(GDT) + 0x20, 0x00cf_fb00_0000_ffffL);
        HostMemory.put64(memory.hva(GDT) + 0x28, 0x00cf_f300_0000_ffffL);
        HostMemory.put64(memory.hva(GDT) + 0x30, 0x00af_fb00_0000_ffffL);
        HostMemory.put64(memory.hva(GDT) + 0x78, 0x0040_f500_0000_0000L);
        s.gdtBase = KERNEL + GDT;
        s.gdtLimit = 0x7f;
        s.segBase[CpuState.LDTR] = KERNEL + LDT;
        s.segLimit[CpuState.LDTR] = 8 * SiliconSegments.count() - 1;
        s.segAttr[CpuState.LDTR] = 2 | CpuState.ATTR_P;
        if (codePages != 0) {
            HostMemory.put64(memory.hva(TABLES + 8192) + 8 * (SiliconCase.CODE >>> 21), table + 4096 | 7);
            for (int i = 0; i < CODE_PAGES; i++) {
                long gpa = CODE_GPA + 4096L * i;
                HostMemory.put64(memory.nestedEntry(gpa), codePages + 4096L * i | 7);
                HostMemory.put64(memory.hva(table + 4096) + 8L * i, gpa | 5);
            }
        }
        s.cr4 |= CpuState.CR4_OSFXSR | CpuState.CR4_OSXMMEXCPT | CpuState.CR4_OSXSAVE;
        s.xcr0 = 7;
        s.cpl = 3;
        memory.cpu.flushTlb();
        mode(Mode.BITS64);
    }

    private void mode(int mode) {
        boolean bits64 = mode == Mode.BITS64;
        for (int seg = 0; seg < 6; seg++) {
            s.segSelector[seg] = seg < CpuState.FS ? SiliconSegments.GDT_DATA : 0;
            s.segBase[seg] = 0;
            s.segLimit[seg] = -1;
            s.segAttr[seg] = 3
                    | CpuState.ATTR_S
                    | CpuState.ATTR_P
                    | CpuState.ATTR_DB
                    | CpuState.ATTR_G
                    | 3 << CpuState.ATTR_DPL_SHIFT;
        }
        s.segSelector[CpuState.CS] = bits64 ? 0x33 : code32;
        s.segAttr[CpuState.CS] = 0xb
                | CpuState.ATTR_S
                | CpuState.ATTR_P
                | CpuState.ATTR_G
                | (bits64 ? CpuState.ATTR_L : CpuState.ATTR_DB)
                | 3 << CpuState.ATTR_DPL_SHIFT;
        memory.cpu.modeChanged();
        segmented = false;
    }

    /** The segments are a case's, not the flat ones. */
    private boolean segmented;

    /** Loads a case's segments. */
    private void segments(SiliconCase in) {
        segmented = true;
        for (int seg = 0; seg < 6; seg++) {
            int selector = in.selector(seg);
            s.segSelector[seg] = selector;
            if (selector < 4) {
                s.segBase[seg] = 0;
                s.segLimit[seg] = 0;
                s.segAttr[seg] = CpuState.ATTR_UNUSABLE;
                continue;
            }
            long descriptor = HostMemory.get64(memory.hva((selector & 4) != 0 ? LDT : GDT) + (selector & ~7));
            s.segBase[seg] = Segments.base(descriptor);
            s.segLimit[seg] = Segments.limit(descriptor);
            s.segAttr[seg] = Segments.attributes(descriptor) | 1;
        }
        memory.cpu.modeChanged();
    }

    /** Selector of 32-bit code. */
    int code32 = 0x23;

    /** Tells the processor whether it knows five-level paging, as one does whose linear addresses have 57 bits; until then it does. */
    void linearBits(int bits) {
        long others = memory.cpu.controls.cr4Allowed & ~CpuState.CR4_LA57;
        memory.cpu.controls.cr4Allowed = bits > 48 ? others | CpuState.CR4_LA57 : others;
    }

    /** Null when the bytes are not whole instructions. */
    Block decode(SiliconCase c, int mode) {
        return decoder.decode(c.at + SiliconCase.CODE_AT, c.codeBytes(), mode);
    }

    /** Runs the instructions in their quick forms, as the processor would; false when the interpreter lacks one. */
    boolean run(SiliconCase in, Block block, boolean stepped) {
        int words = block.count * Insn.WORDS;
        System.arraycopy(block.code, 0, plain, 0, words);
        QuickOp.quicken(block.code, block.count, block.mode);
        try {
            return runPlain(in, block, stepped);
        } finally {
            System.arraycopy(plain, 0, block.code, 0, words);
        }
    }

    /** As {@link #run}, in the forms that the decoder gave them. */
    boolean runPlain(SiliconCase in, Block block, boolean stepped) {
        HostMemory.copy(in.at + SiliconCase.WINDOW_AT, page + SiliconCase.WINDOW, SiliconCase.WINDOW_BYTES);
        for (int i = 0; i < 16; i++) {
            s.gpr[i] = in.gpr(i);
        }
        s.setRflags(stepped ? in.rflags() | CpuState.TF : in.rflags());
        s.rip = in.rip();
        s.mxcsr = in.fxInt(24);
        s.fcw = in.fxInt(0) & 0xffff;
        s.fsw = in.fxInt(0) >>> 16;
        s.ftwValid = in.fxInt(4) & 0xff;
        int top = s.fsw >> 11 & 7;
        for (int i = 0; i < 8; i++) {
            s.fpMantissa[top + i & 7] = in.fxLong(32 + 16 * i);
            s.fpExponent[top + i & 7] = in.fxInt(40 + 16 * i) & 0xffff;
        }
        long[] xmm = s.xmm;
        for (int i = 0; i < 16; i++) {
            xmm[i * 4] = in.fxLong(160 + 16 * i);
            xmm[i * 4 + 1] = in.fxLong(168 + 16 * i);
            xmm[i * 4 + 2] = in.fxLong(576 + 16 * i);
            xmm[i * 4 + 3] = in.fxLong(584 + 16 * i);
        }
        s.fpOpcode = in.fxInt(4) >>> 16;
        s.fpIp = in.fxLong(8);
        s.fpDp = in.fxLong(16);
        s.fpCs = 0;
        s.fpDs = 0;
        s.cr2 = 0;
        trap = 1;
        error = 0;
        address = 0;
        memory.cpu.stop = false;
        if (in.segmented()) {
            segments(in);
        } else if (segmented || block.mode == Mode.BITS64 != memory.cpu.mode64) {
            mode(block.mode);
        } else {
            memory.cpu.modeChanged();
        }
        try {
            int exit = interpreter.run(block, block.count);
            if (exit == CpuExit.UNIMPLEMENTED) {
                takeMemory();
                return false;
            }
            if (exit != CpuExit.NONE) {
                throw new AssertionError("exit " + CpuExit.name(exit));
            }
            completed = block.count;
            rip = s.rip;
        } catch (GuestFault f) {
            trap = f.vector;
            error = f.errorCode;
            address = f.vector == GuestFault.PF ? s.cr2 : 0;
            completed = interpreter.at / Insn.WORDS;
            rip = s.rip + Insn.offset(block.code[completed * Insn.WORDS + 1]);
        }
        takeMemory();
        return true;
    }

    /** Takes {@link #window} and {@link #sum}, and makes the page zero again. */
    private void takeMemory() {
        HostMemory.copy(page + SiliconCase.WINDOW, window, SiliconCase.WINDOW_BYTES);
        HostMemory.fill(page + SiliconCase.WINDOW, SiliconCase.WINDOW_BYTES, 0);
        long any = 0;
        for (int i = 0; i < 4096; i += 8) {
            any |= HostMemory.get64(page + i);
        }
        long total = 0;
        if (any != 0) {
            for (int i = 0; i < 512; i++) {
                total += HostMemory.get64(page + 8L * i) * (2 * i + 1);
            }
            HostMemory.fill(page, 4096, 0);
        }
        sum = total;
    }

    @Override
    public void close() {
        memory.close();
    }
}
