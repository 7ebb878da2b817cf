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
        assertThat(suite.rows().stream().map(Row::program).distinct()).hasSize(68);
        Expectations.read(selftests.expectations());
    }
}
