package dev.slate.cpu.translate.x64;

import static dev.slate.cpu.translate.x64.Registers.IN_BLOCK;
import static dev.slate.cpu.translate.x64.Registers.R15;
import static dev.slate.cpu.translate.x64.Registers.RAX;
import static dev.slate.cpu.translate.x64.Registers.RCX;
import static dev.slate.cpu.translate.x64.Registers.RSP;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Decoder;
import dev.slate.cpu.decode.Encoding;
import dev.slate.cpu.decode.Feature;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.decode.OpFlags;

/**
 * What every translated instruction is made of: the flags' whereabouts, ways to leave, accesses to memory, guest registers.
 *
 * <p>The status flags are in EFLAGS ({@link #flagsHere}), in the state block ({@link #flagsSaved}), or in both. Whatever clobbers
 * EFLAGS and may leave saves them first. RAX and RCX are free between instructions.
 */
abstract class Emission {
    static final int READ = 0;
    static final int WRITE = 8;

    final Assembler a = new Assembler();
    final Stubs stubs;
    final Sites sites;
    final Shapes shapes;
    // The instructions of the blocks at hand, each taken apart once.
    private final Encoding[] encodings = new Encoding[Decoder.MAX_INSTRUCTIONS];
    private final boolean[] read = new boolean[encodings.length];
    private final boolean[] translated = new boolean[encodings.length];
    private final long[] rips = new long[encodings.length];
    private final int[] lengths = new int[encodings.length];
    /** The guest's processor is Intel's. */
    final boolean intel;
    /** What a link to another page names until it is set. */
    private final long noRecord;

    final OutOfLine later = new OutOfLine(this);

    // The code at hand.
    final Parts parts = new Parts();
    /** Where the instructions of the part at hand end. */
    int end;

    TranslatedPage page = new TranslatedPage(0, 0, 0, 0, null);
    /** Linear address of that page, where it lies now. */
    long linear;

    int tlb;
    boolean flagsHere;
    boolean flagsSaved;
    boolean vectorsLoaded;
    final byte[] bytes = new byte[4096 + 16];

    // The instruction at hand.
    Encoding e;
    /** It becomes host code, and is not the interpreter's. */
    boolean translates;

    long w0;
    long imm;
    int op;
    long rip;
    long next;
    /** Where it is tried again. */
    long retry;
    /** {@link #retry} of the access probed last. */
    long probed;

    Emission(Stubs stubs, Sites sites, long guestFeatures, Shapes shapes, long noRecord) {
        this.stubs = stubs;
        this.sites = sites;
        e = new Encoding(guestFeatures);
        intel = (guestFeatures >>> Feature.INTEL & 1) != 0;
        for (int i = 0; i < encodings.length; i++) {
            encodings[i] = new Encoding(e);
        }
        this.shapes = shapes;
        this.noRecord = noRecord;
    }

    /** Takes a block's first {@code count} instructions apart, for code of {@code mode}, as those from number {@code first} on. */
    void read(Block b, int first, int count, int mode) {
        // A block on one page may have been executed at another place last.
        long start = b.hva != 0 ? linear | b.hva & 4095 : b.rip;
        for (int i = 0; i < b.byteLength; i++) {
            bytes[i] = (byte) (b.bytes[i >>> 3] >>> 8 * (i & 7));
        }
        for (int k = 0; k < count; k++) {
            int i = first + k;
            int offset = Insn.offset(b.code[k * Insn.WORDS + 1]);
            Encoding one = encodings[i];
            rips[i] = start + offset;
            lengths[i] = Insn.length(b.code[k * Insn.WORDS]);
            read[i] = one.read(bytes, offset, b.byteLength);
            translated[i] = read[i] && Insn.op(one.word(0)) != Op.INVALID && shapes.translates(one, one.word(0), mode);
        }
    }

