package dev.slate.kvm.mmu.shadow;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.Hypervisor;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mmu.GuestWalk;
import dev.slate.cpu.mmu.Tlb;
import dev.slate.kvm.Errno;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.memslot.Memslots;
import dev.slate.kvm.mmu.HvaInvalidation;
import dev.slate.kvm.mmu.Spte;
import dev.slate.kvm.mmu.TdpBeside;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.kvm.tracepoint.Tracepoints;
import org.jspecify.annotations.Nullable;

/**
 * A vCPU's side of the shadow MMU: page faults, the guest's flushes, writes under watch. The processor's calls come here in guest mode; the
 * vCPU is outside while one is served, and in guest mode again on return.
 *
 * <p>Of the vCPU's thread only. Takes the MMU's lock, outside guest mode.
 */
public final class ShadowVcpu implements AutoCloseable {
    /** Pages for which the hypervisor answers itself. */
    @FunctionalInterface
    public interface MmioPages {
        /** Whether {@code gpa} lies on one. */
        boolean owns(long gpa);
    }

    // fetch(): beside Hypervisor's outcomes.
    private static final int AGAIN = -1;
    /** What an errno stands beside: there is no page left that may be used. */
    private static final int NO_SPACE = -2;

    /** The first gfn that no longer fits an MMIO entry. */
    private static final long MMIO_GFN_LIMIT = 1L << 36;

    private final ShadowMmu mmu;
    private final VcpuMmu v;
    private final CpuState s;
    private final MmioPages mmio;
    private final HostServices host;
    private final GuestMemory memory;
    private final HvaInvalidation invalidation;
    private final ShadowTables tables;
    private final GuestWalk walk;
    private final ShadowCaches caches;
    private final ShadowRoots roots;
    /** What is shadowed are nested tables: "linear" addresses are physical ones of a guest's guest, and each access is a user's. */
    private final boolean nested;

    private @Nullable Cpu cpu;

    /** Where the page lies to which a write under watch may go. */
    private long watchedHva;

    private long faultGpa;
    private int faultCode;

    ShadowVcpu(ShadowMmu mmu, VcpuMmu vcpu, CpuState state, MmioPages mmio, boolean nested) {
        this.mmu = mmu;
        this.nested = nested;
        this.v = vcpu;
        this.s = state;
        this.mmio = mmio;
        this.host = mmu.context.host();
        this.memory = mmu.context.memory();
        this.invalidation = mmu.context.invalidation();
        this.tables = new ShadowTables(mmu, vcpu);
        this.walk = new GuestWalk(state, tables);
        tables.walk = walk;
        this.caches = new ShadowCaches(mmu.descriptors, mmu.pages);
        this.roots = new ShadowRoots(mmu, vcpu, state, walk, tables, caches, nested);
    }

    /** The processor, once there is one; it walks no tables but ours from here on, or ours below a guest's guest's. */
    public void attach(Cpu processor) {
        cpu = processor;
        processor.controls.nestedPaging = nested;
        walk.reserved = processor.walker.guest.reserved;
    }

    // ------------------------------------------------------------------ roots

    /**
     * Loads the root for the guest's present mode, unless it is loaded. Outside guest mode.
     *
     * @return 0, {@link ShadowRoots#TRIPLE_FAULT}, or a positive errno number
     */
    public int load() {
        int result = roots.load();
        publishRoot(result == 0);
        return result;
    }

    private void publishRoot(boolean loaded) {
        Cpu c = cpu;
        if (c != null) {
            if (nested) {
                c.walker.nestedRoot = loaded ? roots.hva() : 0;
                c.walker.nestedLevels = roots.levels();
                c.walker.tableWalksWrite = true;
            } else {
                c.walker.shadowRoot = loaded ? roots.hva() : 0;
                c.walker.shadowLevels = roots.levels();
            }
            if (roots.takeFlush()) {
                c.flushTlb();
            }
        }
    }

    /** The guest's translations were flushed, or changed in a way that cannot be seen in its registers: they are synced at the next load. */
    public void translationsChanged() {
        roots.syncAtLoad();
    }

    /** {@code KVM_REQ_MMU_FREE_OBSOLETE_ROOTS}. Outside guest mode. */
    public void freeObsoleteRoots() {
        roots.freeObsolete();
    }

