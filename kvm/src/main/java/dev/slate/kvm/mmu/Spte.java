package dev.slate.kvm.mmu;

/**
 * The format of shadow page-table entries: x86's own (SDM 3A 4.5, APM 2 15.25.5), because the processor walks them, with a host
 * virtual page where silicon has a physical one, and software bits where silicon ignores them.
 *
 * <pre>
 *  63  62 59 58  52 51            48 47            12 11  10   9    8  7  6 5 4   3   2 1 0
 * +--+-----+------+----------------+----------------+--+----+----+---+--+-+-+---+---+-+-+-+
 * |NX| key | ign. | 0 (reserved)   | hva 47..12     |  |MMU |HOST| G |PS|D|A|PCD|PWT|U|W|P|
 * |  |     |      |                |                |  |WRIT|WRIT|   |  | | |   |   | | | |
 * +--+-----+------+----------------+----------------+--+----+----+---+--+-+-+---+---+-+-+-+
 * </pre>
 */
public final class Spte {
    public static final long PRESENT = 1;
    public static final long WRITABLE = 1 << 1;
    /** Under two-dimensional paging always set: the nested walk is a user access (APM 2 15.25.6). */
    public static final long USER = 1 << 2;

    public static final long ACCESSED = 1 << 5;
    public static final long DIRTY = 1 << 6;
    /** A leaf above the last level. */
    public static final long LARGE = 1 << 7;

    public static final long NO_EXECUTE = 1L << 63;

    public static final int PROTECTION_KEY_SHIFT = 59;
    /** Shadow paging: the guest's protection key (SDM 3A 4.6.2), 0 under two-dimensional paging. */
    public static final long PROTECTION_KEY = 15L << PROTECTION_KEY_SHIFT;

    /** The client's page may be written: set once it was populated for writing. */
    public static final long HOST_WRITABLE = 1 << 9;
    /** The MMU itself does not track writes to this page for its own ends; only dirty logging may have cleared {@link #WRITABLE}. */
    public static final long MMU_WRITABLE = 1 << 10;

    /** Bits of the hva. */
    public static final long FRAME = 0x0000_ffff_ffff_f000L;

    /** Bits 48..51: the processor takes an entry with one of them for a reserved-bit violation. */
    public static final long RESERVED = 0x000f_0000_0000_0000L;

    /**
     * What stands in a table that was unlinked: not present, and not 0, so that a vCPU still walking it fails its compare-and-set and
     * starts again from the root.
     */
    public static final long REMOVED = 0x5a0;

    /**
     * Two-dimensional paging without accessed bits: the leaf is there but not {@link #PRESENT}, so that its next use faults and shows
     * ({@code SPTE_TDP_AD_DISABLED} and the saved bits of KVM). W is off too: it comes back with a write.
     */
    public static final long ACCESS_TRACKED = 1L << 52;

    /**
     * With {@link #PRESENT}: no memory is here, and the processor says so by a reserved-bit violation ({@code shadow_mmio_mask}). Bits
     * 3 to 10 and 52 to 62 hold the memslots' generation that this was found in, the frame the gpa; under shadow paging {@link #WRITABLE} and
     * {@link #USER} say what the guest's tables allow.
     */
    public static final long MMIO = 1L << 51;

    /** Bits of the generation that fit ({@code MMIO_SPTE_GEN_MASK}). */
    public static final long GENERATION = (1L << 19) - 1;

    private static final int GENERATION_LOW_BITS = 8;
    private static final int GENERATION_LOW_SHIFT = 3;
    private static final int GENERATION_HIGH_SHIFT = 52;

    /** What may be written at once by {@link #writableAgain}. */
    private static final long CAN_BE_WRITABLE = HOST_WRITABLE | MMU_WRITABLE;

    private static final long[] FIELDS = {
        PRESENT,
        WRITABLE,
        USER,
        ACCESSED,
        DIRTY,
        LARGE,
        HOST_WRITABLE,
        MMU_WRITABLE,
        FRAME,
        RESERVED,
        NO_EXECUTE,
        PROTECTION_KEY
    };

