package dev.slate.sweep;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.json.JsonMapper;

/**
 * The results: a file of JSON, one line for each job that ran, known by its {@code job}. What is in it is not run again. Lines are appended
 * whole and forced to the disk; a line that a crash cut off is dropped.
 */
final class Journal implements AutoCloseable {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final FileChannel file;
    private final String version;
    private final Map<String, Map<String, Object>> results = new LinkedHashMap<>();
    /** Where the next line begins. */
    private long end;

    /**
     * Opens the results, or begins them.
     *
     * @param version of the Slate that runs jobs now
     * @throws SweepException they are another version's, or no results
     */
    Journal(Path path, String version) throws IOException {
        this.version = version;
        this.file =
                FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
        try {
            if (file.tryLock() == null) {
                throw new SweepException(path + ": another sweep writes there; --output names another folder");
            }
            read(path);
        } catch (IOException | RuntimeException e) {
            file.close();
            throw e;
        }
    }

    private void read(Path path) throws IOException {
        byte[] bytes = Files.readAllBytes(path);
        int whole = bytes.length;
        while (whole > 0 && bytes[whole - 1] != '\n') {
            whole--; // What a crash cut off may end within a character.
        }
        int number = 0;
        for (String line :
                new String(bytes, 0, whole, StandardCharsets.UTF_8).lines().toList()) {
            number++;
            Map<String, Object> result;
            try {
                result = parse(line);
            } catch (JacksonException e) {
                throw new SweepException(
                        path + ":" + number + ": is no result of a sweep; --output names another folder");
            }
            if (!(result.get("job") instanceof String job)) {
                throw new SweepException(
                        path + ":" + number + ": is no result of a sweep; --output names another folder");
            }
            if (!version.equals(result.get("slate"))) {
                throw new SweepException(path + " was begun with " + result.get("slate") + ", and this is " + version
                        + "; --anew begins again, --output names another folder");
            }
            results.putIfAbsent(job, result);
        }
        file.truncate(whole);
        end = whole;
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> parse(String line) {
        return JSON.readValue(line, LinkedHashMap.class);
    }

    synchronized boolean has(Job job) {
        return results.containsKey(job.id());
    }

    /** Keeps a job's result, unless there is one. */
    synchronized void add(Job job, Map<String, Object> result) {
        if (has(job)) {
            return;
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("job", job.id());
        line.put("row", job.row());
        line.put("repeat", job.repeat());
        line.put("knobs", job.knobs());
        line.put("variables", job.variables());
        line.putAll(result);
        line.put("slate", version);
        try {
            ByteBuffer bytes = StandardCharsets.UTF_8.encode(JSON.writeValueAsString(line) + "\n");
            // Of a full disk's half a line nothing may come behind.
            long at = end;
            while (bytes.hasRemaining()) {
                at += file.write(bytes, at);
            }
            end = at;
            file.force(false);
        } catch (IOException e) {
            throw new UncheckedIOException("the results can't be written: " + e.getMessage(), e);
        }
        results.put(job.id(), line);
    }

    /** All results, in the order in which they came. */
    synchronized Collection<Map<String, Object>> results() {
        return java.util.List.copyOf(results.values());
    }

    @Override
    public void close() throws IOException {
        file.close();
    }
}
