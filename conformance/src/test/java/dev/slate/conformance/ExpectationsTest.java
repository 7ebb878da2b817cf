package dev.slate.conformance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class ExpectationsTest {
    private static final Row CPUID = row("cpuid_test");
    private static final Row VMX = row("vmx_msrs_test");

    @TempDir
    private Path folder;

    private Path file;

    @BeforeEach
    void name_the_file() {
        file = folder.resolve("expected");
    }

    private static Row row(String name) {
        return new Row(name, List.of(), Duration.ofSeconds(1));
    }

    private static Result result(Row row, Outcome outcome, String reason) {
        return new Result(row, outcome, reason, Duration.ZERO, Counters.NONE);
    }

    private Expectations read(String text) throws IOException {
        Files.writeString(file, text);
        return Expectations.read(file);
    }

    @Test
    void results_that_are_as_expected_differ_in_nothing() throws IOException {
        Expectations expectations = read("# c\npass | cpuid_test\nskip | vmx_msrs_test | no VMX\n");
        assertThat(expectations.compare(List.of(result(CPUID, Outcome.PASS, ""), result(VMX, Outcome.SKIP, "no VMX"))))
                .isEmpty();
    }

    @Test
    void a_pass_where_a_failure_was_expected_is_a_difference_too() throws IOException {
        Expectations expectations = read("fail | cpuid_test | leaf 7\n");
        assertThat(expectations.compare(List.of(result(CPUID, Outcome.PASS, ""))))
                .singleElement()
                .extracting(Expectations.Difference::text)
                .isEqualTo("expected fail (leaf 7), got pass");
    }

    @Test
    void another_reason_is_a_difference() throws IOException {
        Expectations expectations = read("skip | vmx_msrs_test | no VMX\n");
        assertThat(expectations.compare(List.of(result(VMX, Outcome.SKIP, "no quirks"))))
                .singleElement()
                .extracting(Expectations.Difference::text)
                .asString()
                .contains("'no quirks'")
                .contains("'no VMX'");
    }

    @Test
    void addresses_times_and_large_numbers_in_a_reason_may_vary_but_small_numbers_may_not() throws IOException {
        Expectations expectations =
                read("fail | cpuid_test | a.c:12: at 0x7fe1 after 1.50 s, pid=3 (errno 0) page 123456\n");
        assertThat(expectations.compare(List.of(
                        result(CPUID, Outcome.FAIL, "a.c:12: at 0x01 after 22.75 s, pid=98 (errno 22) page 7654321"))))
                .isEmpty();
        assertThat(expectations.compare(List.of(
                        result(CPUID, Outcome.FAIL, "a.c:13: at 0x7fe1 after 1.50 s, pid=3 (errno 0) page 123456"))))
                .hasSize(1);
    }

    @Test
    void a_row_of_which_nothing_is_expected_is_a_difference() throws IOException {
        assertThat(Expectations.read(file).compare(List.of(result(CPUID, Outcome.PASS, ""))))
                .singleElement()
                .extracting(Expectations.Difference::text)
                .asString()
                .startsWith("nothing was expected of it yet");
    }

    @Test
    void accepting_keeps_the_rows_that_were_not_run_and_writes_what_reads_back() throws IOException {
        Expectations expectations = read("pass | cpuid_test\npass | gone_test\nfail | vmx_msrs_test | old\n");
        expectations
                .accept(List.of(result(VMX, Outcome.SKIP, "no VMX || no EPT")))
                .write(file, new Suite(List.of(VMX, CPUID)), "slate conformance selftests");
        assertThat(file).content().endsWith("skip | vmx_msrs_test | no VMX || no EPT\npass | cpuid_test\n");
        assertThat(Expectations.read(file)
                        .compare(List.of(
                                result(CPUID, Outcome.PASS, ""), result(VMX, Outcome.SKIP, "no VMX || no EPT"))))
                .isEmpty();
    }

    @Test
    void what_some_hosts_make_of_a_row_is_no_difference_and_is_kept() throws IOException {
        String text = "pass | cpuid_test\nor fail | cpuid_test | no such clock\n";
        Expectations expectations = read(text);
        assertThat(expectations.compare(List.of(result(CPUID, Outcome.PASS, ""))))
                .isEmpty();
        List<Result> failed = List.of(result(CPUID, Outcome.FAIL, "no such clock"));
        assertThat(expectations.compare(failed)).isEmpty();
        assertThat(expectations.compare(List.of(result(CPUID, Outcome.FAIL, "another"))))
                .hasSize(1);
        expectations.accept(failed).write(file, new Suite(List.of(CPUID)), "slate conformance selftests");
        assertThat(file).content().endsWith(text);
    }

    @Test
    void a_line_of_another_form_is_named_with_its_number() {
        assertThatThrownBy(() -> read("pass | a\nmaybe | b\n"))
                .hasMessageContaining("expected:2")
                .hasMessageContaining("maybe");
        assertThatThrownBy(() -> read("pass\n")).hasMessageContaining("expected:1");
        assertThatThrownBy(() -> read("skip | a\n")).hasMessageContaining("needs its reason");
        assertThatThrownBy(() -> read("pass | a\npass | a\n")).hasMessageContaining("expected:2");
        assertThatThrownBy(() -> read("or pass | a\n")).hasMessageContaining("'or' follows");
    }
}
