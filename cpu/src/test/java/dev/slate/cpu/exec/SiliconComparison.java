package dev.slate.cpu.exec;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Mode;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.decode.Operations;
import dev.slate.cpu.mem.HostMemory;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** Compares what silicon and the interpreter made of a case; what the manuals leave undefined is masked by the operation table. */
final class SiliconComparison {
    /** Whether the silicon is Intel's. */
    final boolean intel;
    /** Whether it loads the x87's opcode and pointers always, so that they are compared. */
    final boolean pointers;

    private static final int COMPARED =
            CpuState.STATUS_FLAGS | CpuState.DF | CpuState.IOPL | CpuState.NT | CpuState.AC | CpuState.ID;

    private final int[] undefined = new int[Op.COUNT];
    private final int[] written = new int[Op.COUNT];
    private final int[] read = new int[Op.COUNT];

    /** Cases in which an approximation had another last bit than silicon's, by operation. */
    final long[] lastBits = new long[Op.COUNT];

    SiliconComparison(boolean intel, boolean pointers) throws IOException {
        this.intel = intel;
        this.pointers = pointers;
        for (Operations.Operation op : Operations.read().inOrder()) {
            undefined[op.number()] = mask(op.undefined());
            written[op.number()] = mask(op.written());
            read[op.number()] = mask(op.read());
        }
    }

    private static int mask(String letters) {
        int mask = 0;
        for (int i = 0; i < letters.length(); i++) {
            mask |= switch (letters.charAt(i)) {
                case 'o' -> CpuState.OF;
                case 's' -> CpuState.SF;
                case 'z' -> CpuState.ZF;
                case 'a' -> CpuState.AF;
                case 'p' -> CpuState.PF;
                case 'c' -> CpuState.CF;
                default -> 0;
            };
        }
        return mask;
    }

