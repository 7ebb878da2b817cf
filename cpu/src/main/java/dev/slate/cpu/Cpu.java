package dev.slate.cpu;

import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Feature;
import dev.slate.cpu.exec.Events;
import dev.slate.cpu.exec.ImplementedFeatures;
import dev.slate.cpu.exec.Interpreter;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mmu.Access;
import dev.slate.cpu.mmu.Tlb;
import dev.slate.cpu.mmu.Walker;
import org.jspecify.annotations.Nullable;

/**
 * One logical processor with nested paging: give it a state, the root of the nested page tables and a {@link Hypervisor}; it runs
 * until it must exit, as VMRUN does.
 *
 * <p>One thread at a time, except {@link #kickAddress}'s word, which anybody may set.
 */
public final class Cpu {
    public final CpuState s;
    public final Tlb tlb = new Tlb();

    /** The hypervisor above. */
    public final Hypervisor hypervisor;

    /** hva of a 32-bit word; not zero means: leave with {@link CpuExit#INTR} at the next block edge. */
    public final long kickAddress;

    public final Walker walker;
    /** What the debug registers watch. */
    public final Breakpoints breakpoints;

    private final Access access;
    private final Events events;
    private final CodeCache code = new CodeCache(this);
    private final RunLoop loop;
    /** What a translator asks of it. */
    public final TranslatorCalls forTranslator;

    private final GuestFault fault = new GuestFault();
    private final LeaveGuest leave = new LeaveGuest();

    /** What the hypervisor asks for. */
    public final Controls controls = new Controls();

    /** What a guest's hypervisor intercepts of its guest. */
    public final Intercepts intercepts = new Intercepts();

    /** CR2 before the page fault under way: an intercepted one leaves it so. */
    private long cr2Before;

    /** What an exit carries. */
    public final ExitInfo exit = new ExitInfo();

    /** What an I/O exit carries. */
    public final IoExit io = new IoExit();

    /** What the hypervisor answers. */
    public final FaultAnswer answer = new FaultAnswer();

    /** Debug traps on their way. */
    public final DebugState debug = new DebugState();

    /** Who looks on. */
    public final Observers observers = new Observers();

    /** What is retired; a hypervisor may put its own here, between runs. */
    public Retirement retired = new Retirement();

    /** What processors can offer, as {@link Feature} bits. */
    public static final long FEATURES = ImplementedFeatures.COMPLETE;

    /** What this processor offers, of {@link #FEATURES}: anything else is #UD, or what the bytes meant before. */
    public final long features;

    /** Where the makers of processors differ this one is Intel's, by {@link Feature#INTEL}; else AMD's. */
    public final boolean intel;

    /** Low and high word that CMPXCHG16B found. */
    public final long[] wide = new long[2];

    /** The interpreter leaves the block after the running instruction. Cleared by {@link #run}. */
    public boolean stop;

    /** The hypervisor asked for the stop: {@link #run} returns {@link CpuExit#STOPPED}. */
    boolean stopRequested;

    /** A fault is being thrown by a task switch that has reached the new task: {@code s.rip} is that task's, not the block's. */
    public boolean atNewRip;

    // ---- derived from the state by modeChanged(); in no holder of their own, because every access reads them ----
    /** 64-bit code runs. */
    public boolean mode64;
    /** {@link dev.slate.cpu.decode.Mode} of the code segment. */
    public int codeMode;
    /** {@link Tlb} mode bits of ordinary data accesses and fetches. */
    public int tlbMode;

    /** Whose translations are used. */
    public final World world = new World(this);

    public boolean alignmentChecked;

    /** What data segments add to an offset: the base, or 0 for those that 64-bit mode ignores. Indexed by segment register. */
    public final long[] segmentBase = new long[6];

    /** What the translator has done, if there is one. */
    public final TranslationFigures translation = new TranslationFigures();

    /** Base and limit of CS outside 64-bit mode, as they were when a block was last found there. */
    private long codeBase;

    private int codeLimit;
    private long linearMask = -1;
    private int canonicalShift = 16;

