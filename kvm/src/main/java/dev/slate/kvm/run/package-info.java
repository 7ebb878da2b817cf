/**
 * KVM_RUN: the loop round the processor, the answers to the processor's calls, the handling of exits, the delivery of events, and the wiring
 * of a vCPU's parts ({@link dev.slate.kvm.run.VcpuParts}). Knows the parts; must not know who calls it: {@code Kvm}, {@code Vm} and {@code
 * Vcpu} are above.
 */
package dev.slate.kvm.run;
