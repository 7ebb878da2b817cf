package dev.slate.kvm.msr;

/** KVM_X86_SET_MSR_FILTER: which MSRs a guest may read and write. Immutable; a VM swaps whole filters. */
public final class MsrFilter {
    /** A range counts for reads. */
    public static final int READ = 1;
    /** A range counts for writes. */
    public static final int WRITE = 2;

    private final boolean allowByDefault;
    private final int[] flags;
    private final int[] base;
    private final int[] count;
    private final long[][] bitmap;

    /** Range i covers {@code count[i]} MSRs from {@code base[i]}; bit n of {@code bitmap[i]} allows MSR base + n. */
    public MsrFilter(boolean allowByDefault, int[] flags, int[] base, int[] count, long[][] bitmap) {
        this.allowByDefault = allowByDefault;
        this.flags = flags;
        this.base = base;
        this.count = count;
        this.bitmap = bitmap;
    }

    /** Whether the guest may {@link #READ} or {@link #WRITE} the MSR. x2APIC's are never filtered. */
    public boolean allows(int index, int access) {
        if (index >= Msr.X2APIC_FIRST && index <= Msr.X2APIC_LAST) {
            return true;
        }
        for (int i = 0; i < flags.length; i++) {
            int n = index - base[i];
            if (Integer.compareUnsigned(n, count[i]) < 0
                    && Integer.compareUnsigned(index, base[i]) >= 0
                    && (flags[i] & access) != 0) {
                return (bitmap[i][n >>> 6] >>> n & 1) != 0;
            }
        }
        return allowByDefault;
    }
}
