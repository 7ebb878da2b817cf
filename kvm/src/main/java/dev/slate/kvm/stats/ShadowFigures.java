package dev.slate.kvm.stats;

/**
 * What a VM's shadow MMU holds at one moment.
 *
 * @param rmaps how many gfns have how many SPTEs ({@code mmu_rmaps_stat}): by level (0: 4 KiB, 1: 2 MiB, 2: 1 GiB), then by class (none, one,
 *     2-3, 4-7 …)
 * @param shadowPages in use
 * @param headers page headers taken from the slab, those in vCPUs' caches included; so the following
 * @param headerBytes bytes of one
 * @param tables table pages of 4 KiB
 * @param shadowedInfo pages of 4 KiB with the gfns and rights of a table's entries
 * @param descriptors {@code pte_list_desc} objects
 * @param descriptorBytes bytes of one
 * @param descriptorSlabBytes bytes that their slab has taken from the host
 * @param slotBytes rmap heads, write-tracking counts and large-page counts of all slots
 * @param descriptorsWalked descriptors looked at by all list operations so far
 * @param entriesWalked places for an SPTE looked at by all list operations so far
 */
public record ShadowFigures(
        long[][] rmaps,
        long shadowPages,
        long headers,
        long headerBytes,
        long tables,
        long shadowedInfo,
        long descriptors,
        long descriptorBytes,
        long descriptorSlabBytes,
        long slotBytes,
        long descriptorsWalked,
        long entriesWalked) {
    /** Bytes of objects taken, slots' arrays included. */
    public long bytes() {
        return headers * headerBytes + (tables + shadowedInfo) * 4096 + descriptors * descriptorBytes + slotBytes;
    }
}
