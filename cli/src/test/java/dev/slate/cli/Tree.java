package dev.slate.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** A tree or a distribution made for a test, with the script in it. */
record Tree(Path root) {
    /** A source tree that holds the script and {@code more}, and looks built: its shim is an empty library. */
    static Tree thatLooksBuilt(Path root, String... more) throws IOException, InterruptedException {
        Tree tree = new Tree(root);
        for (String name :
                List.of("cpu/src/main", "kvm/src/main", "debug/src/main", "device/src/main", "device/native")) {
            Files.createDirectories(root.resolve(name));
        }
        tree.copy("slate", ".mvn/find-jdk.sh", "cli/commands.txt", "pom.xml");
        tree.copy(more);
        Path shim =
                Files.createDirectories(root.resolve("device/target/native")).resolve("libslate.so");
        Shell.sh(root, "cc -shared -fPIC -xc /dev/null -o '" + shim + "'");
        Files.createFile(shim.resolveSibling("slate-loader"));
        Files.writeString(root.resolve("device/target/slate.built"), System.getProperty("java.home") + "\n");
        return tree;
    }

    /** Copies files of the tree under test. */
    void copy(String... names) throws IOException {
        for (String name : names) {
            Files.createDirectories(root.resolve(name).getParent());
            Files.copy(Shell.root().resolve(name), root.resolve(name), StandardCopyOption.COPY_ATTRIBUTES);
        }
    }

    /** Runs its script. */
    Shell slate(Path folder, Map<String, String> environment, String... arguments)
            throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(root.resolve("slate").toString()));
        command.addAll(List.of(arguments));
        return Shell.run(folder, environment, command);
    }
}
