package dev.slate.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Every way to the door: each row of docs/clients.md is a function of src/test/native/door.c in a process of its own, or a test here. A
 * machine's own /dev/kvm is behind the fence, as for every client.
 */
class DoorTest {
    private static final Path SOURCE = Path.of("src/test/native/door.c");
    private static final Map<String, String> QUIET = Map.of("SLATE_QUIET", "1");
    private static final int SKIPPED = 77;

    static Stream<String> names() throws Exception {
        return Host.run(Map.of(), List.of(Host.compile(SOURCE).toString()))
                .output()
                .lines();
    }

    @ParameterizedTest
    @MethodSource("names")
    void onSlate(String name) throws Exception {
        holds(Host.slate(QUIET, Host.compile(SOURCE), name));
    }

    private static Host.Result holds(Host.Result result) {
        assumeTrue(result.status() != SKIPPED, result.output().strip());
        assertThat(result.status()).as(result.output()).isZero();
        assertThat(result.output()).doesNotContain("a bug of Slate's").doesNotContain("fatal error");
        return result;
    }

    @Test
    void theTableNamesEveryRowThatIsTested() throws Exception {
        TreeSet<String> tested = new TreeSet<>(names().toList());
        Stream.of(DoorTest.class.getDeclaredMethods())
                .filter(m -> m.isAnnotationPresent(Test.class) || m.isAnnotationPresent(ValueSource.class))
                .map(m -> m.getName())
                .filter(n -> !n.startsWith("theTable"))
                .forEach(tested::add);
        TreeSet<String> listed = new TreeSet<>();
        var row = Pattern.compile("^\\|.*\\| `(\\w+)` \\|$", Pattern.MULTILINE)
                .matcher(Files.readString(Path.of("../docs/clients.md")));
        while (row.find()) {
            if (!row.group(1).startsWith("Loaded")) {
                listed.add(row.group(1));
            }
        }
        assertThat(listed).isEqualTo(tested);
    }

    // ---- linking

    @Test
    void openedByALibraryThatBindsDeep() throws Exception {
        Path library = Host.built().resolve("libversion.so");
        Path source = Host.built().resolve("version.c");
        Files.writeString(source, """
                #include <fcntl.h>
                #include <linux/kvm.h>
                #include <sys/ioctl.h>
                int version(void) { return ioctl(open("/dev/kvm", O_RDWR), KVM_GET_API_VERSION, 0); }
                """);
        Path program = Host.compile(SOURCE);
        Host.Result built =
                Host.run(Map.of(), List.of("cc", "-shared", "-fPIC", "-o", library.toString(), source.toString()));
        assertThat(built.status()).as(built.output()).isZero();
        holds(Host.slate(QUIET, program, "opened_by_a_library_that_binds_deep", library.toString()));
    }

    @ParameterizedTest
    @ValueSource(strings = {"jemalloc", "tcmalloc_minimal", "tcmalloc", "mimalloc"})
    void anotherMalloc(String name) throws Exception {
        Host.Result found = Host.run(
                Map.of(),
                List.of("sh", "-c", "ldconfig -p | sed -n 's/.* => \\(.*lib" + name + "\\.so.*\\)/\\1/p' | head -n 1"));
        String library = found.output().strip();
        assumeTrue(!library.isEmpty(), "needs lib" + name + ".so");
        Path program = Host.compile(SOURCE);
        holds(run(List.of("env", "LD_PRELOAD=" + library, program.toString(), "many_threads_on_small_stacks")));
    }

    @ParameterizedTest
    @ValueSource(strings = {"address", "thread", "undefined"})
    void aSanitizer(String which) throws Exception {
        Path probe = Host.built().resolve("sanitizer-" + which);
        Host.Result can = Host.run(
                Map.of(),
                List.of(
                        "sh",
                        "-c",
                        "echo 'int main(void) { return 0; }' | cc -xc -fsanitize=" + which + " -o " + probe + " - && "
                                + probe));
        assumeTrue(can.status() == 0, "needs a compiler and a kernel with -fsanitize=" + which + ": " + can.output());
        Path program = Host.compile(SOURCE, "-" + which, List.of("cc", "-fsanitize=" + which));
        holds(Host.slate(QUIET, program, "a_guest_runs"));
    }

