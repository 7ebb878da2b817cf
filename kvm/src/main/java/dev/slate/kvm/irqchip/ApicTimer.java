package dev.slate.kvm.irqchip;

import java.util.function.IntSupplier;
import java.util.function.LongSupplier;

/**
 * A local APIC's timer (SDM 3A 10.5.4): one shot, periodic, or at a TSC value. One count is a nanosecond times the divisor.
 *
 * <p>The vCPU writes under its mutex; the timer thread reads the target and advances a periodic one.
 */
final class ApicTimer extends Timers.Timer {
    private static final int MODE = 3 << 17;
    private static final int ONE_SHOT = 0;
    private static final int PERIODIC = 1 << 17;
    private static final int TSC_DEADLINE = 2 << 17;
    /** {@code min_timer_period_us}: a guest can't have the host do nothing but its ticks. */
    private static final long SHORTEST_PERIOD = 200_000;

    /** Most nanoseconds from now, some 146 years: times are compared by their difference. */
    private static final double FARTHEST = 1L << 62;

    private final LocalApic apic;
    private final TimerThread thread;
    private final LongSupplier tsc;
    private final IntSupplier tscKhz;

    private int mode = ONE_SHOT;
    private int modeMask = PERIODIC;
    private volatile long period;
    private volatile boolean periodic;
    private long tscDeadline;

    /** When to expire, in {@link System#nanoTime}'s count; {@link TimerThread#NEVER} when off. Guarded by this. */
    private long expiry = Timers.NEVER;

    ApicTimer(LocalApic apic, TimerThread thread, LongSupplier tsc, IntSupplier tscKhz) {
        this.apic = apic;
        this.thread = thread;
        this.tsc = tsc;
        this.tscKhz = tscKhz;
    }

    int modeMask() {
        return modeMask;
    }

    void tscDeadlineOffered(boolean offered) {
        modeMask = offered ? MODE : PERIODIC;
    }

    private long divisor() {
        int d = apic.register(LocalApic.TDCR);
        // Bits 0, 1 and 3: 2, 4, 8 … 128, 1.
        return 1L << ((d & 3 | d >>> 1 & 4) + 1 & 7);
    }

    private long nanos(int count) {
        return (count & 0xffff_ffffL) * divisor();
    }

    /** LVTT was written: another mode stops the timer where TSC deadlines begin or end. */
    void modeChanged() {
        int now = apic.register(LocalApic.LVTT) & modeMask;
        if (now == mode) {
            return;
        }
        if (now == TSC_DEADLINE || mode == TSC_DEADLINE) {
            cancel();
            apic.setRegister(LocalApic.TMICT, 0);
            period = 0;
            tscDeadline = 0;
        }
        mode = now;
        periodic = now == PERIODIC;
        limit();
    }

    private void limit() {
        if (periodic && period != 0 && period < SHORTEST_PERIOD) {
            period = SHORTEST_PERIOD;
        }
    }

    void writeInitialCount(int count) {
        if (mode == TSC_DEADLINE) {
            return;
        }
        cancel();
        apic.setRegister(LocalApic.TMICT, count);
        period = nanos(count);
        limit();
        if (period != 0) {
            arm(System.nanoTime() + period);
        }
    }

    void divisorChanged() {
        if (period != 0 && mode != TSC_DEADLINE) {
            period = nanos(apic.register(LocalApic.TMICT));
            limit();
        }
    }

    /** KVM_SET_LAPIC: goes on with {@code count} left. */
    void restore(int count) {
        modeChanged();
        if (mode == TSC_DEADLINE) {
            return;
        }
        period = nanos(apic.register(LocalApic.TMICT));
        limit();
        if (period == 0) {
            return;
        }
        // One shot with nothing left was over, but its interrupt may not have been in what was saved: it comes now, as
        // KVM has it.
        long left = Math.min(nanos(count), period);
        arm(System.nanoTime() + (left == 0 && periodic ? period : left));
    }

    int currentCount() {
        long p = period;
        if (apic.register(LocalApic.TMICT) == 0 || p == 0) {
            return 0;
        }
        long t;
        synchronized (this) {
            t = expiry;
        }
        long left = t == Timers.NEVER ? 0 : Math.max(0, t - System.nanoTime());
        return (int) (left % p / divisor());
    }

    long tscDeadline() {
        return mode == TSC_DEADLINE ? tscDeadline : 0;
    }

    void setTscDeadline(long value) {
        if (mode != TSC_DEADLINE) {
            return;
        }
        cancel();
        tscDeadline = value;
        if (value != 0) {
            long now = tsc.getAsLong();
            double nanos = Long.compareUnsigned(value, now) <= 0 ? 0 : (value - now >>> 1) * (2e6 / tscKhz.getAsInt());
            arm(System.nanoTime() + (long) Math.min(nanos, FARTHEST));
        }
    }

    /** Sets the target; one that is over already is pending when this returns. */
    private void arm(long at) {
        synchronized (this) {
            expiry = at;
        }
        long now = System.nanoTime();
        long next = at - now <= 0 ? expire(now) : at;
        if (next != Timers.NEVER) {
            thread.arm(this, next);
        }
    }

    void cancel() {
        synchronized (this) {
            expiry = Timers.NEVER;
        }
        thread.cancel(this);
    }

    /** Delivers when due: on the timer's thread, and on the vCPU's what is over when it is set. */
    @Override
    protected long expire(long now) {
        synchronized (this) {
            if (expiry == Timers.NEVER || expiry - now > 0) {
                return expiry;
            }
            if (periodic) {
                // Ticks that were missed are lost, as with a host that is too slow for them.
                expiry += period;
                if (expiry - now <= 0) {
                    expiry = now + period;
                }
            } else {
                expiry = Timers.NEVER;
                tscDeadline = 0;
            }
        }
        apic.timerExpired();
        synchronized (this) {
            return expiry;
        }
    }
}
