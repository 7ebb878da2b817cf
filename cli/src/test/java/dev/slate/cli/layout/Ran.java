package dev.slate.cli.layout;

import dev.slate.cli.Shell;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** What became of one of this package's programs, in a JVM of its own, as the script starts it. */
record Ran(int status, String out, String err) {
    /**
     * Runs it to its end.
     *
     * @param folder where it runs, and where its output lies
     * @param input its standard input
     */
    static Ran main(Path folder, String program, String input, String... arguments)
            throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-cp",
                Shell.root() + "/cli/target/classes:" + Shell.root() + "/layout/target/classes:" + library("picocli")
                        + ":" + library("xz"),
                "dev.slate.cli.layout." + program));
        command.addAll(List.of(arguments));
        Path in = Files.writeString(folder.resolve("in"), input);
        Path out = folder.resolve("out");
        Path err = folder.resolve("err");
        Process process = new ProcessBuilder(command)
                .directory(folder.toFile())
                .redirectInput(in.toFile())
                .redirectOutput(out.toFile())
                .redirectError(err.toFile())
                .start();
        int status = process.waitFor();
        return new Ran(
                status, Files.readString(out, StandardCharsets.UTF_8), Files.readString(err, StandardCharsets.UTF_8));
    }

    /** A library's jar, wherever the tests' own JVM has it from. */
    private static String library(String name) {
        String all = System.getProperty("java.class.path", "") + ":" + System.getProperty("jdk.module.path", "");
        for (String entry : all.split(":"))
            if (Path.of(entry).getFileName().toString().startsWith(name + "-")) return entry;
        throw new AssertionError(name + " is not in " + all);
    }
}
