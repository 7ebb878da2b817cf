package dev.slate.kvm.clock;

import dev.slate.kvm.host.HostServices;

/**
 * One vCPU's time-stamp counter: guest TSC = host TSC scaled by {@link #ratio} + {@link #offset}.
 *
 * <p>The owner (the vCPU's mutex) writes; a running vCPU's own thread reads.
 */
public final class VcpuTsc {
    /** {@link #ratio} of a guest that runs at the host's frequency: 1 in fixed point with 48 bits of fraction. */
    public static final int FRACTION_BITS = 48;

    private final HostServices host;
    private volatile long offset;
    private int khz;
    private long ratio;

    /** IA32_TSC_ADJUST. */
    public long adjust;

    public VcpuTsc(HostServices host, int khz) {
        this.host = host;
        setKhz(khz);
    }

    /** What a guest's guest sees more; 0 while none runs. */
    public long nestedOffset;

    /** Now, as an instruction sees it that reads the counter. */
    public long readInGuest() {
        return read() + nestedOffset;
    }

    /** Now. */
    public long read() {
        return scale(host.readTsc()) + offset;
    }

    /** A host reading, as the guest's clock counts it, without offset. */
    public long scale(long hostTsc) {
        long r = ratio;
        return r == 1L << FRACTION_BITS
                ? hostTsc
                : Math.unsignedMultiplyHigh(hostTsc, r) << 64 - FRACTION_BITS | hostTsc * r >>> FRACTION_BITS;
    }

    /** Whether what the guest sees is the host's RDTSC and an offset. */
    public boolean isSum() {
        return ratio == 1L << FRACTION_BITS && host.hasTsc();
    }

    public long offset() {
        return offset;
    }

    public void setOffset(long offset) {
        this.offset = offset;
    }

    /** What the host's counter is multiplied by, with {@link #FRACTION_BITS} bits of fraction. */
    public long ratio() {
        return ratio;
    }

    /** The offset that makes the counter read {@code value} now. */
    public long offsetFor(long value) {
        return value - scale(host.readTsc());
    }

    /** The guest writes IA32_TSC: SDM 3B 17.17.3 moves IA32_TSC_ADJUST with it. */
    public void write(long value) {
        long delta = offsetFor(value) - offset;
        offset += delta;
        adjust += delta;
    }

    /** The guest writes IA32_TSC_ADJUST. */
    public void writeAdjust(long value) {
        offset += value - adjust;
        adjust = value;
    }

    /** Frequency in kHz that the guest sees. */
    public int khz() {
        return khz;
    }

    /** Sets the frequency, more than 0; the host's own is exact. */
    public void setKhz(int khz) {
        long hostKhz = host.tscKhz();
        this.khz = khz;
        this.ratio = khz == hostKhz ? 1L << FRACTION_BITS : ratioOf(khz, hostKhz);
    }

    private static long ratioOf(long khz, long hostKhz) {
        // khz < 2^31: khz << 32 fits, and the remainder carries the low 16 bits of the 48-bit fraction.
        long high = Long.divideUnsigned(khz << 32, hostKhz);
        long rest = Long.remainderUnsigned(khz << 32, hostKhz);
        return (high << 16) + Long.divideUnsigned(rest << 16, hostKhz);
    }
}
