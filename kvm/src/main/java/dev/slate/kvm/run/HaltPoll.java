package dev.slate.kvm.run;

import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.msr.MsrFile;
import dev.slate.kvm.setting.VmSettings;
import dev.slate.kvm.stats.VcpuStats;

/**
 * HLT of one vCPU: a wake-up that comes soon finds the thread awake, a late one finds it asleep (Documentation/virt/kvm/halt-polling.rst).
 * How long to poll adapts: it grows while wake-ups come soon, and one that comes late ends polling.
 *
 * <p>Of the vCPU's thread only, under its mutex, outside guest mode.
 */
final class HaltPoll {
    /** Module parameters of kvm.ko at their defaults. */
    private static final long GROW = 2;

    private static final long GROW_START_NANOS = 10_000;

    private final GuestMode mode;
    private final VcpuStats stats;
    private final VmSettings settings;
    private final MsrFile msrs;
    private final EventDelivery delivery;
    /** {@code vcpu->halt_poll_ns}. */
    private long nanos;

    HaltPoll(GuestMode mode, VcpuStats stats, VmSettings settings, MsrFile msrs, EventDelivery delivery) {
        this.mode = mode;
        this.stats = stats;
        this.settings = settings;
        this.msrs = msrs;
        this.delivery = delivery;
    }

    /** Waits until the vCPU is kicked. True when it slept; false when there was something to do at once, or soon. May return for no reason. */
    boolean halt() {
        mode.clearKick();
        if (somethingCame()) {
            return false;
        }
        long max = settings.haltPollNanos;
        nanos = Math.min(nanos, max);
        boolean allowed = msrs.guestLetsPoll();
        boolean polls = allowed && nanos != 0;
        long start = System.nanoTime();
        long polled = start;
        if (polls) {
            polled = poll(start);
        }
        boolean slept = !mode.kicked();
        long now = polled;
        if (slept) {
            sleep();
            now = System.nanoTime();
            stats.add(VcpuStats.HALT_WAIT_NS, now - polled);
            stats.histogram(VcpuStats.HALT_WAIT_HIST, now - polled);
        }
        if (polls) {
            count(polled - start, !slept);
        }
        if (allowed) {
            adapt(now - start, max);
        }
        return slept;
    }

    /** HLT that is no exit: nothing is polled for or counted. May return for no reason. */
    void stayInside() {
        mode.clearKick();
        if (!delivery.endsHalt() && !mode.pending()) {
            mode.block(Long.MAX_VALUE);
        }
    }

    /** A vCPU that waits for INIT and SIPI, which nobody polls for. True when it slept. */
    boolean block() {
        mode.clearKick();
        if (somethingCame() || mode.kicked()) {
            return false;
        }
        sleep();
        return true;
    }

    /** After the kick word was cleared: whoever posts a request and kicks is seen here, or by the kick. Takes {@link Request#UNBLOCK}. */
    private boolean somethingCame() {
        return delivery.runnable() || mode.check(Request.UNBLOCK);
    }

    /** Returns the time at which it was kicked or gave up. Yields the core each time round, as KVM stops for another task. */
    private long poll(long start) {
        long now;
        do {
            Thread.yield();
            now = System.nanoTime();
        } while (!mode.kicked() && now - start < nanos);
        return now;
    }

    private void sleep() {
        stats.set(VcpuStats.BLOCKING, 1);
        mode.block(Long.MAX_VALUE);
        stats.set(VcpuStats.BLOCKING, 0);
    }

    private void count(long pollNanos, boolean success) {
        stats.add(VcpuStats.HALT_ATTEMPTED_POLL);
        if (success) {
            stats.add(VcpuStats.HALT_SUCCESSFUL_POLL);
            stats.add(VcpuStats.HALT_POLL_SUCCESS_NS, pollNanos);
            stats.histogram(VcpuStats.HALT_POLL_SUCCESS_HIST, pollNanos);
        } else {
            stats.add(VcpuStats.HALT_POLL_FAIL_NS, pollNanos);
            stats.histogram(VcpuStats.HALT_POLL_FAIL_HIST, pollNanos);
        }
    }

    private void adapt(long halted, long max) {
        if (max == 0) {
            nanos = 0;
        } else if (halted > nanos) {
            if (nanos != 0 && halted > max) {
                nanos = 0;
            } else if (nanos < max && halted < max) {
                nanos = Math.max(nanos * GROW, GROW_START_NANOS);
            }
        }
    }
}
