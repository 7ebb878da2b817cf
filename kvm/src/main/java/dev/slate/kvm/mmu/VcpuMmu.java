package dev.slate.kvm.mmu;

import dev.slate.cpu.EntryState;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Errno;
import dev.slate.kvm.Knobs;
import dev.slate.kvm.dirty.DirtyRing;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.memslot.Memslots;
import dev.slate.kvm.memslot.SlotLookup;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.GuestModes;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.kvm.tracepoint.Tracepoints;
import org.jspecify.annotations.Nullable;

/**
 * A vCPU's side of the MMU: its last used slot, its cache of table pages, its TLB as far as the MMU goes, and its hypervisor's access
 * to guest memory.
 *
 * <p>Of the vCPU's thread only.
 */
public final class VcpuMmu implements AutoCloseable {
    /** The processor's TLB. */
    @FunctionalInterface
    public interface Tlb {
        /** Forgets every translation. */
        void flush();
    }

    public final GuestMode mode;
    public final VcpuStats stats;
    public final MemoryCache tablePages;

    /** The client's number of the vCPU, for tracepoints. */
    public int vcpuId;

    /** 0, or 1 in system management mode. */
    public int addressSpace;

    /** From gfn to memslot. */
    public final SlotLookup slots;

    /** After {@code LEAVE}: what KVM_RUN fails with, a positive errno number; 0: nothing, look at the kick word and run on. */
    public int errno;

    /** After {@code WATCHED}: the host page that may be written to for this once. */
    public long watchedHva;

    /** Where this vCPU logs, when the VM uses rings. */
    public @Nullable DirtyRing dirtyRing;

    private final MmuContext context;
    private final Tlb tlb;
    private final long[] pointers = new long[4];
    private final PopulatedPages populated = new PopulatedPages();

    /**
     * @param context the VM's part
     * @param mode the vCPU's mode, outside; the caller adds it to the VM's {@link GuestModes}
     */
    public VcpuMmu(MmuContext context, GuestMode mode, VcpuStats stats, Tlb tlb) {
        this.context = context;
        this.mode = mode;
        this.stats = stats;
        this.tlb = tlb;
        this.tablePages = new MemoryCache(context.tablePages());
        this.slots = new SlotLookup(SlotLookup.Form.of(context.knobs().value(Knobs.MEMSLOT_LOOKUP)));
    }

    /** The slot that holds {@code gfn} in {@code slots}, or null. */
    public @Nullable Memslot slot(Memslots slots, long gfn) {
        return this.slots.find(slots, gfn);
    }

    /** Whether an entry that says that no memory is there speaks of the memslots of now ({@code check_mmio_spte}). */
    public boolean isMmioNow(long mmioSpte) {
        long now = context.memory().slots(addressSpace).generation;
        if (Tracepoints.ON) {
            Tracepoints.checkMmioSpte(mmioSpte, now & Spte.GENERATION, Spte.generation(mmioSpte));
        }
        return Spte.mmioOf(mmioSpte, now);
    }

    /**
     * Notes in the slot's bitmap that a page is about to be made writable: {@link #markDirty} follows. Without it, this thread could be held
     * up between the two while others write to the page, and two harvests would not know of it. A ring has no such note.
     */
    public void markDirtyEarly(Memslot slot, long gfn) {
        if (dirtyRing == null) {
            slot.markDirty(gfn);
        }
    }

    /**
     * Notes a write to a page, in the slot's bitmap or this vCPU's ring. After the entry was made writable, never only before: see
     * {@link dev.slate.kvm.dirty.DirtyBitmap}.
     */
    public void markDirty(Memslot slot, long gfn) {
        DirtyRing ring = dirtyRing;
        if (ring == null) {
            slot.markDirty(gfn);
        } else if (slot.logsDirty()) {
            ring.push(slot.asId << 16 | slot.id, gfn - slot.baseGfn);
            if (ring.softFull()) {
                mode.kick();
            }
        }
    }

    /** Whether the vCPU must leave with KVM_EXIT_DIRTY_RING_FULL instead of running. */
    public boolean dirtyRingSoftFull() {
        DirtyRing ring = dirtyRing;
        return ring != null && ring.softFull();
    }

    /** Whether not even the reserve of the ring is left, so that no write may be let through. */
    public boolean dirtyRingFull() {
        DirtyRing ring = dirtyRing;
        return ring != null && ring.full();
    }

    /** Goes into guest mode; a TLB flush that was asked for is done. Other requests stay pending, with the kick word set. */
    public void enterGuest() {
        context.modes().enter(mode);
        if (mode.check(Request.TLB_FLUSH)) {
            flushTlb();
        }
    }

    /** Leaves guest mode. */
    public void leaveGuest() {
        mode.leave();
    }

