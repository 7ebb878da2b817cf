/**
 * Owns the memslots: what guest physical memory is made of, the snapshots that vCPUs look up in, KVM_SET_USER_MEMORY_REGION and the
 * dirty-log calls. Must not know page tables; the MMU listens ({@link dev.slate.kvm.memslot.MemslotListener}).
 */
package dev.slate.kvm.memslot;
