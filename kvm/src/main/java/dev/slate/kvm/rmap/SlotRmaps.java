package dev.slate.kvm.rmap;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Errno;
import dev.slate.kvm.host.HostServices;
import java.util.function.LongPredicate;

/**
 * The rmap heads of one memslot ({@code slot->arch.rmap}): for each page size 4 KiB, 2 MiB and 1 GiB an array with a head for each
 * frame of that size that the slot touches.
 */
public final class SlotRmaps implements AutoCloseable {
    /** {@code KVM_NR_PAGE_SIZES}. */
    public static final int LEVELS = 3;
    /** Classes of {@link #histogram}: 0, 1, 2-3, 4-7 … 512 and more. */
    public static final int CLASSES = 11;

    private final HostServices host;
    private final long baseGfn;
    private final long[] heads = new long[LEVELS];
    private final long[] counts = new long[LEVELS];

    /**
     * @param baseGfn of the slot
     * @param npages at least 1
     * @throws dev.slate.kvm.KvmException ENOMEM
     */
    public SlotRmaps(HostServices host, long baseGfn, long npages) {
        this.host = host;
        this.baseGfn = baseGfn;
        for (int level = 1; level <= LEVELS; level++) {
            counts[level - 1] = index(baseGfn + npages - 1, level) + 1;
        }
        // One allocation: a client may have thousands of slots.
        long array = host.allocate(bytes(), 64);
        if (array == 0) {
            throw Errno.ENOMEM.raise();
        }
        for (int i = 0; i < LEVELS; i++) {
            heads[i] = array;
            array += counts[i] * Long.BYTES;
        }
    }

    private long index(long gfn, int level) {
        int shift = 9 * (level - 1);
        return (gfn >>> shift) - (baseGfn >>> shift);
    }

    /** Address of the head for a gfn of the slot. @param level 1 to 3 */
    public long head(long gfn, int level) {
        return heads[level - 1] + index(gfn, level) * Long.BYTES;
    }

    /** Number of heads at a level. */
    public long count(int level) {
        return counts[level - 1];
    }

    /**
     * Gives the address of every head at every level for {@code [first, end)} to a visitor.
     *
     * @return whether it said true of any; it is given all
     */
    public boolean anyHead(long first, long end, LongPredicate visitor) {
        boolean any = false;
        for (int level = 1; level <= LEVELS; level++) {
            long last = head(end - 1, level);
            for (long head = head(first, level); head <= last; head += Long.BYTES) {
                any |= visitor.test(head);
            }
        }
        return any;
    }

    /** Bytes of all heads. */
    public long bytes() {
        return (counts[0] + counts[1] + counts[2]) * Long.BYTES;
    }

    /**
     * Adds to {@code into}, for a level, how many frames have how many SPTEs ({@code mmu_rmaps_stat}).
     *
     * @param into {@link #CLASSES} counters: none, one, 2-3, 4-7, and so on by powers of two
     */
    public void histogram(PteLists lists, int level, long[] into) {
        long head = heads[level - 1];
        for (long i = 0; i < counts[level - 1]; i++, head += Long.BYTES) {
            // KVM 6.1 takes the lowest set bit here (ffs), which files 6 under 2-3; its headings mean the highest.
            int count = HostMemory.get64(head) == 0 ? 0 : lists.count(head);
            into[Math.min(Integer.SIZE - Integer.numberOfLeadingZeros(count), CLASSES - 1)]++;
        }
    }

    /** Gives the heads back; every list has been emptied. */
    @Override
    public void close() {
        if (heads[0] != 0) {
            host.free(heads[0], bytes());
            heads[0] = 0;
        }
    }
}
