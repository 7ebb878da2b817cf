package dev.slate.cpu.translate.x64;

import dev.slate.cpu.mem.FaultGuard;

/** For memory of which no page is ever taken away. */
public final class NoFaults implements FaultGuard {
    /** The one there is. */
    public static final FaultGuard GUARD = new NoFaults();

    private NoFaults() {}

    @Override
    public boolean add(long start, long end, long resume) {
        return true;
    }

    @Override
    public void remove(long start) {}
}
