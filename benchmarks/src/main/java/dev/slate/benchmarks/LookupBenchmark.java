package dev.slate.benchmarks;

import dev.slate.kvm.host.ArenaHost;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.memslot.Memslots;
import dev.slate.kvm.memslot.SlotLookup;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/** From a gfn to its memslot, in each form of {@code memslot.lookup}, from one slot to as many as there can be. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class LookupBenchmark {
    private static final int GFNS = 1 << 14;
    /** Pages of a slot: as a vCPU of dirty_log_perf_test it is walked through from end to end. */
    private static final int SLOT_PAGES = 256;

    private static final int SLOT_BYTES = SLOT_PAGES << 12;
    private static final long HVA = 1L << 40;

    @Param({"1", "16", "256", "4096", "32764"})
    private int slots;

    @Param({"tree", "vcpu", "vm", "none"})
    private String form = "";

    private final long[] random = new long[GFNS];
    private int next;
    private long gfn;

    @SuppressWarnings("NullAway.Init") // JMH calls the set-up
    private Memslots snapshot;

    @SuppressWarnings("NullAway.Init") // JMH calls the set-up
    private SlotLookup lookup;

    /** Makes the slots. */
    @Setup
    public void create() {
        GuestMemory memory = new GuestMemory(new ArenaHost());
        for (int i = 0; i < slots; i++) {
            memory.setUserMemoryRegion(i, 0, (long) i * SLOT_BYTES, SLOT_BYTES, HVA);
        }
        snapshot = memory.slots(0);
        lookup = new SlotLookup(SlotLookup.Form.of(form));
        SplittableRandom numbers = new SplittableRandom(3);
        for (int i = 0; i < GFNS; i++) {
            random[i] = numbers.nextLong((long) slots * SLOT_PAGES);
        }
    }

    /** Pages in order, as a guest that goes through its memory: the last used slot answers all but one in 256. */
    @Benchmark
    public @Nullable Memslot inOrder() {
        gfn = gfn + 1 < (long) slots * SLOT_PAGES ? gfn + 1 : 0;
        return lookup.find(snapshot, gfn);
    }

    /** Pages at random: with many slots nearly every lookup is a search. */
    @Benchmark
    public @Nullable Memslot atRandom() {
        next = next + 1 & GFNS - 1;
        return lookup.find(snapshot, random[next]);
    }
}