    /** CR0, CR3 or CR4 was written by the guest, or INVPCID executed. In guest mode. */
    public void guestChangedTranslations() {
        v.leaveGuest();
        roots.syncAtLoad();
        if (load() != 0) {
            // Whoever enters the guest next finds the same, and can say it.
            v.mode.kick();
        }
        v.enterGuest();
    }

    /** INVLPG. In guest mode. */
    public void invalidatePage(long la) {
        v.stats.add(VcpuStats.INVLPG);
        v.leaveGuest();
        roots.invalidatePage(la);
        v.enterGuest();
    }

    /** A write under watch was done. In guest mode. */
    public void watchedWrite(long gpa, int bytes) {
        // Before guest mode is left: whoever harvests the log waits for that.
        Memslot slot = v.slot(memory.slots(v.addressSpace), gpa >>> 12);
        if (slot != null) {
            v.markDirty(slot, gpa >>> 12);
        }
        v.leaveGuest();
        mmu.lock.lock();
        try {
            mmu.written(gpa, bytes);
        } finally {
            mmu.lock.unlock();
        }
        v.enterGuest();
    }

    /** Guest physical memory that the processor reads: PAE's directory pointers. In guest mode. */
    public boolean readPhysical(long gpa, long[] into) {
        v.leaveGuest();
        boolean ok = v.read(gpa, into);
        v.enterGuest();
        return ok;
    }

    // ------------------------------------------------------------------ faults

    /**
     * Resolves an intercepted page fault. In guest mode.
     *
     * @param errorCode as {@link Hypervisor#pageFault} has it
     * @return an outcome of {@link Hypervisor#pageFault}; after {@code LEAVE}, {@link VcpuMmu#errno} is set
     */
    public int fault(Cpu processor, long la, long errorCode) {
        if ((errorCode & GuestWalk.PF_RSVD) != 0 && knownMmio(la, errorCode)) {
            // KVM counts no fault for what an entry has answered before.
            processor.answer.gpa = faultGpa;
            return Hypervisor.MMIO;
        }
        v.stats.add(VcpuStats.PF_TAKEN);
        boolean write = (errorCode & GuestWalk.PF_W) != 0;
        v.errno = 0;
        if ((nested ? processor.walker.nestedRoot : processor.walker.shadowRoot) == 0) {
            return Hypervisor.LEAVE;
        }
        if (write && v.dirtyRingFull()) {
            // Its owner was told to leave long ago, and does at the next block edge.
            v.mode.kick();
            return Hypervisor.LEAVE;
        }
        boolean protectedPage = write && (errorCode & (GuestWalk.PF_P | GuestWalk.PF_RSVD)) == GuestWalk.PF_P;
        long mapped = protectedPage ? hostWritable(la) : 0;
        v.leaveGuest();
        int outcome = resolve(la, errorCode, mapped);
        v.enterGuest();
        switch (outcome) {
            case Hypervisor.MMIO, Hypervisor.READ_ONLY -> {
                processor.answer.gpa = faultGpa;
                v.stats.add(VcpuStats.PF_EMULATE);
            }
            case Hypervisor.INJECT -> {
                processor.answer.errorCode = faultCode;
                if (!nested) {
                    v.stats.add(VcpuStats.PF_GUEST);
                }
            }
            case Hypervisor.WATCHED -> {
                if (hostWritable(la) != watchedHva) {
                    return Hypervisor.RETRY;
                }
                processor.answer.gpa = faultGpa;
                processor.answer.watchedHva = watchedHva;
                v.stats.add(VcpuStats.PF_EMULATE);
                v.stats.add(VcpuStats.INSN_EMULATION);
            }
            default -> {}
        }
        return outcome;
    }

    /**
     * Whether an entry says that no memory is here, in these memslots, and that this access is allowed beyond doubt; {@link #faultGpa} is set
     * then. Inside the guest ({@code handle_mmio_page_fault}).
     */
    private boolean knownMmio(long la, long errorCode) {
        long spte = roots.last(la);
        if (!Spte.mmio(spte) || !v.isMmioNow(spte) || !allows(spte, errorCode)) {
            return false;
        }
        faultGpa = Spte.frame(spte) | la & 4095;
        if (Tracepoints.ON) {
            Tracepoints.handleMmioPageFault(la & -4096L, faultGpa >>> 12, ShadowSptes.access(spte));
        }
        return true;
    }

