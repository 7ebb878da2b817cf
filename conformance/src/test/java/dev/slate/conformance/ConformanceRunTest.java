package dev.slate.conformance;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Runs small shell programs in place of the selftests. They count ioctls as Slate's shim does: into SLATE_COUNTERS. */
final class ConformanceRunTest {
    /** Counts 5 ioctls and 258 exits. */
    private static final String SERVED =
            "printf '\\005\\0\\0\\0\\0\\0\\0\\0\\002\\001' | dd of=$SLATE_COUNTERS conv=notrunc 2>/dev/null\n";

    /** Seconds; for programs that end by themselves, however slow the machine is. */
    private static final int LIMIT = 600;

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    @TempDir
    private Path folder;

    private Path script(String name, String script) throws IOException {
        Path file = folder.resolve(name);
        Files.writeString(file, "#!/bin/sh\n" + script);
        assertThat(file.toFile().setExecutable(true)).isTrue();
        return file;
    }

    private Row program(String name, int limitSeconds, String script) throws IOException {
        script(name, script);
        return new Row(name, List.of(), Duration.ofSeconds(limitSeconds));
    }

    private RowRunner runner() throws IOException {
        Path work = folder.resolve("work");
        Files.createDirectories(work);
        // What stands for slate run prints the options that it is given.
        Path run = script("slate-run", "while [ \"$1\" != -- ]; do echo \"$1\"; shift; done; shift; exec \"$@\"");
        return new RowRunner(List.of(run.toString()), folder, Map.of(), work);
    }

    private Board run(int repeat, int jobs, Row... rows) throws IOException, InterruptedException {
        return run(repeat, jobs, result -> false, rows);
    }

    private Board run(int repeat, int jobs, Predicate<Result> again, Row... rows)
            throws IOException, InterruptedException {
        PrintStream stream = new PrintStream(out, true, StandardCharsets.UTF_8);
        return new ConformanceRun(runner(), stream, false, 0).run(new Suite(List.of(rows)), repeat, jobs, again);
    }

    @Test
    void a_rows_knobs_are_set() throws Exception {
        Row row = program("knobs", LIMIT, SERVED);
        RowRunner runner = runner();
        Row turned = new Row(List.of("tdp=off", "a=b"), "knobs", List.of(), row.limit());
        assertThat(runner.run(turned).outcome()).isEqualTo(Outcome.PASS);
        assertThat(Files.readAllLines(runner.log(turned))).startsWith("--set", "tdp=off", "--set", "a=b");
    }

    @Test
    void rows_longer_than_a_files_name_have_logs_of_their_own() throws Exception {
        program("long", LIMIT, SERVED + "echo \"$2\"");
        RowRunner runner = runner();
        for (String last : List.of("one", "two")) {
            Row row = new Row("long", List.of("x".repeat(300), last), Duration.ofSeconds(LIMIT));
            assertThat(runner.run(row).outcome()).isEqualTo(Outcome.PASS);
        }
        for (String last : List.of("one", "two")) {
            Row row = new Row("long", List.of("x".repeat(300), last), Duration.ofSeconds(LIMIT));
            assertThat(Files.readAllLines(runner.log(row))).containsExactly(last);
        }
    }

    @Test
    void a_result_that_is_worth_a_second_try_gets_one_and_no_more() throws Exception {
        Path tries = folder.resolve("tries");
        String script = SERVED + "echo x >>" + tries + "; [ $(wc -l <" + tries + ") = 2 ]";
        Board board = run(1, 1, result -> result.outcome() == Outcome.FAIL, program("second", LIMIT, script));
        assertThat(board.results().getFirst().outcome()).isEqualTo(Outcome.PASS);
        Files.writeString(tries, "x\nx\nx\n");
        board = run(1, 1, result -> result.outcome() == Outcome.FAIL, program("never", LIMIT, script));
        assertThat(board.results().getFirst().outcome()).isEqualTo(Outcome.FAIL);
        assertThat(Files.readAllLines(tries)).hasSize(5);
    }

    /** Runs a program that never ends under a limit of a second, and of twice as long until it had the time to print this. */
    private Result afterItsOutput(String name, String text) throws IOException, InterruptedException {
        for (limit = 1; ; limit *= 2) {
            Row row = new Row(name, List.of(), Duration.ofSeconds(limit));
            RowRunner runner = runner();
            Result result = runner.run(row);
            if (Files.readString(runner.log(row)).contains(text)) {
                return result;
            }
        }
    }

    private int limit;

