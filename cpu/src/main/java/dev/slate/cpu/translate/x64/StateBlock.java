package dev.slate.cpu.translate.x64;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.Hypervisor;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;
import dev.slate.cpu.mmu.Tlb;

/**
 * What translated code reaches through R15: the guest's state while it runs, why it left, its TLB and its jump cache. Offsets are
 * from R15, which points 128 bytes into the block, so that what code touches most has a displacement of one byte.
 *
 * <p>One processor's; of its thread only, but for the kick word that {@link #KICK} points at.
 */
final class StateBlock {
    private static final int BIAS = 128;

    /** General registers, 16 longs. */
    static final int GPR = -BIAS;

    /** The guest's next instruction, when code leaves. */
    static final int RIP = 0;
    /**
     * Status flags: what LAHF gives in bits 8-15, OF in bit 0; the upper half means nothing. Stored and loaded in 32 bits always: many
     * processors hand a store of 32 or 64 bits on to a load in no time, and one of 16 bits, or of other bits than are loaded, in many cycles.
     */
    static final int FLAGS = 8;

    /** CF's bit there. */
    static final int CARRY_BIT = 8;
    /** Number of the site that left. */
    static final int SITE = 12;
    /** Why: an {@link Exits} code. */
    static final int EXIT = 16;
    /** {@link #VECTORS_LOADED} or another of those. */
    static final int VECTORS = 20;
    /** Linear address of the access that missed. */
    static final int ADDRESS = 24;
    /** Address of the kick word. */
    static final int KICK = 32;
    /** Generation and mode: a page may be entered once it has been proved under them. */
    static final int EPOCH = 40;

    static final int FS_BASE = 48;
    static final int GS_BASE = 56;
    /** For a sequence that runs out of scratch registers. */
    static final int SPARE = 64;
    /** Where to go on, at an entry. */
    static final int TARGET = 72;

    /** Linear address of the page of the code at hand, if that is movable. */
    static final int PLACE = 80;

    static final int HOST_MXCSR = 776;
    static final int GUEST_MXCSR = 780;
    /** Not zero at an entry: load the vector registers first. */
    static final int WANT_VECTORS = 88;
    /** {@link CpuState#flagsSystem}. */
    static final int SYSTEM = 92;
    /** {@code Tlb.codeStamp}: another value whenever the mapping of a page may have changed; and of a global page. */
    static final int MAPPINGS = 104;

    static final int GLOBAL_MAPPINGS = 112;
    /** Of a string instruction under way: the host's destination, guest RDI and RSI at its start, items. */
    static final int STRING_TO = 120;

    static final int STRING_RDI = 640;
    static final int STRING_RSI = 648;
    static final int STRING_COUNT = 656;
    /** Flags whose change by POPF is the interpreter's. */
    static final int POPF_ASKS = 664;
    /** {@link CpuState#interruptShadow}, while it holds. */
    static final int SHADOW = 668;
    /** Address of a {@link SecondTlb}; 0: there is none. */
    static final int SECOND = 672;
    /** {@link CpuState#cr2}. */
    static final int CR2 = 728;

    /** The x87's control word, which code reads. */
    static final int FCW = 736;

    /** How far behind R15 the {@link JumpCache} is, and one less than its number of entries. */
    static final int JUMPS = 744;

    static final int JUMP_MASK = 752;

    /** What the guest's time-stamp counter has more than the host's, and whether RDTSC is the interpreter's all the same. */
    static final int TSC_OFFSET = 760;

    static final int TSC_ASKS = 768;
    /** {@link CpuState#tscAux}. */
    static final int TSC_AUX = 800;

    /** So often any links that were set for another place are gone around before the next one met is set anew. */
    static final int PATIENCE = 772;
    /** How often a rip has taken another's place in the {@link JumpCache}. */
    static final int CONFLICTS = 784;

    /** Where {@link Returns} begin: the host's stack pointer while there are none. */
    static final int RETURNS = 792;

    /** Address of the kick word that strings look at, which {@link Lockstep} leaves the processor's. */
    static final int STRING_KICK = 680;

    static final int KERNEL_GS_BASE = 688;
    /** Where SYSCALL goes. */
    static final int LSTAR = 696;
    /** The epoch's low byte in the kernel that SYSCALL enters, and in the user's code that SYSRET does; 0: they are the interpreter's. */
    static final int KERNEL_MODE = 704;

