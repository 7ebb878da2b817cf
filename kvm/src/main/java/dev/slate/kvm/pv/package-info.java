/** Paravirtual features: what hypervisor and guest tell each other through memory that MSRs point at. Must not know how a vCPU runs. */
package dev.slate.kvm.pv;
