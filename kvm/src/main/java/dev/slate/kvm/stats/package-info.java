/**
 * Owns the statistics that KVM keeps per VM and per vCPU: names, kinds, and the native blocks they are counted in. Must not know what
 * is counted.
 */
package dev.slate.kvm.stats;
