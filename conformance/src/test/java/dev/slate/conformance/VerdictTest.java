package dev.slate.conformance;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

final class VerdictTest {
    private static final Counters SERVED = new Counters(12, 3, 2, 1, 1);
    private static final Row ROW = new Row("cpuid_test", List.of(), Duration.ofSeconds(9));

    private static Verdict judge(int status, Counters counters, String output) {
        return Verdict.of(new Verdict.Evidence(
                ROW, status, false, List.of(), output.lines().toList(), counters));
    }

    @Test
    void status_0_with_ioctls_served_is_a_pass() {
        assertThat(judge(0, SERVED, "All tests passed")).isEqualTo(new Verdict(Outcome.PASS, ""));
    }

    @Test
    void status_0_without_a_single_ioctl_is_a_failure_because_something_else_was_reached() {
        Verdict verdict = judge(0, Counters.NONE, "All tests passed");
        assertThat(verdict.outcome()).isEqualTo(Outcome.FAIL);
        assertThat(verdict.reason()).contains("served no ioctl");
    }

    @Test
    void status_4_is_a_skip_with_the_requirement_as_its_reason() {
        assertThat(judge(4, Counters.NONE, "noise\n1..0 # SKIP - Requirement not met: kvm_cpu_has(X86_FEATURE_VMX)\n"))
                .isEqualTo(new Verdict(Outcome.SKIP, "Requirement not met: kvm_cpu_has(X86_FEATURE_VMX)"));
    }

    @Test
    void a_skip_in_the_older_form_keeps_its_text() {
        assertThat(judge(4, SERVED, "/sys/kernel/mm/page_idle/bitmap not available, skipping test\n")
                        .reason())
                .isEqualTo("/sys/kernel/mm/page_idle/bitmap not available, skipping test");
    }

    @Test
    void an_assertion_that_fails_with_errno_EACCES_is_a_failure_although_the_status_is_that_of_a_skip() {
        Verdict verdict = judge(4, SERVED, """
                ==== Test Assertion Failure ====
                  lib/kvm_util.c:131: vm->fd >= 0
                  pid=311 tid=311 errno=13 - Permission denied
                     1\t0x0000000000402d2a: main at cpuid_test.c:190
                     2\t (inlined by) vm_open at kvm_util.c:131
                     3\t0x00007f1f2c046249: ?? ??:0
                  KVM_CREATE_VM failed, rc: -1 errno: 13
                1..0 # SKIP - Access denied - Exiting
                """);
        assertThat(verdict.outcome()).isEqualTo(Outcome.FAIL);
        assertThat(verdict.reason())
                .isEqualTo("lib/kvm_util.c:131: vm->fd >= 0 (errno 13): KVM_CREATE_VM failed, rc: -1 errno: 13");
    }

    @Test
    void an_assertion_without_a_message_is_named_by_its_place_and_expression() {
        assertThat(judge(254, SERVED, """
                ==== Test Assertion Failure ====
                  x86_64/state_test.c:12: a == b
                  pid=3 tid=3 errno=0 - Success
                  (stack trace empty)
                """).reason()).isEqualTo("x86_64/state_test.c:12: a == b (errno 0)");
    }

    @Test
    void a_program_that_a_signal_ends_is_named_with_the_signal_and_its_last_words() {
        assertThat(judge(128 + 11, SERVED, "started\n\n"))
                .isEqualTo(new Verdict(Outcome.FAIL, "killed by SIGSEGV, last output: started"));
        assertThat(judge(254, SERVED, "").reason()).isEqualTo("exit status 254");
    }

    @Test
    void a_time_out_is_a_failure_and_says_the_limit() {
        Verdict verdict = Verdict.of(new Verdict.Evidence(ROW, -1, true, List.of(), List.of("loop 4"), SERVED));
        assertThat(verdict).isEqualTo(new Verdict(Outcome.FAIL, "no result in 9 s, last output: loop 4"));
    }

    @Test
    void a_crash_of_the_JVM_is_a_failure_whatever_the_status() {
        String output = """
                #
                # A fatal error has been detected by the Java Runtime Environment:
                #
                #  SIGSEGV (0xb) at pc=0x00007f, pid=1, tid=2
                """;
        assertThat(judge(0, SERVED, output).reason()).startsWith("the JVM crashed: SIGSEGV (0xb)");
        assertThat(judge(0, SERVED, output).outcome()).isEqualTo(Outcome.FAIL);
    }

    @Test
    void what_slate_said_last_stands_beside_the_failure() {
        assertThat(judge(254, SERVED, "slate: unimplemented instruction vpaddd at rip 0x401000\nbye\n")
                        .reason())
                .isEqualTo("exit status 254, last output: bye"
                        + " [slate: unimplemented instruction vpaddd at rip 0x401000]");
    }

    @Test
    void a_reason_is_one_line() {
        assertThat(judge(1, SERVED, "a | b\tc").reason()).isEqualTo("exit status 1, last output: a | b c");
    }

    private static Verdict judgeMachine(int status, List<String> missing, Counters counters) {
        Program box = new Program("box", List.of("vmm"), List.of(), List.of("up", "down"), 7, true);
        Row row = new Row(List.of(), box, List.of(), Duration.ofSeconds(9), 1, false);
        return Verdict.of(new Verdict.Evidence(row, status, false, missing, List.of("[    1.2] panic\r"), counters));
    }

    @Test
    void a_machine_passes_with_its_status_all_its_lines_and_guest_exits() {
        assertThat(judgeMachine(7, List.of(), SERVED)).isEqualTo(new Verdict(Outcome.PASS, ""));
        assertThat(judgeMachine(0, List.of(), SERVED))
                .isEqualTo(new Verdict(Outcome.FAIL, "exit status 0, last output: [ 1.2] panic"));
        assertThat(judgeMachine(7, List.of("down"), SERVED))
                .isEqualTo(new Verdict(
                        Outcome.FAIL, "ended with its status, but 'down' was never shown, last output: [ 1.2] panic"));
        assertThat(judgeMachine(1, List.of("down"), SERVED).reason())
                .isEqualTo("exit status 1, 'down' was never shown, last output: [ 1.2] panic");
        assertThat(judgeMachine(7, List.of(), Counters.NONE).reason()).contains("served no ioctl");
        assertThat(judgeMachine(7, List.of(), new Counters(900, 0, 0, 1, 1)).reason())
                .contains("no guest of Slate's ran");
    }

    @Test
    void status_4_is_no_skip_of_a_machine() {
        assertThat(judgeMachine(4, List.of(), SERVED).outcome()).isEqualTo(Outcome.FAIL);
    }
}
