/**
 * {@code slate speed cpu}: the same work in Slate, in QEMU's TCG and on the host, turn by turn; {@code slate speed vcpus}: the same loops by four
 * vCPUs at once and by one. Knows the hypervisor as a library, QEMU and the host's programs as processes; must not know a device.
 */
@org.jspecify.annotations.NullMarked
package dev.slate.benchmarks.speed;