    /** What the entry cannot tell, as keys and whether WP is off, the guest's tables are asked for. */
    private boolean allows(long spte, long errorCode) {
        if ((errorCode & GuestWalk.PF_I) != 0 || (errorCode & GuestWalk.PF_W) != 0 && !Spte.writable(spte)) {
            return false;
        }
        if ((spte & Spte.USER) == 0) {
            return (errorCode & GuestWalk.PF_U) == 0;
        }
        return (s.cr0 & CpuState.CR0_PG) == 0
                || (s.cr4 & CpuState.CR4_PKE) == 0
                        && ((errorCode & GuestWalk.PF_U) != 0 || (s.cr4 & CpuState.CR4_SMAP) == 0);
    }

    /** The host page that {@code la} is mapped to and that its SPTE says is there for writing; 0: none. Inside the guest. */
    private long hostWritable(long la) {
        long spte = roots.leaf(la);
        if ((spte & (Spte.PRESENT | Spte.HOST_WRITABLE)) != (Spte.PRESENT | Spte.HOST_WRITABLE)) {
            return 0;
        }
        return Spte.frame(spte) + ((spte & Spte.LARGE) != 0 ? la & (2 << 20) - 4096 : 0);
    }

    private int resolve(long la, long errorCode, long mapped) {
        int access = (errorCode & GuestWalk.PF_W) != 0
                ? Tlb.WRITE
                : (errorCode & GuestWalk.PF_I) != 0 ? Tlb.FETCH : Tlb.READ;
        int mode = ((errorCode & GuestWalk.PF_U) != 0 ? Tlb.USER : 0)
                | ((errorCode & Hypervisor.PF_SMAP) != 0 ? Tlb.SMAP : 0);
        if (nested && outOfReach(la)) {
            faultCode = (int) errorCode & (GuestWalk.PF_W | GuestWalk.PF_U | GuestWalk.PF_I);
            return Hypervisor.INJECT;
        }
        for (; ; ) {
            int walked = tables.walk(la, access, mode);
            if (walked == GuestWalk.FAULT) {
                faultCode = walk.errorCode;
                return Hypervisor.INJECT;
            }
            if (walked != GuestWalk.OK) {
                return Hypervisor.LEAVE;
            }
            int outcome = translated(la, access, mode, mapped);
            if (outcome != AGAIN) {
                return outcome;
            }
            if (v.mode.kicked()) {
                return Hypervisor.LEAVE;
            }
        }
    }

    /** Whether nested tables of this format have no entry for an address: KVM, and a walk by itself, would take the one of its low bits. */
    private boolean outOfReach(long gpa) {
        int bits = !s.longMode() ? 32 : (s.cr4 & CpuState.CR4_LA57) != 0 ? 57 : 48;
        return gpa >>> bits != 0;
    }

