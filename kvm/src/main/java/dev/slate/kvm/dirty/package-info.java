/**
 * Owns the dirty bitmaps: native bits that vCPUs set and the client harvests. Must not know page tables or memslots.
 */
package dev.slate.kvm.dirty;
