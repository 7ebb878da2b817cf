package dev.slate.sweep;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.sun.net.httpserver.HttpServer;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.Writer;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardWatchEventKinds;
import java.nio.file.WatchKey;
import java.nio.file.WatchService;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Sweeps on Spark's own standalone master and workers, on the loopback interface, with processes that are the real ones. */
class ClusterTest {
    private static final Path MODULE =
            SweepFileTest.HOME.resolve("sweep").toAbsolutePath().normalize();

    @TempDir
    private Path folder;

    private final List<Process> processes = new ArrayList<>();
    private final ByteArrayOutputStream said = new ByteArrayOutputStream();
    private String master = "";

    @BeforeEach
    void slateIsBuilt() {
        assumeTrue(
                Files.exists(SweepFileTest.HOME.resolve("device/target/slate.built")),
                "Slate is not built (./slate build)");
        System.setProperty("slate.home", SweepFileTest.HOME.toString());
    }

    @AfterEach
    void end() {
        processes.forEach(ClusterTest::kill);
    }

    private static void kill(Process process) {
        process.descendants().toList().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
    }

    private ProcessBuilder spark(String files, String... arguments) {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin/java").toString(),
                "@" + MODULE.resolve("jvm.options"),
                "-Xmx256m",
                "-cp",
                MODULE.resolve("target/spark/jars") + "/*"));
        command.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().put("SPARK_HOME", MODULE.resolve("target/spark").toString());
        // Without it Spark's launcher looks for a tree of its own sources.
        builder.environment().put("SPARK_SCALA_VERSION", "2.13");
        builder.environment().put("SPARK_LOCAL_IP", "127.0.0.1");
        builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
        if (!files.isEmpty()) {
            // Spark's own files lie elsewhere: without those its master gives the worker up by itself.
            builder.environment().put("SPARK_LOCAL_DIRS", folder.toString());
            builder.environment().put("JAVA_TOOL_OPTIONS", "-Djava.io.tmpdir=" + files);
        }
        return builder;
    }

    private Process start(ProcessBuilder builder) throws IOException {
        Process process = builder.start();
        processes.add(process);
        return process;
    }

    /** Starts a master and returns where it listens, once it does. */
    private String startMaster() throws Exception {
        Process process = start(spark(
                "",
                "org.apache.spark.deploy.master.Master",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--webui-port",
                "0"));
        Pattern listens = Pattern.compile("Starting Spark master at (spark://\\S+)");
        BufferedReader log = process.inputReader();
        for (String line = log.readLine(); line != null; line = log.readLine()) {
            Matcher matcher = listens.matcher(line);
            if (matcher.find()) {
                Thread.ofPlatform().daemon().start(() -> drain(log));
                return matcher.group(1);
            }
        }
        throw new AssertionError("the master ended with " + process.waitFor());
    }

    /** Or the pipe would be full, and the process would wait. */
    private static void drain(BufferedReader log) {
        try (log) {
            log.transferTo(Writer.nullWriter());
        } catch (IOException killed) {
            // At the test's end.
        }
    }

    /** A master and two workers with two processors each; returns the workers. */
    private List<Process> cluster() throws Exception {
        return cluster("");
    }

    /** Here the first worker has its files there. */
    private List<Process> cluster(String files) throws Exception {
        master = startMaster();
        List<Process> workers = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            workers.add(start(spark(
                            i == 0 ? files : "",
                            "org.apache.spark.deploy.worker.Worker",
                            "--host",
                            "127.0.0.1",
                            "--cores",
                            "2",
                            "--memory",
                            "1g",
                            "--work-dir",
                            folder.resolve("worker" + i).toString(),
                            "--webui-port",
                            "0",
                            master)
                    .redirectOutput(folder.resolve("worker" + i + ".log").toFile())));
        }
        return workers;
    }

    private int sweep(String where, String output, String yaml, String... more) throws IOException {
        Path file = folder.resolve(output + ".yaml");
        Files.writeString(file, yaml);
        said.reset();
        List<String> arguments = new ArrayList<>(List.of(
                "--master",
                where,
                "--conf",
                "spark.driver.host=127.0.0.1",
                "--conf",
                "spark.executor.extraClassPath=" + MODULE.resolve("target/classes"),
                "--output",
                folder.resolve(output).toString()));
        arguments.addAll(List.of(more));
        arguments.add(file.toString());
        return SweepCommand.commandLine()
                .setErr(new PrintWriter(said, true, StandardCharsets.UTF_8))
                .execute(arguments.toArray(new String[0]));
    }

    private String said() {
        return said.toString(StandardCharsets.UTF_8);
    }

    private List<JsonNode> results(String output) throws IOException {
        Path file = folder.resolve(output).resolve("results.jsonl");
        JsonMapper json = JsonMapper.builder().build();
        return Files.exists(file)
                ? Files.readAllLines(file).stream().map(json::readTree).toList()
                : List.of();
    }

    @Test
    void ofTwoHundredJobsEachCountsOnceThoughAWorkerIsKilled() throws Exception {
        Process lost = cluster().getFirst();
        Path begun = folder.resolve("begun");
        Files.createFile(begun);
        String yaml = """
                jobs:
                  - run: [sh, -c, 'echo {n} >>%s; sleep 0.2; echo n={n}']
                    with: {n: [%s]}
                    measure: {n: 'n=([0-9]+)'}
                """.formatted(begun, numbers(200));
        Path output = Files.createDirectory(folder.resolve("lost"));
        WatchService written = output.getFileSystem().newWatchService();
        output.register(written, StandardWatchEventKinds.ENTRY_MODIFY);
        CompletableFuture<Integer> status = CompletableFuture.supplyAsync(() -> {
            try {
                return sweep(master, "lost", yaml);
            } catch (IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
        });
        // Until some are there, and the first worker runs some too, or nothing would be lost.
        Path lines = output.resolve("results.jsonl");
        while (!Files.exists(lines)
                || Files.readAllLines(lines).size() < 40
                || lost.descendants().findAny().isEmpty()) {
            WatchKey key = written.poll(2, TimeUnit.MINUTES);
            assertThat(key).as("a result in two minutes").isNotNull();
            key.pollEvents();
            key.reset();
        }
        assertThat(status).as("the sweep, when the worker is killed").isNotDone();
        kill(lost);
        assertThat(status.get()).isZero();
        List<JsonNode> results = results("lost");
        assertThat(results).hasSize(200);
        assertThat(results.stream().map(result -> result.path("job").asString()).distinct())
                .hasSize(200);
        assertThat(results.stream()
                        .mapToInt(result -> result.path("measures").path("n").asInt())
                        .sorted()
                        .toArray())
                .isEqualTo(java.util.stream.IntStream.rangeClosed(1, 200).toArray());
        assertThat(results)
                .allSatisfy(
                        result -> assertThat(result.path("result").asString()).isEqualTo("pass"));
        System.out.println("begun " + Files.readAllLines(begun).size() + " times");

        // All is there, so nothing runs; with a cut one it goes on with that.
        assertThat(sweep("local[1]", "lost", yaml)).isZero();
        Path file = folder.resolve("lost/results.jsonl");
        int runs = Files.readAllLines(begun).size();
        Files.writeString(file, Files.readString(file).stripTrailing());
        assertThat(sweep("local[1]", "lost", yaml)).isZero();
        assertThat(Files.readAllLines(begun)).hasSize(runs + 1);
        assertThat(results("lost")).hasSize(200);
        assertThat(Files.readString(folder.resolve("lost/page.html"))).contains("<svg", "seconds by n");
        assertThat(Files.readAllLines(folder.resolve("lost/table.txt"))).hasSize(201);
    }

    @Test
    void siliconsCasesOnTwoWorkersAreThoseOfOneRunSeedBySeed() throws Exception {
        assumeTrue(
                Files.exists(SweepFileTest.HOME.resolve("cpu/target/slate-cpu.jar")),
                "module cpu has no jar (./slate build)");
        int seeds = Integer.getInteger("slate.sweep.seeds", 4);
        String yaml = "jobs:\n  - silicon: 1.." + seeds + "\n    cases: "
                + Integer.getInteger("slate.sweep.cases", 4096) + "\n";
        cluster();
        assertThat(sweep(master, "many", yaml)).isZero();
        assertThat(sweep("local[1]", "one", yaml)).isZero();
        assertThat(digests("many")).hasSize(seeds).isEqualTo(digests("one"));
        assertThat(digests("one").values().stream().distinct()).hasSize(seeds);
    }

    private Map<String, String> digests(String output) throws IOException {
        Map<String, String> digests = new TreeMap<>();
        for (JsonNode result : results(output)) {
            digests.put(result.path("job").asString(), result.path("measures").toString());
        }
        return digests;
    }

    @Test
    void aWorkerWithoutDiskLeavesItsJobsToTheOther() throws Exception {
        cluster("/proc/no/such");
        String yaml = "jobs: [{run: [sh, -c, 'sleep 1; : {n}'], with: {n: [" + numbers(12) + "]}}]";
        assertThat(sweep(master, "disk", yaml)).as(said()).isZero();
        assertThat(results("disk")).hasSize(12);
    }

    @Test
    void anArchiveBringsSlateToWorkersThatHaveNothingElse() throws Exception {
        Path archive;
        try (Stream<Path> files = Files.find(
                SweepFileTest.HOME.resolve("build/dist"),
                1,
                (file, attributes) -> file.toString().endsWith("-linux-x64.tar.gz"))) {
            archive = files.findFirst().orElse(null);
        } catch (java.io.UncheckedIOException | IOException none) {
            archive = null;
        }
        assumeTrue(archive != null, "needs a distribution: ./slate dist");
        Path client = folder.resolve("client");
        assertThat(new ProcessBuilder(
                                "cc",
                                "-o",
                                client.toString(),
                                SweepFileTest.HOME
                                        .resolve("benchmarks/clients/start-up.c")
                                        .toString())
                        .start()
                        .waitFor())
                .isZero();
        cluster();
        // Whose shim it is, stands in the environment; the client creates a VM with it.
        String yaml = """
                jobs:
                  - run: [sh, -c, 'case $LD_PRELOAD in %s/*) exit 9 ;; */slate-*/lib/libslate.so) %s child ;; *) exit 8 ;; esac', '{n}']
                    with: {n: [1, 2, 3, 4]}
                """.formatted(SweepFileTest.HOME.toRealPath(), client);
        assertThat(sweep(master, "archive", yaml, "--archive", archive.toString()))
                .as(said())
                .isZero();
        assertThat(results("archive"))
                .hasSize(4)
                .allSatisfy(
                        result -> assertThat(result.path("result").asString()).isEqualTo("pass"));
    }

    /** No cluster is needed to see what it is asked for: its API server is the test. */
    @Test
    void kubernetesIsAskedForWorkersWithSparksOwnSettings() throws Exception {
        CompletableFuture<JsonNode> pod = new CompletableFuture<>();
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        server.createContext("/", exchange -> {
            byte[] body = exchange.getRequestBody().readAllBytes();
            boolean made = exchange.getRequestMethod().equals("POST");
            if (made && exchange.getRequestURI().getPath().equals("/api/v1/namespaces/lab/pods")) {
                pod.complete(JsonMapper.builder().build().readTree(body));
            }
            byte[] answer = made
                    ? body
                    : "{\"kind\": \"List\", \"apiVersion\": \"v1\", \"metadata\": {}, \"items\": []}"
                            .getBytes(StandardCharsets.UTF_8);
            exchange.getResponseHeaders().add("Content-Type", "application/json");
            exchange.sendResponseHeaders(made ? 201 : 200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        server.start();
        try {
            Path file = folder.resolve("pods.yaml");
            Files.writeString(file, "jobs: [{run: 'true'}]");
            Process sweep = start(spark(
                            "",
                            "-Xmx1g",
                            "-cp",
                            System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")),
                            "-Dslate.home=" + SweepFileTest.HOME.toAbsolutePath(),
                            SweepCommand.class.getName(),
                            "--master",
                            "k8s://http://127.0.0.1:" + server.getAddress().getPort(),
                            "--conf",
                            "spark.driver.host=127.0.0.1",
                            "--conf",
                            "spark.kubernetes.namespace=lab",
                            "--conf",
                            "spark.kubernetes.container.image=example.org/spark-with-jdk-25",
                            "--output",
                            folder.resolve("pods").toString(),
                            file.toString())
                    .redirectOutput(folder.resolve("pods.log").toFile()));
            sweep.onExit().thenRun(() -> pod.completeExceptionally(new AssertionError("the sweep has ended")));
            JsonNode asked = pod.get(5, TimeUnit.MINUTES);
            assertThat(asked.path("spec")
                            .path("containers")
                            .path(0)
                            .path("image")
                            .asString())
                    .isEqualTo("example.org/spark-with-jdk-25");
        } catch (ExecutionException | TimeoutException e) {
            throw new AssertionError(Files.readString(folder.resolve("pods.log")), e);
        } finally {
            server.stop(0);
        }
    }

    @Test
    void aMasterThatIsNotThereAndAMachineWithoutDiskAreSaid() throws Exception {
        String before = System.getProperty("java.io.tmpdir");
        System.setProperty("java.io.tmpdir", "/proc/no/such");
        try {
            assertThat(sweep("local[1]", "none", "jobs: [{run: 'true'}]")).isEqualTo(SweepCommand.UNABLE);
        } finally {
            System.setProperty("java.io.tmpdir", before);
        }
        assertThat(results("none")).isEmpty();
        assertThat(said()).contains("can't write to /proc/no/such: no such folder");
        assertThat(sweep("sparkle://x", "none", "jobs: [{run: 'true'}]")).isEqualTo(SweepCommand.UNABLE);
        assertThat(said()).contains("Spark can't use the master sparkle://x");
    }

    private static String numbers(int count) {
        StringBuilder numbers = new StringBuilder("1");
        for (int i = 2; i <= count; i++) {
            numbers.append(", ").append(i);
        }
        return numbers.toString();
    }
}
