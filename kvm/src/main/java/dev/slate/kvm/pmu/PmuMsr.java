package dev.slate.kvm.pmu;

/** Numbers of the performance counters' MSRs (APM 2 appendix A). */
public final class PmuMsr {
    public static final int K7_EVNTSEL0 = 0xc0010000;
    /** Four event selects, then four counters. */
    public static final int K7_PERFCTR3 = 0xc0010007;

    public static final int F15H_PERF_CTL0 = 0xc0010200;
    /** Six controls at even numbers, six counters at odd ones. */
    public static final int F15H_PERF_CTR5 = 0xc001020b;

    private PmuMsr() {}
}
