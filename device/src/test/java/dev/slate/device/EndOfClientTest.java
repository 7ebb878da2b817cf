package dev.slate.device;

import static dev.slate.device.DoorTest.SOURCE;
import static dev.slate.device.DoorTest.holds;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What was asked for is kept whichever way a client ends: rows of docs/clients.md, as {@link DoorTest}'s. */
@Execution(ExecutionMode.CONCURRENT)
class EndOfClientTest {
    @ParameterizedTest
    @ValueSource(strings = {"_exit", "quick_exit", "exit_group", "SIGTERM", "abort", "exec", "return", "closed"})
    void statisticsSurvive(String end) throws Exception {
        Host.Result result =
                Host.slate(Map.of("SLATE_QUIET", "1", "SLATE_STATS", "1"), Host.compile(SOURCE), "ends_by", end);
        assertThat(result.output()).contains("statistics of 1 VM, 1 vCPU");
        assertThat(result.status()).isEqualTo("SIGTERM".equals(end) ? 128 + 15 : "abort".equals(end) ? 128 + 6 : 0);
    }

    @ParameterizedTest
    @ValueSource(strings = {"_exit", "exit_group", "SIGTERM"})
    void countsSurvive(String end, @TempDir Path folder) throws Exception {
        ByteArrayOutputStream plan = new ByteArrayOutputStream();
        try (GZIPOutputStream zip = new GZIPOutputStream(plan)) {
            zip.write(("type=64 thing\nat=0 rax 0 1000 - start\noutput=" + folder.resolve("thing.heat") + "\n")
                    .getBytes(StandardCharsets.UTF_8));
        }
        Map<String, String> variables =
                Map.of("SLATE_QUIET", "1", "SLATE_HEAT", Base64.getEncoder().encodeToString(plan.toByteArray()));
        assertThat(Host.slate(variables, Host.compile(SOURCE), "ends_by", end).output())
                .contains("slate: heat: no thing was seen");
    }

    @Test
    void nobodyReadsStandardError() throws Exception {
        holds(Host.slate(
                Map.of("SLATE_QUIET", "1", "SLATE_STATS", "1"), Host.compile(SOURCE), "nobody_reads_standard_error"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"_exit", "SIGTERM"})
    void recordingsSurvive(String end, @TempDir Path folder) throws Exception {
        Path program = Host.compile(SOURCE);
        Path file = folder.resolve("run.jfr");
        Host.slate(Map.of("SLATE_QUIET", "1", "SLATE_JFR", file.toString()), program, "ends_by", end);
        assertThat(file).isNotEmptyFile();
    }

    @Test
    void severalClientsRecordToFilesOfTheirOwn(@TempDir Path folder) throws Exception {
        String program = Host.compile(SOURCE).toString();
        Path file = folder.resolve("run.jfr");
        List<String> command = new ArrayList<>(List.of("-c", program + " a_guest_runs; " + program + " a_guest_runs"));
        holds(Host.slate(
                Map.of("SLATE_QUIET", "1", "SLATE_JFR", file.toString()),
                Path.of("sh"),
                command.toArray(new String[0])));
        try (Stream<Path> files = Files.list(folder)) {
            assertThat(files.map(f -> f.getFileName().toString())).hasSize(2).contains("run.jfr");
        }
    }
}
