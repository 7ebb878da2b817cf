package dev.slate.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What a C program sees under the shim: each function of src/test/native/client.c, hardy.c, c2.c and code.c in a process of its own. */
@Execution(ExecutionMode.CONCURRENT)
class ClientTest {
    private static final Path SOURCE = Path.of("src/test/native/client.c");
    private static final Path CODE = Path.of("src/test/native/code.c");
    private static final Map<String, String> QUIET = Map.of("SLATE_QUIET", "1");

    static Stream<Arguments> promises() throws Exception {
        List<Arguments> promises = new ArrayList<>();
        for (Path source : List.of(SOURCE, Path.of("src/test/native/hardy.c"), Path.of("src/test/native/c2.c"), CODE)) {
            Host.run(Map.of(), List.of(Host.compile(source).toString()))
                    .output()
                    .lines()
                    .forEach(name -> promises.add(Arguments.of(source, name)));
        }
        return promises.stream();
    }

    @ParameterizedTest
    @MethodSource("promises")
    void onSlate(Path source, String name) throws Exception {
        Host.Result result = Host.slate(QUIET, Host.compile(source), name);
        assumeTrue(result.status() != 77, result.output().strip());
        assertThat(result.status()).as(result.output()).isZero();
        assertThat(result.output()).doesNotContain("a bug of Slate's").doesNotContain("fatal error");
    }

    /** As under nohup, or below a shell that has set traps. */
    @Test
    void whatATestInheritsOfSignalsIsNotItsOwn() throws Exception {
        String ignoring = "trap '' HUP USR1 ALRM WINCH; exec \"$0\" \"$1\"";
        for (String name :
                List.of("actions_read_back_as_they_were_set", "the_vcpus_mask_lets_a_blocked_signal_interrupt")) {
            Host.Result result = Host.slate(
                    QUIET,
                    Path.of("sh"),
                    "-c",
                    ignoring,
                    Host.compile(SOURCE).toAbsolutePath().toString(),
                    name);
            assertThat(result.status()).as(result.output()).isZero();
        }
    }

    @Test
    void onlyWhereNoMemoryHoldsCodeALineSaysThatGuestCodeIsInterpreted() throws Exception {
        Path client = Host.compile(CODE);
        assertThat(Host.slate(QUIET, client, "a_hot_guest").output()).isEmpty();
        assertThat(Host.slate(QUIET, client, "no_file_holds_code").output()).isEmpty();
        assertThat(Host.slate(QUIET, client, "no_shared_memory_holds_code").output())
                .contains("gives no memory for machine code")
                .hasLineCount(1);
    }

    @Test
    void theFirstUseSaysThatThisIsSlate() throws Exception {
        Path client = Host.compile(SOURCE);
        assertThat(Host.slate(Map.of(), client, "the_run_area_is_one_for_all_mappings")
                        .output())
                .startsWith("slate: this is Slate, KVM in user space")
                .hasLineCount(1);
    }

    @Test
    void theJvmCallsLibcWhereTheClientHasFunctionsOfTheSameName() throws Exception {
        Host.Result result = Host.slate(QUIET, Host.compile(Path.of("src/test/native/own-memset.c")));
        assertThat(result.status()).as(result.output()).isZero();
        assertThat(result.output()).isEqualTo("small\n0\n");
    }

    @Test
    void theFolderOfStatisticsGoesWithTheProcess(@TempDir Path folder) throws Exception {
        Host.Result result = Host.slate(
                Map.of("SLATE_QUIET", "1", "SLATE_STATS_FOLDER", folder.toString()),
                Host.compile(SOURCE),
                "debugfs_shows_the_counters_of_the_moment");
        assertThat(result.status()).as(result.output()).isZero();
        assertThat(folder).isEmptyDirectory();
    }

    @Test
    void aKnobThatIsWrongEndsTheClientWithAMessage() throws Exception {
        Host.Result result = Host.slate(
                Map.of("SLATE_SET", "mmu.huge-pagse=on"), Host.compile(SOURCE), "the_run_area_is_one_for_all_mappings");
        assertThat(result.status()).isEqualTo(2);
        assertThat(result.output()).contains("mmu.huge-pagse").contains("mmu.huge-pages");
    }

    @Test
    void aKnobThatChangesNothingHereSaysSo() throws Exception {
        for (String vendor : new String[] {"intel", "amd"}) {
            Host.Result result = Host.slate(
                    Map.of("SLATE_SET", "nested=on\ncpu.vendor=" + vendor),
                    Host.compile(SOURCE),
                    "the_run_area_is_one_for_all_mappings");
            assertThat(result.status()).as(result.output()).isZero();
            assertThat(result.output().contains("add --set cpu.vendor=amd"))
                    .as(result.output())
                    .isEqualTo(vendor.equals("intel"));
        }
    }

    @Test
    void statisticsArePrintedAtTheEnd() throws Exception {
        Host.Result result = Host.slate(
                Map.of("SLATE_QUIET", "1", "SLATE_STATS", "1"),
                Host.compile(SOURCE),
                "the_run_area_is_one_for_all_mappings");
        assertThat(result.output()).contains("1 VM, 1 vCPU").containsPattern("vCPU io_exits +1\\b");
    }

    @Test
    void theCountersFileIsKeptUpToDate() throws Exception {
        Path file = Files.createTempFile("counters", ".bin");
        Files.delete(file);
        Host.slate(
                Map.of("SLATE_QUIET", "1", "SLATE_COUNTERS", file.toString()),
                Host.compile(SOURCE),
                "the_run_area_is_one_for_all_mappings");
        var words = java.nio.ByteBuffer.wrap(Files.readAllBytes(file))
                .order(java.nio.ByteOrder.LITTLE_ENDIAN)
                .asLongBuffer();
        Files.delete(file);
        assertThat(words.get(0)).as("ioctls").isBetween(8L, 20L);
        assertThat(words.get(1)).as("guest exits").isEqualTo(1);
        assertThat(words.get(2)).as("returns of KVM_RUN").isEqualTo(2);
        assertThat(words.get(3)).as("VMs").isEqualTo(1);
        assertThat(words.get(4)).as("vCPUs").isEqualTo(1);
    }
}