    // ---- what decides whether a block in the jump cache is still what rip points at ----
    /** Counts TLB flushes and changes of the code segment. */
    private long translations = 1;
    /** Below it, {@link #generation} has the world, the code's size and the TLB mode; above, it counts. */
    public static final int GENERATION_SHIFT = 4;
    /** {@link #translations} and the mode in one word: equal means that a block needs no look at the page tables. */
    long generation = 1 << GENERATION_SHIFT;
    /** Counts serializing events and stores into code: a block proved in another epoch compares its bytes again. */
    long codeEpoch = 1;

    /**
     * A processor over {@code state}, which a caller may have kept since long before (a vCPU that never runs needs no processor).
     *
     * @param kickAddress see {@link #kickAddress}
     * @param features {@link Feature} bits
     */
    public Cpu(CpuState state, Hypervisor hypervisor, long kickAddress, long features) {
        this.features = features & (FEATURES | Feature.bit(Feature.INTEL));
        this.intel = (features >>> Feature.INTEL & 1) != 0;
        controls.nullKeepsBase = !intel;
        this.s = state;
        this.hypervisor = hypervisor;
        this.kickAddress = kickAddress;
        breakpoints = new Breakpoints(this);
        walker = new Walker(this);
        access = new Access(this);
        events = new Events(this);
        loop = new RunLoop(this, code, new Interpreter(this, events), events);
        forTranslator = new TranslatorCalls(code, loop);
        modeChanged();
    }

    // ------------------------------------------------------------------ linear memory, the guest's view
    // Every method takes a linear address and goes through the TLB; a miss checks canonicality, alignment where
    // enabled, and paging at the current privilege. `seg` only chooses the fault of a non-canonical address: #SS(0)
    // for SS, else #GP(0). They throw GuestFault, or LeaveGuest when the hypervisor leaves. Nothing is stored before
    // every byte is known to be storable.

    /** Loads a byte, zero-extended. */
    public int load8(int seg, long la) {
        Tlb t = tlb;
        long[] e = t.entries;
        int i = t.index(la);
        return e[i] == Tlb.key(la, 1, tlbMode)
                ? HostMemory.get8(la + e[i + 3])
                : (int) access.load(seg, la, 1, tlbMode);
    }

    /** Loads two bytes, zero-extended. */
    public int load16(int seg, long la) {
        Tlb t = tlb;
        long[] e = t.entries;
        int i = t.index(la);
        return e[i] == Tlb.key(la, 2, tlbMode)
                ? HostMemory.get16(la + e[i + 3])
                : (int) access.load(seg, la, 2, tlbMode);
    }

    /** Loads four bytes. */
    public int load32(int seg, long la) {
        Tlb t = tlb;
        long[] e = t.entries;
        int i = t.index(la);
        return e[i] == Tlb.key(la, 4, tlbMode)
                ? HostMemory.get32(la + e[i + 3])
                : (int) access.load(seg, la, 4, tlbMode);
    }

    /** Loads eight bytes. */
    public long load64(int seg, long la) {
        Tlb t = tlb;
        long[] e = t.entries;
        int i = t.index(la);
        return e[i] == Tlb.key(la, 8, tlbMode) ? HostMemory.get64(la + e[i + 3]) : access.load(seg, la, 8, tlbMode);
    }

    /** Stores a byte. */
    public void store8(int seg, long la, int v) {
        Tlb t = tlb;
        long[] e = t.entries;
        int i = t.index(la);
        if (e[i + 1] == Tlb.key(la, 1, tlbMode)) {
            HostMemory.put8(la + e[i + 3], v);
        } else {
            access.store(seg, la, 1, v, tlbMode);
        }
    }

    /** Stores two bytes. */
    public void store16(int seg, long la, int v) {
        Tlb t = tlb;
        long[] e = t.entries;
        int i = t.index(la);
        if (e[i + 1] == Tlb.key(la, 2, tlbMode)) {
            HostMemory.put16(la + e[i + 3], v);
        } else {
            access.store(seg, la, 2, v, tlbMode);
        }
    }

    /** Stores four bytes. */
    public void store32(int seg, long la, int v) {
        Tlb t = tlb;
        long[] e = t.entries;
        int i = t.index(la);
        if (e[i + 1] == Tlb.key(la, 4, tlbMode)) {
            HostMemory.put32(la + e[i + 3], v);
        } else {
            access.store(seg, la, 4, v, tlbMode);
        }
    }

