package dev.slate.conformance;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

final class ConsoleWatchTest {
    private static ConsoleWatch feed(List<String> wanted, String... pieces) {
        ConsoleWatch watch = new ConsoleWatch(wanted);
        for (String piece : pieces) {
            byte[] bytes = piece.getBytes(StandardCharsets.UTF_8);
            watch.add(bytes, bytes.length);
        }
        return watch;
    }

    @Test
    void a_text_is_seen_in_any_order_across_reads_and_without_the_end_of_its_line() {
        ConsoleWatch watch = feed(List.of("login:", "Linux"), "Li", "nux 6.1\r\nlo", "gin");
        assertThat(watch.missing()).containsExactly("login:");
        assertThat(watch.complete()).isNotDone();
        watch.add(": ".getBytes(StandardCharsets.UTF_8), 2);
        assertThat(watch.missing()).isEmpty();
        assertThat(watch.complete()).isCompleted();
    }

    @Test
    void a_text_does_not_run_over_the_end_of_a_line() {
        assertThat(feed(List.of("ab"), "a\nb a\rb").missing()).containsExactly("ab");
    }

    @Test
    void a_text_is_seen_through_what_paints_a_terminal() {
        assertThat(feed(List.of("Pass 1"), "\033[1;32mPa\033[0m\033[10;20Hss\033c 1")
                        .missing())
                .isEmpty();
        assertThat(feed(List.of("x"), "\033[999999999").missing()).containsExactly("x");
    }

    @Test
    void a_text_is_seen_anywhere_in_a_line_that_never_ends() {
        // Its first 4,096 bytes are looked at together, then 2,048 more at a time.
        for (int edge : new int[] {4096, 6144, 8192}) {
            for (int before = edge - 12; before <= edge + 2; before++) {
                assertThat(feed(List.of("here it is"), "y".repeat(before), "here it is" + "y".repeat(5000))
                                .missing())
                        .as(before + " bytes before it")
                        .isEmpty();
            }
        }
    }

    @Test
    void bytes_of_no_meaning_do_no_harm() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        ConsoleWatch watch = new ConsoleWatch(List.of("never said in this"));
        for (int i = 0; i < 200; i++) {
            byte[] bytes = new byte[random.nextInt(20_000)];
            random.nextBytes(bytes);
            watch.add(bytes, bytes.length);
        }
        watch.add("\nnever said in this".getBytes(StandardCharsets.UTF_8), 19);
        assertThat(watch.missing()).as("seed " + seed).isEmpty();
    }

    @Test
    void who_wants_nothing_has_it_at_once() {
        assertThat(new ConsoleWatch(List.of()).complete()).isCompleted();
    }
}
