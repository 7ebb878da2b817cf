package dev.slate.cpu.exec;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** The x87 instructions, exact in 80 bits: whether they may run, and the way to the families. */
final class X87Ops {
    private final Operands o;
    private final Cpu cpu;
    private final CpuState s;
    private final X87Stack x;
    private final X87Arithmetic arithmetic;
    private final X87Transfers transfers;
    private final X87Environment environment;
    private final X87Scaling scaling;
    private final X87Transcendental transcendental;

    X87Ops(Operands o) {
        this.o = o;
        this.cpu = o.cpu;
        this.s = o.s;
        this.x = new X87Stack(o.s);
        this.arithmetic = new X87Arithmetic(o, x);
        this.transfers = new X87Transfers(o, x, arithmetic);
        this.environment = new X87Environment(o, x);
        this.scaling = new X87Scaling(x);
        this.transcendental = new X87Transcendental(x);
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

    /** @param opcode the eleven bits that the x87 remembers */
    int execute(int op, long w0, long w1, long opcode) {
        available(op);
        int outcome = carryOut(op, w0, w1);
        if (!control(op)) {
            environment.remember(w0, w1, (int) opcode);
        }
        return outcome;
    }

    /** What leaves the x87's pointers alone (SDM 1 8.1.8). */
    private static boolean control(int op) {
        return switch (op) {
            case Op.FNINIT,
                    Op.FNCLEX,
                    Op.FLDCW,
                    Op.FNSTCW,
                    Op.FNSTSW,
                    Op.FNSTSW_AX,
                    Op.FNSTENV,
                    Op.FLDENV,
                    Op.FNSAVE,
                    Op.FRSTOR,
                    Op.FWAIT,
                    Op.FNENI,
                    Op.FNDISI,
                    Op.FNSETPM,
                    Op.EMMS -> true;
            default -> false;
        };
    }

    private int carryOut(int op, long w0, long w1) {
        boolean memory = (w0 & Insn.MEM) != 0;
        int i = Insn.rm(w0) & 7;
        switch (op) {
            case Op.FADD, Op.FIADD -> arithmetic.arithmetic(X87Arithmetic.ADD, w0, w1);
            case Op.FMUL, Op.FIMUL -> arithmetic.arithmetic(X87Arithmetic.MUL, w0, w1);
            case Op.FSUB, Op.FISUB -> arithmetic.arithmetic(X87Arithmetic.SUB, w0, w1);
            case Op.FSUBR, Op.FISUBR -> arithmetic.arithmetic(X87Arithmetic.SUB_REVERSED, w0, w1);
            case Op.FDIV, Op.FIDIV -> arithmetic.arithmetic(X87Arithmetic.DIV, w0, w1);
            case Op.FDIVR, Op.FIDIVR -> arithmetic.arithmetic(X87Arithmetic.DIV_REVERSED, w0, w1);
            case Op.FADD_STI -> arithmetic.toRegister(X87Arithmetic.ADD, i, false);
            case Op.FMUL_STI -> arithmetic.toRegister(X87Arithmetic.MUL, i, false);
            case Op.FSUB_STI -> arithmetic.toRegister(X87Arithmetic.SUB, i, false);
            case Op.FSUBR_STI -> arithmetic.toRegister(X87Arithmetic.SUB_REVERSED, i, false);
            case Op.FDIV_STI -> arithmetic.toRegister(X87Arithmetic.DIV, i, false);
            case Op.FDIVR_STI -> arithmetic.toRegister(X87Arithmetic.DIV_REVERSED, i, false);
            case Op.FADDP -> arithmetic.toRegister(X87Arithmetic.ADD, i, true);
            case Op.FMULP -> arithmetic.toRegister(X87Arithmetic.MUL, i, true);
            case Op.FSUBP -> arithmetic.toRegister(X87Arithmetic.SUB, i, true);
            case Op.FSUBRP -> arithmetic.toRegister(X87Arithmetic.SUB_REVERSED, i, true);
            case Op.FDIVP -> arithmetic.toRegister(X87Arithmetic.DIV, i, true);
            case Op.FDIVRP -> arithmetic.toRegister(X87Arithmetic.DIV_REVERSED, i, true);
            case Op.FCOM, Op.FICOM -> arithmetic.compare(w0, w1, true, 0);
            case Op.FCOMP, Op.FICOMP -> arithmetic.compare(w0, w1, true, 1);
            case Op.FUCOM -> arithmetic.compareRegister(i, false, 0);
            case Op.FUCOMP -> arithmetic.compareRegister(i, false, 1);
            case Op.FCOMPP -> arithmetic.compareRegister(1, true, 2);
            case Op.FUCOMPP -> arithmetic.compareRegister(1, false, 2);
            case Op.FCOMI -> arithmetic.compareToFlags(i, true, false);
            case Op.FUCOMI -> arithmetic.compareToFlags(i, false, false);
            case Op.FCOMIP -> arithmetic.compareToFlags(i, true, true);
            case Op.FUCOMIP -> arithmetic.compareToFlags(i, false, true);
            case Op.FLD, Op.FILD, Op.FLD_M80 -> transfers.load(op, memory, i, w0, w1);
            case Op.FLD1, Op.FLDL2T, Op.FLDL2E, Op.FLDPI, Op.FLDLG2, Op.FLDLN2, Op.FLDZ -> transfers.constant(op);
            case Op.FST, Op.FSTP -> {
                if (memory) {
                    transfers.storeFloat(op == Op.FSTP, w0, w1);
                } else {
                    transfers.storeRegister(i, op == Op.FSTP);
                }
            }
            case Op.FSTP_M80 -> transfers.store80(w0, w1);
            case Op.FIST -> transfers.storeInteger(w0, w1, false, false);
            case Op.FISTP -> transfers.storeInteger(w0, w1, true, false);
            case Op.FISTTP -> transfers.storeInteger(w0, w1, true, true);
            case Op.FXCH -> transfers.exchange(i);
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
            case Op.FCHS, Op.FABS -> arithmetic.sign(op == Op.FCHS);
            case Op.FTST -> arithmetic.test();
            case Op.FXAM -> arithmetic.examine();
            case Op.FSQRT, Op.FRNDINT -> arithmetic.unary(op == Op.FSQRT);
            case Op.F2XM1, Op.FYL2X, Op.FYL2XP1, Op.FPTAN, Op.FPATAN, Op.FSIN, Op.FCOS, Op.FSINCOS ->
                transcendental.execute(op);
            case Op.FBLD -> transfers.loadDecimal(w0, w1);
            case Op.FBSTP -> transfers.storeDecimal(w0, w1);
            case Op.FSCALE -> scaling.scale();
            case Op.FXTRACT -> scaling.extract();
            case Op.FPREM, Op.FPREM1 -> scaling.remainder(op == Op.FPREM1);
            case Op.FCMOVB -> transfers.conditionalMove(i, s.flagCarry < 0);
            case Op.FCMOVNB -> transfers.conditionalMove(i, s.flagCarry >= 0);
            case Op.FCMOVE -> transfers.conditionalMove(i, s.flagZero == 0);
            case Op.FCMOVNE -> transfers.conditionalMove(i, s.flagZero != 0);
            case Op.FCMOVBE -> transfers.conditionalMove(i, Conditions.belowOrEqual(s));
            case Op.FCMOVNBE -> transfers.conditionalMove(i, !Conditions.belowOrEqual(s));
            case Op.FCMOVU -> transfers.conditionalMove(i, Conditions.parity(s));
            case Op.FCMOVNU -> transfers.conditionalMove(i, !Conditions.parity(s));
            case Op.FNINIT -> environment.initialize();
            case Op.FNCLEX -> s.fsw &= 0x7f00;
            case Op.FLDCW -> {
                s.fcw = (int) o.loadMemory(w0, w1, 1) & 0x1f3f | 0x40;
                x.summarize();
            }
            case Op.FNSTCW -> o.storeMemory(w0, w1, 1, s.fcw);
            case Op.FNSTSW -> o.storeMemory(w0, w1, 1, s.fsw);
            case Op.FNSTSW_AX -> o.setReg(CpuState.RAX, 1, s.fsw);
            case Op.FNSTENV -> environment.store(w0, w1, false);
            case Op.FNSAVE -> environment.store(w0, w1, true);
            case Op.FLDENV -> environment.load(w0, w1, false);
            case Op.FRSTOR -> environment.load(w0, w1, true);
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
}
