package dev.slate.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * {@code slate demo linux} and {@code slate demo microvm} up to the VMM, in a tree that looks built and has all parts. In QEMU's place stands a
 * script that keeps what it was given and then does what the guest's would: it is the board that runs the real ones.
 */
final class DemoTest {
    private static final String BEGINS = "echo DEMO-BEGINS >\"$console\"\n";

    @TempDir
    private Path folder;

    private Tree tree;
    private Path bin;
    private Path parts;

    @BeforeEach
    void make_a_tree_that_looks_built() throws Exception {
        tree = Tree.thatLooksBuilt(
                folder.resolve("tree"),
                "conformance/machines/part.sh",
                "conformance/machines/cpio.sh",
                "conformance/machines/init",
                "conformance/machines/msb");
        parts = Files.createDirectories(tree.root().resolve("build/machines/parts"));
        Files.writeString(parts.resolve("cloud-kernel"), "a kernel");
        Files.writeString(parts.resolve("initrd"), "");
        bin = Files.createDirectories(folder.resolve("bin"));
    }

    private void program(Path file, String script) throws IOException {
        Files.createDirectories(file.getParent());
        Files.writeString(file, "#!/bin/sh\n" + script);
        assertThat(file.toFile().setExecutable(true)).isTrue();
    }

    /** A QEMU that finds its serial ports and keeps its arguments and the first file system. */
    private void qemu(String script) throws IOException {
        program(
                bin.resolve("qemu-system-x86_64"),
                "echo \"$*\" >" + folder + "/arguments\nport=0\nwhile [ $# -gt 0 ]; do case $1 in\n"
                        + "-serial) port=$((port + 1)); [ $port = 1 ] && console=${2#file:}; [ $port = 3 ] && status=${2#file:};;\n"
                        + "-initrd) cp \"$2\" " + folder + "/initrd;; esac; shift; done\n" + script);
    }

    private Map<String, String> environment() {
        return Map.of("PATH", bin + ":" + System.getenv("PATH"), "TMPDIR", folder.toString(), "SLATE_NO_INSTALL", "1");
    }

    private Shell demo(String... arguments) throws IOException, InterruptedException {
        List<String> words = new ArrayList<>(List.of("demo"));
        words.addAll(List.of(arguments));
        return tree.slate(folder, environment(), words.toArray(new String[0]));
    }

    /** A file of the archive that the guest gets. */
    private String inArchive(String wanted) throws IOException {
        ByteBuffer in = ByteBuffer.wrap(Files.readAllBytes(folder.resolve("initrd")));
        while (in.hasRemaining()) {
            byte[] header = new byte[110];
            in.get(header);
            String fields = new String(header, StandardCharsets.US_ASCII);
            byte[] name = new byte[Integer.parseInt(fields.substring(94, 102), 16)];
            in.get(name);
            in.position(in.position() + 3 & ~3);
            byte[] content = new byte[Integer.parseInt(fields.substring(54, 62), 16)];
            in.get(content);
            in.position(Math.min(in.position() + 3 & ~3, in.limit()));
            if (new String(name, 0, name.length - 1, StandardCharsets.UTF_8).equals(wanted)) {
                return new String(content, StandardCharsets.UTF_8);
            }
        }
        throw new IOException("no " + wanted);
    }

    private void assertNothingIsLeft() throws IOException {
        try (Stream<Path> left = Files.list(folder)) {
            assertThat(left.filter(file -> file.getFileName().toString().startsWith("tmp.")))
                    .isEmpty();
        }
    }

    @Test
    void a_command_ends_with_its_status_and_standard_output_is_its_own() throws Exception {
        qemu(BEGINS + "echo from the guest\necho 7 >\"$status\"\n");
        Shell shell = demo("linux", "--", "true");
        assertThat(shell.status()).as(shell.err()).isEqualTo(7);
        assertThat(shell.out()).isEqualTo("from the guest\n");
        assertThat(folder.resolve("arguments"))
                .content()
                .contains("-accel kvm", "-kernel " + parts.resolve("cloud-kernel"), "-append console=ttyS0 panic=-1");
        assertThat(inArchive("demo/environment")).contains("demo_modes='raw -echo' demo_input=/dev/null");
        assertNothingIsLeft();
    }

