package dev.slate.cli.layout;

import dev.slate.layout.Aggregate;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.compare.DiffText;
import dev.slate.layout.compare.SourceDiff;
import dev.slate.layout.compare.TypeDiff;
import dev.slate.layout.density.HeatFile;
import dev.slate.layout.text.Json;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Compares types of two files. */
@Command(
        name = "diff",
        sortOptions = false,
        description = {
            "Compares types before and after a change: size, cachelines, holes, moved, resized, added and dropped"
                    + " members, members that change cacheline, slab class and page order, locks that now share a line."
                    + " Without TYPE, all that both files have and that differ.",
            "",
            "Exit status: 0 if nothing differs, 1 if something does, 2 for a wrong option, 3 if a file cannot be read.",
            ""
        },
        footer = {"", "example: slate layout diff before/kvm.o after/kvm.o kvm_vcpu"})
final class DiffCommand implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "BEFORE")
    private String before = "";

    @Parameters(index = "1", paramLabel = "AFTER")
    private String after = "";

    @Parameters(index = "2..*", paramLabel = "TYPE")
    private List<String> types = List.of();

    @Option(
            names = "--cache-align",
            paramLabel = "BYTES",
            defaultValue = "0",
            description = "The alignment of the type's own kmem_cache.")
    private long alignment;

    @Option(
            names = "--cpus",
            paramLabel = "N",
            defaultValue = "64",
            description = "Processors of the machine whose slabs are computed (default: ${DEFAULT-VALUE}).")
    private int cpus;

    @Option(
            names = "--heat",
            paramLabel = "FILE",
            description = "What slate heat wrote: say how many lines an exit touches in both.")
    private @Nullable Path heat;

    private @Nullable HeatFile counts;

    @Mixin
    private FileOptions files = new FileOptions();

    @Override
    public Integer call() {
        return LayoutCommand.guarded(() -> {
            PrintStream out = FileOptions.out();
            List<Object> json = new ArrayList<>();
            boolean any = false;
            boolean unread = false;
            if (heat != null) counts = HeatFile.read(heat);
            try (LayoutSource old = files.open(before)) {
                files.anotherBuild();
                try (LayoutSource now = files.open(after)) {
                    if (types.isEmpty()) {
                        List<LayoutException> problems = new ArrayList<>();
                        SourceDiff diff = new SourceDiff(old, now, problems::add);
                        for (LayoutException problem : problems) System.err.println("slate: " + problem.getMessage());
                        unread = !problems.isEmpty();
                        for (SourceDiff.Pair pair : diff.differing()) any |= pair(pair, out, json);
                        if (!any && !files.json())
                            out.append("none of the " + diff.compared() + " types that both files have differs\n");
                    } else {
                        for (String type : types) any |= named(old, now, type, out, json);
                    }
                }
            }
            if (files.json()) out.append(Json.write(json));
            out.flush();
            return any ? LayoutCommand.FOUND : unread ? LayoutCommand.UNABLE : 0;
        });
    }

    private boolean named(LayoutSource old, LayoutSource now, String type, PrintStream out, List<Object> json) {
        return one(FileOptions.need(old, type), FileOptions.need(now, type), FileOptions.bare(type), out, json, true);
    }

    private boolean pair(SourceDiff.Pair pair, PrintStream out, List<Object> json) {
        Aggregate old = pair.before();
        Aggregate now = pair.after();
        if (old != null && now != null) return one(old, now, pair.name(), out, json, false);
        Aggregate alone = old != null ? old : now;
        if (alone == null) return false;
        String line = pair.name() + ": a layout of " + alone.size() + " bytes ("
                + alone.where().unit() + ") is only in " + (old != null ? before : after);
        if (files.json()) json.add(Map.of("type", pair.name(), "only_in", old != null ? before : after));
        else out.append(line).append("\n\n");
        return true;
    }

    private boolean one(Aggregate old, Aggregate now, String name, PrintStream out, List<Object> json, boolean always) {
        TypeDiff diff = new TypeDiff(old, now, files.lineSize(), name);
        if (!diff.any() && !always) return false;
        DiffText text = new DiffText(diff, alignment, cpus);
        HeatComparison exits = counts == null || !always && counts.type(name) < 0
                ? null
                : HeatComparison.of(counts, String.valueOf(heat), name, old, now, files.lineSize());
        if (files.json()) {
            Map<String, Object> tree = text.json();
            if (exits != null) tree.put("exits", exits.json(HeatComparison.ENOUGH));
            json.add(tree);
        } else {
            out.append(text.text()).append(types.size() == 1 ? "" : "\n");
            if (exits != null) out.append(exits.text(HeatComparison.ENOUGH));
        }
        return diff.any();
    }
}
