package dev.slate.cpu.mmu;

import dev.slate.cpu.CpuState;
import org.jspecify.annotations.Nullable;

/**
 * The walk of a guest's page tables (SDM 3A chapter 4, APM 2 chapter 5): formats, reserved bits, permissions, accessed and dirty bits.
 * The one place that knows them: the processor walks with it under nested paging, a hypervisor that shadows the guest's tables walks
 * with it itself. Where the tables' memory is, {@link Tables} says.
 *
 * <p>Of one processor's thread only; results stand until the next walk.
 */
public final class GuestWalk {
    /** Reads and updates the guest's tables. May set {@link #restart}, when what was read before is void. */
    public interface Tables {
        /**
         * The entry at a guest physical address, zero-extended.
         *
         * @param bytes 4 or 8
         * @param la the linear address being translated, for whoever must be told
         */
        long read(long gpa, int bytes, long la);

        /**
         * Replaces an entry if it still is {@code old}; false: it is not, or nothing was done, and the walk starts again.
         *
         * @param bytes 4 or 8
         */
        boolean update(long gpa, int bytes, long old, long entry, long la);
    }

    /** {@link #walk}: translated. */
    public static final int OK = 0;
    /** {@link #walk}: a page fault with {@link #errorCode}. */
    public static final int FAULT = 1;
    /** {@link #walk}: walk again from CR3. */
    public static final int RESTART = 2;

    // Page-fault error code (SDM 3A 4.7).
    public static final int PF_P = 1;
    public static final int PF_W = 1 << 1;
    public static final int PF_U = 1 << 2;
    public static final int PF_RSVD = 1 << 3;
    public static final int PF_I = 1 << 4;
    public static final int PF_PK = 1 << 5;

    // Rights, as entries grant them and tables add them up.
    /** Instructions may be fetched. */
    public static final int EXECUTE = 1;
    /** May be written. */
    public static final int WRITE = 1 << 1;
    /** User mode may access it. */
    public static final int USER = 1 << 2;

    static final long P = 1;
    static final long A = 1 << 5;
    static final long D = 1 << 6;
    static final long PS = 1 << 7;
    private static final long G = 1 << 8;
    static final long NX = 1L << 63;
    static final long FRAME = 0x000f_ffff_ffff_f000L;
    private static final long PAE_RESERVED = 0x7ff0_0000_0000_0000L;
    private static final int MOST_LEVELS = 5;
    private static final int ALL_RIGHTS = EXECUTE | WRITE | USER;

    private final CpuState s;
    private final Tables tables;

    /** Physical-address bits above the guest's MAXPHYADDR, reserved in its tables. */
    public long reserved = FRAME & ~((1L << 48) - 1);

    /** Set by {@link Tables}: the walk starts again. */
    public boolean restart;

    /** Where last-level tables lie, for a walker that has them kept; null: each walk begins at CR3. */
    private final @Nullable TableCache kept;

    /** The walk has begun at a table that was kept. */
    private boolean shortened;

    // ---- results ----
    /** Of {@link #FAULT}. */
    public int errorCode;
    /** Guest physical address of the access. */
    public long gpa;
    /** Level of the entry that maps the page, 1 to 3; 0 without paging. */
    public int level;
    /** Level of the table that CR3 (or a directory pointer of PAE paging) names; 0 without paging. */
    public int topLevel;
    /** Bytes of an entry, 4 or 8. */
    public int entryBytes;
    /** What the tables grant on the page: {@link #EXECUTE}, {@link #WRITE}, {@link #USER}. */
    public int rights;
    /** The protection key of a user page in force (CR4.PKE), else 0. */
    public int key;
    /** PKRU forbids data accesses through the key. */
    public boolean keyNoAccess;
    /** PKRU forbids writes through the key. */
    public boolean keyNoWrite;

    // By level, 1 to 5.
    /** Guest physical address of the entry that was used at a level. */
    public final long[] entryGpa = new long[MOST_LEVELS + 1];
    /** The entry at a level, accessed and dirty bits as they are now. */
    public final long[] entry = new long[MOST_LEVELS + 1];
    /** Rights that entries down to and with a level leave. */
    public final int[] rightsAt = new int[MOST_LEVELS + 1];

    /** Walks by this state, through these tables. */
    public GuestWalk(CpuState s, Tables tables) {
        this(s, tables, null);
    }

    /** The same, which keeps the places of last-level tables: only the results of the level that maps the page stand then. */
    GuestWalk(CpuState s, Tables tables, @Nullable TableCache kept) {
        this.s = s;
        this.tables = tables;
        this.kept = kept;
    }

