package dev.slate.cpu.translate.x64;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.LeaveGuest;
import dev.slate.cpu.Translator;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Feature;
import dev.slate.cpu.mem.ExecutableMemory;
import dev.slate.cpu.mem.FaultGuard;
import dev.slate.cpu.mmu.Tlb;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The translator of one processor: which blocks become code, where it lies, and what happens when it leaves. */
public final class X64Translator implements Translator {
    /** Room that the longest translation of a block and its stubs cannot fill. */
    private static final int LONGEST = 64 << 10;

    private record PageKey(long linear, long hva, int mode) {}

    private final Cpu cpu;
    private final CpuState s;
    private final FaultGuard guard;
    private final ExecutableMemory memory;
    private final int threshold;
    private final StateBlock state;
    private final Sites sites = new Sites();
    private final Stubs stubs;
    private final Shapes shapes;
    private final Emitter emitter;
    private final boolean hostAvx;

    /** Where the translations begin, and where the next one goes. */
    private final long first;

    private long used;

    private final Map<PageKey, TranslatedPage> pages = new HashMap<>();
    /** Modes whose TLB has an entry. */
    private int tlbsUsed;

    // What {@code slate stat} shows.
    /** Units made since the processor was. */
    public long units;
    /** Bytes of code made. */
    public long bytes;
    /** Pages given up because their bytes had changed. */
    public long invalidations;
    /** How often the code memory was full. */
    public long resets;
    /** Entries into code, by the exit that ended each ({@link Exits}). */
    public final long[] exits = new long[7];

    private X64Translator(Cpu cpu, FaultGuard guard, ExecutableMemory memory, int threshold) {
        this.cpu = cpu;
        this.guard = guard;
        this.s = cpu.s;
        this.memory = memory;
        this.threshold = threshold;
        state = new StateBlock(s, cpu.kickAddress);
        Assembler a = new Assembler();
        a.start(memory.address());
        Stubs forCpuid = new Stubs(a, false);
        memory.write(memory.address(), a.buffer, a.at);
        long host = HostFeatures.read(forCpuid.cpuid);
        hostAvx = (host & Feature.bit(Feature.AVX)) != 0;
        a.start(memory.address());
        stubs = new Stubs(a, hostAvx);
        memory.write(memory.address(), a.buffer, a.at);
        first = memory.address() + (a.at + 63 & -64);
        used = first;
        shapes = new Shapes(host);
        emitter = new Emitter(stubs, sites, cpu.features, shapes);
    }

    /**
     * Makes a translator for a processor.
     *
     * @param threshold how often a block is entered before it is translated
     * @param codeBytes size of the code memory
     * @return null where the host is no x86-64 or allows no executable memory
     */
    public static @Nullable X64Translator create(Cpu cpu, FaultGuard guard, int threshold, long codeBytes) {
        ExecutableMemory memory = ExecutableMemory.map(Math.max(codeBytes, 4L * LONGEST));
        if (memory == null) {
            return null;
        }
        X64Translator t = new X64Translator(cpu, guard, memory, threshold);
        if (!guard.add(t.first, memory.address() + memory.bytes(), t.stubs.fault)) {
            memory.close();
            return null;
        }
        return t;
    }

    @Override
    public void close() {
        guard.remove(first);
        memory.close();
    }

    // ------------------------------------------------------------------ what becomes code

    /** What code depends on beside its bytes: the TLB's mode, and whether vector instructions can be executed as they are. */
    private int mode() {
        int mode = cpu.tlbMode & 3;
        if ((s.cr0 & (CpuState.CR0_EM | CpuState.CR0_TS)) == 0
                && (s.cr4 & CpuState.CR4_OSFXSR) != 0
                && (s.mxcsr & 0x1f80) == 0x1f80) {
            mode |= Shapes.SSE;
            if (hostAvx && (s.cr4 & CpuState.CR4_OSXSAVE) != 0 && (s.xcr0 & 6) == 6) {
                mode |= Shapes.AVX;
            }
        }
        return mode;
    }

