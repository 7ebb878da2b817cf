package dev.slate.cli.layout;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Ambiguous;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.Type;
import dev.slate.layout.TypedefType;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The options that every command which shows types has. */
final class FileOptions extends SourceOptions {
    @Option(
            names = "--format",
            paramLabel = "btf|dwarf",
            description = "Insist on one; DWARF is taken first otherwise.")
    private @Nullable String format;

    @Override
    @Nullable
    String format() {
        if (format != null && !format.equals("btf") && !format.equals("dwarf")) {
            throw new LayoutException("--format", "\"" + format + "\" is not known; btf and dwarf are");
        }
        return format;
    }

    /** The name without the keyword that some write before it. */
    static String bare(String name) {
        for (String word : new String[] {"struct ", "union ", "class ", "enum "}) {
            if (name.startsWith(word)) return name.substring(word.length()).strip();
        }
        return name;
    }

    /** A struct, class or union of that name, looked for behind typedefs too. */
    static Aggregate need(LayoutSource source, String name) {
        Type type = one(source, name);
        if (Type.strip(type) instanceof Aggregate aggregate) return aggregate;
        throw new LayoutException(source.name(), name + " is no struct, class or union");
    }

    /**
     * The type of that name.
     *
     * @throws LayoutException if there is none, with names that are like it, or if the name may mean several
     */
    static Type one(LayoutSource source, String name) {
        List<Type> found = find(source, name);
        if (found.size() == 1) return found.getFirst();
        throw new LayoutException(source.name(), found.isEmpty() ? missing(source, name) : several(name, found));
    }

    /** What a name may mean. */
    static List<Type> find(LayoutSource source, String name) {
        String bare = bare(name);
        List<Type> found = source.find(List.of(bare)).getOrDefault(bare, List.of());
        return bare.equals(name)
                ? found
                : found.stream().filter(t -> !(t instanceof TypedefType)).toList();
    }

    static String missing(LayoutSource source, String name) {
        List<String> similar = source.similar(bare(name));
        return "has no type " + name + " in its " + source.format()
                + (similar.isEmpty()
                        ? "; `slate layout show --sizes` lists what it has"
                        : "; it has " + String.join(", ", similar));
    }

    static String several(String name, List<Type> found) {
        return name + " may be any of these, say which:\n       " + String.join("\n       ", Ambiguous.lines(found));
    }

    /** Standard output, buffered: listings are long. The caller flushes it. */
    static PrintStream out() {
        return new PrintStream(
                new java.io.BufferedOutputStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), 1 << 16),
                false,
                StandardCharsets.UTF_8);
    }
}
