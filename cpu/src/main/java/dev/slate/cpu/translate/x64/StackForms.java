package dev.slate.cpu.translate.x64;

import static dev.slate.cpu.translate.x64.Registers.IN_BLOCK;
import static dev.slate.cpu.translate.x64.Registers.R15;
import static dev.slate.cpu.translate.x64.Registers.RAX;
import static dev.slate.cpu.translate.x64.Registers.RCX;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/**
 * PUSH and POP. What a function puts away when it begins and takes back before it returns stands in a row, most often on one page: the TLB is
 * looked at once for all of it. Where that does not do, the same instructions stand apart, one by one.
 */
abstract class StackForms extends ArithmeticForms {
    /** The most of a row. */
    private static final int MOST = 12;

    StackForms(Stubs stubs, Sites sites, long guestFeatures, Shapes shapes, long noRecord) {
        super(stubs, sites, guestFeatures, shapes, noRecord);
    }

    /** How many PUSHes or how many POPs of registers stand in a row from instruction {@code i} on, which is the one at hand. */
    final int stackRun(int i) {
        int kind = op;
        if (kind != Op.PUSH && kind != Op.POP) {
            return 0;
        }
        int n = 0;
        while (n < MOST && i + n < end) {
            instruction(i + n);
            if (op != kind || !translates || Insn.isMemory(w0) || !isConstant() && Insn.rm(w0) == CpuState.RSP) {
                break;
            }
            n++;
        }
        instruction(i);
        return n;
    }

    private boolean isConstant() {
        return Insn.form(w0) == Insn.FORM_IMM;
    }

    /** Emits such a row. @param starts where each instruction's code begins */
    final void inOneGo(int first, int number, int[] starts) {
        boolean pushes = op == Op.PUSH;
        int rsp = Registers.home(CpuState.RSP);
        int bytes = 8 * number;
        starts[first] = a.at;
        beginAccess();
        if (pushes) {
            a.lea(RCX, rsp, -bytes);
        } else {
            a.mov(RCX, rsp);
        }
        int not = probeAll(pushes ? WRITE : READ, bytes);
        accessSite(retry, pushes ? WRITE : READ, bytes, 0);
        for (int k = 0; k < number; k++) {
            instruction(first + k);
            if (k > 0) {
                starts[first + k] = a.at;
            }
            int guest = Insn.rm(w0);
            if (!pushes) {
                // Done anew, should the page go in between: RSP says where from until all are there.
                int home = Registers.home(guest);
                a.load(home == IN_BLOCK ? RAX : home, RCX, 8 * k);
                write(guest, home == IN_BLOCK ? RAX : home);
            } else if (isConstant()) {
                a.store64Constant(RCX, bytes - 8 * (k + 1), (int) imm);
            } else {
                a.store(RCX, bytes - 8 * (k + 1), read(guest, RAX));
            }
        }
        a.lea(rsp, rsp, pushes ? -bytes : bytes);
        later.apart(not, first, number, a.here());
    }

    final void push() {
        beginAccess();
        int form = Insn.form(w0);
        if (Insn.isMemory(w0)) {
            address();
            probe(READ, 8, 1);
            a.load(RAX, RCX, 0);
            a.store(R15, StateBlock.SPARE, RAX);
            pushRcxProbed(8);
            a.load(RAX, R15, StateBlock.SPARE);
            a.store(RCX, 0, RAX);
        } else if (form == Insn.FORM_IMM) {
            pushRcxProbed(8);
            a.store64Constant(RCX, 0, (int) imm);
        } else {
            pushRcxProbed(8);
            a.store(RCX, 0, read(Insn.rm(w0), RAX));
        }
        a.lea(Registers.home(CpuState.RSP), Registers.home(CpuState.RSP), -8);
    }

    final void pop() {
        beginAccess();
        a.mov(RCX, Registers.home(CpuState.RSP));
        probe(READ, 8, 1);
        int guest = Insn.rm(w0);
        int home = Registers.home(guest);
        if (home == IN_BLOCK) {
            a.load(RAX, RCX, 0);
            a.store(R15, StateBlock.GPR + 8 * guest, RAX);
        } else {
            a.load(home, RCX, 0);
        }
        if (guest != CpuState.RSP) {
            a.lea(Registers.home(CpuState.RSP), Registers.home(CpuState.RSP), 8);
        }
    }
}
