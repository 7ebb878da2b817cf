package dev.slate.cpu.translate.x64;

import static dev.slate.cpu.translate.x64.Registers.IN_BLOCK;
import static dev.slate.cpu.translate.x64.Registers.R15;
import static dev.slate.cpu.translate.x64.Registers.RAX;
import static dev.slate.cpu.translate.x64.Registers.RCX;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** Instructions whose operands the encoding names: their own bytes with other registers and a checked memory operand. */
abstract class Reencoding extends Emission {
    /** Of {@link #encode}: modrm.rm is the guest's register where it stands in the block. */
    private static final int BLOCK = -3;

    /** RCX has the host's address of what lies {@link #behind} before the memory operand, which has been probed, and is to keep it. */
    boolean inRow;

    int behind;

    Reencoding(Stubs stubs, Sites sites, long guestFeatures, Shapes shapes, long noRecord) {
        super(stubs, sites, guestFeatures, shapes, noRecord);
    }

    void raw(int... code) {
        for (int b : code) {
            a.byte1(b);
        }
    }

    // ------------------------------------------------------------------ everything whose operands the encoding names

    /** The register with a guest register, or with one of AH to BH as its low byte. */
    int registerOperand(int guest, boolean isByte, int scratch) {
        if (isByte && guest >= Insn.HIGH_BYTE) {
            a.store(R15, StateBlock.SPARE, Registers.home(guest - Insn.HIGH_BYTE));
            // movzx scratch, byte [r15 + SPARE + 1]
            raw(0x41, 0x0f, 0xb6);
            a.memory(scratch, R15, StateBlock.SPARE + 1);
            return scratch;
        }
        return read(guest, scratch);
    }

    void writeOperand(int guest, int from) {
        if (guest >= Insn.HIGH_BYTE) {
            int home = Registers.home(guest - Insn.HIGH_BYTE);
            a.store(R15, StateBlock.SPARE, home);
            // mov [r15 + SPARE + 1], low byte
            raw(0x41, 0x88);
            a.memory(from, R15, StateBlock.SPARE + 1);
            a.load(home, R15, StateBlock.SPARE);
        } else {
            write(guest, from);
        }
    }

