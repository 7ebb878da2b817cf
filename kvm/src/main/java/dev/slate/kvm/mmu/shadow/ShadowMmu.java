package dev.slate.kvm.mmu.shadow;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Knobs;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.memslot.Memslots;
import dev.slate.kvm.memslot.SlotMetadata;
import dev.slate.kvm.mmu.HvaInvalidation;
import dev.slate.kvm.mmu.Mmu;
import dev.slate.kvm.mmu.MmuContext;
import dev.slate.kvm.mmu.ShadowedTables;
import dev.slate.kvm.mmu.Slab;
import dev.slate.kvm.mmu.Spte;
import dev.slate.kvm.mmu.TdpBeside;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.mode.GuestModes;
import dev.slate.kvm.rmap.PteListForm;
import dev.slate.kvm.rmap.PteLists;
import dev.slate.kvm.rmap.SlotRmaps;
import dev.slate.kvm.stats.ShadowFigures;
import dev.slate.kvm.stats.VmStats;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * The shadow MMU of a VM: what is common to its vCPUs ({@link ShadowVcpu}), and what takes memory away from them.
 *
 * <p>Everything is done under one lock, {@code mmu_lock}, below the slots lock. A vCPU that wants it is outside guest mode, so whoever holds it
 * may wait for vCPUs to leave. Under it an entry is committed only when the memslots and the invalidation sequence that it rests on still
 * stand; who takes memory away publishes first and takes the lock then, so it finds what was committed before.
 *
 * <p>Invariant: the page of a guest table that is shadowed is populated, for it is read under the lock. So a table whose memory the client
 * takes away loses its shadow.
 *
 * <p>Beside two-dimensional paging it does the same for the nested tables of guests that have guests (decision 35).
 */
public final class ShadowMmu implements Mmu, ShadowedTables {
    private static final long HUGE_MASK = (2L << 20) - 1;
    /** {@code KVM_MEMSLOT_PAGES_TO_MMU_PAGES_RATIO}. */
    private static final long PAGES_TO_MMU_PAGES = 50;
    /** Writes in a row that a guest table takes before it is taken for something else. */
    private static final int FLOOD = 3;

    final MmuContext context;
    final ReentrantLock lock;
    final ShadowSptes sptes;
    final ShadowPages pages;
    final ShadowSync sync;
    final Slab descriptors;
    final boolean hugePages;
    /** Two-dimensional paging beside this; null: there is none. */
    final @Nullable TdpBeside beside;

    private final HostServices host;
    private final GuestMemory memory;
    private final GuestModes modes;
    private final VmStats stats;
    private final HvaInvalidation invalidation;
    private boolean limitRequested;
    private long slotPages;

    private ShadowMmu(MmuContext context, @Nullable TdpBeside beside) {
        this.context = context;
        this.beside = beside;
        this.lock = context.lock();
        this.host = context.host();
        this.memory = context.memory();
        this.modes = context.modes();
        this.stats = context.stats();
        this.invalidation = context.invalidation();
        Knobs knobs = context.knobs();
        this.hugePages = knobs.on(Knobs.HUGE_PAGES);
        PteListForm form = PteListForm.of(knobs);
        this.descriptors = new Slab(host, form.bytes(), Long.BYTES);
        this.sptes = new ShadowSptes(new PteLists(form, descriptors), stats, memory, beside);
        this.pages = new ShadowPages(context, sptes);
        this.sync = new ShadowSync(sptes, pages, stats);
    }

    /**
     * An MMU that listens to the context's memslots.
     *
     * @throws dev.slate.kvm.KvmException ENOMEM
     */
    public static ShadowMmu create(MmuContext context) {
        ShadowMmu mmu = new ShadowMmu(context, null);
        context.memory().listener(mmu);
        return mmu;
    }

    /**
     * An MMU that shadows the nested tables of guests which have guests, beside two-dimensional paging. Another one listens to the memslots.
     *
     * @param beside the other MMU, of the same context
     * @throws dev.slate.kvm.KvmException ENOMEM
     */
    public static ShadowMmu beside(MmuContext context, TdpBeside beside) {
        return new ShadowMmu(context, beside);
    }

    /**
     * A vCPU's part.
     *
     * @param state whose control registers and tables are shadowed
     * @param mmio pages that the hypervisor itself answers for, whatever slot lies there
     */
    public ShadowVcpu vcpu(VcpuMmu vcpu, CpuState state, ShadowVcpu.MmioPages mmio) {
        return new ShadowVcpu(this, vcpu, state, mmio, false);
    }

