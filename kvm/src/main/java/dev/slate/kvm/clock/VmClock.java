package dev.slate.kvm.clock;

import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.host.HostServices;

/**
 * kvmclock: nanoseconds that pass with the host's TSC, from a base that the client sets. Every reader works from one immutable
 * base and the same fixed-point arithmetic that guests use on their page, so a client's reading and a guest's never contradict.
 *
 * <p>Thread-safe.
 */
public final class VmClock {
    /** KVM document "msr", {@code struct pvclock_vcpu_time_info}: bytes. */
    public static final int PAGE_BYTES = 32;

    private static final int TSC_STABLE = 1;

    /** At {@code hostTsc} the clock read {@code nanos}. */
    private record Base(long hostTsc, long nanos) {}

    private final HostServices host;
    private final int multiplier;
    private final int shift;
    private volatile Base base;

    /** MSR_KVM_WALL_CLOCK, one for the VM: where it was last wanted. */
    public volatile long wallClock;

    /** Starts at 0. */
    public VmClock(HostServices host) {
        this.host = host;
        this.shift = shift(host.tscKhz());
        this.multiplier = multiplier(host.tscKhz(), shift);
        this.base = new Base(host.readTsc(), 0);
    }

    /** What the clock reads at a reading of the host's TSC. */
    public long at(long hostTsc) {
        Base b = base;
        return b.nanos + scale(hostTsc - b.hostTsc, multiplier, shift);
    }

    /** What the clock reads now. */
    public long now() {
        return at(host.readTsc());
    }

    /** Sets the clock, now. */
    public void set(long nanos) {
        base = new Base(host.readTsc(), nanos);
    }

    /**
     * A vCPU's page.
     *
     * @param version even; the page is complete
     * @param to {@link #PAGE_BYTES}
     */
    public void fill(VcpuTsc tsc, int version, byte[] to) {
        Base b = base;
        int s = shift(tsc.khz());
        LittleEndian.putInt(to, 0, version);
        LittleEndian.putInt(to, 4, 0);
        LittleEndian.putLong(to, 8, tsc.scale(b.hostTsc) + tsc.offset());
        LittleEndian.putLong(to, 16, b.nanos);
        LittleEndian.putInt(to, 24, multiplier(tsc.khz(), s));
        LittleEndian.putInt(to, 28, s & 0xff | TSC_STABLE << 8);
    }

    /** The guest's arithmetic: shift, times the multiplier, less 32 bits. */
    static long scale(long ticks, int multiplier, int shift) {
        long shifted = shift < 0 ? ticks >>> -shift : ticks << shift;
        long m = multiplier & 0xffff_ffffL;
        return Math.unsignedMultiplyHigh(shifted, m) << 32 | shifted * m >>> 32;
    }

    /** The shift that brings 10^9 / frequency between 1/2 and 1. */
    private static int shift(long khz) {
        long hertz = khz * 1000;
        int s = 0;
        while (hertz > 2_000_000_000L) {
            hertz >>>= 1;
            s--;
        }
        while (hertz <= 1_000_000_000L) {
            hertz <<= 1;
            s++;
        }
        return s;
    }

    /** 10^9 / (frequency shifted), as a fraction of 2^32. */
    private static int multiplier(long khz, int shift) {
        long hertz = khz * 1000;
        long shifted = shift < 0 ? hertz >>> -shift : hertz << shift;
        return (int) Long.divideUnsigned(1_000_000_000L << 32, shifted);
    }
}
