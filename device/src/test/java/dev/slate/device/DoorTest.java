package dev.slate.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Every way to the door: each row of docs/clients.md is a function of one of the SOURCES in a process of its own, or a test here or in
 * {@link EndOfClientTest}. A machine's own /dev/kvm is behind the fence, as for every client.
 */
@Execution(ExecutionMode.CONCURRENT)
class DoorTest {
    static final Path SOURCE = Path.of("src/test/native/door.c");
    private static final Path LIMITS = Path.of("src/test/native/limits.c");
    private static final Path MEMORY = Path.of("src/test/native/memory.c");
    private static final List<Path> SOURCES = List.of(SOURCE, LIMITS, MEMORY);
    private static final Map<String, String> QUIET = Map.of("SLATE_QUIET", "1");
    private static final int SKIPPED = 77;

    /** Their opens come to the kernel, which has no file of Slate's to give. */
    private static final Set<String> PAST_LIBC = Set.of("opened_by_instruction", "opened_by_io_uring");

    static Stream<Arguments> rows() throws Exception {
        List<Arguments> rows = new ArrayList<>();
        for (Path source : SOURCES) {
            Host.run(Map.of(), List.of(Host.compile(source).toString()))
                    .output()
                    .lines()
                    .forEach(name -> rows.add(Arguments.of(source, name)));
        }
        return rows.stream();
    }

    @ParameterizedTest
    @MethodSource("rows")
    void onSlate(Path source, String name) throws Exception {
        holds(Host.slate(QUIET, Host.compile(source), name));
    }

    static Host.Result holds(Host.Result result) {
        assumeTrue(result.status() != SKIPPED, result.output().strip());
        assertThat(result.status()).as(result.output()).isZero();
        assertThat(result.output()).doesNotContain("a bug of Slate's").doesNotContain("fatal error");
        return result;
    }

