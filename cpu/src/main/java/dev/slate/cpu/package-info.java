/**
 * Owns the processor; must not know KVM, file descriptors or the client's binary interface.
 */
package dev.slate.cpu;