    void generic() {
        boolean memory = Insn.isMemory(w0);
        boolean needs = needsFlags();
        String[] operands = shapes.operands(e);
        if (operands.length == 0) {
            if (needs) {
                needFlags();
            }
            // Fences, CMC and their like: as they are.
            encode(e.modrm >> 3 & 7, false, e.hasModrm ? e.modrm & 7 : -1, false, 0);
            wroteFlags();
            return;
        }
        if (op == Op.MOV && movesRegister()) {
            return;
        }
        if (memory) {
            int size = 1 << shapes.memorySize(e, operands);
            int access = shapes.writesMemory(op, operands) ? WRITE : READ;
            if (inRow) {
                accessSite(a.here(), access, size, 0);
                saveFlags();
            } else {
                beginAccess();
                address();
                probe(access, size, shapes.alignment(e, w0, size));
            }
        }
        if (needs) {
            needFlags();
        }
        scratchFree = memory || inRow ? 1 : 2;
        regGuest = -1;
        rmGuest = -1;
        vGuest = -1;
        int reg = -1;
        int rm = -1;
        int v = 0;
        boolean regByte = false;
        boolean rmByte = false;
        char first = operands[0].charAt(0);
        // An operand that is read alone is read where it is; of a bit string, memory would be more than the register.
        boolean readsOnly = e.hasModrm && ("GV".indexOf(first) >= 0 || op == Op.CMP || op == Op.TEST);
        for (String operand : operands) {
            boolean isByte = operand.equals("Gb") || operand.equals("Eb") || operand.equals("Zb");
            switch (operand.charAt(0)) {
                case 'G' -> {
                    regByte = isByte;
                    int guest = Insn.reg(w0);
                    boolean fresh = first == 'G' && isFresh() && (memory || Insn.rm(w0) != guest);
                    reg = guest == rmGuest ? rm : guest == vGuest ? v : fresh ? takeNew(guest) : take(guest, isByte);
                    regGuest = Insn.reg(w0);
                }
                case 'B' -> {
                    int guest = Insn.vvvv(w0);
                    v = guest == regGuest ? reg : guest == rmGuest ? rm : take(guest, false);
                    vGuest = guest;
                }
                case 'E', 'R', 'Z' -> {
                    if (!memory) {
                        rmByte = isByte;
                        int guest = Insn.rm(w0);
                        boolean there = readsOnly && inBlock(guest) && operand.charAt(0) == 'E';
                        rm = guest == regGuest ? reg : guest == vGuest ? v : there ? BLOCK : take(guest, isByte);
                        // Another operand that names the register finds none that has it.
                        rmGuest = rm == BLOCK ? -1 : guest;
                    }
                }
                case 'A', 'r' -> {
                    // AL, rAX; XCHG names another register before it
                    if (rm < 0) {
                        rmByte = operand.equals("AL");
                        rmGuest = CpuState.RAX;
                        rm = Registers.home(CpuState.RAX);
                    }
                }
                case 'V' -> reg = Insn.reg(w0);
                case 'H' -> v = Insn.vvvv(w0);
                case 'W', 'U' -> {
                    if (!memory) {
                        rm = Insn.rm(w0);
                    }
                }
                default -> {}
            }
        }
        encode(reg < 0 ? e.modrm >> 3 & 7 : reg, regByte, memory ? -1 : rm, rmByte, v);
        // Only what was written goes back: AH's copy is old when AX has been written.
        boolean both = op == Op.XCHG || op == Op.XADD;
        boolean rmWritten = both || "ERZ".indexOf(first) >= 0;
        boolean regWritten = both || first == 'G';
        boolean shared = rmGuest == regGuest;
        if (rmGuest >= 0 && isScratch(rm) && (rmWritten || shared && regWritten)) {
            writeOperand(rmGuest, rm);
        } else if (regGuest >= 0 && isScratch(reg) && regWritten) {
            writeOperand(regGuest, reg);
        }
        if (both && !shared && regGuest >= 0 && isScratch(reg)) {
            writeOperand(regGuest, reg);
        }
        if (vGuest >= 0 && isScratch(v) && (op == Op.MULX && vGuest != regGuest || first == 'B')) {
            write(vGuest, v);
        }
        wroteFlags();
    }

    /** Whether the instruction replaces all of its first operand, a register, by what it makes of the others. */
    private boolean isFresh() {
        return Insn.size(w0) >= 2 && (op == Op.MOV || op >= Op.MOVZX_8 && op <= Op.MOVSXD);
    }

    private static boolean inBlock(int guest) {
        return guest < Insn.HIGH_BYTE && Registers.home(guest) == IN_BLOCK;
    }

    /** MOV of 32 or 64 bits between general registers; false: it is none. */
    private boolean movesRegister() {
        int form = Insn.form(w0);
        boolean toReg = form == Insn.FORM_R_RM;
        if (Insn.isMemory(w0) || Insn.size(w0) < 2 || !toReg && form != Insn.FORM_RM_R) {
            return false;
        }
        int from = toReg ? Insn.rm(w0) : Insn.reg(w0);
        int to = toReg ? Insn.reg(w0) : Insn.rm(w0);
        boolean wide = Insn.size(w0) == 3;
        int home = Registers.home(from);
        int target = Registers.home(to);
        int via = target != IN_BLOCK ? target : RAX;
        if (home == IN_BLOCK && wide) {
            a.load(via, R15, StateBlock.GPR + 8 * from);
        } else if (home == IN_BLOCK) {
            a.load32(via, R15, StateBlock.GPR + 8 * from);
        } else if (!wide) {
            a.mov32(via, home);
        } else if (target == IN_BLOCK) {
            via = home;
        } else {
            a.mov(via, home);
        }
        write(to, via);
        return true;
    }