    static final int USER_MODE = 708;
    /** Flags that SYSCALL keeps. */
    static final int SYSCALL_KEEPS = 712;
    /** Flags in R11 for which SYSRET is the interpreter's. */
    static final int SYSRET_ASKS = 716;
    /** {@link #CALLED} and {@link #RETURNED}: what code, segments and CPL are to follow. */
    static final int TRANSFERS = 720;
    /** A SYSCALL was executed, after which there was none but a SYSRET, if any. */
    static final int CALLED = 1;
    /** A SYSRET, last. */
    static final int RETURNED = 2;
    /** The host's stack pointer behind the entry, which all ways out go by, from however deep. */
    static final int HOST_RSP = 96;

    /** Vector registers, 16 times 32 bytes. */
    static final int YMM = 128;

    /** A record ({@link PageRecords}) that no page is proved by. */
    static final int NO_RECORD = 1024;

    /** By table, bit n: the TLB's entry n may have an address. Code that fills an entry sets it, too. */
    private static final int USED = 3072;

    private static final int USED_BYTES = 128;

    private static final int TLB = 4096 - BIAS;
    static final int TLB_ENTRIES = 1024;
    /** Page address for reads, for writes, host page address, unused. */
    static final int TLB_ENTRY = 32;

    static final int TLB_HOST = 16;

    static final int TLB_BYTES = TLB_ENTRIES * TLB_ENTRY;
    /** Kernel, user, kernel under SMAP: {@code Tlb}'s mode bits. */
    private static final int TLB_MODES = 3;

    /** A table for each mode of each world. */
    static final int TABLES = TLB_MODES * Tlb.WORLDS;

    /** Where pages of code are found: by a hash of the page's linear address that and its mode in one word, and a record. */
    static final int PLACES = TLB + TABLES * TLB_BYTES;

    static final int PLACE_COUNT = 1024;
    static final int PLACE_SHIFT = 4;
    static final int PLACE_RECORD = 8;
    /** No page's address and mode. */
    private static final long NO_PLACE = X64Translator.MODES;

    static final int BYTES = 4096 + TABLES * TLB_BYTES + (PLACE_COUNT << PLACE_SHIFT);

    /** The guest's vector registers are in the host's. */
    static final int VECTORS_LOADED = 0;
    /** They are in this block. */
    static final int VECTORS_HERE = 1;
    /** They are in {@link CpuState#xmm}, and what stands here is old. */
    static final int VECTORS_IN_STATE = 2;

    private final CpuState s;
    private final Scratch memory = new Scratch(BYTES + 4096);
    /** What R15 holds less the bias. */
    final long address = memory.hva() + 4095 & -4096L;

    private final long base = address + BIAS;

    /** By table, bit n: the TLB's entry n is of a global page. */
    private final long[][] global = new long[TABLES][TLB_ENTRIES / 64];

    StateBlock(CpuState s, long kickAddress) {
        this.s = s;
        put64(KICK, kickAddress);
        put64(STRING_KICK, kickAddress);
        put64(NO_RECORD + PageRecords.LINEAR, PageRecords.NOWHERE);
        put32(NO_RECORD + PageRecords.MODE, PageRecords.NO_MODE);
        put32(VECTORS, VECTORS_IN_STATE);
        forgetPlaces();
        for (int table = 0; table < TABLES; table++) {
            for (int n = 0; n < TLB_ENTRIES; n++) {
                drop(table, n);
            }
        }
    }

    /** What R15 holds. */
    long base() {
        return base;
    }

    /** Address of {@link #NO_RECORD}. */
    long noRecord() {
        return base + NO_RECORD;
    }

    long get64(int offset) {
        return HostMemory.get64(base + offset);
    }

    void put64(int offset, long v) {
        HostMemory.put64(base + offset, v);
    }

    int get32(int offset) {
        return HostMemory.get32(base + offset);
    }

    void put32(int offset, int v) {
        HostMemory.put32(base + offset, v);
    }

    // ------------------------------------------------------------------ pages of code

    /** A page of code is found by its linear address and mode, in one word ({@link Stubs}). */
    void place(long key, long record) {
        long page = key >>> 12;
        long entry = base + PLACES + (((page ^ page >>> 10) & PLACE_COUNT - 1) << PLACE_SHIFT);
        HostMemory.put64(entry, key);
        HostMemory.put64(entry + PLACE_RECORD, record);
    }

    /** None is. */
    void forgetPlaces() {
        for (int i = 0; i < PLACE_COUNT; i++) {
            put64(PLACES + (i << PLACE_SHIFT), NO_PLACE);
        }
    }

    // ------------------------------------------------------------------ registers and flags

