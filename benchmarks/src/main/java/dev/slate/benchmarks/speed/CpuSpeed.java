package dev.slate.benchmarks.speed;

import dev.slate.kvm.Knobs;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The speed of the processor on the loops of guests/cpu-loops, beside QEMU's TCG on the same guest binary and the same loops on the
 * host: turn by turn. The command is {@code slate speed cpu}; it ends with 1 when a limit is exceeded or answers differ.
 *
 * <p>Time is processor time between the guest's B and E, so that a busy machine counts for less; a ratio is the median of those of
 * the turns. All sides and all numbers of rounds must give one answer.
 */
public final class CpuSpeed {
    private static final double MEAN_OF_TCG = 0.45;
    private static final double MEAN_OF_HOST = 2.5;
    private static final double KERNEL_MEAN_OF_TCG = 0.7;

    private final InSlate interpreted;
    private final InSlate translated;
    private final @Nullable UnderTcg tcg;
    private final OnHost host;
    private final Trials trials;

    private CpuSpeed(Path guests, Trials trials) {
        this.trials = trials;
        interpreted = new InSlate(guests, Knobs.parse("cpu.translator=off"));
        translated = new InSlate(guests, Knobs.parse("cpu.translator=on"));
        tcg = UnderTcg.isInstalled() ? new UnderTcg(guests) : null;
        host = new OnHost(guests.resolve("native-loops"));
    }

    /**
     * Measures all work, or that named.
     *
     * @param arguments the folder of the built guests and of native-loops, then names
     */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        List<Work> loops = List.of(Work.loops());
        List<Work> kernel = List.of(Work.kernel());
        Trials trials = new Trials("speed cpu");
        List<Work> wanted = trials.wanted(
                Stream.of(loops, kernel).flatMap(List::stream).toList(),
                List.of(arguments).subList(1, arguments.length));
        CpuSpeed speed = new CpuSpeed(Path.of(arguments[0]), trials);
        if (speed.tcg == null) {
            System.err.println("slate: " + UnderTcg.QEMU + " is not installed, so its columns stay empty");
        }
        speed.loops(wanted.stream().filter(loops::contains).toList());
        speed.kernel(wanted.stream().filter(kernel::contains).toList());
        trials.end();
    }

    private void loops(List<Work> loops) throws IOException, InterruptedException {
        if (loops.isEmpty()) {
            return;
        }
        Mean ofTcg = new Mean();
        Mean ofHost = new Mean();
        System.out.println(
                "| loop | instructions a round | interpreted, M/s | translated, M/s | QEMU TCG, M/s | host, M/s |"
                        + " translated: time of TCG's | of the host's |");
        System.out.println("|---|---:|---:|---:|---:|---:|---:|---:|");
        for (Work loop : loops) {
            long instructions = interpreted.count(loop);
            Times times = new Times(loop, host.can(loop) ? host : null);
            System.out.printf(
                    Locale.ROOT,
                    "| %s | %,d | %s | %s | %s | %s | %s | %s |%n",
                    loop.name(),
                    instructions,
                    figure("%.0f", instructions / times.interpreted() / 1e6),
                    figure("%.0f", instructions / times.translated() / 1e6),
                    figure("%.0f", instructions / times.tcg() / 1e6),
                    figure("%.0f", instructions / times.host() / 1e6),
                    figure("%.2f", times.ofTcg()),
                    figure("%.2f", times.ofHost()));
            trials.hold(loop.name(), times.ofTcg(), loop.limit(), "TCG");
            ofTcg.add(times.ofTcg());
            ofHost.add(times.ofHost());
        }
        System.out.printf(
                Locale.ROOT,
                "| geometric mean | | | | | | %s | %s |%n",
                figure("%.2f", ofTcg.value()),
                figure("%.2f", ofHost.value()));
        trials.hold("the loops' geometric mean", ofTcg.value(), MEAN_OF_TCG, "TCG");
        trials.hold("the loops' geometric mean", ofHost.value(), MEAN_OF_HOST, "the host");
    }

    private void kernel(List<Work> works) throws IOException, InterruptedException {
        if (works.isEmpty()) {
            return;
        }
        Mean ofTcg = new Mean();
        System.out.println();
        System.out.println("| work | interpreted, ns | translated, ns | QEMU TCG, ns | translated: time of TCG's |");
        System.out.println("|---|---:|---:|---:|---:|");
        for (Work work : works) {
            Times times = new Times(work, null);
            double nanos = 1e9 / work.operations();
            System.out.printf(
                    Locale.ROOT,
                    "| %s | %s | %s | %s | %s |%n",
                    work.name(),
                    figure("%,.0f", nanos * times.interpreted()),
                    figure("%,.0f", nanos * times.translated()),
                    figure("%,.0f", nanos * times.tcg()),
                    figure("%.2f", times.ofTcg()));
            trials.hold(work.name(), times.ofTcg(), work.limit(), "TCG");
            ofTcg.add(times.ofTcg());
        }
        System.out.printf(Locale.ROOT, "| geometric mean | | | | %s |%n", figure("%.2f", ofTcg.value()));
        trials.hold("the kernel's geometric mean", ofTcg.value(), KERNEL_MEAN_OF_TCG, "TCG");
    }

    private static String figure(String format, double v) {
        return Double.isNaN(v) ? "" : String.format(Locale.ROOT, format, v);
    }

    /** Of those added that are numbers. */
    private static final class Mean {
        private double logarithms;
        private int count;

        void add(double v) {
            if (!Double.isNaN(v)) {
                logarithms += Math.log(v);
                count++;
            }
        }

        double value() {
            return count == 0 ? Double.NaN : Math.exp(logarithms / count);
        }
    }

    /** Seconds of a round of one work on all sides, turn by turn; NaN where there is none. */
    private final class Times {
        private static final int INTERPRETED = 0;
        private static final int TRANSLATED = 1;
        private static final int TCG = 2;
        private static final int HOST = 3;

        private final double[][] seconds = new double[HOST + 1][Trials.TURNS];

        Times(Work work, @Nullable OnHost host) throws IOException, InterruptedException {
            Side[] sides = {interpreted, translated, tcg, host};
            long[] rounds = new long[sides.length];
            for (int i = 0; i < sides.length; i++) {
                Arrays.fill(seconds[i], Double.NaN);
                rounds[i] = sides[i] == null ? 0 : trials.rounds(sides[i], work);
            }
            // Once more, warm.
            rounds[TRANSLATED] = trials.rounds(translated, work);
            for (int turn = 0; turn < Trials.TURNS; turn++) {
                for (int i = 0; i < sides.length; i++) {
                    if (sides[i] != null) {
                        seconds[i][turn] = trials.run(sides[i], work, rounds[i]) / rounds[i];
                    }
                }
            }
        }

        double interpreted() {
            return Trials.median(seconds[INTERPRETED]);
        }

        double translated() {
            return Trials.median(seconds[TRANSLATED]);
        }

        double tcg() {
            return Trials.median(seconds[TCG]);
        }

        double host() {
            return Trials.median(seconds[HOST]);
        }

        double ofTcg() {
            return ratio(TCG);
        }

        double ofHost() {
            return ratio(HOST);
        }

        private double ratio(int to) {
            double[] ratios = new double[Trials.TURNS];
            for (int i = 0; i < Trials.TURNS; i++) {
                ratios[i] = seconds[TRANSLATED][i] / seconds[to][i];
            }
            return Trials.median(ratios);
        }
    }
}
