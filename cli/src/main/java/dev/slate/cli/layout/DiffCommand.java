package dev.slate.cli.layout;

import dev.slate.layout.Aggregate;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.Type;
import dev.slate.layout.compare.DiffText;
import dev.slate.layout.compare.TypeDiff;
import dev.slate.layout.text.Json;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Compares types of two files. */
@Command(
        name = "diff",
        sortOptions = false,
        description = {
            "Compares types before and after a change: size, cachelines, holes, moved, resized, added and dropped members, members that"
                    + " change cacheline, slab class and page order, locks that now share a line. Without TYPE, all that both files have and that"
                    + " differ.",
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

    @Mixin
    private FileOptions files = new FileOptions();

    @Override
    public Integer call() {
        return LayoutCommand.guarded(() -> {
            PrintStream out = FileOptions.out();
            List<Object> json = new ArrayList<>();
            boolean any = false;
            try (LayoutSource old = files.open(before);
                    LayoutSource now = files.open(after)) {
                if (types.isEmpty()) {
                    any = all(old, now, out, json);
                } else {
                    for (String type : types) {
                        any |= one(FileOptions.need(old, type), FileOptions.need(now, type), out, json, true);
                    }
                }
            }
            if (files.json()) out.append(Json.write(json));
            else if (types.isEmpty() && !any) out.append("no type that both files have differs\n");
            out.flush();
            return any ? LayoutCommand.FOUND : 0;
        });
    }

    private boolean one(Aggregate old, Aggregate now, PrintStream out, List<Object> json, boolean always) {
        TypeDiff diff = new TypeDiff(old, now, files.lineSize());
        if (!diff.any() && !always) return false;
        DiffText text = new DiffText(diff, alignment, cpus);
        if (files.json()) json.add(text.json());
        else out.append(text.text()).append(types.size() == 1 ? "" : "\n");
        return diff.any();
    }

    private boolean all(LayoutSource old, LayoutSource now, PrintStream out, List<Object> json) {
        Map<String, String> prints = new LinkedHashMap<>();
        now.forEachAggregate(a -> prints.putIfAbsent(String.valueOf(a.name()), print(a)));
        List<String> differ = new ArrayList<>();
        old.forEachAggregate(a -> {
            String print = prints.remove(String.valueOf(a.name()));
            if (print != null && !print.equals(print(a))) differ.add(String.valueOf(a.name()));
        });
        boolean any = false;
        for (String name : differ) {
            Type a = old.find(name);
            Type b = now.find(name);
            if (a instanceof Aggregate x && b instanceof Aggregate y) any |= one(x, y, out, json, false);
            else throw new LayoutException(name, "was there a moment ago");
        }
        return any;
    }

    /** Everything that a difference would show in. */
    private static String print(Aggregate aggregate) {
        StringBuilder text = new StringBuilder();
        text.append(aggregate.size());
        for (var flat : dev.slate.layout.Flat.members(aggregate)) {
            text.append(';')
                    .append(flat.path())
                    .append('@')
                    .append(flat.bitOffset())
                    .append('+')
                    .append(flat.bits());
        }
        return text.toString();
    }
}
