package dev.slate.lab.experiments;

import dev.slate.kvm.host.ArenaHost;
import dev.slate.kvm.mmu.MemoryCache;
import dev.slate.kvm.mmu.Slab;
import dev.slate.kvm.rmap.PteListForm;
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
import dev.slate.lab.lines.ListJob;
import dev.slate.lab.lines.ListLines;
import dev.slate.lab.workload.AliasLoad;
import dev.slate.lab.workload.ListLoad;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;

/** Seed 002: how many SPTEs a {@code pte_list_desc} should hold: what it costs in memory where it idles, what it gains where it works. */
final class PteList implements Experiment {
    private static final int[] ENTRIES = {2, 4, 6, 14, 30};
    private static final int[] LENGTHS = {2, 3, 15, 128, 500};
    /** Operations that are timed together. */
    private static final int CHUNK = 32;

    private static final int VCPUS = 64;
    /** 256 MiB that a nested guest has mapped. */
    private static final int NESTED_FRAMES = 65_536;
    /** What mmu_rmaps_stat had, one SPTE each, at the height of benchmarks/nested/run.sh's first load. */
    private static final int KVM_IN_KVM_FRAMES = 65_677;

    private static final Metric OBJECT = Metric.bytes("bytes of one");
    private static final Metric CACHE = Metric.bytes("bytes in a vCPU's cache of 40");
    private static final Metric OBJECTS = Metric.count("objects");
    private static final Metric CACHED = Metric.count("of these idle in caches");
    private static final Metric TOTAL = Metric.bytes("bytes");

    private static final Metric ADD = Metric.nanoseconds("add");
    private static final Metric ADD_LINES = Metric.count("add lines");
    private static final Metric REMOVE = Metric.nanoseconds("remove");
    private static final Metric REMOVE_LINES = Metric.count("remove lines");
    private static final Metric WALK = Metric.nanoseconds("walk");
    private static final Metric WALK_LINES = Metric.count("walk lines");

    @Override
    public String name() {
        return "pte-list";
    }

    @Override
    public String seed() {
        return "002";
    }

    @Override
    public String question() {
        return "How many SPTEs should a pte_list_desc hold, with two-dimensional paging and with shadow paging?";
    }

    private static Case size(int entries) {
        return Case.of(Integer.toString(entries));
    }

    @Override
    public Design design(Bench bench) throws IOException, InterruptedException {
        List<Trial> trials = new ArrayList<>();
        List<Case> sizes = new ArrayList<>();
        List<Case> loads = new ArrayList<>();
        List<Case> lists = new ArrayList<>();
        CountingLoader counting = new CountingLoader();
        int count = bench.scale().of(4096, 1024);
        byte[] image = Files.readAllBytes(bench.guest("rmap-fork"));
        ForkLoad fork =
                new ForkLoad(image, bench.scale().of(200, 60), bench.scale().of(512, 256));
        for (int entries : ENTRIES) {
            Case size = size(entries);
            sizes.add(size);
            trials.add(Trial.counted("cache of " + entries, to -> cache(entries, size, to)));
            for (Workload workload : Workload.values()) {
                Case row = Case.of(workload.label, Integer.toString(entries));
                loads.add(row);
                if (workload == Workload.SHADOW) {
                    trials.add(Trial.timed(row.name(), to -> shadow(fork, entries, row, to)));
                } else {
                    trials.add(Trial.counted(row.name(), to -> nested(entries, workload, row, to)));
                }
            }
        }
        loads.sort(java.util.Comparator.comparing(row -> row.labels().getFirst()));
        for (int length : LENGTHS) {
            for (int entries : ENTRIES) {
                Case row = Case.of(Integer.toString(length), Integer.toString(entries));
                lists.add(row);
                trials.add(Trial.timed("lists of " + row.name(), to -> time(entries, length, count, row, to)));
                trials.add(Trial.counted(
                        "lines of lists of " + row.name(), to -> count(counting, entries, length, row, to)));
            }
        }
        Map<Case, String> seed = new LinkedHashMap<>();
        seed.put(size(2), "1,280");
        seed.put(size(14), "5,120");
        Table cache = new Table.Builder("The descriptor and a vCPU's cache of them", List.of("entries"), sizes)
                .measured(OBJECT, CACHE)
                .seed("the seed", seed)
                .build();
        Table memory = new Table.Builder("Objects and bytes allocated", List.of("load", "entries"), loads)
                .measured(OBJECTS, CACHED, TOTAL, ForkLoad.TIME)
                .build();
        Table work = new Table.Builder("One operation on a list", List.of("SPTEs in the list", "entries"), lists)
                .measured(ADD, ADD_LINES, REMOVE, REMOVE_LINES, WALK, WALK_LINES)
                .build();
        return new Design(
                trials,
                1,
                bench.scale().of(5, 2),
                List.of(cache, memory, work),
                List.of(
                        plot("Adding to a list", ADD, lists),
                        plot("Removing from a list", REMOVE, lists),
                        plot("Walking a list", WALK, lists)),
                List.of(
                        "TDP, no nested guest: " + VCPUS
                                + " vCPUs whose caches are topped up and never used, as KVM does. TDP, KVM in KVM: the same, and "
                                + String.format(Locale.ROOT, "%,d", KVM_IN_KVM_FRAMES)
                                + " frames that are mapped once each, which is what mmu_rmaps_stat had at the height of"
                                + " dirty_log_perf_test -v 4 -b 64M -i 3 in Debian's KVM on Slate (benchmarks/nested/run.sh)."
                                + " TDP, nested guest: the same, and "
                                + String.format(Locale.ROOT, "%,d", NESTED_FRAMES)
                                + " frames of which 1 in 128 is"
                                + " mapped by two gfns of the nested guest and 1 in 1,024 by three to ten.",
                        "shadow paging: guests/rmap-fork with " + fork.children() + " children of " + fork.pages()
                                + " pages on a machine with tdp=off, all children alive; the time is that of fork and exit.",
                        "One operation: " + String.format(Locale.ROOT, "%,d", count)
                                + " lists filled in turn; the SPTE that makes a list"
                                + " as long as said is added, the list is walked, and an SPTE at a random place is taken out. Lines are"
                                + " distinct cache lines of head and descriptors. Times are those of the median chunk of "
                                + CHUNK + " lists."),
                List.of(counting));
    }

