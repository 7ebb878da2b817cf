package dev.slate.lab.experiments;

import dev.slate.kvm.Knobs;
import dev.slate.kvm.host.ArenaHost;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.memslot.SlotLookup;
import dev.slate.lab.Bench;
import dev.slate.lab.Case;
import dev.slate.lab.Design;
import dev.slate.lab.Experiment;
import dev.slate.lab.Metric;
import dev.slate.lab.Plot;
import dev.slate.lab.Recording;
import dev.slate.lab.Results;
import dev.slate.lab.Sample;
import dev.slate.lab.Table;
import dev.slate.lab.Trial;
import dev.slate.lab.lines.CountingLoader;
import dev.slate.lab.lines.Lines;
import dev.slate.lab.lines.LookupJob;
import dev.slate.lab.workload.SlotLoad;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/**
 * Seed 003: where the memslot that was found last is kept. On the seed's own workload, and by the number of slots.
 */
final class LastUsedSlot implements Experiment {
    private static final int VCPUS = 64;
    private static final int MEMSLOTS = 64;
    private static final int[] SWEEP = {1, 4, 16, 64, 256, 1024, 4096, 16384, GuestMemory.USER_MEM_SLOTS};

    private static final Metric POPULATE = Metric.seconds("populate");
    private static final Metric DIRTY = Metric.seconds("iteration 2 dirty");
    private static final Metric LOOKUPS = Metric.count("lookups");
    private static final Metric HITS = Metric.share("hits");
    private static final Metric PROBES = Metric.count("probes a lookup");

    @Override
    public String name() {
        return "last-used-slot";
    }

    @Override
    public String seed() {
        return "003";
    }

    @Override
    public String question() {
        return "Does a vCPU that remembers its own last memslot fault faster than one that shares the VM's, or searches?";
    }

    /** A value of the knob {@code memslot.lookup}, as a table calls it. */
    private static String label(String lookup) {
        return switch (lookup) {
            case "vcpu" -> "per vCPU";
            case "vm" -> "VM-wide";
            case "none" -> "none";
            case "tree" -> "per vCPU + tree";
            default -> lookup;
        };
    }

    @Override
    public Design design(Bench bench) throws IOException, InterruptedException {
        List<String> lookups = Knobs.MEMSLOT_LOOKUP.choices();
        List<Trial> trials = new ArrayList<>();
        List<AutoCloseable> resources = new ArrayList<>();
        DirtyLogPerfTest test = new DirtyLogPerfTest(bench, VCPUS, bench.scale().of(4, 1));
        List<Case> rows = new ArrayList<>();
        Map<Case, Case> vmWide = new LinkedHashMap<>();
        Map<Case, String> seedPopulate = new LinkedHashMap<>();
        Map<Case, String> seedDirty = new LinkedHashMap<>();
        for (Mmus mmu : Mmus.values()) {
            Case baseline = Case.of(mmu.label(), label("vm"), Integer.toString(MEMSLOTS));
            for (String lookup : lookups) {
                Case row = Case.of(mmu.label(), label(lookup), Integer.toString(MEMSLOTS));
                rows.add(row);
                vmWide.put(row, baseline);
                trials.add(Trial.timed(row.name(), to -> run(test, mmu, lookup, MEMSLOTS, row, to)));
            }
            Case one = Case.of(mmu.label(), label("vcpu"), "1");
            rows.add(one);
            vmWide.put(one, baseline);
            trials.add(Trial.timed(one.name(), to -> run(test, mmu, "vcpu", 1, one, to)));
            boolean tdp = mmu == Mmus.TDP;
            seedPopulate.put(baseline, tdp ? "6.76 s" : "20.4 s");
            seedDirty.put(baseline, tdp ? "2.83 s" : "2.65 s");
            Case after = Case.of(mmu.label(), label("vcpu"), Integer.toString(MEMSLOTS));
            seedPopulate.put(after, tdp ? "5.47 s" : "18.7 s");
            seedDirty.put(after, tdp ? "0.31 s" : "0.30 s");
            seedDirty.put(one, "the same");
        }
        Table seed = new Table.Builder(
                        "dirty_log_perf_test, " + VCPUS + " vCPUs, " + test.megabytes() + " MiB each",
                        List.of("MMU", "last used slot", "slots"),
                        rows)
                .measured(POPULATE)
                .ratio("of VM-wide", POPULATE, vmWide)
                .seed("seed", seedPopulate)
                .measured(DIRTY)
                .ratio("of VM-wide", DIRTY, vmWide)
                .seed("seed", seedDirty)
                .measured(LOOKUPS, HITS, PROBES)
                .build();

        CountingLoader counting = new CountingLoader();
        resources.add(counting);
        List<Case> sweep = new ArrayList<>();
        for (int slots : SWEEP) {
            Case row = Case.of(String.format(Locale.ROOT, "%,d", slots));
            sweep.add(row);
            SlotSweep step = new SlotSweep(slots, lookups, bench.scale().of(200_000, 50_000));
            resources.add(step);
            trials.add(Trial.timed("lookups in " + slots + " slots", to -> step.run(row, to)));
            for (String lookup : lookups) {
                trials.add(Trial.counted(
                        "probes in " + slots + " slots, " + label(lookup),
                        to -> count(counting, slots, lookup, row, to)));
            }
        }
        Table.Builder times =
                new Table.Builder("Time of a lookup, " + VCPUS + " vCPUs in turn", List.of("slots"), sweep);
        Table.Builder probes =
                new Table.Builder("Memslots looked at by a lookup, and cache lines", List.of("slots"), sweep);
        for (String lookup : lookups) {
            times.measured(time(lookup), hits(lookup));
            probes.measured(probes(lookup), lines(lookup));
        }
        return new Design(
                trials,
                0,
                bench.scale().of(5, 2),
                List.of(seed, times.build(), probes.build()),
                List.of(
                        plot("Time of a lookup by the number of slots", "ns", lookups, sweep, LastUsedSlot::time),
                        plot("Memslots looked at by a lookup", "memslots", lookups, sweep, LastUsedSlot::probes)),
                List.of(
                        "The unmodified selftest of linux-source-6.1: " + test.command(MEMSLOTS)
                                + ", each vCPU writing to a memslot of its own. The seed had 1 GiB for each vCPU.",
                        "The seed ran with eptad=N, so that dirty logging write-protects; Slate always write-protects.",
                        "Time of a lookup: one thread plays " + VCPUS
                                + " vCPUs in turn, three lookups to a fault, each vCPU in"
                                + " a slot of its own where there are enough; the median of chunks of 960 lookups."),
                resources);
    }

