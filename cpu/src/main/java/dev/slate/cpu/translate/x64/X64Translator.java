package dev.slate.cpu.translate.x64;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.Hypervisor;
import dev.slate.cpu.LeaveGuest;
import dev.slate.cpu.TranslationBudget;
import dev.slate.cpu.TranslationFigures;
import dev.slate.cpu.TranslationObserver;
import dev.slate.cpu.Translator;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Feature;
import dev.slate.cpu.mem.ExecutableMemory;
import dev.slate.cpu.mem.FaultGuard;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mmu.Tlb;
import dev.slate.cpu.mmu.TlbMirror;
import dev.slate.cpu.mmu.Walker;
import org.jspecify.annotations.Nullable;

/** The translator of one processor: which blocks become code, where it lies, and what happens when it leaves. */
public final class X64Translator implements Translator {
    /** Number of modes ({@link #mode}), a power of two. */
    static final int MODES = 128;

    static final int MODE_BITS = 7;

    /** A block of less heat is never code; {@link ShortRuns} only have it interpreted for a while. */
    private static final int NEVER = Integer.MIN_VALUE / 2;

    /** How often in turn an instruction with two accesses is tried again. */
    private static final int MISSES = 3;

    /** What a serializing event adds to an epoch. */
    static final int SERIALIZED = 1 << Cpu.GENERATION_SHIFT + MODE_BITS;

    /** The most address space for code: more than any guest fills before its working set has changed. */
    private static final long MOST_CODE = 64 << 20;

    // Of fill: the access can be tried again; the interpreter has a way for it; it is a page fault.
    private static final int FILLED = 0;
    private static final int ASK = 1;
    private static final int FAULTS = 2;

    /** What a translator takes before it has translated anything. */
    public static final long LEAST = Holding.LEAST;

    private final Cpu cpu;
    private final CpuState s;
    private final FaultGuard guard;
    private final ExecutableMemory memory;
    private final int threshold;
    private final StateBlock state;
    private final CodeTlb codeTlb;
    private final JumpCache jumps;
    private final Sites sites;
    private final Stubs stubs;
    private final Shapes shapes;
    private final Emitter emitter;

    private final Holding holding;
    private final Links links;
    private final UnitMaker units;

    /** What the code at hand was made for, and what it is proved under. */
    private int mode;

    private long epoch;

    private final TranslatedPages pages;
    private final LeftPlaces left = new LeftPlaces();

    private final TranslationFigures figures;
    /** Runs everything again in the interpreter; null: nothing is. */
    private final @Nullable Lockstep lockstep;

    private X64Translator(
            Cpu cpu,
            FaultGuard guard,
            ExecutableMemory memory,
            int threshold,
            TranslationBudget budget,
            boolean compares,
            Runnable much,
            long offered) {
        this.cpu = cpu;
        this.guard = guard;
        this.s = cpu.s;
        this.figures = cpu.translation;
        TranslationObserver observer = cpu.observers.translations;
        this.memory = memory;
        this.threshold = threshold;
        state = new StateBlock(s, cpu.kickAddress);
        codeTlb = new CodeTlb(cpu, state);
        pages = new TranslatedPages(cpu, state, codeTlb);
        lockstep = compares ? new Lockstep(cpu, state) : null;
        Assembler a = new Assembler();
        a.start(memory.address());
        Stubs forCpuid = new Stubs(a, false);
        memory.write(memory.address(), a.buffer, 0, a.at);
        long host = HostFeatures.read(forCpuid.cpuid) & offered;
        a.start(memory.address());
        shapes = new Shapes(host);
        stubs = new Stubs(a, shapes.avx);
        jumps = new JumpCache(state);
        memory.write(memory.address(), a.buffer, 0, a.at);
        long first = memory.address() + (a.at + 63 & -64);
        long middle = memory.address() + (memory.bytes() / 2 & -4096L);
        sites = new Sites(memory.address());
        CodeArea code = new CodeArea(memory, first, middle);
        CodeArea waysOut = new CodeArea(memory, middle, memory.address() + memory.bytes());
        holding = new Holding(cpu, budget, code, waysOut, sites, jumps, pages, codeTlb);
        links = new Links(state, memory, pages, sites, jumps, holding);
        emitter = new Emitter(stubs, sites, cpu.features, shapes, state.noRecord());
        units = new UnitMaker(cpu, emitter, memory, holding, pages, threshold, much);
        if (observer != null) {
            observer.common(memory.address(), a.at);
        }
    }

