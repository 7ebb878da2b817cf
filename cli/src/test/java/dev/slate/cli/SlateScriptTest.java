package dev.slate.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code slate run}, from a tree that holds the script and looks built: the shim in it is an empty library. */
final class SlateScriptTest {
    @TempDir
    private static Path folder;

    private static Tree tree;

    @BeforeAll
    static void make_a_tree_that_looks_built() throws Exception {
        tree = Tree.thatLooksBuilt(folder.resolve("tree"));
        compile(
                "-include stdio.h",
                "int main(int n, char **a) { for (int i = 1; i < n; i++) printf(\"[%s]\", a[i]); return 0; }",
                tree.root().resolve("device/target/native/slate-loader"));
    }

    private static void compile(String options, String source, Path program) throws Exception {
        Path file = Files.writeString(folder.resolve("source.c"), source);
        Shell.sh(folder, "cc " + options + " -o '" + program + "' '" + file + "'");
    }

    private static Shell slate(String... arguments) throws IOException, InterruptedException {
        return tree.slate(folder, Map.of(), arguments);
    }

    private static void assertRefused(Shell result, int status, String... words) {
        assertThat(result.status()).as(result.out() + result.err()).isEqualTo(status);
        assertThat(result.err()).contains(words);
        assertThat(result.out()).isEmpty();
    }

    @Test
    void trace_hands_its_options_over_and_run_has_none_of_them() throws Exception {
        Shell traced =
                slate("trace", "--from", "0x10", "--count=2", "--memory", "--", "sh", "-c", "echo \"$SLATE_TRACE\"");
        assertThat(traced).isEqualTo(new Shell(0, "from=0x10\ncount=2\nmemory\n\n", ""));
        assertThat(slate("run", "sh", "-c", "echo ${SLATE_TRACE-none}").out()).isEqualTo("none\n");
        assertRefused(slate("run", "--memory", "true"), 2, "slate trace");
        assertRefused(slate("trace", "--count"), 2, "needs a value");
    }

    @Test
    void the_program_ends_with_its_own_status() throws Exception {
        assertThat(slate("run", "--", "sh", "-c", "exit 7")).isEqualTo(new Shell(7, "", ""));
        assertThat(slate("run", "sh", "-c", "kill -TERM $$").status()).isEqualTo(143);
    }

    @Test
    void arguments_reach_the_program_as_they_are() throws Exception {
        Shell result = slate("run", "--", "printf", "%s\n", "a b", "--set", "*", "");
        assertThat(result.out()).isEqualTo("a b\n--set\n*\n\n");
    }

    @Test
    void the_shim_finds_its_settings_in_the_environment() throws Exception {
        Shell result = slate("run", "--set", "tdp=off", "--set=a=b c", "--stats", "--perf-map", "--quiet", "--", "env");
        assertThat(result.out().lines())
                .contains(
                        "LD_PRELOAD=" + tree.root() + "/device/target/native/libslate.so",
                        "SLATE_HOME=" + tree.root(),
                        "SLATE_JAVA_HOME=" + System.getProperty("java.home"),
                        "SLATE_CLASSPATH=" + tree.root() + "/cpu/target/slate-cpu.jar:" + tree.root()
                                + "/kvm/target/slate-kvm.jar:" + tree.root() + "/debug/target/slate-debug.jar:"
                                + tree.root() + "/device/target/slate-device.jar",
                        "SLATE_STATS=1",
                        "SLATE_PERF_MAP=1",
                        "SLATE_QUIET=1");
        assertThat(result.out()).contains("SLATE_SET=tdp=off\na=b c\n").doesNotContain("SLATE_AOT_CACHE");
    }

    @Test
    void what_the_user_did_not_ask_for_is_not_set_and_another_preload_stays() throws Exception {
        Shell result = tree.slate(folder, Map.of("LD_PRELOAD", "libc.so.6"), "run", "env");
        assertThat(result.out())
                .contains("/libslate.so:libc.so.6\n")
                .doesNotContain("SLATE_SET")
                .doesNotContain("SLATE_STATS")
                .doesNotContain("SLATE_PERF_MAP")
                .doesNotContain("SLATE_QUIET");
    }

    @Test
    void what_nothing_can_be_preloaded_into_is_given_to_the_loader() throws Exception {
        compile("-static", "int main(void) { return 0; }", folder.resolve("static"));
        assertThat(slate("run", "--", "./static", "a b")).isEqualTo(new Shell(0, "[./static][./static][a b]", ""));
        compile("-static-pie", "int main(void) { return 0; }", folder.resolve("static-pie"));
        assertThat(slate("run", "--", "./static-pie").out()).isEqualTo("[./static-pie][./static-pie]");
        compile(
                "",
                "__asm__(\".section .note.go.buildid, \\\"a\\\", @note\\n.long 4, 4, 4\\n.asciz \\\"Go\\\"\\n.byte 0\\n.long 0\\n.text\");"
                        + " int main(void) { return 0; }",
                folder.resolve("cgo"));
        assertThat(slate("run", "--", "./cgo").out()).isEqualTo("[./cgo][./cgo]");
        assertThat(slate("run", "--raw", "--", "true").out()).matches("\\[.*/true]\\[.*true]");
        assertThat(slate("run", "--", "true").out()).isEmpty();
    }

