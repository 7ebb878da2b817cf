package dev.slate.benchmarks;

import dev.slate.kvm.Vcpu;
import dev.slate.kvm.VcpuExit;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
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
 * Page faults of several vCPUs of one VM at once, each on its own part of the memory: while there are cores for them, the time of all
 * faults together should fall with their number.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class FaultScalingBenchmark {
    private static final int PAGES = 16384;

    /** vCPUs that share the pages. */
    @Param({"1", "2", "4"})
    private int vcpus;

    @SuppressWarnings("NullAway.Init") // JMH calls the set-up
    private SmallGuest guest;

    @SuppressWarnings("NullAway.Init") // JMH calls the set-up
    private ExecutorService threads;

    private final List<Vcpu> all = new ArrayList<>();

    /** Makes the virtual machine and a thread for each vCPU. */
    @Setup
    public void create() {
        int part = PAGES / vcpus;
        guest = new SmallGuest(PAGES * 4096L, SmallGuest.touchLoop(part));
        all.add(guest.vcpu);
        for (int id = 1; id < vcpus; id++) {
            all.add(guest.addVcpu(id, SmallGuest.DATA + (long) id * part * 4096));
        }
        threads = Executors.newFixedThreadPool(vcpus);
    }

    /** Ends it. */
    @TearDown
    public void close() {
        threads.shutdown();
        for (Vcpu vcpu : all.subList(1, all.size())) {
            vcpu.close();
        }
        all.clear();
        guest.close();
    }

    /** A page whose SPTE is missing, with the removal and creation of the slot for all of them. */
    @Benchmark
    @OperationsPerInvocation(PAGES)
    public void fault() throws InterruptedException, ExecutionException {
        guest.unmapData();
        guest.mapData(0);
        List<Future<?>> running = new ArrayList<>();
        for (Vcpu vcpu : all) {
            running.add(threads.submit(() -> run(vcpu)));
        }
        for (Future<?> one : running) {
            one.get();
        }
    }

    private static void run(Vcpu vcpu) {
        int error = vcpu.run(false);
        if (error != 0 || vcpu.exit().reason != VcpuExit.IO) {
            throw new IllegalStateException("run gave errno " + error + ", exit reason " + vcpu.exit().reason);
        }
    }
}
