/**
 * {@code slate speed cpu}: the same work in Slate, in QEMU's TCG and on the host, turn by turn. Knows the hypervisor as a library, QEMU and the
 * host's programs as processes; must not know a device.
 */
@org.jspecify.annotations.NullMarked
package dev.slate.benchmarks.speed;
