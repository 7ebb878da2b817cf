package dev.slate.benchmarks.speed;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * What a command of this package holds: one answer for each work, whoever does it, and limits. Its end says what was missed. Of one thread.
 */
final class Trials {
    /** Of each a ratio is the median. */
    static final int TURNS = 5;
    /** What one measured run should take. */
    private static final double SECONDS = 0.6;
    /** A run that takes less says too little of how long a round is. */
    private static final double ENOUGH = 0.1;

    private final String command;
    private final Map<String, String> answers = new HashMap<>();
    private final List<String> missed = new ArrayList<>();

    /** @param command as the user writes it, without slate */
    Trials(String command) {
        this.command = command;
    }

    /** Those of {@code all} that are wanted, or all where none is named. Ends the process with 2 where a name is none of theirs. */
    List<Work> wanted(List<Work> all, List<String> names) {
        List<String> known = all.stream().map(Work::name).toList();
        for (String name : names) {
            if (!known.contains(name)) {
                System.err.println(
                        "slate: " + command + ": no such work: " + name + "; there are " + String.join(", ", known));
                System.exit(2);
            }
        }
        return all.stream()
                .filter(w -> names.isEmpty() || names.contains(w.name()))
                .toList();
    }

    /** Does so many rounds, and gives the seconds of processor time that they took. @throws IllegalStateException as {@link Side#run} */
    double run(Side side, Work work, long rounds) throws IOException, InterruptedException {
        Side.Took took = side.run(work, rounds);
        holdAnswer(work, took.answer(), side + " after " + rounds + " rounds");
        return took.seconds();
    }

    /** How many rounds take {@link #SECONDS} there. @throws IllegalStateException as {@link Side#run} */
    long rounds(Side side, Work work) throws IOException, InterruptedException {
        for (long rounds = 1; ; ) {
            double took = run(side, work, rounds);
            if (took >= ENOUGH) {
                return Math.max(1, Math.round(rounds * SECONDS / took));
            }
            rounds *= took < ENOUGH / 10 ? 10 : 3;
        }
    }

    /** Misses where a work has given another answer before. */
    void holdAnswer(Work work, String answer, String by) {
        String before = answers.putIfAbsent(work.name(), answer);
        if (before != null && !before.equals(answer)) {
            missed.add(work.name() + " gave " + answer + " by " + by + ", and " + before + " before");
        }
    }

    /** Misses where {@code what} takes more than {@code limit} of the time of {@code whose}; a ratio that is no number is none. */
    void hold(String what, double ratio, double limit, String whose) {
        if (ratio > limit) {
            missed.add(String.format(
                    Locale.ROOT, "%s takes %.2f of the time of %s, which is above %.2f", what, ratio, whose, limit));
        }
    }

    /** Ends the process: with 1 when something was missed, which it says on standard error. */
    void end() {
        for (String line : missed) {
            System.err.println("slate: " + command + ": " + line);
        }
        System.exit(missed.isEmpty() ? 0 : 1);
    }

    static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }
}