    /**
     * Translates {@code la} for one access, and sets accessed and dirty bits when it is allowed.
     *
     * @param access {@link Tlb#READ}, {@link Tlb#WRITE} or {@link Tlb#FETCH}
     * @param mode {@link Tlb#USER} | {@link Tlb#SMAP}, as the access is made
     * @return {@link #OK}, {@link #FAULT} or {@link #RESTART}
     */
    public int walk(long la, int access, int mode) {
        restart = false;
        key = 0;
        keyNoAccess = false;
        keyNoWrite = false;
        if ((s.cr0 & CpuState.CR0_PG) == 0) {
            gpa = la & 0xffff_ffffL;
            rights = ALL_RIGHTS;
            level = 0;
            topLevel = 0;
            return OK;
        }
        shortened = false;
        int outcome = once(la, access, mode);
        if (outcome == FAULT && shortened && kept != null) {
            // Nobody is told of a fault that comes of an old table (SDM 3A 4.10.4.1, APM 2 5.5.3).
            kept.drop(la);
            shortened = false;
            outcome = once(la, access, mode);
        }
        return outcome;
    }

    private int once(long la, int access, int mode) {
        int outcome = (s.cr4 & CpuState.CR4_PAE) == 0 ? walk32(la, access, mode) : walk64(la, access, mode);
        return outcome != OK ? outcome : finish(la, access, mode);
    }

    /** Whether a data read of a page with these rights is allowed. */
    static boolean readable(int rights, int mode) {
        boolean userPage = (rights & USER) != 0;
        return (mode & Tlb.USER) != 0 ? userPage : !userPage || (mode & Tlb.SMAP) == 0;
    }

    /** Formats with entries of eight bytes: PAE, 4 and 5 levels. */
    private int walk64(long la, int access, int mode) {
        long cr4 = s.cr4;
        boolean longMode = s.longMode();
        boolean nxe = (s.efer & CpuState.EFER_NX) != 0;
        long always = reserved(longMode, nxe);
        long table;
        int l;
        if (longMode) {
            l = (cr4 & CpuState.CR4_LA57) != 0 ? 5 : 4;
            table = s.cr3 & FRAME;
        } else {
            // The four directory pointers were loaded, and checked, with CR3 (SDM 3A 4.4.1); they carry no rights.
            long pointer = s.pdptr[(int) (la >>> 30) & 3];
            if ((pointer & P) == 0) {
                return fault(access, mode, 0);
            }
            l = 2;
            table = pointer & FRAME & ~reserved;
        }
        topLevel = l;
        entryBytes = 8;
        int granted = ALL_RIGHTS;
        if (kept != null && longMode) {
            int k = kept.find(la, s.cr3, always);
            if (k >= 0) {
                shortened = true;
                table = kept.table(k);
                granted = kept.rights(k);
                l = 1;
            }
        }
        int shift = 12 + 9 * (l - 1);
        for (; ; ) {
            long slot = table + ((la >>> shift & 511) << 3);
            long e = tables.read(slot, 8, la);
            if (restart) {
                return RESTART;
            }
            if ((e & P) == 0) {
                return fault(access, mode, 0);
            }
            long bad = always;
            boolean leaf = l == 1;
            if (!leaf && (e & PS) != 0) {
                if (l >= 4) {
                    bad |= PS;
                } else {
                    leaf = true;
                    // Bit 12 of a large page's entry is PAT; the frame's low bits are reserved.
                    bad |= (1L << shift) - 1 & FRAME & ~(1L << 12);
                }
            }
            if ((e & bad) != 0) {
                return fault(access, mode, PF_P | PF_RSVD);
            }
            granted &= (int) e & (WRITE | USER) | (e < 0 ? 0 : EXECUTE);
            note(l, slot, e, granted);
            if (leaf) {
                level = l;
                long offset = (1L << shift) - 1;
                gpa = e & FRAME & ~offset | la & offset;
                break;
            }
            table = e & FRAME;
            l--;
            shift -= 9;
        }
        rights = granted;
        if ((granted & USER) != 0 && (cr4 & CpuState.CR4_PKE) != 0 && longMode) {
            key = (int) (entry[l] >>> 59) & 15;
            protect(s.pkru >>> 2 * key, mode);
        }
        return OK;
    }

    /** Bits that are reserved in every entry of eight bytes; PAE's have no keys and nothing to ignore up there (SDM 3A table 4-11). */
    private long reserved(boolean longMode, boolean nxe) {
        return reserved | (nxe ? 0 : NX) | (longMode ? 0 : PAE_RESERVED);
    }

    /**
     * The rights that a last-level entry grants by itself in the processor's present mode, without {@link #WRITE} while it is clean; -1 when
     * nothing may be cached of it: it is not present, has a reserved bit, or was never accessed. For shadows of tables.
     */
    public int lastLevelRights(long e) {
        boolean wide = (s.cr4 & CpuState.CR4_PAE) != 0;
        if ((e & (P | A)) != (P | A) || wide && (e & reserved(s.longMode(), (s.efer & CpuState.EFER_NX) != 0)) != 0) {
            return -1;
        }
        return (int) e & USER | ((e & D) != 0 ? (int) e & WRITE : 0) | (wide && e < 0 ? 0 : EXECUTE);
    }

    /** The protection key in an entry, which only long mode has, in force or not. */
    public int keyOf(long e) {
        return s.longMode() ? (int) (e >>> 59) & 15 : 0;
    }

