/**
 * Owns the hypervisor; must not know file descriptors or ioctl numbers, and decodes no instruction.
 */
package dev.slate.kvm;
