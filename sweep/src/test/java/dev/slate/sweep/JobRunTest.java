package dev.slate.sweep;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class JobRunTest {
    @TempDir
    private Path folder;

    private static Job job(boolean timed, long seconds, String script) {
        return new Job(
                script,
                script,
                Map.of(),
                Map.of(),
                1,
                new ArrayList<>(List.of("sh", "-c", script)),
                seconds,
                timed,
                0,
                "",
                Map.of("n", "n=([0-9.]+)"));
    }

    private Map<String, Object> run(Job job) throws IOException, InterruptedException {
        return JobRun.run(job, folder.resolve("slate"), folder);
    }

    @Test
    void aJobsEndTimeAndMeasuresAreItsResult() throws Exception {
        Map<String, Object> result =
                run(job(false, 60, "echo n=1; echo n=2.5; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"));
        assertThat(result).containsEntry("result", "pass").containsEntry("measures", Map.of("n", 2.5));
        assertThat((Double) result.get("cpu_seconds")).isPositive();
        assertThat((Double) result.get("seconds")).isPositive();
        assertThat(run(job(false, 60, "echo broken >&2; exit 3")))
                .containsEntry("result", "fail")
                .containsEntry("reason", "exit status 3")
                .containsEntry("output", List.of("broken"));
        assertThat(Files.list(folder)).as("what jobs leave").hasSize(1); // the lock
    }

    @Test
    void whatNeverEndsIsKilledWithAllItStarted() throws Exception {
        Path pid = folder.resolve("pid");
        assertThat(run(job(false, 1, "sleep 1000 & echo $! >" + pid + "; while :; do :; done")))
                .containsEntry("result", "limit")
                .containsEntry("reason", "did not end in 1 s");
        ProcessHandle.of(Long.parseLong(Files.readString(pid).strip()))
                .ifPresent(child -> assertThat(child.onExit()
                                .orTimeout(20, java.util.concurrent.TimeUnit.SECONDS)
                                .join()
                                .isAlive())
                        .isFalse());
    }

    @Test
    void outputWithoutEndAndLinesWithoutEndCostNoMemory() throws Exception {
        Map<String, Object> result =
                run(job(false, 60, "yes | head -c 20000000; head -c 20000000 /dev/zero; echo; echo n=7; exit 1"));
        assertThat(result).containsEntry("measures", Map.of("n", 7.0));
        assertThat(result.get("output").toString()).hasSizeLessThan(10_000);
    }

    @Test
    void whileATimedJobRunsNothingElseDoes() throws Exception {
        Path log = folder.resolve("log");
        String noted = "echo begin >>" + log + "; sleep 0.1; echo end >>" + log;
        try (ExecutorService pool = Executors.newFixedThreadPool(6)) {
            List<Future<Map<String, Object>>> all = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                boolean timed = i % 2 == 0;
                all.add(pool.submit(() -> run(job(timed, 60, (timed ? noted.replace("begin", "alone") : noted)))));
            }
            for (Future<Map<String, Object>> one : all) {
                assertThat(one.get()).containsEntry("result", "pass");
            }
        }
        int running = 0;
        for (String line : Files.readAllLines(log)) {
            if (line.equals("alone")) {
                assertThat(running).isZero();
            }
            running += line.equals("end") ? -1 : 1;
        }
        List<String> lines = Files.readAllLines(log);
        for (int i = 0; i < lines.size(); i++) {
            if (lines.get(i).equals("alone")) {
                assertThat(lines.get(i + 1)).isEqualTo("end");
            }
        }
    }

    @Test
    void aShellsTimesAreRead() {
        assertThat(JobRun.cpu("0m0.250000s")).isEqualTo(0.25);
        assertThat(JobRun.cpu("2m1,500s")).isEqualTo(121.5);
    }

    @Test
    void aFolderThatCantBeDeletedMakesNoJobRunAgain() {
        JobRun.delete(Path.of("/proc/self/fdinfo"));
    }

    @Test
    void aWorkerWithoutDiskSaysWhatAndWhere() {
        assertThatThrownBy(() -> JobRun.run(job(false, 5, "true"), folder, Path.of("/proc/no/such")))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("can't write to /proc/no/such");
    }
}
