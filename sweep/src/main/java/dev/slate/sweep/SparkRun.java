package dev.slate.sweep;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import scala.reflect.ClassTag$;
import scala.runtime.AbstractFunction2;
import scala.runtime.BoxedUnit;

/** The jobs on Spark. Closing it ends what runs. */
final class SparkRun implements AutoCloseable {
    /** The result of a job that no worker could run; it does not count as run. */
    static final String TROUBLE = "trouble";

    private static final int ATTEMPTS = 4;
    private static final Pattern OURS = Pattern.compile("IOException: ((?:on|the worker on) [^\n]+)");
    private static final String ARCHIVE = "slate-distribution";

    private final JavaSparkContext context;
    private final JobTask task;

    /**
     * Connects to a master.
     *
     * @param jars what a worker loads
     * @param archive the distribution that a worker unpacks, or the empty string
     * @param settings Spark's own, {@code NAME=VALUE}
     */
    SparkRun(String master, List<String> jars, Path slate, String archive, List<String> settings) throws IOException {
        boolean local = master.startsWith("local");
        SparkConf conf = new SparkConf(false)
                .setMaster(master)
                .setAppName("slate sweep")
                .set("spark.ui.enabled", "false")
                .set("spark.task.maxFailures", Integer.toString(ATTEMPTS))
                // A worker that can't run a job gets it once; the others get it then.
                .set("spark.excludeOnFailure.enabled", Boolean.toString(!local))
                .set("spark.excludeOnFailure.task.maxTaskAttemptsPerExecutor", "1")
                .set("spark.excludeOnFailure.task.maxTaskAttemptsPerNode", Integer.toString(ATTEMPTS - 1))
                .set("spark.executor.memory", "512m");
        if (local) {
            // Nobody else speaks to it, and a sandbox may have no other network.
            conf.set("spark.driver.host", "127.0.0.1").set("spark.driver.bindAddress", "127.0.0.1");
        } else {
            conf.setJars(jars.toArray(new String[0]));
        }
        if (!archive.isEmpty()) {
            conf.set("spark.archives", Path.of(archive).toAbsolutePath() + "#" + ARCHIVE);
        }
        for (String setting : settings) {
            int equals = setting.indexOf('=');
            if (equals <= 0) {
                throw new SweepException("--conf " + setting + ": is not NAME=VALUE, such as spark.executor.cores=2");
            }
            conf.set(setting.substring(0, equals), setting.substring(equals + 1));
        }
        try {
            context = new JavaSparkContext(conf);
        } catch (Exception e) { // Spark throws checked ones without saying so
            throw new IOException("Spark can't use the master " + master + ": " + reason(e), e);
        }
        task = new JobTask(slate.toString(), archive.isEmpty() ? "" : ARCHIVE, local ? 1 : ATTEMPTS);
    }

    /**
     * Runs jobs and hands on each one's result once, when it comes; returns when all are through. Spark hands on the first result of a job and
     * drops another, should a worker that was given up come back.
     */
    void run(List<Job> jobs, BiConsumer<Job, Map<String, Object>> each) throws IOException {
        if (jobs.isEmpty()) {
            return;
        }
        JavaRDD<Job> rdd = context.parallelize(jobs, jobs.size());
        try {
            context.sc()
                    .runJob(
                            rdd.rdd(),
                            task,
                            new AbstractFunction2<Object, Map<String, Object>, BoxedUnit>() {
                                @Override
                                public BoxedUnit apply(Object number, Map<String, Object> result) {
                                    each.accept(jobs.get((Integer) number), result);
                                    return BoxedUnit.UNIT;
                                }
                            },
                            ClassTag$.MODULE$.apply(Map.class));
        } catch (Exception e) { // as above
            // Ctrl-C: Spark's own hook stops it first.
            if (context.sc().isStopped()) {
                throw new IOException("stopped; the same command goes on with what is left.", e);
            }
            throw new IOException(
                    "Spark gave up: " + reason(e)
                            + "; the workers' own logs say more (work/app-*/*/stderr). The same command goes on with what is left.",
                    e);
        }
    }

    /** The first line of the innermost message, without a class's name before it. */
    private static String reason(Throwable e) {
        String reason = "it does not say why";
        for (Throwable at = e; at != null; at = at.getCause()) {
            String text = at.getMessage();
            // What a worker lacks stands below Spark's own account of how often it tried.
            Matcher ours = OURS.matcher(String.valueOf(text));
            if (ours.find()) {
                return ours.group(1);
            }
            if (text != null && !text.isBlank()) {
                reason = text.strip().lines().findFirst().orElse("").replaceFirst("^[a-z.]+\\.[A-Z][A-Za-z]*: ", "");
            }
        }
        return reason;
    }

    @Override
    public void close() {
        context.close();
    }
}
