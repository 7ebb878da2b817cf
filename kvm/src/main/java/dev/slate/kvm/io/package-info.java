/**
 * What is neither guest memory nor a register: a vCPU's port I/O and memory-mapped I/O, piece by piece; the buses of a VM's own devices,
 * and the places on them where a write becomes a signal or an entry of a ring. Must not know what a device is for, nor how a vCPU runs.
 */
package dev.slate.kvm.io;
