package dev.slate.device;

import dev.slate.kvm.tracepoint.Tracepoints;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import jdk.jfr.Recording;
import org.jspecify.annotations.Nullable;

/**
 * {@code slate run --jfr FILE}: records the tracepoints of the whole run. A client's end is not the JVM's, so the file is written when the
 * process ends, whichever way but SIGKILL.
 */
final class FlightRecording {
    private static @Nullable Recording recording;
    private static @Nullable Path file;

    private FlightRecording() {}

    /** Before the first VM, with every signal blocked: JFR starts threads. */
    static void start(String path) {
        System.setProperty(Tracepoints.PROPERTY, "true");
        // With no settings: the JDK's own events are off then, the tracepoints on.
        Recording r = new Recording();
        r.start();
        recording = r;
        file = claim(Path.of(path));
    }

    /** Of several clients of one run the first gets the file, the others one with their process number in its name. */
    private static Path claim(Path path) {
        try {
            return Files.createFile(path);
        } catch (FileAlreadyExistsException e) {
            String name = path.getFileName().toString();
            int dot = name.lastIndexOf('.');
            String own = dot <= 0
                    ? name + "." + Native.pid()
                    : name.substring(0, dot) + "." + Native.pid() + name.substring(dot);
            return path.resolveSibling(own);
        } catch (IOException e) {
            return path; // said at the end
        }
    }

    /** Writes the file. */
    static void end() {
        Recording r = recording;
        Path to = file;
        if (r != null && to != null) {
            recording = null;
            try {
                r.stop();
                r.dump(to);
            } catch (IOException e) {
                Device.say("slate: can't write the recording " + to + ": " + e.getMessage());
            }
            r.close();
        }
    }
}
