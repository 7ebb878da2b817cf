package dev.slate.kvm.irqchip;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.SplittableRandom;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class TimerThreadTest {
    private final TimerThread timers = new TimerThread();

    private static final class Counting extends Timers.Timer {
        final AtomicInteger expired = new AtomicInteger();
        final CountDownLatch done;
        final long period;
        final int times;

        Counting(CountDownLatch done, int times, long period) {
            this.done = done;
            this.times = times;
            this.period = period;
        }

        @Override
        protected long expire(long now) {
            if (expired.incrementAndGet() < times) {
                return now + period;
            }
            done.countDown();
            return Timers.NEVER;
        }
    }

    @Test
    void aThousandTimersArmedInAnyOrderAllExpireAsOftenAsTheyAskFor() throws InterruptedException {
        long seed = System.nanoTime();
        SplittableRandom random = new SplittableRandom(seed);
        CountDownLatch done = new CountDownLatch(1000);
        Counting[] all = new Counting[1000];
        for (int i = 0; i < all.length; i++) {
            all[i] = new Counting(done, random.nextInt(1, 4), random.nextInt(1_000_000));
            timers.arm(all[i], timers.now() + random.nextInt(20_000_000));
        }
        assertThat(done.await(60, TimeUnit.SECONDS)).as("seed %d", seed).isTrue();
        for (Counting c : all) {
            assertThat(c.expired.get()).as("seed %d", seed).isEqualTo(c.times);
        }
    }

    @Test
    void whoeverLetsTimersSettleWaitsForTheOneThatIsBeingExpired() throws InterruptedException {
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch goOn = new CountDownLatch(1);
        AtomicInteger ended = new AtomicInteger();
        Timers.Timer slow = new Timers.Timer() {
            @Override
            protected long expire(long now) {
                begun.countDown();
                try {
                    goOn.await();
                } catch (InterruptedException e) {
                    throw new AssertionError(e);
                }
                ended.set(1);
                return Timers.NEVER;
            }
        };
        timers.settle();
        timers.arm(slow, timers.now());
        begun.await();
        timers.cancel(slow);
        AtomicInteger seen = new AtomicInteger(-1);
        Thread closer = new Thread(() -> {
            timers.settle();
            seen.set(ended.get());
        });
        closer.start();
        while (closer.getState() == Thread.State.NEW) {
            Thread.onSpinWait();
        }
        assertThat(closer.join(java.time.Duration.ofMillis(50))).as("it waits").isFalse();
        goOn.countDown();
        closer.join();
        assertThat(seen.get()).isEqualTo(1);
    }

    @Test
    void aCancelledTimerDoesNotExpireAndOneArmedAnewExpiresAtTheNewTime() throws InterruptedException {
        CountDownLatch done = new CountDownLatch(1);
        Counting cancelled = new Counting(new CountDownLatch(1), 1, 0);
        Counting moved = new Counting(done, 1, 0);
        timers.arm(cancelled, timers.now() + 3_600_000_000_000L);
        timers.arm(moved, timers.now() + 3_600_000_000_000L);
        timers.cancel(cancelled);
        timers.cancel(cancelled);
        timers.arm(moved, timers.now());
        assertThat(done.await(60, TimeUnit.SECONDS)).isTrue();
        assertThat(cancelled.expired.get()).isZero();
    }

    @Test
    void whoeverCancelsATimerThatIsExpiringHasTheLastWord() throws InterruptedException {
        CountDownLatch inside = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        AtomicInteger calls = new AtomicInteger();
        Timers.Timer timer = new Timers.Timer() {
            @Override
            protected long expire(long now) {
                calls.incrementAndGet();
                inside.countDown();
                try {
                    go.await();
                } catch (InterruptedException e) {
                    throw new AssertionError(e);
                }
                return now;
            }
        };
        timers.arm(timer, timers.now());
        assertThat(inside.await(60, TimeUnit.SECONDS)).isTrue();
        timers.cancel(timer);
        go.countDown();
        CountDownLatch later = new CountDownLatch(1);
        timers.arm(new Counting(later, 1, 0), timers.now());
        assertThat(later.await(60, TimeUnit.SECONDS)).isTrue();
        assertThat(calls.get()).isEqualTo(1);
    }
}
