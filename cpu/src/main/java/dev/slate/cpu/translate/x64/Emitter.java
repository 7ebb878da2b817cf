package dev.slate.cpu.translate.x64;

import static dev.slate.cpu.translate.x64.Registers.R15;
import static dev.slate.cpu.translate.x64.Registers.RCX;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.TranslationObserver;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Decoder;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.decode.OpFlags;
import org.jspecify.annotations.Nullable;

/**
 * Makes machine code of a block of 64-bit guest code and of what is often executed behind it.
 *
 * <p>Each instruction either becomes host code that does it whole, or leaves before it has begun: to have a TLB miss filled and be
 * tried again, or to have the interpreter execute it. So the guest's state is exact wherever code leaves, and every fault is raised
 * by the interpreter.
 */
final class Emitter extends FlowForms {
    /** Where each instruction's code begins in the buffer; by part where its code does, and where the last one's ends. */
    private final int[] starts = new int[Decoder.MAX_INSTRUCTIONS];

    private final int[] partStarts = new int[Parts.MOST + 1];
    /** By part: where its ways out begin; and where the last one's end. */
    private final int[] outStarts = new int[Parts.MOST + 1];

    /** By part. */
    private final @Nullable Unit[] units = new Unit[Parts.MOST];

    private Ahead ahead = rip -> null;

    Emitter(Stubs stubs, Sites sites, long guestFeatures, Shapes shapes, long noRecord) {
        super(stubs, sites, guestFeatures, shapes, noRecord);
    }

    /** Blocks that may become code together with those that lead to them. */
    interface Ahead {
        /** The one at a rip of the page at hand that is often executed, is current and is no code yet; null: there is none. */
        @Nullable
        Block at(long rip);
    }

