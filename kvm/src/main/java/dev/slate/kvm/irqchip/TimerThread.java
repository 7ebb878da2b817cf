package dev.slate.kvm.irqchip;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;

/**
 * The thread that expires the timers of all VMs. Started with the system object and not at the first timer: a thread inherits the
 * signal mask of its creator, and a client's thread has the client's (docs/decisions).
 */
public final class TimerThread {
    private final List<ApicTimer> armed = new ArrayList<>();
    private final Thread thread;
    private volatile long next = ApicTimer.NEVER;

    /** Starts it: a daemon. */
    public TimerThread() {
        thread = new Thread(null, this::loop, "slate-timer", 256 * 1024);
        thread.setDaemon(true);
        thread.start();
    }

    /** The timer has a new target. From any thread. */
    void arm(ApicTimer timer, long at) {
        boolean sooner;
        synchronized (armed) {
            if (!armed.contains(timer)) {
                armed.add(timer);
            }
            sooner = next == ApicTimer.NEVER || at - next < 0;
            if (sooner) {
                next = at;
            }
        }
        if (sooner) {
            LockSupport.unpark(thread);
        }
    }

    private void loop() {
        for (; ; ) {
            long until = next;
            if (until == ApicTimer.NEVER) {
                LockSupport.park(this);
                continue;
            }
            long left = until - System.nanoTime();
            if (left > 0) {
                LockSupport.parkNanos(this, left);
                continue;
            }
            expireDue();
        }
    }

    private void expireDue() {
        synchronized (armed) {
            next = ApicTimer.NEVER;
            long now = System.nanoTime();
            for (int i = armed.size() - 1; i >= 0; i--) {
                long target = armed.get(i).expire(now);
                if (target == ApicTimer.NEVER) {
                    armed.remove(i);
                } else if (next == ApicTimer.NEVER || target - next < 0) {
                    next = target;
                }
            }
        }
    }
}
