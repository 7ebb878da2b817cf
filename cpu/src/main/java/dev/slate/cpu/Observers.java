package dev.slate.cpu;

import org.jspecify.annotations.Nullable;

/** Who looks on: nobody, in an ordinary run. */
public final class Observers {
    /** Told of deliveries. */
    public @Nullable CpuObserver deliveries;

    /** Told of every load and store, which all take the slow path then. Changes take effect at the next {@link Cpu#modeChanged}. */
    public @Nullable CpuObserver memory;

    Observers() {}
}
