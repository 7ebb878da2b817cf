package dev.slate.kvm.irqchip;

import java.util.Arrays;
import java.util.concurrent.locks.LockSupport;

/**
 * The thread that expires the timers of all VMs. Started with the system object and not at the first timer: a thread inherits the
 * signal mask of its creator, and a client's thread has the client's (docs/decisions).
 *
 * <p>A binary heap by target: a thousand timers cost ten comparisons each. Its lock may be taken while a controller's is held; a timer is
 * expired without it.
 */
public final class TimerThread implements Timers {
    /** Stands where no timer is, so that a heap that was once large holds no VM that is gone. */
    private static final Timer NOTHING = new Timer() {
        @Override
        protected long expire(long now) {
            return NEVER;
        }
    };

    private Timer[] heap = new Timer[16];
    private int size;
    private final Thread thread;
    /** The timer that is being expired. Its answer counts only if nobody changed it meanwhile. */
    private Timer expiring = NOTHING;

    private boolean overruled;
    private volatile long next = NEVER;

    /** Starts it: a daemon. */
    public TimerThread() {
        thread = new Thread(null, this::loop, "slate-timer", 256 * 1024);
        thread.setDaemon(true);
        thread.start();
    }

    @Override
    public long now() {
        return System.nanoTime();
    }

    @Override
    public void arm(Timer timer, long at) {
        boolean sooner;
        synchronized (this) {
            overruled |= timer == expiring;
            timer.armed(at);
            put(timer, at);
            sooner = heap[0] == timer && (next == NEVER || at - next < 0);
            if (sooner) {
                next = at;
            }
        }
        if (sooner) {
            LockSupport.unpark(thread);
        }
    }

    @Override
    public void cancel(Timer timer) {
        synchronized (this) {
            overruled |= timer == expiring;
            remove(timer);
        }
    }

    /** Waits until a timer that is being expired now has been: what a cancelled one looks at may go then. Not from {@link Timer#expire}. */
    public void settle() {
        Timer busy;
        synchronized (this) {
            busy = expiring;
        }
        while (busy != NOTHING && expires(busy)) {
            Thread.yield();
        }
    }

    private synchronized boolean expires(Timer timer) {
        return expiring == timer;
    }

    private void loop() {
        for (; ; ) {
            long until = next;
            if (until == NEVER) {
                LockSupport.park(this);
                continue;
            }
            long left = until - System.nanoTime();
            if (left > 0) {
                LockSupport.parkNanos(this, left);
                continue;
            }
            expireFirst();
        }
    }

    private void expireFirst() {
        Timer due;
        long now = System.nanoTime();
        synchronized (this) {
            if (size == 0 || heap[0].target - now > 0) {
                next = size == 0 ? NEVER : heap[0].target;
                return;
            }
            due = heap[0];
            remove(due);
            expiring = due;
            overruled = false;
        }
        long again = due.expire(now);
        synchronized (this) {
            if (again != NEVER && !overruled) {
                put(due, again);
            }
            expiring = NOTHING;
            next = size == 0 ? NEVER : heap[0].target;
        }
    }

    // ------------------------------------------------------------------ the heap

    private void put(Timer timer, long at) {
        int place = timer.place;
        if (place < 0) {
            if (size == heap.length) {
                heap = Arrays.copyOf(heap, 2 * size);
            }
            place = size++;
        }
        timer.target = at;
        heap[place] = timer;
        timer.place = place;
        up(timer);
        down(timer);
    }

    private void remove(Timer timer) {
        int place = timer.place;
        if (place < 0) {
            return;
        }
        timer.place = -1;
        timer.target = NEVER;
        Timer last = heap[--size];
        heap[size] = NOTHING;
        if (last != timer) {
            heap[place] = last;
            last.place = place;
            up(last);
            down(last);
        }
    }

    private void up(Timer timer) {
        int place = timer.place;
        while (place > 0) {
            int parent = place - 1 >>> 1;
            if (heap[parent].target - timer.target <= 0) {
                break;
            }
            move(heap[parent], place);
            place = parent;
        }
        move(timer, place);
    }

    private void down(Timer timer) {
        int place = timer.place;
        for (; ; ) {
            int child = 2 * place + 1;
            if (child >= size) {
                break;
            }
            if (child + 1 < size && heap[child + 1].target - heap[child].target < 0) {
                child++;
            }
            if (timer.target - heap[child].target <= 0) {
                break;
            }
            move(heap[child], place);
            place = child;
        }
        move(timer, place);
    }

    private void move(Timer timer, int place) {
        heap[place] = timer;
        timer.place = place;
    }
}
