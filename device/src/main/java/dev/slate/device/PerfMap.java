package dev.slate.device;

import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * {@code slate run --perf-map}: the file in which Linux's {@code perf} looks for the names of code that stands in no file.
 *
 * <p>Any thread. The file is opened for each line: a descriptor that stayed open would be the client's to close, or to reuse.
 */
final class PerfMap {
    private static volatile @Nullable Path file;

    private PerfMap() {}

    /** Makes the file, empty. */
    static void start() {
        Path path = Path.of("/tmp", "perf-" + Native.pid() + ".map");
        try {
            // What lies there is of a process that has ended; no link of anybody else's is followed.
            Files.deleteIfExists(path);
            Files.createFile(path);
            file = path;
        } catch (IOException e) {
            refused(path, e);
        }
    }

    /** Whether names are kept. */
    static boolean isOn() {
        return file != null;
    }

    /** Adds a line. */
    static void add(long start, int bytes, String name) {
        Path path = file;
        if (path == null) {
            return;
        }
        String line = Long.toHexString(start) + " " + Integer.toHexString(bytes) + " " + name + "\n";
        try (FileOutputStream out = new FileOutputStream(path.toFile(), true)) {
            out.write(line.getBytes(StandardCharsets.UTF_8));
        } catch (IOException e) {
            file = null;
            refused(path, e);
        }
    }

    private static void refused(Path path, IOException e) {
        Device.say("slate: --perf-map: " + path + " can't be written (" + e.getMessage()
                + "), so perf names no more guest code");
    }
}
