/**
 * KVM's tracepoints as JFR events, under the kernel's names. Must not know what is traced, only its numbers.
 */
package dev.slate.kvm.tracepoint;