    /** Stores eight bytes. */
    public void store64(int seg, long la, long v) {
        Tlb t = tlb;
        long[] e = t.entries;
        int i = t.index(la);
        if (e[i + 1] == Tlb.key(la, 8, tlbMode)) {
            HostMemory.put64(la + e[i + 3], v);
        } else {
            access.store(seg, la, 8, v, tlbMode);
        }
    }

    /** Zero-extended load of {@code 1 << sizeLog2} bytes (0..3). */
    public long load(int seg, long la, int sizeLog2) {
        switch (sizeLog2) {
            case 0:
                return load8(seg, la);
            case 1:
                return load16(seg, la);
            case 2:
                return load32(seg, la) & 0xffff_ffffL;
            default:
                return load64(seg, la);
        }
    }

    /** Loads a far pointer, which is one access: an offset of {@code offsetBytes} (2 or 4) bytes below a selector. */
    public long loadFarPointer(int seg, long la, int offsetBytes) {
        return access.loadFarPointer(seg, la, offsetBytes, tlbMode);
    }

    /** Stores the low {@code 1 << sizeLog2} bytes (0..3) of {@code v}. */
    public void store(int seg, long la, int sizeLog2, long v) {
        switch (sizeLog2) {
            case 0 -> store8(seg, la, (int) v);
            case 1 -> store16(seg, la, (int) v);
            case 2 -> store32(seg, la, (int) v);
            default -> store64(seg, la, v);
        }
    }

    /** Loads for a read-modify-write: with write permission (and D bits) required, so that the store cannot fault. */
    public long loadForWrite(int seg, long la, int sizeLog2) {
        Tlb t = tlb;
        long[] e = t.entries;
        int i = t.index(la);
        if (e[i + 1] == Tlb.key(la, 1 << sizeLog2, tlbMode)) {
            long hva = la + e[i + 3];
            switch (sizeLog2) {
                case 0:
                    return HostMemory.get8(hva);
                case 1:
                    return HostMemory.get16(hva);
                case 2:
                    return HostMemory.get32(hva) & 0xffff_ffffL;
                default:
                    return HostMemory.get64(hva);
            }
        }
        return access.loadForWrite(seg, la, 1 << sizeLog2, tlbMode);
    }

    /**
     * Compare-and-set for locked instructions, atomic at any alignment: beyond an aligned 16 bytes it leaves with {@link
     * CpuExit#BUS_LOCK} first. {@code expected} is zero-extended. A caller loops over {@link #loadForWrite} and this.
     */
    public boolean cas(int seg, long la, int sizeLog2, long expected, long v) {
        if (sizeLog2 >= 2 && (la & (1 << sizeLog2) - 1) == 0) {
            Tlb t = tlb;
            long[] e = t.entries;
            int i = t.index(la);
            if (e[i + 1] == Tlb.key(la, 1, tlbMode)) {
                long hva = la + e[i + 3];
                return sizeLog2 == 3
                        ? HostMemory.cas64(hva, expected, v)
                        : HostMemory.cas32(hva, (int) expected, (int) v);
            }
        }
        return access.cas(seg, la, sizeLog2, expected, v, tlbMode);
    }

    /** After a {@link #loadForWrite} by which a locked comparison failed: see {@link Access#storeBack}. */
    public void storeBack(int seg, long la, int sizeLog2, long v) {
        Tlb t = tlb;
        if (t.entries[t.index(la) + Tlb.WRITE] != Tlb.key(la, 1 << sizeLog2, tlbMode)) {
            access.storeBack(seg, la, 1 << sizeLog2, v, tlbMode);
        }
    }

    /** A 16-byte load: low word to {@code to[index]}, high to {@code to[index + 1]}. Neither is written when it faults. */
    public void load128(int seg, long la, long[] to, int index) {
        Tlb t = tlb;
        long[] e = t.entries;
        int i = t.index(la);
        if (e[i] == Tlb.key(la, 16, tlbMode)) {
            long hva = la + e[i + 3];
            long low = HostMemory.get64(hva);
            to[index + 1] = HostMemory.get64(hva + 8);
            to[index] = low;
            return;
        }
        access.load128(seg, la, to, index, tlbMode);
    }