    /** Waits until a killed process is gone, or is at least only an entry that nobody has reaped yet. */
    private static void assertGone(Path pidFile) throws IOException, InterruptedException {
        Path stat = Path.of("/proc", Files.readString(pidFile).strip(), "stat");
        for (; ; ) {
            try {
                if (Files.readString(stat).contains(") Z ")) {
                    return;
                }
            } catch (IOException gone) {
                return;
            }
            Thread.sleep(10);
        }
    }

    @Test
    void each_program_is_judged_with_what_slate_served_for_it() throws Exception {
        Board board = run(
                1,
                1,
                program("good", LIMIT, SERVED + "echo done"),
                program("elsewhere", LIMIT, "echo done"),
                program("skipping", LIMIT, "echo '1..0 # SKIP - no VMX'; exit 4"),
                program("failing", LIMIT, SERVED + "echo sorry >&2; exit 254"),
                program("signalled", LIMIT, SERVED + "kill -ABRT $$"));
        assertThat(board.results())
                .extracting(result -> result.outcome() + " " + result.reason())
                .containsExactly(
                        "PASS ",
                        "FAIL passed, but Slate served no ioctl: it reached something else",
                        "SKIP no VMX",
                        "FAIL exit status 254, last output: sorry",
                        "FAIL killed by SIGABRT");
        assertThat(board.results().get(0).counters()).isEqualTo(new Counters(5, 258, 0, 0, 0));
        assertThat(board.summary()).isEqualTo("5 rows: 1 passed, 1 skipped, 3 failed");
        assertThat(out.toString(StandardCharsets.UTF_8)).containsPattern("(?m)^pass    good +[0-9.]+ s +5 +258$");
    }

    @Test
    void a_program_that_hangs_is_killed_with_all_its_children_at_its_limit() throws Exception {
        Path child = folder.resolve("child");
        program("hanging", 1, "sleep 6000 & echo $! > " + child + "\necho waiting; wait");
        Result result = afterItsOutput("hanging", "waiting");
        assertThat(result.outcome()).isEqualTo(Outcome.FAIL);
        assertThat(result.reason()).isEqualTo("no result in " + limit + " s, last output: waiting");
        assertGone(child);
    }

    @Test
    void a_child_that_a_finished_program_leaves_behind_is_gone_too() throws Exception {
        Path child = folder.resolve("child");
        Row row = program("leaving", LIMIT, SERVED + "sleep 6000 & echo $! > " + child);
        assertThat(runner().run(row).outcome()).isEqualTo(Outcome.PASS);
        assertGone(child);
    }

    @Test
    void a_program_that_prints_without_end_costs_a_bounded_log() throws Exception {
        program("chatty", 1, "echo first; yes");
        assertThat(afterItsOutput("chatty", "bytes left out").reason())
                .isEqualTo("no result in " + limit + " s, last output: y");
        Path log = runner().log(new Row("chatty", List.of(), Duration.ofSeconds(limit)));
        assertThat(Files.size(log)).isLessThan(140_000);
        assertThat(log).content().startsWith("first\ny\n").contains("bytes left out");
    }

    @Test
    void a_program_that_was_not_built_is_a_failure() throws Exception {
        Result result = runner().run(new Row("missing", List.of(), Duration.ofSeconds(1)));
        assertThat(result.outcome()).isEqualTo(Outcome.FAIL);
        assertThat(result.reason()).contains("not built");
    }

    @Test
    void a_row_that_fails_once_in_several_runs_is_a_failure_and_says_so() throws Exception {
        Path mark = folder.resolve("mark");
        Row row = program("flaky", LIMIT, SERVED + "[ -e " + mark + " ] || { touch " + mark + "; exit 0; }\nexit 7");
        Board board = run(3, 1, row);
        assertThat(board.results().get(0).outcome()).isEqualTo(Outcome.FAIL);
        assertThat(board.results().get(0).reason()).isEqualTo("not always: exit status 7");
        assertThat(board.results().get(0).counters().ioctls()).isEqualTo(15);
    }

    @Test
    void rows_stay_in_the_order_of_the_suite_when_several_run_at_once() throws Exception {
        Board board = run(1, 2, program("slow", LIMIT, SERVED + "sleep 0.4"), program("fast", LIMIT, SERVED));
        assertThat(board.results()).extracting(result -> result.row().name()).containsExactly("slow", "fast");
    }

