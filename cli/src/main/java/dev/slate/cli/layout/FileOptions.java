package dev.slate.cli.layout;

import dev.slate.layout.Aggregate;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.Type;
import dev.slate.layout.file.LayoutFiles;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The options that every command which reads types has. */
final class FileOptions {
    @Option(
            names = "--base",
            paramLabel = "FILE",
            description = "The vmlinux, vmlinuz or BTF that a module's BTF continues.")
    private @Nullable Path base;

    @Option(
            names = "--format",
            paramLabel = "btf|dwarf",
            description = "Insist on one; DWARF is taken first otherwise.")
    private @Nullable String format;

    @Option(
            names = "--cacheline-size",
            paramLabel = "BYTES",
            defaultValue = "64",
            description = "Bytes of a cache line (default: ${DEFAULT-VALUE}).")
    private int lineSize;

    @Option(names = "--json", description = "Write JSON.")
    private boolean json;

    int lineSize() {
        if (lineSize < 1 || lineSize > 4096)
            throw new LayoutException("--cacheline-size", "a line of " + lineSize + " bytes");
        return lineSize;
    }

    boolean json() {
        return json;
    }

    LayoutSource open(String file) {
        if (format != null && !format.equals("btf") && !format.equals("dwarf")) {
            throw new LayoutException("--format", "\"" + format + "\" is not known; btf and dwarf are");
        }
        return LayoutFiles.open(
                file, new LayoutFiles.Options(format, base, lineSize(), LayoutFiles.Options.DEFAULT.threads()));
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
        Type type = source.find(bare(name));
        if (type == null)
            throw new LayoutException(source.name(), "has no type " + name + " in its " + source.format());
        if (Type.strip(type) instanceof Aggregate aggregate) return aggregate;
        throw new LayoutException(source.name(), name + " is no struct, class or union");
    }

    /** Standard output, buffered: listings are long. The caller flushes it. */
    static PrintStream out() {
        return new PrintStream(
                new java.io.BufferedOutputStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), 1 << 16),
                false,
                StandardCharsets.UTF_8);
    }
}
