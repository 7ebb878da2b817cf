package dev.slate.lab.experiments;

import dev.slate.kvm.stats.ShadowFigures;
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
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Seed 004: a fork of many children under shadow paging, with the rmaps of before the series and after each of its patches. */
final class RmapFork implements Experiment {
    /** The series, patch by patch: patch 9 was not measured by its author. */
    private enum Form {
        BEFORE("before: 3 entries", "3", "uncounted", "entry"),
        BIGGER("patch 7: 14 entries", "14", "uncounted", "entry"),
        COUNTED("patch 8: and a counter", "14", "counted", "entry"),
        CHAIN("patch 9: and zapped in one walk", "14", "counted", "chain");

        private final String label;
        private final String knobs;

        Form(String label, String entries, String form, String zap) {
            this.label = label;
            this.knobs = "mmu.pte-list-entries=" + entries + "\nmmu.pte-list-form=" + form + "\nmmu.rmap-zap=" + zap;
        }

        Case row() {
            return Case.of(label);
        }
    }

    private static final Metric FORK = Metric.seconds("fork");
    private static final Metric EXIT = Metric.seconds("exit");
    private static final Metric BOTH = Metric.seconds("both");
    private static final Metric ZAP = Metric.seconds("zap");
    private static final Metric WALKED = Metric.count("descriptors walked");
    private static final Metric PLACES = Metric.count("places looked at");
    private static final Metric DESCRIPTORS = Metric.count("descriptors");
    private static final Metric DESCRIPTOR_BYTES = Metric.bytes("their bytes");
    private static final Metric MAX_RMAP = Metric.count("max_mmu_rmap_size");
    private static final Metric SHADOW_PAGES = Metric.count("shadow pages");

    @Override
    public String name() {
        return "rmap-fork";
    }

    @Override
    public String seed() {
        return "004";
    }

    @Override
    public String question() {
        return "What do bigger descriptors, a counter in each and zapping in one walk gain a guest that forks hundreds of children?";
    }

    @Override
    public Design design(Bench bench) throws IOException, InterruptedException {
        ForkLoad load = new ForkLoad(
                Files.readAllBytes(bench.guest("rmap-fork")),
                bench.scale().of(500, 200),
                bench.scale().of(512, 256));
        List<Trial> trials = new ArrayList<>();
        List<Case> rows = new ArrayList<>();
        Map<Case, Case> before = new LinkedHashMap<>();
        Map<Case, String> seed = new LinkedHashMap<>();
        for (Form form : Form.values()) {
            Case row = form.row();
            rows.add(row);
            before.put(row, Form.BEFORE.row());
            trials.add(Trial.timed(row.name(), to -> fork(load, form.knobs, row, to)));
        }
        seed.put(Form.COUNTED.row(), "38% faster");
        seed.put(Form.CHAIN.row(), "not measured");
        Table times = new Table.Builder(
                        load.children() + " children that alias " + load.pages() + " pages: times",
                        List.of("rmaps"),
                        rows)
                .measured(FORK, EXIT, BOTH)
                .ratio("of before", BOTH, before)
                .seed("the seed", seed)
                .measured(ZAP)
                .ratio("of before", ZAP, before)
                .build();
        Table work = new Table.Builder("The rmaps' work and size, all children alive", List.of("rmaps"), rows)
                .measured(WALKED, PLACES, DESCRIPTORS, DESCRIPTOR_BYTES, SHADOW_PAGES, MAX_RMAP)
                .build();
        Table.Builder statistics = new Table.Builder(
                "mmu_rmaps_stat at the peak, level 4K: frames with so many SPTEs", List.of("rmaps"), rows);
        for (int i = 0; i < 11; i++) {
            statistics.measured(rmapClass(i));
        }
        return new Design(
                trials,
                1,
                bench.scale().of(7, 3),
                List.of(times, work, statistics.build()),
                List.of(histogram(rows)),
                List.of(
                        "The guest (guests/rmap-fork) makes page tables for each child in which the parent's pages stand"
                                + " read-only; each child reads all of them and writes to one in sixteen, which the guest answers"
                                + " with a copy; then all exit. \"fork\" is up to the moment at which all live, \"exit\" from there to the"
                                + " end. \"zap\": all live once more, and the host takes the guest's memory away.",
                        "Each round boots a machine for each variant; one round before those that count warms the JVM up.",
                        "\"descriptors walked\" and \"places looked at\" are counted by the lists themselves from the first fork to the"
                                + " last exit.",
                        "The seed measured patches 7 and 8 together: 38% with its own rmap_fork of 500 children on a Linux guest."),
                List.of());
    }

    private static Metric rmapClass(int i) {
        if (i < 2) {
            return Metric.count(Integer.toString(i));
        }
        return Metric.count(i == 10 ? "512-" : (1 << i - 1) + "-" + ((1 << i) - 1));
    }

    private static void fork(ForkLoad load, String knobs, Case row, Recording to) {
        ForkLoad.Outcome outcome = load.run(knobs);
        ShadowFigures peak = outcome.peak();
        to.put(row, FORK, outcome.forkSeconds());
        to.put(row, EXIT, outcome.exitSeconds());
        to.put(row, BOTH, outcome.forkSeconds() + outcome.exitSeconds());
        to.put(row, ZAP, outcome.zapSeconds());
        to.put(row, WALKED, outcome.end().descriptorsWalked() - outcome.start().descriptorsWalked());
        to.put(row, PLACES, outcome.end().entriesWalked() - outcome.start().entriesWalked());
        to.put(row, DESCRIPTORS, peak.descriptors());
        to.put(row, DESCRIPTOR_BYTES, peak.descriptors() * peak.descriptorBytes());
        to.put(row, SHADOW_PAGES, peak.shadowPages());
        to.put(row, MAX_RMAP, outcome.maxRmap());
        long[] classes = peak.rmaps()[0];
        for (int i = 0; i < classes.length; i++) {
            to.put(row, rmapClass(i), classes[i]);
        }
    }

    private static Plot histogram(List<Case> rows) {
        return new Plot(
                "mmu_rmaps_stat at the peak, level 4K",
                new Plot.Axis("SPTEs of a frame", true),
                new Plot.Axis("frames", true),
                results -> List.of(new Plot.Series("all variants", points(results, rows.getFirst()))));
    }

    private static List<Plot.Point> points(Results results, Case row) {
        List<Plot.Point> points = new ArrayList<>();
        for (int i = 1; i < 11; i++) {
            double frames = results.median(row, rmapClass(i));
            if (frames > 0) {
                points.add(new Plot.Point(1 << i - 1, frames, frames, frames));
            }
        }
        return points;
    }
}
