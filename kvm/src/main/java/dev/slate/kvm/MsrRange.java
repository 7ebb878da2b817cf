package dev.slate.kvm;

/** One range of {@link Vm#setMsrFilter}; bit n of {@code bitmap} allows MSR base + n ({@code struct kvm_msr_filter_range}). */
public record MsrRange(int flags, int base, int count, long[] bitmap) {
    /** The range counts for reads. */
    public static final int READ = 1;
    /** The range counts for writes. */
    public static final int WRITE = 1 << 1;
}
