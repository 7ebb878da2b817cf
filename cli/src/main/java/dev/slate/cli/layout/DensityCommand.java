package dev.slate.cli.layout;

import dev.slate.layout.Aggregate;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.density.Density;
import dev.slate.layout.density.DensitySvg;
import dev.slate.layout.density.DensityText;
import dev.slate.layout.density.Heat;
import dev.slate.layout.text.Json;
import java.io.Console;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Draws which bytes of a type are used. */
@Command(
        name = "density",
        sortOptions = false,
        description = {
            "Draws a type: one character for each byte or bit, one row for each cache line; members, holes (.) and"
                    + " padding (_) told apart, in colour where the terminal has it.",
            "",
            "A heat file is what slate heat wrote, or has one line for each place: COUNT OFFSET, COUNT FIRST-LAST or"
                    + " COUNT MEMBER; # starts a comment.",
            "",
            "Exit status: 0, 2 for a wrong option, 3 if a file cannot be read or has no such type.",
            ""
        },
        footer = {"", "example: slate layout density kvm_vcpu kvm.o --heat exits.heat --html kvm_vcpu.html"})
final class DensityCommand implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "TYPE")
    private String type = "";

    @Parameters(index = "1", paramLabel = "FILE")
    private String file = "";

    @Option(names = "--bits", description = "One character for each bit.")
    private boolean bits;

    @Option(names = "--inside", description = "Open the structs inside, so that their own holes show.")
    private boolean inside;

    @Option(names = "--heat", paramLabel = "FILE", description = "Show how often each byte is used.")
    private @Nullable Path heat;

    @Option(names = "--svg", paramLabel = "FILE", description = "Write the picture as SVG.")
    private @Nullable Path svg;

    @Option(names = "--html", paramLabel = "FILE", description = "Write the picture and a table as a page.")
    private @Nullable Path html;

    @Option(
            names = "--color",
            paramLabel = "always|never|auto",
            defaultValue = "auto",
            description = "Default: ${DEFAULT-VALUE}.")
    private String color = "auto";

    @Mixin
    private FileOptions files = new FileOptions();

    @Override
    public Integer call() {
        return LayoutCommand.guarded(() -> {
            PrintStream out = FileOptions.out();
            try (LayoutSource source = files.open(file)) {
                Aggregate aggregate = FileOptions.need(source, type);
                Density density = new Density(aggregate, bits, inside);
                Heat counts = heat == null ? null : Heat.read(heat, density, FileOptions.bare(type));
                DensitySvg picture = new DensitySvg(density, counts, files.lineSize());
                if (svg != null) Files.writeString(svg, picture.svg());
                if (html != null) Files.writeString(html, picture.html());
                if (files.json()) {
                    Density.Count count = density.count();
                    Map<String, Object> tree = new LinkedHashMap<>();
                    tree.put("type", density.title());
                    tree.put("unit", bits ? "bit" : "byte");
                    tree.put("used", count.members());
                    tree.put("holes", count.holes());
                    tree.put("padding", count.padding());
                    out.append(Json.write(tree));
                } else {
                    out.append(new DensityText(density, counts, colour(), files.lineSize()).text());
                }
            }
            out.flush();
            return 0;
        });
    }

    private boolean colour() {
        return switch (color) {
            case "always" -> true;
            case "never" -> false;
            default -> {
                Console console = System.console();
                yield System.getenv("NO_COLOR") == null && console != null && console.isTerminal();
            }
        };
    }
}
