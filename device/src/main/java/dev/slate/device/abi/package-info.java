/**
 * Owns the layouts of the kernel's structures ({@code linux/kvm.h}, {@code asm/kvm.h}), each checked by a test against what the C
 * compiler says, and the copying between them and the carriers of {@code dev.slate.kvm}. Must not know ioctls or descriptors.
 */
package dev.slate.device.abi;
