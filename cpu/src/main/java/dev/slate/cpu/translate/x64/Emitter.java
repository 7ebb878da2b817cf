package dev.slate.cpu.translate.x64;

import static dev.slate.cpu.translate.x64.Registers.IN_BLOCK;
import static dev.slate.cpu.translate.x64.Registers.R15;
import static dev.slate.cpu.translate.x64.Registers.RAX;
import static dev.slate.cpu.translate.x64.Registers.RCX;
import static dev.slate.cpu.translate.x64.Registers.RDX;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Encoding;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.decode.OpFlags;

/**
 * Makes machine code of one block of 64-bit guest code.
 *
 * <p>Each instruction either becomes host code that does it whole, or leaves before it has begun: to have a TLB miss filled and be
 * tried again, or to have the interpreter execute it. So the guest's state is exact wherever code leaves, and every fault is raised
 * by the interpreter.
 *
 * <p>The status flags are in EFLAGS ({@link #flagsHere}), in the state block ({@link #flagsSaved}), or in both. Whatever clobbers
 * EFLAGS and may leave saves them first. RAX and RCX are free between instructions.
 */
final class Emitter {
    private static final int READ = 0;
    private static final int WRITE = 8;

    final Assembler a = new Assembler();
    private final Stubs stubs;
    private final Sites sites;
    private final Encoding e;
    private final Shapes shapes;
    private final OutOfLine later = new OutOfLine();

    // The unit at hand.
    private TranslatedPage page = new TranslatedPage(0, 0, 0);
    private int tlb;
    private boolean flagsHere;
    private boolean flagsSaved;
    private boolean vectorsLoaded;
    private final byte[] bytes = new byte[4096 + 16];

    // The instruction at hand.
    private long w0;
    private long w1;
    private long imm;
    private int op;
    private long rip;
    private long next;
    private long blockRip;
    /** Where it is tried again. */
    private long retry;

    Emitter(Stubs stubs, Sites sites, long guestFeatures, Shapes shapes) {
        this.stubs = stubs;
        this.sites = sites;
        this.e = new Encoding(guestFeatures);
        this.shapes = shapes;
    }

    /** What was not worth a place between two instructions, emitted behind the last. */
    private final class OutOfLine {
        private static final int MISS = 0;
        private static final int INTERPRET = 1;
        private static final int KICK = 2;
        private static final int EDGE = 3;
        private static final int CROSS = 4;
        private static final int VECTORS = 5;

        private int[] what = new int[256];
        private int[] place = new int[256];
        private long[] target = new long[256];
        private int[] detail = new int[256];
        private int count;

        private void add(int kind, int jumpPlace, long address, int more) {
            if (count == what.length) {
                what = java.util.Arrays.copyOf(what, count * 2);
                place = java.util.Arrays.copyOf(place, count * 2);
                target = java.util.Arrays.copyOf(target, count * 2);
                detail = java.util.Arrays.copyOf(detail, count * 2);
            }
            what[count] = kind;
            place[count] = jumpPlace;
            target[count] = address;
            detail[count++] = more;
        }

        /** {@code access} is {@link #READ} or {@link #WRITE}. */
        void miss(int jumpPlace, int access, int site) {
            add(MISS, jumpPlace, access, site);
        }

        void interpret(int jumpPlace, int site) {
            add(INTERPRET, jumpPlace, 0, site);
        }

        void kick(int jumpPlace, int site, boolean saveFlags) {
            add(KICK, jumpPlace, saveFlags ? 1 : 0, site);
        }

        /** A jump to elsewhere on the page, until the code there exists. */
        void edge(int jumpPlace, long targetRip, boolean saveFlags) {
            add(EDGE, jumpPlace, targetRip, saveFlags ? 1 : 0);
        }

        void cross(int jumpPlace, long targetRip, boolean saveFlags) {
            add(CROSS, jumpPlace, targetRip, saveFlags ? 1 : 0);
        }

        void vectors(int jumpPlace, long back) {
            add(VECTORS, jumpPlace, back, 0);
        }

