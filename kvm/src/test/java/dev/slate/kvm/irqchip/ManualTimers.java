package dev.slate.kvm.irqchip;

import java.util.ArrayList;
import java.util.List;

/** Time that passes when a test says so. */
final class ManualTimers implements Timers {
    private final List<Timer> armed = new ArrayList<>();
    private long now = 1_000_000;

    @Override
    public long now() {
        return now;
    }

    @Override
    public void arm(Timer timer, long at) {
        timer.armed(at);
        timer.target = at;
        if (!armed.contains(timer)) {
            armed.add(timer);
        }
    }

    @Override
    public void cancel(Timer timer) {
        armed.remove(timer);
    }

    /** Lets time pass; what is due meanwhile expires at its time. */
    void pass(long nanos) {
        long end = now + nanos;
        for (; ; ) {
            Timer first = null;
            for (Timer t : armed) {
                if (t.target <= end && (first == null || t.target < first.target)) {
                    first = t;
                }
            }
            if (first == null) {
                now = end;
                return;
            }
            now = first.target;
            armed.remove(first);
            long again = first.expire(now);
            if (again != NEVER) {
                first.target = again;
                armed.add(first);
            }
        }
    }

    int armed() {
        return armed.size();
    }
}
