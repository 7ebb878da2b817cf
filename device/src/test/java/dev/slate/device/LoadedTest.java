package dev.slate.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Clients that no library can be preloaded into: Slate's loader brings them in and catches their system calls. */
@Execution(ExecutionMode.CONCURRENT)
class LoadedTest {
    private static final Path KERNEL = Path.of("src/test/native/loaded.c");
    private static final Path HELLO = Path.of("../examples/hello-kvm.c");
    private static final Path DOOR = Path.of("src/test/native/door.c");
    private static final Map<String, String> QUIET = Map.of("SLATE_QUIET", "1");

    /** As where the kernel does not offer FSGSBASE: FS is exchanged by system calls. */
    private static final Map<String, String> BY_CALLS = Map.of("SLATE_QUIET", "1", "SLATE_NO_FSGSBASE", "1");

    /** How a program can be linked. */
    enum Linking {
        STATIC("-static"),
        STATIC_PIE("-static-pie"),
        DYNAMIC("-pie"),
        MUSL("-static"),
        MUSL_DYNAMIC("-pie");

        private final String option;

        Linking(String option) {
            this.option = option;
        }

        Path build(Path source) throws Exception {
            if (this == MUSL || this == MUSL_DYNAMIC) {
                needs("musl-gcc --version", "musl-gcc", "apt-get install -y musl-tools");
                return Host.compile(
                        source,
                        "-" + name(),
                        List.of(
                                "musl-gcc",
                                option,
                                "-idirafter",
                                kernelHeaders().toString()));
            }
            if (this != DYNAMIC) {
                needs(
                        "printf 'int main(void){return 0;}' | cc " + option + " -xc -o /dev/null -",
                        "a C library to link statically with",
                        "apt-get install -y libc6-dev");
            }
            return Host.compile(source, "-" + name(), List.of("cc", option));
        }
    }

    /** The kernel's headers without libc's beside them, for musl's compiler. */
    private static synchronized Path kernelHeaders() throws IOException {
        Path folder = Files.createDirectories(Host.built().resolve("kernel-headers"));
        for (String name : List.of("linux", "asm", "asm-generic")) {
            Path link = folder.resolve(name);
            Path there = Path.of("/usr/include", name);
            Path debians = Path.of("/usr/include/x86_64-linux-gnu", name);
            if (!Files.exists(link)) {
                Files.createSymbolicLink(link, Files.exists(there) ? there : debians);
            }
        }
        return folder;
    }

    private static void needs(String probe, String what, String how) throws Exception {
        assumeTrue(Host.run(Map.of(), List.of("sh", "-c", probe)).status() == 0, "needs " + what + ": " + how);
    }

    @BeforeAll
    static void theMachineCanLoad() throws Exception {
        Host.needLoader();
    }

    static Stream<Arguments> promises() throws Exception {
        List<String> names = names().toList();
        return Stream.of(Linking.values())
                .filter(l -> l != Linking.MUSL_DYNAMIC)
                .flatMap(l -> names.stream().map(n -> Arguments.of(l, n)));
    }

    static Stream<String> names() throws Exception {
        return Host.run(Map.of(), List.of(Linking.DYNAMIC.build(KERNEL).toString()))
                .output()
                .lines();
    }

    @ParameterizedTest
    @MethodSource("promises")
    void aProgramSeesTheKernelAsEver(Linking linking, String name) throws Exception {
        seesTheKernelAsEver(QUIET, linking, name);
    }

    /** Of a machine that has FSGSBASE; on others, all tests here show it. */
    @ParameterizedTest
    @MethodSource("names")
    void aProgramSeesTheKernelAsEverWhereFsIsExchangedByCalls(String name) throws Exception {
        needsFsgsbase();
        seesTheKernelAsEver(BY_CALLS, Linking.STATIC, name);
    }

    @Test
    void signalsComeThroughAStormOfExitsWhereFsIsExchangedByCalls() throws Exception {
        needsFsgsbase();
        Path client = Linking.STATIC.build(Path.of("src/test/native/client.c"));
        Host.Result result = Host.loaded(BY_CALLS, List.of(), client, "signals_come_through_a_storm_of_exits");
        assertThat(result.status()).as(result.output()).isZero();
    }

