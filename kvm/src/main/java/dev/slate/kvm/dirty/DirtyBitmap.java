package dev.slate.kvm.dirty;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.host.HostServices;

/**
 * The dirty bitmap of one memslot: a bit for each page, in little-endian 64-bit words as the client gets them, and a second bitmap of
 * the same size behind it as the buffer of KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG.
 *
 * <p>Order: whoever makes a page writable marks it <em>afterwards</em>; whoever harvests takes the bits <em>first</em> and
 * write-protects their pages then. So a page that can be written is either marked, or will be before the vCPU that made it writable goes
 * on; a write is reported now or next time, never lost. It is marked <em>before</em>, too, so that next time is the next harvest, however
 * long the thread is held up between the two: a harvest that takes the early mark waits until the fault that made it is over, and by
 * then the second one is there.
 *
 * <p>Marking is for any thread inside guest mode or a reading window; everything else under the slots lock. The native memory lives
 * until {@link #close}, which the owner calls when every vCPU has passed.
 */
public final class DirtyBitmap implements AutoCloseable {
    private final HostServices host;
    private final long npages;
    private final long bytes;
    private final long hva;

    private DirtyBitmap(HostServices host, long npages, long hva) {
        this.host = host;
        this.npages = npages;
        this.bytes = bytes(npages);
        this.hva = hva;
    }

    /**
     * A clean bitmap.
     *
     * @param npages 1 to 2^31 - 1
     * @throws dev.slate.kvm.KvmException ENOMEM
     */
    public static DirtyBitmap create(HostServices host, long npages) {
        long hva = host.allocate(2 * bytes(npages), 64);
        if (hva == 0) {
            throw dev.slate.kvm.Errno.ENOMEM.raise();
        }
        return new DirtyBitmap(host, npages, hva);
    }

    private static long bytes(long npages) {
        return (npages + 63 >>> 6) * Long.BYTES;
    }

    /** Size of the bitmap in bytes: whole 64-bit words. */
    public long bytes() {
        return bytes;
    }

    /** Number of 64-bit words. */
    public long words() {
        return bytes / Long.BYTES;
    }

    /** Address of the live bitmap. */
    public long hva() {
        return hva;
    }

    /** Address of the buffer, {@link #bytes} long. */
    public long buffer() {
        return hva + bytes;
    }

    /** Marks a page. @param page its number within the slot, 0 to npages, exclusive */
    public void mark(long page) {
        long at = hva + (page >>> 6 << 3);
        long bit = 1L << page;
        // The caller's compare-and-set on the SPTE was a full barrier, so a bit seen set here will be harvested
        // after the SPTE became writable, and the harvest write-protects it.
        if ((HostMemory.get64(at) & bit) == 0) {
            HostMemory.getAndOr64(at, bit);
        }
    }

    /** Whether a page is marked. */
    public boolean marked(long page) {
        return (HostMemory.get64(hva + (page >>> 6 << 3)) & 1L << page) != 0;
    }

    /** Word {@code i}, which stays. */
    public long word(long i) {
        return HostMemory.getVolatile64(hva + i * Long.BYTES);
    }

    /** Takes word {@code i}: what was set is returned and is clean now. */
    public long take(long i) {
        return HostMemory.getAndSet64(hva + i * Long.BYTES, 0);
    }

    /** Clears {@code bits} of word {@code i}; returns those that were set. */
    public long clear(long i, long bits) {
        return HostMemory.getAndAnd64(hva + i * Long.BYTES, ~bits) & bits;
    }

    /** Marks every page (KVM_DIRTY_LOG_INITIALLY_SET). Before the bitmap is published. */
    public void markAll() {
        long whole = npages >>> 6;
        HostMemory.fill(hva, whole * Long.BYTES, 0xff);
        int rest = (int) npages & 63;
        if (rest != 0) {
            HostMemory.put64(hva + whole * Long.BYTES, (1L << rest) - 1);
        }
    }

    /** Gives the memory back. */
    @Override
    public void close() {
        host.free(hva, 2 * bytes);
    }
}
