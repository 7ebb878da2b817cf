package dev.slate.kvm.mmu.shadow;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Errno;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.memslot.SlotMetadata;
import dev.slate.kvm.rmap.SlotRmaps;

/**
 * What the shadow MMU keeps with a memslot: rmap heads, how often each page is write-tracked ({@code gfn_track}), and for each 2 MiB how
 * many pages in it may not be mapped as part of a large one ({@code lpage_info}). Under the MMU's lock.
 */
final class ShadowSlot implements SlotMetadata {
    private static final int LARGE_GFNS = 512;

    final SlotRmaps rmaps;
    private final HostServices host;
    private final long baseGfn;
    private final long trackBytes;
    private final long lpageBytes;
    /** Both arrays lie in one allocation, this one first. */
    private long lpage;

    private final long track;

    ShadowSlot(HostServices host, long baseGfn, long npages) {
        this.host = host;
        this.baseGfn = baseGfn;
        this.rmaps = new SlotRmaps(host, baseGfn, npages);
        this.trackBytes = npages * Short.BYTES;
        this.lpageBytes = rmaps.count(2) * Integer.BYTES;
        lpage = host.allocate(lpageBytes + trackBytes, 64);
        track = lpage + lpageBytes;
        if (lpage == 0) {
            close();
            throw Errno.ENOMEM.raise();
        }
    }

    static ShadowSlot of(Memslot slot) {
        if (slot.metadata instanceof ShadowSlot s) {
            return s;
        }
        throw new IllegalStateException("a slot without rmaps: " + slot);
    }

    private long trackAt(long gfn) {
        return track + (gfn - baseGfn) * Short.BYTES;
    }

    private long lpageAt(long gfn) {
        return lpage + ((gfn >>> 9) - (baseGfn >>> 9)) * Integer.BYTES;
    }

    /** Whether writes to a page must be emulated. */
    boolean tracked(long gfn) {
        return HostMemory.get16(trackAt(gfn)) != 0;
    }

    void track(long gfn, int delta) {
        HostMemory.put16(trackAt(gfn), HostMemory.get16(trackAt(gfn)) + delta);
        disallowLarge(gfn, delta);
    }

    /** A guest table lies on the page: it is watched by itself. */
    void disallowLarge(long gfn, int delta) {
        HostMemory.put32(lpageAt(gfn), HostMemory.get32(lpageAt(gfn)) + delta);
    }

    boolean allowsLarge(long gfn) {
        return HostMemory.get32(lpageAt(gfn)) == 0;
    }

    /** First gfn behind the 2 MiB of {@code gfn}. */
    static long nextLarge(long gfn) {
        return (gfn | LARGE_GFNS - 1) + 1;
    }

    /** Bytes of all. */
    long bytes() {
        return rmaps.bytes() + trackBytes + lpageBytes;
    }

    @Override
    public void close() {
        rmaps.close();
        if (lpage != 0) {
            host.free(lpage, lpageBytes + trackBytes);
            lpage = 0;
        }
    }
}
