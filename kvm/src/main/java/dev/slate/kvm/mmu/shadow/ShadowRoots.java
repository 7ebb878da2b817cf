package dev.slate.kvm.mmu.shadow;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mmu.GuestWalk;
import dev.slate.kvm.Errno;
import dev.slate.kvm.mmu.Slab;
import dev.slate.kvm.mmu.Spte;
import dev.slate.kvm.mmu.VcpuMmu;

/**
 * A vCPU's roots: the present one and, in long mode, the three before it ({@code prev_roots}), so that a guest which goes to and fro between
 * address spaces loads none anew. Outside long mode the root is a table of four entries, each to a shadow page ({@code pae_root}).
 *
 * <p>A root page counts its users and stays allocated as long as there is one, though it may be zapped under it. Of the vCPU's thread only; takes
 * the MMU's lock.
 */
final class ShadowRoots {
    /** {@link #load}: CR3 or a directory pointer leads where no memory is: KVM ends such a guest. */
    static final int TRIPLE_FAULT = -1;

    private static final int PREVIOUS = 3;
    private static final int PAE_ROOTS = 4;
    private static final long FRAME = Spte.FRAME | Spte.RESERVED;
    private static final int UNSETTLED = -2;

    private final ShadowMmu mmu;
    private final VcpuMmu v;
    private final CpuState s;
    private final GuestWalk walk;
    private final ShadowTables tables;
    private final ShadowCaches caches;
    private final boolean nested;

    /** {@link Role#ofVcpu} of the roots; 0: none is loaded. */
    private long loadedRole;

    private long loadedCr3;
    private final long[] loadedPdptr = new long[PAE_ROOTS];

    /** The root's page in long mode, else 0. */
    private long root;

    private final long[] previous = new long[PREVIOUS];
    private final long[] previousCr3 = new long[PREVIOUS];

    // Outside long mode.
    private long paeTable;
    private final long[] paePages = new long[PAE_ROOTS];

    private boolean syncWanted;
    private boolean flushWanted;

    /** @param nested whether {@code state} is the mode of nested tables */
    ShadowRoots(
            ShadowMmu mmu,
            VcpuMmu vcpu,
            CpuState state,
            GuestWalk walk,
            ShadowTables tables,
            ShadowCaches caches,
            boolean nested) {
        this.nested = nested;
        this.mmu = mmu;
        this.v = vcpu;
        this.s = state;
        this.walk = walk;
        this.tables = tables;
        this.caches = caches;
    }

    /** hva of what the processor walks from. */
    long hva() {
        return root != 0 ? ShadowPage.spt(root) : paeTable;
    }

    /** Levels of the processor's walk. */
    int levels() {
        return root != 0 ? ShadowPage.level(root) : 3;
    }

    /** The role of the vCPU's pages, as loaded. */
    int role() {
        return (int) loadedRole;
    }

    /** The page on which the walk for {@code la} starts, or 0. */
    long page(long la) {
        return root != 0 ? root : paePages[(int) (la >>> 30) & 3];
    }

    /** Whether the root for {@code la} may no longer be used. Under the lock. */
    boolean obsolete(long la) {
        long page = page(la);
        return page != 0 && mmu.pages.obsolete(page);
    }

    /** Once: whether translations must be forgotten. */
    boolean takeFlush() {
        boolean now = flushWanted;
        flushWanted = false;
        return now;
    }

    void syncAtLoad() {
        syncWanted = true;
    }

    /** The leaf that translates {@code la}, or 0. In guest mode. */
    long leaf(long la) {
        long spte = last(la);
        return Spte.present(spte) ? spte : 0;
    }

    /** The entry at which the walk for {@code la} ends, a leaf or none; 0 without a root. In guest mode. */
    long last(long la) {
        long page = page(la);
        if (page == 0) {
            return 0;
        }
        long table = ShadowPage.spt(page);
        for (int level = root != 0 ? levels() : 2; ; level--) {
            long spte = HostMemory.get64(table + (long) ShadowVcpu.index(la, level) * Long.BYTES);
            if (!Spte.present(spte) || Spte.leaf(spte, level)) {
                return spte;
            }
            table = Spte.frame(spte);
        }
    }

