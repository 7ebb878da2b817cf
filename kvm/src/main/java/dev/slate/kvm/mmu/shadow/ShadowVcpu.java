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
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.stats.VcpuStats;
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
    private @Nullable Cpu cpu;

    /** Where the page lies to which a write under watch may go. */
    private long watchedHva;

    private long faultGpa;
    private int faultCode;

    ShadowVcpu(ShadowMmu mmu, VcpuMmu vcpu, CpuState state, MmioPages mmio) {
        this.mmu = mmu;
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
        this.roots = new ShadowRoots(mmu, vcpu, state, walk, tables, caches);
    }

    /** The processor, once there is one; it walks no tables but ours from here on. */
    public void attach(Cpu processor) {
        cpu = processor;
        processor.nestedPaging = false;
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
            c.walker.shadowRoot = loaded ? roots.hva() : 0;
            c.walker.shadowLevels = roots.levels();
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
        boolean ok = true;
        for (int i = 0; i < into.length && ok; i++) {
            long hva = v.beginAccess(gpa + (long) i * Long.BYTES, false);
            ok = hva != 0;
            if (ok) {
                into[i] = HostMemory.get64(hva);
                v.endRead();
            }
        }
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
        v.stats.add(VcpuStats.PF_TAKEN);
        boolean write = (errorCode & GuestWalk.PF_W) != 0;
        v.errno = 0;
        if (processor.walker.shadowRoot == 0) {
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
            case Hypervisor.MMIO -> {
                processor.faultGpa = faultGpa;
                v.stats.add(VcpuStats.PF_EMULATE);
            }
            case Hypervisor.INJECT -> {
                processor.faultCode = faultCode;
                v.stats.add(VcpuStats.PF_GUEST);
            }
            case Hypervisor.WATCHED -> {
                if (hostWritable(la) != watchedHva) {
                    return Hypervisor.RETRY;
                }
                processor.faultGpa = faultGpa;
                processor.watchedHva = watchedHva;
                v.stats.add(VcpuStats.PF_EMULATE);
                v.stats.add(VcpuStats.INSN_EMULATION);
            }
            default -> {}
        }
        return outcome;
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

    /** The guest's tables say {@link GuestWalk#gpa}: maps it. @param mapped what {@link #hostWritable} gave before */
    private int translated(long la, int access, int mode, long mapped) {
        boolean write = access == Tlb.WRITE;
        long gfn = walk.gpa >>> 12;
        faultGpa = walk.gpa;
        Memslots slots = tables.slots();
        Memslot slot = mmio.owns(walk.gpa) ? null : v.slot(slots, gfn);
        if (slot == null || write && slot.readonly()) {
            return Hypervisor.MMIO;
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
        int error = host.populate(hva, 4096, write);
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
                outcome = fetch(la, write, (mode & Tlb.USER) != 0, slot, gfn, hva, large);
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

    private int populateFailed(int error) {
        if (error != Errno.EINTR.number() && error != Errno.EAGAIN.number()) {
            // A hole, no permission, no memory: KVM says the same of all.
            v.errno = Errno.EFAULT.number();
        }
        return Hypervisor.LEAVE;
    }

    /** Makes the tables down to the page, shadows of the guest's as far as it has any and direct ones below, and the leaf. Under the lock. */
    private int fetch(long la, boolean write, boolean user, Memslot slot, long gfn, long hva, boolean large) {
        long sp = roots.page(la);
        if (sp == 0) {
            // A directory pointer that the walk found, and the root does not have yet.
            return AGAIN;
        }
        int level = ShadowPage.level(sp);
        int access = walk.rights;
        boolean direct = walk.level == 0;
        int key = 0;
        if (!direct) {
            long leaf = walk.entry[walk.level];
            key = walk.keyOf(leaf);
            if (!tables.unchanged(walk.topLevel)) {
                return AGAIN;
            }
            if ((leaf & Spte.DIRTY) == 0) {
                // The first write must be seen, for the guest's dirty bit.
                access &= ~GuestWalk.WRITE;
            }
            if (write && (access & GuestWalk.WRITE) == 0 && !user && (s.cr4 & CpuState.CR4_SMAP) == 0) {
                // CR0.WP is off. The page is the supervisor's until user mode touches it; and not executable to it, if
                // SMEP says so
                // of user pages. With SMAP it can't be so for a while: the write is done under watch.
                access = access & ~GuestWalk.USER | GuestWalk.WRITE;
                if ((s.cr4 & CpuState.CR4_SMEP) != 0) {
                    access &= ~GuestWalk.EXECUTE;
                }
            }
            while (level > walk.level) {
                sp = descend(sp, level, la);
                if (sp == 0) {
                    return AGAIN;
                }
                level--;
            }
        }
        int goal = large && ShadowSlot.of(slot).allowsLarge(gfn) ? 2 : 1;
        while (level > goal) {
            sp = descendDirect(sp, level, la, gfn, access, key);
            level--;
        }
        long base = gfn & -Spte.gfns(level);
        long sptep = ShadowPage.sptep(sp, index(la, level));
        return set(sp, sptep, level, slot, base, hva - (gfn - base << 12), access, key, write);
    }

    static int index(long la, int level) {
        return (int) (la >>> 12 + 9 * (level - 1)) & ShadowPage.ENTRIES - 1;
    }

    /** The shadow of the guest's next table, linked below {@code sp}; 0: the guest has changed an entry meanwhile. */
    private long descend(long sp, int level, long la) {
        ShadowPage.clearWriteFlooding(sp);
        int index = index(la, level);
        long sptep = ShadowPage.sptep(sp, index);
        long spte = HostMemory.getVolatile64(sptep);
        if (Spte.present(spte) && !Spte.leaf(spte, level)) {
            return tables.unchanged(level - 1) ? ShadowPage.child(spte) : 0;
        }
        int role = Role.child(ShadowPage.role(sp), index, false, walk.rightsAt[level], 0);
        long gfn = walk.entryGpa[level - 1] >>> 12;
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
    private long descendDirect(long sp, int level, long la, long gfn, int access, int key) {
        ShadowPage.clearWriteFlooding(sp);
        int index = index(la, level);
        long sptep = ShadowPage.sptep(sp, index);
        long spte = HostMemory.getVolatile64(sptep);
        int role = Role.child(ShadowPage.role(sp), index, true, access, key);
        if (Spte.present(spte) && !Spte.leaf(spte, level)) {
            long child = ShadowPage.child(spte);
            if (ShadowPage.role(child) == role) {
                return child;
            }
            // Made with other rights, as when the guest's page was clean.
        }
        long child = mmu.sync.get(caches, walk, roots.role(), gfn & -Spte.gfns(level), role);
        link(sptep, level, child);
        return child;
    }

    private int set(
            long sp, long sptep, int level, Memslot slot, long gfn, long hva, int access, int key, boolean write) {
        long old = HostMemory.getVolatile64(sptep);
        boolean mapped = Spte.present(old) && Spte.leaf(old, level) && Spte.frame(old) == hva;
        boolean flush = false;
        if (!mapped && old != 0) {
            flush = mmu.sptes.clear(sptep, level);
            old = 0;
        }
        boolean hostWritable = write || mapped && (old & Spte.HOST_WRITABLE) != 0;
        boolean writable = (access & GuestWalk.WRITE) != 0 && hostWritable;
        if (writable && !Spte.writable(old)) {
            // A logged page is made writable by the write that is to be logged.
            writable = (write || !slot.logsDirty()) && !mmu.sync.mustProtect(slot, gfn, true);
        }
        long now = ShadowSptes.leaf(hva, level, access, key, hostWritable, writable);
        if (writable && slot.logsDirty()) {
            v.markDirtyEarly(slot, gfn);
        }
        boolean spurious = now == old;
        if (!spurious) {
            ShadowPage.setEntry(sp, ShadowPage.index(sptep), gfn, access);
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
