package dev.slate.kvm.stats;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Errno;
import dev.slate.kvm.host.HostServices;
import java.util.List;

/** A VM's statistics: KVM 6.1's fifteen, in its order. Counted by any thread, atomically. */
public final class VmStats extends StatBlock {
    /** The rows. */
    public static final List<Stat> SCHEMA = new Table()
            .counter("remote_tlb_flush")
            .counter("remote_tlb_flush_requests")
            .counter("mmu_shadow_zapped")
            .counter("mmu_pte_write")
            .counter("mmu_pde_zapped")
            .counter("mmu_flooded")
            .counter("mmu_recycled")
            .counter("mmu_cache_miss")
            .instant("mmu_unsync")
            .instant("pages_4k")
            .instant("pages_2m")
            .instant("pages_1g")
            .instant("nx_lpage_splits")
            .peak("max_mmu_rmap_size")
            .peak("max_mmu_page_hash_collisions")
            .build();

    public static final int REMOTE_TLB_FLUSH = offset(SCHEMA, "remote_tlb_flush");
    public static final int REMOTE_TLB_FLUSH_REQUESTS = offset(SCHEMA, "remote_tlb_flush_requests");
    public static final int MMU_SHADOW_ZAPPED = offset(SCHEMA, "mmu_shadow_zapped");
    public static final int MMU_PTE_WRITE = offset(SCHEMA, "mmu_pte_write");
    public static final int MMU_PDE_ZAPPED = offset(SCHEMA, "mmu_pde_zapped");
    public static final int MMU_FLOODED = offset(SCHEMA, "mmu_flooded");
    public static final int MMU_RECYCLED = offset(SCHEMA, "mmu_recycled");
    public static final int MMU_CACHE_MISS = offset(SCHEMA, "mmu_cache_miss");
    public static final int MMU_UNSYNC = offset(SCHEMA, "mmu_unsync");
    public static final int PAGES_4K = offset(SCHEMA, "pages_4k");
    public static final int PAGES_2M = offset(SCHEMA, "pages_2m");
    public static final int PAGES_1G = offset(SCHEMA, "pages_1g");
    public static final int NX_LPAGE_SPLITS = offset(SCHEMA, "nx_lpage_splits");
    public static final int MAX_MMU_RMAP_SIZE = offset(SCHEMA, "max_mmu_rmap_size");
    public static final int MAX_MMU_PAGE_HASH_COLLISIONS = offset(SCHEMA, "max_mmu_page_hash_collisions");

    /** Lines of 64 bytes in which pages are counted: vCPUs that fault at once would wait for one line. */
    private static final int STRIPES = 32;

    private static final int LINE = 64;

    private final long stripes;

    /** All zero. @throws dev.slate.kvm.KvmException ENOMEM */
    public VmStats(HostServices host) {
        super(host, SCHEMA);
        stripes = host.allocate(STRIPES * LINE, LINE);
        if (stripes == 0) {
            super.close();
            throw Errno.ENOMEM.raise();
        }
    }

    private static boolean striped(int offset) {
        return offset >= PAGES_4K && offset <= PAGES_1G;
    }

    /**
     * Adds to {@link #PAGES_4K}, {@link #PAGES_2M} or {@link #PAGES_1G} where vCPUs do so at once, without a lock; what is done under one
     * may use {@link #add}.
     *
     * @param sptep the SPTE that was set or cleared, or its table: neighbours share a line
     */
    public void addPages(long sptep, int offset, long delta) {
        HostMemory.getAndAdd64(stripeAt(sptep >>> 12 & STRIPES - 1, offset), delta);
    }

    private long stripeAt(long stripe, int offset) {
        return stripes + stripe * LINE + (offset - PAGES_4K);
    }

    private long sum(int offset) {
        long sum = 0;
        for (int i = 0; i < STRIPES; i++) {
            sum += HostMemory.get64(stripeAt(i, offset));
        }
        return sum;
    }

    @Override
    public long get(int offset) {
        return super.get(offset) + (striped(offset) ? sum(offset) : 0);
    }

    @Override
    public void clear(int offset) {
        super.clear(offset);
        if (striped(offset)) {
            for (int i = 0; i < STRIPES; i++) {
                HostMemory.put64(stripeAt(i, offset), 0);
            }
        }
    }

    @Override
    public void close() {
        host.free(stripes, STRIPES * LINE);
        super.close();
    }

    /** Adds to a counter. */
    public void add(int offset, long delta) {
        HostMemory.getAndAdd64(hva + offset, delta);
    }

    /** Raises a peak to {@code value} when it is higher. */
    public void peak(int offset, long value) {
        long at = hva + offset;
        long now = HostMemory.getVolatile64(at);
        while (now < value && !HostMemory.cas64(at, now, value)) {
            now = HostMemory.getVolatile64(at);
        }
    }
}
