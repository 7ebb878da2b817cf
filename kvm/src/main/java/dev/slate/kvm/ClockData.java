package dev.slate.kvm;

/**
 * kvmclock's reading ({@code struct kvm_clock_data}).
 *
 * <p>A plain carrier. Not thread-safe.
 */
public final class ClockData {
    public static final int TSC_STABLE = 2;
    public static final int REALTIME = 4;
    public static final int HOST_TSC = 8;

    /** Nanoseconds. */
    public long clock;

    public int flags;
    /** Nanoseconds since 1970, with {@link #REALTIME}. */
    public long realtime;
    /** With {@link #HOST_TSC}. */
    public long hostTsc;

    /** All zero. */
    public ClockData() {}
}
