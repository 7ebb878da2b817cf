package dev.slate.cli.layout;

import dev.slate.layout.LayoutSource;
import dev.slate.layout.density.Density;
import dev.slate.layout.density.DensitySvg;
import dev.slate.layout.density.Heat;
import dev.slate.layout.density.HeatFile;
import dev.slate.layout.density.HeatTable;
import dev.slate.layout.text.Json;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Tells what exits touched, from a file of {@code slate heat}'s. */
@Command(
        name = "heat",
        hidden = true,
        sortOptions = false,
        description = {
            "Shows what slate heat counted: for each exit reason and type the members and cache lines that an exit"
                    + " reads, writes and touches, and its accesses, as medians over the exits. Lines are counted from the"
                    + " beginning of each object, as layouts show them. With --as the same accesses are laid over two"
                    + " layouts, member by member of the same name.",
            "",
            "Exit status: 0, 2 for a wrong option, 3 if a file cannot be read or lacks what was named.",
            ""
        },
        footer = {"", "example: slate heat report exits.heat --as before.o after.o --type kvm_vcpu"})
final class HeatCommand implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "FILE")
    private Path file = Path.of("");

    @Option(names = "--type", paramLabel = "TYPE", description = "Only this type; may be repeated.")
    private List<String> types = List.of();

    @Option(
            names = "--as",
            arity = "2",
            paramLabel = "LAYOUT",
            description = "Two files with the types: what an exit touches in each.")
    private List<String> as = List.of();

    @Option(
            names = "--least",
            paramLabel = "N",
            defaultValue = "" + HeatComparison.ENOUGH,
            description = "Leave out reasons with fewer exits (default: ${DEFAULT-VALUE}).")
    private long least;

    @Option(
            names = "--html",
            paramLabel = "FILE",
            description = "Write the table as a page; with --from, the coloured picture of each type too.")
    private @Nullable Path html;

    @Option(names = "--from", paramLabel = "FILE", description = "Where the types are described, for the pictures.")
    private @Nullable String from;

    @Mixin
    private FileOptions files = new FileOptions();

    @Override
    public Integer call() {
        return LayoutCommand.guarded(() -> {
            HeatFile heat = HeatFile.read(file);
            List<String> names = types.isEmpty()
                    ? heat.types().stream().map(HeatFile.Counted::name).toList()
                    : types;
            PrintStream out = FileOptions.out();
            if (!as.isEmpty()) {
                laidOver(heat, names, out);
            } else if (files.json()) {
                out.append(Json.write(tree(heat, names)));
            } else {
                out.append(text(heat, names));
            }
            if (html != null) Files.writeString(html, page(heat, names));
            out.flush();
            return 0;
        });
    }

    private HeatTable table(HeatFile heat, String name) {
        return HeatComparison.table(heat, file.toString(), name, null, files.lineSize());
    }

    private void laidOver(HeatFile heat, List<String> names, PrintStream out) {
        List<Object> json = new ArrayList<>();
        try (LayoutSource before = files.open(as.getFirst())) {
            files.anotherBuild();
            try (LayoutSource after = files.open(as.getLast())) {
                for (String name : names) {
                    HeatComparison both = HeatComparison.of(
                            heat,
                            file.toString(),
                            name,
                            FileOptions.need(before, name),
                            FileOptions.need(after, name),
                            files.lineSize());
                    if (files.json()) json.add(both.json(least));
                    else out.append(both.text(least));
                }
            }
        }
        if (files.json()) out.append(Json.write(json));
    }

    private String text(HeatFile heat, List<String> names) {
        StringBuilder out = new StringBuilder();
        for (String name : names) {
            HeatTable table = table(heat, name);
            HeatFile.Counted counted = table.counted();
            out.append(String.format(
                    Locale.ROOT,
                    "%s, %d bytes, %d lines, objects: %d; medians of an exit%n",
                    name,
                    counted.size(),
                    (counted.size() + files.lineSize() - 1) / files.lineSize(),
                    counted.objects()));
            out.append("  reason                exits  fields: read written either  lines: read written either "
                    + " accesses\n");
            for (HeatTable.Row r : table.rows(least)) {
                Object[] numbers = Arrays.stream(r.numbers()).boxed().toArray();
                out.append(String.format(Locale.ROOT, "  %-20s", r.reason()));
                out.append(String.format(Locale.ROOT, " %6d  %12d %7d %6d  %11d %7d %6d  %8d%n", numbers));
            }
        }
        return out.toString();
    }

    private List<Object> tree(HeatFile heat, List<String> names) {
        List<Object> all = new ArrayList<>();
        for (String name : names) {
            HeatTable table = table(heat, name);
            HeatFile.Counted counted = table.counted();
            Map<String, Object> tree = new LinkedHashMap<>();
            tree.put("type", name);
            tree.put("size", counted.size());
            tree.put("objects", counted.objects());
            tree.put("exits", HeatComparison.rows(table, least));
            all.add(tree);
        }
        return all;
    }

    private String page(HeatFile heat, List<String> names) {
        StringBuilder out = new StringBuilder("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n");
        out.append("<title>What an exit touches</title>\n");
        out.append("<style>body{font-family:system-ui,sans-serif}td,th{padding:0 .6em;text-align:right}</style>\n");
        try (LayoutSource source = from == null ? null : files.open(from)) {
            for (String name : names) {
                out.append("<h2>")
                        .append(escape(name))
                        .append("</h2>\n<table><tr><th>reason<th>exits<th>fields read<th>written");
                out.append("<th>either<th>lines read<th>written<th>either<th>accesses</tr>\n");
                for (HeatTable.Row r : table(heat, name).rows(least)) {
                    out.append("<tr><td>").append(escape(r.reason()));
                    for (long n : r.numbers()) out.append("<td>").append(n);
                    out.append("</tr>\n");
                }
                out.append("</table>\n");
                if (source != null) out.append(picture(source, name));
            }
        }
        return out.append("</html>\n").toString();
    }

    /** A type's picture; empty if the file does not have it. */
    private String picture(LayoutSource source, String name) {
        if (FileOptions.find(source, name).isEmpty()) return "";
        Density density = new Density(FileOptions.need(source, name), false, true);
        return new DensitySvg(density, Heat.read(file, density, FileOptions.bare(name)), files.lineSize()).svg();
    }

    private static String escape(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;");
    }
}