    @Test
    void theTableNamesEveryRowThatIsTested() throws Exception {
        TreeSet<String> tested =
                new TreeSet<>(rows().map(r -> r.get()[1].toString()).toList());
        Stream.of(DoorTest.class, EndOfClientTest.class)
                .flatMap(c -> Stream.of(c.getDeclaredMethods()))
                .filter(m -> m.isAnnotationPresent(Test.class) || m.isAnnotationPresent(ParameterizedTest.class))
                .map(m -> m.getName())
                .filter(n -> !n.startsWith("theTable") && !n.equals("onSlate"))
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
    @CsvSource({
        "jemalloc, libjemalloc2",
        "tcmalloc_minimal, libtcmalloc-minimal4",
        "tcmalloc, libgoogle-perftools4",
        "mimalloc, libmimalloc2.0"
    })
    void anotherMalloc(String name, String debian) throws Exception {
        Host.Result found = Host.run(
                Map.of(),
                List.of("sh", "-c", "ldconfig -p | sed -n 's/.* => \\(.*lib" + name + "\\.so.*\\)/\\1/p' | head -n 1"));
        String library = found.output().strip();
        assumeTrue(!library.isEmpty(), "needs lib" + name + ".so: apt-get install -y " + debian);
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
    void aLargeBlockOfThreadLocalStorage() throws Exception {
        holds(Host.slate(QUIET, Host.compile(Path.of("src/test/native/large-tls.c"))));
    }

    @Test
    void theHeapIsAsItWas() throws Exception {
        holds(Host.slate(QUIET, Host.compile(MEMORY), "the_heap_is_as_it_was"));
        holds(Host.slate(
                Map.of("SLATE_QUIET", "1", "SLATE_SET", "tdp=off"), Host.compile(MEMORY), "the_heap_is_as_it_was"));
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

    @ParameterizedTest
    @ValueSource(
            strings = {
                "timeout 100",
                "nohup",
                "nice",
                "setsid -w",
                "stdbuf -oL",
                "setarch -R",
                "taskset 1",
                "prlimit --nofile=64",
                "flock /dev/null",
                "setpriv --no-new-privs",
                "setpriv --reuid=65534 --clear-groups",
                "unshare -m",
                "unshare -p -f",
                "xargs -a /dev/null",
                "fakeroot",
                "busybox timeout 100",
                "busybox setsid",
                "chrt -o 0",
                "ionice",
                "start-stop-daemon --start --pidfile /no/such/file --startas"
            })
    void startedByAWrapper(String wrapper) throws Exception {
        List<String> command = List.of(wrapper.split(" "));
        need(command.getFirst());
        List<String> probe = new ArrayList<>(command);
        probe.add("/bin/true");
        Host.Result probed = Host.run(Map.of(), probe);
        assumeTrue(
                probed.status() == 0,
                "needs " + wrapper + ", which this machine refuses or lacks: "
                        + probed.output().strip());
        List<String> client = new ArrayList<>(command);
        client.add(Host.compile(SOURCE).toString());
        if (wrapper.startsWith("start-stop-daemon")) {
            client.add("--");
        }
        client.add("a_guest_runs");
        holds(run(client));
    }

    /** The dynamic linker preloads nothing where the file's rights count: such a program is told, and has no KVM. */
    @Test
    void aSetuidProgram(@TempDir Path folder) throws Exception {
        need("setpriv");
        assumeTrue(
                Files.getAttribute(Path.of("/proc/self"), "unix:uid").equals(0), "needs root, to make such programs");
        Path program = Host.compile(SOURCE);
        String nobodys = folder.resolve("nobodys").toString();
        String roots = folder.resolve("roots").toString();
        Host.Result made = Host.run(
                Map.of(),
                List.of(
                        "sh",
                        "-c",
                        "chmod 755 " + folder + " && install -o 65534 -m 4755 " + program + " " + nobodys
                                + " && install -m 4755 " + program + " " + roots));
        assertThat(made.status()).as(made.output()).isZero();
        List<String> nobody = List.of("setpriv", "--reuid=65534", "--clear-groups");
        holds(run(Stream.concat(nobody.stream(), Stream.of(nobodys, "a_guest_runs"))
                .toList()));
        Host.Result byRoot = run(List.of("env", nobodys, "a_guest_runs"));
        assumeTrue(byRoot.status() != 0, "needs a folder for temporary files that is not mounted nosuid");
        assertThat(byRoot.output()).contains("nobodys is setuid or setgid");
        Host.Result byNobody = run(
                Stream.concat(nobody.stream(), Stream.of(roots, "a_guest_runs")).toList());
        assertThat(byNobody.output()).contains("roots is setuid or setgid");
        assertThat(byNobody.status()).isNotZero();
    }

    @Test
    void startedOnATerminalOfItsOwn() throws Exception {
        need("script");
        holds(run(List.of("script", "-qec", Host.compile(SOURCE) + " a_guest_runs", "/dev/null")));
    }

    @Test
    void startedByAStaticShell() throws Exception {
        need("busybox");
        Host.needLoader();
        String program = Host.compile(SOURCE).toString();
        // By a program that the shim is in: it has the loader bring the static one in.
        holds(run(List.of(
                "env", "busybox", "sh", "-c", program + " a_guest_runs && env -i " + program + " a_guest_runs")));
    }

    @ParameterizedTest
    @ValueSource(strings = {"-rdynamic", "-static"})
    void executedByADescriptor(String linking) throws Exception {
        if (linking.equals("-static")) {
            Host.needLoader();
        }
        Path program = Host.compile(SOURCE, linking, List.of("cc", linking));
        holds(Host.slate(QUIET, Host.compile(SOURCE), "executed_by_descriptor", program.toString()));
    }

    /** A firmware that says S to a port and then ends QEMU: a whole start and end in a second. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "", "-sandbox on", "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
                        "-daemonize",
                "-runas nobody", "-runas nobody -sandbox on", "-daemonize -runas nobody -sandbox on",
                        "-chroot ROOT -runas nobody"
            })
    void qemu(String options, @TempDir Path folder) throws Exception {
        need("qemu-system-x86_64");
        Path log = folder.resolve("log");
        byte[] firmware = new byte[65536];
        byte[] code = {
            (byte) 0xb0,
            'S',
            (byte) 0xe6,
            (byte) 0xe9,
            (byte) 0xb0,
            21,
            (byte) 0xe6,
            (byte) 0xf4,
            (byte) 0xf4,
            (byte) 0xeb,
            (byte) 0xfd
        };
        System.arraycopy(code, 0, firmware, 0xff00, code.length);
        byte[] jump = {(byte) 0xe9, 0x0d, (byte) 0xff}; // from FFF0h to FF00h
        System.arraycopy(jump, 0, firmware, 0xfff0, jump.length);
        Path bios = Files.write(folder.resolve("bios"), firmware);
        List<String> machine = new ArrayList<>(List.of(
                "-nodefaults",
                "-display",
                "none",
                "-m",
                "16",
                "-bios",
                bios.toString(),
                "-debugcon",
                "file:" + log,
                "-device",
                "isa-debug-exit,iobase=0xf4"));
        if (!options.isEmpty()) {
            Path root = Files.createDirectories(folder.resolve("root"));
            machine.addAll(List.of(options.replace("ROOT", root.toString()).split(" ")));
        }
        List<String> native_ = new ArrayList<>(List.of("qemu-system-x86_64", "-accel", "tcg"));
        native_.addAll(machine);
        int expected = options.contains("-daemonize") ? 0 : 21 << 1 | 1;
        assumeTrue(
                Host.run(Map.of(), native_).status() == expected,
                "needs a QEMU and the right to run it with " + options);
        awaitText(log);
        Files.delete(log);
        List<String> command = new ArrayList<>(List.of("qemu-system-x86_64", "-accel", "kvm"));
        command.addAll(machine);
        Host.Result result = run(command);
        assertThat(result.status()).as(result.output()).isEqualTo(expected);
        assertThat(result.output()).doesNotContain("bug of Slate's");
        awaitText(log);
        assertThat(log).hasContent("S");
    }

    /** A daemon goes on after its starter has ended. */
    private static void awaitText(Path log) throws Exception {
        while (!Files.exists(log) || Files.size(log) == 0) {
            Thread.sleep(20);
        }
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

    @ParameterizedTest
    @ValueSource(strings = {"fork", "spawn", "forkserver"})
    void aPythonClientOfSeveralProcesses(String start) throws Exception {
        need("python3");
        Path source = Host.built().resolve("several.py");
        Files.writeString(source, """
                import fcntl, multiprocessing, os, sys

                def machine(i):
                    vm = fcntl.ioctl(os.open("/dev/kvm", os.O_RDWR), 0xAE01, 0)
                    return fcntl.ioctl(vm, 0xAE03, 3)

                if __name__ == "__main__":
                    multiprocessing.set_start_method(sys.argv[1])
                    with multiprocessing.Pool(3) as pool:
                        print(sum(pool.map(machine, range(6))), machine(0))
                """);
        assertThat(run(List.of("python3", source.toString(), start)).output()).isEqualTo("6 1\n");
    }

    @Test
    void aPerlClient() throws Exception {
        need("perl");
        Host.Result result = run(List.of("perl", "-MFcntl", "-e", """
                sysopen(my $kvm, "/dev/kvm", O_RDWR) or die $!;
                my $vm = ioctl($kvm, 0xAE01, 0) or die $!;
                print ioctl($kvm, 0xAE00, 0) + 0, $vm > 2 ? " a VM\n" : "\n";
                """));
        assertThat(result.output()).isEqualTo("12 a VM\n");
    }

    @Test
    void aNodeProgramThatStartsClients() throws Exception {
        need("node");
        Host.Result result = run(List.of("node", "-e", """
                const fs = require("fs"), { spawnSync } = require("child_process");
                const kvm = fs.fstatSync(fs.openSync("/dev/kvm", "r+"));
                console.log(kvm.rdev === 0xae8, spawnSync(process.argv[1], ["a_guest_runs"]).status);
                """, Host.compile(SOURCE).toString()));
        assertThat(result.output()).isEqualTo("true 0\n");
    }

    @Test
    void aCgoClient() throws Exception {
        need("go");
        // Its system calls past libc are Slate's through the loader alone.
        Host.needLoader();
        Path source = Host.built().resolve("both.go");
        Files.writeString(source, """
                package main

                // #include <fcntl.h>
                // #include <sys/ioctl.h>
                // static int version(void) { return ioctl(open("/dev/kvm", O_RDWR), 0xAE00, 0); }
                import "C"
                import ("fmt"; "os"; "syscall")

                func main() {
                	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
                	vm, _, errno := syscall.Syscall(16, kvm.Fd(), 0xAE01, 0)
                	done := make(chan C.int)
                	for i := 0; i < 50; i++ { go func() { done <- C.version() }() }
                	sum := 0
                	for i := 0; i < 50; i++ { sum += int(<-done) }
                	fmt.Println(err, int(vm) > 2, int(errno), sum)
                }
                """);
        Path program = Host.built().resolve("both");
        Host.Result built = Host.run(
                Map.of(
                        "CGO_ENABLED",
                        "1",
                        "HOME",
                        Host.built().toString(),
                        "GOCACHE",
                        Host.built().resolve("go-cache").toString(),
                        "GO111MODULE",
                        "off"),
                List.of("go", "build", "-o", program.toString(), source.toString()));
        assumeTrue(built.status() == 0, "needs go with cgo: " + built.output());
        assertThat(run(List.of("sh", "-c", program.toString())).output()).isEqualTo("<nil> true 0 600\n");
    }

    @Test
    void aCppClientWhoseRequestsAreTooLargeIsToldSo() throws Exception {
        need("c++");
        Path source = Host.built().resolve("cpuid.cc");
        Files.writeString(source, """
                #include <fcntl.h>
                #include <linux/kvm.h>
                #include <stdio.h>
                #include <sys/ioctl.h>
                int main() {
                    static char room[8192];
                    int kvm = open("/dev/kvm", O_RDWR);
                    int size = 0;
                    for (int i = 0; i < 2; i++) size = ioctl(kvm, _IOC(_IOC_READ | _IOC_WRITE, 0xAE, 5, 12), room);
                    perror("KVM_GET_SUPPORTED_CPUID");
                    return size != -1;
                }
                """);
        Path program = Host.built().resolve("cpuid");
        Host.Result built = Host.run(Map.of(), List.of("c++", "-o", program.toString(), source.toString()));
        assertThat(built.status()).as(built.output()).isZero();
        // The last line is the C library's, in the user's language.
        assertThat(holds(Host.slate(Map.of("SLATE_QUIET", "1", "LC_ALL", "C"), program))
                        .output())
                .contains("0xc00cae05 is KVM_GET_SUPPORTED_CPUID with a structure of 12 bytes where KVM's has 8")
                .contains("0xc008ae05")
                .endsWith("KVM_GET_SUPPORTED_CPUID: Invalid argument\n")
                .hasLineCount(2);
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void anotherLibraryIsPreloaded(boolean first) throws Exception {
        Path source = Host.built().resolve("another.c");
        Files.writeString(source, """
                #define _GNU_SOURCE
                #include <dlfcn.h>
                #include <stdarg.h>
                #include <stddef.h>
                #define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
                int open(const char *path, int flags, ...) {
                    va_list l;
                    va_start(l, flags);
                    int mode = va_arg(l, int);
                    va_end(l);
                    return NEXT(open)(path, flags, mode);
                }
                int ioctl(int fd, unsigned long request, ...) {
                    va_list l;
                    va_start(l, request);
                    long argument = va_arg(l, long);
                    va_end(l);
                    return NEXT(ioctl)(fd, request, argument);
                }
                void *mmap(void *at, size_t n, int p, int f, int fd, long o) { return NEXT(mmap)(at, n, p, f, fd, o); }
                int close(int fd) { return NEXT(close)(fd); }
                """);
        Path library = Host.built().resolve("libanother.so");
        Host.Result built = Host.run(
                Map.of(), List.of("cc", "-w", "-shared", "-fPIC", "-o", library.toString(), source.toString()));
        assertThat(built.status()).as(built.output()).isZero();
        String shim = Host.built().resolve("libslate.so").toString();
        String both = first ? library + ":" + shim : shim + ":" + library;
        holds(run(List.of("env", "LD_PRELOAD=" + both, Host.compile(SOURCE).toString(), "a_guest_runs")));
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
        Path home = Files.createTempDirectory(Host.built(), "home");
        Files.createDirectory(home.resolve("device"));
        Files.writeString(
                home.resolve("device/jvm.options"), Files.readString(Path.of("jvm.options")) + "-XX:+NoSuchOption\n");
        Host.Result wrong =
                holds(run(List.of("env", "SLATE_HOME=" + home, program.toString(), "a_jvm_that_cannot_start")));
        assertThat(wrong.output())
                .startsWith("slate: the JVM did not start: Unrecognized VM option 'NoSuchOption'")
                .hasLineCount(1);
    }

    /** A start in every address space from where nothing fits to where all does; likewise of data. */
    @ParameterizedTest
    @CsvSource({"-v, 150000, 2150000, 125000", "-d, 35000, 310000, 25000"})
    void startsOrSaysWhyNot(String limit, int from, int to, int step) throws Exception {
        Path program = Host.compile(LIMITS);
        int ran = 0;
        for (int kilobytes = from; kilobytes <= to; kilobytes += step) {
            Host.Result result = holds(run(List.of(
                    "sh", "-c", "ulimit " + limit + " " + kilobytes + "; exec " + program + " it_starts_or_does_not")));
            boolean runs = result.output().equals("runs\n");
            ran += runs ? 1 : 0;
            if (!runs) {
                assertThat(result.output())
                        .as("ulimit %s %d", limit, kilobytes)
                        .startsWith("slate: ")
                        .endsWith("\ndoes not\n")
                        .hasLineCount(2);
            }
        }
        assertThat(ran).isPositive();
    }

    // ---- memory

    @ParameterizedTest
    @CsvSource({
        "missing, load, on", "missing, store, on", "missing, fetch, on", "missing, walk, on", "missing, translate, on",
        "missing, clock, on", "missing, argument, on", "minor, load, on", "minor, store, on", "minor, fetch, on",
        "minor, walk, on", "minor, translate, on", "minor, clock, on", "minor, argument, on", "missing, load, off",
        "missing, store, off", "missing, walk, off", "minor, store, off", "minor, walk, off", "minor, fetch, off"
    })
    void othersGoOnWhileSomebodyWaitsForAPage(String fault, String need, String tdp, @TempDir Path home)
            throws Exception {
        collecting(home);
        holds(run(List.of(
                "env",
                "SLATE_HOME=" + home,
                "SLATE_SET=tdp=" + tdp,
                Host.compile(MEMORY).toString(),
                "others_go_on_while_somebody_waits_for_a_page",
                fault,
                need)));
        assertThat(collections(home)).isGreaterThan(10);
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

    // ---- all of it at once

    /** Two seconds in every build; the profile {@code nightly} has ten minutes. */
    @Test
    void coroutinesMoveBetweenThreadsOnSmallStacksWhileGarbageIsCollected(@TempDir Path home) throws Exception {
        Host.Result result = whileCollecting(
                home,
                "coroutines_move_between_threads_on_small_stacks",
                Integer.toString(Integer.getInteger("slate.soak.seconds", 2)));
        long collections = collections(home);
        System.out.println(result.output().strip() + ", " + collections + " collections");
        assertThat(collections).isGreaterThan(10);
    }

    @Test
    void aHandlerOfExitRunsAGuestWhileGarbageIsCollected(@TempDir Path home) throws Exception {
        whileCollecting(
                home, "a_handler_of_exit_runs_a_guest", home.resolve("gc").toString());
        assertThat(collections(home)).isPositive();
    }

    /** Runs a promise that says how many exits it had, beside a collector. */
    private Host.Result whileCollecting(Path home, String promise, String argument) throws Exception {
        collecting(home);
        Host.Result result = holds(
                run(List.of("env", "SLATE_HOME=" + home, Host.compile(SOURCE).toString(), promise, argument)));
        assertThat(result.output()).endsWith(" exits\n");
        return result;
    }

    /** Makes a SLATE_HOME whose clients collect garbage all the time and write it down in a file gc. */
    private static void collecting(Path home) throws Exception {
        Path agent = home.resolve("collecting.jar");
        Manifest manifest = new Manifest();
        manifest.getMainAttributes().putValue("Manifest-Version", "1.0");
        manifest.getMainAttributes().putValue("Premain-Class", Collecting.class.getName());
        try (JarOutputStream jar = new JarOutputStream(Files.newOutputStream(agent), manifest)) {
            String name = Collecting.class.getName().replace('.', '/') + ".class";
            jar.putNextEntry(new ZipEntry(name));
            try (InputStream in = Collecting.class.getClassLoader().getResourceAsStream(name)) {
                in.transferTo(jar);
            }
        }
        Path options = home.resolve("device/jvm.options");
        Files.createDirectories(options.getParent());
        Files.writeString(
                options,
                Files.readString(Path.of("jvm.options")) + "-javaagent:" + agent + " -Xlog:gc:file="
                        + home.resolve("gc") + "\n");
    }

    private static long collections(Path home) throws Exception {
        try (Stream<String> lines = Files.lines(home.resolve("gc"))) {
            return lines.filter(l -> l.contains("System.gc()")).count();
        }
    }

    // ---- proof

    /** strace shows what the kernel gave for every open: a file of Slate's, or another, but never the device. */
    @ParameterizedTest
    @MethodSource("rows")
    void noOpenOfTheDeviceComesToTheKernel(Path source, String name, @TempDir Path folder) throws Exception {
        need("strace");
        assumeTrue(!PAST_LIBC.contains(name), "opens the machine's own before it becomes Slate's (docs/clients.md)");
        Path log = folder.resolve("log");
        List<String> strace = List.of(
                "strace",
                "-f",
                "-yy",
                "--seccomp-bpf",
                "-e",
                "trace=open,openat,openat2,creat",
                "-e",
                "signal=none",
                "-o",
                log.toString());
        List<String> probe = new ArrayList<>(strace);
        probe.addAll(List.of("cat", "/dev/null"));
        Host.Result can = Host.run(Map.of(), probe);
        assumeTrue(can.status() == 0, "needs the right to trace: " + can.output());
        assertThat(Files.readString(log)).contains("<char 1:3>");
        List<String> command = new ArrayList<>(strace);
        command.addAll(List.of(Host.compile(source).toString(), name));
        holds(run(command));
        String opens = Files.readString(log);
        assertThat(opens).contains("/etc/ld.so.cache");
        assertThat(opens.lines().filter(l -> l.contains("<char 10:232>") && !l.contains("O_PATH")))
                .isEmpty();
    }
}
