/**
 * Getting, setting and resetting a vCPU's state, what its CPUID says of that state, and the client's debugging of it. Must not know how
 * a vCPU runs.
 */
package dev.slate.kvm.state;