    private void protect(int keyRights, int mode) {
        keyNoAccess = (keyRights & 1) != 0;
        keyNoWrite = (keyRights & 2) != 0 && ((mode & Tlb.USER) != 0 || (s.cr0 & CpuState.CR0_WP) != 0);
    }

    /** 32-bit paging (SDM 3A 4.3), 4 MiB pages by CR4.PSE with PSE-36's wide frames. */
    private int walk32(long la, int access, int mode) {
        topLevel = 2;
        entryBytes = 4;
        long slot = (s.cr3 & 0xffff_f000L) + (la >>> 22 & 1023) * 4;
        long e = tables.read(slot, 4, la);
        if (restart) {
            return RESTART;
        }
        if ((e & P) == 0) {
            return fault(access, mode, 0);
        }
        int granted = (int) e & (WRITE | USER) | EXECUTE;
        note(2, slot, e, granted);
        if ((e & PS) != 0 && (s.cr4 & CpuState.CR4_PSE) != 0) {
            // PSE-36: bits 13..20 are address bits 32..39; bit 21 is reserved.
            if ((e & 1 << 21) != 0) {
                return fault(access, mode, PF_P | PF_RSVD);
            }
            gpa = e & 0xffc0_0000L | (e & 0x1f_e000L) << 19 | la & 0x3f_ffffL;
            level = 2;
            rights = granted;
            return OK;
        }
        slot = (e & 0xffff_f000L) + (la >>> 12 & 1023) * 4;
        e = tables.read(slot, 4, la);
        if (restart) {
            return RESTART;
        }
        if ((e & P) == 0) {
            return fault(access, mode, 0);
        }
        granted &= (int) e & (WRITE | USER) | EXECUTE;
        note(1, slot, e, granted);
        gpa = e & 0xffff_f000L | la & 0xfff;
        level = 1;
        rights = granted;
        return OK;
    }

    private void note(int l, long slot, long e, int granted) {
        entryGpa[l] = slot;
        entry[l] = e;
        rightsAt[l] = granted;
    }

    /** Whether rights and modes allow an access of the page that was walked to (SDM 3A 4.6.1). */
    private boolean permits(int access, int mode) {
        boolean user = (mode & Tlb.USER) != 0;
        boolean userPage = (rights & USER) != 0;
        if (level == 0) {
            // Without paging nothing is forbidden; SMEP and SMAP are of paging, too.
            return true;
        }
        if (access == Tlb.FETCH) {
            return (rights & EXECUTE) != 0 && (user ? userPage : !userPage || (s.cr4 & CpuState.CR4_SMEP) == 0);
        }
        return readable(rights, mode)
                && (access != Tlb.WRITE || (rights & WRITE) != 0 || !user && (s.cr0 & CpuState.CR0_WP) == 0);
    }

    private boolean keyPermits(int access) {
        return access == Tlb.FETCH || !keyNoAccess && !(access == Tlb.WRITE && keyNoWrite);
    }

    /** After {@link #OK}: whether the page that was walked to allows an access, A and D bits aside. */
    boolean allows(int access, int mode) {
        return permits(access, mode) && keyPermits(access);
    }

    /** After {@link #OK}: whether a write of the page leaves its entry as it is. */
    boolean dirty() {
        return level == 0 || (entry[level] & D) != 0;
    }

    /** After {@link #OK}: whether the translation outlives its address space. */
    boolean global() {
        return level != 0 && (s.cr4 & CpuState.CR4_PGE) != 0 && (entry[level] & G) != 0;
    }

    /** Permission check, then accessed and dirty bits. */
    private int finish(long la, int access, int mode) {
        if (!permits(access, mode)) {
            return fault(access, mode, PF_P);
        }
        if (!keyPermits(access)) {
            return fault(access, mode, PF_P | PF_PK);
        }
        for (int l = shortened ? level : topLevel; l >= level; l--) {
            long want = A | (l == level && access == Tlb.WRITE ? D : 0);
            long e = entry[l];
            if ((e & want) != want) {
                if (!tables.update(entryGpa[l], entryBytes, e, e | want, la) || restart) {
                    return RESTART;
                }
                entry[l] = e | want;
            }
        }
        if (kept != null && level == 1 && topLevel > 2 && !shortened) {
            kept.keep(la, s.cr3, entryGpa[1], rightsAt[2], reserved(true, (s.efer & CpuState.EFER_NX) != 0));
        }
        return OK;
    }

    private int fault(int access, int mode, int code) {
        if (access == Tlb.WRITE) {
            code |= PF_W;
        }
        if ((mode & Tlb.USER) != 0) {
            code |= PF_U;
        }
        // The I/D bit is defined only when a fetch can be forbidden at all (SDM 3A 4.7).
        if (access == Tlb.FETCH
                && ((s.efer & CpuState.EFER_NX) != 0 && (s.cr4 & CpuState.CR4_PAE) != 0
                        || (s.cr4 & CpuState.CR4_SMEP) != 0)) {
            code |= PF_I;
        }
        errorCode = code;
        return FAULT;
    }
}
