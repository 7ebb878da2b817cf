package dev.slate.cpu;

import dev.slate.cpu.decode.Block;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mmu.Tlb;

/**
 * One logical processor with nested paging: give it a state, the root of the nested page tables and a {@link Hypervisor}; it runs
 * until it must exit, as VMRUN does.
 *
 * <p>One thread at a time, except {@link #kickAddress}'s word, which anybody may set.
 */
public final class Cpu {
    public final CpuState s = new CpuState();
    public final Tlb tlb = new Tlb();

    /** The hypervisor above. */
    public final Hypervisor hypervisor;

    /** hva of a 32-bit word; not zero means: leave with {@link CpuExit#INTR} at the next block edge. */
    public final long kickAddress;

    // ---- Exit information, valid after run() has come back ----
    /** Address of the instruction after the exiting one, masked to the mode. */
    public long nextRip;

    public long exitInfo;
    public long exitInfo2;
    public final byte[] exitBytes = new byte[15];
    public int exitByteCount;

    // ---- I/O exits ----
    public int ioPort;
    /** Bytes per item: 1, 2, 4. */
    public int ioSize;
    public boolean ioIn;
    public boolean ioString;
    /** REP INS/OUTS. */
    public boolean ioRep;
    /** OUT: the value. */
    public int ioData;

    /** Answer of {@link Hypervisor#mmioRead}. */
    public long mmioData;

    /** Set by {@link #stopAfterInstruction}: the interpreter leaves after the running instruction. */
    public boolean stop;

    public Cpu(Hypervisor hypervisor, long kickAddress) {
        this.hypervisor = hypervisor;
        this.kickAddress = kickAddress;
    }

    // ------------------------------------------------------------------ linear memory, the guest's view
    // Every method takes a linear address, checks canonicality, paging permissions for the current privilege, breakpoints where
    // enabled, and goes through the TLB. `seg` is only for the fault of a non-canonical address: #SS(0) when it is SS, else #GP(0).
    // They throw GuestFault, or Exit when the hypervisor wants to leave. Nothing is stored before every byte is known to be storable.

    public int load8(int seg, long la) { throw new AssertionError(); }

    public int load16(int seg, long la) { throw new AssertionError(); }

    public int load32(int seg, long la) { throw new AssertionError(); }

    public long load64(int seg, long la) { throw new AssertionError(); }

    public void store8(int seg, long la, int v) { throw new AssertionError(); }

    public void store16(int seg, long la, int v) { throw new AssertionError(); }

    public void store32(int seg, long la, int v) { throw new AssertionError(); }

    public void store64(int seg, long la, long v) { throw new AssertionError(); }

    /** Zero-extended load of 1 << sizeLog2 bytes. */
    public long load(int seg, long la, int sizeLog2) { throw new AssertionError(); }

    public void store(int seg, long la, int sizeLog2, long v) { throw new AssertionError(); }

    /**
     * Loads for a read-modify-write: as load, but with write permission (and D bit) required first, so that the later
     * store cannot fault. Used by non-LOCK RMW forms.
     */
    public long loadForWrite(int seg, long la, int sizeLog2) { throw new AssertionError(); }

    /**
     * Compare-and-set for locked instructions: atomic at any alignment. Callers loop: v = loadForWrite; while (!cas(...)) v = loadForWrite.
     */
    public boolean cas(int seg, long la, int sizeLog2, long expected, long v) { throw new AssertionError(); }

    /** 16-byte loads and stores: two words each through the given array at index (low, high). */
    public void load128(int seg, long la, long[] to, int index) { throw new AssertionError(); }

    public void store128(int seg, long la, long[] from, int index) { throw new AssertionError(); }

    /** CMPXCHG16B's atomic part on an aligned address: true when (lo,hi) was there and was replaced; else the value found is left in wide[0..1]. */
    public boolean cas128(int seg, long la, long lo, long hi, long newLo, long newHi) { throw new AssertionError(); }

    public final long[] wide = new long[2];

    // Supervisor ("system") accesses: descriptor tables, TSS, IDT: privilege 0 whatever CPL is, SMAP ignored.
    public int systemLoad16(long la) { throw new AssertionError(); }

    public int systemLoad32(long la) { throw new AssertionError(); }

    public long systemLoad64(long la) { throw new AssertionError(); }

    public void systemStore8(long la, int v) { throw new AssertionError(); }

    public void systemStore16(long la, int v) { throw new AssertionError(); }

    public void systemStore32(long la, int v) { throw new AssertionError(); }

    public void systemStore64(long la, long v) { throw new AssertionError(); }

    /** Checks that the range could be written at this privilege without writing it (ENTER's last probe, INS before the port is read). */
    public void probeWrite(int seg, long la, int bytes) { throw new AssertionError(); }

    // ------------------------------------------------------------------ segments
    /** Linear address of offset `off` in segment `seg` for an access of `bytes`: base added, limit and type checked outside 64-bit mode. */
    public long linear(int seg, long off, int bytes, boolean write) { throw new AssertionError(); }

    // ------------------------------------------------------------------ events
    /** Throws the processor's reused GuestFault. Never returns; the result type lets callers write `throw fault(...)`. */
    public GuestFault fault(int vector, int errorCode) { throw new AssertionError(); }

    /** To be called by whoever changes CR0, CR3, CR4, EFER, CPL, RFLAGS.AC/VM, CS.L/D or the nested root, after the change: recomputes derived state and flushes what must go. */
    public void modeChanged() { throw new AssertionError(); }

    /** CR3 load: flushes non-global entries (all when PCID/global say so). */
    public void flushTlb(boolean globalToo) { throw new AssertionError(); }

    public void invlpg(long la) { throw new AssertionError(); }

    /** A serializing event: decoded blocks re-check their bytes at their next entry (DESIGN.md point 6). */
    public void serialize() { throw new AssertionError(); }

    public void stopAfterInstruction() {
        stop = true;
    }

    /** Runs until an exit; returns a CpuExit code. */
    public int run() { throw new AssertionError(); }

    /** Runs exactly one instruction (used to complete an MMIO instruction), then returns NONE or its exit. */
    public int runOne() { throw new AssertionError(); }

    /** Event to deliver before the next instruction (exception, external interrupt, NMI); see KVM_SET_VCPU_EVENTS. */
    public void inject(int vector, boolean hasErrorCode, int errorCode, boolean software, int instructionLength) { throw new AssertionError(); }
}