    /** Makes instruction {@code i} the one at hand. */
    void instruction(int i) {
        e = encodings[i];
        rip = rips[i];
        next = rip + lengths[i];
        // The block's own words may be the interpreter's quick forms; the encoding has the table's.
        w0 = e.word(0);
        imm = e.word(2);
        op = read[i] ? Insn.op(w0) : Op.INVALID;
        translates = translated[i];
    }

    /** rip of instruction {@code i}, which has been read. */
    final long ripOf(int i) {
        return rips[i];
    }

    /** Whether instruction {@code i} becomes host code. */
    final boolean translates(int i) {
        return translated[i];
    }

    /** Code of some of the part's instructions, each by itself; flags are saved before it. */
    abstract void oneByOne(int first, int number);

    /** Whether the flags from before it are read by it or survive it in part. */
    boolean needsFlags() {
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

    void storeFlags() {
        a.flagsToRax();
        a.store32(R15, StateBlock.FLAGS, RAX);
    }

    void loadFlags() {
        a.load32(RAX, R15, StateBlock.FLAGS);
        a.flagsFromRax();
    }

    /** Before EFLAGS is clobbered. */
    void saveFlags() {
        if (!flagsSaved) {
            storeFlags();
            flagsSaved = true;
        }
        flagsHere = false;
    }

    /** Before an instruction that {@link #needsFlags}, which {@link #wroteFlags} follows where it writes any. */
    void needFlags() {
        if (flagsHere) {
            return;
        }
        if ((OpFlags.read(op) | OpFlags.ALL & ~OpFlags.written(op)) == OpFlags.CARRY) {
            // ADC and SBB read it, INC and DEC leave it: all others are written.
            a.bitTest32(R15, StateBlock.FLAGS, StateBlock.CARRY_BIT);
            return;
        }
        loadFlags();
        flagsHere = true;
    }

    void wroteFlags() {
        if (OpFlags.written(op) != 0) {
            flagsHere = true;
            flagsSaved = false;
        }
    }

    // ------------------------------------------------------------------ where code is

    /** A rip of this page, or near it, as a site has it. */
    final long counted(long at) {
        return page.movable ? at - linear : at;
    }

    /** {@link Sites#MOVABLE}, if the code at hand is. */
    final int movable() {
        return page.movable ? Sites.MOVABLE : 0;
    }

    /** An address that is so far from the code at hand always, wherever that is placed: to a register; changes no flag. */
    final void position(int to, long at) {
        if (!page.movable) {
            a.movConstant(to, at);
            return;
        }
        a.load(to, R15, StateBlock.PLACE);
        long distance = at - linear;
        if (distance > Integer.MAX_VALUE) {
            // An operand may be 2 GiB from its instruction, which is up to a page from here.
            a.lea(to, to, 2 * 4096);
            distance -= 2 * 4096;
        }
        // Less than -2 GiB is where a row of accesses begins of which one is not aligned: its lowest bits tell that.
        if (distance != 0) {
            a.lea(to, to, (int) distance);
        }
    }

    /** The same, or its lower half. */
    final void position(int to, long at, boolean wide) {
        if (wide || page.movable) {
            position(to, at);
        } else {
            a.movConstant(to, at & 0xffff_ffffL);
        }
        if (!wide && page.movable) {
            a.mov32(to, to);
        }
    }

    // ------------------------------------------------------------------ leaving

    /** Behind whatever changes {@link StateBlock#EPOCH}, since no page that was proved before is any more, and where there is no room for more. */
    final void forgetReturns() {
        a.load(RSP, R15, StateBlock.RETURNS);
    }

    int facts() {
        return (vectorsLoaded ? Sites.VECTORS : 0) | (op == Op.MOVS || op == Op.STOS ? Sites.STRING : 0);
    }

    int site(long resume, long nextRip, int more) {
        return sites.add(
                counted(rip),
                resume,
                nextRip != 0 ? (int) (nextRip - rip) : 0,
                facts() | more | movable(),
                a.isApart());
    }

    /** The interpreter executes the instruction at hand, and code goes on behind it. */
    void interpret(boolean last) {
        saveFlags();
        int site = site(0, next, 0);
        a.movConstant(RAX, site);
        a.jump(stubs.interpret);
        if (!last) {
            sites.resume(site, a.here());
        }
    }

    /** Goes on at a rip that is known. */
    void leaveTo(long target) {
        if (samePage(target)) {
            edge(a.jumpForward(), target);
        } else {
            saveFlags();
            crossJump(target);
        }
    }

    boolean samePage(long target) {
        return (target ^ linear) >>> 12 == 0;
    }

    /** {@link Parts} bits of what is so now. */
    final int state() {
        return (flagsHere ? Parts.HERE : 0) | (flagsSaved ? Parts.SAVED : 0) | (vectorsLoaded ? Parts.VECTORS : 0);
    }

    /** Lets the jump at {@code place} lead to the code at {@code target} on this page, once that exists. */
    void edge(int place, long target) {
        int part = parts.at(target);
        if (part >= 0 && parts.takes(part, state())) {
            bindTo(place, parts.begin(part));
            return;
        }
        Unit unit = page.unit((int) target & 4095);
        if (unit != null) {
            bindTo(place, flagsSaved ? unit.withoutFlags : unit.withFlags);
        } else {
            later.edge(place, target, state());
        }
    }

    void bindTo(int place, long target) {
        long distance = target - (a.address(place) + 4);
        a.buffer[place] = (byte) distance;
        a.buffer[place + 1] = (byte) (distance >> 8);
        a.buffer[place + 2] = (byte) (distance >> 16);
        a.buffer[place + 3] = (byte) (distance >> 24);
    }

    /**
     * Jumps to a rip on another page; flags are saved. The link is set when it is first gone through, and holds as long as the page of
     * its record can be proved; once that has died the link is set anew, and now and then where it would lead to another place.
     */
    final void crossJump(long target) {
        cross(target, false);
    }

    /** The same with a call, {@link Returns}. */
    final void crossCall(long target) {
        cross(target, true);
    }

    private void cross(long target, boolean calls) {
        boolean places = page.movable || TranslatedPage.isMovable(target);
        int site = sites.addLink(page.movable ? target & 4095 : target, movable());
        if (places) {
            position(RAX, target & -4096L);
            a.store(R15, StateBlock.PLACE, RAX);
        }
        int record = a.movConstant64(RCX, noRecord);
        int elsewhere = 0;
        if (places) {
            // What the link was set for may have been at another place.
            a.arithmeticMemory(Assembler.CMP, RAX, RCX, PageRecords.LINEAR);
            elsewhere = a.jumpForwardIf(Assembler.NE);
        }
        a.load(RAX, RCX, PageRecords.PROVED);
        a.arithmeticMemory(Assembler.CMP, RAX, R15, StateBlock.EPOCH);
        int old = a.jumpForwardIf(Assembler.NE);
        long proved = a.here();
        int jump = calls ? a.callForward() : a.jumpForward();
        if (places) {
            later.elsewhere(elsewhere, site, calls ? a.here() : 0);
        }
        // Where the translator finds the link's two halves.
        sites.link(site, a.address(record), a.address(jump));
        later.prove(old, site, proved);
        later.link(jump, site);
    }

    /** An instruction begins here that goes on in page {@code second}, which is proved before it is executed; flags are saved. */
    void straddle(long at, Place second) {
        int site = sites.addLink(counted(at), Sites.STRADDLES | movable());
        int record = a.movConstant64(RCX, second.record);
        if (page.movable) {
            position(RAX, second.linear);
            a.arithmeticMemory(Assembler.CMP, RAX, RCX, PageRecords.LINEAR);
            later.link(a.jumpForwardIf(Assembler.NE), site);
        }
        a.load(RAX, RCX, PageRecords.PROVED);
        a.arithmeticMemory(Assembler.CMP, RAX, R15, StateBlock.EPOCH);
        later.prove(a.jumpForwardIf(Assembler.NE), site, a.here());
        sites.link(site, a.address(record), a.here());
    }

    /**
     * Looks the rip in RAX up in the jump cache; a miss leaves, before the instruction at hand has done anything. Then RCX is how far
     * behind R15 the entry is, whose page is proved. Flags are saved.
     */
    void lookUp() {
        lookUp(0);
    }

    /** The same; with {@link Sites#ARRIVED} the instruction is over, and a miss leaves at that rip. */
    void lookUp(int more) {
        int site = site(retry, 0, more);
        jumpEntry(a);
        int unknown = a.jumpForwardIf(Assembler.NE);
        later.lookUp(unknown, site, a.here());
        a.loadIndexed(RAX, R15, RCX, JumpCache.RECORD);
        a.load(RAX, RAX, PageRecords.PROVED);
        a.arithmeticMemory(Assembler.CMP, RAX, R15, StateBlock.EPOCH);
        int old = a.jumpForwardIf(Assembler.NE);
        later.proveEntry(old, site, a.here());
    }

    /** To RCX how far behind R15 the jump cache's entry for the rip in RAX is, and to ZF whether it is that rip's ({@link JumpCache}). */
    static void jumpEntry(Assembler a) {
        a.mov32(RCX, RAX);
        a.shiftRight32(RCX, 12);
        a.arithmetic32(Assembler.XOR, RCX, RAX);
        a.arithmeticMemory(Assembler.AND, RCX, R15, StateBlock.JUMP_MASK);
        a.shiftLeft32(RCX, JumpCache.ENTRY_SHIFT);
        a.arithmeticMemory(Assembler.ADD, RCX, R15, StateBlock.JUMPS);
        a.arithmeticIndexed(Assembler.CMP, RAX, R15, RCX, 0);
    }

    /** Goes on where the jump cache's entry that is RCX behind R15 says, which is proved; clobbers RAX. */
    static void goToEntry(Assembler a) {
        atEntry(a);
        a.jumpIndexed(R15, RCX, JumpCache.CODE);
    }

    /** The same with a call, {@link Returns}. */
    final void callEntry() {
        atEntry(a);
        a.callIndexed(R15, RCX, JumpCache.CODE);
    }

    private static void atEntry(Assembler a) {
        a.loadIndexed(RAX, R15, RCX, JumpCache.PLACE);
        a.store(R15, StateBlock.PLACE, RAX);
    }

    /** Leaves when the kick word is set, at the instruction at hand. */
    void poll() {
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

    /** What the memory operand's address has beside registers. */
    final long displacement() {
        long disp = Insn.displacement(e.word(1));
        // Relative to this instruction as it was read alone.
        return Insn.base(w0) == Insn.RIP_BASE ? rip + disp : disp;
    }

    /** The linear address of the memory operand to RCX; changes no flag. */
    void address() {
        address(displacement());
    }

    /** The same with another displacement. */
    final void address(long disp) {
        int base = Insn.base(w0);
        int index = Insn.index(w0);
        if (base == Insn.RIP_BASE) {
            position(RCX, disp, Insn.addressSize(w0) == 3);
        } else {
            effective(RCX, base, index, Insn.scale(w0), (int) disp, Insn.addressSize(w0) == 3);
        }
        int segment = Insn.segment(w0);
        if (segment >= CpuState.FS) {
            a.load(RAX, R15, segment == CpuState.FS ? StateBlock.FS_BASE : StateBlock.GS_BASE);
            leaSum(RCX, RCX, RAX);
        }
    }

    void leaSum(int to, int base, int index) {
        a.byte1(0x48 | to >> 3 << 2 | index >> 3 << 1 | base >> 3);
        a.byte1(0x8d);
        a.memory(to, base, index, 0, 0);
    }

    /** base + index * scale + disp to a register, or its lower half; RAX and RCX are clobbered as needed. */
    void effective(int to, int base, int index, int scale, int disp, boolean wide) {
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
                a.movConstant(to, wide ? disp : disp & 0xffff_ffffL);
            } else if (!wide) {
                a.lea32(to, hostBase, disp);
            } else if (disp != 0) {
                a.lea(to, hostBase, disp);
            } else if (hostBase != to) {
                a.mov(to, hostBase);
            }
            return;
        }
        a.byte1((wide ? 0x48 : 0x40) | to >> 3 << 2 | hostIndex >> 3 << 1 | (hostBase < 0 ? 0 : hostBase >> 3));
        a.byte1(0x8d);
        if (hostBase < 0) {
            a.memoryWithoutBase(to, hostIndex, scale, disp);
        } else {
            a.memory(to, hostBase, hostIndex, scale, disp);
        }
    }

