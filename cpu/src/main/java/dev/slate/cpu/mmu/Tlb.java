package dev.slate.cpu.mmu;

import java.util.Arrays;

/**
 * The translation lookaside buffer of one processor: direct-mapped, 4 KiB pages, software-filled.
 *
 * <p>An entry is four longs side by side, one cache line for two: the key under which reads, writes and fetches may use it, and what
 * to add to a linear address to get the host's. A key is the linear page number's bits 12..63 with the access mode ({@link #USER},
 * {@link #SMAP}) below; {@link #NEVER} matches nothing. Everything that a fast path must know is in that one compare: permission for
 * the current privilege, presence, that the page is not still clean (guest or nested D bit, dirty log), that no byte of the access
 * lies on the next page. Whatever needs attention is simply not there under that key and takes the slow path.
 *
 * <p>Not thread-safe: of its processor's thread only.
 */
public final class Tlb {
    /** Number of entries; a power of two. */
    public static final int ENTRIES = 1024;

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
    /** Key bit of the write slot: storable, but decoded code lies on the page, so stores take the slow path. */
    public static final int CODE = 0x100;

    // What an entry is filled with.
    /** Reads may use it. */
    public static final int READABLE = 1;
    /** Writes may use it. */
    public static final int WRITABLE = 1 << 1;
    /** Fetches may use it. */
    public static final int FETCHABLE = 1 << 2;
    /** Decoded code lies on the page. */
    public static final int HOLDS_CODE = 1 << 3;
    /** The guest's page is larger than 4 KiB: INVLPG must then drop all of its pieces. */
    public static final int LARGE = 1 << 4;

    static final long NEVER = -1;
    private static final long PAGE_MASK = -4096L;

    /** Four longs an entry. Allocated at the first fill, so that a processor that never runs costs nothing. */
    public long[] entries = new long[] {NEVER, NEVER, NEVER, 0};
    // While unallocated, `entries` is a single entry that never matches and `indexMask` sends every address to it.
    public int indexMask;

    private boolean holdsLargePages;
    /** Whether anything was filled since the last flush: an empty TLB is not swept again. */
    private boolean used;

    /** An empty TLB. */
    public Tlb() {}

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
     * @param rights {@link #READABLE}, {@link #WRITABLE}, {@link #FETCHABLE}, {@link #HOLDS_CODE}, {@link #LARGE}
     */
    public void fill(long la, int mode, long hva, int rights) {
        if (indexMask == 0) {
            long[] fresh = new long[ENTRIES * 4];
            Arrays.fill(fresh, NEVER);
            entries = fresh;
            indexMask = ENTRIES * 4 - 4;
        }
        used = true;
        holdsLargePages |= (rights & LARGE) != 0;
        int i = index(la);
        long key = la & PAGE_MASK | mode;
        long[] t = entries;
        long addend = hva - la;
        boolean same = t[i + ADDEND] == addend && (t[i] == key || t[i + FETCH] == key || (t[i + WRITE] & ~CODE) == key);
        // The same page may gain a right (read first, fetched later); another page's rights never survive.
        t[i + READ] = (rights & READABLE) != 0 ? key : same ? t[i + READ] : NEVER;
        long writeKey = (rights & HOLDS_CODE) != 0 ? key | CODE : key;
        t[i + WRITE] = (rights & WRITABLE) != 0 ? writeKey : same ? t[i + WRITE] : NEVER;
        t[i + FETCH] = (rights & FETCHABLE) != 0 ? key : same ? t[i + FETCH] : NEVER;
        t[i + ADDEND] = addend;
    }

    /** The host address for {@code la} through an entry known to match. */
    public long hva(long la) {
        return la + entries[index(la) + ADDEND];
    }

    /** Whether an access may use its entry. */
    public boolean hits(long la, int bytes, int access, int mode) {
        return entries[index(la) + access] == key(la, bytes, mode);
    }

    /** Whether a store hits a page that holds decoded code. */
    public boolean hitsCode(long la, int bytes, int mode) {
        return entries[index(la) + WRITE] == (key(la, bytes, mode) | CODE);
    }

    /** Drops everything. */
    public void flush() {
        if (used) {
            Arrays.fill(entries, NEVER);
            used = false;
            holdsLargePages = false;
        }
    }

    /** Drops the page of {@code la} (INVLPG), whatever the mode. */
    public void flushPage(long la) {
        if (holdsLargePages) {
            flush();
            return;
        }
        int i = index(la);
        long[] t = entries;
        t[i + READ] = NEVER;
        t[i + WRITE] = NEVER;
        t[i + FETCH] = NEVER;
    }

    /** Takes the fast write path from every entry onto the host page {@code hvaPage}: code has been decoded from it. */
    public void protectCode(long hvaPage) {
        long[] t = entries;
        for (int i = 0; i < t.length; i += 4) {
            long key = t[i + WRITE];
            if (key != NEVER && (key & PAGE_MASK) + t[i + ADDEND] == hvaPage) {
                t[i + WRITE] = key | CODE;
            }
        }
    }
}
