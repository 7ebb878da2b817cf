package dev.slate.cpu.mmu;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.Hypervisor;
import dev.slate.cpu.mem.HostMemory;

/**
 * Walks the guest's page tables and, below them, the nested ones (SDM 3A chapter 4, APM 2 chapter 5 and 15.25), sets accessed and
 * dirty bits, raises the guest's page faults and calls the hypervisor for nested ones.
 *
 * <p>Both tables have the x86 format. A nested leaf's frame is a host virtual page. Guest tables are read as reads, and as writes
 * only when a bit must be set in them, so that page tables in write-protected memory stay readable (as EPT without A/D does).
 *
 * <p>Each call of the hypervisor may free or remap anything, so a walk during which one was made starts again from CR3: the pass that
 * counts makes none.
 */
public final class Walker {
    // Page-table entry bits, guest and nested alike.
    private static final long P = 1;
    private static final long W = 1 << 1;
    private static final long U = 1 << 2;
    private static final long A = 1 << 5;
    private static final long D = 1 << 6;
    private static final long PS = 1 << 7;
    private static final long NX = 1L << 63;
    private static final long FRAME = 0x000f_ffff_ffff_f000L;
    /** Nested entries with one of these set are reserved: no host address has them (the hypervisor's MMIO entries do). */
    private static final long NESTED_RESERVED = 0x000f_0000_0000_0000L;

    // Page-fault error code (SDM 3A 4.7).
    private static final int PF_P = 1;
    private static final int PF_W = 1 << 1;
    private static final int PF_U = 1 << 2;
    private static final int PF_RSVD = 1 << 3;
    private static final int PF_I = 1 << 4;
    private static final int PF_PK = 1 << 5;

    private static final int TABLE_CACHE = 64;

    private final Cpu cpu;
    private final CpuState s;

    /** hva of the nested tables' root page (four levels). */
    public long nestedRoot;
    /** Physical-address bits above the guest's MAXPHYADDR, reserved in its tables. */
    public long guestReserved = FRAME & ~((1L << 48) - 1);
    /** Whether nested entries carry accessed and dirty bits. */
    public boolean nestedAccessedDirty = true;

    /** Number of calls made to the hypervisor: host addresses found before a call are void after it. */
    public int calls;

    // ---- what a walk found, for the TLB ----
    /** Guest physical address of the access. */
    public long gpa;

    private boolean pageWritable;
    private boolean pageUser;
    private boolean pageLarge;
    private boolean nestedWritable;
    private boolean nestedExecutable;
    private boolean pkeyNoAccess;
    private boolean pkeyNoWrite;

    // The entries of the current walk, outermost first: for A/D updates once everything is known to be allowed.
    private final long[] entryHva = new long[5];
    private final long[] entryGpa = new long[5];
    private final long[] entry = new long[5];

    // Nested translations of guest table pages: gpa page | 1, hva page.
    private final long[] tableCache = new long[TABLE_CACHE * 2];

    public Walker(Cpu cpu) {
        this.cpu = cpu;
        this.s = cpu.s;
    }

    /** Forgets cached nested translations: whenever the TLB is flushed. */
    public void flush() {
        java.util.Arrays.fill(tableCache, 0);
    }

    /**
     * Translates {@code la} for one access and fills the TLB.
     *
     * @param access {@link Tlb#READ}, {@link Tlb#WRITE} or {@link Tlb#FETCH}
     * @param mode {@link Tlb#USER} | {@link Tlb#SMAP}, as the access is made
     * @param cache whether the TLB may keep it
     * @return the host address, or the complement of the guest physical address when it is MMIO
     * @throws GuestFault #PF
     * @throws dev.slate.cpu.LeaveGuest when the hypervisor leaves
     */
    public long translate(long la, int access, int mode, boolean cache) {
        for (; ; ) {
            int before = calls;
            if (!guestWalk(la, access, mode)) {
                continue;
            }
            long hva = nested(gpa, access, Hypervisor.NPF_FINAL, la);
            if (hva < 0) {
                return hva;
            }
            if (before != calls) {
                continue;
            }
            if (cache) {
                boolean user = (mode & Tlb.USER) != 0;
                boolean allowed = dataAllowed(user, mode);
                boolean dirty = access == Tlb.WRITE;
                boolean write = dirty && nestedWritable;
                boolean fetch = access == Tlb.FETCH;
                cpu.fillTlb(la, mode, hva, allowed && !pkeyNoAccess, write, fetch && nestedExecutable, pageLarge);
            }
            return hva;
        }
    }

