package dev.slate.lab.experiments;

import dev.slate.lab.Experiment;
import java.util.List;

/** All experiments. */
public final class Experiments {
    private static final List<Experiment> ALL =
            List.of(new LastUsedSlot(), new PteList(), new RmapFork(), new ExitLatency());

    private Experiments() {}

    /** In the order of their listing. */
    public static List<Experiment> all() {
        return ALL;
    }
}