        void emit() {
            for (int i = 0; i < count; i++) {
                a.bind(place[i]);
                switch (what[i]) {
                    case MISS -> {
                        a.arithmeticIndexed(Assembler.ADD, RCX, R15, RAX, tlb + (int) target[i]);
                        a.movConstant(RAX, detail[i]);
                        a.jump(stubs.miss);
                    }
                    case INTERPRET -> {
                        a.movConstant(RAX, detail[i]);
                        a.jump(stubs.interpret);
                    }
                    case KICK -> {
                        if (target[i] != 0) {
                            storeFlags();
                        }
                        a.movConstant(RAX, detail[i]);
                        a.jump(stubs.kick);
                    }
                    case EDGE -> {
                        if (detail[i] != 0) {
                            storeFlags();
                        }
                        a.movConstant(RAX, sites.add(target[i], 0, 0, 0));
                        a.jump(stubs.link);
                    }
                    case CROSS -> {
                        if (detail[i] != 0) {
                            storeFlags();
                        }
                        crossJump(target[i]);
                    }
                    default -> {
                        a.movConstant(RCX, target[i]);
                        a.store(R15, StateBlock.TARGET, RCX);
                        a.jump(stubs.vectors);
                    }
                }
            }
            count = 0;
        }
    }

    /**
     * Translates a block; its code is in {@link #a} and must be placed at {@code origin} before it is entered.
     *
     * @param b a block of 64-bit code that lies on one page and is current
     * @param at the rip at which it stands
     */
    Unit translate(TranslatedPage into, Block b, long at, long origin) {
        page = into;
        tlb = StateBlock.tlb(into.mode & 3);
        read(b);
        a.start(origin);
        boolean vectors = usesVectors(b);
        int wish = vectors ? SAVED : wish(b);
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
        vectorsLoaded = false;
        if (vectors) {
            a.compare32Constant(R15, StateBlock.VECTORS, StateBlock.VECTORS_LOADED);
            int jump = a.jumpForwardIf(Assembler.NE);
            later.vectors(jump, a.here());
            vectorsLoaded = true;
        }
        Unit unit = new Unit(b, at, into, withFlags, withoutFlags);
        // Known before its own jumps are made: a loop of one block is the most frequent one.
        into.add(unit);
        boolean ended = false;
        for (int i = 0; i < b.count && !ended; i++) {
            instruction(b, i);
            ended = one();
        }
        if (!ended) {
            next = at + b.byteLength;
            leaveTo(next);
        }
        later.emit();
        return unit;
    }

    /** Whether a block gains anything: its first instruction at least must become host code. */
    boolean isWorthIt(Block b, TranslatedPage into) {
        read(b);
        instruction(b, 0);
        return op != Op.INVALID && shapes.translates(e, w0, into.mode);
    }

    private void read(Block b) {
        blockRip = b.rip;
        for (int i = 0; i < b.byteLength; i++) {
            bytes[i] = (byte) (b.bytes[i >>> 3] >>> 8 * (i & 7));
        }
    }

    private void instruction(Block b, int i) {
        w0 = b.code[i * Insn.WORDS];
        w1 = b.code[i * Insn.WORDS + 1];
        imm = b.code[i * Insn.WORDS + 2];
        int offset = Insn.offset(w1);
        rip = blockRip + offset;
        next = rip + Insn.length(w0);
        if (!e.read(bytes, offset, b.byteLength)) {
            op = Op.INVALID;
            return;
        }
        // The block's own words may be the interpreter's quick forms; the encoding has the table's.
        w0 = e.word(0);
        imm = e.word(2);
        op = Insn.op(w0);
    }

    // ------------------------------------------------------------------ what a block wishes for

    private static final int EITHER = 0;
    private static final int HERE = 1;
    private static final int SAVED = 2;

