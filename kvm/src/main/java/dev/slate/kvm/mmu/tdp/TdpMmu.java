package dev.slate.kvm.mmu.tdp;

import dev.slate.cpu.Hypervisor;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Errno;
import dev.slate.kvm.Knobs;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.memslot.Memslots;
import dev.slate.kvm.mmu.HvaInvalidation;
import dev.slate.kvm.mmu.Mmu;
import dev.slate.kvm.mmu.MmuContext;
import dev.slate.kvm.mmu.ShadowedTables;
import dev.slate.kvm.mmu.Spte;
import dev.slate.kvm.mmu.TdpBeside;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.mode.GuestModes;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.kvm.stats.VmStats;
import dev.slate.kvm.tracepoint.Tracepoints;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * The two-dimensional-paging MMU: faults. vCPUs install entries by compare-and-set and take no lock; whoever removes entries holds
 * the MMU's lock and follows the protocol of {@link Mmu}. The tables' other edits are in {@link TdpTables}.
 */
public final class TdpMmu implements Mmu, TdpBeside {
    /** Levels of the tables. */
    public static final int LEVELS = TdpTables.ROOT_LEVEL;

    private static final int ROOT_LEVEL = TdpTables.ROOT_LEVEL;
    /** Most table pages that one fault can use up: a table at each level below the root, and one to split a large page. */
    private static final int MAX_TABLES_PER_FAULT = ROOT_LEVEL;

    private static final long GPA_LIMIT = 1L << 48;
    /** Beside {@link Hypervisor}'s bits in an error code: nobody has accessed the page. */
    private static final long PREFETCH = 1L << 62;

    private static final long HUGE_MASK = (2L << 20) - 1;
    /** Beside {@link TdpTables#map}'s outcomes: a table lies there, and the write may be done for this once. */
    private static final int WATCHED = 3;

    private final HostServices host;
    private final GuestMemory memory;
    private final GuestModes modes;
    private final VmStats stats;
    private final HvaInvalidation invalidation;
    private final MmuContext context;
    private final TdpTables tables;
    private final boolean hugePages;
    private final boolean eagerSplit;
    /** Whether the processor sets accessed and dirty bits in the tables. */
    private final boolean accessedBits;

    private final BooleanSupplier nxHugePages;

    /** {@code mmu_lock}: below the slots lock. vCPUs' faults take it only for writes in the neighbourhood of a nested table. */
    private final ReentrantLock mmuLock;

    private final long[] roots = new long[GuestMemory.ADDRESS_SPACES];

    /** The shadows of nested tables, where guests can have guests. */
    private @Nullable ShadowedTables nestedTables;

    private TdpMmu(MmuContext context) {
        this.context = context;
        this.mmuLock = context.lock();
        this.host = context.host();
        this.memory = context.memory();
        this.modes = context.modes();
        this.stats = context.stats();
        this.invalidation = context.invalidation();
        this.nxHugePages = context.nxHugePages();
        this.tables = new TdpTables(context.tablePages(), stats);
        this.hugePages = context.knobs().on(Knobs.HUGE_PAGES);
        this.eagerSplit = context.knobs().on(Knobs.EAGER_PAGE_SPLIT);
        this.accessedBits = context.knobs().on(Knobs.AD_BITS);
        for (int i = 0; i < roots.length; i++) {
            roots[i] = context.tablePages().take();
            if (roots[i] == 0) {
                throw Errno.ENOMEM.raise();
            }
        }
    }

    /**
     * An MMU that listens to the context's memslots.
     *
     * @throws dev.slate.kvm.KvmException ENOMEM
     */
    public static TdpMmu create(MmuContext context) {
        TdpMmu mmu = new TdpMmu(context);
        context.memory().listener(mmu);
        return mmu;
    }

    /** From here on writes to pages with such tables are watched. Before there are vCPUs. */
    public void watch(ShadowedTables tablesOfNested) {
        nestedTables = tablesOfNested;
    }

    @Override
    public boolean protect(int asId, long gfn) {
        return gfn < GPA_LIMIT >>> 12 && tables.protectForTable(roots[asId], gfn);
    }

