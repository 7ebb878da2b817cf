package dev.slate.benchmarks;

import dev.slate.kvm.dirty.DirtyLogSink;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What a guest's write to a page costs: when it is mapped, when its SPTE is missing, and when the dirty log has taken its write
 * permission. The host's pages are there from the start, so no time of the kernel is in it.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class GuestMemoryBenchmark {
    private static final int PAGES = 16384;
    private static final long BYTES = PAGES * 4096L;
    private static final int KVM_MEM_LOG_DIRTY_PAGES = 1;
    private static final DirtyLogSink IGNORE = (hva, bytes) -> 0;

    /** Memslots in all. With the last used slot hit, their number should not show. */
    @Param({"2", "32764"})
    private int slots;

    @SuppressWarnings("NullAway.Init") // JMH calls the set-up
    private SmallGuest plain;

    @SuppressWarnings("NullAway.Init") // JMH calls the set-up
    private SmallGuest logged;

    /** Makes two virtual machines, one with a dirty log. */
    @Setup
    public void create() {
        plain = new SmallGuest(BYTES, SmallGuest.touchLoop(PAGES));
        logged = new SmallGuest(BYTES, SmallGuest.touchLoop(PAGES));
        logged.mapData(KVM_MEM_LOG_DIRTY_PAGES);
        plain.fillSlots(slots);
        logged.fillSlots(slots);
        plain.runToExit();
        logged.runToExit();
    }

    /** Ends them. */
    @TearDown
    public void close() {
        plain.close();
        logged.close();
    }

    /** A page that is mapped. */
    @Benchmark
    @OperationsPerInvocation(PAGES)
    public void mapped() {
        plain.runToExit();
    }

    /** A page whose SPTE is missing: slot removal, slot creation and a fault for each page. */
    @Benchmark
    @OperationsPerInvocation(PAGES)
    public void fault() {
        plain.unmapData();
        plain.mapData(0);
        plain.runToExit();
    }

    /** A page that the dirty log has write-protected: KVM_GET_DIRTY_LOG and a fault for each page. */
    @Benchmark
    @OperationsPerInvocation(PAGES)
    public void dirtyPass() {
        logged.vm.getDirtyLog(1, IGNORE);
        logged.runToExit();
    }
}