    static {
        long all = 0;
        for (long f : FIELDS) {
            if ((all & f) != 0) {
                throw new AssertionError("SPTE bits overlap: " + Long.toHexString(all & f));
            }
            all |= f;
        }
        if (present(REMOVED)) {
            throw new AssertionError("REMOVED is present");
        }
    }

    private Spte() {}

    /** Whether the processor finds memory or a table here. */
    public static boolean present(long spte) {
        return (spte & (PRESENT | RESERVED)) == PRESENT;
    }

    /** Whether memory or a table is mapped here, though an access may first have to be noticed. */
    public static boolean mapped(long spte) {
        return present(spte) || accessTracked(spte);
    }

    /** Whether a leaf waits for its next use ({@link #ACCESS_TRACKED}). */
    public static boolean accessTracked(long spte) {
        return (spte & (ACCESS_TRACKED | PRESENT)) == ACCESS_TRACKED;
    }

    /** A leaf whose next use will fault. */
    public static long trackAccess(long spte) {
        return spte & ~(PRESENT | WRITABLE) | ACCESS_TRACKED;
    }

    /** The leaf again, without W. */
    public static long restoreAccess(long spte) {
        return spte & ~ACCESS_TRACKED | PRESENT;
    }

    /** An entry that says that {@code gfn} is no memory. */
    public static long mmio(long gfn, long generation) {
        long g = generation & GENERATION;
        return gfn << 12
                | MMIO
                | PRESENT
                | (g & (1 << GENERATION_LOW_BITS) - 1) << GENERATION_LOW_SHIFT
                | g >>> GENERATION_LOW_BITS << GENERATION_HIGH_SHIFT;
    }

    /** Whether an entry was made by {@link #mmio(long, long)}. */
    public static boolean mmio(long spte) {
        return (spte & (PRESENT | MMIO)) == (PRESENT | MMIO);
    }

    /** Whether an {@link #mmio(long) MMIO} entry was made in this generation of the memslots, as far as its bits go. */
    public static boolean mmioOf(long spte, long generation) {
        return mmio(spte) && generation(spte) == (generation & GENERATION);
    }

    /** The generation in an {@link #mmio(long, long) MMIO} entry. */
    public static long generation(long spte) {
        return spte >>> GENERATION_LOW_SHIFT & (1 << GENERATION_LOW_BITS) - 1
                | (spte << 1 >>> 1 + GENERATION_HIGH_SHIFT) << GENERATION_LOW_BITS;
    }

    public static boolean writable(long spte) {
        return (spte & WRITABLE) != 0;
    }

    /** Whether a present entry at {@code level} (1 to 4) maps memory and not a table. */
    public static boolean leaf(long spte, int level) {
        return level == 1 || (spte & LARGE) != 0;
    }

    /** hva of the page, or of the table. */
    public static long frame(long spte) {
        return spte & FRAME;
    }

    /** Whether a present entry without W may get it back with nobody asked: dirty logging alone had taken it. */
    public static boolean writableAgain(long spte) {
        return (spte & CAN_BE_WRITABLE) == CAN_BE_WRITABLE;
    }

    /** An entry that points to a table page. */
    public static long table(long hva) {
        return hva | PRESENT | WRITABLE | USER | ACCESSED;
    }

    /**
     * A leaf. Accessed is set because an access is what it is made for, dirty with W because the write follows: the processor then
     * has nothing to update.
     */
    public static long page(long hva, boolean writable, int level) {
        return hva
                | PRESENT
                | USER
                | ACCESSED
                | (writable ? WRITABLE | DIRTY | HOST_WRITABLE | MMU_WRITABLE : 0)
                | (level > 1 ? LARGE : 0);
    }

    /** The entry for one of the 512 parts of a large one, with the same rights. */
    public static long part(long spte, int level, int index) {
        long small = spte + ((long) index << 12 + 9 * (level - 2));
        return level == 2 ? small & ~LARGE : small;
    }

    /** Index of a gfn's entry in its table at {@code level}, in bytes. */
    public static long offset(long gfn, int level) {
        return (gfn >>> 9 * (level - 1) & 511) << 3;
    }

    /** Number of gfns that an entry at {@code level} covers. */
    public static long gfns(int level) {
        return 1L << 9 * (level - 1);
    }
}
