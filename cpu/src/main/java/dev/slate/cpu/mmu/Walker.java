package dev.slate.cpu.mmu;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.EntryState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.Hypervisor;
import dev.slate.cpu.LeaveGuest;
import dev.slate.cpu.mem.HostMemory;

/**
 * From a linear address to a host address: by the guest's tables and the nested ones below them (SDM 3A chapter 4, APM 2 chapter 5 and
 * 15.25), or, without nested paging, by the one set of tables that the hypervisor makes (APM 2 15.25.1). Sets accessed and dirty bits,
 * raises page faults and calls the hypervisor.
 *
 * <p>All tables have the x86 format. The leaf's frame of nested and of shadow tables is a host virtual page. Guest tables are read as
 * reads, and as writes only when a bit must be set in them, so that page tables in write-protected memory stay readable (as EPT without
 * A/D does); below the nested tables of a guest's own hypervisor, which may see the difference, they are read as writes
 * ({@link #tableWalksWrite}).
 *
 * <p>Each call of the hypervisor may free or remap anything, so a walk during which one was made starts again from CR3: the pass that
 * counts makes none.
 */
public final class Walker implements GuestWalk.Tables {
    // Page-table entry bits, guest's, nested and shadow's alike.
    private static final long P = 1;
    private static final long W = 1 << 1;
    private static final long U = 1 << 2;
    private static final long A = GuestWalk.A;
    private static final long D = GuestWalk.D;
    private static final long PS = GuestWalk.PS;
    private static final long NX = GuestWalk.NX;
    private static final long FRAME = GuestWalk.FRAME;
    /** The hypervisor's entries with one of these set are reserved: no host address has them (those for MMIO do). */
    private static final long NO_ADDRESS = 0x000f_0000_0000_0000L;

    private static final int TABLE_CACHE = 64;
    private static final int ROM_TABLES = 8;

    /** Set in the guest physical address, beside its complement, of a write to memory that can only be read. */
    static final long READ_ONLY = 1L << 62;
    /** The same of a write that may be done for this once, where {@code cpu.answer.watchedHva} says. */
    private static final long WATCHED = 1L << 61;

    private final Cpu cpu;
    private final CpuState s;

    /** hva of the nested tables' root page; 0: there is none, every access faults. */
    public long nestedRoot;
    /** Levels of the nested tables: 4 or 5; or 3, with a root of four entries, as PAE's. */
    public int nestedLevels = 4;
    /** Whether walks of the guest's tables are writes to the nested ones, as on silicon (APM 2 15.25.6). */
    public boolean tableWalksWrite;
    /** Whether nested and shadow entries carry accessed and dirty bits. */
    public boolean nestedAccessedDirty = true;

    /** Without nested paging: hva of the root of the tables that are walked instead of the guest's; 0: there is none, every access faults. */
    public long shadowRoot;
    /** Levels of those tables: 5 or 4 in long mode; else 3, with a root of four entries that carry no rights, as PAE's. */
    public int shadowLevels = 3;

    /** The walk of the guest's own tables under nested paging, and how wide the guest's physical addresses are. */
    public final GuestWalk guest;

    /** What {@link #find} says of a page fault: no address, nor the complement of one. */
    public static final long FAULT = Long.MIN_VALUE;

    /** Of the page fault that was found last. */
    public int errorCode;

    /** Number of calls made to the hypervisor: host addresses found before a call are void after it. */
    public int calls;

    /** The page last found may be written, and is dirty already where that is kept. */
    private boolean nestedWritable;

    private boolean nestedExecutable;

    // The guest's table pages that were last found in read-only memory, gpa | 1: more than one walk has levels.
    private final long[] romTables = new long[ROM_TABLES];
    private int romNext;

    // Those of which a walk that writes has learnt that they can only be read, or are watched.
    private final long[] readTables = new long[ROM_TABLES];
    private int readNext;

    // Nested translations of guest table pages: gpa page | 1, hva page.
    private final long[] tableCache = new long[TABLE_CACHE * 2];