    /** Flags that an instruction leaves undefined, of those that it may have; {@code cl} is RCX before it. */
    private int undefinedFlags(long cl, long w0, long imm) {
        int op = Insn.op(w0);
        if (op >= Op.SHL && op <= Op.SHRD) {
            int form = Insn.form(w0);
            long raw = form == Insn.FORM_RM_CL || form == Insn.FORM_RM_R_CL ? cl : imm;
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

    /** Whether flags that one instruction of a sequence leaves undefined may be read by a later one. */
    boolean readsUndefined(Block b) {
        int mask = 0;
        for (int i = 0; i < b.count; i++) {
            int op = Insn.op(b.code[i * Insn.WORDS]);
            if ((read[op] & mask) != 0) {
                return true;
            }
            mask = after(mask, op);
        }
        return false;
    }

    private int after(int mask, int op) {
        if (op >= Op.SHL && op <= Op.SHRD) {
            // By a count of zero they write nothing; by others OF is undefined.
            return mask | undefined[op] | CpuState.OF | CpuState.CF;
        }
        boolean counted = op == Op.CMPS || op == Op.SCAS;
        return (counted ? mask : mask & ~written[op]) | undefined[op];
    }

    /** SHLD and SHRD by more than a 16-bit operand's width: the result itself is undefined. */
    private static boolean undefinedShift(SiliconCase in, long w0, long imm) {
        int op = Insn.op(w0);
        if (op != Op.SHLD && op != Op.SHRD || Insn.size(w0) != 1) {
            return false;
        }
        return ((int) (Insn.form(w0) == Insn.FORM_RM_R_CL ? in.gpr(CpuState.RCX) : imm) & 31) > 16;
    }

    static boolean transcendental(int op) {
        return switch (op) {
            case Op.F2XM1, Op.FYL2X, Op.FYL2XP1, Op.FPTAN, Op.FPATAN, Op.FSIN, Op.FCOS, Op.FSINCOS -> true;
            default -> false;
        };
    }

    static boolean approximate(int op) {
        return op >= Op.RSQRTPS && op <= Op.RCPSS;
    }

    private int flagsMask(SiliconCase in, Block b, InterpretedCase ours) {
        if (b.count == 1) {
            return COMPARED & ~(ours.completed == 1 ? undefinedFlags(in.gpr(CpuState.RCX), b.code[0], b.code[2]) : 0);
        }
        int mask = 0;
        for (int i = 0; i < ours.completed; i++) {
            mask = after(mask, Insn.op(b.code[i * Insn.WORDS]));
        }
        return COMPARED & ~mask;
    }

    /** What differs, or the empty string. */
    String difference(SiliconCase in, Block b, SiliconCase silicon, InterpretedCase ours) {
        CpuState s = ours.s;
        long different = 0;
        for (int i = 0; i < SiliconCase.WINDOW_BYTES; i += 8) {
            different |= HostMemory.get64(ours.window + i) ^ silicon.get(SiliconCase.WINDOW_AT + i);
        }
        boolean bits64 = b.mode == Mode.BITS64;
        long width = bits64 ? -1 : 0xffff_ffffL;
        for (int i = 0; i < (bits64 ? 16 : 8); i++) {
            different |= (silicon.gpr(i) ^ s.gpr[i]) & width;
        }
        for (int i = 0; i < 16; i++) {
            different |= silicon.fxLong(160 + 16 * i) ^ s.xmm[i * 4];
            different |= silicon.fxLong(168 + 16 * i) ^ s.xmm[i * 4 + 1];
            different |= silicon.fxLong(576 + 16 * i) ^ s.xmm[i * 4 + 2];
            different |= silicon.fxLong(584 + 16 * i) ^ s.xmm[i * 4 + 3];
        }
        int top = s.fsw >> 11 & 7;
        for (int i = 0; i < 8; i++) {
            different |= silicon.fxLong(32 + 16 * i) ^ s.fpMantissa[top + i & 7];
            different |= (silicon.fxInt(40 + 16 * i) ^ s.fpExponent[top + i & 7]) & 0xffff;
        }
        different |= silicon.fxInt(0) ^ (s.fcw | s.fsw << 16);
        different |= (silicon.fxInt(4) ^ s.ftwValid) & 0xff;
        if (pointers) {
            different |= silicon.fxInt(4) >>> 16 ^ shown(s.fpOpcode, s);
            different |= silicon.fxLong(8) ^ shown(s.fpIp, s) | silicon.fxLong(16) ^ shown(s.fpDp, s);
        }
        different |= silicon.fxInt(24) ^ s.mxcsr;
        different |= (silicon.rflags() ^ s.rflags()) & flagsMask(in, b, ours);
        different |= silicon.rip() ^ ours.rip;
        if (in.segmented()) {
            for (int i = 0; i < 6; i++) {
                different |= whole(silicon.selector(i)) ^ whole(s.segSelector[i]);
            }
        }
        different |= silicon.trap() ^ ours.trap;
        if (ours.trap == GuestFault.PF) {
            different |= silicon.address() ^ ours.address | silicon.error() ^ ours.error;
        } else if (ours.trap == GuestFault.GP) {
            different |= silicon.error() ^ ours.error;
        }
        if (different == 0 && silicon.sum() == ours.sum) {
            return "";
        }
        String text = explain(in, b, silicon, ours);
        return text == null ? "" : text;
    }

    /** The differences that count; null: the case is not to be compared. */
    private @Nullable String explain(SiliconCase in, Block b, SiliconCase silicon, InterpretedCase ours) {
        CpuState s = ours.s;
        int at = Math.min(ours.completed, b.count - 1) * Insn.WORDS;
        long w0 = b.code[at];
        int op = Insn.op(w0);
        if (b.count == 1 && undefinedShift(in, w0, b.code[2])) {
            return null;
        }
        int fsw = silicon.fxInt(0) >>> 16;
        if ((op == Op.FPREM || op == Op.FPREM1) && (fsw & s.fsw & X87Stack.C2) != 0) {
            // By how much a partial remainder reduces is the implementation's own (SDM 2A FPREM).
            return null;
        }
        if (intel
                && (op == Op.FPREM || op == Op.FPREM1)
                && ((fsw ^ s.fsw) & SoftFloat.UE) != 0
                && (s.fcw & SoftFloat.UE) == 0) {
            // Whether a tiny remainder, which is exact, has underflowed where that is not masked.
            return null;
        }
        if ((silicon.fxInt(24) & 1 << 17) != 0) {
            // Misaligned SSE has been switched on, which the interpreter does not offer.
            return null;
        }
        if (op == Op.FYL2XP1 && (in.fxInt(40) & 0xffff) >= 0xbfff) {
            // No logarithm.
            return null;
        }
        if (op == Op.CMPS && silicon.trap() >= 12 && silicon.trap() <= 14 && ours.trap >= 12 && ours.trap <= 14) {
            // Both operands are bad; which of the two faults is raised is not architectural, and varies
            // on one processor.
            return null;
        }
        if (intel && several(op) && silicon.trap() == GuestFault.SS && ours.trap == GuestFault.GP) {
            // An area that neither is aligned nor lies at a canonical address: which of the two faults comes first
            // is the maker's.
            return null;
        }
        if (intel && b.mode != Mode.BITS64 && atAnEdge(in, b, at, op, silicon, ours)) {
            return null;
        }
        boolean beyond = silicon.trap() == GuestFault.PF && aroundTheEnd(silicon.address(), several(op) ? 1024 : 64)
                || silicon.trap() == GuestFault.SS && several(op) && operand(in, b, at) + 1024 >>> 32 != 0;
        if (b.mode != Mode.BITS64 && beyond && (ours.trap == GuestFault.GP || ours.trap == GuestFault.SS)) {
            // Beyond a limit of 4 GiB a processor may go on at address 0 or raise the fault, now so and now so (SDM 3A
            // 5.3).
            return null;
        }
        if (intel && op == Op.MOVBE && limit(silicon.trap()) && limit(ours.trap)) {
            // MOVBE alone heeds the segment prefixes that 64-bit mode ignores: SS makes #SS of #GP and, with REX.W
            // behind an operand-size prefix, ES, CS and DS make #GP of #SS.
            return null;
        }
        if (intel && gather(op) && silicon.trap() == 1 && silicon.rip() == ours.rip && fault(ours)) {
            // A trap that waits comes instead of a later element's fault (SDM 2C VPGATHERDD).
            return null;
        }
        StringBuilder t = new StringBuilder();
        if (silicon.trap() != ours.trap) {
            t.append(String.format(" trap %d/%d", silicon.trap(), ours.trap));
        } else if (ours.trap == GuestFault.PF) {
            // Whether a kernel's half is mapped is the host's own affair, and so is the last page below it.
            boolean upper = silicon.address() >>> 47 != 0 || silicon.address() + 4096 >>> 47 != 0;
            if (silicon.error() != ours.error && !upper) {
                t.append(String.format(" error %x/%x", silicon.error(), ours.error));
            }
            // Which of several accesses meets a bad page first is not architectural.
            long distance = Math.abs((int) (silicon.address() - ours.address));
            boolean ofMany = several(op) && distance < 1024
                    || masked(op) && distance < 32 && silicon.address() >>> 12 != SiliconCase.DATA >>> 12;
            if (distance != 0 && !ofMany) {
                t.append(String.format(" cr2 %x/%x", silicon.address(), ours.address));
            }
        } else if (ours.trap == GuestFault.GP && silicon.error() != ours.error) {
            t.append(String.format(" error %x/%x", silicon.error(), ours.error));
        }
        boolean bits64 = b.mode == Mode.BITS64;
        long width = bits64 ? -1 : 0xffff_ffffL;
        for (int i = 0; i < (bits64 ? 16 : 8); i++) {
            if (((silicon.gpr(i) ^ s.gpr[i]) & width) != 0 && !(op == Op.BSWAP && Insn.size(w0) == 1)) {
                t.append(String.format(" r%d %x/%x", i, silicon.gpr(i), s.gpr[i]));
            }
        }
        int mask = flagsMask(in, b, ours);
        if (((silicon.rflags() ^ s.rflags()) & mask) != 0) {
            t.append(String.format(" flags %x/%x", silicon.rflags() & mask, s.rflags() & mask));
        }
        for (int i = 0; i < 6 && in.segmented(); i++) {
            if (whole(silicon.selector(i)) != whole(s.segSelector[i])) {
                t.append(String.format(" selector %d %x/%x", i, silicon.selector(i), s.segSelector[i]));
            }
        }
        if (silicon.rip() != ours.rip) {
            t.append(String.format(" rip %x/%x", silicon.rip(), ours.rip));
        }
        // To Intel's processors components that were restored before the fault stay restored; which they are
        // no manual says.
        boolean partly = intel && partial(op) && ours.trap != 1 && silicon.trap() == ours.trap;
        for (int i = 0; i < 16 && !partly; i++) {
            for (int k = 0; k < 4; k++) {
                long theirs = silicon.fxLong((k < 2 ? 160 : 576) + 16 * i + 8 * (k & 1));
                long mine = s.xmm[4 * i + k];
                if (theirs != mine && !(approximate(op) && close(theirs, mine))) {
                    t.append(String.format(" v%d.%d %016x/%016x", i, k, theirs, mine));
                }
            }
        }
        if (!partly) {
            x87(t, op, w0, b.mode, silicon, s);
        }
        // Whether an underflow that is not masked is inexact, too: of CVTPS2PH Intel's processors say now this, now
        // that.
        boolean half = intel && op == Op.CVTPS2PH && (s.mxcsr & 0x810) == 0x10;
        if (((silicon.fxInt(24) ^ s.mxcsr) & (half ? ~SoftFloat.PE : -1)) != 0 && !partly) {
            t.append(String.format(" mxcsr %x/%x", silicon.fxInt(24), s.mxcsr));
        }
        for (int i = 0; i < SiliconCase.WINDOW_BYTES; i++) {
            int theirs = HostMemory.get8(silicon.at + SiliconCase.WINDOW_AT + i);
            int mine = HostMemory.get8(ours.window + i);
            // MXCSR_MASK: of the two, only silicon has misaligned SSE (bit 17).
            boolean mask17 = several(op) && theirs == 2 && mine == 0 && i > 1;
            if (theirs != mine && !mask17 && !(intel && storedInParts(op) && fault(ours))) {
                t.append(String.format(" [%x] %02x/%02x", SiliconCase.WINDOW + i, theirs, mine));
            }
        }
        long sums = silicon.sum() - ours.sum;
        if (sums != 0
                && !(several(op) && sums << 15 == 0)
                && !(intel && (avxInUse(op, in, b, at, sums, s) || partly || storedInParts(op) && fault(ours)))) {
            t.append(" memory outside the window");
        }
        return t.toString();
    }

    private void x87(StringBuilder t, int op, long w0, int mode, SiliconCase silicon, CpuState s) {
        boolean loose = transcendental(op);
        int top = s.fsw >> 11 & 7;
        boolean last = false;
        for (int i = 0; i < 8; i++) {
            int e = silicon.fxInt(40 + 16 * i) & 0xffff;
            long m = silicon.fxLong(32 + 16 * i);
            int r = top + i & 7;
            if (m == s.fpMantissa[r] && e == (s.fpExponent[r] & 0xffff)) {
                continue;
            }
            if (loose && neighbours(e, m, s.fpExponent[r] & 0xffff, s.fpMantissa[r])) {
                last = true;
                continue;
            }
            t.append(String.format(" st%d %04x:%016x/%04x:%016x", i, e, m, s.fpExponent[r] & 0xffff, s.fpMantissa[r]));
        }
        if (pointers
                && (silicon.fxInt(4) >>> 16 != shown(s.fpOpcode, s)
                        || silicon.fxLong(8) != shown(s.fpIp, s)
                        || silicon.fxLong(16) != shown(s.fpDp, s) && !lowerHalf(w0, mode, silicon.fxLong(16), s))) {
            t.append(String.format(
                    " x87 fop:fip:fdp %03x:%x:%x/%03x:%x:%x",
                    silicon.fxInt(4) >>> 16,
                    silicon.fxLong(8),
                    silicon.fxLong(16),
                    shown(s.fpOpcode, s),
                    shown(s.fpIp, s),
                    shown(s.fpDp, s)));
        }
        lastBits[op] += last ? 1 : 0;
        int ours = s.fcw | s.fsw << 16;
        // With another last bit goes another direction of rounding.
        int ignored = loose ? X87Stack.C1 << 16 : 0;
        if (((silicon.fxInt(0) ^ ours) & ~ignored) != 0 || (silicon.fxInt(4) & 0xff) != (s.ftwValid & 0xff)) {
            t.append(String.format(
                    " x87 fcw:fsw:tag %04x:%04x:%02x/%04x:%04x:%02x",
                    silicon.fxInt(0) & 0xffff,
                    silicon.fxInt(0) >>> 16,
                    silicon.fxInt(4) & 0xff,
                    s.fcw,
                    s.fsw,
                    s.ftwValid));
        }
    }

    /** What an image of the state tells of the opcode or a pointer: AMD's processors save zero while no exception is pending. */
    private long shown(long v, CpuState s) {
        return intel || (s.fsw & X87Stack.SUMMARY) != 0 ? v : 0;
    }

    /**
     * Whether {@code pointer} is what older Intel processors (model 85, not 207) leave of the data pointer where an instruction
     * outside 64-bit mode has memory and no exception: its lower half. No manual says so.
     */
    private boolean lowerHalf(long w0, int mode, long pointer, CpuState s) {
        return intel
                && mode != Mode.BITS64
                && Insn.unit(w0) == Insn.UNIT_X87
                && (w0 & Insn.MEM) != 0
                && (s.fsw & X87Stack.SUMMARY) == 0
                && pointer == (s.fpDp & 0xffff_ffffL);
    }

    /**
     * Segments' limits and ends, of which no manual speaks: which bytes of a masked move count at a limit; in which parts an extended
     * state or the x87's is looked at there, and how those of an extended state wrap at the end of 64 KiB.
     */
    private static boolean atAnEdge(
            SiliconCase in, Block b, int at, int op, SiliconCase silicon, InterpretedCase ours) {
        long offset = operand(in, b, at) - SiliconSegments.base(in.selector(Insn.segment(b.code[at])));
        if (masked(op)) {
            boolean wraps = Insn.addressSize(b.code[at]) == 1 && offset + 32 > 0x1_0000;
            return wraps || silicon.trap() != 1 || ours.trap != 1;
        }
        boolean limit = silicon.trap() != ours.trap && (limit(silicon.trap()) || limit(ours.trap));
        if (op == Op.FRSTOR || op == Op.FNSAVE || op == Op.FLDENV || op == Op.FNSTENV) {
            return limit && Insn.addressSize(b.code[at]) == 1 && offset + 108 > 0x1_0000;
        }
        if (op >= Op.FXSAVE && op <= Op.XRSTOR) {
            return limit || Insn.addressSize(b.code[at]) == 1 && offset + 832 > 0x1_0000;
        }
        return several(op) && silicon.trap() != 1 && ours.trap != 1 && silicon.trap() != ours.trap;
    }

    private static boolean limit(int trap) {
        return trap == GuestFault.SS || trap == GuestFault.GP;
    }

    /** Whether an operand there may cross the end of a 32-bit address space. */
    private static boolean aroundTheEnd(long address, int bytes) {
        return (address + bytes & 0xffff_ffffL) < 2L * bytes;
    }

    /** Address of the memory operand. */
    private static long operand(SiliconCase in, Block b, int at) {
        long w0 = b.code[at];
        long base = Insn.base(w0) == Insn.RIP_BASE ? in.rip() : Insn.base(w0) < 16 ? in.gpr(Insn.base(w0)) : 0;
        long index = Insn.index(w0) < 16 ? in.gpr(Insn.index(w0)) << Insn.scale(w0) : 0;
        long offset = base + index + Insn.displacement(b.code[at + 1]);
        return SiliconSegments.base(in.selector(Insn.segment(w0))) + Operands.maskAddress(offset, Insn.addressSize(w0));
    }

    private static boolean gather(int op) {
        return op >= Op.GATHERDPS && op <= Op.PGATHERQQ;
    }

    /** A null selector loses its privilege bits when the kernel returns to user mode. */
    private static int whole(int selector) {
        return selector < 4 ? 0 : selector;
    }

    /** Of whose bytes it is not architectural which is first found to be in a bad page. */
    private static boolean masked(int op) {
        return switch (op) {
            case Op.MASKMOVDQU, Op.MASKMOVQ, Op.MASKMOVPS, Op.MASKMOVPD, Op.PMASKMOVD, Op.PMASKMOVQ -> true;
            default -> false;
        };
    }

    /** What Intel's processors store in parts: the first may have been stored when the second meets a bad page. */
    private static boolean storedInParts(int op) {
        return switch (op) {
            case Op.FSTP_M80, Op.FBSTP, Op.MOVBE, Op.FNSAVE, Op.FNSTENV, Op.FXSAVE, Op.XSAVE, Op.XSAVEC -> true;
            case Op.PUSHA, Op.ENTER, Op.CALL_FAR_IMM, Op.CALL_FAR_RM -> true;
            default -> masked(op);
        };
    }

    /** What Intel's processors restore in parts. */
    private static boolean partial(int op) {
        return op == Op.XRSTOR || op == Op.FRSTOR || op == Op.FLDENV || op == Op.FXRSTOR;
    }

    private static boolean fault(InterpretedCase ours) {
        return ours.trap >= GuestFault.SS && ours.trap <= GuestFault.PF;
    }

    /**
     * Whether the memory differs by just this: silicon calls AVX state in use that is zero, as it may (SDM 1 13.6) and Intel's
     * processors do after they have loaded it. {@code sums} is the difference of {@link SiliconCase#sum}.
     */
    private static boolean avxInUse(int op, SiliconCase in, Block b, int at, long sums, CpuState s) {
        if (op != Op.XSAVE && op != Op.XSAVEC || b.count != 1) {
            return false;
        }
        for (int i = 0; i < 64; i += 4) {
            if ((s.xmm[i + 2] | s.xmm[i + 3]) != 0) {
                return false;
            }
        }
        long word = (operand(in, b, at) + 512 & 4095) >> 3;
        return sums - 4 * (2 * word + 1) << 15 == 0;
    }

    private static boolean several(int op) {
        return switch (op) {
            case Op.FNSAVE, Op.FNSTENV, Op.FRSTOR, Op.FLDENV, Op.FXSAVE, Op.FXRSTOR, Op.XSAVE, Op.XSAVEC, Op.XRSTOR ->
                true;
            default -> false;
        };
    }

    /** Whether two 80-bit values are neighbours. */
    private static boolean neighbours(int e1, long m1, int e2, long m2) {
        if (e1 == e2) {
            return Math.abs(m1 - m2) == 1;
        }
        boolean up = e2 == e1 + 1 && m1 == -1 && m2 == Long.MIN_VALUE;
        boolean down = e1 == e2 + 1 && m2 == -1 && m1 == Long.MIN_VALUE;
        return up || down;
    }

    /** RCP and RSQRT: relative error below 1.5 * 2^-12 of each (SDM 2B RCPPS). */
    private static boolean close(long a, long b) {
        return close((int) a, (int) b) && close((int) (a >>> 32), (int) (b >>> 32));
    }

    private static boolean close(int a, int b) {
        if (a == b) {
            return true;
        }
        double x = Float.intBitsToFloat(a);
        double y = Float.intBitsToFloat(b);
        // Where results become denormal, one may already be zero.
        double tiny = 0x1p-125;
        return Math.abs(x - y) <= 3.0 / 4096 * Math.abs(y) || Math.abs(x) < tiny && Math.abs(y) < tiny;
    }
}