    /**
     * Translates a block and what often follows it; the code is in {@link #a} and must be placed at {@code origin}, and its ways out at {@code apart},
     * before it is entered. What came of each block says {@link #unit}. After an exception nothing of the page may be entered.
     *
     * @param place where the page lies that it begins on
     * @param b a block of 64-bit code that is current, and lies on one page or is one instruction
     * @param second where the page lies that the instruction goes on in
     * @param own what of the block lies on the page that it begins on
     * @param ahead blocks that may follow
     */
    void translate(Place place, @Nullable Place second, Block b, Block own, Ahead ahead, long origin, long apart) {
        page = place.page;
        linear = place.linear;
        this.ahead = ahead;
        tlb = StateBlock.tlb(page.mode);
        parts.clear();
        // An exception may have ended the last one on its way.
        later.clear();
        probed = 0;
        inRow = false;
        behind = 0;
        shadowed = false;
        read(b, 0, b.count, page.mode);
        end = b.count;
        a.start(origin);
        boolean vectors = usesVectors(0);
        int wish = second != null ? Parts.SAVED : wish(0);
        long withFlags;
        long withoutFlags;
        if (wish == Parts.HERE) {
            withoutFlags = a.here();
            loadFlags();
            withFlags = a.here();
            flagsHere = true;
            flagsSaved = false;
        } else {
            withFlags = a.here();
            if (wish == Parts.SAVED) {
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
        partStarts[0] = 0;
        if (second == null) {
            // Within the code nothing leads there that has not proved the second page.
            parts.add(b, b.rip, a.here(), state() | wish & Parts.EITHER);
        }
        Unit unit = new Unit(own, (int) b.rip & 4095, page, withFlags, withoutFlags);
        units[0] = unit;
        // Known before its own jumps are made: a loop of one block is the most frequent one.
        page.add(unit);
        Block follows = part(0);
        for (int part = 1; follows != null; part++) {
            int first = parts.first(part);
            later.endPart(part - 1);
            partStarts[part] = a.at;
            end = first + follows.count;
            if (!vectorsLoaded && usesVectors(first)) {
                loadVectors();
            }
            parts.add(follows, ripOf(first), a.here(), state() | wish(first) & Parts.EITHER);
            follows = part(first);
        }
        int last = count() - 1;
        partStarts[last + 1] = a.at;
        later.endPart(last);
        a.apart(apart);
        for (int part = 0; part <= last; part++) {
            outStarts[part] = a.at;
            if (part > 0) {
                units[part] = enteredByItself(part);
                page.add(unit(part));
            }
            later.emit(part);
        }
        outStarts[last + 1] = a.at;
    }

    /** How many parts there are. */
    int count() {
        return Math.max(parts.count(), 1);
    }

    /** What came of a part. */
    Unit unit(int part) {
        return java.util.Objects.requireNonNull(units[part]);
    }

    /**
     * Tells of a part's code.
     *
     * @param b the part's block
     * @param origin where the code lies, and {@code apart} all ways out
     * @param nanos what it took
     */
    void tell(TranslationObserver observer, int part, Block b, long origin, long apart, long nanos) {
        int from = partStarts[part];
        int first = parts.first(part);
        int[] its = new int[b.count + 1];
        for (int i = 0; i < b.count; i++) {
            its[i] = starts[first + i] - from;
        }
        its[b.count] = partStarts[part + 1] - from;
        int out = outStarts[part];
        observer.translated(
                b, its, origin + from, its[b.count], apart + out - a.split(), outStarts[part + 1] - out, nanos);
    }

    /** Makes code of instruction {@code first} and the others of its block; returns the block that the code is to go on with. */
    private @Nullable Block part(int first) {
        follower = null;
        boolean ended = false;
        for (int i = first; i < end && !ended; i++) {
            instruction(i);
            starts[i] = a.at;
            int together = stackRun(i);
            if (together > 1) {
                inOneGo(i, together, starts);
                i += together - 1;
                continue;
            }
            together = accessRun(i);
            if (together > 1) {
                shareOneLook(i, together, starts);
                i += together - 1;
                continue;
            }
            boolean enables = op == Op.STI && translates && i + 1 < end && canShadow(i + 1);
            if (enables) {
                // Held off until the next instruction is over.
                enableInterruptsBehindNext();
                instruction(++i);
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
            follower = following(next);
            if (follower == null) {
                leaveTo(next);
            }
        }
        return follower;
    }

    /** The block at a rip, when the code at hand may go on with it: its instructions have been read then, as those behind the last. */
    @Override
    @Nullable
    Block following(long rip) {
        if (parts.count() == 0
                || parts.isFull()
                || !samePage(rip)
                || page.unit((int) rip & 4095) != null
                || parts.at(rip) >= 0) {
            return null;
        }
        Block b = ahead.at(rip);
        if (b == null || end + b.count > Decoder.MAX_INSTRUCTIONS) {
            return null;
        }
        read(b, end, b.count, page.mode);
        return translates(end) ? b : null;
    }

    /** A part for who comes to it from elsewhere. */
    private Unit enteredByItself(int part) {
        long withoutFlags = wayInto(part, false);
        boolean either = (parts.state(part) & Parts.EITHER) != 0;
        long withFlags = either ? withoutFlags : wayInto(part, true);
        return new Unit(parts.block(part), (int) parts.rip(part) & 4095, page, withFlags, withoutFlags);
    }

    /** A way into a part, with the flags in EFLAGS or in the state block, to what is so where it begins; that itself, if nothing is to be done. */
    private long wayInto(int part, boolean withFlags) {
        int state = parts.state(part);
        long begin = parts.begin(part);
        boolean vectors = (state & Parts.VECTORS) != 0;
        boolean either = (state & Parts.EITHER) != 0;
        boolean here = !either && (state & Parts.HERE) != 0;
        boolean stores = withFlags && !either && (state & Parts.SAVED) != 0;
        boolean loads = !withFlags && here;
        if (!vectors && !stores && !loads) {
            return begin;
        }
        long way = a.here();
        if (stores) {
            storeFlags();
        }
        flagsHere = withFlags && here;
        if (vectors) {
            loadVectors();
        }
        if (loads) {
            loadFlags();
        }
        a.jump(begin);
        return way;
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
        read(b, 0, 1, mode);
        return translates(0);
    }

    // ------------------------------------------------------------------ what a block wishes for

    private boolean usesVectors(int first) {
        for (int i = first; i < end; i++) {
            instruction(i);
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

    /** Where instruction {@code first} and what follows it had best find the flags: where the first that cares about them wants them: a {@link Parts} bit. */
    private int wish(int first) {
        for (int i = first; i < end; i++) {
            instruction(i);
            if (mayLeave()) {
                return Parts.SAVED;
            }
            if (needsFlags()) {
                return Parts.HERE;
            }
            if (OpFlags.written(op) == OpFlags.ALL) {
                return Parts.EITHER;
            }
        }
        return Parts.HERE;
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
                || op == Op.RDTSCP
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
        for (int i = first; i < first + number; i++) {
            instruction(i);
            one();
        }
    }

    @Override
    boolean one() {
        boolean relative = op == Op.CALL_REL || op == Op.JMP_REL || op >= Op.JO && op <= Op.JNLE;
        boolean calls = op == Op.CALL_REL || op == Op.CALL_RM;
        // A branch over the end of canonical addresses faults in ways of its own, as does a return there.
        if (!translates || relative && isFar(blockTarget()) || calls && isFar(next)) {
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
            case Op.RDTSC, Op.RDTSCP -> readCounter();
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
                jump();
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

    private boolean isFar(long target) {
        return (target ^ rip) >>> 47 != 0;
    }

    /**
     * Whether instruction {@code i} can follow an STI in code: it goes on behind itself, or returns, and asks for no interrupt. The
     * instruction at hand stays.
     */
    private boolean canShadow(int i) {
        int at = i - 1;
        instruction(i);
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
                && op != Op.RDTSC
                && op != Op.RDTSCP;
        instruction(at);
        return can;
    }
}
