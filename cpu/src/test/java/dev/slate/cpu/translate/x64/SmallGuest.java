package dev.slate.cpu.translate.x64;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.PhysicalMemory;
import dev.slate.cpu.TranslationBudget;
import dev.slate.cpu.mem.HostMemory;
import org.junit.jupiter.api.AfterEach;

/** A guest in 64-bit mode whose code a test writes byte by byte, and whose blocks become machine code. */
abstract class SmallGuest {
    static final int TABLES = 0x1000;
    static final int CODE = 0x20_0000;
    static final int STACK = 0x18_0000;

    final PhysicalMemory memory = new PhysicalMemory(8 << 20);
    final CpuState s = memory.cpu.s;
    /** Where the next byte of code goes. */
    int at = CODE;

    SmallGuest() {
        begin(memory);
    }

    /** Has a machine begin at {@link #CODE}. */
    static void begin(PhysicalMemory m) {
        m.mapAll();
        m.longMode(TABLES);
        m.cpu.flushTlb();
        m.cpu.s.gpr[CpuState.RSP] = STACK;
        m.cpu.s.setRflags(2);
        m.cpu.s.rip = CODE;
    }

    /** Has blocks become machine code when they are entered for the {@code threshold}th time. */
    final X64Translator translate(int threshold) {
        X64Translator translator = NoFaults.translator(memory.cpu, threshold, new TranslationBudget(4 << 20));
        assumeTrue(translator != null, "this host allows no executable memory");
        memory.cpu.translator(translator);
        return translator;
    }

    @AfterEach
    final void close() {
        memory.cpu.close();
        memory.close();
    }

    final void bytes(int... v) {
        for (int b : v) {
            HostMemory.put8(memory.hva(at++), b);
        }
    }

    final void int32(int v) {
        HostMemory.put32(memory.hva(at), v);
        at += 4;
    }

    final void int64(long v) {
        int32((int) v);
        int32((int) (v >>> 32));
    }

    /** dec %r15d; jne the start; hlt: so many rounds in all. */
    final void repeat(int rounds) {
        bytes(0x41, 0xff, 0xcf, 0x0f, 0x85);
        int32(CODE - (at + 4));
        bytes(0xf4);
        s.gpr[15] = rounds;
    }
}