    // Pages that the hypervisor lets be written once, under watch: linear page | mode | 1, and the rest. An access
    // reaches two pages at most, neighbours, so the page number's low bit tells them apart.
    private final long[] watchedKey = new long[2];
    private final long[] watchedHva = new long[2];
    private final long[] watchedGpa = new long[2];
    /** Where the guest's own tables had led: they may have changed since. */
    private final long[] watchedGuest = new long[2];

    private boolean watching;

    // Where the guest's tables led to a device last, as the TLB would hold it: linear page with mode and access,
    // the TLB's stamp, physical page. Whether a device still is there the hypervisor is asked each time.
    private long deviceKey;
    private long deviceStamp;
    private long devicePage;

    private final long[] pointers = new long[4];

    /** The walks of a processor. */
    public Walker(Cpu cpu) {
        this.cpu = cpu;
        this.s = cpu.s;
        this.guest = new GuestWalk(cpu.s, this, new TableCache(cpu.tlb));
    }

    /** Forgets cached translations of the hypervisor's: whenever it has the TLB flushed. */
    public void flush() {
        java.util.Arrays.fill(tableCache, 0);
        java.util.Arrays.fill(romTables, 0);
        java.util.Arrays.fill(readTables, 0);
        watchedKey[0] = 0;
        watchedKey[1] = 0;
        watching = false;
    }

    /**
     * Translates {@code la} for one access and fills the TLB.
     *
     * @param access {@link Tlb#READ}, {@link Tlb#WRITE} or {@link Tlb#FETCH}
     * @param mode {@link Tlb#USER} | {@link Tlb#SMAP}, as the access is made
     * @param cache whether the TLB may keep it
     * @return the host address, or the complement of the guest physical address when it is MMIO, of which bit 62 says (of a write) that
     *     the memory there can be read
     * @throws GuestFault #PF
     * @throws dev.slate.cpu.LeaveGuest when the hypervisor leaves
     */
    public long translate(long la, int access, int mode, boolean cache) {
        long hva = find(la, access, mode, cache);
        if (hva == FAULT) {
            throw cpu.fault(GuestFault.PF, errorCode);
        }
        return hva;
    }

    /** As {@link #translate}, but {@link #FAULT} for a page fault, whose address is in CR2 then and its code in {@link #errorCode}. */
    public long find(long la, int access, int mode, boolean cache) {
        if (!cpu.controls.nestedPaging) {
            return translateShadow(la, access, mode, cache);
        }
        long device = (la & -4096L) | mode << 2 | access;
        if (deviceKey == device && deviceStamp == cpu.tlb.stamp()) {
            long at = nested(devicePage | la & 0xfff, access, Hypervisor.NPF_FINAL, la);
            if (isDevice(at)) {
                return at;
            }
        }
        GuestWalk g = guest;
        for (; ; ) {
            int before = calls;
            int outcome = g.walk(la, access, mode);
            if (outcome == GuestWalk.FAULT) {
                return pageFault(la, g.errorCode);
            }
            if (outcome == GuestWalk.RESTART) {
                continue;
            }
            if (watching && access == Tlb.WRITE && watchedGuest[(int) (la >>> 12) & 1] == (g.gpa & -4096L)) {
                long once = watched(la, mode);
                if (once != 0) {
                    return once;
                }
            }
            long hva = nested(g.gpa, access, Hypervisor.NPF_FINAL, la);
            if (hva < 0) {
                if ((~hva & WATCHED) != 0) {
                    watch(la, mode);
                    watchedGuest[(int) (la >>> 12) & 1] = g.gpa & -4096L;
                    continue;
                }
                if (isDevice(hva)) {
                    deviceKey = device;
                    deviceStamp = cpu.tlb.stamp();
                    devicePage = g.gpa & -4096L;
                }
                return hva;
            }
            if (before != calls) {
                continue;
            }
            if (cache) {
                cpu.fillTlb(la, mode, hva, granted(g, mode));
            }
            return hva;
        }
    }

