package dev.slate.cli;

import dev.slate.device.stats.StatsFolder;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import tools.jackson.databind.json.JsonMapper;

/** Shows the statistics of running VMs, as kvm_stat and top do. */
@Command(
        name = "stat",
        description = {
            "Shows the statistics of the virtual machines that run on Slate: totals and rates per second, the busiest first.",
            "Without PID it lists the virtual machines. A virtual machine shows up when it is a second old."
        },
        footer = {
            "",
            "On a terminal the picture is renewed until q or control-C is pressed; elsewhere a table is printed each time.",
            "",
            "example: slate stat --once 4711"
        })
final class StatCommand implements Runnable {
    @Parameters(
            paramLabel = "PID",
            arity = "0..1",
            description = "Process whose virtual machines are shown, or PID-FD for one of them.")
    private @Nullable String pid;

    @Option(names = "--once", description = "Show totals once and end; no rates.")
    private boolean once;

    @Option(names = "--json", description = "One JSON object a line, with totals and rates by KVM's names.")
    private boolean json;

    @Option(names = "--all", description = "Statistics that are 0 as well.")
    private boolean all;

    @Option(
            names = "--sort",
            paramLabel = "KEY",
            defaultValue = "rate",
            description = "rate, total or name (default: ${DEFAULT-VALUE}).")
    private StatTable.Key sort = StatTable.Key.rate;

    @Option(
            names = "--interval",
            paramLabel = "SECONDS",
            defaultValue = "1",
            description = "Time between pictures (default: ${DEFAULT-VALUE}); values change once a second.")
    private double interval = 1;

    private final Map<String, StatSample> last = new LinkedHashMap<>();

    @Override
    public void run() {
        if (!(interval >= 0.1 && interval <= 3600)) {
            throw new UserException("--interval: seconds from 0.1 to 3600");
        }
        try {
            Path root = StatsFolder.root();
            StatsFolder.clean(root);
            if (once) {
                show(root, System.out, Integer.MAX_VALUE);
                if (pid != null && last.isEmpty()) {
                    throw new UserException(
                            "no virtual machine of process " + pid + " on Slate; `slate stat` lists those there are.");
                }
                return;
            }
            try (StatScreen screen = StatScreen.open(!json)) {
                do {
                    show(root, screen.begin(), screen.rows());
                    screen.end();
                    if (last.isEmpty() && !json && !screen.terminal()) {
                        return; // nobody watches, and there is nothing to follow
                    }
                    if (pid != null && last.isEmpty()) {
                        throw new UserException("no virtual machine of process " + pid
                                + " on Slate; `slate stat` lists those there are.");
                    }
                } while (screen.sleep((long) (interval * 1000)));
            }
        } catch (IOException e) {
            throw new UserException("can't read the statistics: " + Wording.of(e));
        }
    }

    private void show(Path root, PrintStream out, int rows) throws IOException {
        List<StatSample> samples = new ArrayList<>();
        for (Path folder : folders(root)) {
            StatSample sample = StatSample.read(folder);
            if (sample != null) {
                StatSample before = last.get(sample.vm());
                samples.add(before == null ? sample : sample.since(before));
            }
        }
        last.clear();
        for (StatSample s : samples) {
            last.put(s.vm(), s);
        }
        if (json) {
            JsonMapper mapper = new JsonMapper();
            for (StatSample s : samples) {
                out.println(mapper.writeValueAsString(s.toMap()));
            }
        } else if (pid == null) {
            StatTable.machines(samples, out);
        } else {
            for (StatSample s : samples) {
                StatTable.statistics(s, sort, all, rows / samples.size(), out);
            }
        }
    }

    /** The folders of the process that was asked for, or of all, by process and descriptor. */
    private List<Path> folders(Path root) throws IOException {
        List<Path> found = new ArrayList<>();
        if (!Files.isDirectory(root)) {
            return found;
        }
        try (Stream<Path> entries = Files.list(root)) {
            entries.filter(f -> {
                        String name = f.getFileName().toString();
                        return name.matches("\\d+-\\d+")
                                && (pid == null || name.equals(pid) || name.startsWith(pid + "-"));
                    })
                    .sorted((a, b) -> Long.compare(order(a), order(b)))
                    .forEach(found::add);
        }
        return found;
    }

    private static long order(Path folder) {
        String[] numbers = folder.getFileName().toString().split("-");
        return Long.parseLong(numbers[0]) << 24 | Long.parseLong(numbers[1]);
    }
}
