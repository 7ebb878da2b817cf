package dev.slate.cpu.exec;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/**
 * The x87 instructions, exact in 80 bits. The transcendental ones (F2XM1, FYL2X, FYL2XP1, FPTAN, FPATAN, FSIN, FCOS, FSINCOS) and packed
 * decimal are not there: they leave with {@link CpuExit#UNIMPLEMENTED}.
 */
final class X87Ops {
    private static final int ADD = 0;
    private static final int MUL = 1;
    private static final int SUB = 2;
    private static final int SUB_REVERSED = 3;
    private static final int DIV = 4;
    private static final int DIV_REVERSED = 5;

    private final Operands o;
    private final Cpu cpu;
    private final CpuState s;
    private final X87Stack x;
    private final SoftFloat f;
    private final X87Scaling scaling;

    X87Ops(Operands o) {
        this.o = o;
        this.cpu = o.cpu;
        this.s = o.s;
        this.x = new X87Stack(o.s);
        this.f = x.f;
        this.scaling = new X87Scaling(x);
    }

    private void available(int op) {
        if (op == Op.EMMS && (s.cr0 & CpuState.CR0_EM) != 0) {
            throw o.undefined();
        }
        boolean wait = op == Op.FWAIT;
        long refused = wait ? CpuState.CR0_MP | CpuState.CR0_TS : CpuState.CR0_EM | CpuState.CR0_TS;
        boolean trap = wait ? (s.cr0 & refused) == refused : (s.cr0 & refused) != 0;
        if (trap) {
            throw cpu.fault(GuestFault.NM, 0);
        }
        boolean waits = switch (op) {
            case Op.FNINIT,
                    Op.FNCLEX,
                    Op.FNSTCW,
                    Op.FNSTSW,
                    Op.FNSTSW_AX,
                    Op.FNSTENV,
                    Op.FNSAVE,
                    Op.FNENI,
                    Op.FNDISI,
                    Op.FNSETPM -> false;
            default -> true;
        };
        if (waits && (s.fsw & X87Stack.SUMMARY) != 0) {
            throw cpu.fault(GuestFault.MF, 0);
        }
    }

