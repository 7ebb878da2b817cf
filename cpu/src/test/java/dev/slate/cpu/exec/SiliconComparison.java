package dev.slate.cpu.exec;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.decode.Operations;
import java.io.IOException;
import java.util.Arrays;

/** Compares what silicon and the interpreter made of a case; what the manuals leave undefined is masked by the operation table. */
final class SiliconComparison {
    private static final int COMPARED =
            CpuState.STATUS_FLAGS | CpuState.DF | CpuState.IOPL | CpuState.NT | CpuState.AC | CpuState.ID;

    private final int[] undefined = new int[Op.COUNT];

    SiliconComparison() throws IOException {
        for (Operations.Operation op : Operations.read().inOrder()) {
            int mask = 0;
            for (char f : op.undefined().toCharArray()) {
                mask |= switch (f) {
                    case 'o' -> CpuState.OF;
                    case 's' -> CpuState.SF;
                    case 'z' -> CpuState.ZF;
                    case 'a' -> CpuState.AF;
                    case 'p' -> CpuState.PF;
                    case 'c' -> CpuState.CF;
                    default -> 0;
                };
            }
            undefined[op.number()] = mask;
        }
    }

    private int undefinedFlags(SiliconCase in, long w0, long imm) {
        int op = Insn.op(w0);
        if (op >= Op.SHL && op <= Op.SHRD) {
            int form = Insn.form(w0);
            long raw = form == Insn.FORM_RM_CL || form == Insn.FORM_RM_R_CL ? in.gpr[CpuState.RCX] : imm;
            int size = Insn.size(w0);
            int count = (int) raw & (size == 3 ? 63 : 31);
            if (count == 0) {
                return 0;
            }
            int bits = 8 << size;
            int mask = undefined[op] | (count != 1 ? CpuState.OF : 0);
            if ((op == Op.SHL || op == Op.SHR) && count > bits) {
                mask |= CpuState.CF;
            }
            return mask;
        }
        return undefined[op];
    }

    /** SHLD and SHRD by more than a 16-bit operand's width: the result itself is undefined. */
    private static boolean undefinedShift(SiliconCase in, long w0, long imm) {
        int op = Insn.op(w0);
        if (op != Op.SHLD && op != Op.SHRD || Insn.size(w0) != 1) {
            return false;
        }
        return ((int) (Insn.form(w0) == Insn.FORM_RM_R_CL ? in.gpr[CpuState.RCX] : imm) & 31) > 16;
    }

    /** What differs, or the empty string. */
    String difference(SiliconCase in, long w0, long imm, SiliconCase silicon, SiliconCase ours) {
        StringBuilder t = new StringBuilder();
        if (undefinedShift(in, w0, imm)) {
            return "";
        }
        int which = Insn.op(w0);
        if ((which == Op.FPREM || which == Op.FPREM1) && (silicon.fxInt(0) & ours.fxInt(0) & X87Stack.C2 << 16) != 0) {
            // By how much a partial remainder reduces is the implementation's own (SDM 2A FPREM).
            return "";
        }
        if (which == Op.CMPS && silicon.trap >= 12 && silicon.trap <= 14 && ours.trap >= 12 && ours.trap <= 14) {
            // Both operands are bad; which of the two faults is raised is not architectural, and varies on one
            // processor.
            return "";
        }
        if (silicon.trap != ours.trap) {
            t.append(String.format(" trap %d/%d", silicon.trap, ours.trap));
        } else if (silicon.trap == 14) {
            // Whether a kernel's half is mapped is the host's own affair.
            boolean upper = silicon.address >>> 47 != 0;
            if (silicon.error != ours.error && !upper) {
                t.append(String.format(" error %x/%x", silicon.error, ours.error));
            }
            // Which of several stores meets the bad page first is not architectural.
            int op = Insn.op(w0);
            boolean several = op == Op.FNSAVE || op == Op.FNSTENV || op == Op.FRSTOR || op == Op.FLDENV;
            long address = several ? silicon.address & -4096 : silicon.address;
            if (address != (several ? ours.address & -4096 : ours.address)) {
                t.append(String.format(" cr2 %x/%x", silicon.address, ours.address));
            }
        } else if (silicon.trap == 13 && silicon.error != ours.error) {
            t.append(String.format(" error %x/%x", silicon.error, ours.error));
        }
        int op = Insn.op(w0);
        for (int i = 0; i < 16; i++) {
            if (silicon.gpr[i] != ours.gpr[i] && !(op == Op.BSWAP && Insn.size(w0) == 1)) {
                t.append(String.format(" r%d %x/%x", i, silicon.gpr[i], ours.gpr[i]));
            }
        }
        int mask = COMPARED & ~(silicon.trap == 1 ? undefinedFlags(in, w0, imm) : 0);
        if (((silicon.rflags ^ ours.rflags) & mask) != 0) {
            t.append(String.format(" flags %x/%x", silicon.rflags & mask, ours.rflags & mask));
        }
        if (silicon.rip != ours.rip) {
            t.append(String.format(" rip %x/%x", silicon.rip, ours.rip));
        }
        for (int i = 160; i < SiliconCase.FX_BYTES; i += 8) {
            if (silicon.fxLong(i) != ours.fxLong(i)) {
                int r = (i - 160) / 16;
                t.append(String.format(" xmm%d.%d %016x/%016x", r, i / 8 & 1, silicon.fxLong(i), ours.fxLong(i)));
            }
        }
        for (int i = 32; i < 160; i += 16) {
            if (silicon.fxLong(i) != ours.fxLong(i) || (short) silicon.fxInt(i + 8) != (short) ours.fxInt(i + 8)) {
                t.append(String.format(
                        " st%d %04x:%016x/%04x:%016x",
                        (i - 32) / 16,
                        silicon.fxInt(i + 8) & 0xffff,
                        silicon.fxLong(i),
                        ours.fxInt(i + 8) & 0xffff,
                        ours.fxLong(i)));
            }
        }
        if (silicon.fxInt(24) != ours.fxInt(24)) {
            t.append(String.format(" mxcsr %x/%x", silicon.fxInt(24), ours.fxInt(24)));
        }
        if (silicon.fxInt(0) != ours.fxInt(0) || silicon.fx[4] != ours.fx[4]) {
            t.append(String.format(
                    " x87 fcw:fsw:tag %04x:%04x:%02x/%04x:%04x:%02x",
                    silicon.fxInt(0) & 0xffff,
                    silicon.fxInt(0) >>> 16,
                    silicon.fx[4],
                    ours.fxInt(0) & 0xffff,
                    ours.fxInt(0) >>> 16,
                    ours.fx[4]));
        }
        if (!Arrays.equals(silicon.window, ours.window)) {
            for (int i = 0; i < SiliconCase.WINDOW_BYTES; i++) {
                if (silicon.window[i] != ours.window[i]) {
                    t.append(String.format(
                            " [%x] %02x/%02x", SiliconCase.WINDOW + i, silicon.window[i], ours.window[i]));
                }
            }
        } else if (silicon.sum != ours.sum) {
            t.append(" memory outside the window");
        }
        return t.toString();
    }
}