    /**
     * A vCPU's part for its guest's guests.
     *
     * @param host the paging mode and CR3 of the nested tables
     */
    public ShadowVcpu nestedVcpu(VcpuMmu vcpu, CpuState host, ShadowVcpu.MmioPages mmio) {
        return new ShadowVcpu(this, vcpu, host, mmio, true);
    }

    // ------------------------------------------------------------------ for two-dimensional paging beside

    @Override
    public boolean near(Memslot slot, long gfn) {
        return !ShadowSlot.of(slot).allowsLarge(gfn);
    }

    @Override
    public boolean mustProtect(Memslot slot, long gfn) {
        return sync.mustProtect(slot, gfn, true);
    }

    /** Whether there ever was a shadow page. Any thread. */
    public boolean everUsed() {
        return pages.everUsed();
    }

    /** Whether something that a translation rests on is no longer so, or not yet. Under the lock. */
    boolean stale(int addressSpace, Memslots slots, long sequence, long hva, long bytes) {
        return memory.slots(addressSpace) != slots
                || sptes.view(addressSpace) != slots
                || invalidation.retry(sequence, hva, bytes);
    }

    // ------------------------------------------------------------------ memslots

    @Override
    public SlotMetadata metadata(long baseGfn, long npages) {
        return new ShadowSlot(host, baseGfn, npages);
    }

    @Override
    public void memslotChanged(@Nullable Memslot old, @Nullable Memslot slot, Change change, boolean initiallySet) {
        Memslot any = slot != null ? slot : old;
        if (any == null) {
            return;
        }
        lock.lock();
        try {
            modes.waitForReaders();
            if ((memory.slots(any.asId).generation & Spte.GENERATION) == 0) {
                // MMIO entries from a whole round of generations ago would look like those of now.
                pages.invalidateAll();
            }
            switch (change) {
                case CREATE -> {
                    sptes.view(any.asId, memory.slots(any.asId));
                    slotPages += any.npages;
                    standardLimit();
                }
                case DELETE, MOVE -> {
                    pages.invalidateAll();
                    pages.commit(any.dirtyBitmap != null);
                    sptes.view(any.asId, memory.slots(any.asId));
                    if (change == Change.DELETE) {
                        slotPages -= any.npages;
                        standardLimit();
                    }
                }
                case FLAGS_ONLY -> {
                    sptes.view(any.asId, memory.slots(any.asId));
                    if (old != null && slot != null) {
                        loggingChanged(old, slot, initiallySet);
                    }
                }
            }
        } finally {
            lock.unlock();
        }
    }

    private void standardLimit() {
        if (!limitRequested) {
            pages.limit(Math.max(slotPages / PAGES_TO_MMU_PAGES, ShadowPages.MIN_ALLOC_MMU_PAGES));
        }
    }

    private void loggingChanged(Memslot old, Memslot slot, boolean initiallySet) {
        boolean flush = old.dirtyBitmap != null && slot.dirtyBitmap == null;
        if (!slot.logsDirty()) {
            flush |= zapCollapsible(slot);
        } else if (!initiallySet) {
            flush |= protectSlot(slot);
        }
        if (flush) {
            pages.flush();
        }
    }

    private boolean protectSlot(Memslot slot) {
        return ShadowSlot.of(slot).rmaps.anyHead(slot.baseGfn, slot.endGfn(), head -> sptes.protectRmap(head, false));
    }

    /** Small mappings by direct pages, which could be large ones now, go; the next fault makes the large one. */
    private boolean zapCollapsible(Memslot slot) {
        boolean any = false;
        if (!hugePages) {
            return false;
        }
        ShadowSlot s = ShadowSlot.of(slot);
        long span = Spte.gfns(2);
        for (long gfn = slot.baseGfn + span - 1 & -span; gfn + span <= slot.endGfn(); gfn += span) {
            if (slot.allows2M(gfn) && s.allowsLarge(gfn) && host.hugeMapped(slot.hva(gfn))) {
                for (long g = gfn; g < gfn + span; g++) {
                    any |= zapDirect(s.rmaps.head(g, 1));
                }
            }
        }
        return any;
    }

    private long directLeaf;

