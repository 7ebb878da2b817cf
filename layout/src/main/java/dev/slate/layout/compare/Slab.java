package dev.slate.layout.compare;

/**
 * Where the Linux kernel's SLUB allocator puts objects of a size, with pages of 4 KiB: kmalloc's size classes
 * (mm/slab_common.c), the page order that one object needs, and the order and fill of a cache of its own (mm/slub.c, as of 6.1).
 *
 * @param size bytes of an object
 * @param kmalloc bytes of the kmalloc class, 0 for an object that goes to the page allocator
 * @param order the order of the pages that one object needs: 2^order pages
 * @param cacheOrder the order of a slab in a cache of its own
 * @param objects objects in such a slab
 */
public record Slab(long size, long kmalloc, int order, int cacheOrder, long objects) {
    private static final long PAGE = 4096;
    private static final int MAX_CACHE_ORDER = 3; // slub_max_order, PAGE_ALLOC_COSTLY_ORDER
    private static final int MAX_ORDER = 10;
    private static final long[] CLASSES = {8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192};

    /**
     * Places objects of a size.
     *
     * @param alignment of the cache, in bytes; each object takes a multiple of it
     * @param cpus processors of the machine, which decide how many objects a slab should hold
     */
    public static Slab of(long size, long alignment, int cpus) {
        long kmalloc = 0;
        for (long c : CLASSES) {
            if (size <= c) {
                kmalloc = c;
                break;
            }
        }
        long step = Math.max(8, alignment);
        long stored = Math.max(1, (size + step - 1) / step * step);
        int cacheOrder = cacheOrder(stored, cpus);
        return new Slab(size, kmalloc, pageOrder(size), cacheOrder, (PAGE << cacheOrder) / stored);
    }

    /** The smallest order whose pages hold that many bytes. */
    public static int pageOrder(long bytes) {
        int order = 0;
        while (PAGE << order < bytes && order < 40) order++;
        return order;
    }

    private static int cacheOrder(long size, int cpus) {
        // A slab should hold some objects per processor, and waste at most a sixteenth; both wishes give way, the
        // second one first.
        long wanted = 4L * (33 - Integer.numberOfLeadingZeros(cpus));
        wanted = Math.min(wanted, (PAGE << MAX_CACHE_ORDER) / size);
        for (; wanted > 1; wanted--) {
            for (int fraction = 16; fraction >= 4; fraction /= 2) {
                int order = slabOrder(size, wanted, MAX_CACHE_ORDER, fraction);
                if (order <= MAX_CACHE_ORDER) return order;
            }
        }
        int order = slabOrder(size, 1, MAX_CACHE_ORDER, 1);
        return order <= MAX_CACHE_ORDER ? order : Math.min(slabOrder(size, 1, MAX_ORDER, 1), MAX_ORDER);
    }

    private static int slabOrder(long size, long objects, int most, int fraction) {
        int order = pageOrder(objects * size);
        for (; order <= most; order++) {
            long bytes = PAGE << order;
            if (bytes % size <= bytes / fraction) break;
        }
        return order;
    }

    /** "kmalloc-512", or "pages" for what is too large for a class. */
    public String className() {
        if (kmalloc == 0) return "pages";
        return "kmalloc-" + (kmalloc >= 1024 ? kmalloc / 1024 + "k" : Long.toString(kmalloc));
    }
}