    private static void needsFsgsbase() throws Exception {
        Host.Result vector = Host.run(Map.of("LD_SHOW_AUXV", "1"), List.of("/bin/true"));
        boolean offered = vector.output().lines().anyMatch(l -> l.matches("AT_HWCAP2: *0x[0-9a-f]*[2367abef]"));
        assumeTrue(offered, "needs a kernel that offers FSGSBASE (Linux 5.9 on a processor that has it)");
    }

    private static void seesTheKernelAsEver(Map<String, String> how, Linking linking, String name) throws Exception {
        Path program = linking.build(KERNEL);
        Host.Result without = Host.run(QUIET, List.of(program.toString(), name));
        assumeTrue(without.status() != 77, without.output().strip());
        assertThat(without.status()).as("without Slate: " + without.output()).isZero();
        Host.Result result = Host.loaded(how, List.of(), program, name);
        assertThat(result.status()).as(result.output()).isZero();
        assertThat(result.output()).isEqualTo(without.output());
    }

    /** The client's own filter lets pass what the loader needs of the kernel, and a line says what that is. */
    @ParameterizedTest
    @ValueSource(strings = {"a_filter_that_kills_the_process", "a_thread_ends_below_a_filter"})
    void aFilterThatForbidsWhatTheLoaderNeedsDoesNotEndTheClient(String name) throws Exception {
        for (Map<String, String> how : List.of(QUIET, BY_CALLS)) {
            Host.Result result = Host.loaded(how, List.of(), Linking.STATIC.build(DOOR), name);
            assertThat(result.status()).as(result.output()).isZero();
            assertThat(result.output()).contains("rt_sigreturn, prctl").contains(how == BY_CALLS ? ", arch_prctl" : "");
        }
    }

    @Test
    void aStrictModeOfSeccompThatWouldEndTheClientIsRefused() throws Exception {
        Path client = Host.compile("strict", """
                #include <errno.h>
                #include <sys/prctl.h>
                int main(void) {
                    return prctl(PR_SET_SECCOMP, 1) == -1 && errno == EINVAL ? 0 : 1;
                }
                """);
        Host.Result result = Host.loaded(BY_CALLS, List.of(), client);
        assertThat(result.status()).as(result.output()).isZero();
        assertThat(result.output()).contains("seccomp's strict mode").hasLineCount(1);
    }

    @ParameterizedTest
    @MethodSource("dev.slate.device.ClientTest#promises")
    void aStaticClientIsServedAsAPreloadedOne(Path source, String name) throws Exception {
        Host.Result result = Host.loaded(QUIET, List.of(), Linking.STATIC.build(source), name);
        assumeTrue(result.status() != 77, result.output().strip());
        assertThat(result.status()).as(result.output()).isZero();
        assertThat(result.output()).doesNotContain("a bug of Slate's").doesNotContain("fatal error");
    }

    @ParameterizedTest
    @EnumSource
    void aGuestRunsHoweverItsClientIsLinked(Linking linking) throws Exception {
        Host.Result result = Host.loaded(QUIET, List.of(), linking.build(HELLO));
        assertThat(result.status()).as(result.output()).isZero();
        assertThat(result.output()).contains("The guest counted 78498 primes");
    }

    /** The kernel's own list of files that were opened: calls that user dispatch caught are not on it. */
    @Test
    void noOpenOfTheDeviceReachesTheKernel(@TempDir Path folder) throws Exception {
        needs("strace -o /dev/null true", "strace, and to be allowed to trace", "apt-get install -y strace");
        Path log = folder.resolve("calls");
        List<String> strace = List.of("strace", "-f", "-o", log.toString(), "-e", "trace=open,openat,openat2,ioctl");
        Host.Result result = Host.loaded(QUIET, strace, Linking.STATIC.build(HELLO));
        assertThat(result.output()).contains("The guest counted 78498 primes");
        String calls = Files.readString(log, java.nio.charset.StandardCharsets.ISO_8859_1);
        assertThat(calls)
                .contains("openat")
                .doesNotContain("/dev/kvm")
                .doesNotContain("KVM_")
                .doesNotContain("0xae");
    }

