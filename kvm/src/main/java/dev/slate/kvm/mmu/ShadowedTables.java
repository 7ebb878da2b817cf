package dev.slate.kvm.mmu;

import dev.slate.kvm.memslot.Memslot;

/**
 * What two-dimensional paging must know of the shadow MMU beside it, which shadows the nested tables of guests that have guests: pages on which
 * such a table lies are not written to unseen ({@code mmu_try_to_unsync_pages}).
 */
public interface ShadowedTables {
    /**
     * Whether a table may lie within the 2 MiB of {@code gfn}. In a reading window: whoever shadows the first one there says so and then waits
     * for the windows that are open.
     */
    boolean near(Memslot slot, long gfn);

    /**
     * Whether a page must not be writable, because a table lies there that stays protected; a table of the last level is unsync from here on
     * instead. Under the MMU's lock.
     */
    boolean mustProtect(Memslot slot, long gfn);
}