    /** A 16-byte store; no byte of it happens when it faults. */
    public void store128(int seg, long la, long[] from, int index) {
        Tlb t = tlb;
        long[] e = t.entries;
        int i = t.index(la);
        if (e[i + 1] == Tlb.key(la, 16, tlbMode)) {
            long hva = la + e[i + 3];
            HostMemory.put64(hva, from[index]);
            HostMemory.put64(hva + 8, from[index + 1]);
            return;
        }
        access.store128(seg, la, from[index], from[index + 1], tlbMode);
    }

    /**
     * CMPXCHG16B's memory part on a 16-byte aligned address: true when (lo, hi) was there and was replaced; what was found is left in
     * {@link #wide} either way.
     */
    public boolean cas128(int seg, long la, long lo, long hi, long newLo, long newHi) {
        return access.cas128(seg, la, lo, hi, newLo, newHi, tlbMode);
    }

    /** Checks that {@code bytes} (1..4096) at {@code la} could be stored at this privilege. */
    public void probeWrite(int seg, long la, int bytes) {
        access.probeWrite(seg, la, bytes, tlbMode);
    }

    // Accesses to descriptor tables, TSS and IDT are the processor's own: privilege 0 whatever CPL is, SMAP in force
    // whatever AC says (SDM 3A 4.6.1: implicit supervisor accesses ignore AC).

    private int systemMode() {
        return (s.cr4 & CpuState.CR4_SMAP) != 0 ? Tlb.SMAP | Tlb.OWN : Tlb.OWN;
    }

    /** Loads a byte, zero-extended, as the processor itself. */
    public int systemLoad8(long la) {
        return (int) access.load(CpuState.DS, la, 1, systemMode());
    }

    /** Loads two bytes, zero-extended, as the processor itself. */
    public int systemLoad16(long la) {
        return (int) access.load(CpuState.DS, la, 2, systemMode());
    }

    /** Loads four bytes, as the processor itself. */
    public int systemLoad32(long la) {
        return (int) access.load(CpuState.DS, la, 4, systemMode());
    }

    /** Loads eight bytes, as the processor itself. */
    public long systemLoad64(long la) {
        return access.load(CpuState.DS, la, 8, systemMode());
    }

    /** Stores a byte, as the processor itself. */
    public void systemStore8(long la, int v) {
        access.store(CpuState.DS, la, 1, v, systemMode());
    }

    /** Stores two bytes, as the processor itself. */
    public void systemStore16(long la, int v) {
        access.store(CpuState.DS, la, 2, v, systemMode());
    }

    /** Stores four bytes, as the processor itself. */
    public void systemStore32(long la, int v) {
        access.store(CpuState.DS, la, 4, v, systemMode());
    }

    /** Stores eight bytes, as the processor itself. */
    public void systemStore64(long la, long v) {
        access.store(CpuState.DS, la, 8, v, systemMode());
    }

    /** {@link #probeWrite} for the processor's own accesses. */
    public void systemProbeWrite(long la, int bytes) {
        access.probeWrite(CpuState.DS, la, bytes, systemMode());
    }

    /** Adds one to a linear address's range as the mode wraps it: at 4 GiB outside 64-bit mode. */
    public long wrap(long la) {
        return la & linearMask;
    }

    /** Whether a 64-bit linear address is canonical for the paging in force (SDM 1 3.3.7.1). */
    public boolean canonical(long la) {
        int n = canonicalShift;
        return la << n >> n == la;
    }

    // ------------------------------------------------------------------ segments

