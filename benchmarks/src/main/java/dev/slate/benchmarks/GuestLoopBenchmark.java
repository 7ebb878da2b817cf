package dev.slate.benchmarks;

import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/** Guest instructions for each microsecond, in a loop of three that touches no memory. */
@State(Scope.Thread)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class GuestLoopBenchmark {
    private static final int ROUNDS = 1_000_000;

    @SuppressWarnings("NullAway.Init") // JMH calls the set-up
    private SmallGuest guest;

    /** Makes the virtual machine. */
    @Setup
    public void create() {
        guest = new SmallGuest(0, SmallGuest.addLoop(ROUNDS));
    }

    /** Ends it. */
    @TearDown
    public void close() {
        guest.close();
    }

    /** Instructions for each microsecond. */
    @Benchmark
    @OperationsPerInvocation(3 * ROUNDS)
    public void add() {
        guest.runToExit();
    }
}
