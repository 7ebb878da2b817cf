package dev.slate.lab;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

final class LabRunTest {
    private static final Metric TIME = Metric.nanoseconds("time");
    private static final Case A = Case.of("a");
    private static final Case B = Case.of("b");

    private static final Experiment NONE = new Experiment() {
        @Override
        public String name() {
            return "none";
        }

        @Override
        public String seed() {
            return "000";
        }

        @Override
        public String question() {
            return "?";
        }

        @Override
        public Design design(Bench bench) {
            throw new AssertionError();
        }
    };

    private static LabRun run(int warmups, int rounds, List<Trial> trials) {
        return new LabRun(NONE, new Design(trials, warmups, rounds, List.of(), List.of(), List.of(), List.of()));
    }

    @Test
    void variants_run_in_turn_and_the_order_turns_from_round_to_round() throws Exception {
        StringBuilder order = new StringBuilder();
        run(
                        1,
                        3,
                        List.of(
                                Trial.timed("a", to -> order.append('a')),
                                Trial.counted("c", to -> order.append('c')),
                                Trial.timed("b", to -> order.append('b'))))
                .run(Progress.NONE);
        assertThat(order).hasToString("c" + "ab" + "ab" + "ba" + "ab");
    }

    @Test
    void warm_up_rounds_do_not_count() throws Exception {
        int[] calls = {0};
        LabRun run = run(2, 3, List.of(Trial.timed("a", to -> to.put(A, TIME, calls[0]++))));
        run.run(Progress.NONE);
        Sample sample = run.results().sample(A, TIME);
        assertThat(sample).isNotNull();
        assertThat(sample.values()).containsExactly(2, 3, 4);
        assertThat(run.complete()).isTrue();
    }

    @Test
    void what_was_measured_before_a_stop_is_kept() throws Exception {
        AtomicReference<LabRun> self = new AtomicReference<>();
        List<String> steps = new ArrayList<>();
        LabRun run = run(0, 10, List.of(Trial.timed("a", to -> to.put(A, TIME, 1)), Trial.timed("b", to -> {
            steps.add("b");
            if (steps.size() == 2) {
                self.get().stop();
                throw new InterruptedException("as Ctrl-C does");
            }
            to.put(B, TIME, 2);
        })));
        self.set(run);
        run.run(Progress.NONE);
        assertThat(run.complete()).isFalse();
        assertThat(run.roundsDone()).isEqualTo(1);
        assertThat(run.results().sample(B, TIME))
                .isNotNull()
                .extracting(Sample::size)
                .isEqualTo(1);
        assertThat(run.results().sample(A, TIME)).isNotNull();
    }

    @Test
    void a_trial_that_fails_ends_the_run_with_its_name() {
        LabRun run = run(0, 1, List.of(Trial.timed("the broken one", to -> {
            throw new java.util.concurrent.TimeoutException("too slow");
        })));
        assertThatThrownBy(() -> run.run(Progress.NONE))
                .isInstanceOf(IOException.class)
                .hasMessage("the broken one: too slow");
    }

    @Test
    void a_ratio_is_taken_round_by_round() {
        Results results = new Results();
        double[] a = {10, 100, 30};
        double[] b = {5, 50, 0};
        for (int round = 0; round < 3; round++) {
            results.round(round).put(A, TIME, a[round]);
            if (b[round] != 0) {
                results.round(round).put(B, TIME, b[round]);
            }
        }
        Sample ratio = results.ratio(A, B, TIME);
        assertThat(ratio).isNotNull();
        assertThat(ratio.values()).containsExactly(2, 2);
        assertThat(results.ratio(B, Case.of("c"), TIME)).isNull();
    }

    @Test
    void median_and_spread_are_those_of_the_quartiles() {
        Sample sample = new Sample(5, 1, 2, 4, 3);
        assertThat(sample.median()).isEqualTo(3);
        assertThat(sample.spread()).isEqualTo(1.0 / 3);
        assertThat(new Sample(1, 2).median()).isEqualTo(1.5);
        assertThat(new Sample(7, 7).varies()).isFalse();
        assertThat(new Sample(0, 0, 0).spread()).isZero();
    }
}