    /** Whether a data read of the walked page is allowed. */
    private boolean dataAllowed(boolean user, int mode) {
        return user ? pageUser : !pageUser || (mode & Tlb.SMAP) == 0;
    }

    // ------------------------------------------------------------------ the guest's tables

    /** One pass over the guest's tables; false: a call was made, start again. On success {@link #gpa} and the page's rights are set. */
    private boolean guestWalk(long la, int access, int mode) {
        long cr0 = s.cr0;
        pkeyNoAccess = false;
        pkeyNoWrite = false;
        if ((cr0 & CpuState.CR0_PG) == 0) {
            gpa = la & 0xffff_ffffL;
            pageWritable = true;
            pageUser = true;
            pageLarge = false;
            return true;
        }
        long cr4 = s.cr4;
        if ((cr4 & CpuState.CR4_PAE) == 0) {
            return walk32(la, access, mode);
        }
        boolean nxe = (s.efer & CpuState.EFER_NX) != 0;
        long reserved = guestReserved | (nxe ? 0 : NX);
        int level;
        long table;
        if (s.longMode()) {
            level = (cr4 & CpuState.CR4_LA57) != 0 ? 5 : 4;
            table = s.cr3 & FRAME;
        } else {
            level = 3;
            table = 0;
        }
        int before = calls;
        int depth = 0;
        long rights = W | U;
        boolean executable = true;
        int shift = 12 + 9 * (level - 1);
        for (; ; ) {
            long e;
            if (level == 3 && !s.longMode()) {
                // PAE: the four directory pointers were loaded, and checked, with CR3 (SDM 3A 4.4.1); they carry no
                // rights.
                e = s.pdptr[(int) (la >>> 30) & 3];
                if ((e & P) == 0) {
                    throw pageFault(la, access, mode, 0);
                }
                table = e & FRAME & ~guestReserved;
                level = 2;
                shift = 21;
                continue;
            }
            long slot = table + ((la >>> shift & 511) << 3);
            long hva = tableHva(slot, la);
            if (before != calls) {
                return false;
            }
            e = HostMemory.get64(hva);
            if ((e & P) == 0) {
                throw pageFault(la, access, mode, 0);
            }
            long bad = reserved;
            boolean leaf = level == 1;
            if (!leaf && (e & PS) != 0) {
                if (level >= 4) {
                    bad |= PS;
                } else {
                    leaf = true;
                    // Bit 12 of a large page's entry is PAT; the frame's low bits are reserved.
                    bad |= (1L << shift) - 1 & FRAME & ~(1L << 12);
                }
            }
            if ((e & bad) != 0) {
                throw pageFault(la, access, mode, PF_P | PF_RSVD);
            }
            entryHva[depth] = hva;
            entryGpa[depth] = slot;
            entry[depth++] = e;
            rights &= e;
            executable &= (e & NX) == 0;
            if (leaf) {
                pageLarge = level > 1;
                long offset = (1L << shift) - 1;
                gpa = e & FRAME & ~offset | la & offset;
                break;
            }
            table = e & FRAME;
            level--;
            shift -= 9;
        }
        if ((rights & U) != 0 && (cr4 & CpuState.CR4_PKE) != 0 && s.longMode()) {
            int key = (int) (entry[depth - 1] >>> 59) & 15;
            pkeyNoAccess = (s.pkru >>> 2 * key & 1) != 0;
            pkeyNoWrite = (s.pkru >>> 2 * key & 2) != 0 && ((mode & Tlb.USER) != 0 || (cr0 & CpuState.CR0_WP) != 0);
        }
        return finish(la, access, mode, rights, executable, depth, 8);
    }

