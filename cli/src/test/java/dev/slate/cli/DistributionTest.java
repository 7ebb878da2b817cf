package dev.slate.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What a distribution does with its files, from a folder laid out as one, whose runtime is this JDK. The whole, made by {@code slate
 * dist} and taken to a bare Debian, is tests/dist.sh.
 */
final class DistributionTest {
    private static final List<String> RUN_MODULES = List.of("cpu", "kvm", "debug", "device");

    @TempDir
    private static Path folder;

    private static Tree tree;

    @BeforeAll
    static void lay_out_a_distribution() throws Exception {
        tree = new Tree(folder.resolve("slate-1.2.3"));
        Path lib = Files.createDirectories(tree.root().resolve("lib"));
        tree.copy("slate", "cli/commands.txt");
        Files.copy(Shell.root().resolve("device/jvm.options"), lib.resolve("jvm.options"));
        Files.writeString(
                tree.root().resolve("slate.release"),
                "version='1.2.3'\ncommit='abcdef'\njvm='Any-25'\nepoch='1700000000'\n");
        Files.createSymbolicLink(tree.root().resolve("runtime"), Path.of(System.getProperty("java.home")));
        sh("sh '" + Shell.root().resolve("device/native/build.sh") + "' '" + lib + "'");
        sh("cc -O1 -fPIE -pie -nostartfiles -o '" + lib.resolve("hello-kvm") + "' '"
                + Shell.root().resolve("device/native/loaded/start.S") + "' '"
                + Shell.root().resolve("examples/hello-kvm.c") + "'");
    }

    private static Shell sh(String line) throws IOException, InterruptedException {
        return Shell.sh(folder, line);
    }

    private static Shell slate(String... arguments) throws IOException, InterruptedException {
        return tree.slate(folder, Map.of("SLATE_HOME", "/elsewhere", "SLATE_CLASSPATH", "x.jar"), arguments);
    }

    private static void copyJars() throws IOException {
        for (String module : RUN_MODULES) {
            Path jar = Shell.root().resolve(module + "/target/slate-" + module + ".jar");
            assumeTrue(Files.exists(jar), "needs the modules' jars: ./slate build");
            Files.copy(jar, tree.root().resolve("lib").resolve(jar.getFileName()), StandardCopyOption.REPLACE_EXISTING);
        }
    }

    @Test
    void the_shim_and_the_demo_ask_for_no_symbol_of_a_glibc_newer_than_2_28() throws Exception {
        assumeTrue(has("readelf"), "needs readelf: apt-get install binutils");
        Pattern version = Pattern.compile("GLIBC_(\\d+)\\.(\\d+)");
        for (String name : List.of("libslate.so", "slate-loader", "hello-kvm")) {
            Matcher matcher = version.matcher(sh("readelf -VW '" + tree.root().resolve("lib/" + name) + "'")
                    .out());
            int found = 0;
            while (matcher.find()) {
                found++;
                assertThat(Integer.parseInt(matcher.group(1))).isEqualTo(2);
                assertThat(Integer.parseInt(matcher.group(2)))
                        .as(name + " asks for " + matcher.group())
                        .isLessThanOrEqualTo(28);
            }
            assertThat(found).as("versions in " + name).isPositive();
        }
    }

    private static boolean has(String tool) throws IOException, InterruptedException {
        return Shell.run(folder, Map.of(), "sh", "-c", "command -v " + tool).status() == 0;
    }

    @Test
    void a_client_runs_with_nothing_in_its_environment_but_the_shim() throws Exception {
        copyJars();
        Path client = folder.resolve("client");
        sh("cc -O1 -o '" + client + "' '" + Shell.root().resolve("benchmarks/clients/start-up.c") + "'");
        Shell result = Shell.run(
                folder,
                Map.of(),
                "env",
                "-i",
                "LD_PRELOAD=" + tree.root().resolve("lib/libslate.so"),
                client.toString(),
                "child");
        assertThat(result.status()).as(result.err()).isZero();
        assertThat(result.err()).contains("this is Slate");
    }

    @Test
    void demo_runs_the_prebuilt_client() throws Exception {
        copyJars();
        Shell result = slate("demo");
        assertThat(result.status()).as(result.err()).isZero();
        assertThat(result.out()).contains("The guest counted 78498 primes below 1000000.");
    }

