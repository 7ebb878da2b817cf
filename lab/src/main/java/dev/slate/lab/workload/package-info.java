/**
 * Owns what experiments put load on: a virtual machine with a guest program, lists of SPTEs, memslots. Must not know experiments: it is
 * loaded a second time, instrumented, by {@link dev.slate.lab.lines.CountingLoader}.
 */
package dev.slate.lab.workload;
