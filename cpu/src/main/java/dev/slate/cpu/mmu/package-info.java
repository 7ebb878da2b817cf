/**
 * Owns translation: the TLB, the walk of the guest's and the nested page tables, accessed and dirty bits, page faults, and the slow path of
 * memory accesses. Must not know instructions, nor how a hypervisor fills the nested tables.
 */
package dev.slate.cpu.mmu;
