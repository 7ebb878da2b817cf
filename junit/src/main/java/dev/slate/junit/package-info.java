/**
 * {@link dev.slate.junit.GuestTest} on a test class or method lets it take a {@link dev.slate.junit.TestMachine}: memory, a vCPU, and
 * what its guest did. Knows the API of {@code kvm} and nothing below it.
 */
@org.jspecify.annotations.NullMarked
package dev.slate.junit;
