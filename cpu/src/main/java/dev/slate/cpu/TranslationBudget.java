package dev.slate.cpu;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * How much memory the translations of a machine's processors may take together. Each processor draws from it and gives back on its own
 * thread, without a lock; what is drawn is never more than the limit.
 *
 * <p>A processor that finds nothing left goes on without new translations. Then whoever holds more than an equal part is asked for it, and
 * gives up all of its own at its next entry into code.
 */
public final class TranslationBudget {
    private final long limit;
    private final AtomicLong left;
    private final AtomicInteger users = new AtomicInteger();
    private volatile boolean crowded;

    /** So many bytes. */
    public TranslationBudget(long bytes) {
        limit = bytes;
        left = new AtomicLong(bytes);
    }

    /** Bytes that all may take together. */
    public long limit() {
        return limit;
    }

    /** Bytes that are taken. */
    public long held() {
        return limit - left.get();
    }

    /** One processor more translates. */
    public void join() {
        users.incrementAndGet();
    }

    /** One processor, which gives back what it holds, translates no more. */
    public void leave(long held) {
        users.decrementAndGet();
        give(held);
    }

    /** Takes bytes; false: they are not there, and those who hold too much are asked. */
    public boolean take(long bytes) {
        for (; ; ) {
            long now = left.get();
            if (now < bytes) {
                crowded = true;
                return false;
            }
            if (left.compareAndSet(now, now - bytes)) {
                return true;
            }
        }
    }

    /** Gives bytes back. */
    public void give(long bytes) {
        left.addAndGet(bytes);
        crowded = false;
    }

    /** An equal part, in bytes. */
    public long share() {
        return limit / Math.max(1, users.get());
    }

    /** Whether a processor that holds so many bytes is to give them back. */
    public boolean asksBack(long held) {
        return crowded && held > share();
    }
}
