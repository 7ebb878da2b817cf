package dev.slate.cpu.exec;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** The x87's sums, products, quotients, roots, roundings and comparisons (SDM 1 8.3.5, 8.3.6). */
final class X87Arithmetic {
    static final int ADD = 0;
    static final int MUL = 1;
    static final int SUB = 2;
    static final int SUB_REVERSED = 3;
    static final int DIV = 4;
    static final int DIV_REVERSED = 5;

    private final Operands o;
    private final CpuState s;
    private final X87Stack x;
    private final SoftFloat f;

    X87Arithmetic(Operands o, X87Stack x) {
        this.o = o;
        this.s = o.s;
        this.x = x;
        this.f = x.f;
    }

    /** Fetches a memory operand (m32, m64, or an integer of m16, m32) into B. */
    void fetch(long w0, long w1) {
        int size = Insn.size(w0);
        int op = Insn.op(w0);
        boolean integer = op >= Op.FIADD && op <= Op.FIDIVR || op == Op.FILD;
        long v = o.loadMemory(w0, w1, size);
        x.begin();
        if (integer) {
            f.fromInteger(IntegerOps.extend(v, size), SoftFloat.EXTENDED, SoftFloat.EXTENDED);
            f.kindB = f.kind;
            f.signB = f.sign;
            f.exponentB = f.exponent;
            f.significandB = f.significand;
            f.denormalB = false;
        } else {
            f.unpackB(v, size == 2 ? SoftFloat.SINGLE : SoftFloat.DOUBLE);
        }
    }

    void arithmetic(int k, long w0, long w1) {
        if ((w0 & Insn.MEM) != 0) {
            fetch(w0, w1);
            if (x.empty(0)) {
                underflow(0);
                return;
            }
            swapInA(0);
        } else {
            int i = Insn.rm(w0) & 7;
            x.begin();
            if (x.empty(0) || x.empty(i)) {
                underflow(0);
                return;
            }
            x.unpackB(0);
            f.moveBToA();
            x.unpackB(i);
        }
        compute(k, 0, false);
    }

    /** Makes st(i) operand A, keeping B. */
    private void swapInA(int i) {
        boolean sign = f.signB;
        int kind = f.kindB;
        int exponent = f.exponentB;
        long significand = f.significandB;
        boolean denormal = f.denormalB;
        x.unpackB(i);
        f.moveBToA();
        f.signB = sign;
        f.kindB = kind;
        f.exponentB = exponent;
        f.significandB = significand;
        f.denormalB = denormal;
    }

    void toRegister(int k, int i, boolean pop) {
        x.begin();
        if (x.empty(0) || x.empty(i)) {
            if (x.stackFault(false)) {
                x.setIndefinite(i);
                if (pop) {
                    x.pop();
                }
            }
            return;
        }
        x.unpackB(i);
        f.moveBToA();
        x.unpackB(0);
        compute(k, i, pop);
    }

    void underflow(int i) {
        if (x.stackFault(false)) {
            x.setIndefinite(i);
        }
    }

    /** A op B to st(i). */
    private void compute(int k, int i, boolean pop) {
        if (!x.nan()) {
            if (k == SUB_REVERSED || k == DIV_REVERSED) {
                swap();
            }
            int p = x.precision();
            switch (k) {
                case ADD -> f.add(false, p, SoftFloat.EXTENDED);
                case MUL -> f.multiply(p, SoftFloat.EXTENDED);
                case SUB, SUB_REVERSED -> f.add(true, p, SoftFloat.EXTENDED);
                default -> f.divide(p, SoftFloat.EXTENDED);
            }
        }
        if (x.proceed()) {
            x.setResult(i);
            x.finish();
            if (pop) {
                x.pop();
            }
        }
    }

    private void swap() {
        boolean sign = f.signA;
        int kind = f.kindA;
        int exponent = f.exponentA;
        long significand = f.significandA;
        boolean denormal = f.denormalA;
        f.moveBToA();
        f.signB = sign;
        f.kindB = kind;
        f.exponentB = exponent;
        f.significandB = significand;
        f.denormalB = denormal;
    }

    void unary(boolean root) {
        x.begin();
        if (x.empty(0)) {
            underflow(0);
            return;
        }
        x.unpackB(0);
        f.moveBToA();
        if (!x.nan()) {
            if (root) {
                f.squareRoot(x.precision(), SoftFloat.EXTENDED);
            } else {
                f.denormalOperands();
                f.roundToIntegral(SoftFloat.EXTENDED, SoftFloat.EXTENDED);
            }
        }
        if (x.proceed()) {
            x.setResult(0);
            x.finish();
        }
    }

