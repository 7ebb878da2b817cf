package dev.slate.lab.experiments;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.host.ArenaHost;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.lab.Bench;
import dev.slate.lab.Case;
import dev.slate.lab.Design;
import dev.slate.lab.Experiment;
import dev.slate.lab.Metric;
import dev.slate.lab.Plot;
import dev.slate.lab.Recording;
import dev.slate.lab.Results;
import dev.slate.lab.Table;
import dev.slate.lab.Trial;
import dev.slate.lab.lines.CountingLoader;
import dev.slate.lab.lines.ExitJob;
import dev.slate.lab.lines.Lines;
import dev.slate.lab.workload.Area;
import dev.slate.lab.workload.Machine;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;

/** Seeds 000 and 001: what an exit of each kind costs, with its distribution, and which lines of the MMU's data it touches. */
final class ExitLatency implements Experiment {
    private static final long MEMORY_BYTES = 16 << 20;
    private static final long BUFFER = 0x40_0000;
    private static final long AREA = 1L << 30;
    private static final long AREA_BYTES = 1024 * 4096L;
    /** From arming the timer to its deadline: longer than the way into HLT. */
    private static final long DEADLINE_TICKS = 50_000;
    /** A sample above so many medians of its batch was interrupted from outside. */
    private static final int OUTLIER = 10;

    private static final Metric P50 = Metric.nanoseconds("p50");
    private static final Metric P90 = Metric.nanoseconds("p90");
    private static final Metric P99 = Metric.nanoseconds("p99");
    private static final Metric P999 = Metric.nanoseconds("p99.9");
    private static final Metric OUTLIERS = Metric.share("outliers");
    private static final Metric SAMPLES = Metric.count("samples a round");
    private static final Metric EXITS = Metric.count("exits");
    private static final Metric FAULTS = Metric.count("faults");
    private static final Metric SPTE = Metric.count("SPTE lines");
    private static final Metric WALKED = Metric.count("walked");
    private static final Metric SLOT = Metric.count("slot lines");
    private static final Metric RMAP = Metric.count("rmap lines");

    @Override
    public String name() {
        return "exit-latency";
    }

    @Override
    public String seed() {
        return "000, 001";
    }

    @Override
    public String question() {
        return "What does an exit of each kind cost, and how many cache lines of the MMU's data does it touch?";
    }

    @Override
    public Design design(Bench bench) throws IOException, InterruptedException {
        byte[] image = Files.readAllBytes(bench.guest("exit-latency"));
        int batches = bench.scale().of(100, 20);
        CountingLoader counting = new CountingLoader();
        List<AutoCloseable> resources = new ArrayList<>(List.of(counting));
        List<Trial> trials = new ArrayList<>();
        List<Case> rows = new ArrayList<>();
        for (ExitKind kind : ExitKind.values()) {
            for (Mmus mmu : Mmus.values()) {
                Case row = Case.of(kind.label(), mmu.label());
                rows.add(row);
                Loop loop = new Loop(kind, mmu, image);
                resources.add(loop);
                trials.add(Trial.timed(row.name(), to -> loop.run(row, batches, to)));
                trials.add(Trial.counted("lines of " + row.name(), to -> count(counting, kind, mmu, image, row, to)));
            }
        }
        Table times = new Table.Builder("Time of one exit, seen by the guest", List.of("exit", "MMU"), rows)
                .measured(P50, P90, P99, P999, OUTLIERS, SAMPLES)
                .build();
        Table lines = new Table.Builder(
                        "What one exit touches (distinct lines of 64 bytes)", List.of("exit", "MMU"), rows)
                .measured(EXITS, FAULTS, SPTE, WALKED, RMAP, SLOT)
                .build();
        return new Design(
                trials,
                1,
                bench.scale().of(7, 3),
                List.of(times, lines),
                Arrays.stream(Mmus.values()).map(mmu -> distribution(mmu, rows)).toList(),
                List.of(
                        "Times are the guest's: RDTSC, the instruction, RDTSC. They contain one RDTSC, which the first row shows.",
                        "A sample of more than " + OUTLIER + " times the median of its batch ("
                                + ExitKind.CPUID.samples()
                                + " samples) was interrupted from outside and is thrown away; the share of such samples is"
                                + " given.",
                        "\"exits\" and \"faults\" are counted per operation. Lines are counted by a second, instrumented copy of"
                                + " the processor and the hypervisor, so the timed one holds nothing for it: distinct lines from one exit"
                                + " (page fault for the two fault rows) to the next. \"walked\" is the part of the SPTE lines that the"
                                + " processor's own walks touch.",
                        "HLT to deadline + handler: from the deadline that the guest armed to the first instruction of its"
                                + " handler, so the host's timer and scheduler are in it."),
                resources);
    }