    /** The guest's tables say {@link GuestWalk#gpa}: maps it. @param mapped what {@link #hostWritable} gave before */
    private int translated(long la, int access, int mode, long mapped) {
        boolean write = access == Tlb.WRITE;
        long gfn = walk.gpa >>> 12;
        faultGpa = walk.gpa;
        Memslots slots = tables.slots();
        Memslot slot = v.slot(slots, gfn);
        if (slot == null) {
            noMemory(la, access, (mode & Tlb.USER) != 0, slots);
            return Hypervisor.MMIO;
        }
        if (mmio.owns(walk.gpa)) {
            return Hypervisor.MMIO;
        }
        if (write && slot.readonly()) {
            return Hypervisor.READ_ONLY;
        }
        long hva = slot.hva(gfn);
        // Only if the SPTE maps this very page: the guest may have changed its entry and not flushed.
        if (mapped == hva && ShadowSlot.of(slot).tracked(gfn)) {
            roots.clearWriteFlooding(la);
            watchedHva = hva;
            return Hypervisor.WATCHED;
        }
        if (invalidation.inProgress(hva, 4096)) {
            invalidation.await(hva, v.mode);
            return AGAIN;
        }
        int error = mappedBeside(gfn, hva, write) ? 0 : host.populate(hva, 4096, write);
        if (error != 0) {
            return populateFailed(error);
        }
        boolean large = walk.level != 1
                && mmu.hugePages
                && slot.allows2M(gfn)
                && ShadowSlot.of(slot).allowsLarge(gfn)
                && host.hugeMapped(mmu.hugeStart(hva));
        if (!caches.topUp()) {
            v.errno = Errno.ENOMEM.number();
            return Hypervisor.LEAVE;
        }
        int outcome;
        mmu.lock.lock();
        try {
            long start = large ? mmu.hugeStart(hva) : hva;
            if (mmu.stale(v.addressSpace, slots, tables.sequence(), start, large ? 2 << 20 : 4096)) {
                outcome = AGAIN;
            } else if (roots.obsolete(la)) {
                // A request to drop it is under way.
                v.mode.kick();
                outcome = Hypervisor.LEAVE;
            } else if (!mmu.pages.makeAvailable()) {
                outcome = NO_SPACE;
            } else {
                outcome = map(la, access, (mode & Tlb.USER) != 0, slot, hva, large);
            }
            mmu.pages.commit(false);
        } finally {
            mmu.lock.unlock();
        }
        if (outcome == NO_SPACE) {
            v.errno = Errno.ENOSPC.number();
            return Hypervisor.LEAVE;
        }
        if (outcome == Hypervisor.WATCHED) {
            watchedHva = hva;
        }
        return outcome;
    }

    /** Whether the guest itself has the page mapped, so that it need not be populated: all that this rests on is looked at again under the lock. */
    private boolean mappedBeside(long gfn, long hva, boolean write) {
        TdpBeside beside = mmu.beside;
        if (beside == null) {
            return false;
        }
        v.mode.beginReading();
        boolean there = beside.maps(v.addressSpace, gfn, hva, write);
        v.mode.endReading();
        return there;
    }

    private int populateFailed(int error) {
        if (error != Errno.EINTR.number() && error != Errno.EAGAIN.number()) {
            // A hole, no permission, no memory: KVM says the same of all.
            v.errno = Errno.EFAULT.number();
        }
        return Hypervisor.LEAVE;
    }

    /** Leaves an entry that answers the next access, if it can be had: the access at hand needs none. */
    private void noMemory(long la, int access, boolean user, Memslots slots) {
        long gfn = walk.gpa >>> 12;
        if (gfn >= MMIO_GFN_LIMIT || !caches.topUp()) {
            return;
        }
        mmu.lock.lock();
        try {
            if (!mmu.stale(v.addressSpace, slots, tables.sequence(), 0, 0)
                    && !roots.obsolete(la)
                    && mmu.pages.makeAvailable()) {
                int rights = rights(access == Tlb.WRITE, user);
                long sp = descend(la, 1, gfn, rights);
                if (sp != 0) {
                    markMmio(ShadowPage.sptep(sp, index(la, 1)), gfn, rights, slots.generation);
                }
            }
            mmu.pages.commit(false);
        } finally {
            mmu.lock.unlock();
        }
    }

    private void markMmio(long sptep, long gfn, int rights, long generation) {
        long spte = ShadowSptes.mmio(Spte.mmio(gfn, generation), rights);
        if (HostMemory.getVolatile64(sptep) == spte) {
            // It was there, and could not tell whether this access is allowed.
            return;
        }
        if (mmu.sptes.clear(sptep, 1)) {
            mmu.pages.flush();
        }
        HostMemory.putVolatile64(sptep, spte);
        v.stats.add(VcpuStats.PF_MMIO_SPTE_CREATED);
        if (Tracepoints.ON) {
            Tracepoints.markMmioSpte(sptep, gfn, rights & ~GuestWalk.EXECUTE, generation & Spte.GENERATION);
        }
    }