    /** 32-bit paging (SDM 3A 4.3), 4 MiB pages by CR4.PSE with PSE-36's wide frames. */
    private boolean walk32(long la, int access, int mode) {
        int before = calls;
        long slot = (s.cr3 & 0xffff_f000L) + (la >>> 22 & 1023) * 4;
        long hva = tableHva(slot, la);
        if (before != calls) {
            return false;
        }
        long e = HostMemory.get32(hva) & 0xffff_ffffL;
        if ((e & P) == 0) {
            throw pageFault(la, access, mode, 0);
        }
        entryHva[0] = hva;
        entryGpa[0] = slot;
        entry[0] = e;
        if ((e & PS) != 0 && (s.cr4 & CpuState.CR4_PSE) != 0) {
            // PSE-36: bits 13..20 are address bits 32..39; bit 21 is reserved.
            if ((e & 1 << 21) != 0) {
                throw pageFault(la, access, mode, PF_P | PF_RSVD);
            }
            gpa = e & 0xffc0_0000L | (e & 0x1f_e000L) << 19 | la & 0x3f_ffffL;
            pageLarge = true;
            return finish(la, access, mode, e & (W | U), true, 1, 4);
        }
        long rights = e & (W | U);
        slot = (e & 0xffff_f000L) + (la >>> 12 & 1023) * 4;
        hva = tableHva(slot, la);
        if (before != calls) {
            return false;
        }
        e = HostMemory.get32(hva) & 0xffff_ffffL;
        if ((e & P) == 0) {
            throw pageFault(la, access, mode, 0);
        }
        entryHva[1] = hva;
        entryGpa[1] = slot;
        entry[1] = e;
        gpa = e & 0xffff_f000L | la & 0xfff;
        pageLarge = false;
        return finish(la, access, mode, rights & e, true, 2, 4);
    }

    /** Permission check, then A/D updates; false when an update lost a race or needed a call, and the walk starts again. */
    private boolean finish(long la, int access, int mode, long rights, boolean executable, int depth, int entryBytes) {
        boolean user = (mode & Tlb.USER) != 0;
        pageWritable = (rights & W) != 0;
        pageUser = (rights & U) != 0;
        boolean allowed;
        if (access == Tlb.FETCH) {
            allowed = executable && (user ? pageUser : !pageUser || (s.cr4 & CpuState.CR4_SMEP) == 0);
        } else {
            allowed = dataAllowed(user, mode);
            if (access == Tlb.WRITE) {
                allowed &= pageWritable || !user && (s.cr0 & CpuState.CR0_WP) == 0;
            }
        }
        if (!allowed) {
            throw pageFault(la, access, mode, PF_P);
        }
        if (access != Tlb.FETCH && (pkeyNoAccess || access == Tlb.WRITE && pkeyNoWrite)) {
            throw pageFault(la, access, mode, PF_P | PF_PK);
        }
        for (int i = 0; i < depth; i++) {
            long want = A | (i == depth - 1 && access == Tlb.WRITE ? D : 0);
            long e = entry[i];
            if ((e & want) != want) {
                int before = calls;
                // The table page must be writable in the nested tables now.
                long hva = nested(entryGpa[i], Tlb.WRITE, Hypervisor.NPF_GUEST_TABLE, la);
                if (before != calls) {
                    return false;
                }
                if (hva < 0) {
                    throw cpu.leave(CpuExit.NPF);
                }
                boolean done = entryBytes == 8
                        ? HostMemory.cas64(hva, e, e | want)
                        : HostMemory.cas32(hva, (int) e, (int) (e | want));
                if (!done) {
                    return false;
                }
            }
        }
        return true;
    }