    int execute(int op, long w0, long w1) {
        available(op);
        boolean memory = (w0 & Insn.MEM) != 0;
        int i = Insn.rm(w0) & 7;
        switch (op) {
            case Op.FADD, Op.FIADD -> arithmetic(ADD, w0, w1);
            case Op.FMUL, Op.FIMUL -> arithmetic(MUL, w0, w1);
            case Op.FSUB, Op.FISUB -> arithmetic(SUB, w0, w1);
            case Op.FSUBR, Op.FISUBR -> arithmetic(SUB_REVERSED, w0, w1);
            case Op.FDIV, Op.FIDIV -> arithmetic(DIV, w0, w1);
            case Op.FDIVR, Op.FIDIVR -> arithmetic(DIV_REVERSED, w0, w1);
            case Op.FADD_STI -> toRegister(ADD, i, false);
            case Op.FMUL_STI -> toRegister(MUL, i, false);
            case Op.FSUB_STI -> toRegister(SUB, i, false);
            case Op.FSUBR_STI -> toRegister(SUB_REVERSED, i, false);
            case Op.FDIV_STI -> toRegister(DIV, i, false);
            case Op.FDIVR_STI -> toRegister(DIV_REVERSED, i, false);
            case Op.FADDP -> toRegister(ADD, i, true);
            case Op.FMULP -> toRegister(MUL, i, true);
            case Op.FSUBP -> toRegister(SUB, i, true);
            case Op.FSUBRP -> toRegister(SUB_REVERSED, i, true);
            case Op.FDIVP -> toRegister(DIV, i, true);
            case Op.FDIVRP -> toRegister(DIV_REVERSED, i, true);
            case Op.FCOM, Op.FICOM -> compare(w0, w1, true, 0);
            case Op.FCOMP, Op.FICOMP -> compare(w0, w1, true, 1);
            case Op.FUCOM -> compareRegister(i, false, 0);
            case Op.FUCOMP -> compareRegister(i, false, 1);
            case Op.FCOMPP -> compareRegister(1, true, 2);
            case Op.FUCOMPP -> compareRegister(1, false, 2);
            case Op.FCOMI -> compareToFlags(i, true, false);
            case Op.FUCOMI -> compareToFlags(i, false, false);
            case Op.FCOMIP -> compareToFlags(i, true, true);
            case Op.FUCOMIP -> compareToFlags(i, false, true);
            case Op.FLD, Op.FILD, Op.FLD_M80 -> load(op, memory, i, w0, w1);
            case Op.FLD1, Op.FLDL2T, Op.FLDL2E, Op.FLDPI, Op.FLDLG2, Op.FLDLN2, Op.FLDZ -> constant(op);
            case Op.FST, Op.FSTP -> {
                if (memory) {
                    storeFloat(op == Op.FSTP, w0, w1);
                } else {
                    storeRegister(i, op == Op.FSTP);
                }
            }
            case Op.FSTP_M80 -> store80(w0, w1);
            case Op.FIST -> storeInteger(w0, w1, false, false);
            case Op.FISTP -> storeInteger(w0, w1, true, false);
            case Op.FISTTP -> storeInteger(w0, w1, true, true);
            case Op.FXCH -> exchange(i);
            case Op.FFREE -> {
                s.fsw &= ~X87Stack.C1;
                x.free(i);
            }
            case Op.FFREEP -> {
                s.fsw &= ~X87Stack.C1;
                x.free(i);
                x.pop();
            }
            case Op.FNOP, Op.FWAIT, Op.FNENI, Op.FNDISI, Op.FNSETPM -> {}
            case Op.FINCSTP, Op.FDECSTP -> {
                s.fsw &= ~X87Stack.C1;
                x.rotate(op == Op.FINCSTP ? 1 : -1);
            }
            case Op.FCHS, Op.FABS -> sign(op == Op.FCHS);
            case Op.FTST -> test();
            case Op.FXAM -> examine();
            case Op.FSQRT, Op.FRNDINT -> unary(op == Op.FSQRT);
            case Op.FSCALE -> scaling.scale();
            case Op.FXTRACT -> scaling.extract();
            case Op.FPREM, Op.FPREM1 -> scaling.remainder(op == Op.FPREM1);
            case Op.FCMOVB -> conditionalMove(i, s.flagCarry < 0);
            case Op.FCMOVNB -> conditionalMove(i, s.flagCarry >= 0);
            case Op.FCMOVE -> conditionalMove(i, s.flagZero == 0);
            case Op.FCMOVNE -> conditionalMove(i, s.flagZero != 0);
            case Op.FCMOVBE -> conditionalMove(i, Conditions.belowOrEqual(s));
            case Op.FCMOVNBE -> conditionalMove(i, !Conditions.belowOrEqual(s));
            case Op.FCMOVU -> conditionalMove(i, Conditions.parity(s));
            case Op.FCMOVNU -> conditionalMove(i, !Conditions.parity(s));
            case Op.FNINIT -> initialize();
            case Op.FNCLEX -> s.fsw &= 0x7f00;
            case Op.FLDCW -> {
                s.fcw = (int) o.loadMemory(w0, w1, 1) & 0x1f3f | 0x40;
                x.summarize();
            }
            case Op.FNSTCW -> o.storeMemory(w0, w1, 1, s.fcw);
            case Op.FNSTSW -> o.storeMemory(w0, w1, 1, s.fsw);
            case Op.FNSTSW_AX -> o.setReg(CpuState.RAX, 1, s.fsw);
            case Op.FNSTENV -> storeEnvironment(w0, w1, false);
            case Op.FNSAVE -> storeEnvironment(w0, w1, true);
            case Op.FLDENV -> loadEnvironment(w0, w1, false);
            case Op.FRSTOR -> loadEnvironment(w0, w1, true);
            case Op.EMMS -> {
                s.fsw &= ~0x3800;
                s.ftwValid = 0;
            }
            default -> {
                return CpuExit.UNIMPLEMENTED;
            }
        }
        return Interpreter.NEXT;
    }

    // ------------------------------------------------------------------ arithmetic