    /**
     * Linear address of offset {@code off} in a segment for an access of {@code bytes}. 64-bit mode adds the base of FS and GS and
     * checks nothing here; the other modes check type and limit (SDM 3A 5.3) and wrap at 4 GiB.
     */
    public long linear(int seg, long off, int bytes, boolean write) {
        if (mode64) {
            return segmentBase[seg] + off;
        }
        int attr = s.segAttr[seg];
        if (s.protectedMode() && !s.virtual8086()) {
            boolean code = (attr & 8) != 0;
            if ((attr & (CpuState.ATTR_UNUSABLE | CpuState.ATTR_P)) != CpuState.ATTR_P
                    || write && (code || (attr & 2) == 0)
                    || !write && code && (attr & 2) == 0) {
                throw fault(seg == CpuState.SS ? GuestFault.SS : GuestFault.GP, 0);
            }
        }
        long last = (off & 0xffff_ffffL) + bytes - 1;
        long limit = s.segLimit[seg] & 0xffff_ffffL;
        boolean outside;
        if ((attr & 0xc) == 4) {
            // Expand-down data: valid offsets lie above the limit, up to 64 KiB or 4 GiB (D/B).
            long top = (attr & CpuState.ATTR_DB) != 0 ? 0xffff_ffffL : 0xffff;
            outside = (off & 0xffff_ffffL) <= limit || last > top;
        } else {
            outside = last > limit;
        }
        if (outside) {
            throw fault(seg == CpuState.SS ? GuestFault.SS : GuestFault.GP, 0);
        }
        return s.segBase[seg] + off & 0xffff_ffffL;
    }

    // ------------------------------------------------------------------ events

    /** Throws the processor's one GuestFault; the result type lets callers write {@code throw fault(...)}. */
    public GuestFault fault(int vector, int errorCode) {
        fault.vector = vector;
        fault.errorCode = errorCode;
        throw fault;
    }

    /** Throws the processor's one LeaveGuest. */
    public LeaveGuest leave(int exit) {
        leave.exit = exit;
        throw leave;
    }

    /** Sets CR2 for the page fault that is about to be raised. */
    public void faultAddress(long la) {
        cr2Before = s.cr2;
        s.cr2 = la;
    }

    /**
     * Describes an exit to a guest's hypervisor; an exception's, if it is a page fault, takes the address out of CR2 again.
     *
     * @param code of {@link SvmExit}
     * @param event the event under delivery, or 0
     * @return {@link CpuExit#INTERCEPT}
     */
    public int intercepted(int code, long info, long event) {
        exit.code = code;
        exit.info = info;
        exit.info2 = 0;
        exit.event = event;
        if (code == SvmExit.EXCEPTION + GuestFault.PF) {
            exit.info2 = s.cr2;
            s.cr2 = cr2Before;
        }
        return CpuExit.INTERCEPT;
    }

    /**
     * To be called after CR0, CR4, EFER, CPL, RFLAGS.AC or VM, CS or a segment's base has changed, by whoever changed it: recomputes
     * what the fast paths keep. Does not flush the TLB.
     */
    public void modeChanged() {
        CpuState st = s;
        mode64 = st.mode64();
        codeMode = st.codeMode();
        linearMask = mode64 ? -1 : 0xffff_ffffL;
        canonicalShift = (st.cr4 & CpuState.CR4_LA57) != 0 ? 7 : 16;
        boolean user = st.cpl == 3;
        int mode = user ? Tlb.USER : 0;
        if (!user && (st.cr4 & CpuState.CR4_SMAP) != 0 && (st.flagsSystem & CpuState.AC) == 0) {
            mode |= Tlb.SMAP;
        }
        alignmentChecked = user && (st.cr0 & CpuState.CR0_AM) != 0 && (st.flagsSystem & CpuState.AC) != 0;
        if (alignmentChecked || observers.memory != null && observers.pages == null) {
            // No entry is ever filled under this key, so every access takes the slow path, which checks and tells.
            mode |= Tlb.CHECKED;
        }
        tlbMode = mode;
        for (int i = 0; i < 6; i++) {
            segmentBase[i] = mode64 && i < CpuState.FS ? 0 : st.segBase[i];
        }
        if (!mode64 && (codeBase != st.segBase[CpuState.CS] || codeLimit != st.segLimit[CpuState.CS])) {
            // The same rip is other code from here on, and may lie outside.
            codeBase = st.segBase[CpuState.CS];
            codeLimit = st.segLimit[CpuState.CS];
            translations++;
        }
        generation = translations << GENERATION_SHIFT | (long) world.number() << 3 | codeMode << 1 | mode & 1;
        breakpoints.refresh();
    }

    /** Drops every translation, of whatever address space. To be called with the state as it will be: it names the space that goes on. */
    public void flushTlb() {
        tlb.flush();
        world.enterSpace();
        serialize();
    }

