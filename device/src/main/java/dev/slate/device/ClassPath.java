package dev.slate.device;

import java.io.IOException;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * Slate's own classes, all of them. A client that is about to give up the right to open files (a seccomp filter, another root) gets them
 * loaded before, for no class could be loaded afterwards. The JDK's lie in memory already.
 */
final class ClassPath {
    private static boolean loaded;

    private ClassPath() {}

    /** Loads what is not loaded. A class that can't be loaded would not be when it was needed. */
    static synchronized void load() {
        if (loaded) {
            return;
        }
        loaded = true;
        for (String entry : System.getProperty("java.class.path", "").split(":")) {
            try {
                Path path = Path.of(entry);
                if (Files.isDirectory(path)) {
                    load(path);
                } else if (Files.exists(path)) {
                    try (FileSystem jar = FileSystems.newFileSystem(path)) {
                        load(jar.getPath("/"));
                    }
                }
            } catch (IOException | RuntimeException e) {
                Device.say("slate: can't load the classes of " + entry + ": " + e.getMessage());
            }
        }
    }

    private static void load(Path root) throws IOException {
        List<Path> files;
        try (Stream<Path> all = Files.walk(root)) {
            files = all.filter(f -> f.toString().endsWith(".class")).toList();
        }
        for (Path file : files) {
            String name = root.relativize(file).toString();
            name = name.substring(0, name.length() - ".class".length()).replace('/', '.');
            if (!name.endsWith("module-info") && !name.endsWith("package-info")) {
                try {
                    Class.forName(name, false, ClassPath.class.getClassLoader());
                } catch (ClassNotFoundException | LinkageError e) {
                    Device.say("slate: can't load " + name + ": " + e.getMessage());
                }
            }
        }
    }
}
