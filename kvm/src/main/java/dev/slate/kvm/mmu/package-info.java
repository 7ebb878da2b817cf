/**
 * Owns what both MMUs share: the SPTE format, table pages and their caches, a vCPU's side of the MMU, and the invalidation protocol.
 * Must not know how a vCPU runs or what instructions do.
 */
package dev.slate.kvm.mmu;