    @Test
    void theHeapIsAsItWas() throws Exception {
        holds(Host.slate(QUIET, Host.compile(SOURCE), "the_heap_is_as_it_was"));
        holds(Host.slate(
                Map.of("SLATE_QUIET", "1", "SLATE_SET", "tdp=off"), Host.compile(SOURCE), "the_heap_is_as_it_was"));
    }

    // ---- starting

    private static Host.Result run(List<String> command) throws Exception {
        return Host.slate(
                QUIET,
                Path.of(command.getFirst()),
                command.subList(1, command.size()).toArray(new String[0]));
    }

    private static void need(String program) throws Exception {
        assumeTrue(
                Host.run(Map.of(), List.of("sh", "-c", "command -v " + program)).status() == 0, "needs " + program);
    }

    @Test
    void startedByAShell() throws Exception {
        String program = Host.compile(SOURCE).toString();
        holds(run(List.of("sh", "-c", program + " a_guest_runs && " + program + " opened_by_fopen")));
    }

    @Test
    void startedWithoutEnvironment() throws Exception {
        holds(run(List.of("env", "-i", Host.compile(SOURCE).toString(), "a_guest_runs")));
    }

    @Test
    void startedInAUserNamespace() throws Exception {
        need("unshare");
        assumeTrue(Host.run(Map.of(), List.of("unshare", "-Ur", "true")).status() == 0, "needs user namespaces");
        holds(run(List.of("unshare", "-Ur", Host.compile(SOURCE).toString(), "a_guest_runs")));
    }

    private static void needBubblewrap() throws Exception {
        need("bwrap");
        assumeTrue(
                Host.run(Map.of(), List.of("bwrap", "--dev-bind", "/", "/", "true"))
                                .status()
                        == 0,
                "needs the right to have a sandbox");
    }

    @Test
    void startedByBubblewrap() throws Exception {
        needBubblewrap();
        String program = Host.compile(SOURCE).toString();
        holds(run(List.of("bwrap", "--dev-bind", "/", "/", program, "a_guest_runs")));
        holds(run(List.of(
                "bwrap",
                "--ro-bind",
                "/",
                "/",
                "--dev",
                "/dev",
                "--dev-bind",
                "/dev/kvm",
                "/dev/kvm",
                program,
                "a_guest_runs")));
    }

    @Test
    void startedWhereSlateIsNot(@TempDir Path empty) throws Exception {
        needBubblewrap();
        Path program = Host.compile(SOURCE);
        Host.Result result = run(List.of(
                "bwrap",
                "--ro-bind",
                "/",
                "/",
                "--bind",
                empty.toString(),
                Host.built().toString(),
                "--ro-bind",
                program.toString(),
                Host.built().resolve("door").toString(),
                program.toString(),
                "a_guest_runs"));
        assertThat(result.output()).contains("can't be read").contains("libslate.so");
        assertThat(result.status()).isNotZero();
    }

    @Test
    void aPythonClient() throws Exception {
        need("python3");
        Host.Result result = run(List.of("python3", "-c", """
                import ctypes, os
                libc = ctypes.CDLL("libc.so.6", use_errno=True)
                fd = libc.open(b"/dev/kvm", os.O_RDWR)
                print(libc.ioctl(fd, 0xAE00, 0), libc.ioctl(os.open("/dev/kvm", os.O_RDWR), 0xAE01, 0) >= 0)
                """));
        assertThat(result.output()).isEqualTo("12 True\n");
    }

