/** Model-specific registers: lists, filters, and the rules of reading and writing. Must not know how a vCPU runs. */
package dev.slate.kvm.msr;