    @Test
    void the_board_reads_back_from_json_and_stands_in_a_page() throws Exception {
        Board board = run(1, 1, program("good", LIMIT, SERVED), program("bad", LIMIT, SERVED + "echo 'a < b'; exit 3"));
        JsonNode json = JsonMapper.builder()
                .build()
                .readTree(board.json("./slate conformance selftests", Map.of("kernel", "6.1"), List.of()));
        assertThat(json.get("pass").intValue()).isEqualTo(1);
        assertThat(json.get("rows").get(0).get("exits").longValue()).isEqualTo(258);
        assertThat(json.get("rows").get(1).get("reason").stringValue()).isEqualTo("exit status 3, last output: a < b");

        assertThat(board.markdown("# A heading", "./slate conformance selftests", Map.of("kernel", "6.1")))
                .contains("./slate conformance selftests")
                .contains("2 rows: 1 passed, 0 skipped, 1 failed.")
                .contains("- kernel: 6.1")
                .containsPattern("\\| `good` +\\| pass +\\|")
                .contains("a &lt; b");
    }

    private Row machine(String name, int limitSeconds, boolean ends, List<String> shows, String script)
            throws IOException {
        script(name, script);
        Program program = new Program(name, List.of("{" + name + "}", "a b"), List.of(name), shows, 0, ends);
        return new Row(List.of(), program, List.of(), Duration.ofSeconds(limitSeconds), 1, false);
    }

    @Test
    void a_machine_is_run_with_its_parts_and_its_words() throws Exception {
        Row row = machine("box", LIMIT, true, List.of("got a b."), SERVED + "echo \"got $1.\"");
        assertThat(runner().run(row))
                .extracting(Result::outcome, Result::reason)
                .containsExactly(Outcome.PASS, "");
    }

    @Test
    void a_machine_of_which_a_part_cannot_be_had_is_skipped_with_the_reason() throws Exception {
        Row row = machine("box", LIMIT, true, List.of(), SERVED);
        RowRunner runner = new RowRunner(List.of(), folder, Map.of("box", "it is\nsold out"), folder);
        assertThat(runner.run(row))
                .extracting(Result::outcome, Result::reason)
                .containsExactly(Outcome.SKIP, "needs box: it is sold out");
    }

    @Test
    void a_machine_that_never_ends_is_over_when_all_was_shown() throws Exception {
        Path pid = folder.resolve("pid");
        Row row = machine(
                "box",
                LIMIT,
                false,
                List.of("login:", "up"),
                SERVED + "echo $$ >" + pid + "; echo up; printf login:; sleep 6000");
        assertThat(runner().run(row))
                .extracting(Result::outcome, Result::reason)
                .containsExactly(Outcome.PASS, "");
        assertGone(pid);
    }

    @Test
    void a_machine_that_should_not_end_and_does_so_too_early_is_a_failure() throws Exception {
        Row row = machine("box", LIMIT, false, List.of("up", "login:"), SERVED + "echo up; exit 3");
        assertThat(runner().run(row).reason()).isEqualTo("exit status 3, 'login:' was never shown, last output: up");
    }

    @Test
    void a_machine_that_never_shows_what_it_should_is_killed_at_its_limit_and_says_what_was_missing() throws Exception {
        machine("box", 1, true, List.of(), SERVED + "echo up; sleep 6000");
        for (int seconds = 1; ; seconds *= 2) {
            Program program = new Program("box", List.of("{box}"), List.of("box"), List.of("up", "login:"), 0, true);
            Row row = new Row(List.of(), program, List.of(), Duration.ofSeconds(seconds), 1, false);
            Result result = runner().run(row);
            assertThat(result.outcome()).isEqualTo(Outcome.FAIL);
            if (!result.reason().contains("'up'")) { // it had the time to say that
                assertThat(result.reason())
                        .isEqualTo("no result in " + seconds + " s, 'login:' was never shown, last output: up");
                return;
            }
        }
    }

    @Test
    void a_daemon_that_a_machine_leaves_behind_is_gone_too() throws Exception {
        Path daemon = folder.resolve("daemon");
        Row row = machine(
                "box",
                LIMIT,
                true,
                List.of(),
                SERVED + "setsid sh -c 'echo $$ >" + daemon + "; exec sleep 6000' &\n" + "until [ -s " + daemon
                        + " ]; do sleep 0.01; done");
        assertThat(runner().run(row).outcome()).isEqualTo(Outcome.PASS);
        assertGone(daemon);
    }

    @Test
    void a_row_that_must_pass_several_times_runs_so_often() throws Exception {
        Path runs = folder.resolve("runs");
        Row once = machine("box", LIMIT, true, List.of(), SERVED + "echo x >>" + runs);
        Row thrice = new Row(List.of(), once.program(), List.of(), once.limit(), 3, false);
        Board board = run(2, 1, thrice);
        assertThat(board.results().getFirst().row().name()).isEqualTo("x3 box");
        assertThat(Files.readAllLines(runs)).hasSize(6);
        assertThat(board.results().getFirst().counters().ioctls()).isEqualTo(30);
    }
}