    /**
     * Makes a translator for a processor.
     *
     * @param threshold how often a block is entered before it is translated
     * @param budget what translations may take; {@code cpu} has joined it and taken {@link #LEAST} bytes, and has
     *     left it where null is returned
     * @param compares whether the interpreter does all of it again, so that every difference is a bug that {@link #run} ends with: for a
     *     machine with one processor
     * @param much told once, when so many blocks have become code that the guest is more than a few instructions between exits
     * @return null where the host is no x86-64 or allows no executable memory
     */
    public static @Nullable X64Translator create(
            Cpu cpu, FaultGuard guard, int threshold, TranslationBudget budget, boolean compares, Runnable much) {
        return create(cpu, guard, threshold, budget, compares, much, -1);
    }

    /** The same; {@code offered}: which {@link Feature} bits of the host's are used where it has them. */
    static @Nullable X64Translator create(
            Cpu cpu,
            FaultGuard guard,
            int threshold,
            TranslationBudget budget,
            boolean compares,
            Runnable much,
            long offered) {
        TranslationObserver observer = cpu.observers.translations;
        ExecutableMemory memory = ExecutableMemory.map(
                Math.clamp(budget.limit() & -4096L, 4L * Holding.LONGEST, MOST_CODE),
                observer != null && observer.namesCode());
        if (memory != null) {
            X64Translator t = new X64Translator(cpu, guard, memory, threshold, budget, compares, much, offered);
            if (guard.add(memory.address(), memory.address() + memory.bytes(), t.stubs.fault)) {
                return t;
            }
            memory.close();
        }
        budget.leave(LEAST);
        return null;
    }

    @Override
    public void close() {
        guard.remove(memory.address());
        memory.close();
        holding.leave();
    }

    // ------------------------------------------------------------------ what becomes code

    @Override
    public boolean wants(Block b) {
        return b.translation != null || ++b.heat >= threshold;
    }

    @Override
    public boolean enters(Block b) {
        if (b.translation == null && ++b.heat < threshold) {
            if (b.heat < NEVER && left.askedLast(b.rip) && cpu.mode64) {
                left.add(TranslatedPages.key(b.rip, shapes.mode(cpu)));
            }
            return false;
        }
        if (holding.isAskedBack()) {
            holding.reset();
        } else if (pages.hasGrown()) {
            // Records of places take memory while nothing is translated, too: they are drawn for, or all goes.
            holding.hasRoom();
        }
        if (!cpu.mode64 || (cpu.tlbMode & Tlb.CHECKED) != 0) {
            return false;
        }
        int mode = shapes.mode(cpu);
        long hva = b.hva != 0 ? b.hva & -4096L : pages.host(b.rip & -4096L, mode);
        if (hva == 0) {
            return false;
        }
        Unit unit = b.translation instanceof Unit u && u.isOf(b.rip, hva, mode) ? u : null;
        long linear = b.rip & -4096L;
        Place place = unit != null ? pages.at(unit.page, linear) : null;
        if (unit == null || place == null) {
            unit = units.find(b, hva, mode, epochOf(mode));
            place = unit != null ? pages.at(unit.page, linear) : null;
            if (unit == null || place == null) {
                return false;
            }
            b.translation = unit;
        }
        long now = epochOf(mode);
        if (!pages.proved(place, now)) {
            b.translation = null;
            return false;
        }
        if (!pages.isMapped(place)) {
            // The block has just been found there, but the TLB may have lost it.
            pages.map(place);
        }
        state.put64(StateBlock.EPOCH, now);
        state.put64(StateBlock.PLACE, linear);
        jumps.enter(b.rip, unit.withoutFlags, place.record);
        return true;
    }

    /** What code of a mode is proved under at present. */
    private long epochOf(int mode) {
        return cpu.generation() << MODE_BITS | mode;
    }

