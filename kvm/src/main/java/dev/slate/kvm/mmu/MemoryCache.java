package dev.slate.kvm.mmu;

/**
 * A vCPU's own stock of table pages or other small objects ({@code struct kvm_mmu_memory_cache}): topped up where waiting is allowed, so that nothing can
 * fail once the tables are being edited. Of the vCPU's thread only.
 */
public final class MemoryCache {
    /** {@code KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE}. */
    public static final int CAPACITY = 40;

    private final Slab slab;
    private final long[] objects = new long[CAPACITY];
    /** The objects lie at the end of the array, from here on. */
    private int first = CAPACITY;

    public MemoryCache(Slab slab) {
        this.slab = slab;
    }

    /** Sees that there are at least {@code min} objects, filling up to {@link #CAPACITY}; false when there is no memory. */
    public boolean topUp(int min) {
        if (CAPACITY - first >= min) {
            return true;
        }
        long[] filled = objects;
        if (!slab.take(filled, 0, first)) {
            return false;
        }
        first = 0;
        return true;
    }

    /** One zeroed object; {@link #topUp} had promised it. */
    public long take() {
        return objects[first++];
    }

    /** Puts back the page that {@link #take} gave last, still or again zero. */
    public void putBack(long page) {
        objects[--first] = page;
    }

    /** Number of objects in stock. */
    public int count() {
        return CAPACITY - first;
    }

    /** Bytes of the objects in stock; for another thread than the vCPU's a guess. */
    public long bytes() {
        return (long) count() * slab.objectBytes();
    }

    /** Gives all objects back. */
    public void drain() {
        while (first < CAPACITY) {
            slab.giveZeroed(objects[first++]);
        }
    }
}