    @Test
    void programsThatAClientExecutesStayOnSlate() throws Exception {
        Path hello = Linking.STATIC.build(HELLO);
        Path dynamic = Linking.DYNAMIC.build(HELLO);
        Path script = Host.built().resolve("executes.sh");
        Files.writeString(script, "env -i " + hello + "\nenv -i " + dynamic + "\n");
        Path busybox = Path.of("/bin/busybox");
        assumeTrue(Files.exists(busybox), "needs a shell that is linked statically: apt-get install -y busybox-static");
        assertThat(ran(Host.loaded(QUIET, List.of(), busybox, "sh", script.toString())))
                .isEqualTo(2);
        assertThat(ran(Host.slate(QUIET, Path.of("/bin/sh"), script.toString())))
                .as("by a shell that has the library preloaded")
                .isEqualTo(2);
    }

    private static int ran(Host.Result result) {
        return result.output().split("The guest counted 78498 primes").length - 1;
    }

    @Test
    void aGoClientRunsOnItsOwnThreadsStacksAndSignals() throws Exception {
        assertThat(Host.loaded(QUIET, List.of(), goVmm()).output()).isEqualTo("""
                        recovered: runtime error: invalid memory address or nil pointer dereference
                        a child
                        [3000 3000 3000 3000] true
                        """);
    }

    private static Path goVmm() throws Exception {
        needs("go version", "go", "apt-get install -y golang-go");
        Path program = Host.built().resolve("vmm-go");
        Map<String, String> environment = Map.of(
                "CGO_ENABLED",
                "0",
                "HOME",
                Host.built().toString(),
                "GOCACHE",
                Host.built().resolve("go-cache").toString(),
                "GO111MODULE",
                "off");
        Host.Result built =
                Host.run(environment, List.of("go", "build", "-o", program.toString(), "src/test/native/vmm.go"));
        assertThat(built.status()).as(built.output()).isZero();
        return program;
    }

    @Test
    void aRustClientThatIsLinkedStaticallyRuns() throws Exception {
        needs("rustc --version", "rustc", "apt-get install -y rustc");
        Path program = Host.built().resolve("vmm-rust");
        Host.Result built = Host.run(
                Map.of(),
                List.of(
                        "rustc",
                        "-O",
                        "-C",
                        "target-feature=+crt-static",
                        "-o",
                        program.toString(),
                        "src/test/native/vmm.rs"));
        assertThat(built.status()).as(built.output()).isZero();
        assertThat(Host.loaded(QUIET, List.of(), program).output()).isEqualTo("RS\n");
    }

    @Test
    void aRustClientOnMuslRuns() throws Exception {
        needs("rustc --version", "rustc", "apt-get install -y rustc");
        needs("musl-gcc --version", "musl-gcc", "apt-get install -y musl-tools");
        Path library = Host.built().resolve("libvmm-musl.a");
        Path program = Host.built().resolve("vmm-musl");
        List<List<String>> steps = List.of(
                List.of(
                        "rustc",
                        "-O",
                        "--crate-type=staticlib",
                        "-C",
                        "panic=abort",
                        "-o",
                        library.toString(),
                        "src/test/native/vmm-musl.rs"),
                List.of("musl-gcc", "-static", "-o", program.toString(), library.toString()));
        for (List<String> step : steps) {
            Host.Result built = Host.run(Map.of(), step);
            assertThat(built.status()).as(built.output()).isZero();
        }
        assertThat(Host.loaded(QUIET, List.of(), program).output()).isEqualTo("M");
    }

    @Test
    void aProgramThatIsNoneIsRefusedWithTheReason() throws Exception {
        Path text = Host.built().resolve("no-program");
        Files.writeString(text, "neither\n");
        Host.Result result = Host.loaded(Map.of(), List.of(), text);
        assertThat(result.status()).isEqualTo(126);
        assertThat(result.output())
                .startsWith("slate: ")
                .contains(text.toString())
                .hasLineCount(1);
    }
}
