/**
 * Owns the shadow MMU ({@code tdp=off}): tables from linear addresses to host addresses that shadow the guest's own, found again by the
 * guest table's gfn and the mode that it is read in, with rmaps from each gfn to its entries. Must not know how the processor runs.
 */
package dev.slate.kvm.mmu.shadow;