    private boolean usesVectors(Block b) {
        for (int i = 0; i < b.count; i++) {
            instruction(b, i);
            if (isVector() && shapes.translates(e, w0, page.mode)) {
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
        return touchesMemory() || !shapes.translates(e, w0, page.mode);
    }

    private boolean touchesMemory() {
        return Insn.isMemory(w0) && op != Op.LEA && op != Op.NOP && op != Op.PREFETCH
                || op == Op.PUSH
                || op == Op.POP
                || op == Op.LEAVE
                || op >= Op.CALL_REL && op <= Op.RET_IMM && op != Op.JMP_REL
                || op == Op.DIV
                || op == Op.IDIV;
    }

    /** Whether the flags from before it are read by it or survive it in part. */
    private boolean needsFlags() {
        int written = OpFlags.written(op);
        if (OpFlags.read(op) != 0) {
            return true;
        }
        if (written == 0) {
            return false;
        }
        if (op >= Op.SHL && op <= Op.RCR || op == Op.SAR || op == Op.SHLD || op == Op.SHRD) {
            // A count of zero changes no flag.
            int form = Insn.form(w0);
            boolean byCl = form == Insn.FORM_RM_CL || form == Insn.FORM_RM_R_CL;
            return byCl || (imm & (Insn.size(w0) == 3 ? 63 : 31)) == 0 || written != OpFlags.ALL;
        }
        return written != OpFlags.ALL;
    }

    // ------------------------------------------------------------------ flags

    private void storeFlags() {
        a.flagsToRax();
        a.store32(R15, StateBlock.FLAGS, RAX);
    }

    private void loadFlags() {
        a.load32(RAX, R15, StateBlock.FLAGS);
        a.flagsFromRax();
    }

    /** Before EFLAGS is clobbered. */
    private void saveFlags() {
        if (!flagsSaved) {
            storeFlags();
            flagsSaved = true;
        }
        flagsHere = false;
    }

    private void needFlags() {
        if (!flagsHere) {
            loadFlags();
            flagsHere = true;
        }
    }

    private void wroteFlags() {
        if (OpFlags.written(op) != 0) {
            flagsHere = true;
            flagsSaved = false;
        }
    }

    // ------------------------------------------------------------------ leaving

    private int facts() {
        return vectorsLoaded ? Sites.VECTORS : 0;
    }

    private int site(long resume, long nextRip, int more) {
        return sites.add(rip, resume, nextRip, facts() | more);
    }

    /** The interpreter executes the instruction at hand, and code goes on behind it. */
    private void interpret(boolean last) {
        saveFlags();
        int place = a.at;
        // The site's number decides how long the move is, its resume address how far it is: fixed by the longest move.
        int site = site(0, next, 0);
        a.movConstant(RAX, site);
        a.jump(stubs.interpret);
        if (!last) {
            sites.resume[site] = a.here();
        }
        assert a.at > place;
    }

    /** Goes on at a rip that is known. */
    private void leaveTo(long target) {
        if (samePage(target)) {
            edge(a.jumpForward(), target);
        } else {
            saveFlags();
            crossJump(target);
        }
    }

    private boolean samePage(long target) {
        return (target ^ page.linear) >>> 12 == 0;
    }

    /** Lets the jump at {@code place} lead to the code at {@code target} on this page, once that exists. */
    private void edge(int place, long target) {
        boolean here = !flagsSaved;
        Unit unit = page.unit(target);
        if (unit != null) {
            bindTo(place, here ? unit.withFlags : unit.withoutFlags);
        } else {
            page.await(target, new TranslatedPage.Edge(a.here() - a.at + place, here));
            later.edge(place, target, here);
        }
    }

    private void bindTo(int place, long target) {
        long distance = target - (a.here() - a.at + place + 4);
        a.buffer[place] = (byte) distance;
        a.buffer[place + 1] = (byte) (distance >> 8);
        a.buffer[place + 2] = (byte) (distance >> 16);
        a.buffer[place + 3] = (byte) (distance >> 24);
    }

    /** Jumps through the jump cache to a rip that is known; flags are saved. */
    private void crossJump(long target) {
        int entry = StateBlock.JUMPS + StateBlock.jump(target);
        a.movConstant(RAX, target);
        a.arithmeticMemory(Assembler.CMP, RAX, R15, entry);
        int other = a.jumpForwardIf(Assembler.NE);
        a.load(RCX, R15, entry + 16);
        a.arithmeticMemory(Assembler.CMP, RCX, R15, StateBlock.EPOCH);
        int old = a.jumpForwardIf(Assembler.NE);
        a.jumpMemory(R15, entry + 8);
        a.bind(other);
        a.bind(old);
        a.store(R15, StateBlock.RIP, RAX);
        a.jump(stubs.dispatch);
    }

    /**
     * Looks the rip in RAX up in the jump cache; a miss leaves to the interpreter, before the instruction at hand has done anything.
     * Then RCX is the offset of the entry. Flags are saved.
     */
    private void lookUp(int missSite) {
        a.mov32(RCX, RAX);
        a.shiftRight32(RCX, 12);
        a.arithmetic32(Assembler.XOR, RCX, RAX);
        a.arithmeticConstant32(Assembler.AND, RCX, StateBlock.JUMP_COUNT - 1);
        a.shiftLeft32(RCX, 5);
        a.arithmeticIndexed(Assembler.CMP, RAX, R15, RCX, StateBlock.JUMPS);
        later.interpret(a.jumpForwardIf(Assembler.NE), missSite);
        a.loadIndexed(RAX, R15, RCX, StateBlock.JUMPS + 16);
        a.arithmeticMemory(Assembler.CMP, RAX, R15, StateBlock.EPOCH);
        later.interpret(a.jumpForwardIf(Assembler.NE), missSite);
    }

    /** Leaves when the kick word is set, at the instruction at hand. */
    private void poll() {
        a.load(RCX, R15, StateBlock.KICK);
        int site = site(0, 0, 0);
        if (flagsHere && !flagsSaved) {
            a.load32(RCX, RCX, 0);
            int none = a.jumpForwardIfEcxZero();
            later.kick(a.jumpForward(), site, true);
            a.bindShort(none);
        } else {
            flagsHere = false;
            a.compare32Constant(RCX, 0, 0);
            later.kick(a.jumpForwardIf(Assembler.NE), site, false);
        }
    }

    // ------------------------------------------------------------------ memory

    /** The linear address of the memory operand to RCX; changes no flag. */
    private void address() {
        int base = Insn.base(w0);
        int index = Insn.index(w0);
        long disp = Insn.displacement(e.word(1));
        if (base == Insn.RIP_BASE) {
            // Relative to this instruction as it was read alone.
            a.movConstant(RCX, rip + disp);
        } else {
            effective(RCX, base, index, Insn.scale(w0), (int) disp);
        }
        if (Insn.addressSize(w0) == 2) {
            a.mov32(RCX, RCX);
        }
        int segment = Insn.segment(w0);
        if (segment >= CpuState.FS) {
            a.load(RAX, R15, segment == CpuState.FS ? StateBlock.FS_BASE : StateBlock.GS_BASE);
            leaSum(RCX, RCX, RAX);
        }
    }

    private void leaSum(int to, int base, int index) {
        a.byte1(0x48 | to >> 3 << 2 | index >> 3 << 1 | base >> 3);
        a.byte1(0x8d);
        a.memory(to, base, index, 0, 0);
    }

    /** base + index * scale + disp to a register; RAX and RCX are clobbered as needed. */
    private void effective(int to, int base, int index, int scale, int disp) {
        int hostBase = -1;
        int hostIndex = -1;
        if (base != Insn.NO_REG) {
            hostBase = Registers.home(base);
            if (hostBase == IN_BLOCK) {
                a.load(RCX, R15, StateBlock.GPR + 8 * base);
                hostBase = RCX;
            }
        }
        if (index != Insn.NO_REG) {
            hostIndex = Registers.home(index);
            if (hostIndex == IN_BLOCK) {
                a.load(RAX, R15, StateBlock.GPR + 8 * index);
                hostIndex = RAX;
            }
        }
        if (hostIndex < 0) {
            if (hostBase < 0) {
                a.movConstant(to, disp);
            } else if (disp != 0 || hostBase != to) {
                if (disp == 0) {
                    a.mov(to, hostBase);
                } else {
                    a.lea(to, hostBase, disp);
                }
            }
            return;
        }
        a.byte1(0x48 | to >> 3 << 2 | hostIndex >> 3 << 1 | (hostBase < 0 ? 0 : hostBase >> 3));
        a.byte1(0x8d);
        if (hostBase < 0) {
            a.memoryWithoutBase(to, hostIndex, scale, disp);
        } else {
            a.memory(to, hostBase, hostIndex, scale, disp);
        }
    }

    /** What the instruction at hand begins with when it touches memory. */
    private void beginAccess() {
        saveFlags();
        retry = a.here();
    }

    /**
     * Turns the linear address in RCX into the host's, for an access of {@code size} bytes. Clobbers RAX and EFLAGS, which are saved.
     *
     * @param alignment the access leaves to the interpreter when it is not a multiple of this; 1: any
     */
    private void probe(int access, int size, int alignment) {
        a.mov32(RAX, RCX);
        a.shiftRight32(RAX, 7);
        a.arithmeticConstant32(Assembler.AND, RAX, (StateBlock.TLB_ENTRIES - 1) * StateBlock.TLB_ENTRY);
        a.arithmeticIndexed(Assembler.SUB, RCX, R15, RAX, tlb + access);
        if (alignment > 1) {
            // Before the miss: #GP for it comes before a page fault.
            a.testConstant32(RCX, alignment - 1);
            later.interpret(a.jumpForwardIf(Assembler.NE), site(0, next, 0));
        }
        a.arithmeticConstant(Assembler.CMP, RCX, 4096 - size);
        int facts = size << 8 | (access == WRITE ? Sites.WRITE : 0);
        later.miss(a.jumpForwardIf(Assembler.A), access, site(retry, 0, facts));
        a.arithmeticIndexed(Assembler.ADD, RCX, R15, RAX, tlb + 16);
    }

    // ------------------------------------------------------------------ guest registers

    /** The host register with a guest register's value; loads it into {@code scratch} when it has no home. */
    private int read(int guest, int scratch) {
        int home = Registers.home(guest);
        if (home != IN_BLOCK) {
            return home;
        }
        a.load(scratch, R15, StateBlock.GPR + 8 * guest);
        return scratch;
    }

    private void write(int guest, int from) {
        int home = Registers.home(guest);
        if (home == IN_BLOCK) {
            a.store(R15, StateBlock.GPR + 8 * guest, from);
        } else if (home != from) {
            a.mov(home, from);
        }
    }

    // ------------------------------------------------------------------ instructions

    /** Emits the instruction at hand; true when nothing can follow it. */
    private boolean one() {
        boolean relative = op == Op.CALL_REL || op == Op.JMP_REL || op >= Op.JO && op <= Op.JNLE;
        // A branch over the end of canonical addresses faults in ways of its own.
        if (!shapes.translates(e, w0, page.mode) || relative && (blockTarget() ^ rip) >>> 47 != 0) {
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
            case Op.CBW -> extendAccumulator();
            case Op.CWD -> extendIntoDx();
            case Op.MUL, Op.IMUL -> multiply();
            case Op.DIV, Op.IDIV -> divide();
            case Op.CMPXCHG -> compareExchange();
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
                if (Insn.form(w0) == Insn.FORM_RM_CL || Insn.form(w0) == Insn.FORM_RM_R_CL) {
                    shiftByCl();
                } else {
                    generic();
                }
            }
        }
        return false;
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

    private void pushRcxProbed(int bytes) {
        a.lea(RCX, Registers.home(CpuState.RSP), -bytes);
        probe(WRITE, bytes, 1);
    }

    private void push() {
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

    private void pop() {
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
        lookUp(site(0, 0, 0));
        a.jumpIndexed(R15, RCX, StateBlock.JUMPS + 8);
    }

    private void callIndirect() {
        indirectTarget();
        lookUp(site(0, 0, 0));
        a.loadIndexed(RAX, R15, RCX, StateBlock.JUMPS + 8);
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
        lookUp(site(0, 0, 0));
        int more = op == Op.RET_IMM ? (int) imm & 0xffff : 0;
        a.lea(Registers.home(CpuState.RSP), Registers.home(CpuState.RSP), 8 + more);
        a.jumpIndexed(R15, RCX, StateBlock.JUMPS + 8);
    }

    private void lea() {
        int size = Insn.size(w0);
        int guest = Insn.reg(w0);
        int home = Registers.home(guest);
        boolean whole = Insn.addressSize(w0) == 3 && size == 3 && home != IN_BLOCK;
        int to = whole ? home : RCX;
        if (Insn.base(w0) == Insn.RIP_BASE) {
            a.movConstant(to, rip + Insn.displacement(e.word(1)));
        } else {
            effective(to, Insn.base(w0), Insn.index(w0), Insn.scale(w0), (int) Insn.displacement(e.word(1)));
        }
        if (whole) {
            return;
        }
        if (Insn.addressSize(w0) == 2) {
            a.mov32(RCX, RCX);
        }
        if (size == 1) {
            int dest = read(guest, RAX);
            a.byte1(0x66);
            a.mov32(dest, RCX);
            write(guest, dest);
        } else {
            if (size == 2) {
                a.mov32(RCX, RCX);
            }
            write(guest, RCX);
        }
    }

    private void extendAccumulator() {
        int accumulator = Registers.home(CpuState.RAX);
        switch (Insn.size(w0)) {
            case 1 -> {
                raw(0x41, 0x0f, 0xbe, 0xc0); // movsx eax, r8b
                raw(0x66, 0x41, 0x89, 0xc0); // mov r8w, ax
            }
            case 2 -> raw(0x45, 0x0f, 0xbf, 0xc0); // movsx r8d, r8w
            default -> raw(0x4d, 0x63, 0xc0); // movsxd r8, r8d
        }
        assert accumulator == 8;
    }

    private void extendIntoDx() {
        a.mov(RAX, Registers.home(CpuState.RAX));
        switch (Insn.size(w0)) {
            case 1 -> raw(0x66, 0x99);
            case 2 -> raw(0x99);
            default -> raw(0x48, 0x99);
        }
    }

    private void raw(int... code) {
        for (int b : code) {
            a.byte1(b);
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

    private void multiply() {
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

    private void divide() {
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

    private void compareExchange() {
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

    private void shiftByCl() {
        int size = Insn.size(w0);
        boolean twoRegisters = Insn.form(w0) == Insn.FORM_RM_R_CL;
        int reg = twoRegisters ? Registers.home(Insn.reg(w0)) : e.modrm >> 3 & 7;
        if (Insn.isMemory(w0)) {
            beginAccess();
            address();
            probe(WRITE, 1 << size, 1);
            needFlags();
            a.mov(RAX, RCX);
            a.mov32(RCX, Registers.home(CpuState.RCX));
            encode(reg, false, -2, false, 0);
        } else {
            needFlags();
            int guest = Insn.rm(w0);
            int operand = registerOperand(guest, size == 0, RAX);
            a.mov32(RCX, Registers.home(CpuState.RCX));
            encode(reg, false, operand, size == 0, 0);
            writeOperand(guest, operand);
        }
        wroteFlags();
    }

    // ------------------------------------------------------------------ everything whose operands the encoding names

    /** The register with a guest register, or with one of AH to BH as its low byte. */
    private int registerOperand(int guest, boolean isByte, int scratch) {
        if (isByte && guest >= Insn.HIGH_BYTE) {
            a.store(R15, StateBlock.SPARE, Registers.home(guest - Insn.HIGH_BYTE));
            // movzx scratch, byte [r15 + SPARE + 1]
            raw(0x41, 0x0f, 0xb6);
            a.memory(scratch, R15, StateBlock.SPARE + 1);
            return scratch;
        }
        return read(guest, scratch);
    }

    private void writeOperand(int guest, int from) {
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

    private void generic() {
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
        if (memory) {
            beginAccess();
            address();
            int size = 1 << shapes.memorySize(e, operands);
            int access = shapes.writesMemory(op, operands) ? WRITE : READ;
            probe(access, size, shapes.alignment(e, w0, size));
        }
        if (needs) {
            needFlags();
        }
        scratchFree = memory ? 1 : 2;
        regGuest = -1;
        rmGuest = -1;
        vGuest = -1;
        int reg = -1;
        int rm = -1;
        int v = 0;
        boolean regByte = false;
        boolean rmByte = false;
        for (String operand : operands) {
            boolean isByte = operand.equals("Gb") || operand.equals("Eb") || operand.equals("Zb");
            switch (operand.charAt(0)) {
                case 'G' -> {
                    regByte = isByte;
                    int guest = Insn.reg(w0);
                    reg = guest == rmGuest ? rm : guest == vGuest ? v : take(guest, isByte);
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
                        rm = guest == regGuest ? reg : guest == vGuest ? v : take(guest, isByte);
                        rmGuest = Insn.rm(w0);
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
        char first = operands[0].charAt(0);
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

    private int scratchFree;
    private int regGuest;
    private int rmGuest;
    private int vGuest;

    private static boolean isScratch(int host) {
        return host == RAX || host == RCX;
    }

    /** The register with a guest register; one of the free scratch registers when it has no home. */
    private int take(int guest, boolean isByte) {
        int scratch = scratchFree == 2 ? RCX : RAX;
        int host = registerOperand(guest, isByte, scratch);
        if (host == scratch) {
            scratchFree--;
        }
        return host;
    }

    /**
     * Writes the instruction at hand with other operands.
     *
     * @param reg modrm.reg
     * @param rm modrm.rm, -1 for [rcx], -2 for [rax]
     * @param v VEX.vvvv
     */
    private void encode(int reg, boolean regByte, int rm, boolean rmByte, int v) {
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
        int rmBits = rm == -1 ? RCX : rm == -2 ? RAX : rm;
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
        if (hasModrm) {
            a.byte1((rm >= 0 ? 0xc0 : 0) | (digit & 7) << 3 | rmBits & 7);
        }
        a.immediate(imm, e.immediateBytes);
    }
}
