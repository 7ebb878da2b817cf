package dev.slate.cpu.translate.x64;

import static dev.slate.cpu.translate.x64.Registers.IN_BLOCK;
import static dev.slate.cpu.translate.x64.Registers.R15;
import static dev.slate.cpu.translate.x64.Registers.RAX;
import static dev.slate.cpu.translate.x64.Registers.RCX;
import static dev.slate.cpu.translate.x64.Registers.RDX;
import static dev.slate.cpu.translate.x64.Registers.RSI;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** Integer instructions whose operands are in registers of their own: RAX, RDX and CL are not where the host's instruction wants them. */
abstract class ArithmeticForms extends SystemTransfers {
    ArithmeticForms(Stubs stubs, Sites sites, long guestFeatures, Shapes shapes, long noRecord) {
        super(stubs, sites, guestFeatures, shapes, noRecord);
    }

    final void extendAccumulator() {
        // Guest RAX lives in r8 (Registers).
        switch (Insn.size(w0)) {
            case 1 -> {
                raw(0x41, 0x0f, 0xbe, 0xc0); // movsx eax, r8b
                raw(0x66, 0x41, 0x89, 0xc0); // mov r8w, ax
            }
            case 2 -> raw(0x45, 0x0f, 0xbf, 0xc0); // movsx r8d, r8w
            default -> raw(0x4d, 0x63, 0xc0); // movsxd r8, r8d
        }
    }

    final void extendIntoDx() {
        a.mov(RAX, Registers.home(CpuState.RAX));
        switch (Insn.size(w0)) {
            case 1 -> raw(0x66, 0x99);
            case 2 -> raw(0x99);
            default -> raw(0x48, 0x99);
        }
    }

    /** Takes RAX, of the operand size, back to guest RAX's home. */
    private void writeAccumulator(int size) {
        int accumulator = Registers.home(CpuState.RAX);
        if (size <= 1) {
            a.byte1(0x66);
            a.mov32(accumulator, RAX);
        } else {
            // The host has zeroed or kept the upper half as silicon does.
            a.mov(accumulator, RAX);
        }
    }

    final void multiply() {
        int size = Insn.size(w0);
        int operand;
        if (Insn.isMemory(w0)) {
            beginAccess();
            address();
            probe(READ, 1 << size, 1);
            operand = -1;
        } else {
            operand = registerOperand(Insn.rm(w0), size == 0, RCX);
        }
        a.mov(RAX, Registers.home(CpuState.RAX));
        encode(e.modrm >> 3 & 7, false, operand, size == 0, 0);
        writeAccumulator(size);
        wroteFlags();
    }

    final void divide() {
        int size = Insn.size(w0);
        beginAccess();
        if (Insn.isMemory(w0)) {
            address();
            probe(READ, 1 << size, 1);
            if (size == 1) {
                raw(0x0f, 0xb7, 0x09); // movzx ecx, word [rcx]
            } else if (size == 2) {
                a.load32(RCX, RCX, 0);
            } else {
                a.load(RCX, RCX, 0);
            }
        } else {
            int from = read(Insn.rm(w0), RCX);
            if (size == 3) {
                a.mov(RCX, from);
            } else {
                a.mov32(RCX, from);
            }
            if (size == 1) {
                raw(0x0f, 0xb7, 0xc9); // movzx ecx, cx
            }
        }
        int slow = site(0, next, 0);
        if (op == Op.DIV) {
            // Fits when the high half is less than the divisor; a divisor of zero never is greater.
            if (size == 3) {
                a.arithmetic(Assembler.CMP, RDX, RCX);
            } else if (size == 2) {
                a.arithmetic32(Assembler.CMP, RDX, RCX);
            } else {
                raw(0x0f, 0xb7, 0xc2); // movzx eax, dx
                a.arithmetic32(Assembler.CMP, RAX, RCX);
            }
            later.interpret(a.jumpForwardIf(Assembler.AE), slow);
        } else {
            // Fits when the dividend is a sign-extended single word and the divisor neither 0 nor -1.
            a.mov(RAX, Registers.home(CpuState.RAX));
            if (size == 3) {
                a.shiftArithmetic(RAX, 63);
                a.arithmetic(Assembler.CMP, RAX, RDX);
            } else {
                raw(0xc1, 0xf8, 31); // sar eax, 31
                a.arithmetic32(Assembler.CMP, RAX, RDX);
            }
            later.interpret(a.jumpForwardIf(Assembler.NE), slow);
            a.lea(RAX, RCX, 1);
            if (size == 3) {
                a.arithmeticConstant(Assembler.CMP, RAX, 1);
            } else {
                a.arithmeticConstant32(Assembler.CMP, RAX, 1);
            }
            later.interpret(a.jumpForwardIf(Assembler.BE), slow);
        }
        a.mov(RAX, Registers.home(CpuState.RAX));
        int digit = op == Op.DIV ? 6 : 7;
        if (size == 1) {
            a.byte1(0x66);
        } else if (size == 3) {
            a.byte1(0x48);
        }
        raw(0xf7, 0xc0 | digit << 3 | RCX);
        writeAccumulator(size);
        // Undefined: those from before stay.
    }