    @Override
    public boolean maps(int asId, long gfn, long hva, boolean write) {
        long at = gfn < GPA_LIMIT >>> 12 ? tables.leaf(roots[asId], gfn) : 0;
        long spte = at == 0 ? 0 : HostMemory.getVolatile64(at);
        long within = (spte & Spte.LARGE) != 0 ? gfn << 12 & HUGE_MASK : 0;
        return Spte.mapped(spte) && Spte.frame(spte) + within == hva && (!write || (spte & Spte.HOST_WRITABLE) != 0);
    }

    /** hva of the root table (four levels) for the vCPU's address space. On the vCPU's thread. */
    public long root(VcpuMmu vcpu) {
        return roots[vcpu.addressSpace];
    }

    // ------------------------------------------------------------------ faults

    /**
     * Resolves a nested page fault. On the vCPU's thread, in guest mode; the vCPU is outside meanwhile where this may block, and in
     * guest mode again on return, its TLB flushed when that was asked for.
     *
     * @return {@code Hypervisor.RETRY}, {@code MMIO}, {@code WATCHED} with {@link VcpuMmu#watchedHva} set, or {@code LEAVE} with
     *     {@link VcpuMmu#errno} set
     */
    public int fault(VcpuMmu v, long gpa, long errorCode, long gva) {
        VcpuStats s = v.stats;
        boolean write = (errorCode & Hypervisor.NPF_WRITE) != 0;
        if (gpa >= GPA_LIMIT || gpa < 0) {
            s.add(VcpuStats.PF_TAKEN);
            s.add(VcpuStats.PF_EMULATE);
            return Hypervisor.MMIO;
        }
        long gfn = gpa >>> 12;
        long root = roots[v.addressSpace];
        if ((errorCode & Hypervisor.NPF_RESERVED) != 0) {
            // KVM counts no fault for what an entry has answered before.
            long spte = tables.last(root, gfn);
            if (!Spte.mmio(spte)) {
                return Hypervisor.RETRY;
            }
            if (v.isMmioNow(spte)) {
                if (Tracepoints.ON) {
                    Tracepoints.handleMmioPageFault(0, gfn, 0);
                }
                return Hypervisor.MMIO;
            }
        }
        s.add(VcpuStats.PF_TAKEN);
        if (write && v.dirtyRingFull()) {
            // Its owner was told to leave long ago, and does at the next block edge.
            v.mode.kick();
            v.errno = 0;
            return Hypervisor.LEAVE;
        }
        // Still in guest mode: nobody frees a table under us.
        int level = tables.lowestLevel(root, gfn);
        if (canBeFast(errorCode, write) && fast(v, root, gfn, errorCode)) {
            return Hypervisor.RETRY;
        }
        v.leaveGuest();
        int outcome = slow(v, root, gfn, errorCode, level);
        v.enterGuest();
        if (outcome == Hypervisor.WATCHED) {
            if (!stillThere(root, gfn, v.watchedHva)) {
                return Hypervisor.RETRY;
            }
            s.add(VcpuStats.PF_EMULATE);
            s.add(VcpuStats.INSN_EMULATION);
        }
        return outcome;
    }

    /** Whether a small page is mapped and its memory there for writing. In guest mode: then it stays so until this vCPU leaves. */
    private boolean stillThere(long root, long gfn, long hva) {
        long at = tables.leaf(root, gfn);
        long spte = at == 0 ? 0 : HostMemory.getVolatile64(at);
        return Spte.present(spte)
                && (spte & (Spte.HOST_WRITABLE | Spte.LARGE)) == Spte.HOST_WRITABLE
                && Spte.frame(spte) == hva;
    }

    /** {@code page_fault_can_be_fast}: W alone is missing, or with accessed bits kept by hand, perhaps the whole entry. */
    private boolean canBeFast(long errorCode, boolean write) {
        return (errorCode & Hypervisor.NPF_PRESENT) != 0 ? write : !accessedBits;
    }

