package dev.slate.cpu.decode;

import dev.slate.cpu.mem.HostMemory;
import org.jspecify.annotations.Nullable;

/**
 * A run of decoded instructions: flat, immutable, within one guest page, ending at the first instruction that may change the
 * instruction flow, the mode or the address space, or that may exit.
 *
 * <p>Blocks are found by (hva of the first byte, decode mode). The mutable fields are the jump cache's: at which rip, and in
 * which generation of the TLB and of the code, this block was last proved to be what rip points at. A block belongs to one
 * processor, so they need no synchronisation.
 */
public final class Block {
    /** {@link Insn#WORDS} longs per instruction. */
    public final long[] code;
    /** Number of instructions, at least 1. */
    public final int count;
    /** Length in bytes of all instructions. */
    public final int byteLength;
    /** Host virtual address of the first byte; 0 when the block was decoded from the fetch buffer (it crosses a page). */
    public final long hva;
    /** Decode mode, {@link Mode}. */
    public final int mode;
    /** The bytes as decoded, packed little-endian, zero-padded to whole longs: what a re-check compares (docs/decisions/0023). */
    public final long[] bytes;

    /** The rip at which this block was last entered, or for which it was made. */
    public long rip;
    /** The generation in which (rip, hva) was last proved; see {@code Cpu}. */
    public long generation;
    /** The code epoch in which the bytes were last seen to be those in memory; see {@code CodeCache}. */
    public long epoch;

    /** How often it was entered without having been translated. */
    public int heat;
    /** What a translator has made of it. */
    public @Nullable Object translation;

    /** What a decoder has made. */
    public Block(long[] code, int count, int byteLength, long hva, int mode, long[] bytes) {
        this.code = code;
        this.count = count;
        this.byteLength = byteLength;
        this.hva = hva;
        this.mode = mode;
        this.bytes = bytes;
    }

    /** Of an instruction that crosses to the next page: the part of it that stands at {@code at}, from byte {@code from} to {@code to}; bytes alone. */
    public Block part(int from, int to, long at) {
        long[] some = new long[to - from + 7 >>> 3];
        for (int i = from; i < to; i++) {
            long b = bytes[i >>> 3] >>> 8 * (i & 7) & 0xff;
            some[i - from >>> 3] |= b << 8 * (i - from & 7);
        }
        return new Block(code, 0, to - from, at, mode, some);
    }

    /** Of an instruction that crosses to the next page: whether it does so at host address {@code at}, as far as this page tells. */
    public boolean crosses(long at) {
        int here = 4096 - ((int) at & 4096 - 1);
        return here < byteLength && agrees(at, 0, here);
    }

    private boolean agrees(long at, int from, int to) {
        for (int i = from; i < to; i++) {
            if (HostMemory.get8(at + i) != (int) (bytes[i >>> 3] >>> 8 * (i & 7) & 0xff)) {
                return false;
            }
        }
        return true;
    }

    /** Whether memory still holds the bytes that the block was decoded from. */
    public boolean isCurrent() {
        return isAt(hva);
    }

    /** Whether they stand at a host address. */
    public boolean isAt(long at) {
        int whole = byteLength >>> 3;
        for (int i = 0; i < whole; i++) {
            if (HostMemory.get64(at + 8L * i) != bytes[i]) {
                return false;
            }
        }
        int rest = byteLength & 7;
        if (rest == 0) {
            return true;
        }
        long tail = at + 8L * whole;
        if ((tail & 4096 - 1) <= 4096 - 8) {
            // Every KVM_RUN passes here, so one load and a mask; but not over a page's end, where nothing may be.
            return ((HostMemory.get64(tail) ^ bytes[whole]) & (1L << 8 * rest) - 1) == 0;
        }
        return agrees(at, whole * 8, byteLength);
    }
}
