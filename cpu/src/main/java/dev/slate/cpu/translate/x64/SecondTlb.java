package dev.slate.cpu.translate.x64;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;

/**
 * What the state block's TLB has no room for: a larger one behind it, which its misses are looked up in without leaving the code
 * ({@link TlbStubs#second}). Direct-mapped, for all modes of both worlds; whatever is here was filled into the state block, too, and is
 * dropped with it. Of some dozens of pages that a program uses all the time two have one place now and then, wherever they lie: so that not each access
 * to them leaves, the one that another took the place of is kept among the victims.
 *
 * <p>An entry is two longs: the page's linear address with the number of the state block's table and {@link #WRITABLE} below, and the host's
 * address of the page.
 */
final class SecondTlb {
    /** Pages; a power of two. */
    static final int ENTRIES = 16384;

    /** Places for victims, behind these; a power of two. */
    static final int VICTIMS = 2048;

    static final int ENTRY = 16;
    static final int HOST = 8;
    /** Bit of an entry's key: stores may use it. All may be read. */
    static final int WRITABLE = 8;

    static final int BYTES = (ENTRIES + VICTIMS) * ENTRY;

    /** A key that no access has. */
    private static final long NONE = 16;

    private static final int WORDS = (ENTRIES + VICTIMS) / 64;

    private final Scratch memory = new Scratch(BYTES);
    final long address = memory.hva();

    /** Bit n: entry n is filled; of a global page. Bit n of {@link #words}: word n has a bit. */
    private final long[] used = new long[WORDS];

    private final long[] global = new long[WORDS];
    private final long[] words = new long[WORDS + 63 >>> 6];

    SecondTlb() {
        for (int n = 0; n < ENTRIES + VICTIMS; n++) {
            HostMemory.put64(address + (long) n * ENTRY, NONE);
        }
    }

    private static int number(long la) {
        return (int) (la >>> 12) & ENTRIES - 1;
    }

    /** The victim's place for all pages with entry {@code n}. */
    private static int victim(int n) {
        return ENTRIES + (n & VICTIMS - 1);
    }

    private long entry(int n) {
        return address + (long) n * ENTRY;
    }

    /** Enters a page that may be read. */
    void fill(int table, long la, long hva, boolean write, boolean isGlobal) {
        int n = number(la);
        long key = la & -4096L | table;
        long e = entry(n);
        long other = HostMemory.get64(e);
        if (other != NONE && (other & ~(long) WRITABLE) != key) {
            put(victim(n), other, HostMemory.get64(e + HOST), (global[n >>> 6] >>> n & 1) != 0);
        }
        put(n, write ? key | WRITABLE : key, hva & -4096L, isGlobal);
    }

    private void put(int n, long key, long host, boolean isGlobal) {
        int w = n >>> 6;
        used[w] |= 1L << n;
        words[w >>> 6] |= 1L << w;
        global[w] = global[w] & ~(1L << n) | (isGlobal ? 1L << n : 0);
        HostMemory.put64(entry(n), key);
        HostMemory.put64(entry(n) + HOST, host);
    }

    /** The page of {@code la}, in every mode, and whatever else is in its place. */
    void drop(long la) {
        int n = number(la);
        drop(n);
        drop(victim(n));
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
                long e = entry(w << 6 | Long.numberOfTrailingZeros(bits));
                if (HostMemory.get64(e + HOST) == hvaPage) {
                    HostMemory.put64(e, HostMemory.get64(e) & ~(long) WRITABLE);
                }
            }
        }
    }
}