    int scratchFree;
    int regGuest;
    int rmGuest;
    int vGuest;

    static boolean isScratch(int host) {
        return host == RAX || host == RCX;
    }

    /** The register with a guest register; one of the free scratch registers when it has no home. */
    int take(int guest, boolean isByte) {
        int scratch = scratchFree == 2 ? RCX : RAX;
        int host = registerOperand(guest, isByte, scratch);
        if (host == scratch) {
            scratchFree--;
        }
        return host;
    }

    /** The same where what is in the guest register is not wanted. */
    private int takeNew(int guest) {
        int home = Registers.home(guest);
        return home != IN_BLOCK ? home : scratchFree-- == 2 ? RCX : RAX;
    }

    /**
     * Writes the instruction at hand with other operands.
     *
     * @param reg modrm.reg
     * @param rm modrm.rm, -1 for [rcx + {@link #behind}], -2 for [rax], {@link #BLOCK} for the guest's register where it is in the block
     * @param v VEX.vvvv
     */
    void encode(int reg, boolean regByte, int rm, boolean rmByte, int v) {
        int opcode = e.opcode;
        boolean hasModrm = e.hasModrm;
        int digit = reg;
        if (!hasModrm && rm >= 0) {
            // Forms with the accumulator, or with a register in the opcode.
            hasModrm = true;
            if (op == Op.TEST) {
                opcode = 0xf6 | opcode & 1;
                digit = 0;
            } else if (op == Op.MOV) {
                opcode = opcode < 0xb8 ? 0xc6 : 0xc7;
                digit = 0;
            } else if (op == Op.BSWAP) {
                hasModrm = false;
                opcode = 0xc8 | rm & 7;
                digit = 0;
            } else if (op == Op.XCHG) {
                opcode = 0x87;
                digit = Registers.home(CpuState.RAX);
            } else {
                digit = opcode >> 3 & 7;
                opcode = 0x80 | opcode & 1;
            }
        }
        int rmBits = rm == -1 ? RCX : rm == -2 ? RAX : rm == BLOCK ? R15 : rm;
        if (e.vex) {
            a.byte1(0xc4);
            a.byte1((digit < 8 ? 0x80 : 0) | 0x40 | (rmBits < 8 ? 0x20 : 0) | e.map);
            a.byte1((e.wide ? 0x80 : 0) | (~v & 15) << 3 | e.vexL << 2 | e.mandatory);
        } else {
            if (e.operandPrefix) {
                a.byte1(0x66);
            }
            if ((w0 & Insn.LOCK) != 0) {
                a.byte1(0xf0);
            }
            if (e.mandatory >= 2) {
                a.byte1(e.mandatory == 2 ? 0xf3 : 0xf2);
            }
            int rex = (e.wide ? 8 : 0) | digit >> 3 << 2 | rmBits >> 3;
            boolean byteNeedsRex = regByte && digit >= 4 && digit < 8 || rmByte && rm >= 4 && rm < 8;
            if (rex != 0 || byteNeedsRex) {
                a.byte1(0x40 | rex);
            }
            if (e.map != 0) {
                a.byte1(0x0f);
                if (e.map > 1) {
                    a.byte1(e.map == 2 ? 0x38 : 0x3a);
                }
            }
        }
        a.byte1(opcode);
        if (rm == BLOCK) {
            a.memory(digit, R15, StateBlock.GPR + 8 * Insn.rm(w0));
        } else if (hasModrm && rm >= 0) {
            a.byte1(0xc0 | (digit & 7) << 3 | rmBits & 7);
        } else if (hasModrm) {
            a.memory(digit, rmBits, behind);
        }
        a.immediate(imm, e.immediateBytes);
    }
}
