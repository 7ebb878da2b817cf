/**
 * Owns what watches a guest while it runs: the instruction log ({@link dev.slate.debug.Trace}), the counts of
 * accesses ({@link dev.slate.debug.Heat}) and memory at linear addresses. It stands on {@code kvm}'s
 * {@link dev.slate.kvm.RunObserver} and {@code cpu}'s {@link dev.slate.cpu.CpuObserver}, and steps the processor itself, so that a
 * run that nobody watches has nothing of this in its way. Must not know descriptors or ioctls, nor change what a guest does.
 */
package dev.slate.debug;