    @Test
    void run_leaves_it_to_the_shim_to_find_the_runtime() throws Exception {
        assertThat(slate("run", "--quiet", "--", "env").out())
                .contains("LD_PRELOAD=" + tree.root() + "/lib/libslate.so\n", "SLATE_QUIET=1")
                .doesNotContain("SLATE_HOME", "SLATE_JAVA_HOME", "SLATE_CLASSPATH", "SLATE_AOT_CACHE");
    }

    @Test
    void the_version_names_the_commit_and_the_runtime() throws Exception {
        assertThat(slate("--version").out()).isEqualTo("slate 1.2.3, commit abcdef, Any-25\n");
    }

    @Test
    void what_only_a_source_tree_can_do_is_not_offered_and_refused() throws Exception {
        String list = slate("help").out();
        assertThat(list).contains("  run  ", "  demo  ", "  knobs  ");
        for (String command : List.of("test", "build", "bench", "speed", "stress", "sweep", "dist", "conformance")) {
            assertThat(list).doesNotContainPattern("(?m)^  " + command + " ");
            Shell result = slate(command);
            assertThat(result.status()).isEqualTo(2);
            assertThat(result.err()).contains("slate: " + command + " belongs to Slate's source tree");
        }
    }

    @Test
    void doctor_says_whether_the_cache_fits_the_classes() throws Exception {
        Path jar = tree.root().resolve("lib/slate-cpu.jar");
        boolean there = Files.exists(jar);
        if (!there) {
            Files.createFile(jar);
        }
        sh("touch -d @1700000000 '" + jar + "'");
        Shell fits = slate("doctor");
        assertThat(fits.out()).contains("AOT cache              fits", "Nothing is missing that `slate run` needs.");
        assertThat(fits.status()).isZero();
        sh("touch -d @1700000001 '" + jar + "'");
        assertThat(slate("doctor").out()).contains("AOT cache              does not fit");
        if (!there) {
            Files.delete(jar);
        }
    }

    @Test
    void bash_completes_the_commands_of_the_script_and_of_java_with_their_options() throws Exception {
        assumeTrue(has("bash"), "needs bash: apt-get install bash");
        Path share = manual();
        assertThat(completed(share, "slate", "la")).contains("lab", "layout");
        assertThat(completed(share, "slate", "d")).contains("demo", "doctor").doesNotContain("dist");
        assertThat(completed(share, "slate", "run", "--s")).contains("--set", "--stats");
        assertThat(completed(share, "slate", "trace", "--c")).containsExactly("--count");
        assertThat(completed(share, "slate", "layout", "sh")).containsExactly("show");
    }

    private static List<String> completed(Path share, String... words) throws Exception {
        String script = "compopt() { :; }; . '" + share.resolve("bash-completion/completions/slate") + "'; COMP_WORDS=("
                + String.join(" ", words) + "); COMP_CWORD=" + (words.length - 1)
                + "; _complete_slate; printf '%s\\n' \"${COMPREPLY[@]}\"";
        Shell result = Shell.run(folder, Map.of(), "bash", "--norc", "-c", script);
        assertThat(result.err()).isEmpty();
        return result.out().lines().map(String::strip).toList();
    }

    @Test
    void the_manual_page_tells_of_every_command_and_man_has_no_complaint() throws Exception {
        Path page = manual().resolve("man/man1/slate.1");
        String text = Files.readString(page);
        for (String command : List.of("RUN", "TRACE", "DEMO", "DOCTOR", "KNOBS", "STAT", "LAYOUT SHOW", "LAB RUN")) {
            assertThat(text).contains(".SH SLATE " + command + "\n");
        }
        assertThat(Manual.roff(".x -- \\")).isEqualTo("\\&.x \\-\\- \\e");
        assumeTrue(has("groff"), "needs groff: apt-get install groff-base");
        Shell formatted = sh("groff -man -Tascii -ww '" + page + "'");
        assertThat(formatted.err()).isEmpty();
        assertThat(formatted.out().replaceAll("\u001b\\[[0-9;]*m|.\b", ""))
                .contains("--set NAME=VALUE", "slate layout show");
    }

    private static Path manual() throws Exception {
        Path helps = Files.createDirectories(folder.resolve("help"));
        for (String command : List.of("run", "trace", "heat", "demo", "doctor")) {
            Files.writeString(
                    helps.resolve(command + ".txt"), slate("help", command).out());
        }
        Path share = folder.resolve("share");
        for (String name : List.of("man/man1", "bash-completion/completions", "zsh/site-functions")) {
            Files.createDirectories(share.resolve(name));
        }
        Manual.main(new String[] {helps.toString(), "1.2.3", share.toString()});
        return share;
    }
}