    /** Loads by the MMU that they stand for. */
    private enum Workload {
        IDLE("TDP, no nested guest"),
        KVM_IN_KVM("TDP, KVM in KVM"),
        NESTED("TDP, nested guest"),
        SHADOW("shadow paging");

        private final String label;

        Workload(String label) {
            this.label = label;
        }
    }

    private static PteListForm form(int entries) {
        return new PteListForm(entries, true, true);
    }

    private static void cache(int entries, Case row, Recording to) {
        PteListForm form = form(entries);
        try (Slab slab = new Slab(new ArenaHost(), form.bytes(), Long.BYTES)) {
            MemoryCache cache = new MemoryCache(slab);
            cache.topUp(1);
            to.put(row, OBJECT, form.bytes());
            to.put(row, CACHE, slab.used() * (double) slab.objectBytes());
            cache.drain();
        }
    }

    private static void nested(int entries, Workload workload, Case row, Recording to) {
        PteListForm form = form(entries);
        boolean real = workload == Workload.KVM_IN_KVM;
        try (AliasLoad load = new AliasLoad(new ArenaHost(), form, VCPUS, real ? KVM_IN_KVM_FRAMES : NESTED_FRAMES)) {
            if (workload != Workload.IDLE) {
                load.map(!real);
            }
            to.put(row, OBJECTS, load.objects());
            to.put(row, CACHED, load.cached());
            to.put(row, TOTAL, load.objects() * (double) form.bytes());
        }
    }

    private static void shadow(ForkLoad fork, int entries, Case row, Recording to) {
        ForkLoad.Outcome outcome = fork.run("mmu.pte-list-entries=" + entries);
        to.put(row, OBJECTS, outcome.peak().descriptors());
        to.put(row, TOTAL, outcome.peak().descriptors() * outcome.peak().descriptorBytes());
        to.put(row, ForkLoad.TIME, outcome.forkSeconds() + outcome.exitSeconds());
    }

    private static void time(int entries, int length, int count, Case row, Recording to) {
        ChunkTimer timer = new ChunkTimer(CHUNK);
        try (ListLoad load = new ListLoad(new ArenaHost(), form(entries), count)) {
            timer.start();
            while (load.length() < length - 1) {
                load.add(timer);
            }
            to.put(row, ADD, time(timer, load::add));
            to.put(row, WALK, time(timer, load::walk));
            to.put(row, REMOVE, time(timer, load::remove));
        }
    }

    private static double time(ChunkTimer timer, Consumer<Runnable> operations) {
        timer.start();
        operations.accept(timer);
        return timer.median();
    }

    @SuppressWarnings("unchecked") // the loader makes the class that is named
    private static void count(CountingLoader counting, int entries, int length, Case row, Recording to) {
        Function<ListJob, ListLines> work =
                (Function<ListJob, ListLines>) counting.create("dev.slate.lab.workload.CountedLists");
        ListLines lines = work.apply(new ListJob(entries, true, 64, length));
        to.put(row, ADD_LINES, lines.add());
        to.put(row, REMOVE_LINES, lines.remove());
        to.put(row, WALK_LINES, lines.walk());
    }

    private static Plot plot(String title, Metric metric, List<Case> rows) {
        return new Plot(
                title,
                new Plot.Axis("SPTEs in the list", true),
                new Plot.Axis("ns", true),
                results -> java.util.Arrays.stream(ENTRIES)
                        .mapToObj(entries ->
                                new Plot.Series(entries + " entries", points(results, rows, entries, metric)))
                        .toList());
    }

    private static List<Plot.Point> points(Results results, List<Case> rows, int entries, Metric metric) {
        List<Plot.Point> points = new ArrayList<>();
        for (Case row : rows) {
            Sample sample = results.sample(row, metric);
            if (sample != null && row.labels().getLast().equals(Integer.toString(entries))) {
                double length = Double.parseDouble(row.labels().getFirst());
                points.add(new Plot.Point(length, sample.median(), sample.quantile(0.25), sample.quantile(0.75)));
            }
        }
        return points;
    }
}
