/**
 * Owns the reverse maps: from a guest frame to the SPTEs that map it, as native objects with KVM's layout and tagging. Must not know
 * page tables or guests.
 */
package dev.slate.kvm.rmap;
