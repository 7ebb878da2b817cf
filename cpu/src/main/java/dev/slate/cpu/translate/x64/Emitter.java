package dev.slate.cpu.translate.x64;

import static dev.slate.cpu.translate.x64.Registers.IN_BLOCK;
import static dev.slate.cpu.translate.x64.Registers.R15;
import static dev.slate.cpu.translate.x64.Registers.RAX;
import static dev.slate.cpu.translate.x64.Registers.RCX;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Decoder;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.decode.OpFlags;
import org.jspecify.annotations.Nullable;

/**
 * Makes machine code of one block of 64-bit guest code.
 *
 * <p>Each instruction either becomes host code that does it whole, or leaves before it has begun: to have a TLB miss filled and be
 * tried again, or to have the interpreter execute it. So the guest's state is exact wherever code leaves, and every fault is raised
 * by the interpreter.
 */
final class Emitter extends AccessRows {
    /** MXCSR bits that no value has. */
    private static final int MXCSR_RESERVED = ~0xffff;

    /** Of the block translated last: where each instruction's code begins, and where that of the last one ends. */
    final int[] starts = new int[Decoder.MAX_INSTRUCTIONS + 1];

    /** The block at hand. */
    private @Nullable Block block;

    /** The instruction at hand is the one that an STI holds interrupts off for. */
    private boolean shadowed;

    Emitter(Stubs stubs, Sites sites, long guestFeatures, Shapes shapes, long noRecord) {
        super(stubs, sites, guestFeatures, shapes, noRecord);
    }

    /**
     * Translates a block; its code is in {@link #a} and must be placed at {@code origin}, and its ways out at {@code apart}, before it is entered.
     *
     * @param b a block of 64-bit code that is current, and lies on one page or is one instruction
     * @param second the page that the instruction goes on in
     * @param own what of the block lies on {@code into}
     */
    Unit translate(TranslatedPage into, @Nullable TranslatedPage second, Block b, Block own, long origin, long apart) {
        page = into;
        tlb = StateBlock.tlb(into.mode);
        read(b, b.count, into.mode);
        a.start(origin);
        boolean vectors = usesVectors(b);
        int wish = second != null ? SAVED : wish(b);
        long withFlags;
        long withoutFlags;
        if (wish == HERE) {
            withoutFlags = a.here();
            loadFlags();
            withFlags = a.here();
            flagsHere = true;
            flagsSaved = false;
        } else {
            withFlags = a.here();
            if (wish == SAVED) {
                storeFlags();
            }
            withoutFlags = a.here();
            flagsHere = false;
            flagsSaved = true;
        }
        if (second != null) {
            straddle(b.rip, second);
        }
        vectorsLoaded = false;
        if (vectors) {
            loadVectors();
        }
        Unit unit = new Unit(own, b.rip, into, withFlags, withoutFlags);
        // Known before its own jumps are made: a loop of one block is the most frequent one.
        into.add(unit);
        block = b;
        boolean ended = false;
        for (int i = 0; i < b.count && !ended; i++) {
            instruction(b, i);
            starts[i] = a.at;
            int together = stackRun(b, i);
            if (together > 1) {
                inOneGo(b, i, together, starts);
                i += together - 1;
                continue;
            }
            together = accessRun(b, i);
            if (together > 1) {
                shareOneLook(b, i, together, starts);
                i += together - 1;
                continue;
            }
            boolean enables = op == Op.STI && translates && i + 1 < b.count && canShadow(b, i + 1);
            if (enables) {
                // Held off until the next instruction is over.
                enableInterruptsBehindNext();
                instruction(b, ++i);
                starts[i] = a.at;
            }
            shadowed = enables;
            ended = one();
            if (shadowed) {
                a.store32Constant(R15, StateBlock.SHADOW, 0);
                shadowed = false;
            }
        }
        if (!ended) {
            next = b.rip + b.byteLength;
            leaveTo(next);
        }
        starts[b.count] = a.at;
        a.apart(apart);
        later.emit();
        return unit;
    }