    /** The guest's tables on the way to {@code la} are used as tables. */
    void clearWriteFlooding(long la) {
        mmu.lock.lock();
        try {
            long page = page(la);
            while (page != 0) {
                ShadowPage.clearWriteFlooding(page);
                int level = ShadowPage.level(page);
                long spte = HostMemory.getVolatile64(ShadowPage.sptep(page, ShadowVcpu.index(la, level)));
                page = Spte.present(spte) && !Spte.leaf(spte, level) ? ShadowPage.child(spte) : 0;
            }
        } finally {
            mmu.lock.unlock();
        }
    }

    // ------------------------------------------------------------------ loading

    /** See {@link ShadowVcpu#load}. */
    int load() {
        long role = nested ? Role.ofNested(s, v.addressSpace) : Role.ofVcpu(s, v.addressSpace);
        boolean pae = pae(role);
        boolean same = role == loadedRole && (Role.direct((int) role) || s.cr3 == loadedCr3 && (!pae || samePdptr()));
        if (same && !syncWanted) {
            return 0;
        }
        flushWanted = true;
        for (; ; ) {
            int result = loadOnce(role, same);
            if (result != UNSETTLED) {
                return result;
            }
        }
    }

    /** PAE paging: directory pointers count, which were loaded with CR3. */
    private static boolean pae(long role) {
        return Role.level((int) role) == 3 && !Role.direct((int) role) && !Role.has4ByteGpte((int) role);
    }

    private boolean samePdptr() {
        for (int i = 0; i < PAE_ROOTS; i++) {
            if (s.pdptr[i] != loadedPdptr[i]) {
                return false;
            }
        }
        return true;
    }

    /** gfn of the guest's table that root {@code i} shadows; -1: there is none. */
    private long tableGfn(long role, int i) {
        int base = (int) role;
        if (Role.direct(base)) {
            return (long) i << 18;
        }
        if (Role.level(base) > 3) {
            return (s.cr3 & FRAME) >>> 12;
        }
        if (Role.has4ByteGpte(base)) {
            return (s.cr3 & 0xffff_f000L) >>> 12;
        }
        return (s.pdptr[i] & 1) == 0 ? -1 : (s.pdptr[i] & FRAME & ~walk.reserved) >>> 12;
    }

    private int loadOnce(long role, boolean same) {
        tables.snapshot();
        boolean direct = Role.direct((int) role);
        int count = Role.level((int) role) > 3 ? 1 : PAE_ROOTS;
        for (int i = 0; !direct && !same && i < count; i++) {
            long gfn = tableGfn(role, i);
            if (gfn < 0) {
                continue;
            }
            if (!tables.populate(gfn, false)) {
                // A signal is here, or the page is going away: come again.
                return v.mode.kicked() ? Errno.EAGAIN.number() : UNSETTLED;
            }
            if (tables.known(gfn) && !tables.memory(gfn)) {
                return tables.slots().find(gfn) == null ? TRIPLE_FAULT : Errno.EFAULT.number();
            }
        }
        if (!caches.topUp()
                || paeTable == 0 && (paeTable = mmu.context.tablePages().take()) == 0) {
            return Errno.ENOMEM.number();
        }
        mmu.lock.lock();
        try {
            if (mmu.stale(v.addressSpace, tables.slots(), tables.sequence(), 0, 0)) {
                return UNSETTLED;
            }
            if (!same) {
                if (role != loadedRole) {
                    releaseAll();
                } else {
                    putAside();
                }
                if (!mmu.pages.makeAvailable()) {
                    releaseAll();
                    return Errno.ENOSPC.number();
                }
                make(role, count);
            }
            sync();
            mmu.pages.commit(false);
        } finally {
            mmu.lock.unlock();
        }
        syncWanted = false;
        return 0;
    }

    private void make(long role, int count) {
        loadedRole = role;
        loadedCr3 = s.cr3;
        System.arraycopy(s.pdptr, 0, loadedPdptr, 0, PAE_ROOTS);
        if (count == 1) {
            if (root == 0) {
                root = rootPage(role, (s.cr3 & FRAME) >>> 12, Role.level((int) role), 0);
            } else {
                ShadowPage.clearWriteFlooding(root);
            }
            return;
        }
        for (int i = 0; i < PAE_ROOTS; i++) {
            long gfn = tableGfn(role, i);
            paePages[i] = gfn < 0 ? 0 : rootPage(role, gfn, 2, Role.has4ByteGpte((int) role) ? i : 0);
            // Below a guest's tables the entries carry rights; as PAE's they have none.
            long entry = paePages[i] == 0
                    ? 0
                    : nested ? Spte.table(ShadowPage.spt(paePages[i])) : ShadowPage.spt(paePages[i]) | Spte.PRESENT;
            HostMemory.putVolatile64(paeTable + (long) i * Long.BYTES, entry);
        }
    }

