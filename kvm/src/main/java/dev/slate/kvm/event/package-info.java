/** Exceptions, NMIs, SMIs and interrupts that a vCPU has pending or is delivering. Must not know how a vCPU runs. */
package dev.slate.kvm.event;
