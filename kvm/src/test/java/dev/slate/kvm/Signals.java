package dev.slate.kvm;

import java.util.concurrent.locks.LockSupport;

/** Signals to a vCPU, one after the other until they are closed: no guest on it can run for ever. */
final class Signals implements AutoCloseable {
    private static final long PERIOD_NANOS = 2_000_000;

    private final Thread thread;
    private volatile boolean over;

    Signals(Vcpu vcpu) {
        thread = new Thread(() -> {
            while (!over) {
                LockSupport.parkNanos(PERIOD_NANOS);
                vcpu.signal();
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    /** Returns when no more come. */
    @Override
    public void close() {
        over = true;
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