    /**
     * The fast page fault: the entry is there and lacks only W, which dirty logging had taken. In guest mode, so whoever zaps waits for
     * us; a compare-and-set from the very entry seen cannot bring back what has been zapped. False: nothing done.
     */
    private boolean fast(VcpuMmu v, long root, long gfn, long errorCode) {
        boolean write = (errorCode & Hypervisor.NPF_WRITE) != 0;
        boolean fetch = (errorCode & Hypervisor.NPF_FETCH) != 0;
        for (; ; ) {
            long at = tables.leaf(root, gfn);
            if (at == 0) {
                return false;
            }
            long spte = HostMemory.getVolatile64(at);
            if (!Spte.mapped(spte) || fetch && (spte & Spte.NO_EXECUTE) != 0) {
                return false;
            }
            if (Spte.present(spte) && (!write || Spte.writable(spte))) {
                v.stats.add(VcpuStats.PF_FAST);
                v.stats.add(VcpuStats.PF_SPURIOUS);
                if (Tracepoints.ON) {
                    traceFast(v, gfn, errorCode, at, spte, spte, Tracepoints.RET_PF_SPURIOUS);
                }
                return true;
            }
            long more = Spte.accessTracked(spte) ? Spte.restoreAccess(spte) : spte;
            Memslots slots = memory.slots(v.addressSpace);
            Memslot slot = null;
            if (write) {
                if (!Spte.writableAgain(spte) || (spte & Spte.LARGE) != 0) {
                    // A logged slot's large page is split. Whether it is logged can only be told in a reading window.
                    return false;
                }
                slot = v.slot(slots, gfn);
                if (slot == null) {
                    // The slot is going, and the entry with it: nobody could say where a write is to be noted.
                    return false;
                }
                v.markDirtyEarly(slot, gfn);
                more |= Spte.WRITABLE | Spte.DIRTY;
            }
            if (HostMemory.cas64(at, spte, more)) {
                if (slot != null) {
                    v.markDirty(slotNow(v, slots, slot, gfn), gfn);
                }
                v.stats.add(VcpuStats.PF_FAST);
                v.stats.add(VcpuStats.PF_FIXED);
                if (Tracepoints.ON) {
                    traceFast(v, gfn, errorCode, at, spte, more, Tracepoints.RET_PF_FIXED);
                }
                return true;
            }
        }
    }

    /**
     * The slot in which a page is to be marked that has just been made writable: not that of the snapshot before if there is a new one,
     * since logging that starts now write-protects only what it finds writable. A slot that has gone elsewhere took its bitmap along.
     */
    private Memslot slotNow(VcpuMmu v, Memslots before, Memslot slot, long gfn) {
        Memslots now = memory.slots(v.addressSpace);
        Memslot found = now == before ? slot : v.slot(now, gfn);
        return found == null ? slot : found;
    }

    private static void traceFast(VcpuMmu v, long gfn, long errorCode, long at, long oldSpte, long newSpte, int ret) {
        Tracepoints.fastPageFault(v.vcpuId, gfn << 12, errorCode, at, oldSpte, newSpte, ret);
    }

