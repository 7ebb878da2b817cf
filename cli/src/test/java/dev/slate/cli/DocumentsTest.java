package dev.slate.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import dev.slate.kvm.Knobs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/**
 * Holds the documents to the program: every command in them must be one that is there, with options that are there. What is
 * cheap is run; the rest is parsed.
 */
final class DocumentsTest {
    private static final Pattern INLINE_COMMAND = Pattern.compile("`((?:\\./)?slate [^`]+)`");
    private static final Pattern LINK = Pattern.compile("\\]\\(([^)#:]+)\\)");
    private static final Set<String> SHELL_COMMANDS = Set.of(
            "run",
            "trace",
            "heat",
            "demo",
            "doctor",
            "test",
            "build",
            "bench",
            "speed",
            "stress",
            "sweep",
            "dist",
            "help",
            "--version");

    @TempDir
    private Path folder;

    private static List<Path> documents() throws IOException {
        List<Path> documents = new ArrayList<>();
        for (Path start :
                List.of(Shell.root(), Shell.root().resolve("docs"), Shell.root().resolve("docs/decisions"))) {
            try (Stream<Path> files = Files.list(start)) {
                files.filter(file -> file.toString().endsWith(".md")).sorted().forEach(documents::add);
            }
        }
        return documents;
    }

    /** The commands of fenced shell blocks, without comments, and the slate commands in running text. */
    private static Set<String> commands(Path document) throws IOException {
        Set<String> commands = new TreeSet<>();
        boolean inShell = false;
        for (String line : Files.readAllLines(document)) {
            if (line.startsWith("```")) {
                inShell = !inShell && line.equals("```sh");
            } else if (inShell) {
                commands.add(line.replaceAll("\\s+#.*", "").strip());
            } else {
                Matcher matcher = INLINE_COMMAND.matcher(line);
                while (matcher.find()) {
                    commands.add(matcher.group(1).startsWith("./") ? matcher.group(1) : "./" + matcher.group(1));
                }
            }
        }
        commands.remove("");
        return commands;
    }

    @TestFactory
    Stream<DynamicTest> commands_in_the_documents_are_there() throws IOException {
        List<DynamicTest> tests = new ArrayList<>();
        for (Path document : documents()) {
            for (String command : commands(document)) {
                tests.add(DynamicTest.dynamicTest(document.getFileName() + ": " + command, () -> check(command)));
            }
        }
        assertThat(tests).hasSizeGreaterThan(10);
        return tests.stream();
    }

    @Test
    void every_command_has_help_with_an_example() {
        List<String> names = new ArrayList<>();
        Main.commandLine().getSubcommands().values().forEach(sub -> requireHelp(sub, names)); // the script has its own
        assertThat(names).contains("slate conformance selftests", "slate lab run", "slate layout diff");
    }

    private static void requireHelp(CommandLine command, List<String> names) {
        String name = command.getCommandSpec().qualifiedName(" ");
        assertThat(command.getCommandSpec().findOption("--help"))
                .as(name + " --help")
                .isNotNull();
        assertThat(command.getUsageMessage()).as(name + " --help").contains("example: slate ");
        names.add(name);
        command.getSubcommands().values().forEach(sub -> requireHelp(sub, names));
    }

    private void check(String command) throws Exception {
        List<String> words = words(command);
        switch (words.get(0).replaceFirst("^slate-.*/slate$", "./slate")) {
            case "bwrap", "unshare" -> checkSlate(words.subList(words.indexOf("./slate") + 1, words.size()));
            case "./slate" -> checkSlate(words.subList(1, words.size()));
            case "perf" -> {
                assertThat(words.get(1)).isIn("record", "report");
                if (words.contains("./slate")) {
                    checkSlate(words.subList(words.indexOf("./slate") + 1, words.size()));
                }
            }
            case "tar" -> assertThat(words.get(2)).matches("build/dist/slate-[-.0-9A-Z]+-linux-x64\\.tar\\.gz");
            case "./mvnw" -> assertThat(Shell.root().resolve("mvnw")).isExecutable();
            case "sh" -> assertThat(Shell.root().resolve(words.get(1))).isExecutable();
            case "cc" -> {
                Shell result =
                        Shell.run(Shell.root(), Map.of(), "sh", "-c", command.replace("-o ", "-o '" + folder + "'/"));
                assertThat(result.status()).as(result.err()).isZero();
                assertThat(result.err()).isEmpty();
            }
            default -> fail("the test does not know how to check: " + command);
        }
    }

    private static void checkSlate(List<String> words) throws Exception {
        String name = words.get(0);
        if (!SHELL_COMMANDS.contains(name)) {
            CommandLine.ParseResult parsed = Main.commandLine().parseArgs(words.toArray(new String[0]));
            assertThat(parsed.hasSubcommand()).isTrue();
            return;
        }
        List<String> command =
                new ArrayList<>(List.of(Shell.root().resolve("slate").toString()));
        switch (name) {
            case "run" -> {
                // The options as they are, then --help in place of the program: an unknown option ends with 2.
                int end = words.indexOf("--");
                for (int i = 0; i < end; i++) {
                    if (words.get(i).equals("--set") && !words.get(i + 1).equals("NAME=VALUE")) {
                        Knobs.parse(words.get(i + 1)); // throws when there is no such knob
                    }
                }
                command.addAll(end < 0 ? List.of("run") : words.subList(0, end));
                command.add("--help");
            }
            case "help", "doctor" -> command.addAll(words);
            default -> command.addAll(List.of(name, "--help"));
        }
        Shell result = Shell.run(Shell.root(), Map.of(), command);
        assertThat(result.out()).isNotEmpty();
        // The doctor ends with 1 on a machine where something is missing.
        assertThat(result.status()).as(result.err()).isBetween(0, name.equals("doctor") ? 1 : 0);
    }

    /** Splits a command at blanks; words may stand in single quotes. */
    private static List<String> words(String command) {
        List<String> words = new ArrayList<>();
        Matcher matcher = Pattern.compile("'([^']*)'|(\\S+)").matcher(command);
        while (matcher.find()) {
            words.add(matcher.group(1) != null ? matcher.group(1) : matcher.group(2));
        }
        return words;
    }

    @Test
    void links_between_the_documents_lead_somewhere() throws IOException {
        for (Path document : documents()) {
            Matcher matcher = LINK.matcher(Files.readString(document));
            while (matcher.find()) {
                assertThat(document.resolveSibling(matcher.group(1)))
                        .as("link in " + document)
                        .exists();
            }
        }
    }
}
