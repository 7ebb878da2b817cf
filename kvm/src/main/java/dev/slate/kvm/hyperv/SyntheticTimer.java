package dev.slate.kvm.hyperv;

import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.irqchip.Timers;
import dev.slate.kvm.tracepoint.HyperVTracepoints;
import dev.slate.kvm.tracepoint.Tracepoints;

/**
 * One of the four synthetic timers of a virtual processor (TLFS, "synthetic timers"): it counts in units of 100 ns of the partition's
 * reference time, and tells by a message of a SynIC source or by a vector of the APIC.
 *
 * <p>Guarded by the vCPU's mutex; {@link #expire} comes on the timer thread and only says that there is something to do.
 */
final class SyntheticTimer extends Timers.Timer {
    private static final long ENABLED = 1;
    private static final long PERIODIC = 1 << 1;
    private static final long AUTO_ENABLE = 1 << 3;
    private static final long DIRECT = 1 << 12;

    /** Farthest target, in units of 100 ns: some 146 years, as times are compared by their difference. */
    private static final long FARTHEST = (1L << 62) / 100;

    // The message.
    private static final int TIMER_EXPIRED = 0x8000_0010;
    private static final int PAYLOAD_BYTES = 24;
    private static final int PAYLOAD = 16;

    private final int index;
    private final VirtualProcessor vp;
    private final Timers timers;
    private final byte[] message = new byte[PAYLOAD + PAYLOAD_BYTES];

    private long config;
    private long count;
    /** When it expires, in reference time; 0: not started. */
    private long expiration;
    /** A message could not be put yet. */
    private boolean messageWaits;

    SyntheticTimer(int index, VirtualProcessor vp, Timers timers) {
        this.index = index;
        this.vp = vp;
        this.timers = timers;
        LittleEndian.putInt(message, 0, TIMER_EXPIRED);
        message[4] = PAYLOAD_BYTES;
        LittleEndian.putInt(message, PAYLOAD, index);
    }

    long config() {
        return config;
    }

    long count() {
        return count;
    }

    private boolean enabled() {
        return (config & ENABLED) != 0;
    }

    private boolean direct() {
        return (config & DIRECT) != 0;
    }

    private int source() {
        return (int) (config >>> 16) & 15;
    }

    void writeConfig(long v, boolean host) {
        if (Tracepoints.ON) {
            HyperVTracepoints.stimerSetConfig(vp.vcpuId(), index, v, host);
        }
        stop();
        boolean wasOn = enabled();
        config = v;
        if (wasOn && !direct() && source() == 0) {
            // Source 0 is none for timers.
            config &= ~ENABLED;
        }
        lookAt();
    }

    void writeCount(long v, boolean host) {
        if (Tracepoints.ON) {
            HyperVTracepoints.stimerSetCount(vp.vcpuId(), index, v, host);
        }
        stop();
        count = v;
        if (!host) {
            if (v == 0) {
                config &= ~ENABLED;
            } else if ((config & AUTO_ENABLE) != 0) {
                config |= ENABLED;
            }
        }
        lookAt();
    }

    private void lookAt() {
        if (enabled()) {
            vp.timerDue(index, false);
        }
    }

    /** The messages of a source have been read: one that waits may have its place now. */
    void sourceEnded(int source) {
        if (messageWaits && enabled() && !direct() && source() == source) {
            vp.timerDue(index, false);
        }
    }

    void stop() {
        if (Tracepoints.ON) {
            HyperVTracepoints.stimerCleanup(vp.vcpuId(), index);
        }
        timers.cancel(this);
        vp.timerNotDue(index);
        messageWaits = false;
        expiration = 0;
    }

    @Override
    protected long expire(long now) {
        if (Tracepoints.ON) {
            HyperVTracepoints.stimerCallback(vp.vcpuId(), index);
        }
        vp.timerDue(index, true);
        return Timers.NEVER;
    }

    /** There is something to do: a target may be reached, or is to be set. On the vCPU's thread. */
    void process() {
        if (!enabled()) {
            return;
        }
        if (expiration != 0 && Long.compareUnsigned(vp.referenceTime(), expiration) >= 0) {
            expired();
        }
        if (!enabled() || count == 0) {
            stop();
        } else if (!messageWaits) {
            start();
        }
    }

    private void expired() {
        messageWaits = true;
        boolean told = direct() ? vp.interrupt((int) config >>> 4 & 0xff) : sendMessage();
        if (Tracepoints.ON) {
            HyperVTracepoints.stimerExpiration(vp.vcpuId(), index, direct(), told ? 0 : 1);
        }
        if (told) {
            messageWaits = false;
            if ((config & PERIODIC) == 0) {
                config &= ~ENABLED;
            }
        }
    }

    private boolean sendMessage() {
        LittleEndian.putLong(message, PAYLOAD + 8, expiration);
        LittleEndian.putLong(message, PAYLOAD + 16, vp.referenceTime());
        // Ticks of a periodic timer do not pile up.
        return vp.synIc().send(source(), message, (config & PERIODIC) != 0) == SynIc.Sent.DONE;
    }

    private void start() {
        long now = vp.referenceTime();
        if ((config & PERIODIC) == 0) {
            expiration = count;
            if (Long.compareUnsigned(now, count) >= 0) {
                vp.timerDue(index, false);
                return;
            }
        } else if (expiration == 0) {
            expiration = now + count;
        } else if (Long.compareUnsigned(now, expiration) >= 0) {
            // Ticks that were missed are lost.
            expiration = now + count - Long.remainderUnsigned(now - expiration, count);
        }
        if (Tracepoints.ON) {
            if ((config & PERIODIC) != 0) {
                HyperVTracepoints.stimerStartPeriodic(vp.vcpuId(), index, now, expiration);
            } else {
                HyperVTracepoints.stimerStartOneShot(vp.vcpuId(), index, now, count);
            }
        }
        long left = expiration - now;
        timers.arm(this, timers.now() + 100 * (left < 0 || left > FARTHEST ? FARTHEST : left));
    }
}