    /** A machine that stays for all rounds. Of one thread. */
    private static final class Loop implements AutoCloseable {
        private final ExitKind kind;
        private final Mmus mmu;
        private final byte[] image;
        private @Nullable Machine machine;
        private @Nullable Area area;
        private final ArenaHost host = new ArenaHost();

        Loop(ExitKind kind, Mmus mmu, byte[] image) {
            this.kind = kind;
            this.mmu = mmu;
            this.image = image;
        }

        void run(Case row, int batches, Recording to) {
            Machine m = machine;
            Area a = area;
            if (m == null || a == null) {
                m = new Machine(host, mmu.knob(), image, MEMORY_BYTES, parameters(kind));
                a = new Area(m, host, AREA, AREA_BYTES);
                machine = m;
                area = a;
            }
            Histogram all = new Histogram(3);
            long outliers = 0;
            VcpuStats stats = m.vcpu().stats();
            long exits = stats.get(VcpuStats.EXITS);
            long faults = stats.get(VcpuStats.PF_TAKEN);
            for (int i = 0; i < batches; i++) {
                if (kind == ExitKind.PAGE_FAULT) {
                    a.remap();
                }
                m.run();
                outliers += take(m.hva() + BUFFER, kind.samples(), all);
            }
            double operations = (double) batches * kind.samples();
            to.add(row, all);
            to.put(row, P50, (double) all.getValueAtPercentile(50));
            to.put(row, P90, (double) all.getValueAtPercentile(90));
            to.put(row, P99, (double) all.getValueAtPercentile(99));
            to.put(row, P999, (double) all.getValueAtPercentile(99.9));
            to.put(row, OUTLIERS, outliers / operations);
            to.put(row, SAMPLES, operations);
            // The mark at each batch's end is an exit too.
            to.put(row, EXITS, (stats.get(VcpuStats.EXITS) - exits - batches) / operations);
            to.put(row, FAULTS, (stats.get(VcpuStats.PF_TAKEN) - faults) / operations);
        }

        @Override
        public void close() {
            if (machine != null) {
                machine.close();
            }
            if (area != null) {
                area.close();
            }
        }
    }

    private static long[] parameters(ExitKind kind) {
        return new long[] {kind.number(), kind.samples(), BUFFER, AREA, DEADLINE_TICKS};
    }

    /** Adds a batch to the histogram but for its outliers, whose number is the result. */
    private static long take(long buffer, int samples, Histogram into) {
        long[] ticks = new long[samples];
        for (int i = 0; i < samples; i++) {
            ticks[i] = Math.max(HostMemory.get64(buffer + 8L * i), 0);
        }
        Arrays.sort(ticks);
        long limit = ticks[samples / 2] * OUTLIER;
        int kept = samples;
        while (ticks[kept - 1] > limit) {
            kept--;
        }
        for (int i = 0; i < kept; i++) {
            into.recordValue(ticks[i]);
        }
        return samples - kept;
    }

    @SuppressWarnings("unchecked") // the loader makes the class that is named
    private static void count(CountingLoader counting, ExitKind kind, Mmus mmu, byte[] image, Case row, Recording to) {
        boolean faults = kind == ExitKind.PAGE_FAULT || kind == ExitKind.GUEST_FAULT;
        Function<ExitJob, Lines> work =
                (Function<ExitJob, Lines>) counting.create("dev.slate.lab.workload.CountedExits");
        Lines lines = work.apply(new ExitJob(
                image,
                mmu.knob(),
                MEMORY_BYTES,
                AREA,
                AREA_BYTES,
                parameters(kind),
                faults,
                kind == ExitKind.PAGE_FAULT,
                2,
                2));
        boolean any = lines.exits() > 100; // the marks alone are no kind of exit
        to.put(row, SPTE, any ? lines.perExit(lines.spte()) : 0);
        to.put(row, WALKED, any ? lines.perExit(lines.walked()) : 0);
        to.put(row, RMAP, any ? lines.perExit(lines.rmap()) : 0);
        to.put(row, SLOT, any ? lines.perExit(lines.slot()) : 0);
    }

    private static Plot distribution(Mmus mmu, List<Case> rows) {
        return new Plot(
                "Latency by percentile, " + mmu.label(),
                new Plot.Axis("1 / (1 - percentile)", true),
                new Plot.Axis("ns", true),
                results -> rows.stream()
                        .filter(row -> row.labels().get(1).equals(mmu.label()) && results.histogram(row) != null)
                        .map(row -> new Plot.Series(row.labels().getFirst(), points(results, row)))
                        .toList());
    }

    private static List<Plot.Point> points(Results results, Case row) {
        Histogram histogram = results.histogram(row);
        List<Plot.Point> points = new ArrayList<>();
        if (histogram != null) {
            for (double x = 1; x <= histogram.getTotalCount(); x *= 1.5) {
                double y = Math.max(histogram.getValueAtPercentile(100 - 100 / x), 1);
                points.add(new Plot.Point(x, y, y, y));
            }
        }
        return points;
    }
}
