package dev.slate.kvm.mmu.shadow;

import dev.slate.kvm.mmu.MemoryCache;
import dev.slate.kvm.mmu.Slab;

/**
 * A vCPU's four caches ({@code mmu_pte_list_desc_cache}, {@code mmu_page_header_cache}, {@code mmu_shadow_page_cache},
 * {@code mmu_shadowed_info_cache}), of up to 40 objects each. Topped up before the MMU's lock is taken, so that nothing fails under it.
 */
final class ShadowCaches implements AutoCloseable {
    private static final int MOST_LEVELS = 5;
    /** {@code PTE_PREFETCH_NUM}. */
    private static final int PREFETCHED = 8;

    final MemoryCache descriptors;
    final MemoryCache headers;
    final MemoryCache tables;
    final MemoryCache shadowedInfo;

    ShadowCaches(Slab descriptors, ShadowPages pages) {
        this.descriptors = new MemoryCache(descriptors);
        this.headers = new MemoryCache(pages.headers);
        this.tables = new MemoryCache(pages.tables);
        this.shadowedInfo = new MemoryCache(pages.shadowedInfo);
    }

    /** Enough for the deepest fault; false when there is no memory. */
    boolean topUp() {
        return descriptors.topUp(1 + MOST_LEVELS + PREFETCHED)
                && headers.topUp(MOST_LEVELS)
                && tables.topUp(MOST_LEVELS)
                && shadowedInfo.topUp(MOST_LEVELS);
    }

    /** Bytes of all objects in stock. */
    long bytes() {
        return descriptors.bytes() + headers.bytes() + tables.bytes() + shadowedInfo.bytes();
    }

    @Override
    public void close() {
        descriptors.drain();
        headers.drain();
        tables.drain();
        shadowedInfo.drain();
    }
}