    /** Whether {@link #nested} has found a device, and not memory that is written otherwise. */
    private static boolean isDevice(long hva) {
        return hva < 0 && (~hva & (READ_ONLY | WATCHED)) == 0;
    }

    /** What the TLB may allow of the page just walked to, whatever the access was: a write only when nobody is to be told of the first. */
    private int granted(GuestWalk g, int mode) {
        int what = 0;
        if (g.allows(Tlb.READ, mode)) {
            what |= Tlb.READABLE;
        }
        if (nestedWritable && g.dirty() && g.allows(Tlb.WRITE, mode)) {
            what |= Tlb.WRITABLE;
        }
        if (nestedExecutable && g.allows(Tlb.FETCH, mode)) {
            what |= Tlb.FETCHABLE;
        }
        if (g.global()) {
            what |= Tlb.GLOBAL;
        }
        return g.level > 1 ? what | (g.level > 2 ? Tlb.HUGE : Tlb.LARGE) : what;
    }

    private long pageFault(long la, int code) {
        cpu.faultAddress(la);
        errorCode = code;
        return FAULT;
    }

    // ------------------------------------------------------------------ the guest's tables, for their walk

    @Override
    public long read(long slot, int bytes, long la) {
        int before = calls;
        long hva = tableHva(slot, la);
        if (before != calls) {
            guest.restart = true;
            return 0;
        }
        return bytes == 8 ? HostMemory.get64(hva) : HostMemory.get32(hva) & 0xffff_ffffL;
    }

    @Override
    public boolean update(long slot, int bytes, long old, long entry, long la) {
        int before = calls;
        for (long rom : romTables) {
            if (rom == (slot & FRAME | 1)) {
                // A table in ROM stays as it is.
                return true;
            }
        }
        // The table page must be writable in the nested tables now.
        long hva = nested(slot, Tlb.WRITE, Hypervisor.NPF_GUEST_TABLE, la);
        if (hva < 0) {
            if ((~hva & WATCHED) != 0) {
                updateWatched(slot, bytes, old, entry);
                return false;
            }
            if ((~hva & READ_ONLY) == 0) {
                throw leave();
            }
            // Remembered, because the pass that counts makes no call.
            romTables[romNext++ & ROM_TABLES - 1] = slot & FRAME | 1;
            return false;
        }
        if (before != calls) {
            return false;
        }
        return replace(hva, bytes, old, entry);
    }

    private static boolean replace(long hva, int bytes, long old, long entry) {
        return bytes == 8 ? HostMemory.cas64(hva, old, entry) : HostMemory.cas32(hva, (int) old, (int) entry);
    }

    /** A table of the guest's that is watched as something else, too: a bit is set in it for this once. */
    private void updateWatched(long slot, int bytes, long old, long entry) {
        long gpa = cpu.answer.gpa & -4096L | slot & 0xfff;
        if (replace(cpu.answer.watchedHva & -4096L | slot & 0xfff, bytes, old, entry)) {
            cpu.hypervisor.watchedWrite(gpa, bytes);
            calls++;
        }
    }

    private LeaveGuest leave() {
        cpu.exit.event = 0;
        return cpu.leave(CpuExit.NPF);
    }

    /**
     * Loads the four page-directory pointers of PAE paging from the page that CR3 value {@code cr3} names (SDM 3A 4.4.1).
     *
     * @return false, with nothing loaded, when a present one has a reserved bit set: #GP(0)
     */
    public boolean loadPdptrs(long cr3) {
        long from = cr3 & 0xffff_ffe0L;
        if (!cpu.controls.nestedPaging) {
            if (!cpu.hypervisor.readPhysical(from, pointers)) {
                return false;
            }
        } else {
            for (int i = 0; i < 4; i++) {
                pointers[i] = HostMemory.get64(tableHva(from + 8L * i, cr3));
            }
        }
        if (!EntryState.validPdptrs(pointers, guest.reserved)) {
            return false;
        }
        System.arraycopy(pointers, 0, s.pdptr, 0, 4);
        return true;
    }

