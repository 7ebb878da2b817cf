package dev.slate.kvm.stats;

/**
 * One row of a statistics table: descriptor and place in one (KVM document, KVM_GET_STATS_FD). The row's offset is where the counter
 * lies in the native block and in the data block that the client reads: they are the same bytes.
 *
 * @param name KVM's name
 * @param kind {@code KVM_STATS_TYPE_*}: one of the constants here
 * @param unit {@code KVM_STATS_UNIT_*} in its place (bits 4 and up)
 * @param base {@code KVM_STATS_BASE_*} in its place (bits 8 and up)
 * @param exponent of the unit: 0, or -9 for nanoseconds
 * @param values number of 64-bit values, at least 1
 * @param offset bytes from the start of the block
 */
public record Stat(String name, int kind, int unit, int base, int exponent, int values, int offset) {
    public static final int CUMULATIVE = 0;
    public static final int INSTANT = 1;
    public static final int PEAK = 2;
    public static final int LINEAR_HIST = 3;
    public static final int LOG_HIST = 4;

    public static final int UNIT_NONE = 0;
    public static final int UNIT_BYTES = 1 << 4;
    public static final int UNIT_SECONDS = 2 << 4;
    public static final int UNIT_CYCLES = 3 << 4;
    public static final int UNIT_BOOLEAN = 4 << 4;

    public static final int BASE_POW10 = 0;
    public static final int BASE_POW2 = 1 << 8;

    /** The descriptor's 32-bit flags word. */
    public int flags() {
        return kind | unit | base;
    }
}