    /** The guest changed what its translations come from, or flushed them all (MOV to CR0 or CR4, INVPCID). */
    public void translationsChanged() {
        if (!controls.nestedPaging) {
            hypervisor.translationsChanged();
        }
        flushTlb();
    }

    /**
     * MOV to CR3 or a task switch: goes on in the address space that {@code state.cr3} now names. Global translations and those of other
     * spaces stay (SDM 3A 4.10.4.1), except where they are the hypervisor's.
     *
     * @param keep whether the space's own translations stay, too (bit 63 of what was written)
     */
    public void pageTablesLoaded(boolean keep) {
        if (!controls.nestedPaging) {
            translationsChanged();
            return;
        }
        int space = world.space(s.cr3);
        if (!keep) {
            tlb.flushSpace(space);
        }
        tlb.enter(space);
        serialize();
    }

    /** INVPCID, its descriptor already checked (SDM 2A). */
    public void invpcid(int type, int pcid, long la) {
        if (!controls.nestedPaging) {
            translationsChanged();
            return;
        }
        switch (type) {
            case 0 -> tlb.flushPage(Tlb.space(pcid, world.number()), la);
            case 1 -> tlb.flushSpace(Tlb.space(pcid, world.number()));
            case 2 -> tlb.flush();
            default -> tlb.flushLocal();
        }
        serialize();
    }

    /** INVLPG. */
    public void invlpg(long la) {
        if (!controls.nestedPaging) {
            hypervisor.invalidatePage(la);
            walker.flush();
        }
        tlb.flushPage(la);
        serialize();
    }

    /**
     * A serializing event (SDM 3A 9.3, APM 2 7.6.4; INVLPG and INVPCID are among them): decoded blocks compare their bytes again, and
     * look at the page tables, before they next run (docs/decisions/0023).
     */
    public void serialize() {
        codeEpoch++;
        translations++;
        modeChanged();
    }

    /** For a translator: {@code times} serializing instructions have been executed. */
    public void serialized(long times) {
        translations += times - 1;
        serialize();
    }

    /** {@code bytes} were stored at {@code hva}, all on one page. If that was code, the running block ends, and all blocks re-check. */
    public void storedTo(long hva, int bytes) {
        if (code.stored(hva, bytes)) {
            loop.codeStored(hva & -4096L);
            serialize();
            stop = true;
        }
    }

    /** Called by the hypervisor from {@link Hypervisor#mmioWrite}: leave with {@link CpuExit#STOPPED} once the instruction is done. */
    public void stopAfterInstruction() {
        stop = true;
        stopRequested = true;
    }

    /**
     * For a call of the hypervisor's during an access: puts the bytes of the instruction that makes it into {@link #exit}.
     *
     * @return false: none does, but the delivery of an event
     */
    public boolean describeInstruction() {
        return loop.describe();
    }

    /** Whether the running instruction has called for {@link CpuExit#STOPPED}. */
    public boolean stopRequested() {
        return stopRequested;
    }

    /** The walker's way into the TLB: {@code rights} are {@link Tlb#READABLE} and its like. */
    public void fillTlb(long la, int mode, long hva, int rights) {
        int given = rights;
        WatchedPages pages = observers.pages;
        if (breakpoints.watchesData && breakpoints.watchesPage(la) || pages != null && pages.contains(la)) {
            given &= ~(Tlb.READABLE | Tlb.WRITABLE);
        }
        if ((given & Tlb.WRITABLE) != 0 && code.lines.lines(hva) != 0) {
            given |= Tlb.HOLDS_CODE;
        }
        tlb.fill(la, mode, hva, given);
    }

    /** Where {@link CodeCache} gets an instruction's bytes: the host address of {@code la} for a fetch. */
    long fetchAddress(long la) {
        int mode = tlbMode & (Tlb.USER | Tlb.SMAP);
        if (mode64 && !canonical(la)) {
            throw fault(GuestFault.GP, 0);
        }
        long hva = tlb.hits(la, 1, Tlb.FETCH, mode) ? tlb.hva(la) : walker.translate(la, Tlb.FETCH, mode, true);
        if (hva < 0) {
            throw leave(CpuExit.NPF);
        }
        return hva;
    }