    /** Fetches a memory operand (m32, m64, or an integer of m16, m32) into B. */
    private void fetch(long w0, long w1) {
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

    private void arithmetic(int k, long w0, long w1) {
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

    private void toRegister(int k, int i, boolean pop) {
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

    private void underflow(int i) {
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

    private void unary(boolean root) {
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

    private void sign(boolean change) {
        s.fsw &= ~X87Stack.C1;
        if (x.empty(0)) {
            underflow(0);
            return;
        }
        int r = x.physical(0);
        s.fpExponent[r] = change ? s.fpExponent[r] ^ 0x8000 : s.fpExponent[r] & 0x7fff;
    }

    // ------------------------------------------------------------------ comparisons

    private void compare(long w0, long w1, boolean signals, int pops) {
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

    private void compareRegister(int i, boolean signals, int pops) {
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

    private void test() {
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
            pop(pops);
        }
    }

    private void pop(int pops) {
        for (int i = 0; i < pops; i++) {
            x.pop();
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
            pop(pops);
        }
    }

    private void compareToFlags(int i, boolean signals, boolean pop) {
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

    private void examine() {
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

    // ------------------------------------------------------------------ loads

    /** Makes room for a push. False: the stack is full and the fault not masked, or its response has been pushed. */
    private boolean room() {
        if (x.empty(7)) {
            x.rotate(-1);
            return true;
        }
        if (x.stackFault(true)) {
            x.rotate(-1);
            x.setIndefinite(0);
        }
        return false;
    }

    private void load(int op, boolean memory, int i, long w0, long w1) {
        if (op == Op.FLD_M80) {
            int seg = Insn.segment(w0);
            long la = o.address(w0, w1, 10, false);
            long mantissa = cpu.load64(seg, la);
            int exponent = cpu.load16(seg, cpu.wrap(la + 8)) & 0xffff;
            x.begin();
            if (room()) {
                x.set(0, exponent, mantissa);
            }
            return;
        }
        if (!memory) {
            x.begin();
            if (x.empty(i)) {
                // Underflow goes before overflow.
                if (x.stackFault(false)) {
                    x.rotate(-1);
                    x.setIndefinite(0);
                }
                return;
            }
            if (!x.empty(7)) {
                room();
                return;
            }
            int r = x.physical(i);
            int exponent = s.fpExponent[r];
            long mantissa = s.fpMantissa[r];
            x.rotate(-1);
            x.set(0, exponent, mantissa);
            return;
        }
        fetch(w0, w1);
        if (!x.empty(7)) {
            room();
            return;
        }
        f.convert(SoftFloat.EXTENDED, SoftFloat.EXTENDED);
        if (x.proceed()) {
            x.rotate(-1);
            x.setResult(0);
            x.finish();
        }
    }

    /** Constants, rounded from 128 bits by the control word; no exceptions. */
    private void constant(int op) {
        x.begin();
        if (!room()) {
            return;
        }
        switch (op) {
            case Op.FLDZ -> {
                x.set(0, 0, 0);
                return;
            }
            case Op.FLD1 -> f.round(false, 0, Long.MIN_VALUE, 0, 64, 64);
            case Op.FLDL2T -> f.round(false, 1, 0xd49a_784b_cd1b_8afeL, 0x492b_f6ff_4daf_db4cL, 64, 64);
            case Op.FLDL2E -> f.round(false, 0, 0xb8aa_3b29_5c17_f0bbL, 0xbe87_fed0_691d_3e88L, 64, 64);
            case Op.FLDPI -> f.round(false, 1, 0xc90f_daa2_2168_c234L, 0xc4c6_628b_80dc_1cd1L, 64, 64);
            case Op.FLDLG2 -> f.round(false, -2, 0x9a20_9a84_fbcf_f798L, 0x8f89_59ac_0b7c_9178L, 64, 64);
            default -> f.round(false, -1, 0xb172_17f7_d1cf_79abL, 0xc9e3_b398_03f2_f6afL, 64, 64);
        }
        f.after = 0;
        x.setResult(0);
    }

    private void conditionalMove(int i, boolean condition) {
        if (x.empty(0) || x.empty(i)) {
            underflow(0);
            return;
        }
        if (condition) {
            int r = x.physical(i);
            x.set(0, s.fpExponent[r], s.fpMantissa[r]);
        }
    }

    private void exchange(int i) {
        s.fsw &= ~X87Stack.C1;
        if (x.empty(0) || x.empty(i)) {
            if (!x.stackFault(false)) {
                return;
            }
            if (x.empty(0)) {
                x.setIndefinite(0);
            }
            if (x.empty(i)) {
                x.setIndefinite(i);
            }
        }
        int a = x.physical(0);
        int b = x.physical(i);
        int exponent = s.fpExponent[a];
        long mantissa = s.fpMantissa[a];
        x.set(0, s.fpExponent[b], s.fpMantissa[b]);
        x.set(i, exponent, mantissa);
    }

    // ------------------------------------------------------------------ stores

    private void storeRegister(int i, boolean pop) {
        s.fsw &= ~X87Stack.C1;
        if (x.empty(0)) {
            if (!x.stackFault(false)) {
                return;
            }
            x.setIndefinite(i);
        } else {
            int r = x.physical(0);
            x.set(i, s.fpExponent[r], s.fpMantissa[r]);
        }
        if (pop) {
            x.pop();
        }
    }

    private void storeFloat(boolean pop, long w0, long w1) {
        int size = Insn.size(w0);
        int format = size == 2 ? SoftFloat.SINGLE : SoftFloat.DOUBLE;
        long la = o.address(w0, w1, 1 << size, true);
        int seg = Insn.segment(w0);
        cpu.probeWrite(seg, la, 1 << size);
        x.begin();
        if (x.empty(0)) {
            if (x.stackFault(false)) {
                cpu.store(seg, la, size, size == 2 ? 0xffc0_0000L : 0xfff8_0000_0000_0000L);
                pop(pop ? 1 : 0);
            }
            return;
        }
        x.unpackB(0);
        f.moveBToA();
        if (!x.nan()) {
            // A denormal operand is no exception here: the result's underflow says it.
            f.denormalB = false;
            f.convert(format, format);
        }
        if (!x.proceed()) {
            return;
        }
        if ((f.after & (SoftFloat.OE | SoftFloat.UE) & ~f.masks) != 0) {
            // Not masked: nothing is stored, popped or rounded.
            f.after &= SoftFloat.OE | SoftFloat.UE;
            x.finish();
            return;
        }
        cpu.store(seg, la, size, f.pack(format));
        x.finish();
        pop(pop ? 1 : 0);
    }

    private void store80(long w0, long w1) {
        int seg = Insn.segment(w0);
        long la = o.address(w0, w1, 10, true);
        cpu.probeWrite(seg, la, 10);
        s.fsw &= ~X87Stack.C1;
        long mantissa = 0xc000_0000_0000_0000L;
        int exponent = 0xffff;
        if (!x.empty(0)) {
            int r = x.physical(0);
            mantissa = s.fpMantissa[r];
            exponent = s.fpExponent[r];
        } else if (!x.stackFault(false)) {
            return;
        }
        cpu.store64(seg, la, mantissa);
        cpu.store16(seg, cpu.wrap(la + 8), exponent);
        x.pop();
    }

    private void storeInteger(long w0, long w1, boolean pop, boolean truncate) {
        int size = Insn.size(w0);
        int seg = Insn.segment(w0);
        long la = o.address(w0, w1, 1 << size, true);
        cpu.probeWrite(seg, la, 1 << size);
        x.begin();
        if (truncate) {
            f.rounding = SoftFloat.TRUNCATE;
        }
        long v = -1L << (8 << size) - 1;
        if (x.empty(0)) {
            if (!x.stackFault(false)) {
                return;
            }
        } else {
            x.unpackB(0);
            v = f.toSigned(8 << size);
            if ((f.before & SoftFloat.IE) != 0) {
                f.roundedUp = false;
            }
            if (!x.proceed()) {
                return;
            }
            x.finish();
        }
        cpu.store(seg, la, size, v);
        pop(pop ? 1 : 0);
    }

    // ------------------------------------------------------------------ environment

    private void initialize() {
        s.fcw = 0x37f;
        s.fsw = 0;
        s.ftwValid = 0;
        s.fpOpcode = 0;
        s.fpIp = 0;
        s.fpDp = 0;
    }

    private void storeEnvironment(long w0, long w1, boolean registers) {
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

    private void loadEnvironment(long w0, long w1, boolean registers) {
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