    /** Has the guest's vector registers in the host's from here on; flags stay where they are. */
    private void loadVectors() {
        if (flagsHere) {
            // JECXZ leaves all flags, in which a loop's carry may go round; VECTORS_LOADED is 0.
            a.load32(RCX, R15, StateBlock.VECTORS);
            int loaded = a.jumpForwardIfEcxZero();
            int jump = a.jumpForward();
            a.bindShort(loaded);
            later.vectors(jump, a.here(), true);
        } else {
            a.compare32Constant(R15, StateBlock.VECTORS, StateBlock.VECTORS_LOADED);
            int jump = a.jumpForwardIf(Assembler.NE);
            later.vectors(jump, a.here(), false);
        }
        vectorsLoaded = true;
    }

    /** Whether a block gains anything: its first instruction at least must become host code. */
    boolean isWorthIt(Block b, int mode) {
        read(b, 1, mode);
        instruction(b, 0);
        return translates;
    }

    // ------------------------------------------------------------------ what a block wishes for

    private static final int EITHER = 0;
    private static final int HERE = 1;
    private static final int SAVED = 2;

    private boolean usesVectors(Block b) {
        for (int i = 0; i < b.count; i++) {
            instruction(b, i);
            if (isVector() && translates) {
                return true;
            }
        }
        return false;
    }

    private boolean isVector() {
        int unit = Insn.unit(w0);
        return unit == Insn.UNIT_SSE || unit == Insn.UNIT_AVX;
    }

    /** Where a block had best find the flags: where the first that cares about them wants them. */
    private int wish(Block b) {
        for (int i = 0; i < b.count; i++) {
            instruction(b, i);
            if (mayLeave()) {
                return SAVED;
            }
            if (needsFlags()) {
                return HERE;
            }
            if (OpFlags.written(op) == OpFlags.ALL) {
                return EITHER;
            }
        }
        return HERE;
    }

    private boolean mayLeave() {
        if (op >= Op.JO && op <= Op.JNLE || op == Op.JMP_REL) {
            return false;
        }
        return touchesMemory() || !translates;
    }

    private boolean touchesMemory() {
        return Insn.isMemory(w0) && op != Op.LEA && op != Op.NOP && op != Op.PREFETCH
                || op == Op.PUSH
                || op == Op.POP
                || op == Op.LEAVE
                || op == Op.STI
                || op == Op.RDTSC
                || op == Op.CMPXCHG16B
                || op == Op.MOVS
                || op == Op.STOS
                || op == Op.SERIALIZE
                || op == Op.PUSHF
                || op == Op.POPF
                || op == Op.SYSCALL
                || op == Op.SYSRET
                || op >= Op.CALL_REL && op <= Op.RET_IMM && op != Op.JMP_REL
                || op == Op.DIV
                || op == Op.IDIV;
    }

    // ------------------------------------------------------------------ instructions

    @Override
    void oneByOne(int first, int number) {
        Block b = java.util.Objects.requireNonNull(block);
        for (int i = first; i < first + number; i++) {
            instruction(b, i);
            one();
        }
    }