    /** Outside guest mode on entry and on return. */
    private int slow(VcpuMmu v, long root, long gfn, long errorCode, int lowest) {
        boolean write = (errorCode & Hypervisor.NPF_WRITE) != 0;
        for (; ; ) {
            // What the translation rests on, in this order: sequence and snapshot first, then what is looked
            // up in them.
            long sequence = invalidation.sequence();
            Memslots slots = memory.slots(v.addressSpace);
            Memslot slot = v.slot(slots, gfn);
            if (slot == null) {
                return noSlot(v, slots, root, gfn);
            }
            if (write && slot.readonly()) {
                v.stats.add(VcpuStats.PF_EMULATE);
                return Hypervisor.READ_ONLY;
            }
            long hva = slot.hva(gfn);
            if (invalidation.inProgress(hva, 4096)) {
                invalidation.await(hva, v.mode);
                if (v.mode.kicked()) {
                    v.errno = 0;
                    return Hypervisor.LEAVE;
                }
                continue;
            }
            int error = host.populate(hva, 4096, write);
            if (error != 0) {
                return populateFailed(v, error);
            }
            int how = how(errorCode, slot);
            int level = 1;
            boolean near = watches(slot, gfn);
            if (near) {
                // A table's page is mapped by itself.
                how |= TdpTables.SPLIT;
            } else if (hugePages && slot.allows2M(gfn) && host.hugeMapped(hva & ~HUGE_MASK)) {
                if ((how & (TdpTables.LARGE_NX | TdpTables.FETCH)) == (TdpTables.LARGE_NX | TdpTables.FETCH)) {
                    how |= TdpTables.NX_SPLIT;
                } else if (lowest >= 2) {
                    level = 2;
                    hva &= ~HUGE_MASK;
                }
            }
            if (!v.tablePages.topUp(MAX_TABLES_PER_FAULT)) {
                v.errno = Errno.ENOMEM.number();
                return Hypervisor.LEAVE;
            }
            int made;
            if (near && write) {
                mmuLock.lock();
                try {
                    made = map(v, sequence, slots, slot, root, gfn, hva, level, how, true);
                } finally {
                    mmuLock.unlock();
                }
            } else {
                made = map(v, sequence, slots, slot, root, gfn, hva, level, how, near);
            }
            switch (made) {
                case TdpTables.MAPPED -> v.stats.add(VcpuStats.PF_FIXED);
                case TdpTables.SPURIOUS -> v.stats.add(VcpuStats.PF_SPURIOUS);
                case WATCHED -> {
                    v.watchedHva = hva;
                    return Hypervisor.WATCHED;
                }
                default -> {
                    // Stale, or somebody is removing what stands there: look again from the start.
                    Thread.onSpinWait();
                    continue;
                }
            }
            return Hypervisor.RETRY;
        }
    }

    private boolean watches(Memslot slot, long gfn) {
        ShadowedTables nested = nestedTables;
        return nested != null && nested.near(slot, gfn);
    }

    /**
     * Maps, in a reading window, if what the translation rests on still stands.
     *
     * @param near nested tables may lie near, so that a write has the lock
     * @return an outcome of {@link TdpTables#map}, or {@link #WATCHED}
     */
    private int map(
            VcpuMmu v,
            long sequence,
            Memslots slots,
            Memslot slot,
            long root,
            long gfn,
            long hva,
            int level,
            int how,
            boolean near) {
        v.mode.beginReading();
        try {
            if (memory.slots(v.addressSpace) != slots
                    || invalidation.retry(sequence, hva, Spte.gfns(level) << 12)
                    || !near && watches(slot, gfn)) {
                return TdpTables.AGAIN;
            }
            if (Tracepoints.ON) {
                Tracepoints.spteRequested(gfn, hva, level);
            }
            boolean write = (how & TdpTables.WRITE) != 0;
            ShadowedTables nested = nestedTables;
            if (near && write && nested != null && nested.mustProtect(slot, gfn)) {
                int watched = how & ~TdpTables.WRITE | TdpTables.WATCHED;
                int made = tables.map(v.tablePages, root, v.addressSpace, gfn, hva, level, watched);
                return made == TdpTables.AGAIN ? made : WATCHED;
            }
            if (write) {
                v.markDirtyEarly(slot, gfn);
            }
            int made = tables.map(v.tablePages, root, v.addressSpace, gfn, hva, level, how);
            if (made == TdpTables.MAPPED && write) {
                v.markDirty(slot, gfn);
            }
            return made;
        } finally {
            v.mode.endReading();
        }
    }

    private int how(long errorCode, Memslot slot) {
        int how = slot.logsDirty() ? TdpTables.SPLIT : 0;
        if ((errorCode & Hypervisor.NPF_WRITE) != 0) {
            how |= TdpTables.WRITE;
        }
        if ((errorCode & Hypervisor.NPF_FETCH) != 0) {
            how |= TdpTables.FETCH;
        }
        if ((errorCode & PREFETCH) != 0) {
            how |= TdpTables.PREFETCH;
        }
        return nxHugePages.getAsBoolean() ? how | TdpTables.LARGE_NX : how;
    }

    /** No memory: an entry says so to the next access, as long as the memslots stay as they are. */
    private int noSlot(VcpuMmu v, Memslots slots, long root, long gfn) {
        if (v.tablePages.topUp(MAX_TABLES_PER_FAULT)) {
            v.mode.beginReading();
            if (memory.slots(v.addressSpace) == slots && tables.mapMmio(v.tablePages, root, gfn, slots.generation)) {
                v.stats.add(VcpuStats.PF_MMIO_SPTE_CREATED);
            }
            v.mode.endReading();
        }
        v.stats.add(VcpuStats.PF_EMULATE);
        return Hypervisor.MMIO;
    }