    // ------------------------------------------------------------------ the hypervisor's tables instead of the guest's

    private long translateShadow(long la, int access, int mode, boolean cache) {
        for (; ; ) {
            if (watching && access == Tlb.WRITE) {
                long hva = watched(la, mode);
                if (hva != 0) {
                    return hva;
                }
            }
            long error = shadowOnce(la, access, mode, cache);
            if (error < 0) {
                return ~error;
            }
            if ((mode & Tlb.SMAP) != 0) {
                error |= Hypervisor.PF_SMAP;
            }
            int outcome = cpu.hypervisor.pageFault(la, error);
            calls++;
            switch (outcome) {
                case Hypervisor.RETRY -> {}
                case Hypervisor.MMIO -> {
                    return ~cpu.answer.gpa;
                }
                case Hypervisor.READ_ONLY -> {
                    return ~(cpu.answer.gpa | READ_ONLY);
                }
                case Hypervisor.WATCHED -> watch(la, mode);
                case Hypervisor.INJECT -> {
                    return pageFault(la, cpu.answer.errorCode);
                }
                default -> throw leave();
            }
        }
    }

    /** Where a page lies that may be written for this once; 0: this is none. */
    private long watched(long la, int mode) {
        int i = (int) (la >>> 12) & 1;
        return watchedKey[i] == (la & -4096L | mode | 1 << 8) ? watchedHva[i] | la & 0xfff : 0;
    }

    private void watch(long la, int mode) {
        int i = (int) (la >>> 12) & 1;
        watchedKey[i] = la & -4096L | mode | 1 << 8;
        watchedHva[i] = cpu.answer.watchedHva & -4096L;
        watchedGpa[i] = cpu.answer.gpa & -4096L;
        watching = true;
    }

    /** {@code bytes} were stored at {@code la}, all on its page: a page under watch is told of, and was writable for this once. */
    void stored(long la, int bytes, int mode) {
        if (watching) {
            int i = (int) (la >>> 12) & 1;
            if (watchedKey[i] == (la & -4096L | mode & (Tlb.USER | Tlb.SMAP) | 1 << 8)) {
                watchedKey[i] = 0;
                watching = watchedKey[i ^ 1] != 0;
                cpu.hypervisor.watchedWrite(watchedGpa[i] | la & 0xfff, bytes);
                calls++;
            }
        }
    }

    /**
     * One walk of the shadow tables: the complement of the host address, or (not negative) the error code of the page fault. Write
     * protection holds at every privilege, and NX is on, whatever the guest's CR0.WP and EFER.NX say; SMEP, SMAP and keys are the guest's,
     * and mean nothing while it has no paging.
     */
    private long shadowOnce(long la, int access, int mode, boolean cache) {
        boolean user = (mode & Tlb.USER) != 0;
        long error = (access == Tlb.WRITE ? GuestWalk.PF_W : access == Tlb.FETCH ? GuestWalk.PF_I : 0)
                | (user ? GuestWalk.PF_U : 0);
        long table = shadowRoot;
        if (table == 0) {
            return error;
        }
        int shift = 12 + 9 * (shadowLevels - 1);
        if (shadowLevels == 3) {
            long pointer = HostMemory.get64(table + ((la >>> 30 & 3) << 3));
            if ((pointer & P) == 0) {
                return error;
            }
            table = pointer & FRAME;
            shift = 21;
        }
        long rights = W | U;
        boolean executable = true;
        for (; ; ) {
            long at = table + ((la >>> shift & 511) << 3);
            long e = HostMemory.get64(at);
            if ((e & P) == 0) {
                return error;
            }
            if ((e & NO_ADDRESS) != 0) {
                return error | GuestWalk.PF_P | GuestWalk.PF_RSVD;
            }
            rights &= e;
            executable &= (e & NX) == 0;
            if (shift != 12 && (e & PS) == 0) {
                if (nestedAccessedDirty && (e & A) == 0) {
                    HostMemory.cas64(at, e, e | A);
                }
                table = e & FRAME;
                shift -= 9;
                continue;
            }
            long hva = shadowLeaf(la, access, mode, cache, at, e, rights, executable, shift);
            return hva != 0 ? ~hva : error | GuestWalk.PF_P | (keyRefused ? GuestWalk.PF_PK : 0);
        }
    }

