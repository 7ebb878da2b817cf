package dev.slate.kvm.setting;

import java.util.Arrays;

/** Which events performance counters may count: {@code KVM_SET_PMU_EVENT_FILTER}. Immutable. */
public final class PmuEventFilter {
    /** {@code KVM_PMU_EVENT_ALLOW}: those listed and no other. */
    public static final int ALLOW = 0;

    /** {@code KVM_PMU_EVENT_DENY}: all but those listed. */
    public static final int DENY = 1;

    /** Most events of a filter. */
    public static final int MAX_EVENTS = 300;

    /** All may be counted. */
    public static final PmuEventFilter NONE = new PmuEventFilter(DENY, new long[0]);

    private final boolean allows;
    private final long[] events;

    /**
     * @param action {@link #ALLOW} or {@link #DENY}
     * @param events bits 0 to 7 and 32 to 35 an event, 8 to 15 a unit mask; in any order; copied
     */
    public PmuEventFilter(int action, long[] events) {
        allows = action == ALLOW;
        this.events = events.clone();
        Arrays.sort(this.events);
    }

    /** Whether an event may be counted. */
    public boolean allows(long event) {
        return (Arrays.binarySearch(events, event) >= 0) == allows;
    }
}