    void sign(boolean change) {
        s.fsw &= ~X87Stack.C1;
        if (x.empty(0)) {
            underflow(0);
            return;
        }
        int r = x.physical(0);
        s.fpExponent[r] = change ? s.fpExponent[r] ^ 0x8000 : s.fpExponent[r] & 0x7fff;
    }

    // ------------------------------------------------------------------ comparisons

    void compare(long w0, long w1, boolean signals, int pops) {
        if ((w0 & Insn.MEM) == 0) {
            compareRegister(Insn.rm(w0) & 7, signals, pops);
            return;
        }
        fetch(w0, w1);
        if (x.empty(0)) {
            unordered(pops);
            return;
        }
        swapInA(0);
        compared(signals, pops);
    }

    void compareRegister(int i, boolean signals, int pops) {
        x.begin();
        if (x.empty(0) || x.empty(i)) {
            unordered(pops);
            return;
        }
        x.unpackB(0);
        f.moveBToA();
        x.unpackB(i);
        compared(signals, pops);
    }

    void test() {
        x.begin();
        if (x.empty(0)) {
            unordered(0);
            return;
        }
        x.unpackB(0);
        f.moveBToA();
        x.unpackB(0, 0);
        compared(true, 0);
    }

    private void unordered(int pops) {
        s.fsw |= X87Stack.C0 | X87Stack.C2 | X87Stack.C3;
        if (x.stackFault(false)) {
            x.pop(pops);
        }
    }

    /** Order of A and B with its exceptions: -1, 0, 1, 2. */
    private int order(boolean signals) {
        boolean bad = f.kindA >= SoftFloat.QUIET || f.kindB >= SoftFloat.QUIET;
        if (bad) {
            if (signals || f.kindA >= SoftFloat.SIGNALING || f.kindB >= SoftFloat.SIGNALING) {
                f.before |= SoftFloat.IE;
            }
            return 2;
        }
        f.denormalOperands();
        return f.compare();
    }

    private void compared(boolean signals, int pops) {
        int order = order(signals);
        // The condition codes are set even where an exception that is not masked keeps the operands on the stack.
        s.fsw &= ~(X87Stack.C0 | X87Stack.C2 | X87Stack.C3);
        s.fsw |= switch (order) {
            case 2 -> X87Stack.C0 | X87Stack.C2 | X87Stack.C3;
            case -1 -> X87Stack.C0;
            case 0 -> X87Stack.C3;
            default -> 0;
        };
        if (x.proceed()) {
            x.finish();
            x.pop(pops);
        }
    }

    void compareToFlags(int i, boolean signals, boolean pop) {
        int c1 = s.fsw & X87Stack.C1;
        x.begin();
        int order = 2;
        boolean proceed;
        if (x.empty(0) || x.empty(i)) {
            proceed = x.stackFault(false);
        } else {
            // C1 is left alone, unlike by FCOM.
            s.fsw |= c1;
            x.unpackB(0);
            f.moveBToA();
            x.unpackB(i);
            order = order(signals);
            proceed = x.proceed();
            if (proceed) {
                x.finish();
            }
        }
        s.setStatusFlags(
                switch (order) {
                    case 2 -> CpuState.ZF | CpuState.PF | CpuState.CF;
                    case -1 -> CpuState.CF;
                    case 0 -> CpuState.ZF;
                    default -> 0;
                });
        if (pop && proceed) {
            x.pop();
        }
    }

    void examine() {
        int r = x.physical(0);
        int code;
        if (x.empty(0)) {
            code = X87Stack.C3 | X87Stack.C0;
        } else {
            x.unpackB(0);
            code = switch (f.kindB) {
                case SoftFloat.ZERO -> X87Stack.C3;
                case SoftFloat.FINITE -> f.denormalB ? X87Stack.C3 | X87Stack.C2 : X87Stack.C2;
                case SoftFloat.INFINITE -> X87Stack.C2 | X87Stack.C0;
                case X87Stack.UNSUPPORTED -> 0;
                default -> X87Stack.C0;
            };
        }
        s.fsw = s.fsw & ~(X87Stack.C0 | X87Stack.C1 | X87Stack.C2 | X87Stack.C3)
                | code
                | ((s.fpExponent[r] & 0x8000) != 0 ? X87Stack.C1 : 0);
    }
}