    private long rootPage(long role, long gfn, int level, int quadrant) {
        long page = mmu.sync.get(caches, walk, (int) role, gfn, Role.root((int) role, level, quadrant));
        ShadowPage.addRootCount(page, 1);
        return page;
    }

    /** Another CR3 in the same mode: the present root becomes a previous one, and one of those, if it fits, the present one. */
    private void putAside() {
        if (root == 0) {
            releaseCurrent();
            return;
        }
        long page = root;
        long cr3 = loadedCr3;
        root = 0;
        for (int i = 0; i < PREVIOUS; i++) {
            long p = previous[i];
            long c = previousCr3[i];
            previous[i] = page;
            previousCr3[i] = cr3;
            page = p;
            if (page != 0 && (c & FRAME) == (s.cr3 & FRAME)) {
                if (mmu.pages.obsolete(page)) {
                    break;
                }
                root = page;
                return;
            }
            cr3 = c;
        }
        if (page != 0) {
            mmu.pages.releaseRoot(page);
        }
    }

    private void sync() {
        if (root != 0) {
            mmu.sync.syncChildren(walk, (int) loadedRole, root);
            return;
        }
        for (long page : paePages) {
            if (page != 0) {
                mmu.sync.syncChildren(walk, (int) loadedRole, page);
            }
        }
    }

    private void releaseCurrent() {
        if (root != 0) {
            mmu.pages.releaseRoot(root);
            root = 0;
        }
        for (int i = 0; i < PAE_ROOTS; i++) {
            if (paePages[i] != 0) {
                mmu.pages.releaseRoot(paePages[i]);
                paePages[i] = 0;
            }
        }
    }

    private void releaseAll() {
        releaseCurrent();
        for (int i = 0; i < PREVIOUS; i++) {
            if (previous[i] != 0) {
                mmu.pages.releaseRoot(previous[i]);
                previous[i] = 0;
            }
        }
        loadedRole = 0;
    }

    /** Drops the roots that are obsolete; the next load makes others. */
    void freeObsolete() {
        mmu.lock.lock();
        try {
            boolean current = root != 0 && mmu.pages.obsolete(root);
            for (long page : paePages) {
                current |= page != 0 && mmu.pages.obsolete(page);
            }
            if (current) {
                releaseCurrent();
                loadedRole = 0;
            }
            for (int i = 0; i < PREVIOUS; i++) {
                if (previous[i] != 0 && (loadedRole == 0 || mmu.pages.obsolete(previous[i]))) {
                    mmu.pages.releaseRoot(previous[i]);
                    previous[i] = 0;
                }
            }
            mmu.pages.commit(false);
        } finally {
            mmu.lock.unlock();
        }
    }

    /** INVLPG, in the present and the previous address spaces: its page may be global. */
    void invalidatePage(long la) {
        mmu.lock.lock();
        try {
            boolean flush = invalidate(page(la), la);
            for (long page : previous) {
                flush |= invalidate(page, la);
            }
            mmu.pages.commit(flush);
        } finally {
            mmu.lock.unlock();
        }
    }

    /** An unsync page's entry may be stale, and is dropped; entries of others are true. */
    private boolean invalidate(long page, long la) {
        while (page != 0) {
            int level = ShadowPage.level(page);
            long sptep = ShadowPage.sptep(page, ShadowVcpu.index(la, level));
            long spte = HostMemory.getVolatile64(sptep);
            if (level == 1 || Spte.present(spte) && Spte.leaf(spte, level)) {
                return ShadowPage.unsync(page) && mmu.sptes.clear(sptep, level);
            }
            if (!Spte.present(spte) || ShadowPage.unsyncChildren(page) == 0) {
                return false;
            }
            page = ShadowPage.child(spte);
        }
        return false;
    }

    /** Gives all back; the vCPU runs no more. */
    void close() {
        mmu.lock.lock();
        try {
            releaseAll();
            mmu.pages.commit(false);
        } finally {
            mmu.lock.unlock();
        }
        if (paeTable != 0) {
            Slab pages = mmu.context.tablePages();
            pages.give(paeTable);
            paeTable = 0;
        }
    }
}
