package dev.slate.cpu;

import org.jspecify.annotations.Nullable;

/** Who looks on: nobody, in an ordinary run. */
public final class Observers {
    /** Told of deliveries. */
    public @Nullable CpuObserver deliveries;

    /** Told of every load and store, which all take the slow path then. Changes take effect at the next {@link Cpu#modeChanged}. */
    public @Nullable CpuObserver memory;

    /**
     * With {@link #memory}: only pages in this set are without their fast path. All accesses to them are told then, and of the others
     * whatever takes the slow path. Whoever changes it has the TLB flushed. Null: all accesses are told.
     */
    public @Nullable WatchedPages pages;

    /** Told of machine code; looked at when a translator is made. */
    public @Nullable TranslationObserver translations;

    /** For the {@link #memory} observer: the access just told is the processor's own, to a descriptor table, a stack of a delivery or a TSS. */
    public boolean own;

    Observers() {}
}
