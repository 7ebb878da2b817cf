package dev.slate.sweep;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.lab.report.Machine;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SweepReportTest {
    private static final Machine MACHINE =
            new Machine("./slate sweep sweep.yaml", "a processor", "1.0 GiB", "Linux", "25", "2026-01-01");

    @TempDir
    private Path folder;

    /** The page of a file whose jobs all took a second, and failed where their command says so. */
    private String page(String yaml) throws IOException {
        return report(yaml).page(MACHINE, "sweep");
    }

    private SweepReport report(String yaml) throws IOException {
        Path file = folder.resolve("sweep.yaml");
        Files.writeString(file, yaml);
        List<Job> jobs = SweepFile.read(file, SweepFileTest.HOME, false).jobs();
        List<Map<String, Object>> results = new ArrayList<>();
        for (Job job : jobs) {
            Map<String, Object> result = new LinkedHashMap<>();
            result.put("job", job.id());
            result.put("row", job.row());
            result.put("result", job.title().contains("broken") ? "fail" : "pass");
            result.put("reason", job.title().contains("broken") ? "exit status 1" : "");
            result.put("seconds", 1.0);
            result.put("cpu_seconds", 0.5);
            results.add(result);
        }
        return new SweepReport(jobs, results);
    }

    @Test
    void twoCommandsOverOneVariableAreTwoLinesUnderEachKnob() throws IOException {
        String page = page("""
                knobs: {tdp: [on, off]}
                jobs:
                  - run: first {n}
                    with: {n: [1, 2]}
                  - run: second {n}
                    with: {n: [1, 2]}
                """);
        assertThat(page)
                .contains(
                        "seconds by n",
                        "tdp=on first {n}",
                        "tdp=off first {n}",
                        "tdp=on second {n}",
                        "tdp=off second {n}");
        assertThat(page.split("<circle", -1)).as("points").hasSize(1 + 2 * 8);
    }

    @Test
    void seedsArePlottedAsJobsAndNoListIsEmpty() throws IOException {
        String page = page("jobs: [{silicon: 1..4}]");
        assertThat(page).contains("Time of each job", "pass=4").doesNotContain("by seed", "<ul>");
    }

    @Test
    void whatFailedStandsBeforeThePlots() throws IOException {
        String page = page("jobs: [{run: fine}, {run: 'broken <&>'}]");
        assertThat(page.indexOf("<li>broken &lt;&amp;&gt; #1: fail, exit status 1</li>"))
                .isPositive()
                .isLessThan(page.indexOf("<svg"));
    }

    @Test
    void inMarkdownCombinationsStandSideBySide() throws IOException {
        String page = report("""
                knobs: {tdp: [on, off]}
                jobs:
                  - run: one | two
                  - run: broken
                    knobs: {tdp: [off]}
                """).markdown(MACHINE, "sweep");
        assertThat(page.lines())
                .contains(
                        "| job | tdp=on | tdp=off |",
                        "| --- | --- | --- |",
                        "| `one \\| two` | pass, 500 ms | pass, 500 ms |",
                        "| `broken` | - | fail, 500 ms |",
                        "- broken tdp=off #1: fail, exit status 1")
                .anyMatch(line -> line.contains("Jobs by result: fail=1, pass=2"));
    }
}
