/**
 * Owns the TDP MMU: one set of tables per VM and address space that maps gfn to hva, edited without a lock by faulting vCPUs. Must not
 * know guest page tables.
 */
package dev.slate.kvm.mmu.tdp;
