package dev.slate.kvm.run;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.kvm.host.ArenaHost;
import dev.slate.kvm.stats.VcpuStats;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class VcpuMutexTest {
    private final VcpuStats stats = new VcpuStats(new ArenaHost());
    private final VcpuMutex mutex = new VcpuMutex(stats);

    @AfterEach
    void close() {
        stats.close();
    }

    private boolean anotherGetsIt() throws Exception {
        FutureTask<Boolean> other = new FutureTask<>(() -> {
            boolean got = mutex.tryLock(1, TimeUnit.MILLISECONDS);
            if (got) {
                mutex.unlock();
            }
            return got;
        });
        Thread.ofPlatform().start(other);
        return other.get();
    }

    @Test
    void othersWaitUntilItIsLetGoAsOftenAsItWasTaken() throws Exception {
        mutex.lock();
        mutex.lock();
        assertThat(mutex.tryLock(0, TimeUnit.NANOSECONDS)).isTrue();
        mutex.unlock();
        mutex.unlock();
        assertThat(anotherGetsIt()).isFalse();
        assertThat(stats.get(VcpuStats.HOST_STATE_RELOAD)).isZero();
        mutex.unlock();
        assertThat(stats.get(VcpuStats.HOST_STATE_RELOAD)).isOne();
        assertThat(anotherGetsIt()).isTrue();
    }

    @Test
    void whoWaitsWithItUnlockedHoldsItAsOftenAsBefore() throws Exception {
        mutex.lock();
        mutex.lock();
        FutureTask<Boolean> meanwhile = new FutureTask<>(this::anotherGetsIt);
        mutex.whileUnlocked(meanwhile);
        assertThat(meanwhile.get()).isTrue();
        mutex.unlock();
        assertThat(anotherGetsIt()).isFalse();
        mutex.unlock();
        assertThat(anotherGetsIt()).isTrue();
    }

    @Test
    void whoDoesNotHoldItCannotLetItGo() throws Exception {
        assertThatThrownBy(mutex::unlock).isInstanceOf(IllegalMonitorStateException.class);
        mutex.lock();
        FutureTask<?> other = new FutureTask<>(mutex::unlock, null);
        Thread.ofPlatform().start(other);
        assertThatThrownBy(other::get).hasCauseInstanceOf(IllegalMonitorStateException.class);
        mutex.unlock();
    }
}
