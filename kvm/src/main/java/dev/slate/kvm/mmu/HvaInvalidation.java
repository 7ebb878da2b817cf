package dev.slate.kvm.mmu;

import dev.slate.kvm.mode.GuestMode;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * Which of the client's addresses are being taken away ({@code mmu_invalidate_seq}, {@code _in_progress}, {@code _range_start},
 * {@code _range_end}).
 *
 * <p>{@link #begin} and {@link #end} under the MMU's lock, the rest is for any thread.
 */
public final class HvaInvalidation {
    private static final long WAIT_NANOS = 20_000;

    private int inProgress;
    private long start;
    private long end;
    /** Counts begins and ends. Written after the published range, so whoever reads the new number sees the new range. */
    private volatile long sequence;

    private volatile long publishedStart;
    private volatile long publishedEnd;

    public HvaInvalidation() {}

    /** A range starts going away. Ranges in progress at once are taken as the one range that holds them all. */
    public void begin(long startHva, long endHva) {
        if (inProgress++ == 0) {
            start = startHva;
            end = endHva;
        } else {
            start = Math.min(start, startHva);
            end = Math.max(end, endHva);
        }
        publish();
    }

    /** A range has gone. */
    public void end() {
        if (inProgress == 0) {
            throw new IllegalStateException("hostInvalidateEnd without a hostInvalidateBegin");
        }
        inProgress--;
        publish();
    }

    private void publish() {
        publishedStart = inProgress == 0 ? 0 : start;
        publishedEnd = inProgress == 0 ? 0 : end;
        sequence++;
    }

    /** To be read before a translation is looked up; {@link #retry} compares with it. */
    public long sequence() {
        return sequence;
    }

    /** Inside a reading window: whether a translation to {@code [hva, hva + bytes)} looked up after {@code since} may be void. */
    public boolean retry(long since, long hva, long bytes) {
        return sequence != since || inProgress(hva, bytes);
    }

    /** Whether anything of {@code [hva, hva + bytes)} is going away right now. */
    public boolean inProgress(long hva, long bytes) {
        return hva + bytes > publishedStart && hva < publishedEnd;
    }

    /** Waits, outside guest mode, while the page at {@code hva} is going away; returns early when {@code kickable} was kicked. */
    public void await(long hva, @Nullable GuestMode kickable) {
        for (int i = 0; inProgress(hva, Slab.PAGE) && (kickable == null || !kickable.kicked()); i++) {
            if (i < 20) {
                Thread.yield();
            } else {
                LockSupport.parkNanos(WAIT_NANOS);
            }
        }
    }
}