    private GuestFault pageFault(long la, int access, int mode, int code) {
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
        cpu.faultAddress(la);
        return cpu.fault(GuestFault.PF, code);
    }

    /**
     * Loads the four page-directory pointers of PAE paging from the page that CR3 value {@code cr3} names (SDM 3A 4.4.1).
     *
     * @return false, with nothing loaded, when a present one has a reserved bit set: #GP(0)
     */
    public boolean loadPdptrs(long cr3) {
        long[] fresh = new long[4];
        for (int i = 0; i < 4; i++) {
            long e = HostMemory.get64(tableHva((cr3 & 0xffff_ffe0L) + 8L * i, cr3));
            if ((e & P) != 0 && (e & (guestReserved | 0xfff0_0000_0000_01e6L)) != 0) {
                return false;
            }
            fresh[i] = e;
        }
        System.arraycopy(fresh, 0, s.pdptr, 0, 4);
        return true;
    }

    // ------------------------------------------------------------------ the nested tables

    private long tableHva(long slot, long la) {
        long page = slot & FRAME;
        int i = ((int) (page >>> 12) & TABLE_CACHE - 1) * 2;
        if (tableCache[i] == (page | 1)) {
            return tableCache[i + 1] | slot & 0xfff;
        }
        long hva = nested(slot, Tlb.READ, Hypervisor.NPF_GUEST_TABLE, la);
        if (hva < 0) {
            // A page table that lies in MMIO: no processor reads one there in a way that a hypervisor could serve.
            throw cpu.leave(CpuExit.NPF);
        }
        tableCache[i] = page | 1;
        tableCache[i + 1] = hva & ~0xfffL;
        return hva;
    }

    /**
     * The nested walk. Returns the host address of {@code gpa}, or its complement for MMIO; leaves when told to.
     *
     * @param kind {@link Hypervisor#NPF_FINAL} or {@link Hypervisor#NPF_GUEST_TABLE}
     */
    private long nested(long gpa, int access, long kind, long la) {
        for (; ; ) {
            long error = nestedOnce(gpa, access);
            if (error < 0) {
                return ~error;
            }
            int outcome = cpu.hypervisor.nestedPageFault(gpa, error | kind | Hypervisor.NPF_USER, la);
            calls++;
            switch (outcome) {
                case Hypervisor.RETRY -> {}
                case Hypervisor.MMIO -> {
                    return ~gpa;
                }
                default -> throw cpu.leave(CpuExit.NPF);
            }
        }
    }

    /** One nested walk: the complement of the host address, or (not negative) the error code of the nested page fault. */
    private long nestedOnce(long gpa, int access) {
        long table = nestedRoot;
        int shift = 39;
        long rights = W;
        boolean executable = true;
        long error = access == Tlb.WRITE ? Hypervisor.NPF_WRITE : access == Tlb.FETCH ? Hypervisor.NPF_FETCH : 0;
        if (gpa >>> 48 != 0) {
            return error;
        }
        for (; ; ) {
            long at = table + ((gpa >>> shift & 511) << 3);
            long e = HostMemory.get64(at);
            if ((e & P) == 0) {
                return error;
            }
            if ((e & NESTED_RESERVED) != 0) {
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
            if (access == Tlb.WRITE && (rights & W) == 0 || access == Tlb.FETCH && !executable) {
                return error | Hypervisor.NPF_PRESENT;
            }
            if (nestedAccessedDirty) {
                long want = access == Tlb.WRITE ? A | D : A;
                if ((e & want) != want && !HostMemory.cas64(at, e, e | want)) {
                    // Somebody edited the entry: what was read is no longer what stands there.
                    table = nestedRoot;
                    shift = 39;
                    rights = W;
                    executable = true;
                    continue;
                }
            }
            nestedWritable = (rights & W) != 0;
            nestedExecutable = executable;
            long offset = (1L << shift) - 1;
            return ~(e & FRAME & ~offset | gpa & offset);
        }
    }
}
