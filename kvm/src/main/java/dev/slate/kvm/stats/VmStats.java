package dev.slate.kvm.stats;

import dev.slate.cpu.mem.HostMemory;
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

    /** @throws dev.slate.kvm.KvmException ENOMEM */
    public VmStats(HostServices host) {
        super(host, SCHEMA);
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