    final void compareExchange() {
        int size = Insn.size(w0);
        int source = Registers.home(Insn.reg(w0));
        if (Insn.isMemory(w0)) {
            beginAccess();
            address();
            probe(WRITE, 1 << size, (w0 & Insn.LOCK) != 0 ? 1 << size : 1);
            a.mov(RAX, Registers.home(CpuState.RAX));
            encode(source, size == 0, -1, false, 0);
        } else {
            a.mov(RAX, Registers.home(CpuState.RAX));
            encode(source, size == 0, Registers.home(Insn.rm(w0)), size == 0, 0);
        }
        a.mov(Registers.home(CpuState.RAX), RAX);
        wroteFlags();
    }

    /** Guest RAX and RCX are where the host's instruction wants them, so the address takes RSI's place; a fault finds guest RSI put away. */
    final void compareExchange16() {
        beginAccess();
        address();
        probe(WRITE, 16, 16);
        sites.facts[sites.last()] |= Sites.RSI_SPARED;
        needFlags();
        a.store(R15, StateBlock.SPARE, RSI);
        a.mov(RSI, RCX);
        a.mov(RCX, Registers.home(CpuState.RCX));
        a.mov(RAX, Registers.home(CpuState.RAX));
        if ((w0 & Insn.LOCK) != 0) {
            a.byte1(0xf0);
        }
        raw(0x48, 0x0f, 0xc7, 0x0e); // cmpxchg16b [rsi]
        a.load(RSI, R15, StateBlock.SPARE);
        a.mov(Registers.home(CpuState.RAX), RAX);
        wroteFlags();
    }

    /** BT and its like of a bit that a register names, anywhere from the operand on: the word that has it is accessed. */
    final void bitString() {
        int size = Insn.size(w0);
        beginAccess();
        address();
        int from = read(Insn.reg(w0), RAX);
        extendSigned(RAX, from, size);
        a.shiftArithmetic(RAX, 3 + size);
        a.lea(RCX, RCX, RAX, size);
        a.mov32(RAX, read(Insn.reg(w0), RAX));
        a.arithmeticConstant32(Assembler.AND, RAX, (8 << size) - 1);
        a.store(R15, StateBlock.SPARE, RAX);
        int access = op == Op.BT ? READ : WRITE;
        probe(access, 1 << size, shapes.alignment(e, w0, 1 << size));
        needFlags();
        a.load(RAX, R15, StateBlock.SPARE);
        encode(RAX, false, -1, false, 0);
        wroteFlags();
    }

    /** A word, doubleword or quadword to all of a register. */
    private void extendSigned(int to, int from, int size) {
        if (size == 3) {
            a.mov(to, from);
            return;
        }
        a.byte1(0x48 | to >> 3 << 2 | from >> 3);
        if (size == 2) {
            a.byte1(0x63);
        } else {
            a.byte1(0x0f);
            a.byte1(0xbf);
        }
        a.byte1(0xc0 | (to & 7) << 3 | from & 7);
    }

    final void shiftByCl() {
        int size = Insn.size(w0);
        boolean twoRegisters = Insn.form(w0) == Insn.FORM_RM_R_CL;
        int reg = twoRegisters ? Registers.home(Insn.reg(w0)) : e.modrm >> 3 & 7;
        // The count takes RCX and the destination may take RAX: a source without a home takes RSI's place.
        boolean spares = reg == IN_BLOCK;
        if (Insn.isMemory(w0)) {
            beginAccess();
            address();
            probe(WRITE, 1 << size, 1);
            if (spares) {
                sites.facts[sites.last()] |= Sites.RSI_SPARED;
            }
            needFlags();
            a.mov(RAX, RCX);
            reg = spares ? spareRsi() : reg;
            a.mov32(RCX, Registers.home(CpuState.RCX));
            encode(reg, false, -2, false, 0);
        } else {
            needFlags();
            int guest = Insn.rm(w0);
            int operand = registerOperand(guest, size == 0, RAX);
            if (spares && operand == RAX) {
                reg = spareRsi();
            } else if (spares) {
                // Nothing is left to be brought back.
                spares = false;
                reg = read(Insn.reg(w0), RAX);
            }
            a.mov32(RCX, Registers.home(CpuState.RCX));
            encode(reg, false, operand, size == 0, 0);
            writeOperand(guest, operand);
        }
        if (spares) {
            a.load(RSI, R15, StateBlock.SPARE);
        }
        wroteFlags();
    }

    /** Loads the instruction's second register into RSI, which is put away; returns it. */
    private int spareRsi() {
        a.store(R15, StateBlock.SPARE, RSI);
        return read(Insn.reg(w0), RSI);
    }
}