    private boolean zapDirect(long head) {
        boolean any = false;
        while (HostMemory.get64(head) != 0) {
            directLeaf = 0;
            sptes.lists.forEach(head, sptep -> {
                if (Role.direct(ShadowPage.role(ShadowPage.of(sptep)))) {
                    directLeaf = sptep;
                }
            });
            if (directLeaf == 0) {
                break;
            }
            any |= sptes.drop(directLeaf);
        }
        return any;
    }

    @Override
    public void enableLogDirty(Memslot slot, long page, long mask) {
        lock.lock();
        try {
            SlotRmaps rmaps = ShadowSlot.of(slot).rmaps;
            long first = slot.baseGfn + page;
            long last = first + Long.SIZE - 1 - Long.numberOfLeadingZeros(mask);
            // 64 pages lie on two large ones at most.
            for (int level = 2; level <= SlotRmaps.LEVELS; level++) {
                sptes.protectRmap(rmaps.head(first, level), false);
                sptes.protectRmap(rmaps.head(last, level), false);
            }
            while (mask != 0) {
                sptes.protectRmap(rmaps.head(first + Long.numberOfTrailingZeros(mask), 1), false);
                mask &= mask - 1;
            }
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void flushRemoteTlbs() {
        pages.flush();
    }

    // ------------------------------------------------------------------ the client's memory

    @Override
    public void hostInvalidateBegin(long startHva, long endHva) {
        lock.lock();
        try {
            invalidation.begin(startHva, endHva);
            modes.waitForReaders();
            boolean flush = false;
            for (int as = 0; as < GuestMemory.ADDRESS_SPACES; as++) {
                flush |= sptes.view(as).overHva(startHva, endHva, this::zapRange);
            }
            pages.commit(flush);
        } finally {
            lock.unlock();
        }
    }

    private boolean zapRange(Memslot slot, long first, long end) {
        ShadowSlot s = ShadowSlot.of(slot);
        zapTables(s, first, end);
        return s.rmaps.anyHead(first, end, sptes::zapRmap);
    }

    /** Zaps the shadows of guest tables in a range. */
    private void zapTables(ShadowSlot s, long first, long end) {
        for (long gfn = first; gfn < end; ) {
            if (s.allowsLarge(gfn)) {
                gfn = ShadowSlot.nextLarge(gfn);
                continue;
            }
            zapShadowsOf(gfn++);
        }
    }

    private void zapShadowsOf(long gfn) {
        for (long sp = pages.first(gfn); sp != 0; sp = ShadowPage.nextInBucket(sp)) {
            if (pages.shadows(sp, gfn)) {
                pages.zap(sp);
            }
        }
    }

    @Override
    public long metadataBytes() {
        return figures().bytes();
    }

    @Override
    public void hostInvalidateEnd(long startHva, long endHva) {
        lock.lock();
        try {
            invalidation.end();
        } finally {
            lock.unlock();
        }
    }

    @Override
    public boolean used(long startHva, long endHva, boolean clear) {
        lock.lock();
        try {
            boolean used = false;
            for (int as = 0; as < GuestMemory.ADDRESS_SPACES; as++) {
                used |= sptes.view(as)
                        .overHva(
                                startHva,
                                endHva,
                                (slot, first, end) ->
                                        ShadowSlot.of(slot).rmaps.anyHead(first, end, head -> sptes.used(head, clear)));
            }
            if (used && clear) {
                pages.flush();
            }
            return used;
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void recoverNxHugePages(int ratio) {
        lock.lock();
        try {
            modes.waitForReaders();
            pages.recoverLarge(ratio);
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void zapAll() {
        lock.lock();
        try {
            modes.waitForReaders();
            pages.invalidateAll();
        } finally {
            lock.unlock();
        }
    }

    // ------------------------------------------------------------------ writes to guest tables

    /** The guest has written to a page under watch ({@code kvm_mmu_pte_write}): what the written entries translated is void. Under the lock. */
    void written(long gpa, int bytes) {
        if (!pages.anyIndirect()) {
            return;
        }
        long gfn = gpa >>> 12;
        stats.add(VmStats.MMU_PTE_WRITE, 1);
        boolean flush = false;
        for (long sp = pages.first(gfn); sp != 0; sp = ShadowPage.nextInBucket(sp)) {
            if (!pages.shadows(sp, gfn)) {
                continue;
            }
            if (misaligned(sp, gpa, bytes) || ShadowPage.level(sp) > 1 && ShadowPage.countWrite(sp) >= FLOOD) {
                pages.zap(sp);
                stats.add(VmStats.MMU_FLOODED, 1);
            } else {
                flush |= zapWritten(sp, (int) gpa & 4095);
            }
        }
        pages.commit(flush);
    }

    /** Whether a write is none of a table's: over an entry's edge, or of a small part. Guests do change the low byte alone. */
    private static boolean misaligned(long sp, long gpa, int bytes) {
        int size = Role.has4ByteGpte(ShadowPage.role(sp)) ? 4 : 8;
        int offset = (int) gpa & 4095;
        if ((offset & size - 1) == 0 && bytes == 1) {
            return false;
        }
        return bytes < 4 || ((offset ^ offset + bytes - 1) & -size) != 0;
    }

    private boolean zapWritten(long sp, int offset) {
        int role = ShadowPage.role(sp);
        int level = Role.level(role);
        int count = 1;
        int index = offset >>> 3;
        if (Role.has4ByteGpte(role)) {
            index = offset >>> 2;
            if (level == 2) {
                // An entry of 4 bytes maps 4 MiB: two of ours.
                index <<= 1;
                count = 2;
            }
            if (index >>> 9 != Role.quadrant(role)) {
                return false;
            }
            index &= ShadowPage.ENTRIES - 1;
        }
        boolean any = false;
        for (int i = index; i < index + count; i++) {
            any |= sptes.clear(ShadowPage.sptep(sp, i), level);
        }
        if (level > 1 && writtenEntry(sp, offset) != 0) {
            stats.add(VmStats.MMU_PDE_ZAPPED, count);
        }
        return any;
    }

    /** The entry that a write has left. */
    private long writtenEntry(long sp, int offset) {
        int role = ShadowPage.role(sp);
        Memslot slot = sptes.slot(role, ShadowPage.gfn(sp));
        if (slot == null) {
            return 0;
        }
        long table = slot.hva(ShadowPage.gfn(sp));
        return Role.has4ByteGpte(role)
                ? HostMemory.get32(table + (offset & -4)) & 0xffff_ffffL
                : HostMemory.get64(table + (offset & -8));
    }

    // ------------------------------------------------------------------ limits and figures

    /** {@code KVM_SET_NR_MMU_PAGES}. */
    public void limit(long count) {
        lock.lock();
        try {
            limitRequested = true;
            pages.limit(count);
        } finally {
            lock.unlock();
        }
    }

    /** {@code KVM_GET_NR_MMU_PAGES}. */
    public long limit() {
        lock.lock();
        try {
            return pages.limit();
        } finally {
            lock.unlock();
        }
    }

    /** What the structures hold at this moment. */
    public ShadowFigures figures() {
        lock.lock();
        try {
            long[][] histogram = new long[SlotRmaps.LEVELS][SlotRmaps.CLASSES];
            long slotBytes = 0;
            for (int as = 0; as < GuestMemory.ADDRESS_SPACES; as++) {
                Memslots slots = sptes.view(as);
                for (int i = 0; i < slots.used(); i++) {
                    Memslot slot = slots.at(i);
                    if (slot != null) {
                        ShadowSlot s = ShadowSlot.of(slot);
                        slotBytes += s.bytes();
                        for (int level = 1; level <= SlotRmaps.LEVELS; level++) {
                            s.rmaps.histogram(sptes.lists, level, histogram[level - 1]);
                        }
                    }
                }
            }
            return new ShadowFigures(
                    histogram,
                    pages.used(),
                    pages.headers.used(),
                    ShadowPage.BYTES,
                    pages.tables.used(),
                    pages.shadowedInfo.used(),
                    descriptors.used(),
                    descriptors.objectBytes(),
                    descriptors.bytes(),
                    slotBytes,
                    sptes.lists.descriptorsWalked,
                    sptes.lists.entriesWalked);
        } finally {
            lock.unlock();
        }
    }

    long hugeStart(long hva) {
        return hva & ~HUGE_MASK;
    }

    @Override
    public void close() {
        lock.lock();
        try {
            // The vCPUs have gone, their modes with them: nobody is to be told of anything.
            pages.close();
            descriptors.close();
        } finally {
            lock.unlock();
        }
    }
}
