package dev.slate.cpu.translate.x64;

import static dev.slate.cpu.translate.x64.Registers.IN_BLOCK;
import static dev.slate.cpu.translate.x64.Registers.R15;
import static dev.slate.cpu.translate.x64.Registers.RAX;
import static dev.slate.cpu.translate.x64.Registers.RCX;
import static dev.slate.cpu.translate.x64.Registers.RSP;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import org.jspecify.annotations.Nullable;

/** Branches, calls and returns, and instructions that are code of their own: strings, flags of the system, LEA, constants, control words. */
abstract class FlowForms extends AccessRows {
    /** MXCSR bits that no value has. */
    private static final int MXCSR_RESERVED = ~0xffff;

    /** The instruction at hand is the one that an STI holds interrupts off for. */
    boolean shadowed;

    /** What goes on behind the branch at hand; null: nothing does. */
    @Nullable
    Block follower;

    FlowForms(Stubs stubs, Sites sites, long guestFeatures, Shapes shapes, long noRecord) {
        super(stubs, sites, guestFeatures, shapes, noRecord);
    }

    /** The block at a rip, when the code at hand may go on with it; null: it is left for that. */
    abstract @Nullable Block following(long rip);

    final void serialize() {
        saveFlags();
        a.addMemoryConstant(R15, StateBlock.EPOCH, X64Translator.SERIALIZED);
        forgetReturns();
        // This page is to be proved again, too.
        crossJump(next);
    }

    /** Target of a relative branch. */
    final long blockTarget() {
        return rip + imm;
    }

    final void jump() {
        long target = blockTarget();
        follower = following(target);
        if (target - rip <= 0) {
            poll();
        }
        if (follower == null) {
            leaveTo(target);
        }
    }

    final void jumpConditional() {
        long target = blockTarget();
        long away = target;
        int condition = Op.condition(op);
        follower = following(next);
        if (follower == null) {
            follower = following(target);
            if (follower != null) {
                away = next;
                condition ^= 1;
            }
        }
        needFlags();
        boolean saved = flagsSaved;
        // With the flags in both places a poll could clobber EFLAGS.
        flagsSaved = false;
        if (target - rip <= 0) {
            poll();
        }
        int jump = a.jumpForwardIf(condition);
        if (samePage(away)) {
            edge(jump, away);
        } else {
            later.cross(jump, away, true);
        }
        if (follower == null) {
            leaveTo(next);
        } else {
            flagsSaved = saved;
        }
    }

    final void call() {
        beginAccess();
        poll();
        storeReturnAddress();
        long target = blockTarget();
        follower = following(next);
        if (samePage(target)) {
            edge(a.callForward(), target);
        } else {
            crossCall(target);
        }
        returned();
    }

    /** Pushes it on the guest's stack, and on the host's what {@link Returns} have of it. */
    private void storeReturnAddress() {
        pushRcxProbed(8);
        boolean isShort = next == (int) next;
        if (isShort) {
            a.store64Constant(RCX, 0, (int) next);
        } else {
            position(RAX, next);
            a.store(RCX, 0, RAX);
        }
        a.lea(Registers.home(CpuState.RSP), Registers.home(CpuState.RSP), -8);
        a.testConstant32(RSP, Returns.BYTES - 1);
        int full = a.jumpForwardIf(Assembler.E);
        later.full(full, a.here());
        if (isShort) {
            a.pushConstant((int) next);
        } else {
            a.push(RAX);
        }
    }

    /** What is called has returned: RAX has the rip. */
    private void returned() {
        if (page.movable) {
            // The rip may be the next page's.
            a.lea(RAX, RAX, (int) (linear - next));
            a.store(R15, StateBlock.PLACE, RAX);
        }
        if (follower == null) {
            leaveTo(next);
        }
    }

    /** The target of an indirect branch to RAX. */
    final void indirectTarget() {
        beginAccess();
        poll();
        if (Insn.isMemory(w0)) {
            address();
            probe(READ, 8, 1);
            a.load(RAX, RCX, 0);
        } else {
            int guest = Insn.rm(w0);
            int from = read(guest, RAX);
            if (from != RAX) {
                a.mov(RAX, from);
            }
        }
    }

    final void jumpIndirect() {
        indirectTarget();
        lookUp();
        goToEntry(a);
    }

    final void callIndirect() {
        indirectTarget();
        lookUp();
        a.store(R15, StateBlock.SPARE, RCX);
        storeReturnAddress();
        a.load(RCX, R15, StateBlock.SPARE);
        follower = following(next);
        callEntry();
        returned();
    }

    final void ret() {
        beginAccess();
        poll();
        a.mov(RCX, Registers.home(CpuState.RSP));
        probe(READ, 8, 1);
        a.load(RAX, RCX, 0);
        a.arithmeticMemory(Assembler.CMP, RAX, RSP, Returns.RIP);
        int bytes = 8 + (op == Op.RET_IMM ? (int) imm & 0xffff : 0);
        later.returnTo(a.jumpForwardIf(Assembler.NE), site(0, 0, Sites.ARRIVED), bytes);
        a.lea(Registers.home(CpuState.RSP), Registers.home(CpuState.RSP), bytes);
        if (shadowed) {
            a.store32Constant(R15, StateBlock.SHADOW, 0);
            shadowed = false;
        }
        a.returnPast(Returns.ENTRY - 8);
    }