    /** Leaves guest mode or a reading window if an error has left the vCPU in one; translations are forgotten then. */
    public void leaveAnyway() {
        if (mode.mode() != GuestMode.OUTSIDE_GUEST_MODE) {
            mode.leave();
            flushTlb();
        }
    }

    /** Serves {@link Request#TLB_FLUSH} when it is pending; outside guest mode. */
    public void serveTlbFlush() {
        if (mode.check(Request.TLB_FLUSH)) {
            flushTlb();
            context.modes().yieldToWaiters();
        }
    }

    private void flushTlb() {
        stats.add(VcpuStats.TLB_FLUSH);
        tlb.flush();
    }

    // ------------------------------------------------------------------ guest memory, for the hypervisor

    /**
     * Reads guest physical memory; outside guest mode. The range may cross pages and slots.
     *
     * @return false when some byte of it is no memory (nothing useful is in {@code to} then)
     */
    public boolean read(long gpa, byte[] to, int offset, int bytes) {
        while (bytes > 0) {
            int part = (int) Math.min(bytes, 4096 - (gpa & 4095));
            long hva = beginAccess(gpa, false);
            if (hva == 0) {
                return false;
            }
            HostMemory.copyOut(hva, to, offset, part);
            mode.endReading();
            gpa += part;
            offset += part;
            bytes -= part;
        }
        return true;
    }

    /**
     * Reads words of eight bytes, all on one page; outside guest mode.
     *
     * @return false when they are no memory
     */
    public boolean read(long gpa, long[] to) {
        long hva = beginAccess(gpa, false);
        if (hva == 0) {
            return false;
        }
        for (int i = 0; i < to.length; i++) {
            to[i] = HostMemory.get64(hva + (long) i * Long.BYTES);
        }
        endRead();
        return true;
    }

    /**
     * Reads PAE paging's directory pointers as a load of CR3 does (SDM 3A 4.4.1); outside guest mode.
     *
     * @return false, with {@code to} as it was: no memory is there, or a present one has a reserved bit set
     */
    public boolean readDirectoryPointers(long cr3, int physicalBits, long[] to) {
        if (!read(cr3 & 0xffff_ffe0L, pointers) || !EntryState.validPdptrs(pointers, -1L << physicalBits)) {
            return false;
        }
        System.arraycopy(pointers, 0, to, 0, pointers.length);
        return true;
    }

    /**
     * Writes guest physical memory and marks it dirty; outside guest mode. The range may cross pages and slots.
     *
     * @return false when some byte of it is no memory, or read-only; bytes before it may have been written
     */
    public boolean write(long gpa, byte[] from, int offset, int bytes) {
        while (bytes > 0) {
            int part = (int) Math.min(bytes, 4096 - (gpa & 4095));
            long hva = beginAccess(gpa, true);
            if (hva == 0) {
                return false;
            }
            HostMemory.copyIn(from, offset, hva, part);
            endWrite(gpa);
            gpa += part;
            offset += part;
            bytes -= part;
        }
        return true;
    }

    /**
     * Opens a window on the page that holds {@code gpa}: until {@link #endRead} or {@link #endWrite} the address stays good. Nothing that
     * blocks may be done inside.
     *
     * @param gpa any address
     * @return the host address, good to the end of its page; 0: no memory, no access, or read-only, and no window is open
     */
    public long beginAccess(long gpa, boolean write) {
        if (gpa < 0) {
            return 0;
        }
        long gfn = gpa >>> 12;
        HostServices host = context.host();
        GuestMemory memory = context.memory();
        HvaInvalidation invalidation = context.invalidation();
        for (; ; ) {
            Memslots slots = memory.slots(addressSpace);
            long sequence = invalidation.sequence();
            Memslot slot = slot(slots, gfn);
            if (slot == null || write && (slot.readonly() || dirtyRingFull())) {
                return 0;
            }
            long hva = slot.hva(gfn);
            if (!populated.has(slots, sequence, hva, write)) {
                if (host.populate(hva, 4096, write) != 0) {
                    errno = Errno.EFAULT.number();
                    return 0;
                }
                populated.add(slots, sequence, hva, write);
            }
            mode.beginReading();
            if (memory.slots(addressSpace) == slots && !invalidation.retry(sequence, hva, 4096)) {
                accessed = slot;
                return hva | gpa & 4095;
            }
            mode.endReading();
            invalidation.await(hva, null);
        }
    }

    private @Nullable Memslot accessed;

    /** Closes a window that was opened for reading. */
    public void endRead() {
        mode.endReading();
    }

    /** Closes a window that was opened for writing at {@code gpa}. */
    public void endWrite(long gpa) {
        Memslot slot = accessed;
        if (slot != null) {
            markDirty(slot, gpa >>> 12);
        }
        mode.endReading();
    }

    /** Gives the caches back; the vCPU runs no more. */
    @Override
    public void close() {
        tablePages.drain();
    }
}