    /**
     * General registers, flags and segment bases from the processor's state.
     *
     * @param irqWindow whether it must be noticed that interrupts are let in
     * @param mode of the code that goes on
     */
    void take(boolean irqWindow, int mode) {
        takeTransfers(irqWindow, mode);
        int asks = CpuState.TF | CpuState.DF | CpuState.NT | CpuState.AC | CpuState.ID | CpuState.IOPL;
        put32(POPF_ASKS, irqWindow ? asks | CpuState.IF : asks);
        long[] gpr = s.gpr;
        for (int i = 0; i < 16; i++) {
            HostMemory.put64(base + GPR + 8 * i, gpr[i]);
        }
        long f = s.rflags();
        put32(FLAGS, (int) (f & 0xff) << 8 | (int) (f >>> 11 & 1));
        put32(SYSTEM, s.flagsSystem);
        put32(SHADOW, 0);
        put64(FS_BASE, s.segBase[CpuState.FS]);
        put64(GS_BASE, s.segBase[CpuState.GS]);
        put64(CR2, s.cr2);
        put32(FCW, s.fcw);
    }

    /** What RDTSC goes by, {@link Hypervisor#tscOffset}. */
    void takeCounter(long offset) {
        put64(TSC_OFFSET, offset);
        put32(TSC_ASKS, offset == Hypervisor.NO_TSC_OFFSET ? 1 : 0);
        put32(TSC_AUX, (int) s.tscAux);
    }

    /** What SYSCALL, SYSRET and SWAPGS go by. */
    private void takeTransfers(boolean irqWindow, int mode) {
        put64(KERNEL_GS_BASE, s.kernelGsBase);
        put64(LSTAR, s.lstar);
        put32(SYSCALL_KEEPS, (int) ~s.sfmask);
        put32(SYSRET_ASKS, irqWindow ? SystemTransfers.RETURN_ASKS | CpuState.IF : SystemTransfers.RETURN_ASKS);
        put32(TRANSFERS, 0);
        int kernel = 0;
        int user = 0;
        if ((s.efer & CpuState.EFER_SCE) != 0) {
            int common = mode & ~(Tlb.USER | Tlb.SMAP | Shapes.RING0);
            user = common | Tlb.USER | X64Translator.MODES;
            boolean smap = (s.cr4 & CpuState.CR4_SMAP) != 0;
            if (!smap || (s.sfmask & CpuState.AC) != 0) {
                // Otherwise AC decides what mode the kernel begins in.
                kernel = common | Shapes.RING0 | (smap ? Tlb.SMAP : 0);
            }
        }
        put32(KERNEL_MODE, kernel);
        put32(USER_MODE, user);
    }

    /**
     * Lets segments and CPL of the processor's state follow the SYSCALLs and SYSRETs that code has executed.
     *
     * @return false: there were none
     */
    boolean giveTransfers(boolean intel) {
        int transfers = get32(TRANSFERS);
        if (transfers == 0) {
            return false;
        }
        put32(TRANSFERS, 0);
        if ((transfers & CALLED) != 0) {
            s.segmentsBySyscall(true);
        }
        if ((transfers & RETURNED) != 0) {
            s.segmentsBySysret(true, intel);
        }
        s.flagsSystem = get32(SYSTEM);
        return true;
    }

    /** General registers, flags and GS's bases back. */
    void give() {
        s.segBase[CpuState.GS] = get64(GS_BASE);
        s.kernelGsBase = get64(KERNEL_GS_BASE);
        long[] gpr = s.gpr;
        for (int i = 0; i < 16; i++) {
            gpr[i] = HostMemory.get64(base + GPR + 8 * i);
        }
        gpr[Insn.NO_REG] = 0;
        int f = get32(FLAGS);
        s.setStatusFlags(f >>> 8 & 0xff | (f & 1) << 11);
        s.flagsSystem = get32(SYSTEM);
        s.interruptShadow = get32(SHADOW);
    }

    /** Of an instruction that puts guest RSI away while the host needs the register: puts it back. */
    void unspareRsi() {
        put64(GPR + 8 * CpuState.RSI, get64(SPARE));
    }

    /** A string instruction has been stopped by a fault of the host's: its registers as far as it got. */
    void stopString(int size, boolean moves) {
        long bytes = get64(GPR + 8 * CpuState.RDI) - get64(STRING_TO);
        put64(GPR + 8 * CpuState.RDI, get64(STRING_RDI) + bytes);
        if (moves) {
            put64(GPR + 8 * CpuState.RSI, get64(STRING_RSI) + bytes);
        }
        put64(GPR + 8 * CpuState.RCX, get64(GPR + 8 * CpuState.RCX) - bytes / size);
    }