    final void systemFlag(int flag, boolean set) {
        saveFlags();
        a.arithmetic32MemoryConstant(set ? Assembler.OR : Assembler.AND, R15, StateBlock.SYSTEM, set ? flag : ~flag);
    }

    /** STI, which holds interrupts off for an instruction where they were off: the interpreter's then. */
    final void enableInterrupts() {
        saveFlags();
        a.test32Memory(R15, StateBlock.SYSTEM, CpuState.IF);
        later.interpret(a.jumpForwardIf(Assembler.E), site(0, next, 0));
    }

    /** STI, unless an interrupt waits for it: the interpreter's then. */
    final void enableInterruptsBehindNext() {
        saveFlags();
        a.test32Memory(R15, StateBlock.SYSTEM, CpuState.IF);
        int on = a.jumpForwardIf(Assembler.NE);
        a.test32Memory(R15, StateBlock.POPF_ASKS, CpuState.IF);
        later.interpret(a.jumpForwardIf(Assembler.NE), site(0, next, 0));
        a.arithmetic32MemoryConstant(Assembler.OR, R15, StateBlock.SYSTEM, CpuState.IF);
        a.store32Constant(R15, StateBlock.SHADOW, CpuState.SHADOW_STI);
        a.bind(on);
    }

    /** REP MOVS and REP STOS, a page at a time; downwards, and once somebody kicks, they are the interpreter's. */
    final void string() {
        int size = Insn.size(w0);
        boolean moves = op == Op.MOVS;
        beginAccess();
        int slow = site(0, next, 0);
        a.test32Memory(R15, StateBlock.SYSTEM, CpuState.DF);
        later.interpret(a.jumpForwardIf(Assembler.NE), slow);
        int count = Registers.home(CpuState.RCX);
        a.arithmeticConstant(Assembler.CMP, count, 0);
        int none = a.jumpForwardIf(Assembler.E);
        a.load(RCX, R15, StateBlock.STRING_KICK);
        a.compare32Constant(RCX, 0, 0);
        later.interpret(a.jumpForwardIf(Assembler.NE), slow);
        if (moves) {
            a.mov(RCX, Registers.home(CpuState.RSI));
            probe(READ, 1 << size, 1);
            a.store(R15, StateBlock.SPARE, RCX);
        }
        a.mov(RCX, Registers.home(CpuState.RDI));
        probe(WRITE, 1 << size, 1);
        a.store(R15, StateBlock.STRING_TO, RCX);
        a.store32Constant(R15, StateBlock.SITE, site(retry, next, 1 << size << 8 | (moves ? Sites.MOVES : 0)));
        a.call(moves ? stubs.moves[size] : stubs.stores[size]);
        a.arithmeticConstant(Assembler.CMP, count, 0);
        a.jumpIf(Assembler.NE, retry);
        a.bind(none);
        sites.resume(slow, a.here());
    }

    final void leaveFrame() {
        beginAccess();
        a.mov(RCX, Registers.home(CpuState.RBP));
        probe(READ, 8, 1);
        a.lea(Registers.home(CpuState.RSP), Registers.home(CpuState.RBP), 8);
        a.load(Registers.home(CpuState.RBP), RCX, 0);
    }

    final void lea() {
        int size = Insn.size(w0);
        int guest = Insn.reg(w0);
        int home = Registers.home(guest);
        boolean wide = Insn.addressSize(w0) == 3 && size == 3;
        int to = size >= 2 && home != IN_BLOCK ? home : RCX;
        if (Insn.base(w0) == Insn.RIP_BASE) {
            position(to, displacement(), wide);
        } else {
            effective(to, Insn.base(w0), Insn.index(w0), Insn.scale(w0), (int) Insn.displacement(e.word(1)), wide);
        }
        if (size == 1) {
            int dest = read(guest, RAX);
            a.byte1(0x66);
            a.mov32(dest, RCX);
            write(guest, dest);
        } else {
            write(guest, to);
        }
    }

    final void moveConstant() {
        long v = Insn.size(w0) == 2 ? imm & 0xffff_ffffL : imm;
        int home = Registers.home(Insn.rm(w0));
        a.movConstant(home == IN_BLOCK ? RAX : home, v);
        if (home == IN_BLOCK) {
            write(Insn.rm(w0), RAX);
        }
    }

    final void storeX87Control() {
        beginAccess();
        address();
        probe(WRITE, 2, 1);
        a.load32(RAX, R15, StateBlock.FCW);
        raw(0x66, 0x89, 0x01); // mov [rcx], ax
    }

    /** LDMXCSR of a value with every exception masked and no reserved bit: what code goes by stays as it is. */
    final void loadMxcsr() {
        beginAccess();
        address();
        probe(READ, 4, 1);
        a.load32(RAX, RCX, 0);
        a.store32(R15, StateBlock.SPARE, RAX);
        a.arithmeticConstant32(Assembler.AND, RAX, MXCSR_RESERVED | Shapes.MXCSR_MASKS);
        a.arithmeticConstant32(Assembler.CMP, RAX, Shapes.MXCSR_MASKS);
        later.interpret(a.jumpForwardIf(Assembler.NE), site(0, next, 0));
        Stubs.mxcsr(a, 2, StateBlock.SPARE);
    }
}