    /**
     * {@code KVM_PRE_FAULT_MEMORY} of one page: maps what a read would map. On the vCPU's thread, outside guest mode.
     *
     * @return gfns from {@code gfn} on that are mapped now; 0: no memory is there; negative: the errno that says why not, negated
     */
    public long preFault(VcpuMmu v, long gfn) {
        if (gfn >= GPA_LIMIT >>> 12 || v.slot(memory.slots(v.addressSpace), gfn) == null) {
            return 0;
        }
        long root = roots[v.addressSpace];
        v.enterGuest();
        int level = tables.lowestLevel(root, gfn);
        v.leaveGuest();
        if (slow(v, root, gfn, PREFETCH, level) != Hypervisor.RETRY) {
            return v.errno == 0 ? -Errno.EINTR.number() : -v.errno;
        }
        v.enterGuest();
        level = tables.lowestLevel(root, gfn);
        v.leaveGuest();
        return Spte.gfns(level) - (gfn & Spte.gfns(level) - 1);
    }

    private static int populateFailed(VcpuMmu v, int error) {
        if (error == Errno.EINTR.number() || error == Errno.EAGAIN.number()) {
            v.errno = 0;
        } else {
            // A hole, no permission, no memory: KVM says the same of all.
            v.errno = Errno.EFAULT.number();
        }
        return Hypervisor.LEAVE;
    }

    // ------------------------------------------------------------------ memslots

    @Override
    public void memslotChanged(@Nullable Memslot old, @Nullable Memslot slot, Change change, boolean initiallySet) {
        int asId = slot != null ? slot.asId : old != null ? old.asId : 0;
        boolean wrapped = (memory.slots(asId).generation & Spte.GENERATION) == 0;
        if (old == null && !wrapped && !mayHoldLargePage(slot)) {
            // Nothing maps what was no memory, and entries that say that it is none are of an old generation; a logged
            // slot starts without entries.
            return;
        }
        mmuLock.lock();
        try {
            modes.waitForReaders();
            if (wrapped) {
                // MMIO entries of the generation that had this number before would count again.
                boolean zapped = tables.zap(roots[asId], asId, 0, Spte.gfns(ROOT_LEVEL + 1));
                finishZap(zapped || old != null && old.dirtyBitmap != null);
                return;
            }
            switch (change) {
                case CREATE -> {
                    // Tables of MMIO entries would stand in the way of large pages.
                    if (slot != null) {
                        finishZap(tables.zap(roots[asId], asId, slot.baseGfn, slot.endGfn()));
                    }
                }
                case DELETE, MOVE -> {
                    if (old != null) {
                        boolean zapped = tables.zap(roots[asId], asId, old.baseGfn, old.endGfn());
                        finishZap(zapped || old.dirtyBitmap != null);
                    }
                }
                case FLAGS_ONLY -> {
                    if (slot != null && old != null) {
                        if (!slot.readonly()) {
                            loggingChanged(old, slot, initiallySet);
                        } else {
                            finishZap(old.dirtyBitmap != null);
                        }
                    }
                }
            }
        } finally {
            mmuLock.unlock();
        }
    }

    private boolean mayHoldLargePage(@Nullable Memslot slot) {
        return hugePages && slot != null && slot.npages >= Spte.gfns(2);
    }

    private void loggingChanged(Memslot old, Memslot slot, boolean initiallySet) {
        long root = roots[slot.asId];
        if (!slot.logsDirty()) {
            // Logging has stopped. Small mappings that could be one large one go, so that the next fault maps it.
            boolean zapped = hugePages && zapCollapsible(root, slot);
            finishZap(zapped || old.dirtyBitmap != null);
        } else if (!initiallySet) {
            tables.writeProtect(root, slot.baseGfn, slot.endGfn(), eagerSplit);
            // Even if nothing was writable: who is about to make a page so in a fast fault still looks at the old slot.
            finishZap(true);
        }
    }