    /** Whether one instruction is the interpreter's at a rip where there is no code, and code may go on behind it. */
    private boolean isLeft(long rip) {
        return left.has(rip, TranslatedPages.key(rip, mode));
    }

    /** {@link Sites#rip} of a site that has just been left. */
    private long rip(int site) {
        return sites.rip(site, state.get64(StateBlock.PLACE));
    }

    // ------------------------------------------------------------------ running

    @Override
    public int run(Block b) {
        Unit entered = (Unit) java.util.Objects.requireNonNull(b.translation);
        mode = entered.page.mode;
        epoch = epochOf(mode);
        long target = entered.withoutFlags;
        boolean wantVectors = false;
        int missedAt = -1;
        long missed = 0;
        int misses = 0;
        int stretches = 0;
        figures.entries++;
        take();
        for (; ; stretches++) {
            state.put32(StateBlock.WANT_VECTORS, wantVectors ? 1 : 0);
            ExecutableMemory.call(stubs.enter, state.address, target);
            int exit = state.get32(StateBlock.EXIT);
            figures.exits[exit]++;
            follow();
            int site = state.get32(StateBlock.SITE);
            int outcome;
            switch (exit) {
                case Exits.MISS -> {
                    long rip = rip(site);
                    long la = state.get64(StateBlock.ADDRESS);
                    boolean stuck = false;
                    if ((sites.facts[site] & Sites.AGAIN) != 0) {
                        // One with two accesses whose pages share an entry would miss for ever.
                        misses = site == missedAt && la == missed ? misses + 1 : 1;
                        missedAt = site;
                        missed = la;
                        stuck = misses > MISSES;
                    }
                    int filled = stuck ? ASK : fill(site, la);
                    if (filled == FILLED && isCurrent()) {
                        target = sites.resume(site);
                        wantVectors = (sites.facts[site] & Sites.VECTORS) != 0;
                        continue;
                    }
                    if (filled == ASK) {
                        outcome = interpret(rip);
                    } else {
                        leave(rip);
                        outcome = filled == FAULTS ? cpu.forTranslator.pageFault() : CpuExit.NONE;
                    }
                }
                case Exits.INTERPRET -> {
                    outcome = interpret(rip(site));
                    target = sites.resume(site);
                    if (outcome == CpuExit.NONE
                            && target != 0
                            && s.rip == sites.next(site, state.get64(StateBlock.PLACE))
                            && isCurrent()
                            && mode == shapes.mode(cpu)
                            && !cpu.forTranslator.needsCare()) {
                        wantVectors = (sites.facts[site] & Sites.VECTORS) != 0;
                        if (wantVectors) {
                            state.takeVectors();
                        }
                        take();
                        continue;
                    }
                }
                case Exits.INVALIDATE -> {
                    if (invalidated(state.get64(StateBlock.ADDRESS))) {
                        target = sites.resume(site);
                        wantVectors = (sites.facts[site] & Sites.VECTORS) != 0;
                        continue;
                    }
                    outcome = interpret(rip(site));
                }
                case Exits.VECTORS -> {
                    state.takeVectors();
                    target = state.get64(StateBlock.TARGET);
                    wantVectors = true;
                    continue;
                }
                case Exits.CROSS -> {
                    long rip = rip(site);
                    if ((sites.facts[site] & Sites.STRADDLES) != 0) {
                        long on = links.straddle(site, rip, mode, epoch);
                        if (on != 0) {
                            target = on;
                            wantVectors = false;
                            continue;
                        }
                        leave(rip);
                        outcome = interpretLeft();
                        break;
                    }
                    Place to = links.ready(rip, mode, epoch);
                    if (to == null) {
                        leave(rip);
                        if (!isLeft(rip)) {
                            return CpuExit.NONE;
                        }
                        outcome = interpretLeft();
                        break;
                    }
                    target = links.cross(site, rip, to);
                    wantVectors = false;
                    continue;
                }
                case Exits.LOOK_UP -> {
                    boolean arrived = (sites.facts[site] & Sites.ARRIVED) != 0;
                    long rip = state.get64(StateBlock.RIP);
                    Place to = links.ready(rip, mode, epoch);
                    if (to == null) {
                        outcome = CpuExit.NONE;
                        if (arrived) {
                            leave(rip);
                        } else {
                            outcome = interpret(rip(site));
                        }
                        if (outcome != CpuExit.NONE || !isLeft(s.rip)) {
                            return outcome;
                        }
                        outcome = interpretLeft();
                        break;
                    }
                    long code = links.enter(rip, to);
                    if (arrived) {
                        target = code;
                        state.put64(StateBlock.PLACE, to.linear);
                        wantVectors = false;
                        continue;
                    }
                    target = sites.resume(site);
                    wantVectors = (sites.facts[site] & Sites.VECTORS) != 0;
                    continue;
                }
                case Exits.FAULT -> outcome = interpretFaulted(site);
                case Exits.KICK -> {
                    leave(rip(site));
                    if (lockstep != null && !lockstep.isKicked()) {
                        // It polls before the instruction has begun: on beyond it.
                        return cpu.forTranslator.interpretOne();
                    }
                    // Code whose memory has gone away must not run for ever on what was made of it.
                    cpu.serialize();
                    return CpuExit.NONE;
                }
                default -> {
                    leave(rip(site));
                    if (!isLeft(s.rip)) {
                        return CpuExit.NONE;
                    }
                    outcome = interpretLeft();
                }
            }
            if (outcome == CpuExit.NONE && s.interruptShadow != 0) {
                // What it holds off is asked for behind the next instruction.
                outcome = cpu.forTranslator.interpretOne();
            }
            if (outcome != CpuExit.NONE) {
                if (stretches == 0) {
                    ShortRuns.ended(b, rip(site), threshold);
                }
                return outcome;
            }
            if (!arrives()) {
                return outcome;
            }
            target = stubs.arrive;
            wantVectors = false;
        }
    }

