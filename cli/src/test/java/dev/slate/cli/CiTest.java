package dev.slate.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.yaml.snakeyaml.LoaderOptions;
import org.yaml.snakeyaml.Yaml;
import org.yaml.snakeyaml.constructor.SafeConstructor;

/**
 * The GitHub action: its form, and its steps as a runner runs them, with a slate command that says what it was asked. The recipes of
 * docs/ci.md are run by tests/ci.sh.
 */
final class CiTest {
    private static final Pattern EXPRESSION = Pattern.compile("\\$\\{\\{\\s*([^}]+?)\\s*}}");
    private static final Pattern INPUT = Pattern.compile("inputs\\.([a-z-]+)");
    private static final Pattern OUTPUT = Pattern.compile("steps\\.([a-z-]+)\\.outputs\\.([a-z-]+)");
    private static final Pattern GITLAB_YAML = Pattern.compile("## GitLab\n\n```yaml\n(.*?)```", Pattern.DOTALL);

    @TempDir
    private Path folder;

    private Map<String, Object> action = Map.of();

    @BeforeEach
    void read_the_action() throws IOException {
        action = yaml(Files.readString(Shell.root().resolve("action.yml")));
    }

    /** Without duplicate keys, as GitHub reads it. */
    private static Map<String, Object> yaml(String text) {
        LoaderOptions options = new LoaderOptions();
        options.setAllowDuplicateKeys(false);
        return map(new Yaml(new SafeConstructor(options)).load(text));
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> map(Object value) {
        assertThat(value).isInstanceOf(Map.class);
        return (Map<String, Object>) value;
    }

    private List<Map<String, Object>> steps() {
        List<Map<String, Object>> steps = new ArrayList<>();
        for (Object step : (List<?>) map(action.get("runs")).get("steps")) {
            steps.add(map(step));
        }
        return steps;
    }

    @Test
    void the_action_has_the_form_of_a_composite_one() {
        assertThat(action.keySet()).containsExactlyInAnyOrder("name", "description", "inputs", "outputs", "runs");
        assertThat(map(action.get("runs"))).containsEntry("using", "composite");
        map(action.get("inputs"))
                .forEach((name, input) -> assertThat(map(input).keySet())
                        .as("input " + name)
                        .containsExactlyInAnyOrder("description", "required", "default"));
        for (Map<String, Object> step : steps()) {
            assertThat(step.keySet()).isSubsetOf("name", "id", "if", "shell", "env", "run", "uses", "with");
            assertThat(step.containsKey("run")).as("run or uses in " + step).isNotEqualTo(step.containsKey("uses"));
            assertThat(step.containsKey("shell"))
                    .as("a shell beside run in " + step)
                    .isEqualTo(step.containsKey("run"));
        }
    }

    @Test
    void what_the_action_refers_to_is_declared_and_what_it_declares_is_used() {
        String text = action.toString();
        Set<String> used = new HashSet<>();
        INPUT.matcher(text).results().forEach(match -> used.add(match.group(1)));
        assertThat(used).isEqualTo(map(action.get("inputs")).keySet());
        Set<Object> ids = new HashSet<>();
        steps().forEach(step -> ids.add(step.getOrDefault("id", "")));
        Matcher outputs = OUTPUT.matcher(text);
        int found = 0;
        while (outputs.find()) {
            found++;
            assertThat(ids).contains(outputs.group(1));
        }
        assertThat(found).isPositive();
        // A value in a command's text could be a command itself: values come by the environment.
        steps().forEach(step ->
                assertThat(step.getOrDefault("run", "").toString()).doesNotContain("${{"));
    }

    /** A distribution whose slate prints the line that says what it is when {@code speaks}, and runs what it is asked. */
    private Path archive(boolean speaks) throws Exception {
        Path tree = Files.createDirectories(folder.resolve("slate-9"));
        Files.writeString(tree.resolve("slate"), """
                #!/bin/sh
                case $1 in
                --version) echo 'slate 9, commit c, Any-25' ;;
                demo) echo %1$s >&2 ;;
                run) shift 2; echo %1$s >&2; exec "$@" ;;
                esac
                """.formatted(speaks ? "'slate: this is Slate, in some mode'" : "''"));
        assertThat(tree.resolve("slate").toFile().setExecutable(true)).isTrue();
        Path archive = folder.resolve("slate-9-linux-x64.tar.gz");
        assertThat(Shell.run(folder, Map.of(), "tar", "-czf", archive.toString(), "slate-9")
                        .status())
                .isZero();
        return archive;
    }

    /** Runs the steps that have commands, as a runner does, up to the first that fails. */
    private Shell run(Map<String, String> inputs) throws Exception {
        Map<String, String> outputs = new HashMap<>();
        Path home = Files.createDirectories(folder.resolve("runner"));
        StringBuilder out = new StringBuilder();
        StringBuilder err = new StringBuilder();
        for (Map<String, Object> step : steps()) {
            if (!step.containsKey("run")
                    || (step.containsKey("if") && inputs.getOrDefault("run", "").isEmpty())) {
                continue;
            }
            Map<String, String> environment = new HashMap<>();
            for (String name : List.of("GITHUB_PATH", "GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")) {
                environment.put(name, home.resolve(name).toString());
            }
            environment.put("GITHUB_ACTION_PATH", Shell.root().toString());
            environment.put("RUNNER_TEMP", home.toString());
            map(step.getOrDefault("env", Map.of()))
                    .forEach((name, value) -> environment.put(name, evaluate(value.toString(), inputs, outputs)));
            Shell shell = Shell.run(
                    home,
                    environment,
                    step.get("shell").toString(),
                    "-e",
                    "-c",
                    step.get("run").toString());
            out.append(shell.out());
            err.append(shell.err());
            if (shell.status() != 0) {
                return new Shell(shell.status(), out.toString(), err.toString());
            }
            Path said = home.resolve("GITHUB_OUTPUT");
            for (String line : Files.exists(said) ? Files.readAllLines(said) : List.<String>of()) {
                outputs.put(step.get("id") + "." + line.replaceFirst("=.*", ""), line.replaceFirst("[^=]*=", ""));
            }
        }
        return new Shell(0, out.toString(), err.toString());
    }

    private static String evaluate(String text, Map<String, String> inputs, Map<String, String> outputs) {
        return EXPRESSION.matcher(text).replaceAll(match -> {
            Matcher input = INPUT.matcher(match.group(1));
            Matcher output = OUTPUT.matcher(match.group(1));
            String value = output.matches()
                    ? outputs.getOrDefault(output.group(1) + "." + output.group(2), "")
                    : input.matches() ? inputs.getOrDefault(input.group(1), "") : match.group();
            return Matcher.quoteReplacement(value);
        });
    }

    private String summary() throws IOException {
        return Files.readString(folder.resolve("runner/GITHUB_STEP_SUMMARY"));
    }

    @Test
    void version_and_mode_stand_in_the_log_and_in_the_summary() throws Exception {
        Shell result = run(Map.of("archive", archive(true).toString(), "set", "tdp=off\ncpu.model=v2"));
        assertThat(result.status()).as(result.err()).isZero();
        String line = "slate 9, commit c, Any-25: this is Slate, in some mode";
        assertThat(result.out()).contains("slate: " + line);
        assertThat(summary()).contains(line);
        Path slate = folder.resolve("runner/slate/slate-9");
        assertThat(folder.resolve("runner/GITHUB_PATH")).hasContent(slate + "\n");
        assertThat(folder.resolve("runner/GITHUB_ENV"))
                .hasContent("SLATE_SET<<end-of-knobs\ntdp=off\ncpu.model=v2\nend-of-knobs\n");
    }

    @Test
    void a_command_runs_on_slate_and_the_summary_says_so() throws Exception {
        Shell result = run(Map.of("archive", archive(true).toString(), "run", "echo \"it's\" here; exit 7"));
        assertThat(result.status()).isEqualTo(7);
        assertThat(result.out()).contains("it's here\n");
        assertThat(summary()).contains("Ran on this is Slate, in some mode: echo \"it's\" here; exit 7");
    }

    @Test
    void a_runner_on_which_slate_does_not_speak_fails() throws Exception {
        Shell result = run(Map.of("archive", archive(false).toString()));
        assertThat(result.status()).isEqualTo(1);
        assertThat(result.err()).contains("the bundled client did not run on Slate");
        assertThat(summary()).contains("the bundled client did not run on Slate");
    }

    @Test
    void a_command_that_never_opened_the_device_is_told_as_such() throws Exception {
        archive(false);
        Path summary = folder.resolve("summary");
        Shell result = Shell.run(
                folder,
                Map.of(
                        "SLATE_CI_SLATE", folder.resolve("slate-9/slate").toString(),
                        "GITHUB_STEP_SUMMARY", summary.toString()),
                "sh",
                Shell.root().resolve("dist/ci.sh").toString(),
                "run",
                "true");
        assertThat(result.status()).isZero();
        assertThat(summary).hasContent("Nothing opened /dev/kvm, so Slate took no part: true\n\n");
    }

    @Test
    void an_archive_that_is_none_is_named() throws Exception {
        assertThat(run(Map.of("archive", "/nowhere/slate.tar.gz")).err())
                .contains("/nowhere/slate.tar.gz is not there");
        Path broken = Files.writeString(folder.resolve("broken.tar.gz"), "no archive");
        assertThat(run(Map.of("archive", broken.toString())).err()).contains(broken + " is no archive of `slate dist`");
    }

    @Test
    void the_job_for_gitlab_is_yaml_and_calls_what_a_distribution_has() throws IOException {
        Matcher matcher = GITLAB_YAML.matcher(Files.readString(Shell.root().resolve("docs/ci.md")));
        assertThat(matcher.find()).isTrue();
        Map<String, Object> job = map(yaml(matcher.group(1)).get("test on Slate"));
        assertThat(job.keySet()).containsExactlyInAnyOrder("image", "variables", "script");
        assertThat(job.get("script").toString()).contains("dist/ci.sh setup", "dist/ci.sh run");
        assertThat(Files.readString(Shell.root().resolve("dist/build.sh"))).contains("cp \"$root/dist/ci.sh\"");
    }
}