    /** Makes the tables down to the page and the leaf ({@code FNAME(fetch)}). Under the lock. */
    private int map(long la, int access, boolean user, Memslot slot, long hva, boolean large) {
        boolean write = access == Tlb.WRITE;
        long gfn = walk.gpa >>> 12;
        int rights = rights(write, user);
        boolean asLarge = large && ShadowSlot.of(slot).allowsLarge(gfn);
        if (Tracepoints.ON) {
            Tracepoints.spteRequested(gfn, hva, asLarge ? 2 : 1);
        }
        long sp = descend(la, asLarge ? 2 : 1, gfn, rights);
        if (sp == 0) {
            return AGAIN;
        }
        int level = ShadowPage.level(sp);
        int granted = rights;
        if (level == 2 && mmu.context.nxHugePages().getAsBoolean()) {
            if (access == Tlb.FETCH || table(HostMemory.getVolatile64(ShadowPage.sptep(sp, index(la, 2))), 2)) {
                // Where the guest executes, and where it has before, stay small pages.
                sp = descendDirect(sp, 2, la, gfn, rights);
                level = 1;
                if (access == Tlb.FETCH) {
                    mmu.pages.disallowLarge(sp);
                }
            } else {
                granted &= ~GuestWalk.EXECUTE;
            }
        }
        long base = gfn & -Spte.gfns(level);
        long sptep = ShadowPage.sptep(sp, index(la, level));
        return set(sp, sptep, level, slot, base, hva - (gfn - base << 12), granted, write);
    }

    /** What the page is mapped with, for this access: the guest's rights, as far as its accessed and dirty bits and CR0.WP let it have them. */
    private int rights(boolean write, boolean user) {
        int rights = walk.rights;
        if (walk.level == 0) {
            return rights;
        }
        if ((walk.entry[walk.level] & Spte.DIRTY) == 0) {
            // The first write must be seen, for the guest's dirty bit.
            rights &= ~GuestWalk.WRITE;
        }
        if (write && (rights & GuestWalk.WRITE) == 0 && !user && (s.cr4 & CpuState.CR4_SMAP) == 0) {
            // CR0.WP is off. The page is the supervisor's until user mode touches it; and not executable to it, if
            // SMEP says so of user pages. With SMAP it can't be so for a while: the write is done under watch.
            rights = rights & ~GuestWalk.USER | GuestWalk.WRITE;
            if ((s.cr4 & CpuState.CR4_SMEP) != 0) {
                rights &= ~GuestWalk.EXECUTE;
            }
        }
        return rights;
    }

    /** The guest's protection key for the page. */
    private int key() {
        return walk.level == 0 ? 0 : walk.keyOf(walk.entry[walk.level]);
    }

    /**
     * The page on which the entry for {@code la} at level {@code goal} lies: shadows of the guest's tables as far as it has any, direct ones
     * below. 0: something has changed, so the guest's tables must be walked again. Higher than {@code goal} never; lower when the guest's own
     * page is smaller.
     */
    private long descend(long la, int goal, long gfn, int rights) {
        long sp = roots.page(la);
        if (sp == 0) {
            // A directory pointer that the walk found, and the root does not have yet.
            return 0;
        }
        int level = ShadowPage.level(sp);
        if (walk.level != 0) {
            if (!tables.unchanged(walk.topLevel)) {
                return 0;
            }
            for (; level > walk.level; level--) {
                sp = descendGuest(sp, level, la);
                if (sp == 0) {
                    return 0;
                }
            }
        }
        for (; level > goal; level--) {
            sp = descendDirect(sp, level, la, gfn, rights);
        }
        return sp;
    }

    private static boolean table(long spte, int level) {
        return Spte.present(spte) && !Spte.leaf(spte, level);
    }

    static int index(long la, int level) {
        return (int) (la >>> 12 + 9 * (level - 1)) & ShadowPage.ENTRIES - 1;
    }

