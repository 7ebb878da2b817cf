package dev.slate.cli.layout;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Layout;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.Member;
import dev.slate.layout.Platform;
import dev.slate.layout.PointerType;
import dev.slate.layout.Type;
import dev.slate.layout.pack.Packer;
import dev.slate.layout.text.Json;
import dev.slate.layout.text.LayoutJson;
import dev.slate.layout.text.PaholeText;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Lists types as pahole does. */
@Command(
        name = "show",
        sortOptions = false,
        description = {
            "Writes a type, or all, in pahole's text. With --all, --holes, --packable, --sizes, --contains and --pointers-to no TYPE is"
                    + " named, only files.",
            "",
            "Exit status: 0, 1 if the type is in none of the files, 2 for a wrong option, 3 if a file cannot be read.",
            ""
        },
        footer = {
            "",
            "example: slate layout show kvm_vcpu --base /boot/vmlinuz-$(uname -r) kvm.ko",
            "example: slate layout show --holes 3 build/app.o",
            "example: slate layout show java.util.HashMap jvm:"
        })
final class ShowCommand implements Callable<Integer> {
    @Parameters(paramLabel = "[TYPE] FILE", arity = "1..*", description = "The type and the files.")
    private List<String> words = List.of();

    @Option(names = "--all", description = "Every struct, class and union that has a name.")
    private boolean all;

    @Option(names = "--holes", paramLabel = "N", description = "Those with at least N holes.")
    private @Nullable Integer holes;

    @Option(
            names = "--packable",
            description = "Those that a better order makes smaller: name, size, new size, savings.")
    private boolean packable;

    @Option(names = "--sizes", description = "Name, size and number of holes of each.")
    private boolean sizes;

    @Option(names = "--contains", paramLabel = "TYPE", description = "The names of those with a member of that type.")
    private @Nullable String contains;

    @Option(names = "--pointers-to", paramLabel = "TYPE", description = "The members that point to that type.")
    private @Nullable String pointersTo;

    @Option(names = "--expand", description = "Write the types of members inside out.")
    private boolean expand;

    @Option(names = "--hex", description = "Write offsets and sizes in hexadecimal.")
    private boolean hex;

    @Mixin
    private FileOptions files = new FileOptions();

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Override
    public Integer call() {
        return LayoutCommand.guarded(() -> {
            PrintStream out = FileOptions.out();
            int status = many() ? many(out) : one(out);
            out.flush();
            return status;
        });
    }

    private boolean many() {
        return all || holes != null || packable || sizes || contains != null || pointersTo != null;
    }

    private PaholeText.Options options() {
        return new PaholeText.Options(expand, hex, files.lineSize());
    }

    private int one(PrintStream out) {
        if (words.size() < 2)
            throw new CommandLine.ParameterException(spec.commandLine(), "name a type and a file, or use --all");
        String name = words.getFirst();
        List<Object> json = new ArrayList<>();
        boolean found = false;
        for (String file : words.subList(1, words.size())) {
            try (LayoutSource source = files.open(file)) {
                Type type = source.find(FileOptions.bare(name));
                if (type == null) {
                    System.err.println("slate: " + file + " has no type " + name + " in its " + source.format());
                    continue;
                }
                found = true;
                if (files.json()) {
                    Map<String, Object> tree = LayoutJson.of(type, files.lineSize());
                    tree.put("file", file);
                    json.add(tree);
                } else {
                    StringBuilder text = new StringBuilder();
                    new PaholeText(text, options()).write(type);
                    out.append(text);
                }
            }
        }
        if (files.json()) out.append(Json.write(json));
        return found ? 0 : LayoutCommand.FOUND;
    }

    private int many(PrintStream out) {
        List<Object> json = new ArrayList<>();
        for (String file : words) {
            try (LayoutSource source = files.open(file)) {
                StringBuilder text = new StringBuilder();
                source.forEachAggregate(each(source, text, json, out));
                flush(text, out);
            }
        }
        if (files.json()) out.append(Json.write(json));
        return 0;
    }

    private Consumer<Aggregate> each(LayoutSource source, StringBuilder text, List<Object> json, PrintStream out) {
        PaholeText listing = new PaholeText(text, options());
        @Nullable String wanted = contains != null ? contains : pointersTo;
        if (wanted != null && source.find(FileOptions.bare(wanted)) == null) {
            throw new LayoutException(source.name(), "has no type " + wanted + " in its " + source.format());
        }
        return aggregate -> {
            if (contains != null) contains(aggregate, FileOptions.bare(contains), text, json);
            else if (pointersTo != null) pointers(aggregate, FileOptions.bare(pointersTo), text, json);
            else if (packable) packable(aggregate, text, json);
            else if (holes != null && (aggregate.isUnion() || aggregate.layout().holeCount() < holes)) return;
            else if (sizes) sizes(aggregate, text, json);
            else if (files.json()) json.add(LayoutJson.of(aggregate, files.lineSize()));
            else listing.write(aggregate);
            if (text.length() > 1 << 16) flush(text, out);
        };
    }

    /** Writes what was listed so far, as bytes: a stream's own encoder takes longer than the listing. */
    private static void flush(StringBuilder text, PrintStream out) {
        byte[] bytes = text.toString().getBytes(StandardCharsets.UTF_8);
        out.write(bytes, 0, bytes.length);
        text.setLength(0);
    }

    private void sizes(Aggregate aggregate, StringBuilder text, List<Object> json) {
        Layout layout = aggregate.layout();
        if (files.json())
            json.add(Map.of(
                    "name", String.valueOf(aggregate.name()), "size", aggregate.size(), "holes", layout.holeCount()));
        else
            text.append(aggregate.name())
                    .append('\t')
                    .append(aggregate.size())
                    .append('\t')
                    .append(layout.holeCount())
                    .append('\n');
    }

    private void packable(Aggregate aggregate, StringBuilder text, List<Object> json) {
        if (aggregate.isUnion()
                || aggregate.layout().holeCount() == 0 && aggregate.layout().bitHoleCount() == 0) return;
        Packer.Wish wish = new Packer.Wish(false, Set.of(), files.lineSize());
        long size = Packer.pack(aggregate, Platform.SYSTEM_V, wish).aggregate().size();
        if (size >= aggregate.size()) return;
        if (files.json()) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("name", aggregate.name());
            one.put("size", aggregate.size());
            one.put("packed", size);
            one.put("saved", aggregate.size() - size);
            json.add(one);
        } else {
            text.append(aggregate.name())
                    .append('\t')
                    .append(aggregate.size())
                    .append('\t')
                    .append(size)
                    .append('\t')
                    .append(aggregate.size() - size)
                    .append('\n');
        }
    }

    private void contains(Aggregate aggregate, String wanted, StringBuilder text, List<Object> json) {
        for (Member member : aggregate.members()) {
            Type type = member.type();
            if (type == null || !wanted.equals(type.name())) continue;
            if (files.json()) json.add(String.valueOf(aggregate.name()));
            else text.append(aggregate.name()).append('\n');
            return;
        }
    }

    private void pointers(Aggregate aggregate, String wanted, StringBuilder text, List<Object> json) {
        for (Member member : aggregate.members()) {
            if (!(member.type() instanceof PointerType pointer)) continue;
            Type target = pointer.target();
            if (target == null || !wanted.equals(target.name())) continue;
            if (files.json())
                json.add(Map.of("type", String.valueOf(aggregate.name()), "member", String.valueOf(member.name())));
            else
                text.append(aggregate.name()).append(": ").append(member.name()).append('\n');
        }
    }
}
