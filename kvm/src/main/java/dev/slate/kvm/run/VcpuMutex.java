package dev.slate.kvm.run;

import dev.slate.kvm.stats.VcpuStats;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.AbstractQueuedSynchronizer;
import org.jspecify.annotations.Nullable;

/**
 * {@code vcpu->mutex}. A call ends with vcpu_put(), where KVM on AMD counts.
 *
 * <p>Who holds it may take it again, which costs no barrier, unlike with a {@link java.util.concurrent.locks.ReentrantLock}: the client's
 * ioctl holds it from its first look at what the vCPU and the client share to the last, and every call of the vCPU within takes it.
 */
public final class VcpuMutex extends AbstractQueuedSynchronizer {
    private static final long serialVersionUID = 2;

    private final transient VcpuStats stats;

    /** Written by the holder alone: whatever another thread reads here, it is not that thread. */
    private transient @Nullable Thread holder;

    /** How often the holder holds it. */
    private transient int holds;

    VcpuMutex(VcpuStats stats) {
        this.stats = stats;
    }

    /** Waits until no other thread holds it. */
    public void lock() {
        Thread me = Thread.currentThread();
        if (holder != me) {
            acquire(1);
            holder = me;
        }
        holds++;
    }

    /** The same for so long; false: another thread still does. */
    public boolean tryLock(long time, TimeUnit unit) throws InterruptedException {
        Thread me = Thread.currentThread();
        if (holder != me) {
            if (!tryAcquireNanos(1, unit.toNanos(time))) {
                return false;
            }
            holder = me;
        }
        holds++;
        return true;
    }

    /** Undoes one {@link #lock}. */
    public void unlock() {
        if (holder != Thread.currentThread()) {
            throw new IllegalMonitorStateException();
        }
        if (--holds == 0) {
            letGo();
        }
    }

    private void letGo() {
        stats.add(VcpuStats.HOST_STATE_RELOAD);
        holder = null;
        release(1);
    }

    /** Lets others have the mutex, however often the caller holds it, while {@code wait} runs. */
    void whileUnlocked(Runnable wait) {
        int held = holds;
        holds = 0;
        letGo();
        try {
            wait.run();
        } finally {
            lock();
            holds = held;
        }
    }

    @Override
    protected boolean tryAcquire(int unused) {
        return compareAndSetState(0, 1);
    }

    @Override
    protected boolean tryRelease(int unused) {
        setState(0);
        return true;
    }
}
