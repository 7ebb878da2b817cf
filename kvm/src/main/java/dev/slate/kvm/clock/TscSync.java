package dev.slate.kvm.clock;

import dev.slate.kvm.host.HostServices;

/**
 * Keeps the TSCs of a VM's vCPUs in step: a client that writes the same value, or one a little later, to one vCPU after the other gets
 * one counter (KVM's rule: within a second of guest time of what the last write would read by now).
 *
 * <p>Thread-safe.
 */
public final class TscSync {
    private final HostServices host;
    private boolean written;
    private long lastNanos;
    private long lastValue;
    private long lastOffset;
    private int lastKhz;

    public TscSync(HostServices host) {
        this.host = host;
    }

    /** The client sets a vCPU's counter to {@code value}; 0 is what a new vCPU starts with. */
    public synchronized void synchronize(VcpuTsc tsc, long value) {
        long now = nanos();
        long offset = tsc.offsetFor(value);
        if (written && tsc.khz() == lastKhz && (value == 0 || close(tsc, value, now - lastNanos))) {
            offset = lastOffset;
        }
        remember(tsc, now, value, offset);
        tsc.setOffset(offset);
    }

    /** The client sets the offset itself; it counts as a write of what the counter then reads. */
    public synchronized void setOffset(VcpuTsc tsc, long offset) {
        tsc.setOffset(offset);
        remember(tsc, nanos(), tsc.read(), offset);
    }

    private boolean close(VcpuTsc tsc, long value, long elapsed) {
        long second = tsc.khz() * 1000L;
        long expected = lastValue + (long) (elapsed * (tsc.khz() / 1e6));
        return value - expected < second && expected - value < second;
    }

    private void remember(VcpuTsc tsc, long now, long value, long offset) {
        written = true;
        lastNanos = now;
        lastValue = value;
        lastOffset = offset;
        lastKhz = tsc.khz();
    }

    private long nanos() {
        return (long) (host.readTsc() * (1e6 / host.tscKhz()));
    }
}
