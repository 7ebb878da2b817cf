package dev.slate.cpu.translate.x64;

import static dev.slate.cpu.translate.x64.Registers.IN_BLOCK;
import static dev.slate.cpu.translate.x64.Registers.RCX;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/**
 * Instructions in a row that access memory at different distances from the same registers: fields of a structure, locals of a function, pieces of
 * a string. Most often all of it lies on one page, so the TLB is looked at once. Where that does not do, the same instructions stand apart,
 * one by one.
 *
 * <p>From the first access to the last RCX has the host's address of the lowest byte; what stands between them does without RCX.
 */
abstract class AccessRows extends StackForms {
    /** Bytes from the first to the last that a row touches: the longer, the more rows cross a page. */
    private static final int MOST_BYTES = 192;

    // The row found last.
    private long lowest;
    private int length;
    private boolean writes;
    private int alignment;

    AccessRows(Stubs stubs, Sites sites, long guestFeatures, Shapes shapes, long noRecord) {
        super(stubs, sites, guestFeatures, shapes, noRecord);
    }

    /** Emits the instruction at hand; true when nothing can follow it. */
    abstract boolean one();

    /** How many instructions make a row from instruction {@code i} on, which is the one at hand; less than two: none do. */
    final int accessRun(int i) {
        if (!accesses()) {
            return 0;
        }
        long where = where();
        int base = Insn.base(w0);
        int index = Insn.index(w0);
        long highest = displacement();
        lowest = highest;
        writes = false;
        alignment = 1;
        long aligned = 0;
        int n = 0;
        for (int k = i; ; ) {
            if (accesses()) {
                long at = displacement();
                int size = size();
                int its = shapes.alignment(e, w0, size);
                long from = Math.min(lowest, at);
                long to = Math.max(highest, at + size);
                if (where() != where
                        || to - from > MOST_BYTES
                        || its > 1 && alignment > 1 && (at - aligned) % Math.min(its, alignment) != 0) {
                    break;
                }
                lowest = from;
                highest = to;
                writes |= shapes.writesMemory(op, shapes.operands(e));
                if (its > alignment) {
                    alignment = its;
                    aligned = at;
                }
                n = k + 1 - i;
            } else if (!keepsRcx()) {
                break;
            }
            int written = written();
            if (written == base || written == index || ++k == end) {
                break;
            }
            instruction(k);
        }
        instruction(i);
        // So that one test of the lowest address tells.
        lowest -= lowest - aligned & alignment - 1;
        length = (int) (highest - lowest);
        return n;
    }

    /** Emits the row that {@link #accessRun} has found. @param starts where each instruction's code begins */
    final void shareOneLook(int first, int number, int[] starts) {
        starts[first] = a.at;
        beginAccess();
        address(lowest);
        if (alignment > 1) {
            a.testConstant32(RCX, alignment - 1);
            later.also(a.jumpForwardIf(Assembler.NE));
        }
        int not = probeAll(writes ? WRITE : READ, length);
        inRow = true;
        for (int k = 0; k < number; k++) {
            instruction(first + k);
            if (k > 0) {
                starts[first + k] = a.at;
            }
            behind = accesses() ? (int) (displacement() - lowest) : 0;
            one();
        }
        inRow = false;
        behind = 0;
        later.apart(not, first, number, a.here());
    }

    /** What a row's accesses have in common: registers, scale and segment. */
    private long where() {
        return (long) Insn.base(w0) << 24 | Insn.index(w0) << 16 | Insn.scale(w0) << 8 | Insn.segment(w0);
    }

    private int size() {
        return 1 << shapes.memorySize(e, shapes.operands(e));
    }

    /** Whether the instruction at hand accesses memory and can stand in a row. */
    private boolean accesses() {
        return isPlain() && Insn.isMemory(w0) && Insn.addressSize(w0) == 3;
    }

    private boolean isPlain() {
        if (!translates || (w0 & Insn.LOCK) != 0) {
            return false;
        }
        int unit = Insn.unit(w0);
        if (unit == Insn.UNIT_SSE || unit == Insn.UNIT_AVX) {
            return op != Op.LDMXCSR;
        }
        return Shapes.PLAIN.get(op) && Insn.form(w0) != Insn.FORM_RM_CL;
    }

    /** Whether the instruction at hand accesses no memory, and can do without RCX. */
    private boolean keepsRcx() {
        if (!translates) {
            return false;
        }
        if (op == Op.NOP || op == Op.PREFETCH) {
            return true;
        }
        if (op == Op.LEA) {
            return Insn.size(w0) >= 2 && hasHome(Insn.reg(w0)) && hasHome(Insn.base(w0)) && hasHome(Insn.index(w0));
        }
        if (!isPlain() || Insn.isMemory(w0)) {
            return false;
        }
        if (op == Op.MOV && Insn.size(w0) >= 2) {
            return true;
        }
        // One of them can be in RAX.
        int inRax = -1;
        for (String operand : shapes.operands(e)) {
            int guest = register(operand);
            if (guest >= 0 && !hasHome(guest) && guest != inRax) {
                if (inRax >= 0) {
                    return false;
                }
                inRax = guest;
            }
        }
        return true;
    }

    private static boolean hasHome(int guest) {
        return guest == Insn.NO_REG
                || guest == Insn.RIP_BASE
                || guest < Insn.HIGH_BYTE && Registers.home(guest) != IN_BLOCK;
    }

    /** The general register that an operand is ({@link Insn#HIGH_BYTE} and more: AH to BH); -1: it is none. */
    private int register(String operand) {
        return switch (operand.charAt(0)) {
            case 'G' -> Insn.reg(w0);
            case 'B' -> Insn.vvvv(w0);
            case 'E', 'R', 'Z' -> Insn.isMemory(w0) ? -1 : Insn.rm(w0);
            case 'A', 'r' -> CpuState.RAX;
            default -> -1;
        };
    }

    /** The general register that the instruction at hand, one of a row, writes; -1: none. */
    private int written() {
        if (op == Op.LEA) {
            return Insn.reg(w0);
        }
        String[] operands = shapes.operands(e);
        if (operands.length == 0 || op == Op.NOP || op == Op.PREFETCH) {
            return -1;
        }
        int guest = register(operands[0]);
        return guest >= Insn.HIGH_BYTE ? guest - Insn.HIGH_BYTE : guest;
    }
}
