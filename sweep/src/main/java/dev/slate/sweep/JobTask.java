package dev.slate.sweep;

import java.io.IOException;
import java.io.Serial;
import java.io.Serializable;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.spark.SparkFiles;
import org.apache.spark.TaskContext;
import scala.collection.Iterator;
import scala.runtime.AbstractFunction2;

/** What Spark sends to a worker: runs the one job of a partition. */
final class JobTask extends AbstractFunction2<TaskContext, Iterator<Job>, Map<String, Object>> implements Serializable {
    @Serial
    private static final long serialVersionUID = 1L;

    private final String slate;
    private final String archive;
    private final int attempts;

    /**
     * Makes the task.
     *
     * @param slate the script in a tree that every worker sees, where {@code archive} is empty
     * @param archive name of the folder into which Spark unpacks the distribution on a worker
     * @param attempts how often Spark gives a job to a worker that can't run it
     */
    JobTask(String slate, String archive, int attempts) {
        this.slate = slate;
        this.archive = archive;
        this.attempts = attempts;
    }

    @Override
    public Map<String, Object> apply(TaskContext context, Iterator<Job> jobs) {
        Job job = jobs.next();
        try {
            return JobRun.run(job, script(), Path.of(System.getProperty("java.io.tmpdir")));
        } catch (IOException e) {
            if (context.attemptNumber() + 1 < attempts) {
                throw new java.io.UncheckedIOException(e); // Spark asks another worker
            }
            Map<String, Object> trouble = new LinkedHashMap<>();
            trouble.put("result", SparkRun.TROUBLE);
            trouble.put("reason", String.valueOf(e.getMessage()));
            return trouble;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("Spark ended the task", e);
        }
    }

    private Path script() throws IOException {
        if (archive.isEmpty()) {
            return Path.of(slate);
        }
        try (Stream<Path> folders = Files.list(Path.of(SparkFiles.get(archive)))) {
            return folders.map(folder -> folder.resolve("slate"))
                    .filter(Files::isExecutable)
                    .findFirst()
                    .orElseThrow(() -> new IOException("the archive that --archive names holds no slate"));
        }
    }
}
