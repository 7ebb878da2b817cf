package dev.slate.kvm.irqchip;

/** Time, and something to do at one: {@link TimerThread}, or a test that lets time pass as it likes. */
public interface Timers {
    /** No target. */
    long NEVER = Long.MAX_VALUE;

    /** Something to do at a time. */
    abstract class Timer {
        /** Place in the heap, or -1. Guarded by the thread's lock, as is the target. */
        int place = -1;

        long target = NEVER;

        /** Not armed. */
        protected Timer() {}

        /** A new target has been set, from outside. */
        void armed(long at) {}

        /**
         * The target is reached. Takes no lock in which timers are armed or cancelled.
         *
         * @return the next target, or {@link #NEVER}; whoever arms or cancels meanwhile has the last word
         */
        protected abstract long expire(long now);
    }

    /** In nanoseconds from some moment on. */
    long now();

    /** The timer is to expire at {@code at}, and no more when it was to before. From any thread. */
    void arm(Timer timer, long at);

    /** The timer is not to expire; it may be doing so. From any thread. */
    void cancel(Timer timer);
}
