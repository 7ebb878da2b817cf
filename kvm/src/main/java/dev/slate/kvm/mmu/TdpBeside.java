package dev.slate.kvm.mmu;

/** What the shadow MMU asks of two-dimensional paging beside it, which maps the same memory for the guest itself. */
public interface TdpBeside {
    /**
     * Takes W from what maps a gfn on which a guest's table lies, so that nobody gives it back unasked ({@code kvm_tdp_mmu_write_protect_gfn}).
     * Under the MMU's lock.
     *
     * @param asId address space
     * @return whether a flush must follow
     */
    boolean protect(int asId, long gfn);

    /**
     * Whether a gfn is mapped to the page at {@code hva}, which is populated then, for writing if {@code write}. In a reading window; true as
     * long as memslots and invalidation sequence are what they were before it.
     */
    boolean maps(int asId, long gfn, long hva, boolean write);
}
