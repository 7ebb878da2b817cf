package dev.slate.cpu.translate.x64;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;

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
    /** Status flags: what LAHF gives in bits 8-15, OF in bit 0. */
    static final int FLAGS = 8;
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
    /** Which translations and mode the jump cache's entries must have been made under. */
    static final int EPOCH = 40;

    static final int FS_BASE = 48;
    static final int GS_BASE = 56;
    /** For a sequence that runs out of scratch registers. */
    static final int SPARE = 64;
    /** Where to go on, at an entry. */
    static final int TARGET = 72;

    static final int HOST_MXCSR = 80;
    static final int GUEST_MXCSR = 84;
    /** Not zero at an entry: load the vector registers first. */
    static final int WANT_VECTORS = 88;

    /** Vector registers, 16 times 32 bytes. */
    static final int YMM = 128;

    static final int JUMPS = 4096 - BIAS;
    static final int JUMP_COUNT = 2048;
    /** rip, code address, epoch, unused. */
    static final int JUMP_BYTES = 32;

    static final int TLB = JUMPS + JUMP_COUNT * JUMP_BYTES;
    static final int TLB_ENTRIES = 1024;
    /** Page address for reads, page address for writes, host page address, unused. */
    static final int TLB_ENTRY = 32;

    static final int TLB_BYTES = TLB_ENTRIES * TLB_ENTRY;
    /** Kernel, user, kernel under SMAP: {@code Tlb}'s mode bits. */
    static final int TLB_MODES = 3;

    private static final int BYTES = 4096 + JUMP_COUNT * JUMP_BYTES + TLB_MODES * TLB_BYTES;

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

    StateBlock(CpuState s, long kickAddress) {
        this.s = s;
        put64(KICK, kickAddress);
        put32(VECTORS, VECTORS_IN_STATE);
        for (int mode = 0; mode < TLB_MODES; mode++) {
            clearTlb(mode);
        }
        clearJumps();
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

    // ------------------------------------------------------------------ registers and flags

    /** General registers, flags and segment bases from the processor's state. */
    void take() {
        long[] gpr = s.gpr;
        for (int i = 0; i < 16; i++) {
            HostMemory.put64(base + GPR + 8 * i, gpr[i]);
        }
        long f = s.rflags();
        put32(FLAGS, (int) (f & 0xff) << 8 | (int) (f >>> 11 & 1));
        put64(FS_BASE, s.segBase[CpuState.FS]);
        put64(GS_BASE, s.segBase[CpuState.GS]);
    }

    /** General registers and flags back. */
    void give() {
        long[] gpr = s.gpr;
        for (int i = 0; i < 16; i++) {
            gpr[i] = HostMemory.get64(base + GPR + 8 * i);
        }
        gpr[Insn.NO_REG] = 0;
        int f = get32(FLAGS);
        s.setStatusFlags(f >>> 8 & 0xff | (f & 1) << 11);
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

    static int tlb(int mode) {
        return TLB + mode * TLB_BYTES;
    }

    private long entry(int mode, long la) {
        return base + tlb(mode) + ((la >>> 12 & TLB_ENTRIES - 1) * TLB_ENTRY);
    }

    /** A page that no address of entry {@code i} lies on. */
    private static long never(int i) {
        return (long) (i ^ 1) << 12;
    }

    /** Enters host page {@code hva} for the page of {@code la}. */
    void fill(int mode, long la, long hva, boolean read, boolean write) {
        long e = entry(mode, la);
        long page = la & -4096L;
        long none = never((int) (la >>> 12) & TLB_ENTRIES - 1);
        HostMemory.put64(e, read ? page : none);
        HostMemory.put64(e + 8, write ? page : none);
        HostMemory.put64(e + 16, hva & -4096L);
    }

    void clearTlb(int mode) {
        long e = base + tlb(mode);
        for (int i = 0; i < TLB_ENTRIES; i++) {
            HostMemory.put64(e, never(i));
            HostMemory.put64(e + 8, never(i));
            e += TLB_ENTRY;
        }
    }

    void clearTlbPage(int mode, long la) {
        long e = entry(mode, la);
        long none = never((int) (la >>> 12) & TLB_ENTRIES - 1);
        HostMemory.put64(e, none);
        HostMemory.put64(e + 8, none);
    }

    /** Takes the right to write from every entry for a host page. */
    void protect(int mode, long hvaPage) {
        long e = base + tlb(mode);
        for (int i = 0; i < TLB_ENTRIES; i++) {
            if (HostMemory.get64(e + 16) == hvaPage) {
                HostMemory.put64(e + 8, never(i));
            }
            e += TLB_ENTRY;
        }
    }

    // ------------------------------------------------------------------ jump cache

    /** Offset from {@link #JUMPS} of the entry for a rip; translated code computes the same. */
    static int jump(long rip) {
        int low = (int) rip;
        return ((low >>> 12 ^ low) & JUMP_COUNT - 1) * JUMP_BYTES;
    }

    void enterJump(long rip, long code, long epoch) {
        long e = base + JUMPS + jump(rip);
        HostMemory.put64(e, rip);
        HostMemory.put64(e + 8, code);
        HostMemory.put64(e + 16, epoch);
    }

    void clearJumps() {
        HostMemory.fill(base + JUMPS, (long) JUMP_COUNT * JUMP_BYTES, 0xff);
    }
}