    @Override
    boolean one() {
        boolean relative = op == Op.CALL_REL || op == Op.JMP_REL || op >= Op.JO && op <= Op.JNLE;
        // A branch over the end of canonical addresses faults in ways of its own.
        if (!translates || relative && (blockTarget() ^ rip) >>> 47 != 0) {
            boolean last = op == Op.INVALID || shapes.ends(op);
            interpret(last);
            return last;
        }
        switch (op) {
            case Op.NOP, Op.PREFETCH -> {
                return false;
            }
            case Op.PUSH -> push();
            case Op.POP -> pop();
            case Op.LEAVE -> leaveFrame();
            case Op.LEA -> lea();
            case Op.MOVS, Op.STOS -> string();
            case Op.SERIALIZE -> {
                serialize();
                return true;
            }
            case Op.MFENCE -> {
                generic();
                if (!intel) {
                    serialize();
                }
                return !intel;
            }
            case Op.CLI -> systemFlag(CpuState.IF, false);
            case Op.CLD -> systemFlag(CpuState.DF, false);
            case Op.STD -> systemFlag(CpuState.DF, true);
            case Op.STI -> enableInterrupts();
            case Op.PUSHF -> pushFlags();
            case Op.POPF -> popFlags();
            case Op.SWAPGS -> swapGs();
            case Op.RDTSC -> readCounter();
            case Op.MOV_FROM_CR -> readFaultAddress();
            case Op.INVLPG -> {
                invalidatePage();
                return true;
            }
            case Op.SYSCALL -> {
                systemCall();
                return true;
            }
            case Op.SYSRET -> {
                systemReturn();
                return true;
            }
            case Op.FNSTCW -> storeX87Control();
            case Op.LDMXCSR -> loadMxcsr();
            case Op.CBW -> extendAccumulator();
            case Op.CWD -> extendIntoDx();
            case Op.MUL, Op.IMUL -> multiply();
            case Op.DIV, Op.IDIV -> divide();
            case Op.CMPXCHG -> compareExchange();
            case Op.CMPXCHG16B -> compareExchange16();
            case Op.CALL_REL -> {
                call();
                return true;
            }
            case Op.CALL_RM -> {
                callIndirect();
                return true;
            }
            case Op.JMP_REL -> {
                long target = blockTarget();
                if (target - rip <= 0) {
                    poll();
                }
                leaveTo(target);
                return true;
            }
            case Op.JMP_RM -> {
                jumpIndirect();
                return true;
            }
            case Op.RET, Op.RET_IMM -> {
                ret();
                return true;
            }
            default -> {
                if (op >= Op.JO && op <= Op.JNLE) {
                    jumpConditional();
                    return true;
                }
                if (op == Op.MOV && !e.hasModrm && Insn.size(w0) >= 2) {
                    moveConstant();
                    return false;
                }
                if (op >= Op.BT && op <= Op.BTC && Insn.isMemory(w0) && Insn.form(w0) == Insn.FORM_RM_R) {
                    bitString();
                    return false;
                }
                if (Insn.form(w0) == Insn.FORM_RM_CL || Insn.form(w0) == Insn.FORM_RM_R_CL) {
                    shiftByCl();
                } else {
                    generic();
                }
            }
        }
        return false;
    }

    private void serialize() {
        saveFlags();
        a.addMemoryConstant(R15, StateBlock.EPOCH, X64Translator.SERIALIZED);
        // This page is to be proved again, too.
        crossJump(next);
    }

    /** Target of a relative branch. */
    private long blockTarget() {
        return rip + imm;
    }

    private void jumpConditional() {
        long target = blockTarget();
        needFlags();
        // With the flags in both places a poll could clobber EFLAGS.
        flagsSaved = false;
        if (target - rip <= 0) {
            poll();
        }
        int taken = a.jumpForwardIf(Op.condition(op));
        if (samePage(target)) {
            edge(taken, target);
        } else {
            later.cross(taken, target, true);
        }
        leaveTo(next);
    }

    private void moveConstant() {
        long v = Insn.size(w0) == 2 ? imm & 0xffff_ffffL : imm;
        int home = Registers.home(Insn.rm(w0));
        a.movConstant(home == IN_BLOCK ? RAX : home, v);
        if (home == IN_BLOCK) {
            write(Insn.rm(w0), RAX);
        }
    }

    /** REP MOVS and REP STOS, a page at a time; downwards, and once somebody kicks, they are the interpreter's. */
    private void string() {
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
        a.store32Constant(R15, StateBlock.SITE, site(0, next, 1 << size << 8 | (moves ? Sites.MOVES : 0)));
        a.call(moves ? stubs.moves[size] : stubs.stores[size]);
        a.arithmeticConstant(Assembler.CMP, count, 0);
        a.jumpIf(Assembler.NE, retry);
        a.bind(none);
        sites.resume[slow] = a.here();
    }

    private void systemFlag(int flag, boolean set) {
        saveFlags();
        a.arithmetic32MemoryConstant(set ? Assembler.OR : Assembler.AND, R15, StateBlock.SYSTEM, set ? flag : ~flag);
    }

    /** STI, which holds interrupts off for an instruction where they were off: the interpreter's then. */
    private void enableInterrupts() {
        saveFlags();
        a.test32Memory(R15, StateBlock.SYSTEM, CpuState.IF);
        later.interpret(a.jumpForwardIf(Assembler.E), site(0, next, 0));
    }