    /** What the instruction at hand begins with when it touches memory. */
    void beginAccess() {
        saveFlags();
        retry = a.here();
    }

    /** Probes for a push, whose place is left in RCX. */
    final void pushRcxProbed(int bytes) {
        a.lea(RCX, Registers.home(CpuState.RSP), -bytes);
        probe(WRITE, bytes, 1);
    }

    /**
     * Turns the linear address in RCX into the host's, for an access of {@code size} bytes. Clobbers RAX and EFLAGS, which are saved.
     *
     * @param alignment the access leaves to the interpreter when it is not a multiple of this; 1: any
     */
    void probe(int access, int size, int alignment) {
        look(access);
        if (alignment > 1) {
            // Before the miss: #GP for it comes before a page fault.
            a.testConstant32(RCX, alignment - 1);
            later.interpret(a.jumpForwardIf(Assembler.NE), site(0, next, 0));
        }
        a.arithmeticConstant(Assembler.CMP, RCX, 4096 - size);
        boolean again = probed == retry;
        probed = retry;
        int site = accessSite(retry, access, size, again ? Sites.AGAIN : 0);
        int miss = a.jumpForwardIf(Assembler.A);
        a.arithmeticIndexed(Assembler.ADD, RCX, R15, RAX, tlb + StateBlock.TLB_HOST);
        if (again) {
            later.missAgain(miss, site, a.here());
        } else {
            later.miss(miss, access, site);
        }
    }

