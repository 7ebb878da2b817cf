package dev.slate.kvm.host;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;

/**
 * The thread for what is done now and then and may wait for locks or files ({@code kvm-nx-lpage-recovery} and the like). Started with the
 * system object, as {@link dev.slate.kvm.irqchip.TimerThread} is and for the same reason. It sleeps for ever while nothing is scheduled.
 *
 * <p>Thread-safe. A task runs with no lock held.
 */
public final class Worker {
    /** No time at all. */
    public static final long NEVER = Long.MIN_VALUE;

    /** What is to be done. */
    @FunctionalInterface
    public interface Task {
        /** Does it. @return when to do it again, as {@link System#nanoTime}, or {@link #NEVER} */
        long run();
    }

    private static final class Entry {
        final Task task;
        long at;

        Entry(Task task, long at) {
            this.task = task;
            this.at = at;
        }
    }

    private final List<Entry> entries = new ArrayList<>();
    private final Thread thread;
    private @org.jspecify.annotations.Nullable Entry running;

    /** Starts the thread: a daemon. */
    public Worker() {
        thread = new Thread(null, this::loop, "slate-worker", 256 * 1024);
        thread.setDaemon(true);
        thread.start();
    }

    /** Runs a task at a time, or at another time than it was to run at; {@link #NEVER}: not before it is scheduled again. */
    public void schedule(Task task, long at) {
        synchronized (entries) {
            Entry entry = find(task);
            if (entry == null) {
                entries.add(new Entry(task, at));
            } else {
                entry.at = at;
            }
        }
        LockSupport.unpark(thread);
    }

    /** Forgets a task; it does not run any more when this returns. Not from within a task. */
    public void cancel(Task task) {
        synchronized (entries) {
            Entry entry = find(task);
            entries.remove(entry);
            boolean interrupted = false;
            while (entry != null && running == entry) {
                try {
                    entries.wait();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private @org.jspecify.annotations.Nullable Entry find(Task task) {
        for (Entry e : entries) {
            if (e.task == task) {
                return e;
            }
        }
        return null;
    }

    private void loop() {
        for (; ; ) {
            long now = System.nanoTime();
            Entry due = null;
            long wait = Long.MAX_VALUE;
            synchronized (entries) {
                for (Entry e : entries) {
                    if (e.at != NEVER && e.at - now < wait) {
                        wait = e.at - now;
                        due = e;
                    }
                }
                if (due != null && wait <= 0) {
                    due.at = NEVER;
                    running = due;
                }
            }
            if (due == null) {
                LockSupport.park(this);
            } else if (wait > 0) {
                LockSupport.parkNanos(this, wait);
            } else {
                run(due);
            }
        }
    }

    private void run(Entry entry) {
        long again = NEVER;
        try {
            again = entry.task.run();
        } finally {
            synchronized (entries) {
                running = null;
                if (entry.at == NEVER) {
                    entry.at = again;
                }
                entries.notifyAll();
            }
        }
    }
}
