package dev.slate.lab;

import dev.slate.conformance.Selftests;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * What experiments find in the tree: guest programs, selftests, a folder to work in.
 *
 * @param home root of Slate's tree
 * @param scale how much is run
 * @param messages for a person, as to what is being built
 */
public record Bench(Path home, Scale scale, PrintStream messages) {
    /** A folder for what experiments leave behind. @throws IOException it can't be made */
    public Path work() throws IOException {
        return Files.createDirectories(home.resolve("build/lab"));
    }

    /**
     * A guest's flat image: a distribution has it, a source tree builds it when it is stale.
     *
     * @throws IOException the build failed; the message has the compiler's output
     */
    public Path guest(String name) throws IOException, InterruptedException {
        Path made = home.resolve("guests/" + name + ".bin");
        if (Files.exists(made)) {
            return made;
        }
        Path folder = home.resolve("build/guests");
        Process build = new ProcessBuilder(
                        List.of("sh", home.resolve("guests/build.sh").toString(), folder.toString(), name))
                .redirectErrorStream(true)
                .start();
        String output = new String(build.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8);
        if (build.waitFor() != 0) {
            throw new IOException("guests/build.sh " + name + " failed:\n" + output);
        }
        return folder.resolve(name + ".bin");
    }

    /** The folder of the KVM selftests, built. @throws IOException they can't be; the reason has been printed */
    public Path selftests() throws IOException, InterruptedException {
        Selftests selftests = new Selftests(home);
        if (!selftests.build(messages)) {
            throw new IOException("this experiment runs a KVM selftest, and the selftests could not be built");
        }
        return selftests.programs();
    }

    /** The command that runs a program on Slate and prints its statistics; for a {@link dev.slate.conformance.RowRunner}. */
    public List<String> launcher() {
        return List.of(home.resolve("slate").toString(), "run", "--quiet", "--stats");
    }
}
