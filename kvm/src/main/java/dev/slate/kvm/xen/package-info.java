/**
 * Xen's interface to a guest without paravirtualized memory (HVM), as KVM offers it: shared info, event channels, run states, timers.
 * Numbers and layouts are those of Xen's public headers. Must not know how a vCPU runs or exits, nor who makes a hypercall.
 */
package dev.slate.kvm.xen;
