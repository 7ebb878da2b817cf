package dev.slate.cpu.mmu;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The translation lookaside buffer of one processor: direct-mapped, 4 KiB pages, software-filled, one for each of a few address spaces
 * (PCIDs), of which one is in use. A guest's guest has spaces of its own: it is another world, whose translations the processor keeps while
 * the guest itself runs, as silicon does by ASIDs.
 *
 * <p>An entry is four longs side by side, one cache line for two: the key under which reads, writes and fetches may use it, and what
 * to add to a linear address to get the host's. A key is the linear page number's bits 12..63 with the access mode ({@link #USER},
 * {@link #SMAP}) below; {@link #NEVER} matches nothing. Everything that a fast path must know is in that one compare: permission for
 * the current privilege, presence, that the page is not still clean (guest or nested D bit, dirty log), that no byte of the access
 * lies on the next page. Whatever needs attention is simply not there under that key and takes the slow path.
 *
 * <p>A global translation (SDM 3A 4.10.2.4) stands in the space that filled it, and again in each other of its world that used it: what
 * drops it looks into all of them.
 *
 * <p>Not thread-safe: of its processor's thread only.
 */
public final class Tlb {
    /** Number of entries of a space; a power of two. */
    public static final int ENTRIES = 1024;
    /** Worlds: the guest, and its guest. */
    public static final int WORLDS = 2;
    /** Address spaces that are kept: Linux uses six PCIDs at a time. */
    public static final int SPACES = 8 * WORLDS;

    private static final int WORLD_SHIFT = 12;

    public static final int READ = 0;
    public static final int WRITE = 1;
    public static final int FETCH = 2;
    static final int ADDEND = 3;

    /** Mode bit: the access is made at CPL 3. */
    public static final int USER = 1;
    /** Mode bit: supervisor access with SMAP in force (CR4.SMAP and not RFLAGS.AC). */
    public static final int SMAP = 2;
    /** Mode bit: alignment checking is on, or every access is observed. No entry has it in its key. */
    public static final int CHECKED = 0x80;
    /** Mode bit: the processor's own access, for who observes it. No entry has it in its key. */
    public static final int OWN = 0x40;
    /** Key bit of the write slot: storable, but decoded code lies on the page, so stores take the slow path. */
    public static final int CODE = 0x100;

    // What an entry is filled with: what may use it, and what must be known to drop it.
    /** Reads may use it. */
    public static final int READABLE = 1;
    /** Writes may use it. */
    public static final int WRITABLE = 1 << 1;
    /** Fetches may use it. */
    public static final int FETCHABLE = 1 << 2;
    /** With {@link #WRITABLE}: decoded code lies on the page. */
    public static final int HOLDS_CODE = 1 << 3;
    /** The guest calls the page global, and CR4.PGE is set. */
    public static final int GLOBAL = 1 << 4;
    /** A piece of a guest page of 2 or 4 MiB. */
    public static final int LARGE = 1 << 5;
    /** A piece of a guest page of 1 GiB. */
    public static final int HUGE = 1 << 6;

    static final long NEVER = -1;
    private static final long PAGE_MASK = -4096L;
    private static final int LARGE_SHIFT = 22;
    private static final int HUGE_SHIFT = 30;
    private static final int WORDS = ENTRIES / 64;
    private static final long[] NO_ENTRY = {NEVER, NEVER, NEVER, 0};

    /** The translations of one address space. The arrays are made at the first fill. */
    private static final class Space {
        /** PCID, and above it the world. */
        int id;

        /** Has no other value, of this space or another, since what the space held was last dropped in part. */
        long stamp;
        /** The same, but for pages of which the {@link #mirror} knew no code. */
        long codeStamp;

        long[] entries = NO_ENTRY;
        /** Bit i: entry i was filled since it was last dropped. */
        final long[] used = new long[WORDS];
        /** Bit i of these: entry i, if used, is of a global page; a piece of a large one. */
        final long[] global = new long[WORDS];

        final long[] large = new long[WORDS];

        // The pages, by number, between which all pieces of large ones filled since the last flush lie (unsigned).
        long firstLarge = -1;
        long lastLarge;
        int largeShift = LARGE_SHIFT;

        /** When it was last left, for choosing which space to give up. */
        long left;

        void drop(int n) {
            int i = n << 2;
            entries[i] = NEVER;
            entries[i + WRITE] = NEVER;
            entries[i + FETCH] = NEVER;
            used[n >>> 6] &= ~(1L << n);
        }

        void flush(boolean globalToo) {
            for (int w = 0; w < WORDS; w++) {
                for (long bits = globalToo ? used[w] : used[w] & ~global[w]; bits != 0; bits &= bits - 1) {
                    drop(w << 6 | Long.numberOfTrailingZeros(bits));
                }
            }
            if (globalToo) {
                firstLarge = -1;
                lastLarge = 0;
                largeShift = LARGE_SHIFT;
            }
        }

        void flushPage(long la, boolean globalOnly) {
            int n = number(la);
            long droppable = globalOnly ? used[n >>> 6] & global[n >>> 6] : used[n >>> 6];
            if ((droppable & 1L << n) != 0 && (address(n) ^ la) >>> 12 == 0) {
                drop(n);
            }
            if (!mayBeLarge(la)) {
                return;
            }
            for (int w = 0; w < WORDS; w++) {
                long bits = used[w] & large[w] & (globalOnly ? global[w] : -1L);
                for (; bits != 0; bits &= bits - 1) {
                    int at = w << 6 | Long.numberOfTrailingZeros(bits);
                    if ((address(at) ^ la) >>> largeShift == 0) {
                        drop(at);
                    }
                }
            }
        }

        /** Whether {@code la} may lie on a large page that pieces were filled of. */
        boolean mayBeLarge(long la) {
            long page = la >>> 12;
            return Long.compareUnsigned(page, firstLarge) >= 0 && Long.compareUnsigned(page, lastLarge) <= 0;
        }

        /** A linear address on the page of an entry in use, from whichever of its keys is there. */
        long address(int n) {
            int i = n << 2;
            long key = entries[i] != NEVER
                    ? entries[i]
                    : entries[i + FETCH] != NEVER ? entries[i + FETCH] : entries[i + WRITE];
            return key & PAGE_MASK;
        }

        void noteLarge(long la, int shift) {
            largeShift = Math.max(largeShift, shift);
            long first = la >>> shift << shift - 12;
            long last = first + (1L << shift - 12) - 1;
            if (Long.compareUnsigned(first, firstLarge) < 0) {
                firstLarge = first;
            }
            if (Long.compareUnsigned(last, lastLarge) > 0) {
                lastLarge = last;
            }
        }
    }

    /** Four longs an entry, of the space in use. */
    public long[] entries = NO_ENTRY;
    // While a space is unallocated, `entries` is a single entry that never matches and `indexMask` sends every
    // address to it.
    public int indexMask;

    private final @Nullable Space[] spaces = new Space[SPACES];
    private Space space = new Space();
    private int spaceCount = 1;
    private long switches;
    private long stamps;
    /** By world, as {@link Space#codeStamp}: of global translations. */
    private final long[] globalCodeStamps = new long[WORLDS];
    /** By world: the space that was used last, of which the mirror has copies. */
    private final @Nullable Space[] shown = new Space[WORLDS];

    /** Whoever keeps copies of entries of the space in use; null: nobody. */
    public @Nullable TlbMirror mirror;

    /** An empty TLB, in space 0. */
    public Tlb() {
        spaces[0] = space;
        shown[0] = space;
        dropped(space);
        for (int w = 0; w < WORLDS; w++) {
            globalCodeStamps[w] = ++stamps;
        }
    }

    /** The number of a space. @param pcid 0..4095 @param world 0 or 1 */
    public static int space(int pcid, int world) {
        return pcid | world << WORLD_SHIFT;
    }

    /**
     * Has a value of its own for as long as nothing is dropped from the space in use, global translations aside: what was found in it then
     * still holds, though other spaces were in use meanwhile.
     */
    public long stamp() {
        return space.stamp;
    }

    /**
     * As {@link #stamp}, but stays when a page is dropped that the {@link #mirror} knows no code of: what was found of others then still holds. A
     * kernel drops one page after the other, and seldom one of code.
     */
    public long codeStamp() {
        return space.codeStamp;
    }

    /** The same for the global translations of the world in use. */
    public long globalCodeStamp() {
        return globalCodeStamps[world(space)];
    }

    private void dropped(Space s) {
        s.stamp = ++stamps;
        s.codeStamp = stamps;
    }

    private static int world(Space s) {
        return s.id >>> WORLD_SHIFT;
    }

    private static int number(long la) {
        return (int) (la >>> 12) & ENTRIES - 1;
    }

    /** Index of the entry's first long. */
    public int index(long la) {
        return (int) (la >>> 10) & indexMask;
    }

    /** The key of an access of {@code bytes} bytes at {@code la}: carries into the next page when the access crosses. */
    public static long key(long la, int bytes, int mode) {
        return la + (bytes - 1) & PAGE_MASK | mode;
    }

    /**
     * Enters a translation.
     *
     * @param la any linear address on the page
     * @param mode {@link #USER}, {@link #SMAP}
     * @param hva host address of {@code la}
     * @param rights {@link #READABLE} and its like
     */
    public void fill(long la, int mode, long hva, int rights) {
        Space s = space;
        if (indexMask == 0) {
            long[] fresh = new long[ENTRIES * 4];
            Arrays.fill(fresh, NEVER);
            s.entries = fresh;
            entries = fresh;
            indexMask = ENTRIES * 4 - 4;
        }
        int n = number(la);
        int w = n >>> 6;
        long bit = 1L << n;
        int i = n << 2;
        long key = la & PAGE_MASK | mode;
        long[] t = s.entries;
        long addend = hva - la;
        boolean same = t[i + ADDEND] == addend && (t[i] == key || t[i + FETCH] == key || (t[i + WRITE] & ~CODE) == key);
        // The same page may gain a right (read first, fetched later); another page's rights never survive.
        t[i + READ] = (rights & READABLE) != 0 ? key : same ? t[i + READ] : NEVER;
        t[i + WRITE] =
                (rights & WRITABLE) != 0 ? (rights & HOLDS_CODE) != 0 ? key | CODE : key : same ? t[i + WRITE] : NEVER;
        t[i + FETCH] = (rights & FETCHABLE) != 0 ? key : same ? t[i + FETCH] : NEVER;
        t[i + ADDEND] = addend;
        s.used[w] |= bit;
        // A right that stays from before goes with the weaker of both: with its space, and with all pieces of its page.
        boolean global = (rights & GLOBAL) != 0 && (!same || (s.global[w] & bit) != 0);
        boolean large = (rights & (LARGE | HUGE)) != 0;
        s.global[w] = global ? s.global[w] | bit : s.global[w] & ~bit;
        s.large[w] = large || same && (s.large[w] & bit) != 0 ? s.large[w] | bit : s.large[w] & ~bit;
        if (large) {
            s.noteLarge(la, (rights & HUGE) != 0 ? HUGE_SHIFT : LARGE_SHIFT);
        }
    }

    /** The host address for {@code la} through an entry known to match. */
    public long hva(long la) {
        return la + entries[index(la) + ADDEND];
    }

    /** Whether an access may use its entry. */
    public boolean hits(long la, int bytes, int access, int mode) {
        return entries[index(la) + access] == key(la, bytes, mode);
    }

    /** Whether the entry that {@code la} hits is of a global page. */
    public boolean isGlobal(long la) {
        int n = number(la);
        return (space.global[n >>> 6] >>> n & 1) != 0;
    }

    /** Whether a store hits a page that holds decoded code. */
    public boolean hitsCode(long la, int bytes, int mode) {
        return entries[index(la) + WRITE] == (key(la, bytes, mode) | CODE);
    }

    // ------------------------------------------------------------------ address spaces

    /** Goes on in a space ({@link #space(int, int)}), with what it still holds. */
    public void enter(int id) {
        Space from = space;
        if (from.id == id) {
            return;
        }
        from.left = ++switches;
        Space to = find(id);
        if (to == null) {
            to = free();
            to.id = id;
        }
        space = to;
        entries = to.entries;
        indexMask = to.entries.length - 4;
        int world = world(to);
        boolean other = shown[world] != to;
        shown[world] = to;
        if (mirror != null) {
            if (other) {
                mirror.flushed(world, false);
            } else {
                mirror.entered(world);
            }
        }
    }

    private @Nullable Space find(int id) {
        for (int i = 0; i < spaceCount; i++) {
            Space s = spaces[i];
            if (s != null && s.id == id) {
                return s;
            }
        }
        return null;
    }

    /** An empty space: a new one, or that which was left longest ago. */
    private Space free() {
        Space s;
        if (spaceCount < SPACES) {
            s = new Space();
            spaces[spaceCount++] = s;
        } else {
            s = oldest();
            s.flush(true);
            // With it goes what is known of its large pages, global ones among them, of which INVLPG must find all
            // pieces.
            int world = world(s);
            globalCodeStamps[world] = ++stamps;
            if (mirror != null) {
                mirror.flushed(world, true);
            }
            if (shown[world] == s) {
                shown[world] = null;
            }
        }
        dropped(s);
        return s;
    }

    private Space oldest() {
        Space oldest = space;
        for (Space s : spaces) {
            if (s != null && s != space && (oldest == space || s.left < oldest.left)) {
                oldest = s;
            }
        }
        return oldest;
    }

    // ------------------------------------------------------------------ invalidation (SDM 3A 4.10.4.1)

    /** Drops everything, global pages and all spaces of both worlds included. */
    public void flush() {
        for (int world = 0; world < WORLDS; world++) {
            flush(world, true);
        }
    }

    /** Drops everything of a world: what a new ASID, or a flush of one, does to its guest. */
    public void flushWorld(int world) {
        flush(world, true);
    }

    /** Drops all translations of the world in use but those of global pages, in every space (INVPCID type 3). */
    public void flushLocal() {
        flush(world(space), false);
    }

    private void flush(int world, boolean globalToo) {
        for (int i = 0; i < spaceCount; i++) {
            Space s = spaces[i];
            if (s != null && world(s) == world) {
                s.flush(globalToo);
                dropped(s);
            }
        }
        if (globalToo) {
            globalCodeStamps[world] = ++stamps;
        }
        if (mirror != null) {
            mirror.flushed(world, globalToo);
        }
    }

    /** Drops the translations of one space but those of global pages (MOV to CR3, INVPCID type 1). */
    public void flushSpace(int id) {
        Space s = find(id);
        if (s != null) {
            s.flush(false);
            dropped(s);
            if (mirror != null && shown[world(s)] == s) {
                mirror.flushed(world(s), false);
            }
        }
    }

    /** Drops the page of {@code la}, all pieces if it is a large one: of the space in use, and global ones of all of its world (INVLPG). */
    public void flushPage(long la) {
        int world = world(space);
        boolean large = mayBeLarge(la);
        for (int i = 0; i < spaceCount; i++) {
            Space s = spaces[i];
            if (s != null && world(s) == world) {
                s.flushPage(la, s != space);
            }
        }
        pageDropped(space, la, large);
    }

    /** Drops the page of {@code la} in one space (INVPCID type 0). That drops a global one too, which it may. */
    public void flushPage(int id, long la) {
        Space s = find(id);
        if (s != null) {
            boolean large = mayBeLarge(la);
            s.flushPage(la, false);
            pageDropped(s, la, large);
        }
    }

    private void pageDropped(Space s, long la, boolean large) {
        int world = world(s);
        if (large || mirror == null || mirror.holdsCode(la)) {
            dropped(s);
            globalCodeStamps[world] = ++stamps;
        } else {
            s.stamp = ++stamps;
        }
        if (mirror == null) {
            return;
        }
        if (large) {
            mirror.flushed(world, true);
        } else {
            mirror.pageFlushed(world, la);
        }
    }

    private boolean mayBeLarge(long la) {
        for (int i = 0; i < spaceCount; i++) {
            Space s = spaces[i];
            if (s != null && s.mayBeLarge(la)) {
                return true;
            }
        }
        return false;
    }

    /** Takes the fast write path from every entry onto the host page {@code hvaPage}: code has been decoded from it. */
    public void protectCode(long hvaPage) {
        for (int k = 0; k < spaceCount; k++) {
            Space s = spaces[k];
            if (s == null) {
                continue;
            }
            long[] t = s.entries;
            for (int w = 0; w < WORDS; w++) {
                for (long bits = s.used[w]; bits != 0; bits &= bits - 1) {
                    int i = (w << 6 | Long.numberOfTrailingZeros(bits)) << 2;
                    long key = t[i + WRITE];
                    if (key != NEVER && (key & PAGE_MASK) + t[i + ADDEND] == hvaPage) {
                        t[i + WRITE] = key | CODE;
                    }
                }
            }
        }
        if (mirror != null) {
            mirror.codeProtected(hvaPage);
        }
    }
}