    @Override
    public boolean wants(Block b) {
        return b.translation != null || ++b.heat >= threshold;
    }

    @Override
    public boolean enters(Block b) {
        if (b.translation == null && ++b.heat < threshold) {
            return false;
        }
        if (!cpu.mode64 || b.hva == 0 || (cpu.tlbMode & Tlb.CHECKED) != 0) {
            return false;
        }
        int mode = mode();
        Unit unit = b.translation instanceof Unit u ? u : null;
        if (unit == null || unit.page.dead || unit.rip != b.rip || unit.page.mode != mode) {
            unit = find(b, mode);
            if (unit == null) {
                return false;
            }
            b.translation = unit;
        }
        if (!proved(unit.page)) {
            b.translation = null;
            return false;
        }
        long epoch = cpu.generation() << 4 | mode;
        state.put64(StateBlock.EPOCH, epoch);
        state.enterJump(unit.rip, unit.withoutFlags, epoch);
        return true;
    }

    /** The block's unit under its present rip and mode; made when there is none. */
    private @Nullable Unit find(Block b, int mode) {
        PageKey key = new PageKey(b.rip & -4096L, b.hva & -4096L, mode);
        TranslatedPage page = pages.get(key);
        if (page != null && !proved(page)) {
            page = null;
        }
        if (page == null) {
            page = new TranslatedPage(key.linear, key.hva, mode);
            page.proved = cpu.generation();
            pages.put(key, page);
        }
        Unit unit = page.unit(b.rip);
        return unit != null ? unit : translate(b, page);
    }

    private @Nullable Unit translate(Block b, TranslatedPage page) {
        if (memory.address() + memory.bytes() - used < LONGEST) {
            reset();
            return null;
        }
        if (!emitter.isWorthIt(b, page)) {
            b.heat = Integer.MIN_VALUE;
            return null;
        }
        Unit unit = emitter.translate(page, b, b.rip, used);
        Assembler a = emitter.a;
        memory.write(used, a.buffer, a.at);
        used += a.at + 15 & -16;
        units++;
        bytes += a.at;
        for (TranslatedPage.Edge edge : page.arrived(unit.rip)) {
            long to = edge.flagsHere() ? unit.withFlags : unit.withoutFlags;
            memory.patch32(edge.place(), (int) (to - (edge.place() + 4)));
        }
        return unit;
    }

    /** Whether a page's code may be entered: its bytes are compared once in a generation. */
    private boolean proved(TranslatedPage page) {
        if (page.dead) {
            return false;
        }
        long generation = cpu.generation();
        if (page.proved == generation) {
            return true;
        }
        for (int i = 0; i < page.count; i++) {
            if (!cpu.proves(page.all[i].block)) {
                page.dead = true;
                pages.remove(new PageKey(page.linear, page.hva, page.mode), page);
                invalidations++;
                return false;
            }
        }
        page.proved = generation;
        return true;
    }

    /** The code memory is full: everything goes. Never while code is about to go on. */
    private void reset() {
        for (TranslatedPage page : pages.values()) {
            page.dead = true;
        }
        pages.clear();
        sites.clear();
        state.clearJumps();
        used = first;
        resets++;
    }

    // ------------------------------------------------------------------ running

