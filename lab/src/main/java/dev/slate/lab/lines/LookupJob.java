package dev.slate.lab.lines;

/**
 * Memslot lookups to be looked at.
 *
 * @param form a value of the knob {@code memslot.lookup}
 */
public record LookupJob(int slots, int vcpus, int faults, String form) {}