    @Test
    void aJavaClientIsRefusedWithTheReason() throws Exception {
        Path source = Host.built().resolve("Ffm.java");
        Files.writeString(source, """
                import java.lang.foreign.*;

                public class Ffm {
                    public static void main(String[] arguments) throws Throwable {
                        var linker = Linker.nativeLinker();
                        var open = linker.downcallHandle(linker.defaultLookup().find("open").get(),
                                FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT),
                                Linker.Option.firstVariadicArg(2));
                        try (var arena = Arena.ofConfined()) {
                            System.out.println((int) open.invokeExact(arena.allocateFrom("/dev/kvm"), 2));
                        }
                    }
                }
                """);
        String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        Host.Result result = run(List.of(java, "--enable-native-access=ALL-UNNAMED", source.toString()));
        assertThat(result.output())
                .contains("a process has one JVM")
                .contains("Machine.java")
                .endsWith("-1\n");
    }

    // ---- the JVM

    @Test
    void theUsersJavaOptionsAreNotForSlate() throws Exception {
        Map<String, String> options = Map.of(
                "SLATE_QUIET",
                "1",
                "JAVA_TOOL_OPTIONS",
                "-XX:Nonsense",
                "_JAVA_OPTIONS",
                "-Xmx1k",
                "JDK_JAVA_OPTIONS",
                "-XX:No");
        assertThat(holds(Host.slate(options, Host.compile(SOURCE), "a_guest_runs"))
                        .output())
                .isEmpty();
    }

    @Test
    void aJvmThatCannotStartGivesAnErrnoAndALine() throws Exception {
        Path program = Host.compile(SOURCE);
        Host.Result none = holds(
                run(List.of("env", "SLATE_JAVA_HOME=/nonexistent", program.toString(), "a_jvm_that_cannot_start")));
        assertThat(none.output()).startsWith("slate: can't load the JVM").hasLineCount(1);
        Host.Result small =
                holds(run(List.of("sh", "-c", "ulimit -v 600000; exec " + program + " a_jvm_that_cannot_start")));
        assertThat(small.output()).startsWith("slate: the JVM did not start").hasLineCount(1);
    }

    // ---- filters

    @Test
    void aFilterThatKillsTheThread() throws Exception {
        Host.Result result = Host.slate(QUIET, Host.compile(SOURCE), "a_filter_that_kills_the_thread");
        assertThat(result.output())
                .contains("forbids futex")
                .contains("turned")
                .contains("the last thread of the program was killed");
        assertThat(result.status()).isEqualTo(128 + 31);
    }

    // ---- the end

    @ParameterizedTest
    @ValueSource(strings = {"_exit", "quick_exit", "exit_group", "SIGTERM", "abort", "exec", "return", "closed"})
    void statisticsSurvive(String end) throws Exception {
        Host.Result result =
                Host.slate(Map.of("SLATE_QUIET", "1", "SLATE_STATS", "1"), Host.compile(SOURCE), "ends_by", end);
        assertThat(result.output()).contains("statistics of 1 VM, 1 vCPU");
        assertThat(result.status()).isEqualTo("SIGTERM".equals(end) ? 128 + 15 : "abort".equals(end) ? 128 + 6 : 0);
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

    // ---- proof

    @Test
    void noOpenOfTheDeviceComesToTheKernel() throws Exception {
        need("strace");
        Path program = Host.compile(SOURCE);
        Path log = Host.built().resolve("door.strace");
        Host.Result can = Host.run(Map.of(), List.of("strace", "-o", log.toString(), "true"));
        assumeTrue(can.status() == 0, "needs the right to trace: " + can.output());
        holds(run(List.of(
                "strace",
                "-f",
                "-e",
                "trace=open,openat,openat2,creat",
                "-o",
                log.toString(),
                program.toString(),
                "opened_by_every_name")));
        assertThat(Files.readString(log)).contains("/etc/ld.so.cache");
        assertThat(Files.readString(log)
                        .lines()
                        .filter(l -> l.contains("kvm\"")
                                && !l.contains("O_PATH")
                                && !l.contains("ENO")
                                && !l.contains("EEXIST")
                                && !l.contains("ELOOP")))
                .isEmpty();
    }
}
