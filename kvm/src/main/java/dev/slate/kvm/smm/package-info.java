/** System management mode: SMI, RSM and the state-save area. Must not know how a vCPU runs. */
package dev.slate.kvm.smm;
