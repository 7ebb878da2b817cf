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
        s.fpOpcode = 0;
        s.fpIp = 0;
        s.fpDp = 0;
    }

    void store(long w0, long w1, boolean registers) {
        boolean wide = Insn.size(w0) != 1;
        int word = wide ? 2 : 1;
        int bytes = 7 << word;
        int seg = Insn.segment(w0);
        long la = o.address(w0, w1, bytes + (registers ? 80 : 0), true);
        cpu.probeWrite(seg, la, bytes + (registers ? 80 : 0));
        int tags = 0;
        for (int r = 0; r < 8; r++) {
            tags |= x.tag(r) << 2 * r;
        }
        long upper = wide ? 0xffff_0000L : 0;
        long[] words = {s.fcw | upper, s.fsw | upper, tags | upper, s.fpIp, (s.fpOpcode & 0x7ffL) << 16, s.fpDp, upper};
        for (int i = 0; i < 7; i++) {
            cpu.store(seg, cpu.wrap(la + ((long) i << word)), word, words[i]);
        }
        if (!registers) {
            // All exceptions are masked afterwards.
            s.fcw |= 0x3f;
            x.summarize();
            return;
        }
        for (int i = 0; i < 8; i++) {
            int r = x.physical(i);
            cpu.store64(seg, cpu.wrap(la + bytes + 10L * i), s.fpMantissa[r]);
            cpu.store16(seg, cpu.wrap(la + bytes + 10L * i + 8), s.fpExponent[r]);
        }
        initialize();
    }

    void load(long w0, long w1, boolean registers) {
        boolean wide = Insn.size(w0) != 1;
        int word = wide ? 2 : 1;
        int bytes = 7 << word;
        int seg = Insn.segment(w0);
        long la = o.address(w0, w1, bytes + (registers ? 80 : 0), false);
        int fcw = cpu.load16(seg, la);
        int fsw = cpu.load16(seg, cpu.wrap(la + (1L << word)));
        int tags = cpu.load16(seg, cpu.wrap(la + (2L << word)));
        long ip = cpu.load(seg, cpu.wrap(la + (3L << word)), word);
        long opcode = cpu.load(seg, cpu.wrap(la + (4L << word)), word);
        long dp = cpu.load(seg, cpu.wrap(la + (5L << word)), word);
        if (registers) {
            // Every byte, in order, before anything changes.
            for (int i = 0; i < 10; i++) {
                cpu.load64(seg, cpu.wrap(la + bytes + 8L * i));
            }
        }
        s.fcw = fcw & 0x1f3f | 0x40;
        s.fsw = fsw & 0xffff;
        x.summarize();
        s.fpIp = ip;
        s.fpDp = dp;
        s.fpOpcode = wide ? (int) (opcode >>> 16) & 0x7ff : 0;
        s.ftwValid = 0;
        for (int r = 0; r < 8; r++) {
            if ((tags >> 2 * r & 3) != 3) {
                s.ftwValid |= 1 << r;
            }
        }
        if (registers) {
            for (int i = 0; i < 8; i++) {
                int r = x.physical(i);
                s.fpMantissa[r] = cpu.load64(seg, cpu.wrap(la + bytes + 10L * i));
                s.fpExponent[r] = cpu.load16(seg, cpu.wrap(la + bytes + 10L * i + 8)) & 0xffff;
            }
        }
    }
}
