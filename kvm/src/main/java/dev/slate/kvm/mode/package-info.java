/**
 * Owns a vCPU's mode, its pending requests and its kick: who may be inside the guest, and how to get it out. Must not know what a
 * request means, nor how a vCPU runs.
 */
package dev.slate.kvm.mode;