    /** The offset of the TLB's entry for the address in RCX to RAX, and the address less the entry's page to RCX. */
    private void look(int access) {
        if (shapes.rotates) {
            a.rotateRight32(RAX, RCX, 7);
        } else {
            a.mov32(RAX, RCX);
            a.shiftRight32(RAX, 7);
        }
        a.arithmeticConstant32(Assembler.AND, RAX, (StateBlock.TLB_ENTRIES - 1) * StateBlock.TLB_ENTRY);
        a.arithmeticIndexed(Assembler.SUB, RCX, R15, RAX, tlb + access);
    }

    /**
     * As {@link #probe} for several accesses together, {@code size} bytes in all; returns the place of the jump for when they are not to be had so.
     * Where the host may take the page away there must be a {@link #accessSite}.
     */
    int probeAll(int access, int size) {
        look(access);
        a.arithmeticConstant(Assembler.CMP, RCX, 4096 - size);
        int not = a.jumpForwardIf(Assembler.A);
        a.arithmeticIndexed(Assembler.ADD, RCX, R15, RAX, tlb + StateBlock.TLB_HOST);
        return not;
    }

    /** The instruction at hand accesses memory behind {@code resume}, from where on it can be tried again. */
    final int accessSite(long resume, int access, int size, int more) {
        return site(resume, 0, size << 8 | (access == WRITE ? Sites.WRITE : 0) | more);
    }

    // ------------------------------------------------------------------ guest registers

    /** The host register with a guest register's value; loads it into {@code scratch} when it has no home. */
    int read(int guest, int scratch) {
        int home = Registers.home(guest);
        if (home != IN_BLOCK) {
            return home;
        }
        a.load(scratch, R15, StateBlock.GPR + 8 * guest);
        return scratch;
    }

    void write(int guest, int from) {
        int home = Registers.home(guest);
        if (home == IN_BLOCK) {
            a.store(R15, StateBlock.GPR + 8 * guest, from);
        } else if (home != from) {
            a.mov(home, from);
        }
    }
}
