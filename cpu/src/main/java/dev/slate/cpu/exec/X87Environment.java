package dev.slate.cpu.exec;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Insn;

/** The x87's environment and whole state in memory: FNSTENV, FLDENV, FNSAVE, FRSTOR, and FNINIT (SDM 1 8.1.10, 8.1.11). */
final class X87Environment {
    private final Operands o;
    private final Cpu cpu;
    private final CpuState s;
    private final X87Stack x;

    X87Environment(Operands o, X87Stack x) {
        this.o = o;
        this.cpu = o.cpu;
        this.s = o.s;
        this.x = x;
    }

    void initialize() {
        s.fcw = 0x37f;
        s.fsw = 0;
        s.ftwValid = 0;
        forget();
    }

    private void forget() {
        s.fpOpcode = 0;
        s.fpIp = 0;
        s.fpDp = 0;
        s.fpCs = 0;
        s.fpDs = 0;
    }

    /**
     * Notes the instruction that has run for a handler of its exceptions. Intel's processors note opcode and data pointer only when
     * there is an exception to handle (SDM 1 8.1.8 and 8.1.9; CPUID.7.0.EBX bit 6). Then all of the pointer stays, though
     * outside 64-bit mode older ones (model 85, and not 207) clear its upper half.
     */
    void remember(long w0, long w1, int opcode) {
        s.fpIp = o.rip(w1);
        s.fpCs = s.segSelector[CpuState.CS];
        if (cpu.intel && (s.fsw & X87Stack.SUMMARY) == 0) {
            return;
        }
        s.fpOpcode = opcode & 0x7ff;
        if ((w0 & Insn.MEM) != 0) {
            s.fpDp = o.offset(w0, w1);
            s.fpDs = s.segSelector[Insn.segment(w0)];
        }
    }

    void store(long w0, long w1, boolean registers) {
        int word = Insn.size(w0) != 1 ? 2 : 1;
        int bytes = 7 << word;
        int seg = Insn.segment(w0);
        prove(w0, w1, word, registers, true);
        int tags = 0;
        for (int r = 0; r < 8; r++) {
            tags |= x.tag(r) << 2 * r;
        }
        fill(word == 2, tags);
        for (int i = 0; i < 7; i++) {
            cpu.store(seg, o.part(w0, w1, i << word, 1 << word, true), word, words[i]);
        }
        if (!registers) {
            // All exceptions are masked afterwards.
            s.fcw |= 0x3f;
            x.summarize();
            return;
        }
        for (int i = 0; i < 8; i++) {
            int r = x.physical(i);
            cpu.store64(seg, o.part(w0, w1, bytes + 10 * i, 8, true), s.fpMantissa[r]);
            cpu.store16(seg, o.part(w0, w1, bytes + 10 * i + 8, 2, true), s.fpExponent[r]);
        }
        initialize();
    }

    /** Looks at every part of the image: it can be stored, or loaded. */
    private void prove(long w0, long w1, int word, boolean registers, boolean write) {
        int seg = Insn.segment(w0);
        int at = 0;
        for (int i = 0; i < (registers ? 23 : 7); i++) {
            // The words, and of each register eight bytes and two.
            int bytes = i < 7 ? 1 << word : (i & 1) != 0 ? 8 : 2;
            long la = o.part(w0, w1, at, bytes, write);
            if (write) {
                cpu.probeWrite(seg, la, bytes);
            } else {
                cpu.load(seg, la, Integer.numberOfTrailingZeros(bytes));
            }
            at += bytes;
        }
    }

    private final long[] words = new long[7];

    /** The environment's seven words in the format of operand size and mode (SDM 1 figures 8-9 to 8-12). */
    private void fill(boolean wide, int tags) {
        long upper = wide ? 0xffff_0000L : 0;
        words[0] = s.fcw | upper;
        words[1] = s.fsw | upper;
        words[2] = tags | upper;
        if (real()) {
            // Linear addresses; their upper parts stand above the opcode.
            long ip = s.fpIp + ((long) s.fpCs << 4);
            long dp = s.fpDp + ((long) s.fpDs << 4);
            int keep = wide ? 0xffff : 15;
            words[3] = ip & 0xffff | upper;
            words[4] = (ip >>> 16 & keep) << 12 | s.fpOpcode & 0x7ff;
            words[5] = dp & 0xffff | upper;
            words[6] = (dp >>> 16 & keep) << 12;
            return;
        }
        // Selectors are no longer kept by Intel's processors (CPUID.7.0.EBX bit 13).
        long cs = cpu.intel ? 0 : s.fpCs;
        words[3] = s.fpIp;
        words[4] = wide ? (s.fpOpcode & 0x7ffL) << 16 | cs : cs;
        words[5] = s.fpDp;
        words[6] = (cpu.intel ? 0 : s.fpDs) | upper;
    }

    private boolean real() {
        return !s.protectedMode() || s.virtual8086();
    }

    void load(long w0, long w1, boolean registers) {
        boolean wide = Insn.size(w0) != 1;
        int word = wide ? 2 : 1;
        int bytes = 7 << word;
        int seg = Insn.segment(w0);
        // Every byte, in order, before anything changes.
        prove(w0, w1, word, registers, false);
        for (int i = 0; i < 7; i++) {
            words[i] = cpu.load(seg, o.part(w0, w1, i << word, 1 << word, false), word);
        }
        int fcw = (int) words[0];
        int fsw = (int) words[1];
        int tags = (int) words[2];
        long ip = words[3];
        long opcode = words[4];
        long dp = words[5];
        long data = words[6];
        s.fcw = fcw & 0x1f3f | 0x40;
        s.fsw = fsw & 0xffff;
        x.summarize();
        if (real()) {
            s.fpIp = ip & 0xffff | (opcode >>> 12 & 0xffff) << 16;
            s.fpDp = dp & 0xffff | (data >>> 12 & 0xffff) << 16;
            s.fpOpcode = (int) opcode & 0x7ff;
            s.fpCs = 0;
            s.fpDs = 0;
        } else {
            s.fpIp = ip;
            s.fpDp = dp;
            s.fpOpcode = wide ? (int) (opcode >>> 16) & 0x7ff : 0;
            s.fpCs = (int) opcode & 0xffff;
            s.fpDs = (int) data & 0xffff;
        }
        s.ftwValid = 0;
        for (int r = 0; r < 8; r++) {
            if ((tags >> 2 * r & 3) != 3) {
                s.ftwValid |= 1 << r;
            }
        }
        if (registers) {
            for (int i = 0; i < 8; i++) {
                int r = x.physical(i);
                s.fpMantissa[r] = cpu.load64(seg, o.part(w0, w1, bytes + 10 * i, 8, false));
                s.fpExponent[r] = cpu.load16(seg, o.part(w0, w1, bytes + 10 * i + 8, 2, false)) & 0xffff;
            }
        }
    }
}