    private boolean keyRefused;

    /** The host address through a leaf, or 0 when the access is not allowed. */
    private long shadowLeaf(
            long la, int access, int mode, boolean cache, long at, long e, long rights, boolean executable, int shift) {
        boolean paging = (s.cr0 & CpuState.CR0_PG) != 0;
        boolean userPage = (rights & U) != 0;
        boolean user = (mode & Tlb.USER) != 0;
        boolean readable = paging ? GuestWalk.readable((int) rights, mode) : userPage || !user;
        boolean writable = readable && (rights & W) != 0;
        boolean fetchable = executable && (user ? userPage : !paging || !userPage || (s.cr4 & CpuState.CR4_SMEP) == 0);
        keyRefused = false;
        if (paging && userPage && (s.cr4 & CpuState.CR4_PKE) != 0 && s.longMode()) {
            int keyRights = s.pkru >>> 2 * ((int) (e >>> 59) & 15);
            boolean noRead = (keyRights & 1) != 0;
            boolean noWrite = noRead || (keyRights & 2) != 0 && (user || (s.cr0 & CpuState.CR0_WP) != 0);
            keyRefused = access == Tlb.WRITE ? writable && noWrite : access == Tlb.READ && readable && noRead;
            readable &= !noRead;
            writable &= !noWrite;
        }
        if (!(access == Tlb.WRITE ? writable : access == Tlb.FETCH ? fetchable : readable)) {
            return 0;
        }
        if (nestedAccessedDirty) {
            long want = access == Tlb.WRITE ? A | D : A;
            while ((e & want) != want) {
                if (HostMemory.cas64(at, e, e | want)) {
                    e |= want;
                    break;
                }
                long now = HostMemory.getVolatile64(at);
                if ((now ^ e) != 0 && ((now ^ e) & ~(A | D)) != 0) {
                    // Somebody edited the entry: what was read is no longer what stands there. The fault is spurious.
                    return 0;
                }
                e = now;
            }
        }
        long offset = (1L << shift) - 1;
        long hva = e & FRAME & ~offset | la & offset;
        if (cache) {
            // A page that is dirty already has nothing to be told of at its next write.
            int what = readable ? Tlb.READABLE : 0;
            if (writable && (!nestedAccessedDirty || (e & D) != 0)) {
                what |= Tlb.WRITABLE;
            }
            if (fetchable) {
                what |= Tlb.FETCHABLE;
            }
            if (shift > 12) {
                what |= shift > 21 ? Tlb.HUGE : Tlb.LARGE;
            }
            cpu.fillTlb(la, mode, hva, what);
        }
        return hva;
    }

    // ------------------------------------------------------------------ the nested tables

    private long tableHva(long slot, long la) {
        long page = slot & FRAME;
        int i = ((int) (page >>> 12) & TABLE_CACHE - 1) * 2;
        if (tableCache[i] == (page | 1)) {
            return tableCache[i + 1] | slot & 0xfff;
        }
        boolean write = tableWalksWrite && !onlyRead(page);
        long hva = nested(slot, write ? Tlb.WRITE : Tlb.READ, Hypervisor.NPF_GUEST_TABLE, la);
        if (hva < 0 && (~hva & (READ_ONLY | WATCHED)) != 0) {
            // The write that is none is allowed. Remembered, because the pass that counts makes no call.
            readTables[readNext++ & ROM_TABLES - 1] = page | 1;
            hva = nested(slot, Tlb.READ, Hypervisor.NPF_GUEST_TABLE, la);
        }
        if (hva < 0) {
            // A page table that lies in MMIO: no processor reads one there in a way that a hypervisor could serve.
            throw leave();
        }
        tableCache[i] = page | 1;
        tableCache[i + 1] = hva & ~0xfffL;
        return hva;
    }

