package dev.slate.cpu.exec;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.PhysicalMemory;
import dev.slate.cpu.TranslationBudget;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.translate.x64.NoFaults;
import dev.slate.cpu.translate.x64.X64Translator;
import org.jspecify.annotations.Nullable;

/** Runs a {@link SiliconCase} as translated code, on a machine like {@link InterpretedCase}'s, and fills an image with what comes of it. */
final class TranslatedCase implements AutoCloseable {
    private static final long PAGE_GPA = 0x40_0000;
    private static final long CODE_GPA = 0x50_0000;
    private static final long TABLES = 0x1000;

    final PhysicalMemory memory;
    private final Cpu cpu;
    private final CpuState s;
    private final long page;
    final @Nullable X64Translator translator;

    TranslatedCase(long features, long codeBytes) {
        this(features, codeBytes, false);
    }

    /** {@code compares}: in lockstep with the interpreter. */
    TranslatedCase(long features, long codeBytes, boolean compares) {
        memory = new PhysicalMemory(8 << 20, features);
        cpu = memory.cpu;
        s = cpu.s;
        page = memory.hva(PAGE_GPA);
        memory.mapAll();
        memory.longMode(TABLES);
        HostMemory.fill(memory.hva(TABLES + 8192), 4096, 0);
        long table = TABLES + 12288;
        HostMemory.put64(memory.hva(TABLES + 8192) + 8 * (SiliconCase.DATA >>> 21), table | 7);
        HostMemory.put64(memory.hva(table), PAGE_GPA | 7);
        HostMemory.put64(memory.hva(table) + 8, PAGE_GPA + 4096 | 5);
        HostMemory.put64(memory.hva(TABLES + 8192) + 8 * (SiliconSegments.ALIAS >>> 21), table + 8192 | 7);
        HostMemory.put64(memory.hva(table + 8192) + 8 * (SiliconSegments.ALIAS >>> 12 & 511), PAGE_GPA | 7);
        HostMemory.put64(memory.hva(TABLES + 8192) + 8 * (SiliconCase.CODE >>> 21), table + 4096 | 7);
        HostMemory.put64(memory.hva(table + 4096), CODE_GPA | 5);
        s.segSelector[CpuState.SS] = 0x2b;
        s.segSelector[CpuState.ES] = 0x2b;
        s.segSelector[CpuState.DS] = 0x2b;
        s.segSelector[CpuState.FS] = 0;
        s.segSelector[CpuState.GS] = 0;
        s.segSelector[CpuState.CS] = 0x33;
        s.segAttr[CpuState.CS] |= 3 << CpuState.ATTR_DPL_SHIFT;
        s.cr4 |= CpuState.CR4_OSFXSR | CpuState.CR4_OSXMMEXCPT | CpuState.CR4_OSXSAVE;
        s.xcr0 = 7;
        s.cpl = 3;
        cpu.controls.interceptedVectors = 1 << GuestFault.BP;
        cpu.flushTlb();
        translator = NoFaults.translator(cpu, 1, new TranslationBudget(codeBytes), compares);
        if (translator != null) {
            cpu.translator(translator);
        }
    }

    /** Where slot {@code i}'s code stands. */
    static long codeAddress(int i) {
        return SiliconCase.CODE + (long) i * SiliconCase.CODE_BYTES;
    }

    /** Runs {@code in}'s code; {@code out} gets the state, with {@code trap} where the guest faulted. */
    int run(SiliconCase in, SiliconCase out, int trap, int error) {
        HostMemory.copy(in.at + SiliconCase.WINDOW_AT, page + SiliconCase.WINDOW, SiliconCase.WINDOW_BYTES);
        long code = memory.hva(CODE_GPA + in.rip() - SiliconCase.CODE);
        HostMemory.copy(in.at + SiliconCase.CODE_AT, code, in.codeBytes());
        HostMemory.put8(code + in.codeBytes(), 0xcc);
        for (int i = 0; i < 16; i++) {
            s.gpr[i] = in.gpr(i);
        }
        s.setRflags(in.rflags());
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
        for (int i = 0; i < 16; i++) {
            s.xmm[i * 4] = in.fxLong(160 + 16 * i);
            s.xmm[i * 4 + 1] = in.fxLong(168 + 16 * i);
            s.xmm[i * 4 + 2] = in.fxLong(576 + 16 * i);
            s.xmm[i * 4 + 3] = in.fxLong(584 + 16 * i);
        }
        s.fpOpcode = in.fxInt(4) >>> 16;
        s.fpIp = in.fxLong(8);
        s.fpDp = in.fxLong(16);
        s.fpCs = 0;
        s.fpDs = 0;
        s.cr2 = 0;
        s.cpl = 3;
        cpu.serialize();
        int exit = cpu.run();
        out.set(0, 0);
        for (int i = 0; i < 16; i++) {
            out.gpr(i, s.gpr[i]);
        }
        out.rflags(s.rflags());
        out.rip(s.rip);
        boolean ended = exit == CpuExit.DEBUG;
        HostMemory.put32(out.at + 144, ended ? 1 : trap);
        HostMemory.put32(out.at + 148, ended ? 0 : error);
        out.set(152, s.cr2);
        out.fxInt(0, s.fcw | s.fsw << 16);
        out.fxInt(4, s.ftwValid | s.fpOpcode << 16);
        out.fxLong(8, s.fpIp);
        out.fxLong(16, s.fpDp);
        out.fxInt(24, s.mxcsr);
        top = s.fsw >> 11 & 7;
        for (int i = 0; i < 8; i++) {
            out.fxLong(32 + 16 * i, s.fpMantissa[top + i & 7]);
            out.fxInt(40 + 16 * i, s.fpExponent[top + i & 7]);
        }
        for (int i = 0; i < 16; i++) {
            out.fxLong(160 + 16 * i, s.xmm[i * 4]);
            out.fxLong(168 + 16 * i, s.xmm[i * 4 + 1]);
            out.fxLong(576 + 16 * i, s.xmm[i * 4 + 2]);
            out.fxLong(584 + 16 * i, s.xmm[i * 4 + 3]);
        }
        HostMemory.copy(page + SiliconCase.WINDOW, out.at + SiliconCase.WINDOW_AT, SiliconCase.WINDOW_BYTES);
        HostMemory.fill(page + SiliconCase.WINDOW, SiliconCase.WINDOW_BYTES, 0);
        long sum = 0;
        for (int i = 0; i < 512; i++) {
            sum += HostMemory.get64(page + 8L * i) * (2 * i + 1);
        }
        HostMemory.fill(page, 4096, 0);
        out.set(160, sum);
        return exit;
    }

    @Override
    public void close() {
        if (translator != null) {
            translator.close();
        }
        memory.close();
    }
}
