package dev.slate.kvm.mode;

import java.util.Arrays;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;

/**
 * The modes of all vCPUs of a VM: requests to all, and the waits of those who take memory away.
 *
 * <p>Thread-safe. A wait ends because a vCPU inside the guest leaves at its next block edge and one that reads never blocks; with more
 * vCPUs than cores it may first have to be scheduled, so waiters yield and then sleep, and a vCPU that has served a waiter sleeps too
 * ({@link #yieldToWaiters}): else each of the others would keep its core for a whole time slice.
 */
public final class GuestModes {
    private static final GuestMode[] NONE = {};
    private static final int SPINS = 50;
    private static final int YIELDS = 400;
    private static final long SLEEP_NANOS = 20_000;
    private static final int MAX_NAPS = 100;

    private volatile GuestMode[] modes = NONE;
    /** Whose vCPU has the memory to itself. Below no other lock: whoever waits for it is outside and holds none. */
    private final ReentrantLock bus = new ReentrantLock();

    private volatile int waiters;
    private static final java.util.concurrent.atomic.AtomicIntegerFieldUpdater<GuestModes> WAITERS =
            java.util.concurrent.atomic.AtomicIntegerFieldUpdater.newUpdater(GuestModes.class, "waiters");

    /** No vCPU yet. */
    public GuestModes() {}

    /** Adds a vCPU, which is outside. Requests posted to all before this do not reach it. */
    public synchronized void add(GuestMode mode) {
        GuestMode[] next = Arrays.copyOf(modes, modes.length + 1);
        next[modes.length] = mode;
        modes = next;
    }

    /** Removes a vCPU, which is outside for good. Its kick word must stay until no other thread can be in here with the old list. */
    public synchronized void remove(GuestMode mode) {
        int at = Arrays.asList(modes).indexOf(mode);
        if (at >= 0) {
            GuestMode[] next = new GuestMode[modes.length - 1];
            System.arraycopy(modes, 0, next, 0, at);
            System.arraycopy(modes, at + 1, next, at, next.length - at);
            modes = next;
        }
    }

    /** Number of vCPUs. */
    public int count() {
        return modes.length;
    }

    /** Posts a request to all vCPUs and kicks those inside the guest. Does not wait. */
    public void requestAll(int request) {
        for (GuestMode m : modes) {
            m.request(request);
            m.kick();
        }
    }

    /**
     * Waits until no vCPU is in a reading window that it opened before the call. To be called after the change that readers check
     * for has been published: from then on nobody commits anything that rests on the old state.
     */
    public void waitForReaders() {
        for (GuestMode m : modes) {
            long token = m.readerToken();
            if (token != 0) {
                await(m, token);
            }
        }
    }

    /**
     * Makes every vCPU drop its translations, and returns when none can use an old one any more; table pages unlinked before the call
     * may then be reused.
     *
     * @return whether any vCPU had to be waited for
     */
    public boolean flushRemoteTlbs() {
        GuestMode[] all = modes;
        boolean inside = false;
        for (GuestMode m : all) {
            m.request(Request.TLB_FLUSH);
            if (m.token() != 0) {
                inside = true;
            }
        }
        if (!inside) {
            return false;
        }
        WAITERS.incrementAndGet(this);
        try {
            // Kick all first, then wait: they leave in parallel.
            for (GuestMode m : all) {
                if (m.token() != 0) {
                    m.kick();
                }
            }
            for (GuestMode m : all) {
                // The token is taken after the request was posted: a vCPU that entered later has seen the request.
                long token = m.token();
                if (token != 0 && m.test(Request.TLB_FLUSH)) {
                    await(m, token);
                }
            }
        } finally {
            WAITERS.decrementAndGet(this);
        }
        return true;
    }

    /**
     * Takes the memory for one vCPU alone: returns when every other is outside the guest, and will stay there until {@link #releaseBus}.
     * The caller is outside.
     */
    public void takeBus(GuestMode self) {
        bus.lock();
        GuestMode[] all = modes;
        for (GuestMode m : all) {
            if (m != self) {
                m.request(Request.BUS_LOCK);
                if (m.token() != 0) {
                    m.kick();
                }
            }
        }
        for (GuestMode m : all) {
            if (m != self) {
                // Taken after the request was posted: a vCPU that entered later has seen it.
                long token = m.token();
                if (token != 0) {
                    await(m, token);
                }
            }
        }
    }

    /** Lets the others run again. */
    public void releaseBus() {
        bus.unlock();
    }

    /** Into guest mode, when nobody has the memory to himself. On the vCPU's thread, outside. */
    @SuppressWarnings("LockNotBeforeTry") // nothing is done under it: it is the wait for whoever holds it
    public void enter(GuestMode self) {
        self.enter();
        while (self.test(Request.BUS_LOCK)) {
            self.leave();
            // Taken before the wait: one posted after it is seen after entering, and one posted before it has the lock.
            self.check(Request.BUS_LOCK);
            bus.lock();
            bus.unlock();
            self.enter();
        }
    }

    /**
     * A vCPU's thread that has just served a request, outside guest mode, leaves the core to the others as long as somebody still waits
     * for one of them. It sleeps rather than yields: having run least it would be the scheduler's first choice again.
     */
    public void yieldToWaiters() {
        for (int i = 0; waiters != 0 && i < MAX_NAPS; i++) {
            LockSupport.parkNanos(SLEEP_NANOS);
        }
    }

    /** Waits until a vCPU has left the guest since {@code token} was taken. The caller is outside and has kicked it. */
    public void awaitLeaving(GuestMode m, long token) {
        WAITERS.incrementAndGet(this);
        try {
            await(m, token);
        } finally {
            WAITERS.decrementAndGet(this);
        }
    }

    private static void await(GuestMode m, long token) {
        for (int i = 0; !m.passed(token); i++) {
            if (i < SPINS) {
                Thread.onSpinWait();
            } else if (i < YIELDS) {
                Thread.yield();
            } else {
                LockSupport.parkNanos(SLEEP_NANOS);
            }
        }
    }
}
