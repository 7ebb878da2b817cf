package dev.slate.kvm.mmu.tdp;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.stats.VmStats;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;

/**
 * The 2 MiB regions that are mapped by small pages only because the guest executes there ({@code lpage_disallowed_mmu_pages}), the oldest
 * first. Their number is the statistic {@code nx_lpage_splits}.
 *
 * <p>Thread-safe. A region comes in together with its table, and goes when the table does: whoever has taken the table out calls
 * {@link #forget}, which waits until the region is in. There are few of them, and each comes with a copy of 512 entries, so a lock and an
 * object do no harm here.
 */
final class NxSplits {
    private static final int AS_SHIFT = 40;

    private final VmStats stats;
    private final LinkedHashSet<Long> regions = new LinkedHashSet<>();
    /** As the set is empty, but without its lock. */
    private volatile boolean empty = true;

    NxSplits(VmStats stats) {
        this.stats = stats;
    }

    private static long key(int asId, long gfn) {
        return (long) asId << AS_SHIFT | gfn >>> 9;
    }

    /** Replaces {@code old} by {@code table}, and remembers the region of {@code gfn} if that succeeded. */
    synchronized boolean link(long at, long old, long table, int asId, long gfn) {
        // Before the table can be found and taken out again.
        empty = false;
        if (!HostMemory.cas64(at, old, table)) {
            empty = regions.isEmpty();
            return false;
        }
        if (regions.add(key(asId, gfn))) {
            stats.add(VmStats.NX_LPAGE_SPLITS, 1);
        }
        return true;
    }

    /** A region's table was taken out. */
    void forget(int asId, long gfn) {
        if (!empty) {
            remove(key(asId, gfn));
        }
    }

    private synchronized void remove(long key) {
        if (regions.remove(key)) {
            stats.add(VmStats.NX_LPAGE_SPLITS, -1);
            empty = regions.isEmpty();
        }
    }

    /** The oldest regions, one of {@code ratio}, rounded up: {@link #gfn} and {@link #asId} take them apart. */
    synchronized List<Long> oldest(int ratio) {
        int count = (regions.size() + ratio - 1) / ratio;
        List<Long> oldest = new ArrayList<>(count);
        for (long key : regions) {
            if (oldest.size() == count) {
                break;
            }
            oldest.add(key);
        }
        return oldest;
    }

    static long gfn(long region) {
        return (region & (1L << AS_SHIFT) - 1) << 9;
    }

    static int asId(long region) {
        return (int) (region >>> AS_SHIFT);
    }
}
