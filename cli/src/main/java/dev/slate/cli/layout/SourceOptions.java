package dev.slate.cli.layout;

import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.dwarf.Definitions;
import dev.slate.layout.file.LayoutFiles;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The options that every command which reads types has. */
class SourceOptions {
    @Option(
            names = "--base",
            paramLabel = "FILE",
            description = "The vmlinux, vmlinuz or BTF that a module's BTF continues.")
    private @Nullable Path base;

    @Option(
            names = "--cacheline-size",
            paramLabel = "BYTES",
            defaultValue = "64",
            description = "Bytes of a cache line (default: ${DEFAULT-VALUE}).")
    private int lineSize;

    @Option(names = "--json", description = "Write JSON.")
    private boolean json;

    /** Shared by the files of one command. */
    private Definitions definitions = new Definitions();

    /** From here on files belong to another build: its definitions are not those of the files before. */
    final void anotherBuild() {
        definitions = new Definitions();
    }

    final int lineSize() {
        if (lineSize < 1 || lineSize > 4096)
            throw new LayoutException("--cacheline-size", "a line of " + lineSize + " bytes");
        return lineSize;
    }

    final boolean json() {
        return json;
    }

    /** The one format that is read, null for whichever a file has. */
    @Nullable
    String format() {
        return null;
    }

    /** What one file only declares may be defined in another that was opened before. */
    final LayoutSource open(String file) {
        LayoutFiles.Options options =
                new LayoutFiles.Options(format(), base, lineSize(), LayoutFiles.Options.DEFAULT.threads());
        return LayoutFiles.open(file, options, definitions);
    }
}