    private boolean onlyRead(long page) {
        for (long table : readTables) {
            if (table == (page | 1)) {
                return true;
            }
        }
        return false;
    }

    /**
     * The nested walk. Returns the host address of {@code gpa}; for MMIO the complement of the address that the hypervisor answers for, with
     * {@link #READ_ONLY} or {@link #WATCHED} beside; leaves when told to.
     *
     * @param kind {@link Hypervisor#NPF_FINAL} or {@link Hypervisor#NPF_GUEST_TABLE}
     */
    private long nested(long gpa, int access, long kind, long la) {
        for (; ; ) {
            long error = nestedOnce(gpa, access);
            if (error < 0) {
                return ~error;
            }
            cpu.answer.gpa = gpa;
            int outcome = cpu.hypervisor.nestedPageFault(gpa, error | kind | Hypervisor.NPF_USER, la);
            calls++;
            switch (outcome) {
                case Hypervisor.RETRY -> {}
                case Hypervisor.MMIO -> {
                    return ~cpu.answer.gpa;
                }
                case Hypervisor.READ_ONLY -> {
                    return ~(cpu.answer.gpa | READ_ONLY);
                }
                case Hypervisor.WATCHED -> {
                    return ~(cpu.answer.gpa | WATCHED);
                }
                default -> throw leave();
            }
        }
    }

    /** One nested walk: the complement of the host address, or (not negative) the error code of the nested page fault. */
    private long nestedOnce(long gpa, int access) {
        long table = nestedRoot;
        int top = 3 + 9 * nestedLevels;
        int shift = top;
        long rights = W | U;
        boolean executable = true;
        long error = access == Tlb.WRITE ? Hypervisor.NPF_WRITE : access == Tlb.FETCH ? Hypervisor.NPF_FETCH : 0;
        // PAE's four entries span 4 GiB.
        if (table == 0 || gpa >>> (nestedLevels == 3 ? 32 : top + 9) != 0) {
            return error;
        }
        for (; ; ) {
            long at = table + ((gpa >>> shift & 511) << 3);
            long e = HostMemory.get64(at);
            if ((e & P) == 0) {
                return error;
            }
            if ((e & NO_ADDRESS) != 0) {
                return error | Hypervisor.NPF_PRESENT | Hypervisor.NPF_RESERVED;
            }
            rights &= e;
            executable &= (e & NX) == 0;
            boolean leaf = shift == 12 || (e & PS) != 0;
            if (!leaf) {
                if (nestedAccessedDirty && (e & A) == 0) {
                    HostMemory.cas64(at, e, e | A);
                }
                table = e & FRAME;
                shift -= 9;
                continue;
            }
            // Each nested access is a user's.
            if ((rights & U) == 0 || access == Tlb.WRITE && (rights & W) == 0 || access == Tlb.FETCH && !executable) {
                return error | Hypervisor.NPF_PRESENT;
            }
            if (nestedAccessedDirty) {
                long want = access == Tlb.WRITE ? A | D : A;
                if ((e & want) != want && !HostMemory.cas64(at, e, e | want)) {
                    // Somebody edited the entry: what was read is no longer what stands there.
                    table = nestedRoot;
                    shift = top;
                    rights = W | U;
                    executable = true;
                    continue;
                }
            }
            nestedWritable = (rights & W) != 0 && (!nestedAccessedDirty || access == Tlb.WRITE || (e & D) != 0);
            nestedExecutable = executable;
            long offset = (1L << shift) - 1;
            return ~(e & FRAME & ~offset | gpa & offset);
        }
    }
}
