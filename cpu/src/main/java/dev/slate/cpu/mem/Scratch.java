package dev.slate.cpu.mem;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** A few bytes of native memory that live as long as this object: the fetch buffer of an instruction that crosses a page. */
public final class Scratch {
    private final MemorySegment segment;

    /** {@code bytes} zeroed bytes, aligned to 64. */
    public Scratch(long bytes) {
        segment = Arena.ofAuto().allocate(bytes, 64);
    }

    /** Host address of the first byte; valid while this object is reachable. */
    public long hva() {
        return segment.address();
    }
}
