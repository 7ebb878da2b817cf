package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.slate.cpu.Cpu;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a program that uses the Java API reads: the example, and the javadoc, which lies in {@code kvm/target/javadoc} afterwards. */
class ApiDocumentationTest {
    private static final Path ROOT =
            Path.of(System.getProperty("slate.root", "..")).toAbsolutePath().normalize();

    private static final Pattern COMPLAINT = Pattern.compile("(\\S+):\\d+: (warning|error): (.*)");

    /** Units, errors and results stand in the sentence, where they fit. */
    private static final Pattern NOT_ASKED = Pattern.compile("no @(param|return|throws) .*|no @return");

    /** A constant or field that bears its manual's or KVM's own name says enough by that. */
    private static final Pattern METHOD_OR_TYPE =
            Pattern.compile("[^=]*\\w[>\\]]? \\w+\\(.*|.*\\b(class|interface|record|enum) .*");

    private static Path tool(String name) {
        return Path.of(System.getProperty("java.home"), "bin", name);
    }

    private static String location(Class<?> of) throws Exception {
        return Path.of(of.getProtectionDomain().getCodeSource().getLocation().toURI())
                .toString();
    }

    private static int run(List<String> command, List<String> said) throws Exception {
        Process process = new ProcessBuilder(command)
                .directory(ROOT.toFile())
                .redirectErrorStream(true)
                .start();
        new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8)
                .lines()
                .forEach(said::add);
        return process.waitFor();
    }

    @ParameterizedTest
    @CsvSource(
            quoteCharacter = '"',
            delimiter = '|',
            value = {
                "Machine | SLATE",
                "Guest | 5050",
                "SerialConsole | typed on a serial line",
                "DirtyLog | dirty: [3, 5, 8]; dirty: []; dirty: [3, 5, 8]",
                "Device | 12 squared is 144",
                "TwoVcpus | 100000"
            })
    void anExampleDoesWhatItsCommentSays(String name, String output) throws Exception {
        List<String> said = new ArrayList<>();
        int status = run(
                List.of(
                        tool("java").toString(),
                        "--enable-native-access=ALL-UNNAMED",
                        "-XX:TieredStopAtLevel=1",
                        "-cp",
                        location(Cpu.class) + File.pathSeparator + location(Kvm.class),
                        "examples/java/" + name + ".java"),
                said);
        assertThat(said).containsExactly(output.split("; "));
        assertThat(status).isZero();
    }

    @Test
    void everyExampleIsRun() throws Exception {
        try (Stream<Path> files = Files.list(ROOT.resolve("examples/java"))) {
            assertThat(files.map(file -> file.getFileName().toString()))
                    .containsExactlyInAnyOrder(
                            "Machine.java",
                            "Guest.java",
                            "SerialConsole.java",
                            "DirtyLog.java",
                            "Device.java",
                            "TwoVcpus.java");
        }
    }

    @Test
    void everyMethodAndTypeOfTheApiIsDescribedAndNoLinkIsBroken() throws Exception {
        assumeTrue(Files.exists(tool("javadoc")), "this Java has no javadoc");
        String annotations = Stream.of("jdk.module.path", "java.class.path")
                .flatMap(path -> Stream.of(System.getProperty(path, "").split(File.pathSeparator)))
                .filter(entry -> entry.contains("jspecify"))
                .findFirst()
                .orElseThrow();
        List<String> said = new ArrayList<>();
        run(
                List.of(
                        tool("javadoc").toString(),
                        "-quiet",
                        "-Xdoclint:all",
                        "-Xmaxwarns",
                        "100000",
                        "-d",
                        "kvm/target/javadoc",
                        "--add-exports=java.base/jdk.internal.misc=dev.slate.cpu",
                        "--module-source-path",
                        "dev.slate.cpu=cpu/src/main/java",
                        "--module-source-path",
                        "dev.slate.kvm=kvm/src/main/java",
                        "--module",
                        "dev.slate.cpu,dev.slate.kvm",
                        "-p",
                        annotations),
                said);
        List<String> wrong = new ArrayList<>();
        int complaints = 0;
        for (int i = 0; i < said.size(); i++) {
            Matcher complaint = COMPLAINT.matcher(said.get(i));
            if (!complaint.matches()) {
                continue;
            }
            complaints++;
            String source = i + 1 < said.size() ? said.get(i + 1) : "";
            boolean asked = complaint.group(2).equals("error")
                    || !NOT_ASKED.matcher(complaint.group(3)).matches()
                            && (!complaint.group(3).equals("no comment")
                                    || METHOD_OR_TYPE.matcher(source).matches());
            if (asked) {
                wrong.add(said.get(i) + source.strip());
            }
        }
        assertThat(wrong).isEmpty();
        // The constants: were there none, javadoc would not have looked.
        assertThat(complaints).isGreaterThan(100);
    }
}