    private static void run(DirtyLogPerfTest test, Mmus mmu, String lookup, int slots, Case row, Recording to)
            throws IOException, InterruptedException {
        DirtyLogPerfTest.Outcome outcome = test.run(mmu, "memslot.lookup=" + lookup, slots);
        to.put(row, POPULATE, outcome.populateSeconds());
        to.put(row, DIRTY, outcome.dirtySeconds());
        double lookups = outcome.stat("slot_lookups");
        if (lookups > 0) {
            to.put(row, LOOKUPS, lookups);
            to.put(row, HITS, outcome.stat("slot_hits") / lookups);
            to.put(row, PROBES, outcome.stat("slot_probes") / lookups);
        }
    }

    private static Metric time(String lookup) {
        return Metric.nanoseconds(label(lookup));
    }

    private static Metric hits(String lookup) {
        return Metric.share("hits, " + label(lookup));
    }

    private static Metric probes(String lookup) {
        return Metric.count(label(lookup));
    }

    private static Metric lines(String lookup) {
        return Metric.count("lines, " + label(lookup));
    }

    @SuppressWarnings("unchecked") // the loader makes the class that is named
    private static void count(CountingLoader counting, int slots, String lookup, Case row, Recording to) {
        Function<LookupJob, Lines> work =
                (Function<LookupJob, Lines>) counting.create("dev.slate.lab.workload.CountedLookups");
        Lines lines = work.apply(new LookupJob(slots, VCPUS, 640, lookup));
        to.put(row, probes(lookup), lines.perExit(lines.slots()));
        to.put(row, lines(lookup), lines.perExit(lines.slot()));
    }

    /** Lookups in so many slots, one variant after the other. Of one thread. */
    private static final class SlotSweep implements AutoCloseable {
        private final int slots;
        private final List<String> lookups;
        private final int faults;
        private final GuestMemory memory = new GuestMemory(new ArenaHost());
        private final List<SlotLoad> loads = new ArrayList<>();
        private final ChunkTimer timer = new ChunkTimer(960);
        private int turn;

        SlotSweep(int slots, List<String> lookups, int faults) {
            this.slots = slots;
            this.lookups = lookups;
            this.faults = faults;
        }

        void run(Case row, Recording to) {
            if (loads.isEmpty()) {
                timer.start();
                SlotLoad.fill(memory, slots);
                for (String lookup : lookups) {
                    loads.add(new SlotLoad(memory, lookup, VCPUS));
                    loads.getLast().lookUp(2 * faults, timer); // warms up
                }
            }
            turn++;
            for (int i = 0; i < lookups.size(); i++) {
                int variant = (i + turn) % lookups.size();
                SlotLoad load = loads.get(variant);
                timer.start();
                load.lookUp(faults, timer);
                SlotLookup.Counts before = load.counts();
                timer.start();
                load.lookUp(faults, timer);
                SlotLookup.Counts after = load.counts();
                to.put(row, time(lookups.get(variant)), timer.median());
                to.put(
                        row,
                        hits(lookups.get(variant)),
                        (double) (after.hits() - before.hits()) / (after.lookups() - before.lookups()));
            }
        }

        @Override
        public void close() {
            memory.close();
        }
    }

    private static Plot plot(
            String title, String unit, List<String> lookups, List<Case> sweep, Function<String, Metric> metric) {
        return new Plot(
                title,
                new Plot.Axis("memslots", true),
                new Plot.Axis(unit, false),
                results -> lookups.stream()
                        .map(lookup -> new Plot.Series(label(lookup), points(results, sweep, metric.apply(lookup))))
                        .toList());
    }

    private static List<Plot.Point> points(Results results, List<Case> sweep, Metric metric) {
        List<Plot.Point> points = new ArrayList<>();
        for (int i = 0; i < sweep.size(); i++) {
            Sample sample = results.sample(sweep.get(i), metric);
            if (sample != null) {
                points.add(new Plot.Point(SWEEP[i], sample.median(), sample.quantile(0.25), sample.quantile(0.75)));
            }
        }
        return points;
    }
}
