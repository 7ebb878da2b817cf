package dev.slate.kvm.run;

import dev.slate.kvm.stats.VcpuStats;
import java.util.concurrent.locks.ReentrantLock;

/** {@code vcpu->mutex}. Every call ends with vcpu_put(), where KVM on AMD counts. */
public final class VcpuMutex extends ReentrantLock {
    private static final long serialVersionUID = 1;

    private final transient VcpuStats stats;

    VcpuMutex(VcpuStats stats) {
        this.stats = stats;
    }

    @Override
    public void unlock() {
        stats.add(VcpuStats.HOST_STATE_RELOAD);
        super.unlock();
    }

    /** Lets others have the mutex, which the caller holds once, while {@code wait} runs. */
    void whileUnlocked(Runnable wait) {
        unlock();
        try {
            wait.run();
        } finally {
            lock();
        }
    }
}
