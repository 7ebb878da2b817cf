package dev.slate.conformance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class SuiteTest {
    @TempDir
    private Path folder;

    private Suite read(String text) throws IOException {
        return Suite.read(Files.writeString(folder.resolve("a.suite"), text));
    }

    @Test
    void a_line_is_a_limit_and_a_command() throws IOException {
        Suite suite = read("# comment\n\n60s  cpuid_test\n120s demand_paging_test  -u MINOR -s shmem\n");
        assertThat(suite.rows())
                .containsExactly(
                        new Row("cpuid_test", List.of(), Duration.ofSeconds(60)),
                        new Row("demand_paging_test", List.of("-u", "MINOR", "-s", "shmem"), Duration.ofSeconds(120)));
        assertThat(suite.rows().get(1).name()).isEqualTo("demand_paging_test -u MINOR -s shmem");
    }

    @Test
    void knobs_stand_before_the_program() throws IOException {
        Suite suite = read("60s cpuid_test\n60s tdp=off mmu.x=1 cpuid_test -a b=c\n");
        assertThat(suite.rows().get(1))
                .isEqualTo(new Row(
                        List.of("tdp=off", "mmu.x=1"), "cpuid_test", List.of("-a", "b=c"), Duration.ofSeconds(60)));
        assertThat(suite.rows().get(1).name()).isEqualTo("tdp=off mmu.x=1 cpuid_test -a b=c");
        assertThat(suite.filter("cpuid_test").rows()).hasSize(2);
        assertThat(suite.filter("tdp=off *").rows()).hasSize(1);
    }

    @Test
    void a_line_of_another_form_is_named_with_its_number() {
        assertThatThrownBy(() -> read("60s a\ncpuid_test\n"))
                .isInstanceOf(SuiteFormatException.class)
                .hasMessageContaining("a.suite:2: 'cpuid_test'");
        assertThatThrownBy(() -> read("0s a\n")).hasMessageContaining("a.suite:1");
        assertThatThrownBy(() -> read("60s tdp=off\n")).hasMessageContaining("a.suite:1");
        assertThatThrownBy(() -> read("60s\n")).hasMessageContaining("a.suite:1");
    }

    @Test
    void a_row_that_is_there_twice_is_refused() {
        assertThatThrownBy(() -> read("60s a -x\n90s a  -x\n")).hasMessageContaining("a.suite:2");
    }

    @Test
    void a_filter_matches_the_command_line_or_the_program() throws IOException {
        Suite suite = read("1s dirty_log_test -M a\n1s dirty_log_test\n1s cpuid_test\n1s p -s /dev/shm\n");
        assertThat(suite.filter("dirty_log_test").rows()).hasSize(2);
        assertThat(suite.filter("*-M*").rows()).hasSize(1);
        assertThat(suite.filter("*").rows()).hasSize(4);
        assertThat(suite.filter("{cpuid,dirty}*").rows()).hasSize(3);
        assertThat(suite.filter("p -s *").rows()).hasSize(1);
        assertThat(suite.filter("nothing").rows()).isEmpty();
    }

    @Test
    void the_committed_suite_and_its_expectations_fit_together() throws IOException {
        Selftests selftests = new Selftests(Path.of(System.getProperty("slate.root", "..")));
        Suite suite = Suite.read(selftests.suite());
        assertThat(suite.rows().stream().map(row -> row.program().name()).distinct())
                .hasSize(68);
        Expectations.read(selftests.expectations());
    }

    private static final String MACHINE = """
            machine box
                needs   disk
                runs    vmm -disk {disk}
                runs    -append 'a b'
                shows   up
            """;

    @Test
    void a_machine_is_defined_once_and_run_with_what_its_rows_add() throws IOException {
        Suite suite =
                read(MACHINE + "60s box\n90s long x3 tdp=off box -smp 2\n  shows 2 cpus\n  status 7\n60s box -x\n");
        Row plain = suite.rows().get(0);
        assertThat(plain.program())
                .isEqualTo(new Program(
                        "box",
                        List.of("vmm", "-disk", "{disk}", "-append", "a b"),
                        List.of("disk"),
                        List.of("up"),
                        0,
                        true));
        Row row = suite.rows().get(1);
        assertThat(row.name()).isEqualTo("x3 tdp=off box -smp 2");
        assertThat(row.times()).isEqualTo(3);
        assertThat(row.extended()).isTrue();
        assertThat(row.program().shows()).containsExactly("up", "2 cpus");
        assertThat(row.program().status()).isEqualTo(7);
        assertThat(row.arguments()).containsExactly("-smp", "2");
        assertThat(suite.rows().get(2).program()).isEqualTo(plain.program());
        assertThat(suite.needs()).containsExactly("disk");
        assertThat(suite.withoutExtended().rows()).extracting(Row::name).containsExactly("box", "box -x");
        assertThat(suite.filter("box").rows()).hasSize(3);
    }

    @Test
    void a_line_with_choices_is_a_row_of_each_way_to_choose() throws IOException {
        Suite suite =
                read(MACHINE + "9s long tdp={on,off} box -M {pc,q35},irqchip={on,off}{,x}\n shows more\n6s box\n");
        assertThat(suite.rows())
                .hasSize(17)
                .extracting(Row::name)
                .startsWith(
                        "tdp=on box -M pc,irqchip=on",
                        "tdp=on box -M pc,irqchip=onx",
                        "tdp=on box -M pc,irqchip=off",
                        "tdp=on box -M pc,irqchip=offx",
                        "tdp=on box -M q35,irqchip=on")
                .contains("tdp=off box -M pc,irqchip=on")
                .endsWith("tdp=off box -M q35,irqchip=offx", "box");
        assertThat(suite.rows().subList(0, 16)).allSatisfy(row -> {
            assertThat(row.program().shows()).containsExactly("up", "more");
            assertThat(row.extended()).isTrue();
        });
        assertThat(suite.rows().getLast().program().shows()).containsExactly("up");
        assertThat(suite.needs()).containsExactly("disk");
        assertThatThrownBy(() -> read(MACHINE + "60s box -{a,a}\n")).hasMessageContaining("there already");
    }

    @Test
    void what_is_said_of_a_machine_in_another_form_is_named_with_its_line() {
        for (String[] wrong : new String[][] {
            {"machine\n", "1", "machine NAME"},
            {"machine a b\n runs c\n", "1", "machine NAME"},
            {"machine a\n needs b\n60s a\n", "1", "a machine needs a line 'runs COMMAND'"},
            {"machine a\n runs b\nmachine a\n runs b\n", "3", "there already"},
            {"machine a\n runs {b}\n", "1", "has {b}, which it does not need"},
            {"machine a\n runs b\n ends never\n", "1", "needs a line 'shows TEXT'"},
            {"machine a\n runs b\n ends soon\n", "3", "ends never"},
            {"machine a\n runs b\n status 256\n", "3", "from 0 to 255"},
            {"machine a\n runs b\n status -1\n", "3", "from 0 to 255"},
            {"machine a\n runs b\n shows\n", "3", "says nothing"},
            {"machine a\n runs b\n loops 3\n", "3", "none of needs, runs, shows, status, ends"},
            {"machine a\n runs 'b\n", "2", "a quote is not closed"},
            {"machine a\n runs b\n60s c\n", "3", "no machine c is defined above"},
            {"machine a\n runs b\n60s a x|y\n", "3", "can't hold a |"},
            {"machine a\n runs b\n60s a\n60s a\n  shows x\n", "4", "there already"},
            {"machine a\n runs b\n60s long x2\n", "3", "a time limit and a command"},
            {"60s cpuid_test\n  shows x\n", "2", "only a machine and its rows"},
        }) {
            assertThatThrownBy(() -> read(wrong[0]))
                    .as(wrong[0])
                    .isInstanceOf(SuiteFormatException.class)
                    .hasMessageContaining("a.suite:" + wrong[1] + ": '")
                    .hasMessageContaining(wrong[2]);
        }
    }

    @Test
    void garbage_is_refused_with_a_line_or_read_and_never_fails_otherwise() {
        String[] pieces = {
            "machine ",
            "box",
            " ",
            "\n",
            "\n  ",
            "needs ",
            "runs ",
            "shows ",
            "status ",
            "ends never",
            "60s ",
            "long ",
            "x2 ",
            "{",
            "}",
            "'",
            "a=b ",
            "=",
            "|",
            "#",
            "\t",
            "0",
            "{disk}",
            "\u00e4",
            "*"
        };
        long seed = System.nanoTime();
        java.util.Random random = new java.util.Random(seed);
        for (int i = 0; i < 20_000; i++) {
            StringBuilder text = new StringBuilder();
            for (int j = random.nextInt(30); j >= 0; j--) {
                text.append(pieces[random.nextInt(pieces.length)]);
            }
            try {
                SuiteReader reader = new SuiteReader(Path.of("a.suite"));
                List<String> lines = text.toString().lines().toList();
                for (int line = 0; line < lines.size(); line++) {
                    reader.line(line + 1, lines.get(line));
                }
                reader.end().rows().forEach(Row::name);
            } catch (SuiteFormatException e) {
                assertThat(e).as("seed " + seed).hasMessageMatching("(?s).*a\\.suite:\\d+: '.+': .+");
            } catch (RuntimeException e) {
                throw new AssertionError("seed " + seed + ": " + text, e);
            }
        }
    }

    @Test
    void the_committed_machines_need_only_parts_that_have_a_recipe_and_all_are_expected_to_give_something()
            throws IOException {
        Machines machines = new Machines(Path.of(System.getProperty("slate.root", "..")));
        Suite suite = Suite.read(machines.suite());
        String recipes = Files.readString(machines.home().resolve("conformance/machines/part.sh"));
        for (String part : suite.needs()) {
            assertThat(recipes).containsPattern("(?m)^(.* \\| )?" + part + "( \\| .*)?\\)$");
        }
        assertThat(suite.withoutExtended().rows()).isNotEmpty();
        Expectations expectations = Expectations.read(machines.expectations());
        for (Row row : suite.rows()) {
            Result odd = new Result(row, Outcome.FAIL, "no machine gives this", Duration.ZERO, Counters.NONE);
            assertThat(expectations.compare(List.of(odd)))
                    .singleElement()
                    .extracting(Expectations.Difference::text)
                    .asString()
                    .doesNotContain("nothing was expected");
        }
    }
}
