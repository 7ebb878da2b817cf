package dev.slate.kvm.stress;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.host.HostServices;
import java.lang.foreign.Arena;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Native memory for the states of tests, of which there are millions: small cells from one ring that is never given back. A state is long
 * done when its cell comes round again.
 */
public final class Cells implements HostServices {
    /** Bytes of a cell. */
    public static final int CELL = 64;

    private static final long BYTES = 256L << 20;
    private static final long BASE = Arena.global().allocate(BYTES, CELL).address();
    private static final AtomicLong NEXT = new AtomicLong();
    /** The one there is. */
    public static final Cells INSTANCE = new Cells();

    private Cells() {}

    /** A zeroed cell, or several in a row. */
    public static long take(long bytes) {
        long size = bytes + CELL - 1 & -CELL;
        for (; ; ) {
            long at = NEXT.getAndAdd(size) % BYTES;
            if (at + size <= BYTES) {
                HostMemory.fill(BASE + at, size, 0);
                return BASE + at;
            }
        }
    }

    @Override
    public long allocate(long bytes, long alignment) {
        return take(bytes);
    }

    @Override
    public void free(long hva, long bytes) {}

    @Override
    public int populate(long hva, long bytes, boolean write) {
        return 0;
    }

    @Override
    public boolean hugeMapped(long hva) {
        return false;
    }

    @Override
    public long readTsc() {
        return System.nanoTime();
    }

    @Override
    public long tscKhz() {
        return 1_000_000;
    }

    @Override
    public int[] cpuid(int leaf, int subleaf) {
        return null;
    }

    @Override
    public void await(long wordHva, int expected, long nanos) {}

    @Override
    public void wake(long wordHva) {}
}
