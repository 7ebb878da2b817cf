package dev.slate.kvm.memslot;

import dev.slate.kvm.dirty.DirtyBitmap;
import org.jspecify.annotations.Nullable;

/**
 * A range of guest physical memory and the client's memory behind it ({@code struct kvm_memory_slot}). Immutable but for the bits of
 * its bitmap; a change makes another one.
 */
public final class Memslot {
    /** {@code KVM_MEM_LOG_DIRTY_PAGES}. */
    public static final int LOG_DIRTY_PAGES = 1;
    /** {@code KVM_MEM_READONLY}. */
    public static final int READONLY = 1 << 1;

    private static final long HUGE_PAGE_GFNS = 512;

    /** Address space, 0 or 1 (system management mode). */
    public final int asId;
    /** The client's number for it, 0 to {@link GuestMemory#USER_MEM_SLOTS}, exclusive. */
    public final int id;

    public final int flags;
    public final long baseGfn;
    /** 1 to 2^31 - 1. */
    public final long npages;
    /** hva of the first page. */
    public final long userspaceAddr;
    /** There while dirty pages are logged by bitmap. */
    public final @Nullable DirtyBitmap dirtyBitmap;
    /** The MMU's own. */
    public final @Nullable SlotMetadata metadata;

    Memslot(
            int asId,
            int id,
            int flags,
            long baseGfn,
            long npages,
            long userspaceAddr,
            @Nullable DirtyBitmap dirtyBitmap,
            @Nullable SlotMetadata metadata) {
        this.asId = asId;
        this.id = id;
        this.flags = flags;
        this.baseGfn = baseGfn;
        this.npages = npages;
        this.userspaceAddr = userspaceAddr;
        this.dirtyBitmap = dirtyBitmap;
        this.metadata = metadata;
    }

    /** Whether {@code gfn} (any 64-bit value) lies in this slot. */
    public boolean contains(long gfn) {
        return Long.compareUnsigned(gfn - baseGfn, npages) < 0;
    }

    /** First gfn behind the slot. */
    public long endGfn() {
        return baseGfn + npages;
    }

    /** First hva behind the slot. */
    public long endHva() {
        return userspaceAddr + (npages << 12);
    }

    /** hva of a page of this slot. */
    public long hva(long gfn) {
        return userspaceAddr + (gfn - baseGfn << 12);
    }

    /** Guest writes do not reach the memory: they are MMIO. */
    public boolean readonly() {
        return (flags & READONLY) != 0;
    }

    /** Whether writes are to be logged, in the bitmap or in the vCPUs' rings. */
    public boolean logsDirty() {
        return (flags & LOG_DIRTY_PAGES) != 0;
    }

    /** Notes a write to a page of this slot in its bitmap, when it has one. */
    public void markDirty(long gfn) {
        DirtyBitmap bitmap = dirtyBitmap;
        if (bitmap != null) {
            bitmap.mark(gfn - baseGfn);
        }
    }

    /**
     * Whether the 2 MiB around {@code gfn} may be one mapping as far as the slot goes: gfn and hva are aligned alike, the whole lies
     * inside, and no single page of it has to be watched for writes.
     */
    public boolean allows2M(long gfn) {
        long first = gfn & -HUGE_PAGE_GFNS;
        return !logsDirty()
                && ((userspaceAddr >>> 12 ^ baseGfn) & HUGE_PAGE_GFNS - 1) == 0
                && first >= baseGfn
                && first + HUGE_PAGE_GFNS <= endGfn();
    }

    @Override
    public String toString() {
        return "memslot %d:%d gfn %#x+%#x hva %#x flags %d".formatted(asId, id, baseGfn, npages, userspaceAddr, flags);
    }
}
