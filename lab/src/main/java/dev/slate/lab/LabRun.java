package dev.slate.lab;

import java.io.IOException;

/**
 * The run of one experiment: counted trials once, then rounds in which each variant runs once, so that whatever changes on the machine
 * meets all of them. The order is turned by one from round to round.
 *
 * <p>{@link #run} belongs to one thread; {@link #stop} and the results to any.
 */
public final class LabRun {
    private final Experiment experiment;
    private final Design design;
    private final Results results = new Results();
    private volatile boolean stopped;
    private volatile int roundsDone;

    public LabRun(Experiment experiment, Design design) {
        this.experiment = experiment;
        this.design = design;
    }

    public Experiment experiment() {
        return experiment;
    }

    public Design design() {
        return design;
    }

    public Results results() {
        return results;
    }

    /** Rounds that all trials have gone through, warm-ups left out. */
    public int roundsDone() {
        return roundsDone;
    }

    /** Whether all rounds were run. */
    public boolean complete() {
        return roundsDone == design.rounds();
    }

    /** No further trial starts. The one that runs is not waited for. */
    public void stop() {
        stopped = true;
    }

    /**
     * Runs all, or until {@link #stop}.
     *
     * @throws IOException a trial could not do its work
     */
    public void run(Progress progress) throws IOException, InterruptedException {
        var counted = design.trials().stream()
                .filter(trial -> trial.phase() == Trial.Phase.COUNTED)
                .toList();
        var timed = design.trials().stream()
                .filter(trial -> trial.phase() == Trial.Phase.TIMED)
                .toList();
        progress.begin(experiment.name(), counted.size() + timed.size() * (design.warmups() + design.rounds()));
        try {
            for (Trial trial : counted) {
                progress.step(trial.what());
                execute(trial, results.round(0));
            }
            for (int round = -design.warmups(); round < design.rounds() && !stopped; round++) {
                Recording to = round < 0 ? new Results().round(0) : results.round(round);
                for (int i = 0; i < timed.size() && !stopped; i++) {
                    Trial trial = timed.get((i + Math.max(round, 0)) % timed.size());
                    progress.step((round < 0 ? "warm-up" : "round " + (round + 1)) + ": " + trial.what());
                    execute(trial, to);
                }
                if (round >= 0 && !stopped) {
                    roundsDone = round + 1;
                }
            }
        } finally {
            progress.close();
        }
    }

    private void execute(Trial trial, Recording to) throws IOException, InterruptedException {
        if (stopped) {
            return;
        }
        try {
            trial.body().run(to);
        } catch (IOException | InterruptedException | RuntimeException e) {
            if (!stopped) {
                throw e;
            }
            // A trial that was cut off by the stop has nothing to say.
        } catch (Exception e) {
            throw new IOException(trial.what() + ": " + e.getMessage(), e);
        }
    }
}