    /** The processor's state follows what code has done to mode and epoch. */
    private void follow() {
        long now = state.get64(StateBlock.EPOCH);
        if (state.giveTransfers(cpu.intel)) {
            cpu.modeChanged();
            mode = (int) now & MODES - 1;
        }
        if (now != epoch) {
            long serialized = now / SERIALIZED - epoch / SERIALIZED;
            if (serialized != 0) {
                cpu.serialized(serialized);
            }
            epoch = epochOf(mode);
        }
    }

    /** Whether nothing has happened after which code is to be proved again. */
    private boolean isCurrent() {
        return epoch >>> MODE_BITS == cpu.generation();
    }

    /** Executes INVLPG while the guest's state is where code has it; false: it is the interpreter's. */
    private boolean invalidated(long la) {
        if (!cpu.controls.nestedPaging || lockstep != null || !cpu.canonical(la)) {
            return false;
        }
        cpu.invlpg(la);
        epoch = epochOf(mode);
        state.put64(StateBlock.EPOCH, epoch);
        return true;
    }

    /**
     * Goes on with code at the processor's rip, wherever the interpreter has come to and in whatever mode, without a look by the run loop:
     * {@link Stubs#arrive} finds it and proves it.
     *
     * @return false: the run loop is to look
     */
    private boolean arrives() {
        if (cpu.forTranslator.needsCare()
                || HostMemory.get32(cpu.kickAddress) != 0
                || !cpu.mode64
                || (cpu.tlbMode & Tlb.CHECKED) != 0
                || holding.isAskedBack()) {
            return false;
        }
        mode = shapes.mode(cpu);
        epoch = epochOf(mode);
        take();
        state.put64(StateBlock.EPOCH, epoch);
        state.put64(StateBlock.RIP, s.rip);
        return true;
    }

    /** The host took a page away under an access, or under a comparison: the interpreter meets it again, as all accesses from Java meet it. */
    private int interpretFaulted(int site) {
        long at = state.get64(StateBlock.ADDRESS);
        int facts = sites.facts[site];
        if (stubs.isString(at)) {
            state.stopString(Sites.bytes(facts), (facts & Sites.MOVES) != 0);
            return interpret(rip(site));
        }
        if (at < holding.code.first) {
            // Code was compared whose page has gone: the processor reads it, too, and meets that.
            if ((facts & (Sites.CROSS | Sites.ARRIVED)) != 0) {
                leave((facts & Sites.CROSS) != 0 ? rip(site) : state.get64(StateBlock.RIP));
                return cpu.forTranslator.interpretOne();
            }
            return interpret(rip(site));
        }
        int access = sites.accessAt(at, at >= holding.waysOut.first);
        if ((sites.facts[access] & Sites.RSI_SPARED) != 0) {
            state.unspareRsi();
        }
        return interpret(rip(access));
    }