    private boolean zapCollapsible(long root, Memslot slot) {
        boolean zapped = false;
        long span = Spte.gfns(2);
        for (long gfn = slot.baseGfn + span - 1 & -span; gfn + span <= slot.endGfn(); gfn += span) {
            if (slot.allows2M(gfn)
                    && !watches(slot, gfn)
                    && tables.hasTable(root, gfn, 2)
                    && host.hugeMapped(slot.hva(gfn))) {
                zapped |= tables.zap(root, slot.asId, gfn, gfn + span);
            }
        }
        return zapped;
    }

    @Override
    public void enableLogDirty(Memslot slot, long page, long mask) {
        mmuLock.lock();
        try {
            tables.writeProtect64(roots[slot.asId], slot.baseGfn + page, mask);
        } finally {
            mmuLock.unlock();
        }
    }

    @Override
    public void flushRemoteTlbs() {
        // A fault whose early mark of a page a harvest has taken must have made the second one when the harvest ends.
        modes.waitForReaders();
        flush();
    }

    private void flush() {
        stats.add(VmStats.REMOTE_TLB_FLUSH_REQUESTS, 1);
        if (modes.flushRemoteTlbs()) {
            stats.add(VmStats.REMOTE_TLB_FLUSH, 1);
        }
    }

    /** Steps 4 and 5 of the protocol: with the lock held, so that nobody frees what another flush still waits for. */
    private void finishZap(boolean changed) {
        if (changed) {
            flush();
            tables.freeUnlinked();
        }
    }

    // ------------------------------------------------------------------ the client's memory

    @Override
    public void hostInvalidateBegin(long startHva, long endHva) {
        mmuLock.lock();
        try {
            invalidation.begin(startHva, endHva);
            modes.waitForReaders();
            boolean zapped = false;
            for (int as = 0; as < GuestMemory.ADDRESS_SPACES; as++) {
                int view = as;
                zapped |= memory.slots(as)
                        .overHva(startHva, endHva, (slot, first, end) -> tables.zap(roots[view], view, first, end));
            }
            finishZap(zapped);
        } finally {
            mmuLock.unlock();
        }
    }

    @Override
    public boolean used(long startHva, long endHva, boolean clear) {
        mmuLock.lock();
        try {
            boolean used = false;
            for (int as = 0; as < GuestMemory.ADDRESS_SPACES; as++) {
                long root = roots[as];
                used |= memory.slots(as)
                        .overHva(
                                startHva,
                                endHva,
                                (slot, first, end) -> tables.used(root, first, end, clear, accessedBits));
            }
            if (used && clear) {
                flush();
            }
            return used;
        } finally {
            mmuLock.unlock();
        }
    }

    @Override
    public void recoverNxHugePages(int ratio) {
        mmuLock.lock();
        try {
            modes.waitForReaders();
            boolean zapped = false;
            for (long region : tables.nxSplits().oldest(ratio)) {
                int as = NxSplits.asId(region);
                long gfn = NxSplits.gfn(region);
                zapped |= tables.zap(roots[as], as, gfn, gfn + Spte.gfns(2));
            }
            finishZap(zapped);
        } finally {
            mmuLock.unlock();
        }
    }

    @Override
    public long metadataBytes() {
        return tables.bytes();
    }

    @Override
    public void hostInvalidateEnd(long startHva, long endHva) {
        mmuLock.lock();
        try {
            invalidation.end();
        } finally {
            mmuLock.unlock();
        }
    }

    @Override
    public void zapAll() {
        mmuLock.lock();
        try {
            modes.waitForReaders();
            boolean zapped = false;
            for (int as = 0; as < roots.length; as++) {
                zapped |= tables.zap(roots[as], as, 0, Spte.gfns(ROOT_LEVEL + 1));
            }
            finishZap(zapped);
        } finally {
            mmuLock.unlock();
        }
    }

    @Override
    public void close() {
        mmuLock.lock();
        try {
            for (int i = 0; i < roots.length; i++) {
                tables.zap(roots[i], i, 0, Spte.gfns(ROOT_LEVEL + 1));
                tables.freeUnlinked();
                context.tablePages().give(roots[i]);
                roots[i] = 0;
            }
        } finally {
            mmuLock.unlock();
        }
    }
}
