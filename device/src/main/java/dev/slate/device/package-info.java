/**
 * Owns {@code /dev/kvm} as a client sees it: descriptors, ioctls, errno results, the files around it, and the way through the native
 * shim. Must not know what a KVM call means: it translates the binary interface to {@code dev.slate.kvm} and back, and nothing else.
 */
package dev.slate.device;
