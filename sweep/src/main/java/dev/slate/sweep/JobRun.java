package dev.slate.sweep;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Runs one job on the machine where it stands, to its end or its limit, and says what became of it. Any thread may. */
final class JobRun {
    /** A job that prints without end costs no memory. */
    private static final int LINES = 200;

    private static final int LINE = 1000;
    private static final int SHOWN = 5;

    /**
     * $1 is the machine's lock, $2 how it is taken, $3 the limit, $4 the job's folder. The lock and the limit are the shell's and timeout's and
     * not this JVM's, so that they hold when a worker dies and leaves its job behind.
     */
    private static final String SCRIPT = """
            exec 9>>"$1" && flock $2 9 || exit 125
            limit=$3
            work=$4
            shift 4
            begin=$(date +%s%N)
            timeout -s KILL "$limit" "$@" 9>&-
            status=$?
            end=$(date +%s%N)
            { echo $status $((end - begin)); times; } >"$work/ended"
            """;

    private static final Set<Process> RUNNING = ConcurrentHashMap.newKeySet();

    static {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> RUNNING.forEach(JobRun::kill), "kill what runs"));
    }

    private JobRun() {}

    /**
     * Runs a job.
     *
     * @param slate the script on this machine
     * @param folder where the job's own folder is made, and where the machine's lock lies
     * @return what goes into the results, by name
     * @throws IOException this machine can't run jobs: the message says what it lacks
     */
    static Map<String, Object> run(Job job, Path slate, Path folder) throws IOException, InterruptedException {
        Path work = folder(folder);
        try {
            return run(job, slate, folder, work);
        } finally {
            delete(work);
        }
    }

    /** A folder of its own below {@code folder}, where something can be written. */
    static Path folder(Path folder) throws IOException {
        try {
            Path work = Files.createTempDirectory(folder, "slate-sweep");
            // A full disk has room for a folder, and for nothing in it.
            Files.write(work.resolve("ended"), new byte[4096]);
            Files.delete(work.resolve("ended"));
            return work;
        } catch (IOException e) {
            throw new IOException("on " + host() + " a job can't write to " + folder + ": " + reason(e), e);
        }
    }

    private static String reason(IOException e) {
        if (e instanceof java.nio.file.NoSuchFileException) {
            return "no such folder";
        }
        if (e instanceof java.nio.file.AccessDeniedException) {
            return "permission denied";
        }
        String reason = e instanceof java.nio.file.FileSystemException f ? f.getReason() : e.getMessage();
        return reason == null ? "it can't be written" : reason;
    }

    private static Map<String, Object> run(Job job, Path slate, Path folder, Path work)
            throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of("sh", "-c", SCRIPT, "sweep"));
        command.add(folder.resolve("slate-sweep-" + System.getProperty("user.name") + ".lock")
                .toString());
        command.add(job.timed() ? "-x" : "-s");
        command.add(Long.toString(job.seconds()));
        command.add(work.toString());
        for (String word : job.command()) {
            command.add(word.replace("{slate}", slate.toString()).replace("{work}", work.toString()));
        }
        if (job.command().contains("{slate}") && !Files.isExecutable(slate)) {
            throw new IOException("the worker on " + host() + " has no " + slate
                    + ": give it Slate with --archive, or the same tree at the same place");
        }
        Process process = new ProcessBuilder(command)
                .directory(work.toFile())
                .redirectErrorStream(true)
                .redirectInput(Path.of("/dev/null").toFile())
                .start();
        RUNNING.add(process);
        Map<String, Double> measured = new LinkedHashMap<>();
        ArrayDeque<String> tail = new ArrayDeque<>();
        try {
            // Whatever the job leaves behind may hold the pipe, so another thread reads it.
            Thread reader = Thread.ofPlatform().daemon().start(() -> read(process, job, measured, tail));
            process.waitFor();
            reader.join(TimeUnit.SECONDS.toMillis(5));
        } finally {
            kill(process);
            RUNNING.remove(process);
        }
        Path ended = work.resolve("ended");
        String[] words;
        try {
            words = Files.readString(ended).strip().split("\\s+");
        } catch (IOException e) {
            words = new String[0];
        }
        if (words.length < 6) {
            synchronized (measured) {
                throw new IOException("the worker on " + host() + " could not run `" + job.title() + "` in " + folder
                        + (tail.isEmpty() ? "" : ": " + tail.getLast()));
            }
        }
        int status = Integer.parseInt(words[0]);
        double seconds = Long.parseLong(words[1]) / 1e9;
        boolean late = status == 137 && seconds >= job.seconds();
        Map<String, Object> result = new LinkedHashMap<>();
        result.put("result", late ? "limit" : status == job.status() ? "pass" : "fail");
        result.put(
                "reason",
                late
                        ? "did not end in " + job.seconds() + " s"
                        : status == job.status() ? "" : "exit status " + status);
        result.put("seconds", seconds);
        // The third and fourth word are the shell's own time.
        result.put("cpu_seconds", cpu(words[4]) + cpu(words[5]));
        synchronized (measured) {
            result.put("measures", new LinkedHashMap<>(measured));
            if (!result.get("result").equals("pass")) {
                result.put(
                        "output",
                        tail.stream().skip(Math.max(0, tail.size() - SHOWN)).toList());
            }
        }
        result.put("host", host());
        Path report = work.resolve(job.report());
        if (!job.report().isEmpty() && Files.isRegularFile(report)) {
            result.put("report", Files.readString(report));
        }
        return result;
    }

    private static void read(Process process, Job job, Map<String, Double> measured, ArrayDeque<String> tail) {
        Map<String, Pattern> patterns = new LinkedHashMap<>();
        job.measures().forEach((name, text) -> patterns.put(name, Pattern.compile(text)));
        try (BufferedReader lines =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line = line(lines); line != null; line = line(lines)) {
                synchronized (measured) {
                    tail.add(line);
                    if (tail.size() > LINES) {
                        tail.remove();
                    }
                    for (Map.Entry<String, Pattern> entry : patterns.entrySet()) {
                        Matcher matcher = entry.getValue().matcher(line);
                        if (matcher.find()) {
                            number(matcher.group(1), entry.getKey(), measured);
                        }
                    }
                }
            }
        } catch (IOException | UncheckedIOException closed) {
            // What has come until then is what there is.
        }
    }

    private static void number(String text, String name, Map<String, Double> measured) {
        try {
            measured.put(name, Double.valueOf(text.replace(",", "")));
        } catch (NumberFormatException none) {
            // Another line may have it; a measure without a value is an empty cell.
        }
    }

    /** The next line or, of one without end, its beginning; null at the end. */
    private static @org.jspecify.annotations.Nullable String line(BufferedReader reader) throws IOException {
        StringBuilder line = new StringBuilder();
        int c = reader.read();
        if (c < 0) {
            return null;
        }
        for (; c >= 0 && c != '\n'; c = reader.read()) {
            if (line.length() < LINE) {
                line.append((char) c);
            }
        }
        return line.toString();
    }

    /** A shell's time, such as 1m2.345s, in seconds; some shells write the comma of their language. */
    static double cpu(String text) {
        int minutes = text.indexOf('m');
        return 60 * Double.parseDouble(text.substring(0, minutes))
                + Double.parseDouble(
                        text.substring(minutes + 1, text.length() - 1).replace(',', '.'));
    }

    private static void kill(Process process) {
        try (Stream<ProcessHandle> all = process.descendants()) {
            all.toList().forEach(ProcessHandle::destroyForcibly);
        }
        process.destroyForcibly();
    }

    private static String host() {
        try {
            return InetAddress.getLocalHost().getHostName();
        } catch (IOException unknown) {
            return "localhost";
        }
    }

    /** As far as it can be: what the job left running may still write there, and the job has run. */
    static void delete(Path folder) {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(file);
            }
        } catch (IOException | UncheckedIOException e) {
            // It stays.
        }
    }
}
