package dev.slate.cpu.translate.x64;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;

/**
 * What the state block's TLB has no room for: a larger one behind it, which its misses are looked up in without leaving the code
 * ({@link Stubs#second}). Direct-mapped, for all modes of both worlds; whatever is here was filled into the state block, too, and is
 * dropped with it.
 *
 * <p>An entry is two longs: the page's linear address with the number of the state block's table and {@link #WRITABLE} below, and the host's
 * address of the page.
 */
final class SecondTlb {
    /** Pages; a power of two. */
    static final int ENTRIES = 16384;

    static final int ENTRY = 16;
    static final int HOST = 8;
    /** Bit of an entry's key: stores may use it. All may be read. */
    static final int WRITABLE = 8;

    static final int BYTES = ENTRIES * ENTRY;

    /** A key that no access has. */
    private static final long NONE = 16;

    private static final int WORDS = ENTRIES / 64;

    private final Scratch memory = new Scratch(BYTES);
    final long address = memory.hva();

    /** Bit n: entry n is filled; of a global page. Bit n of {@link #words}: word n has a bit. */
    private final long[] used = new long[WORDS];

    private final long[] global = new long[WORDS];
    private final long[] words = new long[WORDS / 64];

    SecondTlb() {
        for (int n = 0; n < ENTRIES; n++) {
            HostMemory.put64(address + (long) n * ENTRY, NONE);
        }
    }

    private static int number(long la) {
        return (int) (la >>> 12) & ENTRIES - 1;
    }

    /** Enters a page that may be read. */
    void fill(int table, long la, long hva, boolean write, boolean isGlobal) {
        int n = number(la);
        int w = n >>> 6;
        used[w] |= 1L << n;
        words[w >>> 6] |= 1L << w;
        global[w] = global[w] & ~(1L << n) | (isGlobal ? 1L << n : 0);
        long e = address + (long) n * ENTRY;
        HostMemory.put64(e, la & -4096L | table | (write ? WRITABLE : 0));
        HostMemory.put64(e + HOST, hva & -4096L);
    }

    /** The page of {@code la}, in every mode, and whatever else is in its place. */
    void drop(long la) {
        drop(number(la));
    }

    private void drop(int n) {
        HostMemory.put64(address + (long) n * ENTRY, NONE);
        used[n >>> 6] &= ~(1L << n);
    }

    void clear(boolean globalToo) {
        for (int k = 0; k < words.length; k++) {
            for (long some = words[k]; some != 0; some &= some - 1) {
                int w = k << 6 | Long.numberOfTrailingZeros(some);
                for (long bits = globalToo ? used[w] : used[w] & ~global[w]; bits != 0; bits &= bits - 1) {
                    drop(w << 6 | Long.numberOfTrailingZeros(bits));
                }
                if (used[w] == 0) {
                    words[k] &= ~(1L << w);
                }
            }
        }
    }

    /** Takes the right to write from every entry for a host page. */
    void protect(long hvaPage) {
        for (int w = 0; w < WORDS; w++) {
            for (long bits = used[w]; bits != 0; bits &= bits - 1) {
                long e = address + (long) (w << 6 | Long.numberOfTrailingZeros(bits)) * ENTRY;
                if (HostMemory.get64(e + HOST) == hvaPage) {
                    HostMemory.put64(e, HostMemory.get64(e) & ~(long) WRITABLE);
                }
            }
        }
    }
}
