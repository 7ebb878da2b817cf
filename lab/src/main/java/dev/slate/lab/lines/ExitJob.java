package dev.slate.lab.lines;

/**
 * What an instrumented machine is to do: run a guest from mark to mark, and count what its exits touch.
 *
 * @param knobs lines NAME=VALUE
 * @param memoryBytes of the guest
 * @param areaBytes of a second slot at {@code areaGpa}, or 0
 * @param parameters of the guest from the second on
 * @param faults whether page faults mark the intervals, and not exits
 * @param remap whether the second slot is made anew before each batch
 * @param warmups marks to run to before counting
 * @param batches marks to count over
 */
public record ExitJob(
        byte[] image,
        String knobs,
        long memoryBytes,
        long areaGpa,
        long areaBytes,
        long[] parameters,
        boolean faults,
        boolean remap,
        int warmups,
        int batches) {}
