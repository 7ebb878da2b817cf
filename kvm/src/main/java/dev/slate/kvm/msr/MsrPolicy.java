package dev.slate.kvm.msr;

import dev.slate.kvm.MsrRange;

/**
 * What a VM's client has said about its guests' RDMSR and WRMSR: which are refused, and of which it wants to hear.
 *
 * <p>Any thread.
 */
public final class MsrPolicy {
    /** {@code KVM_MSR_FILTER_MAX_RANGES}. */
    public static final int MAX_RANGES = 16;

    private static final int DEFAULT_DENY = 1;
    private static final int MAX_BITMAP_BITS = 0x600 * 8;
    private static final MsrFilter ALLOW_ALL = new MsrFilter(true, new int[0], new int[0], new int[0], new long[0][]);

    /** {@code KVM_X86_SET_MSR_FILTER}. */
    public volatile MsrFilter filter = ALLOW_ALL;

    /** {@code KVM_CAP_X86_USER_SPACE_MSR}: {@code KVM_MSR_EXIT_REASON_*}. */
    public volatile int userSpaceMask;

    /** Everything is allowed, nothing is reported. */
    public MsrPolicy() {}

    /**
     * {@code KVM_X86_SET_MSR_FILTER}.
     *
     * @param flags {@code KVM_MSR_FILTER_DEFAULT_DENY} (1) or 0
     * @param ranges a range of 0 MSRs is skipped
     * @return false: refused, and the filter stays: unknown flags, too many ranges, a bitmap that is too long, or deny-all without any range
     */
    public boolean setFilter(int flags, MsrRange[] ranges) {
        int used = 0;
        for (MsrRange r : ranges) {
            used += r.count() == 0 ? 0 : 1;
        }
        if ((flags & ~DEFAULT_DENY) != 0 || used == 0 && flags != 0 || ranges.length > MAX_RANGES) {
            return false;
        }
        int[] rangeFlags = new int[used];
        int[] base = new int[used];
        int[] count = new int[used];
        long[][] bitmap = new long[used][];
        int i = 0;
        for (MsrRange r : ranges) {
            if (r.count() == 0) {
                continue;
            }
            if (r.flags() == 0
                    || (r.flags() & ~(MsrRange.READ | MsrRange.WRITE)) != 0
                    || Integer.compareUnsigned(r.count(), MAX_BITMAP_BITS) > 0) {
                return false;
            }
            rangeFlags[i] = r.flags();
            base[i] = r.base();
            count[i] = r.count();
            bitmap[i++] = r.bitmap().clone();
        }
        filter = new MsrFilter(flags == 0, rangeFlags, base, count, bitmap);
        return true;
    }
}
