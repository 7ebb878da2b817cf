package dev.slate.cli.layout;

import dev.slate.cli.Shell;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** This package's programs, each in a JVM of its own, as the script starts it. */
final class LayoutProgram {
    private LayoutProgram() {}

    /**
     * Runs one to its end.
     *
     * @param input its standard input
     */
    static Shell run(Path folder, String program, String input, String... arguments)
            throws IOException, InterruptedException {
        Path root = Shell.root();
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-cp",
                root + "/cli/target/classes:" + root + "/layout/target/classes:" + library("picocli") + ":"
                        + library("xz"),
                "dev.slate.cli.layout." + program));
        command.addAll(List.of(arguments));
        return Shell.run(folder, Map.of(), Files.writeString(folder.resolve("in"), input), command);
    }

    /** A library's jar, wherever the tests' own JVM has it from. */
    private static String library(String name) {
        String all = System.getProperty("java.class.path", "") + ":" + System.getProperty("jdk.module.path", "");
        for (String entry : all.split(":"))
            if (Path.of(entry).getFileName().toString().startsWith(name + "-")) return entry;
        throw new AssertionError(name + " is not in " + all);
    }
}
