package dev.slate.lab.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.lab.Bench;
import dev.slate.lab.Case;
import dev.slate.lab.Design;
import dev.slate.lab.Experiment;
import dev.slate.lab.LabRun;
import dev.slate.lab.Metric;
import dev.slate.lab.Plot;
import dev.slate.lab.Progress;
import dev.slate.lab.Table;
import dev.slate.lab.Trial;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

final class ReportTest {
    private static final Metric TIME = Metric.seconds("populate");
    private static final Case BEFORE = Case.of("on", "<VM-wide>");
    private static final Case AFTER = Case.of("on", "per vCPU");
    private static final Machine MACHINE =
            new Machine("./slate lab run demo", "a processor", "2 GiB", "Linux 6", "25", "2026-01-01");

    private LabRun run;

    private static final Experiment DEMO = new Experiment() {
        @Override
        public String name() {
            return "demo";
        }

        @Override
        public String seed() {
            return "003";
        }

        @Override
        public String question() {
            return "Which is \"faster\"?";
        }

        @Override
        public Design design(Bench bench) {
            Table table = new Table.Builder("Times", List.of("TDP", "lookup"), List.of(BEFORE, AFTER))
                    .measured(TIME)
                    .ratio("of before", TIME, Map.of(AFTER, BEFORE))
                    .seed("seed", Map.of(BEFORE, "6.76 s"))
                    .build();
            return new Design(
                    List.of(),
                    0,
                    3,
                    List.of(table),
                    List.of(new Plot(
                            "Sweep",
                            new Plot.Axis("slots", true),
                            new Plot.Axis("ns", false),
                            results -> List.of(new Plot.Series(
                                    "per vCPU",
                                    List.of(new Plot.Point(1, 10, 9, 11), new Plot.Point(1000, 20, 20, 20)))))),
                    List.of("a note"),
                    List.of());
        }
    };

    @BeforeEach
    void measure() throws Exception {
        Design design = DEMO.design(new Bench(Path.of("."), dev.slate.lab.Scale.QUICK, System.err));
        int[] round = {0};
        List<Trial> trials = List.of(Trial.timed("both", to -> {
            round[0]++;
            to.put(BEFORE, TIME, 2 + 2 * round[0]);
            to.put(AFTER, TIME, 1 + round[0]);
        }));
        run = new LabRun(DEMO, new Design(trials, 0, 3, design.tables(), design.plots(), design.notes(), List.of()));
        run.run(Progress.NONE);
    }

    @Test
    void a_terminal_gets_medians_with_their_spread_in_aligned_columns() {
        assertThat(TextReport.terminal(run)).contains("""
                Times
                  TDP  lookup        populate  of before    seed
                  on   <VM-wide>  6.00 s ±17%             6.76 s
                  on   per vCPU   3.00 s ±17%      0.50x
                """).contains("3 of 3 rounds");
    }

    @Test
    void the_page_stands_alone_and_escapes_what_it_shows() {
        String page = HtmlReport.page(List.of(run), MACHINE);
        assertThat(page)
                .contains("&lt;VM-wide&gt;", "Which is &quot;faster&quot;?", "<svg", "6.00 s ±17%")
                .doesNotContain("<VM-wide>", "src=", "href=", "url(", "@import", "NaN");
    }

    @Test
    void json_holds_every_value_of_every_round() {
        JsonNode json = JsonMapper.builder().build().readTree(JsonReport.text(List.of(run), MACHINE));
        JsonNode row = json.at("/experiments/0/tables/0/rows/0");
        assertThat(row.at("/lookup").asString()).isEqualTo("<VM-wide>");
        assertThat(row.at("/populate/median").asDouble()).isEqualTo(6);
        assertThat(row.at("/populate/values").size()).isEqualTo(3);
        assertThat(row.at("/seed").asString()).isEqualTo("6.76 s");
        assertThat(json.at("/experiments/0/complete").asBoolean()).isTrue();
    }

    @Test
    void a_document_is_updated_between_the_marks_and_nowhere_else(@TempDir Path folder) throws Exception {
        Path page = folder.resolve("experiments.md");
        Files.writeString(page, "head\n<!-- lab demo -->\nold\n<!-- end -->\ntail\n");
        Page.update(page, List.of(run), MACHINE);
        String text = Files.readString(page);
        assertThat(text).startsWith("head\n<!-- lab demo -->\n").endsWith("<!-- end -->\ntail\n");
        assertThat(text).contains("| on  | per vCPU  |").doesNotContain("old");
        Page.update(page, List.of(run), MACHINE);
        assertThat(Files.readString(page)).isEqualTo(text);
    }

    @Test
    void a_document_without_the_marks_stays_as_it_is(@TempDir Path folder) throws Exception {
        Path page = Files.writeString(folder.resolve("other.md"), "nothing here\n");
        assertThatThrownBy(() -> Page.update(page, List.of(run), MACHINE))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("<!-- lab demo -->");
        assertThat(Files.readString(page)).isEqualTo("nothing here\n");
    }

    @Test
    void numbers_are_shown_with_three_digits_that_count() {
        assertThat(Values.number(0.00123, Metric.Unit.SECONDS)).isEqualTo("1.23 ms");
        assertThat(Values.number(12.345, Metric.Unit.SECONDS)).isEqualTo("12.3 s");
        assertThat(Values.number(0.0000456, Metric.Unit.SECONDS)).isEqualTo("45.6 µs");
        assertThat(Values.number(32764, Metric.Unit.COUNT)).isEqualTo("32,764");
        assertThat(Values.number(4.125, Metric.Unit.COUNT)).isEqualTo("4.13");
        assertThat(Values.number(0.5, Metric.Unit.SHARE)).isEqualTo("50.0%");
        assertThat(Values.number(25_300, Metric.Unit.NANOSECONDS)).isEqualTo("25.3 µs");
    }

    @Test
    void an_axis_ends_at_round_values() {
        Scaling linear = Scaling.over(new double[] {3, 17}, false, 0, 100);
        assertThat(linear.ticks()).startsWith(0.0).endsWith(20.0);
        assertThat(linear.place(10)).isEqualTo(50);
        Scaling logarithmic = Scaling.over(new double[] {3, 17_000}, true, 0, 100);
        assertThat(logarithmic.ticks()).containsExactly(1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0);
        assertThat(logarithmic.place(1)).isZero();
        assertThat(Scaling.text(32_764)).isEqualTo("32.764k");
        assertThat(Scaling.text(0.5)).isEqualTo("0.5");
    }
}