    @Test
    void a_program_for_another_processor_is_refused() throws Exception {
        byte[] program = Files.readAllBytes(Path.of("/bin/sh"));
        program[18] = (byte) 183;
        executable(Files.write(folder.resolve("arm"), program));
        assertRefused(slate("run", "--", "./arm"), 126, "another processor (aarch64)", "x86-64");
        program[18] = 62;
        program[4] = 1;
        executable(Files.write(folder.resolve("narrow"), program));
        assertRefused(slate("run", "--", "./narrow"), 126, "32-bit");
    }

    @Test
    void a_script_runs_when_its_interpreter_can_and_is_explained_otherwise() throws Exception {
        Path script = Files.writeString(folder.resolve("script"), "#!/bin/sh\necho $LD_PRELOAD; exit 5\n");
        assertRefused(slate("run", "--", "./script"), 126, "not executable", "slate run -- /bin/sh ./script");
        executable(script);
        Shell result = slate("run", "--", "./script");
        assertThat(result.status()).isEqualTo(5);
        assertThat(result.out()).contains("libslate.so");

        executable(Files.writeString(folder.resolve("plain"), "echo hello\n"));
        assertRefused(slate("run", "--", "./plain"), 126, "slate run -- sh ./plain");
        executable(Files.writeString(folder.resolve("lost"), "#!/nowhere/sh\n"));
        assertRefused(slate("run", "--", "./lost"), 126, "/nowhere/sh, which is not on this machine");
        compile("-static", "int main(void) { return 0; }", folder.resolve("interpreter"));
        executable(Files.writeString(folder.resolve("odd"), "#!" + folder.resolve("interpreter") + "\n"));
        assertThat(slate("run", "--", "./odd").out()).isIn("[./odd][./odd]", "");
    }

    @Test
    void what_is_no_program_at_all_is_said() throws Exception {
        assertRefused(slate("run", "--", "./nothing-here"), 127, "no such program");
        assertRefused(slate("run", "--", "nothing-on-the-path"), 127, "not found on the PATH");
        assertRefused(slate("run", "--", "/tmp"), 126, "a folder");
        executable(Files.write(folder.resolve("empty"), new byte[0]));
        assertRefused(slate("run", "--", "./empty"), 126, "neither an ELF program nor a script");
    }

    @Test
    void a_wrong_option_is_named_and_ends_with_2() throws Exception {
        assertRefused(slate("run"), 2, "say which program");
        assertRefused(slate("run", "--sett", "a=b", "--", "true"), 2, "unknown option --sett");
        assertRefused(slate("run", "--set", "a", "--", "true"), 2, "NAME=VALUE");
        assertRefused(slate("run", "--set"), 2, "NAME=VALUE");
        assertRefused(slate("run", "--gdb-run", "--", "true"), 2, "--gdb-run goes with --gdb");
        assertRefused(slate("run", "--gdb", "x", "--", "true"), 2, "--gdb x: a port from 1 to 65535");
        assertRefused(slate("run", "--jfr", "tree", "--", "true"), 2, "that is a folder");
        assertRefused(slate("run", "--jfr", "nowhere/x.jfr", "--", "true"), 2, "can't be written");
        assertRefused(slate("fly"), 2, "unknown command fly");
        assertRefused(slate("help", "fly"), 2, "there is no command fly");
        assertThat(slate().status()).isEqualTo(2);
    }

    @Test
    void a_tree_whose_name_LD_PRELOAD_cannot_hold_is_refused() throws Exception {
        Tree odd = new Tree(folder.resolve("a b"));
        odd.copy("slate", ".mvn/find-jdk.sh", "cli/commands.txt");
        assertRefused(odd.slate(folder, Map.of(), "run", "true"), 1, "has a blank or a colon");
    }

    @Test
    void a_user_who_may_not_write_to_a_tree_that_must_be_built_is_told_so() throws Exception {
        assumeTrue(
                !"root".equals(System.getProperty("user.name")),
                "needs an ordinary user, since root may write everywhere: run the tests as one");
        Path target = tree.root().resolve("device/target");
        Path stamp = target.resolve("slate.built");
        String built = Files.readString(stamp);
        Files.delete(stamp);
        assertThat(target.toFile().setWritable(false)).isTrue();
        try {
            assertRefused(slate("run", "true"), 1, "can't write to " + tree.root(), "slate build");
        } finally {
            assertThat(target.toFile().setWritable(true)).isTrue();
            Files.writeString(stamp, built);
        }
    }

    @Test
    void every_command_of_the_list_has_a_help_with_an_example() throws Exception {
        Shell list = slate("--help");
        assertThat(list.status()).isZero();
        for (String command : List.of("run", "demo", "doctor", "test", "build", "bench", "speed")) {
            assertThat(list.out()).containsPattern("(?m)^  " + command + " ");
            Shell help = slate("help", command);
            assertThat(help.out()).contains("usage: slate " + command, "example: slate " + command);
            assertThat(slate(command, "--help")).isEqualTo(help);
        }
    }

    @Test
    void the_list_names_every_command_that_is_written_in_java() throws Exception {
        String list = Files.readString(Shell.root().resolve("cli/commands.txt"));
        for (String command : Main.commandLine().getSubcommands().keySet()) {
            assertThat(list).containsPattern("(?m)^  " + command + " +\\S");
        }
        assertThat(list.lines())
                .hasSameSizeAs(Main.commandLine().getSubcommands().keySet());
    }

    private static void executable(Path file) {
        assertThat(file.toFile().setExecutable(true)).isTrue();
    }
}
