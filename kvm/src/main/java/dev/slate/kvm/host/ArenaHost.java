package dev.slate.kvm.host;

import java.lang.foreign.Arena;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Host services in plain Java, for programs that use the hypervisor as a library and for tests. Guest memory is what
 * {@link #allocate} gave: {@link #populate} says EFAULT for everything else.
 *
 * <p>There is no native call here, so there is no host CPUID, no knowledge of huge pages, and the time-stamp counter is made of the
 * monotonic clock at 1 GHz.
 */
public final class ArenaHost implements HostServices {
    private static final int EFAULT = 14;
    private static final int STRIPES = 64;

    private final Map<Long, Arena> arenas = new HashMap<>();
    /** Start and end of each allocated range, in order, as pairs: replaced as a whole, read without a lock. */
    private volatile long[] ranges = {};

    private final Object[] monitors = new Object[STRIPES];
    private volatile long allocatedBytes;

    public ArenaHost() {
        for (int i = 0; i < STRIPES; i++) {
            monitors[i] = new Object();
        }
    }

    @Override
    public int populate(long hva, long bytes, boolean write) {
        long[] all = ranges;
        int low = 0;
        int high = all.length / 2;
        while (low < high) {
            int mid = low + high >>> 1;
            if (all[2 * mid] <= hva) {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        return low > 0 && hva + bytes <= all[2 * low - 1] ? 0 : EFAULT;
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
    public int @Nullable [] cpuid(int leaf, int subleaf) {
        return null;
    }

    @Override
    @SuppressWarnings("WaitNotInLoop") // a wake-up for nothing is allowed, so one wait is enough
    public void await(long wordHva, int expected, long nanos) {
        Object monitor = monitor(wordHva);
        synchronized (monitor) {
            if (dev.slate.cpu.mem.HostMemory.getVolatile32(wordHva) != expected || nanos <= 0) {
                return;
            }
            try {
                monitor.wait(nanos == Long.MAX_VALUE ? 0 : Math.max(nanos / 1_000_000, 1));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }

    @Override
    public void wake(long wordHva) {
        Object monitor = monitor(wordHva);
        synchronized (monitor) {
            monitor.notifyAll();
        }
    }

    private Object monitor(long wordHva) {
        return monitors[(int) (wordHva >>> 6) & STRIPES - 1];
    }

    @Override
    public synchronized long allocate(long bytes, long alignment) {
        Arena arena = Arena.ofShared();
        long hva;
        try {
            hva = arena.allocate(bytes, alignment).address();
        } catch (OutOfMemoryError e) {
            arena.close();
            return 0;
        }
        arenas.put(hva, arena);
        allocatedBytes += bytes;
        long[] old = ranges;
        int at = 0;
        while (at < old.length && old[at] < hva) {
            at += 2;
        }
        long[] next = new long[old.length + 2];
        System.arraycopy(old, 0, next, 0, at);
        next[at] = hva;
        next[at + 1] = hva + bytes;
        System.arraycopy(old, at, next, at + 2, old.length - at);
        ranges = next;
        return hva;
    }

    @Override
    public synchronized void free(long hva, long bytes) {
        Arena arena = arenas.remove(hva);
        if (arena == null) {
            throw new IllegalArgumentException("free of 0x%x, which was not allocated here".formatted(hva));
        }
        allocatedBytes -= bytes;
        long[] old = ranges;
        int at = 0;
        while (old[at] != hva) {
            at += 2;
        }
        long[] next = new long[old.length - 2];
        System.arraycopy(old, 0, next, 0, at);
        System.arraycopy(old, at + 2, next, at, next.length - at);
        ranges = next;
        arena.close();
    }

    /** Bytes allocated and not freed. */
    public long allocatedBytes() {
        return allocatedBytes;
    }
}
