package dev.slate.kvm.host;

import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.locks.StampedLock;
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
    /** Start and end of each allocated range, in order, as pairs; room behind {@link #used}. Edited under {@link #lock}. */
    private long[] ranges = new long[64];

    private int used;
    /** Readers look at the ranges without it, and look again when it was taken meanwhile. */
    private final StampedLock lock = new StampedLock();

    private final Object[] monitors = new Object[STRIPES];
    private volatile long allocatedBytes;

    /** A host with no memory allocated yet. */
    public ArenaHost() {
        for (int i = 0; i < STRIPES; i++) {
            monitors[i] = new Object();
        }
    }

    @Override
    public int populate(long hva, long bytes, boolean write) {
        for (; ; ) {
            long stamp = lock.tryOptimisticRead();
            long[] all = ranges;
            // Of an array that is being replaced, "used" may be another's.
            int n = Math.min(used, all.length);
            int at = indexAfter(all, n, hva);
            boolean inside = at > 0 && hva + bytes <= all[at - 1];
            if (stamp != 0 && lock.validate(stamp)) {
                return inside ? 0 : EFAULT;
            }
            Thread.onSpinWait();
        }
    }

    /** Index of the first pair of {@code n / 2} that starts behind {@code hva}. */
    private static int indexAfter(long[] pairs, int n, long hva) {
        int low = 0;
        int high = n / 2;
        while (low < high) {
            int mid = low + high >>> 1;
            if (pairs[2 * mid] <= hva) {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        return 2 * low;
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
        long stamp = lock.writeLock();
        if (used == ranges.length) {
            ranges = Arrays.copyOf(ranges, 2 * used);
        }
        int at = indexAfter(ranges, used, hva);
        System.arraycopy(ranges, at, ranges, at + 2, used - at);
        ranges[at] = hva;
        ranges[at + 1] = hva + bytes;
        used += 2;
        lock.unlockWrite(stamp);
        return hva;
    }

    @Override
    public synchronized void free(long hva, long bytes) {
        Arena arena = arenas.remove(hva);
        if (arena == null) {
            throw new IllegalArgumentException("free of 0x%x, which was not allocated here".formatted(hva));
        }
        allocatedBytes -= bytes;
        long stamp = lock.writeLock();
        int at = indexAfter(ranges, used, hva) - 2;
        used -= 2;
        System.arraycopy(ranges, at + 2, ranges, at, used - at);
        lock.unlockWrite(stamp);
        arena.close();
    }

    /** Bytes allocated and not freed. */
    public long allocatedBytes() {
        return allocatedBytes;
    }
}
