package dev.slate.conformance;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * The KVM selftests of Debian's {@code linux-source-6.1}: where their sources, programs and expectations lie in Slate's
 * tree, and how they are built.
 */
public final class Selftests {
    private final Path home;

    /** The suite in the tree whose root is {@code home}. */
    public Selftests(Path home) {
        this.home = home;
    }

    /** The rows. */
    public Path suite() {
        return home.resolve("conformance/suites/selftests.suite");
    }

    /** What each row is expected to give. */
    public Path expectations() {
        return home.resolve("conformance/suites/selftests.expected");
    }

    /** The folder of the programs. */
    public Path programs() {
        return home.resolve("build/selftests/bin");
    }

    /** The folder of the logs. */
    public Path logs() {
        return home.resolve("build/selftests/log");
    }

    /**
     * Unpacks and compiles the programs when they are not there or the recipe has changed since; about half a minute.
     *
     * @return false when that failed; the end of the compiler's output has been printed
     */
    public boolean build(PrintStream messages) throws IOException, InterruptedException {
        Path recipe = home.resolve("conformance/build-selftests.sh");
        Path stamp = home.resolve("build/selftests/built");
        if (Files.exists(stamp) && Files.getLastModifiedTime(stamp).compareTo(Files.getLastModifiedTime(recipe)) >= 0) {
            return true;
        }
        messages.println("slate: building the KVM selftests of linux-source-6.1 (about half a minute)");
        Path folder = home.resolve("build/selftests");
        Files.createDirectories(folder);
        Path log = folder.resolve("build.log");
        int status = new ProcessBuilder("sh", recipe.toString(), folder.toString())
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start()
                .waitFor();
        if (status == 0) {
            return true;
        }
        String output = Files.readString(log);
        messages.println(output.substring(Math.max(0, output.length() - 4000)));
        messages.println("slate: the selftests could not be built; the whole output is in " + log
                + ". `slate doctor` says what is missing.");
        return false;
    }
}
