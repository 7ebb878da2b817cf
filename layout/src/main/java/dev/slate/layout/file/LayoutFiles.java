package dev.slate.layout.file;

import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.btf.Btf;
import dev.slate.layout.dwarf.Definitions;
import dev.slate.layout.dwarf.Dwarf;
import dev.slate.layout.elf.Archive;
import dev.slate.layout.elf.ElfFile;
import dev.slate.layout.elf.Image;
import dev.slate.layout.elf.Unpack;
import dev.slate.layout.jvm.JvmClasses;
import java.nio.ByteBuffer;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** Opens what a user names: an ELF file or kernel image, raw BTF, or {@code jvm:CLASSPATH}. */
public final class LayoutFiles {
    /**
     * How to open.
     *
     * @param format "btf" or "dwarf" to insist on one, null to take what there is, DWARF first
     * @param base the file whose BTF a split one continues, null for none
     * @param threads how many DWARF units are read at a time
     */
    public record Options(@Nullable String format, @Nullable Path base, int lineSize, int threads) {
        /** Takes what there is, on all processors, with lines of 64 bytes. */
        public static final Options DEFAULT =
                new Options(null, null, 64, Math.max(1, Runtime.getRuntime().availableProcessors()));
    }

    private LayoutFiles() {}

    /** Opens a file by itself; see the other one. */
    public static LayoutSource open(String name, Options options) {
        return open(name, options, new Definitions());
    }

    /**
     * Opens a file.
     *
     * @param definitions shared by the files of one command: what one of them only declares may be defined in another
     * @throws LayoutException if it cannot be read or has no types, saying which sections were looked for
     */
    public static LayoutSource open(String name, Options options, Definitions definitions) {
        if (name.startsWith("jvm:")) return JvmClasses.open(name.substring(4));
        Path path = path(name);
        Image image = Unpack.kernel(Image.open(path));
        if (Archive.is(image)) {
            LayoutSource archive = Dwarf.open(name, Archive.members(image), options.threads(), definitions);
            if (archive != null) return archive;
            throw new LayoutException(name, "is an archive of whose members none has types. Compile them with -g");
        }
        if (!ElfFile.isElf(image)) {
            if (image.size() < 2) throw new LayoutException(name, "is empty");
            ByteBuffer head = image.slice(0, 2, "the file's head");
            int magic = (head.get(0) & 0xff) << 8 | head.get(1) & 0xff;
            if (magic != 0xeb9f && magic != 0x9feb)
                throw new LayoutException(
                        name, 0, "neither an ELF file, nor an archive of them, nor a kernel image, nor BTF");
            return btf(name, image.slice(0, image.size(), "the BTF"), options);
        }
        ElfFile elf = ElfFile.of(image);
        boolean wantsBtf = "btf".equals(options.format()) || options.base() != null;
        boolean wantsDwarf = "dwarf".equals(options.format());
        boolean dwarf = elf.has(".debug_info") || elf.has(".debug_info.dwo");
        if (!wantsBtf && dwarf) {
            LayoutSource source = Dwarf.open(elf, options.threads(), definitions);
            if (source != null) return source;
        }
        if (!wantsDwarf && elf.has(".BTF")) return btf(name, elf.bytes(".BTF"), options);
        if (!wantsBtf) {
            Dwarf separate = Dwarf.open(elf, options.threads(), definitions);
            if (separate != null) return separate;
        }
        String looked =
                wantsBtf ? "a .BTF section" : wantsDwarf ? "a .debug_info section" : ".debug_info and .BTF sections";
        String link = elf.link(".gnu_debuglink");
        String id = elf.buildId();
        throw new LayoutException(
                name,
                "has no types: " + looked + " and a separate debug file were looked for"
                        + (link != null ? "; it names " + link + " (.gnu_debuglink), which is not installed" : "")
                        + (id != null ? "; its build id is " + id : "")
                        + ". Compile with -g, or install the debug package");
    }

    private static Path path(String name) {
        try {
            return Path.of(name);
        } catch (InvalidPathException e) {
            throw new LayoutException(name, "is no name of a file");
        }
    }

    private static Btf btf(String name, ByteBuffer bytes, Options options) {
        Btf base = null;
        if (options.base() != null) {
            Options own = new Options("btf", null, options.lineSize(), options.threads());
            if (!(open(options.base().toString(), own) instanceof Btf found))
                throw new IllegalStateException("BTF was asked for");
            base = found;
        }
        Btf btf = new Btf(name, bytes, base, options.lineSize());
        if (btf.continuesAnother()) {
            throw new LayoutException(
                    name,
                    "its BTF continues the kernel's: name that too, with --base (a vmlinux, a vmlinuz, or"
                            + " /sys/kernel/btf/vmlinux of the same build)");
        }
        return btf;
    }
}