    /** Makes this block's vector registers and MXCSR the current ones. */
    void takeVectors() {
        if (get32(VECTORS) == VECTORS_IN_STATE) {
            long[] xmm = s.xmm;
            for (int i = 0; i < 64; i++) {
                HostMemory.put64(base + YMM + 8 * i, xmm[i]);
            }
            put32(GUEST_MXCSR, s.mxcsr);
            put32(VECTORS, VECTORS_HERE);
        }
    }

    /** Makes those of the processor's state the current ones. */
    void giveVectors() {
        if (get32(VECTORS) != VECTORS_IN_STATE) {
            long[] xmm = s.xmm;
            for (int i = 0; i < 64; i++) {
                xmm[i] = HostMemory.get64(base + YMM + 8 * i);
            }
            s.mxcsr = get32(GUEST_MXCSR);
            put32(VECTORS, VECTORS_IN_STATE);
        }
    }

    // ------------------------------------------------------------------ TLB

    /** Offset of {@link #USED} for a table. */
    static int used(int table) {
        return USED + table * USED_BYTES;
    }

    private long usedWord(int table, int w) {
        return get64(used(table) + 8 * w);
    }

    private void putUsedWord(int table, int w, long bits) {
        put64(used(table) + 8 * w, bits);
    }

    /** Whether the entry for {@code la} is another page's. */
    boolean isTaken(int table, long la) {
        int n = (int) (la >>> 12) & TLB_ENTRIES - 1;
        long page = HostMemory.get64(entry(table, n));
        return (usedWord(table, n >>> 6) >>> n & 1) != 0 && page != never(n) && page != (la & -4096L);
    }

    /** Offset of the table that code of a page's mode uses. */
    static int tlb(int mode) {
        return offset(table(mode));
    }

    /** Number of that table. */
    static int table(int mode) {
        return table(mode & 3, (mode & Shapes.NESTED) != 0 ? 1 : 0);
    }

    /** Number of a table. @param mode {@code Tlb}'s bits */
    static int table(int mode, int world) {
        return world * TLB_MODES + mode;
    }

    /** Where a table lies. */
    static int offset(int table) {
        return TLB + table * TLB_BYTES;
    }

    private long entry(int table, int n) {
        return base + offset(table) + (long) n * TLB_ENTRY;
    }

    /** A page that no address of entry {@code i} lies on. */
    private static long never(int i) {
        return (long) (i ^ 1) << 12;
    }

    /** Enters host page {@code hva} for the page of {@code la}, for what may use it. */
    void fill(int table, long la, long hva, boolean read, boolean write, boolean isGlobal) {
        int n = (int) (la >>> 12) & TLB_ENTRIES - 1;
        putUsedWord(table, n >>> 6, usedWord(table, n >>> 6) | 1L << n);
        global[table][n >>> 6] = global[table][n >>> 6] & ~(1L << n) | (isGlobal ? 1L << n : 0);
        long e = entry(table, n);
        long page = la & -4096L;
        HostMemory.put64(e, read ? page : never(n));
        HostMemory.put64(e + 8, write ? page : never(n));
        HostMemory.put64(e + TLB_HOST, hva & -4096L);
    }

    private void drop(int table, int n) {
        long e = entry(table, n);
        HostMemory.put64(e, never(n));
        HostMemory.put64(e + 8, never(n));
        putUsedWord(table, n >>> 6, usedWord(table, n >>> 6) & ~(1L << n));
    }

    void clearTlb(int world, boolean globalToo) {
        for (int mode = 0; mode < TLB_MODES; mode++) {
            int table = table(mode, world);
            long[] g = global[table];
            for (int w = 0; w < g.length; w++) {
                long u = usedWord(table, w);
                for (long bits = globalToo ? u : u & ~g[w]; bits != 0; bits &= bits - 1) {
                    drop(table, w << 6 | Long.numberOfTrailingZeros(bits));
                }
            }
        }
    }

    void clearTlbPage(int world, long la) {
        for (int mode = 0; mode < TLB_MODES; mode++) {
            drop(table(mode, world), (int) (la >>> 12) & TLB_ENTRIES - 1);
        }
    }

    /** Takes the right to write from every entry for a host page. */
    void protect(long hvaPage) {
        for (int table = 0; table < TABLES; table++) {
            for (int w = 0; w < TLB_ENTRIES / 64; w++) {
                for (long bits = usedWord(table, w); bits != 0; bits &= bits - 1) {
                    int n = w << 6 | Long.numberOfTrailingZeros(bits);
                    long e = entry(table, n);
                    if (HostMemory.get64(e + TLB_HOST) == hvaPage) {
                        HostMemory.put64(e + 8, never(n));
                    }
                }
            }
        }
    }
}
