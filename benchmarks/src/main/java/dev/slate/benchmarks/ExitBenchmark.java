package dev.slate.benchmarks;

import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/** One KVM_RUN to a guest's {@code in} and back, through the Java API. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class ExitBenchmark {
    @SuppressWarnings("NullAway.Init") // JMH calls the set-up
    private SmallGuest guest;

    /** Makes the virtual machine. */
    @Setup
    public void create() {
        guest = new SmallGuest(0, SmallGuest.inForEver());
    }

    /** Ends it. */
    @TearDown
    public void close() {
        guest.close();
    }

    /** Time of a round trip. */
    @Benchmark
    public void in() {
        guest.runToExit();
    }
}