    @Test
    void a_commands_words_reach_the_guest_as_they_are() throws Exception {
        qemu(BEGINS + "echo 0 >\"$status\"\n");
        String[] words = {
            "printf", "[%s]", "a  b", "it's", "'", "", "$HOME `id` \\ \"", "-x", "*", "two\nlines\n", "\u00e9"
        };
        List<String> command = new ArrayList<>(List.of("linux", "--"));
        command.addAll(List.of(words));
        assertThat(demo(command.toArray(new String[0])).status()).isZero();
        Path script = Files.writeString(folder.resolve("command"), inArchive("demo/command"));
        StringBuilder wanted = new StringBuilder();
        for (int i = 2; i < words.length; i++) {
            wanted.append('[').append(words[i]).append(']');
        }
        assertThat(Shell.run(folder, Map.of(), "sh", script.toString())).isEqualTo(new Shell(0, wanted.toString(), ""));
    }

    @Test
    void without_a_terminal_and_a_command_it_says_what_it_runs_instead() throws Exception {
        qemu(BEGINS + "echo 0 >\"$status\"\n");
        assertThat(demo("linux").err()).contains("no terminal here, so no shell: running uname -a");
        assertThat(inArchive("demo/command").strip()).isEqualTo("'uname' '-a'");
        program(parts.resolve("microsandbox/bin/msb"), "echo \"$#: $*\"; exit 3\n");
        program(bin.resolve("npm"), "exit 1\n");
        Files.createDirectories(parts.resolve("rootfs"));
        Shell shell = demo("microvm");
        assertThat(shell.status()).as(shell.err()).isEqualTo(3);
        assertThat(shell.out()).isEqualTo("5: run " + parts.resolve("rootfs") + " -- uname -a\n");
    }

    @Test
    void a_sandbox_keeps_nothing_and_ends_with_its_commands_status() throws Exception {
        program(parts.resolve("microsandbox/bin/msb"), "touch \"$MSB_HOME/x\" && echo \"$MSB_HOME\"; exit 9\n");
        program(bin.resolve("npm"), "exit 1\n");
        Files.createDirectories(parts.resolve("rootfs"));
        Shell shell = demo("microvm", "--", "sh", "-c", "exit 9");
        assertThat(shell.status()).as(shell.err()).isEqualTo(9);
        assertThat(Path.of(shell.out().strip())).isAbsolute().doesNotExist();
    }

    @Test
    void a_machine_that_ends_before_its_command_is_a_failure_with_its_last_words() throws Exception {
        qemu("echo '[ 1.0] Kernel panic' >\"$console\"; exit 4\n");
        Shell shell = demo("linux", "--", "true");
        assertThat(shell.status()).isEqualTo(1);
        assertThat(shell.err()).contains("Kernel panic", "ended before its command did (QEMU's status: 4)");
        assertNothingIsLeft();
        qemu("printf 'not a number' >\"$status\"\n");
        assertThat(demo("linux", "--", "true").status()).isEqualTo(1);
    }

    @Test
    void a_signal_ends_the_machine_with_the_demo() throws Exception {
        qemu(BEGINS + "echo machine $$ >&2\nexec sleep 6000\n");
        ProcessBuilder builder = new ProcessBuilder(
                        tree.root().resolve("slate").toString(), "demo", "linux", "--", "true")
                .redirectErrorStream(true);
        builder.environment().putAll(environment());
        Process process = builder.start();
        BufferedReader said = process.inputReader(StandardCharsets.UTF_8);
        String machine;
        do {
            machine = said.readLine();
            assertThat(machine)
                    .as("a line of the machine before the demo's end")
                    .isNotNull();
        } while (!machine.startsWith("machine "));
        process.destroy();
        assertThat(process.waitFor()).isEqualTo(143);
        assertThat(Path.of("/proc", machine.substring("machine ".length()))).doesNotExist();
        assertNothingIsLeft();
    }

    @Test
    void a_part_that_cannot_be_had_and_a_wrong_word_are_said() throws Exception {
        qemu("exit 0\n");
        Files.writeString(tree.root().resolve("conformance/machines/part.sh"), "echo \"no $2 today\"; exit 1\n");
        Shell shell = demo("linux", "--", "true");
        assertThat(shell.status()).isEqualTo(1);
        assertThat(shell.err()).contains("slate: demo linux: no cloud-kernel today");
        assertThat(folder.resolve("arguments")).doesNotExist();
        for (String[] wrong : new String[][] {
            {"linux", "uname"}, {"linux", "--"}, {"microvm", "--quiet"}, {"linux", ""}, {"plan9"}, {"--", "linux"}
        }) {
            Shell refused = demo(wrong);
            assertThat(refused.status()).as(String.join(" ", wrong)).isEqualTo(2);
            assertThat(refused.err()).startsWith("slate: demo");
            assertThat(refused.out()).isEmpty();
        }
        assertThat(demo("linux", "--help").out()).contains("example: slate demo linux -- ");
    }
}
