/**
 * Owns the experiments: what each asks, its variants and workload, and the figures of the thread that it answers. Must not know how results are
 * written.
 */
package dev.slate.lab.experiments;
