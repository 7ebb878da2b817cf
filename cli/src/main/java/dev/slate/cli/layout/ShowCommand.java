package dev.slate.cli.layout;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Distinct;
import dev.slate.layout.Layout;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.Member;
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

    @Option(
            names = "--as",
            paramLabel = "truth|pahole",
            defaultValue = "truth",
            description = "pahole writes pahole 1.24's text also where it is not true; docs/layout.md lists where.")
    private String as = "truth";

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
        if (!as.equals("truth") && !as.equals("pahole"))
            throw new LayoutException("--as", "\"" + as + "\" is not known; truth and pahole are");
        return new PaholeText.Options(expand, hex, files.lineSize(), as.equals("pahole"));
    }

    /** Opens each file and works on it; one that has no types, or cannot be read, is told and the others are served. */
    private int each(List<String> names, Consumer<LayoutSource> work) {
        List<LayoutSource> sources = new ArrayList<>();
        int unable = 0;
        for (String name : names) {
            try {
                sources.add(files.open(name));
            } catch (LayoutException e) {
                System.err.println("slate: " + e.getMessage());
                unable++;
            }
        }
        for (LayoutSource source : sources) {
            try (source) {
                work.accept(source);
            } catch (LayoutException e) {
                System.err.println("slate: " + e.getMessage());
                unable++;
            }
        }
        return unable;
    }

    private int one(PrintStream out) {
        if (words.size() < 2)
            throw new CommandLine.ParameterException(spec.commandLine(), "name a type and a file, or use --all");
        String name = words.getFirst();
        PaholeText.Options options = options();
        List<Object> json = new ArrayList<>();
        boolean[] found = new boolean[2];
        int unable = each(words.subList(1, words.size()), source -> {
            List<Type> types = FileOptions.find(source, name);
            if (types.size() != 1) {
                found[1] |= !types.isEmpty();
                System.err.println(
                        types.isEmpty()
                                ? "slate: " + source.name() + " " + FileOptions.missing(source, name)
                                : "slate: " + source.name() + ": " + FileOptions.several(name, types));
                return;
            }
            found[0] = true;
            if (files.json()) {
                Map<String, Object> tree = LayoutJson.of(types.getFirst(), files.lineSize());
                tree.put("file", source.name());
                json.add(tree);
            } else {
                StringBuilder text = new StringBuilder();
                new PaholeText(text, options).write(types.getFirst());
                out.append(text);
            }
        });
        if (files.json()) out.append(Json.write(json));
        if (found[0] && !found[1]) return 0;
        return unable > 0 && !found[1] ? LayoutCommand.UNABLE : LayoutCommand.FOUND;
    }

    private int many(PrintStream out) {
        PaholeText.Options options = options();
        List<Object> json = new ArrayList<>();
        int[] types = new int[1];
        int[] leftOut = new int[1];
        int unable = each(words, source -> {
            StringBuilder text = new StringBuilder();
            Consumer<Aggregate> each = each(source, text, json, out, options);
            int before = types[0];
            source.forEachAggregate(
                    aggregate -> {
                        types[0]++;
                        int start = text.length();
                        try {
                            each.accept(aggregate);
                        } catch (LayoutException e) {
                            text.setLength(Math.min(text.length(), start));
                            throw e;
                        }
                    },
                    problem -> {
                        leftOut[0]++;
                        System.err.println("slate: left out: " + problem.getMessage());
                    });
            flush(text, out);
            if (types[0] == before && leftOut[0] == 0)
                System.err.println("slate: " + source.name() + " has no struct, class or union in its "
                        + source.format() + "; was it compiled with -g1 or less?");
        });
        if (files.json()) out.append(Json.write(json));
        return unable > 0 ? LayoutCommand.UNABLE : types[0] == 0 ? LayoutCommand.FOUND : 0;
    }

    private Consumer<Aggregate> each(
            LayoutSource source, StringBuilder text, List<Object> json, PrintStream out, PaholeText.Options options) {
        PaholeText listing = new PaholeText(text, options);
        Distinct first = new Distinct(false);
        @Nullable String wanted = contains != null ? contains : pointersTo;
        String name = wanted == null
                ? ""
                : String.valueOf(FileOptions.one(source, wanted).qualifiedName());
        return aggregate -> {
            if (contains != null) contains(aggregate, name, text, json);
            else if (pointersTo != null) pointers(aggregate, name, text, json);
            else if (packable) packable(aggregate, text, json);
            else if (holes != null && (aggregate.isUnion() || aggregate.layout().holeCount() < holes)) return;
            else if (sizes) sizes(aggregate, text, json);
            else if (files.json()) json.add(LayoutJson.of(aggregate, files.lineSize()));
            else if (!options.pahole() || first.first(aggregate)) listing.write(aggregate);
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
        if (files.json()) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("name", aggregate.qualifiedName());
            one.put("size", aggregate.sizeKnown() ? aggregate.size() : null);
            one.put("holes", layout.holeCount());
            json.add(one);
        } else {
            text.append(aggregate.qualifiedName())
                    .append('\t')
                    .append(aggregate.sizeKnown() ? Long.toString(aggregate.size()) : "?")
                    .append('\t')
                    .append(layout.holeCount())
                    .append('\n');
        }
    }

    private void packable(Aggregate aggregate, StringBuilder text, List<Object> json) {
        if (aggregate.isUnion()) return;
        Layout layout = aggregate.layout();
        if (layout.holeCount() == 0 && layout.bitHoleCount() == 0) return;
        Packer.Proposal proposal = Packer.pack(aggregate, new Packer.Wish(false, Set.of(), files.lineSize()));
        if (!proposal.made()) return;
        long size = proposal.aggregate().size();
        if (files.json()) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("name", aggregate.qualifiedName());
            one.put("size", aggregate.size());
            one.put("packed", size);
            one.put("saved", aggregate.size() - size);
            json.add(one);
        } else {
            text.append(aggregate.qualifiedName())
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
            if (type == null || !wanted.equals(type.qualifiedName())) continue;
            if (files.json()) json.add(String.valueOf(aggregate.qualifiedName()));
            else text.append(aggregate.qualifiedName()).append('\n');
            return;
        }
    }

    private void pointers(Aggregate aggregate, String wanted, StringBuilder text, List<Object> json) {
        for (Member member : aggregate.members()) {
            if (!(member.type() instanceof PointerType pointer)) continue;
            Type target = pointer.target();
            if (target == null || !wanted.equals(target.qualifiedName())) continue;
            String name = String.valueOf(aggregate.qualifiedName());
            if (files.json()) json.add(Map.of("type", name, "member", String.valueOf(member.name())));
            else text.append(name).append(": ").append(member.name()).append('\n');
        }
    }
}
