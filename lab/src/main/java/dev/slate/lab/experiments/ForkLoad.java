package dev.slate.lab.experiments;

import dev.slate.kvm.host.ArenaHost;
import dev.slate.kvm.stats.ShadowFigures;
import dev.slate.lab.Metric;
import dev.slate.lab.workload.Machine;

/** guests/rmap-fork on a machine of its own with shadow paging. */
final class ForkLoad {
    static final Metric TIME = Metric.seconds("time");

    private static final long MEMORY_BYTES = 256L << 20;
    private static final int MARK_START = 100;
    private static final int MARK_PEAK = 101;
    private static final int MARK_END = 102;
    private static final int WRITE_EVERY = 16;
    private static final int ROUNDS = 2;

    private final byte[] image;
    private final int children;
    private final int pages;

    ForkLoad(byte[] image, int children, int pages) {
        this.image = image;
        this.children = children;
        this.pages = pages;
    }

    int children() {
        return children;
    }

    int pages() {
        return pages;
    }

    /**
     * What a fork was.
     *
     * @param forkSeconds from the first fork to the moment when all children live
     * @param exitSeconds from there to the end of the last
     * @param zapSeconds when all live once more and the host takes the guest's memory away: every rmap is zapped
     * @param start before the first fork
     * @param peak when all live
     * @param end when all have gone
     * @param maxRmap {@code max_mmu_rmap_size}
     */
    record Outcome(
            double forkSeconds,
            double exitSeconds,
            double zapSeconds,
            ShadowFigures start,
            ShadowFigures peak,
            ShadowFigures end,
            long maxRmap) {}

    /** Runs it. @param knobs lines NAME=VALUE */
    Outcome run(String knobs) {
        try (Machine machine = new Machine(
                new ArenaHost(), "tdp=off\n" + knobs, image, MEMORY_BYTES, children, pages, WRITE_EVERY, ROUNDS)) {
            runTo(machine, MARK_START);
            ShadowFigures start = figures(machine);
            long began = System.nanoTime();
            runTo(machine, MARK_PEAK);
            long peaked = System.nanoTime();
            ShadowFigures peak = figures(machine);
            long resumed = System.nanoTime();
            runTo(machine, MARK_END);
            long ended = System.nanoTime();
            ShadowFigures end = figures(machine);
            runTo(machine, MARK_START);
            runTo(machine, MARK_PEAK);
            long zapped = System.nanoTime();
            machine.vm().hostInvalidateBegin(machine.hva(), machine.hva() + machine.memoryBytes());
            machine.vm().hostInvalidateEnd(machine.hva(), machine.hva() + machine.memoryBytes());
            double zapSeconds = (System.nanoTime() - zapped) / 1e9;
            return new Outcome(
                    (peaked - began) / 1e9,
                    (ended - resumed) / 1e9,
                    zapSeconds,
                    start,
                    peak,
                    end,
                    machine.vm().stats().get(dev.slate.kvm.stats.VmStats.MAX_MMU_RMAP_SIZE));
        }
    }

    private static ShadowFigures figures(Machine machine) {
        ShadowFigures figures = machine.vm().shadowFigures();
        if (figures == null) {
            throw new IllegalStateException("tdp=off gave a machine without a shadow MMU");
        }
        return figures;
    }

    private static void runTo(Machine machine, int mark) {
        int reached = machine.run();
        if (reached != mark) {
            throw new IllegalStateException("the guest reached mark " + reached + " instead of " + mark);
        }
    }
}
