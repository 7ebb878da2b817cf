/** The guest's time: time-stamp counters and kvmclock. Must not know vCPUs. */
package dev.slate.kvm.clock;
