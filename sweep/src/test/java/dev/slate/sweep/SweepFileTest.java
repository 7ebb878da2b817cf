package dev.slate.sweep;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SweepFileTest {
    static final Path HOME = Path.of(System.getProperty("slate.root", ".."));

    @TempDir
    private Path folder;

    private List<Job> jobs(String text) throws IOException {
        Path file = folder.resolve("sweep.yaml");
        Files.writeString(file, text);
        return SweepFile.read(file, HOME, false).jobs();
    }

    @Test
    void aMatrixIsEveryCombinationOfKnobsVariablesAndRepeats() throws IOException {
        List<Job> jobs = jobs("""
                repeats: 2
                limit: 3m
                knobs:
                  tdp: [on, off]
                  cpu.translator: [on, off]
                jobs:
                  - run: ./client -v {vcpus}
                    with: {vcpus: [1, 2, 4]}
                    timed: true
                """);
        assertThat(jobs).hasSize(2 * 2 * 2 * 3);
        assertThat(jobs.stream().map(Job::id).distinct()).hasSize(24);
        assertThat(jobs.getFirst().id()).isEqualTo("./client -v 1 tdp=on cpu.translator=on #1");
        assertThat(jobs.getLast().command())
                .containsExactly(
                        "{slate}",
                        "run",
                        "--quiet",
                        "--set",
                        "tdp=off",
                        "--set",
                        "cpu.translator=off",
                        "--",
                        "./client",
                        "-v",
                        "4");
        assertThat(jobs).allSatisfy(job -> {
            assertThat(job.timed()).isTrue();
            assertThat(job.seconds()).isEqualTo(180);
        });
    }

    @Test
    void rowsOfTheBoardAreJobsButNotUnderAKnobThatTheyContradict() throws IOException {
        List<Job> jobs = jobs("""
                knobs: {tdp: [on, off]}
                jobs:
                  - selftests: 'set_sregs_test'
                """);
        // The board's own row of it under tdp=off contradicts the one and is the other.
        assertThat(jobs)
                .extracting(Job::row)
                .containsExactlyInAnyOrder("set_sregs_test tdp=on", "set_sregs_test tdp=off");
    }

    @Test
    void theExampleOfABoardIsOfRowsThatAreThere() throws IOException {
        List<Job> jobs =
                SweepFile.read(HOME.resolve("examples/board.yaml"), HOME, false).jobs();
        assertThat(jobs).hasSize(26 * 4); // state_test has a row in nested virtualization, too
    }

    @Test
    void theExampleOfTheWholeBoardHasEachRowUnderEveryCombination() throws IOException {
        SweepFile file = SweepFile.read(HOME.resolve("examples/whole-board.yaml"), HOME, false);
        List<Job> jobs = file.jobs();
        Map<Map<String, String>, Long> byKnobs =
                jobs.stream().collect(Collectors.groupingBy(Job::knobs, Collectors.counting()));
        assertThat(byKnobs).hasSize(4);
        assertThat(byKnobs.values()).allSatisfy(count -> assertThat(count).isGreaterThan(80));
    }

    @Test
    void ofABoardOnlyWhatItsRowsNeedIsMadeReady() throws IOException {
        Path file = folder.resolve("sweep.yaml");
        Files.writeString(file, "jobs: [{machines: 'microvm /bin/uname*'}, {machines: 'ipxe'}]");
        assertThat(SweepFile.read(file, HOME, false).boards().values())
                .singleElement()
                .satisfies(suite -> assertThat(suite.needs()).containsExactlyInAnyOrder("msb", "rootfs", "qemu"));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '"',
            value = {
                "jobs: [{run: x}], knob: 1 | sweep.yaml:1: knob: is not known here; known are repeats, limit, knobs, jobs",
                "jobs: [{run: x, sleep: 1}] | sweep.yaml:1: sleep: is not known here; known are run, with",
                "jobs: [{walk: x}] | each entry of jobs has one of run, selftests",
                "jobs: [{run: x, lab: y}] | each entry of jobs has one of",
                "jobs: [] | has no jobs",
                "repeats: 3 | has no jobs",
                "jobs: [{run: x}, {run: x}] | `x` is there twice",
                "jobs: [{run: x}], jobs: [{run: x}] | jobs: is there twice",
                "jobs: [{run: x}], knobs: {tpd: on} | sweep.yaml:1: tpd: ",
                "jobs: [{run: x}], knobs: {tdp: maybe} | sweep.yaml:1: tdp: ",
                "jobs: [{run: x}], repeats: many | repeats: many is not a number from 1 to 100000",
                "jobs: [{run: x}], repeats: -1 | repeats: -1 is not a number",
                "jobs: [{run: x}], limit: 10 | limit: 10 is no time, such as 90s",
                "jobs: [{run: x}], limit: 0s | needs some time",
                "jobs: [{run: x, with: {n: [1]}}] | {n} does not stand in the command",
                "jobs: [{run: 'x {n}', with: {n: []}}] | n: the list is empty",
                "jobs: [{run: '  '}] | the command is empty",
                "jobs: [{run: x, measure: {ns: '(['}}] | ns: ([ is no regular expression",
                "jobs: [{run: x, measure: {ns: 'a'}}] | ns: a has no group",
                "jobs: [{selftests: 'no_such_*'}] | no row of the board matches 'no_such_*'; `slate conformance selftests --list`",
                "jobs: [{selftests: '[x'}] | selftests: [x is no pattern: ",
                "jobs: [{lab: nothing}] | there is no experiment nothing, only ",
                "jobs: [{lab: exit-latency, knobs: {tdp: on}}] | knobs: is not known here",
                "jobs: [{silicon: a..b}] | a..b is neither a seed nor seeds",
                "jobs: [{silicon: 9..1}] | the last seed lies before the first",
                "jobs: [{silicon: 1..1000000}] | makes 1,000,000 jobs",
                "jobs: [{run: x}], repeats: 100000, knobs: {tdp: [on, off]} | makes 200,000 jobs",
                "jobs: {run: [} | is no YAML",
                "jobs: &a [*a] | jobs: takes names with values",
            })
    void whatIsWrongIsSaidWithItsLine(String text, String message) {
        assertThatThrownBy(() -> jobs("{" + text + "}"))
                .isInstanceOf(SweepException.class)
                .hasMessageContaining("sweep.yaml")
                .hasMessageContaining(message.strip());
    }

    @Test
    void aMatrixOfAMillionJobsIsRefusedBeforeItIsMade() {
        StringBuilder numbers = new StringBuilder("0");
        for (int i = 1; i < 1000; i++) {
            numbers.append(", ").append(i);
        }
        String text = "jobs:\n  - run: x {a} {b}\n    with:\n      a: [" + numbers + "]\n      b: [" + numbers + "]\n";
        assertThatThrownBy(() -> jobs(text))
                .isInstanceOf(SweepException.class)
                .hasMessageContaining("sweep.yaml:4: with: has more than 100,000 combinations");
    }

    @Test
    void aliasesThatGrowAndNestingWithoutEndAreRefused() {
        String laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
        for (char name = 'b'; name < 'm'; name++) {
            laughs += name + ": &" + name + " [" + ("*" + (char) (name - 1) + ", ").repeat(9) + "*" + (char) (name - 1)
                    + "]\n";
        }
        String all = laughs;
        assertThatThrownBy(() -> jobs(all)).isInstanceOf(SweepException.class);
        assertThatThrownBy(() -> jobs("jobs: " + "[".repeat(100_000))).isInstanceOf(SweepException.class);
    }
}
