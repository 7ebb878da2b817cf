package dev.slate.kvm.mmu;

/** The other way, from the shadow MMU to two-dimensional paging beside it. */
@FunctionalInterface
public interface WriteProtector {
    /**
     * Takes W from what maps a gfn on which a guest's table lies, so that nobody gives it back unasked ({@code kvm_tdp_mmu_write_protect_gfn}).
     * Under the MMU's lock.
     *
     * @param asId address space
     * @return whether a flush must follow
     */
    boolean protect(int asId, long gfn);
}