    @Override
    public int run(Block b) {
        Unit unit = (Unit) java.util.Objects.requireNonNull(b.translation);
        long generation = cpu.generation();
        int mode = unit.page.mode;
        long target = unit.withoutFlags;
        boolean wantVectors = false;
        state.take();
        for (; ; ) {
            state.put32(StateBlock.WANT_VECTORS, wantVectors ? 1 : 0);
            ExecutableMemory.call(stubs.enter, state.address, target);
            int exit = state.get32(StateBlock.EXIT);
            exits[exit]++;
            switch (exit) {
                case Exits.MISS -> {
                    int site = state.get32(StateBlock.SITE);
                    int facts = sites.facts[site];
                    if (!fill(sites.rip[site], state.get64(StateBlock.ADDRESS), facts)) {
                        int outcome = interpret(sites.rip[site]);
                        return outcome;
                    }
                    if (generation != cpu.generation()) {
                        leave(sites.rip[site]);
                        return CpuExit.NONE;
                    }
                    target = sites.resume[site];
                    wantVectors = (facts & Sites.VECTORS) != 0;
                }
                case Exits.INTERPRET -> {
                    int site = state.get32(StateBlock.SITE);
                    int outcome = interpret(sites.rip[site]);
                    target = sites.resume[site];
                    if (outcome != CpuExit.NONE
                            || target == 0
                            || s.rip != sites.next[site]
                            || generation != cpu.generation()
                            || mode != mode()
                            || cpu.needsCare()) {
                        return outcome;
                    }
                    wantVectors = (sites.facts[site] & Sites.VECTORS) != 0;
                    if (wantVectors) {
                        state.takeVectors();
                    }
                    state.take();
                }
                case Exits.VECTORS -> {
                    state.takeVectors();
                    target = state.get64(StateBlock.TARGET);
                    wantVectors = true;
                }
                case Exits.FAULT -> {
                    // The interpreter meets it again, in the way that all accesses from Java meet it.
                    return interpret(sites.ripAt(state.get64(StateBlock.ADDRESS)));
                }
                case Exits.DISPATCH -> {
                    leave(state.get64(StateBlock.RIP));
                    return CpuExit.NONE;
                }
                default -> {
                    leave(sites.rip[state.get32(StateBlock.SITE)]);
                    return CpuExit.NONE;
                }
            }
        }
    }

    /** The guest's state goes back to where the interpreter has it. */
    private void leave(long rip) {
        state.give();
        state.giveVectors();
        s.rip = rip;
    }

    private int interpret(long rip) {
        leave(rip);
        return cpu.interpretOne();
    }

    /**
     * Fills the TLB for an access that missed, through the processor's own.
     *
     * @return whether the access can be tried again; if not, the interpreter has a way for it
     * @throws GuestFault the instruction's fault, with the state at the instruction
     * @throws LeaveGuest likewise
     */
    private boolean fill(long rip, long la, int facts) {
        int size = Sites.bytes(facts);
        if (((int) la & 4095) + size > 4096 || !cpu.canonical(la)) {
            return false;
        }
        int access = (facts & Sites.WRITE) != 0 ? Tlb.WRITE : Tlb.READ;
        int mode = cpu.tlbMode;
        Tlb tlb = cpu.tlb;
        if (!tlb.hits(la, 1, access, mode)) {
            if (access == Tlb.WRITE && tlb.hitsCode(la, 1, mode)) {
                return false;
            }
            s.rip = rip;
            try {
                if (cpu.walker.translate(la, access, mode, true) < 0) {
                    return false;
                }
            } catch (GuestFault | LeaveGuest e) {
                leave(rip);
                cpu.atNewRip = true;
                throw e;
            }
            if (!tlb.hits(la, 1, access, mode)) {
                return false;
            }
        }
        long hva = tlb.hva(la);
        state.fill(mode, la, hva, tlb.hits(la, 1, Tlb.READ, mode), tlb.hits(la, 1, Tlb.WRITE, mode));
        tlbsUsed |= 1 << mode;
        return true;
    }

    // ------------------------------------------------------------------ what the TLB loses

    @Override
    public void flushed() {
        for (int mode = 0; mode < StateBlock.TLB_MODES; mode++) {
            if ((tlbsUsed >>> mode & 1) != 0) {
                state.clearTlb(mode);
            }
        }
        tlbsUsed = 0;
    }

    @Override
    public void pageFlushed(long la) {
        for (int mode = 0; mode < StateBlock.TLB_MODES; mode++) {
            state.clearTlbPage(mode, la);
        }
    }

    @Override
    public void codeProtected(long hvaPage) {
        for (int mode = 0; mode < StateBlock.TLB_MODES; mode++) {
            if ((tlbsUsed >>> mode & 1) != 0) {
                state.protect(mode, hvaPage);
            }
        }
    }
}
