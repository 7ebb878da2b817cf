package dev.slate.cpu.exec;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.PhysicalMemory;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Decoder;
import dev.slate.cpu.decode.Mode;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;

/** Runs a {@link SiliconCase} on the interpreter, at CPL 3, with the helper's two pages of data. */
final class InterpretedCase implements AutoCloseable {
    private static final long PAGE_GPA = 0x40_0000;
    private static final long TABLES = 0x1000;

    private final PhysicalMemory memory = new PhysicalMemory(8 << 20);
    private final CpuState s = memory.cpu.s;
    private final Interpreter interpreter = new Interpreter(memory.cpu, new Events(memory.cpu));
    private final Decoder decoder;
    private final Scratch text = new Scratch(64);

    InterpretedCase(long features) {
        decoder = new Decoder(features);
        memory.mapAll();
        memory.longMode(TABLES);
        HostMemory.fill(memory.hva(TABLES + 8192), 4096, 0);
        long table = TABLES + 12288;
        HostMemory.put64(memory.hva(TABLES + 8192) + 8 * (SiliconCase.DATA >>> 21), table | 7);
        HostMemory.put64(memory.hva(table), PAGE_GPA | 7);
        HostMemory.put64(memory.hva(table) + 8, PAGE_GPA + 4096 | 5);
        s.segSelector[CpuState.CS] = 0x33;
        s.segSelector[CpuState.SS] = 0x2b;
        for (int seg : new int[] {CpuState.ES, CpuState.DS, CpuState.FS, CpuState.GS}) {
            s.segSelector[seg] = 0;
        }
        s.cr4 |= CpuState.CR4_OSFXSR | CpuState.CR4_OSXMMEXCPT;
        s.cpl = 3;
        memory.cpu.flushTlb();
        memory.cpu.modeChanged();
    }

    Block decode(SiliconCase c) {
        HostMemory.copyIn(c.code, 0, text.hva(), 16);
        return decoder.decodeOne(text.hva(), 15, Mode.BITS64);
    }

    /** False when the interpreter lacks the instruction. */
    boolean run(SiliconCase in, Block block, SiliconCase out) {
        long page = memory.hva(PAGE_GPA);
        HostMemory.fill(page, 4096, 0);
        HostMemory.copyIn(in.window, 0, page + SiliconCase.WINDOW, SiliconCase.WINDOW_BYTES);
        System.arraycopy(in.gpr, 0, s.gpr, 0, 16);
        s.setRflags(in.rflags | CpuState.TF);
        s.rip = SiliconCase.CODE;
        s.mxcsr = in.fxInt(24);
        s.fcw = in.fxInt(0) & 0xffff;
        s.fsw = in.fxInt(0) >>> 16;
        s.ftwValid = in.fx[4] & 0xff;
        int top = s.fsw >> 11 & 7;
        for (int i = 0; i < 8; i++) {
            s.fpMantissa[top + i & 7] = in.fxLong(32 + 16 * i);
            s.fpExponent[top + i & 7] = in.fxInt(40 + 16 * i) & 0xffff;
        }
        for (int i = 0; i < 16; i++) {
            s.xmm[i * 4] = in.fxLong(160 + 16 * i);
            s.xmm[i * 4 + 1] = in.fxLong(168 + 16 * i);
        }
        s.fpIp = 0;
        s.fpDp = 0;
        s.fpOpcode = 0;
        s.cr2 = 0;
        out.trap = 1;
        out.error = 0;
        out.address = 0;
        memory.cpu.stop = false;
        memory.cpu.modeChanged();
        try {
            int exit = interpreter.run(block, 1);
            if (exit == CpuExit.UNIMPLEMENTED) {
                return false;
            }
            if (exit != CpuExit.NONE) {
                throw new AssertionError("exit " + CpuExit.name(exit));
            }
        } catch (GuestFault f) {
            out.trap = f.vector;
            out.error = f.errorCode;
            out.address = f.vector == GuestFault.PF ? s.cr2 : 0;
        }
        System.arraycopy(s.gpr, 0, out.gpr, 0, 16);
        out.rflags = s.rflags();
        out.rip = s.rip;
        System.arraycopy(in.fx, 0, out.fx, 0, SiliconCase.FX_BYTES);
        out.setFxInt(0, s.fcw | s.fsw << 16);
        out.fx[4] = (byte) s.ftwValid;
        out.setFxInt(24, s.mxcsr);
        top = s.fsw >> 11 & 7;
        for (int i = 0; i < 8; i++) {
            out.setFxLong(32 + 16 * i, s.fpMantissa[top + i & 7]);
            out.setFxLong(40 + 16 * i, s.fpExponent[top + i & 7] & 0xffff);
        }
        for (int i = 0; i < 16; i++) {
            out.setFxLong(160 + 16 * i, s.xmm[i * 4]);
            out.setFxLong(168 + 16 * i, s.xmm[i * 4 + 1]);
        }
        HostMemory.copyOut(page + SiliconCase.WINDOW, out.window, 0, SiliconCase.WINDOW_BYTES);
        long sum = 0;
        for (int i = 0; i < 512; i++) {
            sum = sum * 31 + HostMemory.get64(page + 8L * i);
        }
        out.sum = sum;
        return true;
    }

    @Override
    public void close() {
        memory.close();
    }
}