    /** The guest's state comes from where the interpreter has it. */
    private void take() {
        if (lockstep != null) {
            lockstep.begin();
        }
        state.take(cpu.controls.irqWindow, mode);
        // CPL may change before anything is taken anew: where it decides, and where two must read the same, code does
        // not read it.
        boolean asks = (s.cr4 & CpuState.CR4_TSD) != 0 || lockstep != null;
        state.takeCounter(asks ? Hypervisor.NO_TSC_OFFSET : cpu.hypervisor.tscOffset());
    }

    /** The guest's state goes back to where the interpreter has it. */
    private void leave(long rip) {
        state.give();
        cpu.segmentBase[CpuState.GS] = s.segBase[CpuState.GS];
        state.giveVectors();
        s.rip = rip;
        if (lockstep != null) {
            int site = state.get32(StateBlock.SITE);
            lockstep.end(rip(site) == rip && (sites.facts[site] & Sites.STRING) != 0);
        }
    }

    private int interpret(long rip) {
        leave(rip);
        return cpu.forTranslator.interpretOne();
    }

    /** What {@link #isLeft}, once the state is the interpreter's. */
    private int interpretLeft() {
        figures.interpreted++;
        return cpu.forTranslator.interpretOne();
    }

    /**
     * Fills the TLB for an access that missed, through the processor's own.
     *
     * @return {@link #FILLED}, {@link #ASK} or {@link #FAULTS}
     * @throws LeaveGuest the hypervisor leaves, with the state at the instruction
     */
    private int fill(int site, long la) {
        int facts = sites.facts[site];
        int size = Sites.bytes(facts);
        if (((int) la & 4095) + size > 4096 || !cpu.canonical(la)) {
            return ASK;
        }
        int access = (facts & Sites.WRITE) != 0 ? Tlb.WRITE : Tlb.READ;
        int tlbMode = cpu.tlbMode;
        Tlb tlb = cpu.tlb;
        if (!tlb.hits(la, 1, access, tlbMode)) {
            // A device's register is walked to once, by the interpreter; where that finds memory, it is in the TLB next
            // time.
            if (access == Tlb.WRITE && tlb.hitsCode(la, 1, tlbMode)
                    || (facts & Sites.DEVICE) != 0
                    || lockstep != null && !lockstep.mayWalk()) {
                return ASK;
            }
            s.rip = rip(site);
            try {
                long hva = cpu.walker.find(la, access, tlbMode, true);
                if (hva == Walker.FAULT) {
                    return FAULTS;
                }
                if (hva < 0) {
                    sites.facts[site] |= Sites.DEVICE;
                    return ASK;
                }
            } catch (LeaveGuest e) {
                leave(rip(site));
                cpu.atNewRip = true;
                throw e;
            }
            if (!tlb.hits(la, 1, access, tlbMode)) {
                return ASK;
            }
        }
        if (lockstep != null) {
            if (lockstep.empties()) {
                state.clearTlb(cpu.world.number(), true);
            }
            if (access == Tlb.WRITE && !lockstep.stores(la, tlb.hva(la))) {
                return ASK;
            }
        }
        // In lockstep what a page held is put away before the first store.
        codeTlb.copy(tlbMode, la, lockstep == null || access == Tlb.WRITE);
        if (codeTlb.isShort()) {
            takeSecond();
        }
        return FILLED;
    }

    /** Puts a larger TLB behind that of the state block, if there is room; not in lockstep, which must see each page's first store. */
    void takeSecond() {
        if (lockstep == null) {
            holding.takeSecond();
        }
    }

    @Override
    public TlbMirror mirror() {
        return codeTlb;
    }

    @Override
    public void codeStored(long hvaPage) {
        pages.stored(hvaPage);
    }
}