    // ------------------------------------------------------------------ running

    /** Runs until an exit; returns a {@link CpuExit} code. */
    public int run() {
        modeChanged();
        return loop.run();
    }

    /** Runs one instruction, then returns {@link CpuExit#NONE} or its exit; kicks are not looked at. */
    public int runOne() {
        modeChanged();
        return loop.step(1);
    }

    /** As {@link #runOne}, but goes on to the end of the block: for who must see every branch and not every instruction. */
    public int runBlock() {
        modeChanged();
        return loop.step(Integer.MAX_VALUE - 1);
    }

    /**
     * For the interpreter, after a near branch: the block at {@code rip} when nothing asks for attention and it is at hand, else null:
     * the interpreter then comes back to {@link #run}.
     */
    public @Nullable Block next(long rip) {
        if (stop || HostMemory.get32(kickAddress) != 0) {
            return null;
        }
        Block b = code.hit(rip);
        Translator t = loop.translator;
        return b != null && t != null && t.wants(b) ? null : b;
    }

    /** Lets a translator run hot blocks from now on, or none. Between runs. */
    public void translator(@Nullable Translator t) {
        tlb.mirror = t == null ? null : t.mirror();
        loop.translator = t;
    }

    /** Whether hot blocks become machine code, or may. */
    public boolean translates() {
        return loop.translator != null;
    }

    /** Gives back what it holds outside the heap; it runs no more. */
    public void close() {
        Translator t = loop.translator;
        if (t != null) {
            t.close();
            translator(null);
        }
    }

    /** rip of the instruction that makes the call: for the {@link Hypervisor}, in calls that a guest's data access makes. */
    public long runningRip() {
        return loop.runningRip();
    }

    /** For a translator: what changes with every event after which code must be looked at again, and with the mode. */
    public long generation() {
        return generation;
    }

    /** #DB with the given DR6 bits, or the hypervisor's exit for it. */
    public int raiseDebug(long dr6Bits) {
        return loop.raiseDebug(dr6Bits, false);
    }

    /** Takes the debug traps in {@link DebugState#pending}, as {@link #raiseDebug}. */
    public int raisePendingDebug() {
        modeChanged();
        return loop.raisePending();
    }

    /**
     * Goes on with the INS that rip points at after its exit: stores up to {@code items} items of {@code data}, {@link IoExit#size} bytes
     * each, while RCX (under REP) is not zero; RDI and RCX follow, and rip moves on when the instruction is done.
     *
     * @return {@link CpuExit#NONE}, or the exit that a store met, with registers as far as they got
     */
    public int completeIns(byte[] data, int items) {
        modeChanged();
        return loop.completeIns(data, items);
    }

    /**
     * Collects up to {@code maxItems} items of the OUTS that rip points at, {@link IoExit#size} bytes each; RSI and RCX follow, and rip
     * moves on when the instruction is done.
     *
     * @return how many items lie in {@code into}, or the complement of a {@link CpuExit} code when a load met an exit or a fault
     *     before the first ({@link CpuExit#NONE}: a fault was delivered)
     */
    public int gatherOuts(byte[] into, int maxItems) {
        modeChanged();
        return loop.gatherOuts(into, maxItems);
    }

    /**
     * Delivers an event before the next instruction, as VMRUN's event injection does. No intercept of it is looked at, but those of faults on
     * the way are. An NMI blocks no others by being injected: who has taken one from outside says so in {@link CpuState#nmiBlocked}.
     *
     * @param type {@link SvmExit#EVENT_INTR} and its like
     * @param vector 0..255
     * @param instructionLength of {@link SvmExit#EVENT_SOFTWARE}, and of INT3's and INTO's exceptions: from rip to the address that is pushed
     * @return {@link CpuExit#NONE}, or {@link CpuExit#SHUTDOWN}, or an exit of the memory that delivery needs (the event must then be
     *     injected again), or {@link CpuExit#INTERCEPT}
     */
    public int inject(int type, int vector, boolean hasErrorCode, int errorCode, int instructionLength) {
        modeChanged();
        loop.executing = false;
        int cpl = s.cpl;
        return loop.counted(events.inject(type, vector, hasErrorCode, errorCode, instructionLength), cpl);
    }
}