    /**
     * Whether instruction {@code i} can follow an STI in code: it goes on behind itself, or returns, and asks for no interrupt. The
     * instruction at hand stays.
     */
    private boolean canShadow(Block b, int i) {
        int at = i - 1;
        instruction(b, i);
        boolean can = translates
                && (!shapes.ends(op) || op == Op.RET)
                && op != Op.STI
                && op != Op.CLI
                && op != Op.POPF
                && op != Op.PUSHF
                && op != Op.MOVS
                && op != Op.STOS
                && op != Op.SERIALIZE
                && op != Op.MFENCE
                && op != Op.INVLPG
                && op != Op.RDTSC;
        instruction(b, at);
        return can;
    }

    /** STI, unless an interrupt waits for it: the interpreter's then. */
    private void enableInterruptsBehindNext() {
        saveFlags();
        a.test32Memory(R15, StateBlock.SYSTEM, CpuState.IF);
        int on = a.jumpForwardIf(Assembler.NE);
        a.test32Memory(R15, StateBlock.POPF_ASKS, CpuState.IF);
        later.interpret(a.jumpForwardIf(Assembler.NE), site(0, next, 0));
        a.arithmetic32MemoryConstant(Assembler.OR, R15, StateBlock.SYSTEM, CpuState.IF);
        a.store32Constant(R15, StateBlock.SHADOW, CpuState.SHADOW_STI);
        a.bind(on);
    }

    private void leaveFrame() {
        beginAccess();
        a.mov(RCX, Registers.home(CpuState.RBP));
        probe(READ, 8, 1);
        a.lea(Registers.home(CpuState.RSP), Registers.home(CpuState.RBP), 8);
        a.load(Registers.home(CpuState.RBP), RCX, 0);
    }

    private void storeReturnAddress() {
        if (next == (int) next) {
            a.store64Constant(RCX, 0, (int) next);
        } else {
            a.movConstant(RAX, next);
            a.store(RCX, 0, RAX);
        }
        a.lea(Registers.home(CpuState.RSP), Registers.home(CpuState.RSP), -8);
    }

    private void call() {
        beginAccess();
        poll();
        pushRcxProbed(8);
        storeReturnAddress();
        leaveTo(blockTarget());
    }

    /** The target of an indirect branch to RAX. */
    private void indirectTarget() {
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

    private void jumpIndirect() {
        indirectTarget();
        lookUp();
        a.jumpIndexed(R15, RCX, JumpCache.CODE);
    }

    private void callIndirect() {
        indirectTarget();
        lookUp();
        a.loadIndexed(RAX, R15, RCX, JumpCache.CODE);
        a.store(R15, StateBlock.SPARE, RAX);
        pushRcxProbed(8);
        storeReturnAddress();
        a.jumpMemory(R15, StateBlock.SPARE);
    }

    private void ret() {
        beginAccess();
        poll();
        a.mov(RCX, Registers.home(CpuState.RSP));
        probe(READ, 8, 1);
        a.load(RAX, RCX, 0);
        lookUp();
        int more = op == Op.RET_IMM ? (int) imm & 0xffff : 0;
        a.lea(Registers.home(CpuState.RSP), Registers.home(CpuState.RSP), 8 + more);
        if (shadowed) {
            a.store32Constant(R15, StateBlock.SHADOW, 0);
            shadowed = false;
        }
        a.jumpIndexed(R15, RCX, JumpCache.CODE);
    }

    private void lea() {
        int size = Insn.size(w0);
        int guest = Insn.reg(w0);
        int home = Registers.home(guest);
        boolean wide = Insn.addressSize(w0) == 3 && size == 3;
        int to = size >= 2 && home != IN_BLOCK ? home : RCX;
        if (Insn.base(w0) == Insn.RIP_BASE) {
            long address = rip + Insn.displacement(e.word(1));
            a.movConstant(to, wide ? address : address & 0xffff_ffffL);
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

    private void storeX87Control() {
        beginAccess();
        address();
        probe(WRITE, 2, 1);
        a.load32(RAX, R15, StateBlock.FCW);
        raw(0x66, 0x89, 0x01); // mov [rcx], ax
    }

    /** LDMXCSR of a value with every exception masked and no reserved bit: what code goes by stays as it is. */
    private void loadMxcsr() {
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
