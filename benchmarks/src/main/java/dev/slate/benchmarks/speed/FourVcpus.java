package dev.slate.benchmarks.speed;

import dev.slate.kvm.Knobs;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/**
 * The loops of guests/cpu-loops by four vCPUs of one VM at once, beside one vCPU that does the same rounds one after the other, in turn. The
 * command is {@code slate speed vcpus}; it ends with 1 when four take longer than one or answers differ.
 *
 * <p>Time is from when all vCPUs are at the guest's B to when all are at its E; a ratio is the median of those of the turns. All vCPUs must give
 * one answer.
 */
public final class FourVcpus {
    private static final int VCPUS = 4;
    /** What four at once may take of the wall time of one. */
    private static final double LIMIT = 1;

    private final InSlate slate;
    private final Trials trials;

    private FourVcpus(Path guests, Trials trials) {
        slate = new InSlate(guests, Knobs.parse("cpu.translator=on"));
        this.trials = trials;
    }

    /**
     * Measures all loops, or those named.
     *
     * @param arguments the folder of the built guests, then names
     */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        Trials trials = new Trials("speed vcpus");
        List<Work> loops =
                trials.wanted(List.of(Work.loops()), List.of(arguments).subList(1, arguments.length));
        FourVcpus four = new FourVcpus(Path.of(arguments[0]), trials);
        System.out.println(
                "| loop | one after the other, s | four at once, s | wall time of one after the other's (least to most)"
                        + " | processor time of its |");
        System.out.println("|---|---:|---:|---:|---:|");
        for (Work loop : loops) {
            four.measure(loop);
        }
        trials.end();
    }

    private void measure(Work loop) throws IOException, InterruptedException {
        trials.rounds(slate, loop);
        // Once more, warm.
        long rounds = trials.rounds(slate, loop);
        double[] inTurn = new double[Trials.TURNS];
        double[] atOnce = new double[Trials.TURNS];
        double[] wall = new double[Trials.TURNS];
        double[] processor = new double[Trials.TURNS];
        for (int turn = 0; turn < Trials.TURNS; turn++) {
            boolean oneFirst = turn % 2 == 0;
            MachineOfCopies.Took before = oneFirst ? run(loop, 1, VCPUS * rounds) : run(loop, VCPUS, rounds);
            MachineOfCopies.Took after = oneFirst ? run(loop, VCPUS, rounds) : run(loop, 1, VCPUS * rounds);
            MachineOfCopies.Took one = oneFirst ? before : after;
            MachineOfCopies.Took four = oneFirst ? after : before;
            inTurn[turn] = one.wall();
            atOnce[turn] = four.wall();
            wall[turn] = four.wall() / one.wall();
            processor[turn] = four.processor() / one.processor();
        }
        double ratio = Trials.median(wall);
        System.out.printf(
                Locale.ROOT,
                "| %s | %.2f | %.2f | %.2f (%.2f to %.2f) | %.2f |%n",
                loop.name(),
                Trials.median(inTurn),
                Trials.median(atOnce),
                ratio,
                Arrays.stream(wall).min().orElseThrow(),
                Arrays.stream(wall).max().orElseThrow(),
                Trials.median(processor));
        trials.hold(loop.name() + " by four vCPUs at once", ratio, LIMIT, "one vCPU that does it four times");
    }

    private MachineOfCopies.Took run(Work loop, int vcpus, long rounds) throws IOException, InterruptedException {
        try (MachineOfCopies machine = new MachineOfCopies(slate, loop, vcpus, rounds)) {
            MachineOfCopies.Took took = machine.run();
            for (int id = 0; id < vcpus; id++) {
                String by = "vCPU " + id + " of " + vcpus + " after " + rounds + " rounds";
                trials.holdAnswer(loop, took.answers().get(id), by);
            }
            return took;
        }
    }
}
