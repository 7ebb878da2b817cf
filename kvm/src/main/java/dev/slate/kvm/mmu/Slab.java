package dev.slate.kvm.mmu;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.host.HostServices;
import java.util.Arrays;

/**
 * Native objects of one size, carved from larger pieces of host memory and counted ({@code struct kmem_cache}). An object handed out
 * is zero.
 *
 * <p>Thread-safe. Taken in batches by {@link MemoryCache}, so that no fault takes the lock.
 */
public final class Slab implements AutoCloseable {
    /** Bytes of a page-table page. */
    public static final int PAGE = 4096;

    private static final int PIECE_BYTES = 512 << 10;

    private final HostServices host;
    private final int objectBytes;
    private final int pieceObjects;
    private final int alignment;
    /** Each piece begins with a page that holds a word for each of its objects ({@link #owner}). */
    private final boolean owned;

    private long[] pieces = new long[8];
    private int pieceCount;
    private long[] free = {};
    private int freeCount;

    /**
     * @param objectBytes a multiple of 8, at most 4096
     * @param alignment a power of two; objects are aligned so when their size is a multiple of it
     */
    public Slab(HostServices host, int objectBytes, int alignment) {
        this(host, objectBytes, alignment, false);
    }

    private Slab(HostServices host, int objectBytes, int alignment, boolean owned) {
        this.host = host;
        this.owned = owned;
        this.objectBytes = objectBytes;
        this.alignment = alignment;
        this.pieceObjects = PIECE_BYTES / objectBytes - (owned ? 1 : 0);
    }

    /** A slab of page-table pages. */
    public static Slab ofPages(HostServices host) {
        return new Slab(host, PAGE, PAGE);
    }

    /** A slab of page-table pages that know whose they are: {@link #owner}. */
    public static Slab ofOwnedPages(HostServices host) {
        return new Slab(host, PAGE, PIECE_BYTES, true);
    }

    /** The word kept with a page of {@link #ofOwnedPages}, for any address on it ({@code page_private} of its {@code struct page}). */
    public static long owner(long address) {
        return HostMemory.get64(ownerWord(address));
    }

    /** Sets the word kept with a page. */
    public static void owner(long address, long owner) {
        HostMemory.put64(ownerWord(address), owner);
    }

    private static long ownerWord(long address) {
        return (address & -PIECE_BYTES) + (address >>> 9 & (PIECE_BYTES / PAGE - 1) * Long.BYTES);
    }

    /** Bytes of an object. */
    public int objectBytes() {
        return objectBytes;
    }

    /** Fills {@code into[from..to)}; false when the host has no more memory, and then nothing was taken. */
    synchronized boolean take(long[] into, int from, int to) {
        int want = to - from;
        while (freeCount < want) {
            if (!grow()) {
                return false;
            }
        }
        freeCount -= want;
        System.arraycopy(free, freeCount, into, from, want);
        return true;
    }

    /** One object, or 0 when the host has no more memory. */
    public synchronized long take() {
        return freeCount > 0 || grow() ? free[--freeCount] : 0;
    }

    /** Takes back an object that nobody can reach any more; it is zeroed here. */
    public void give(long object) {
        HostMemory.fill(object, objectBytes, 0);
        giveZeroed(object);
    }

    /** Takes back an object that is zero. */
    synchronized void giveZeroed(long object) {
        free[freeCount++] = object;
    }

    private boolean grow() {
        long bytes = pieceBytes();
        long piece = host.allocate(bytes, Math.max(alignment, PAGE));
        if (piece == 0) {
            return false;
        }
        if (pieceCount == pieces.length) {
            pieces = Arrays.copyOf(pieces, pieceCount * 2);
        }
        pieces[pieceCount++] = piece;
        // The free list can hold every object there is.
        if (free.length < pieceCount * pieceObjects) {
            free = Arrays.copyOf(free, Math.max(pieceCount * pieceObjects, free.length * 2));
        }
        for (int i = pieceObjects; --i >= 0; ) {
            free[freeCount++] = piece + (long) (owned ? i + 1 : i) * objectBytes;
        }
        return true;
    }

    private long pieceBytes() {
        return owned ? PIECE_BYTES : (long) pieceObjects * objectBytes;
    }

    /** Objects handed out and not given back: those in use and those that memory caches hold. */
    public synchronized long used() {
        return (long) pieceCount * pieceObjects - freeCount;
    }

    /** Bytes taken from the host. */
    public synchronized long bytes() {
        return pieceCount * pieceBytes();
    }

    /** Gives everything back to the host, used or not. */
    @Override
    public synchronized void close() {
        for (int i = 0; i < pieceCount; i++) {
            host.free(pieces[i], pieceBytes());
        }
        pieceCount = 0;
        freeCount = 0;
    }
}
