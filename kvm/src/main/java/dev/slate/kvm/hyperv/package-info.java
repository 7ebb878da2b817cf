/**
 * Hyper-V's interface to a guest (Hypervisor Top-Level Functional Specification, TLFS), as KVM offers it: what belongs to the partition,
 * what to each virtual processor. Must not know how a vCPU runs or exits, nor who asks for an MSR.
 */
package dev.slate.kvm.hyperv;
