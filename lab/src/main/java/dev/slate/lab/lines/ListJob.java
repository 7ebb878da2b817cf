package dev.slate.lab.lines;

/**
 * Lists of SPTEs whose operations are to be looked at.
 *
 * @param entries SPTEs in a descriptor
 * @param counted whether descriptors count them
 * @param lists how many
 * @param length SPTEs in each when it is walked: one was added to one fewer, and one is taken away
 */
public record ListJob(int entries, boolean counted, int lists, int length) {}