    /** The shadow of the guest's next table, linked below {@code sp}; 0: the guest has changed an entry meanwhile. */
    private long descendGuest(long sp, int level, long la) {
        ShadowPage.clearWriteFlooding(sp);
        int index = index(la, level);
        long sptep = ShadowPage.sptep(sp, index);
        long spte = HostMemory.getVolatile64(sptep);
        long gfn = walk.entryGpa[level - 1] >>> 12;
        // Of another gfn when the client wrote to the guest's table itself, which nobody watches.
        if (table(spte, level) && ShadowPage.gfn(ShadowPage.child(spte)) == gfn) {
            return tables.unchanged(level - 1) ? ShadowPage.child(spte) : 0;
        }
        int role = Role.child(ShadowPage.role(sp), index, false, walk.rightsAt[level], 0);
        long child = mmu.sync.get(caches, walk, roots.role(), gfn, role);
        // The guest need not flush to make an entry present, so what is below must be true when it is linked.
        mmu.sync.syncChildren(walk, roots.role(), child);
        if (!tables.unchanged(level - 1) || ShadowPage.invalid(child) || ShadowPage.invalid(sp)) {
            return 0;
        }
        link(sptep, level, child);
        mmu.sync.linked(sptep, child);
        return child;
    }

    private void link(long sptep, int level, long child) {
        if (mmu.sptes.clear(sptep, level)) {
            mmu.pages.flush();
        }
        mmu.sptes.link(caches.descriptors, sptep, child);
    }

    /** A direct table below {@code sp}: part of a larger page of the guest's, or of a guest without paging. */
    private long descendDirect(long sp, int level, long la, long gfn, int rights) {
        ShadowPage.clearWriteFlooding(sp);
        int index = index(la, level);
        long sptep = ShadowPage.sptep(sp, index);
        long spte = HostMemory.getVolatile64(sptep);
        int role = Role.child(ShadowPage.role(sp), index, true, rights, key());
        long base = gfn & -Spte.gfns(level);
        if (table(spte, level)) {
            long child = ShadowPage.child(spte);
            if (ShadowPage.role(child) == role && ShadowPage.gfn(child) == base) {
                return child;
            }
            // Made with other rights, as when the guest's page was clean; or for another page, before the client
            // wrote to the guest's table itself: an entry in it would count as one of that page.
        }
        long child = mmu.sync.get(caches, walk, roots.role(), base, role);
        link(sptep, level, child);
        return child;
    }

    private int set(long sp, long sptep, int level, Memslot slot, long gfn, long hva, int rights, boolean write) {
        long old = HostMemory.getVolatile64(sptep);
        boolean mapped = Spte.present(old) && Spte.leaf(old, level) && Spte.frame(old) == hva;
        boolean flush = false;
        if (!mapped && old != 0) {
            flush = mmu.sptes.clear(sptep, level);
            old = 0;
        }
        boolean hostWritable = write || mapped && (old & Spte.HOST_WRITABLE) != 0;
        boolean writable = (rights & GuestWalk.WRITE) != 0 && hostWritable;
        if (writable && !Spte.writable(old)) {
            // A logged page is made writable by the write that is to be logged.
            writable = (write || !slot.logsDirty()) && !mmu.sync.mustProtect(slot, gfn, true);
        }
        long now = ShadowSptes.leaf(hva, level, rights, key(), hostWritable, writable);
        if (writable && slot.logsDirty()) {
            v.markDirtyEarly(slot, gfn);
        }
        boolean spurious = now == old;
        if (!spurious) {
            ShadowPage.setEntry(sp, ShadowPage.index(sptep), gfn, rights);
            flush |= ShadowSptes.needsFlush(HostMemory.getAndSet64(sptep, now), now);
        }
        if (writable && slot.logsDirty()) {
            // After the entry is writable, never before: see DirtyBitmap.
            v.markDirty(slot, gfn);
        }
        if (!mapped) {
            flush |= mmu.sptes.added(caches.descriptors, slot, sptep, level, gfn);
        }
        if (flush) {
            mmu.pages.flush();
        }
        if (Tracepoints.ON) {
            Tracepoints.setSpte(gfn, sptep, now, level, true, (now & Spte.NO_EXECUTE) == 0);
        }
        if (write && !writable) {
            return Hypervisor.WATCHED;
        }
        v.stats.add(spurious ? VcpuStats.PF_SPURIOUS : VcpuStats.PF_FIXED);
        return Hypervisor.RETRY;
    }

    /** Bytes of the objects in this vCPU's caches. */
    public long cachedBytes() {
        return caches.bytes();
    }

    /** Gives roots and caches back; the vCPU runs no more. */
    @Override
    public void close() {
        roots.close();
        caches.close();
    }
}
