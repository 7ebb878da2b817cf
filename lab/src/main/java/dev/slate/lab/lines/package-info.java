/**
 * Owns the counting of cache lines: a second copy of the processor and the hypervisor whose accesses to native memory and to memslots
 * are noted, so that the copy that is timed holds nothing for it. Must not know experiments.
 */
package dev.slate.lab.lines;
