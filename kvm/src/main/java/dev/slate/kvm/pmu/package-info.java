/** Performance counters as KVM gives them to AMD's guests. Must not know how a vCPU runs or exits, nor who reads an MSR. */
package dev.slate.kvm.pmu;
