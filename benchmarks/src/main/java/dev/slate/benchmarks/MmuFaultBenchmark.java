package dev.slate.benchmarks;

import dev.slate.kvm.Knobs;
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
 * A page fault in each MMU, side by side: with two-dimensional paging and with shadow paging. The host's pages are there from the start, so
 * no time of the kernel is in it; the guest maps its memory by 2 MiB pages, which are shadowed by direct tables.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class MmuFaultBenchmark {
    private static final int PAGES = 16384;
    private static final long BYTES = PAGES * 4096L;
    private static final int KVM_MEM_LOG_DIRTY_PAGES = 1;
    private static final DirtyLogSink IGNORE = (hva, bytes) -> 0;

    /** Two-dimensional paging. */
    @Param({"on", "off"})
    private String tdp = "on";

    /** Memslots in all; with {@code -p slots=32764} the making of them takes minutes. With the last used slot hit, their number should not show. */
    @Param("2")
    private int slots;

    @SuppressWarnings("NullAway.Init") // JMH calls the set-up
    private SmallGuest plain;

    @SuppressWarnings("NullAway.Init") // JMH calls the set-up
    private SmallGuest logged;

    /** Makes two virtual machines, one with a dirty log. */
    @Setup
    public void create() {
        Knobs knobs = Knobs.parse("tdp=" + tdp);
        plain = new SmallGuest(BYTES, SmallGuest.touchLoop(PAGES), knobs);
        logged = new SmallGuest(BYTES, SmallGuest.touchLoop(PAGES), knobs);
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

    /** A page that is not mapped: with the slot's removal and creation. */
    @Benchmark
    @OperationsPerInvocation(PAGES)
    public void fault() {
        plain.unmapData();
        plain.mapData(0);
        plain.runToExit();
    }

    /** A page that the dirty log has write-protected: with KVM_GET_DIRTY_LOG. */
    @Benchmark
    @OperationsPerInvocation(PAGES)
    public void dirtyPass() {
        logged.vm.getDirtyLog(1, IGNORE);
        logged.runToExit();
    }
}
