/** CPUID: what is offered to guests, and the table that a client gave a vCPU. Must not know vCPUs. */
package dev.slate.kvm.cpuid;
