package dev.slate.layout.elf;

import dev.slate.layout.LayoutException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * An ELF file of either class and byte order (System V ABI, "Object Files"). Sections are mapped, unpacked and relocated when they are asked
 * for. Not thread-safe; the buffers that it hands out may be read by many threads.
 */
public final class ElfFile implements AutoCloseable {
    /** A section header. Offsets and sizes in bytes. */
    public record Section(
            int index,
            String name,
            int type,
            long flags,
            long address,
            long offset,
            long size,
            int link,
            int info,
            long entrySize) {}

    /** A symbol. */
    public record Symbol(String name, long value, long size, int type, int binding, int section) {}

    private static final int NOBITS = 8;
    private static final int COMPRESSED = 0x800;

    private final Image image;
    private final ByteOrder order;
    private final boolean wide;
    private final int type;
    private final int machine;
    private final List<Section> sections;
    private final Map<String, Section> byName = new HashMap<>();
    private final Map<String, ByteBuffer> loaded = new HashMap<>();

    private ElfFile(Image image) {
        this.image = image;
        ByteBuffer ident = image.slice(0, Math.min(64, image.size()), "the ELF header");
        wide = switch (ident.get(4)) {
            case 1 -> false;
            case 2 -> true;
            default -> throw broken(4, "the ELF class is " + ident.get(4) + ", neither 32 nor 64 bits");
        };
        order = switch (ident.get(5)) {
            case 1 -> ByteOrder.LITTLE_ENDIAN;
            case 2 -> ByteOrder.BIG_ENDIAN;
            default -> throw broken(5, "the byte order is " + ident.get(5) + ", neither little nor big");
        };
        ByteBuffer head = image.slice(0, wide ? 64 : 52, "the file's header").order(order);
        type = Short.toUnsignedInt(head.getShort(16));
        machine = Short.toUnsignedInt(head.getShort(18));
        sections = readSections(head);
        for (Section section : sections) byName.putIfAbsent(section.name(), section);
    }

    /** Whether an image starts like an ELF file. */
    public static boolean isElf(Image image) {
        return image.size() >= 52
                && image.slice(0, 4, "the file's head")
                                .order(ByteOrder.BIG_ENDIAN)
                                .getInt(0)
                        == 0x7f454c46;
    }

    /** Reads the headers of an image, which it closes when it is closed. */
    public static ElfFile of(Image image) {
        if (!isElf(image)) throw new LayoutException(image.name(), 0, "not an ELF file");
        return new ElfFile(image);
    }

    private LayoutException broken(long offset, String what) {
        return new LayoutException(image.name(), offset, what);
    }

    private List<Section> readSections(ByteBuffer head) {
        long table = wide ? head.getLong(40) : Integer.toUnsignedLong(head.getInt(32));
        int entry = Short.toUnsignedInt(head.getShort(wide ? 58 : 46));
        long count = Short.toUnsignedInt(head.getShort(wide ? 60 : 48));
        int names = Short.toUnsignedInt(head.getShort(wide ? 62 : 50));
        int expected = wide ? 64 : 40;
        if (table == 0) return List.of();
        if (entry != expected)
            throw broken(wide ? 58 : 46, "a section header of " + entry + " bytes instead of " + expected);
        ByteBuffer first = image.slice(table, entry, "the section table").order(order);
        if (count == 0) count = word(first, wide ? 32 : 20); // more than 65279 sections: the first header says how many
        if (names == 0xffff) names = first.getInt(wide ? 40 : 24);
        if (count > image.size() / entry) throw broken(table, "a table of " + count + " sections");
        ByteBuffer all = image.slice(table, count * entry, "the section table").order(order);
        List<Section> raw = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            int at = i * entry;
            raw.add(new Section(
                    i,
                    "",
                    all.getInt(at + 4),
                    word(all, at + 8),
                    word(all, at + (wide ? 16 : 12)),
                    word(all, at + (wide ? 24 : 16)),
                    word(all, at + (wide ? 32 : 20)),
                    all.getInt(at + (wide ? 40 : 24)),
                    all.getInt(at + (wide ? 44 : 28)),
                    word(all, at + (wide ? 56 : 36))));
        }
        if (names < 0 || names >= raw.size())
            throw broken(table, "the section names lie in section " + names + " of " + count);
        Section strings = raw.get(names);
        ByteBuffer text = image.slice(strings.offset(), strings.size(), "the section names");
        List<Section> named = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            Section s = raw.get(i);
            String name = string(text, Integer.toUnsignedLong(all.getInt(i * entry)), strings.offset());
            named.add(new Section(
                    i,
                    name,
                    s.type(),
                    s.flags(),
                    s.address(),
                    s.offset(),
                    s.size(),
                    s.link(),
                    s.info(),
                    s.entrySize()));
        }
        return List.copyOf(named);
    }

    private long word(ByteBuffer buffer, int at) {
        return wide ? buffer.getLong(at) : Integer.toUnsignedLong(buffer.getInt(at));
    }

    private String string(ByteBuffer text, long at, long base) {
        if (at >= text.limit()) throw broken(base + at, "a name lies behind the end of its string table");
        int end = (int) at;
        while (end < text.limit() && text.get(end) != 0) end++;
        byte[] bytes = new byte[end - (int) at];
        text.get((int) at, bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }

    public String name() {
        return image.name();
    }

    /** The path of the file, or of the archive that it is a member of. */
    public String path() {
        return image.path();
    }

    /** The widest alignment that the machine's ABI gives a scalar, in bytes. */
    public long widestAlignment() {
        return Machine.widestAlignment(machine, wide);
    }

    public ByteOrder order() {
        return order;
    }

    /** Bytes of an address: 4 or 8. */
    public int addressSize() {
        return wide ? 8 : 4;
    }

    /** Whether it is an object file or a kernel module, whose debug sections have relocations. */
    public boolean relocatable() {
        return type == 1;
    }

    public List<Section> sections() {
        return sections;
    }

    /** The first section of that name. */
    public @Nullable Section section(String name) {
        return byName.get(name);
    }

    /** Whether a section of that name has bytes, packed or not. */
    public boolean has(String name) {
        Section section = find(name);
        return section != null && section.type() != NOBITS && section.size() > 0;
    }

    private @Nullable Section find(String name) {
        Section section = byName.get(name);
        return section == null && name.startsWith(".debug_") ? byName.get(".z" + name.substring(1)) : section;
    }

    /**
     * The bytes of a section, unpacked, and relocated in an object file; empty if there is none. Its position is 0 and its order the file's.
     *
     * @throws LayoutException if the section leaves the file, overlaps another one, or cannot be unpacked
     */
    public ByteBuffer bytes(String name) {
        ByteBuffer known = loaded.get(name);
        if (known == null) {
            known = load(name);
            loaded.put(name, known);
        }
        return known.duplicate().order(order);
    }

    private ByteBuffer load(String name) {
        Section section = find(name);
        if (section == null || section.type() == NOBITS || section.size() == 0) {
            return ByteBuffer.allocate(0).order(order);
        }
        ByteBuffer first = load(section);
        if (!relocatable() || !name.startsWith(".debug_")) return first;
        // A compiler puts each type unit into a section of its own, of the same name, so that the linker
        // can drop doubles.
        List<ByteBuffer> parts = new ArrayList<>(List.of(first));
        long size = first.limit();
        for (Section other : sections) {
            if (other.index() == section.index() || !other.name().equals(section.name()) || other.type() == NOBITS)
                continue;
            ByteBuffer part = load(other);
            parts.add(part);
            size += part.limit();
        }
        if (parts.size() == 1) return first;
        if (size > Unpack.LIMIT)
            throw broken(section.offset(), "the sections " + name + " have " + size + " bytes together");
        ByteBuffer all = ByteBuffer.allocate((int) size).order(order);
        for (ByteBuffer part : parts) all.put(part.duplicate());
        return all.flip().order(order);
    }

    private ByteBuffer load(Section section) {
        for (Section other : sections) {
            if (other.index() == section.index() || other.type() == NOBITS || other.size() == 0 || other.type() == 0) {
                continue;
            }
            if (other.offset() < section.offset() + section.size()
                    && section.offset() < other.offset() + other.size()) {
                throw broken(section.offset(), "section " + section.name() + " overlaps section " + other.name());
            }
        }
        ByteBuffer raw = raw(section);
        try {
            if ((section.flags() & COMPRESSED) != 0) raw = inflate(section, raw);
            else if (section.name().startsWith(".zdebug_")) raw = inflateGnu(section, raw);
        } catch (IOException e) {
            throw broken(section.offset(), "section " + section.name() + " cannot be unpacked: " + e.getMessage());
        }
        if (relocatable()) raw = Relocations.apply(this, section, raw);
        return raw.order(order);
    }

    private ByteBuffer inflate(Section section, ByteBuffer raw) throws IOException {
        int header = wide ? 24 : 12;
        if (raw.limit() < header)
            throw broken(section.offset(), "section " + section.name() + " is too short to be compressed");
        int how = raw.getInt(0);
        long size = wide ? raw.getLong(8) : Integer.toUnsignedLong(raw.getInt(4));
        ByteBuffer packed = raw.slice(header, raw.limit() - header);
        return switch (how) {
            case 1 -> ByteBuffer.wrap(Unpack.zlib(packed, size));
            case 2 -> ByteBuffer.wrap(Unpack.zstd(packed, size));
            default -> throw broken(section.offset(), "section " + section.name() + " is compressed in way " + how);
        };
    }

    private ByteBuffer inflateGnu(Section section, ByteBuffer raw) throws IOException {
        if (raw.limit() < 12)
            throw broken(section.offset(), "section " + section.name() + " is too short to be compressed");
        long size = raw.order(ByteOrder.BIG_ENDIAN).getLong(4);
        return ByteBuffer.wrap(Unpack.zlib(raw.slice(12, raw.limit() - 12), size));
    }

    /** The bytes of a section as they lie in the file. */
    ByteBuffer raw(Section section) {
        return image.slice(section.offset(), section.size(), "section " + section.name())
                .order(order);
    }

    int machine() {
        return machine;
    }

    boolean wide() {
        return wide;
    }

    /** The symbols of {@code .symtab}, or of {@code .dynsym} where the file was stripped. */
    public List<Symbol> symbols() {
        Section table = byName.containsKey(".symtab") ? byName.get(".symtab") : byName.get(".dynsym");
        if (table == null || table.type() == NOBITS) return List.of();
        if (table.link() < 0 || table.link() >= sections.size()) {
            throw broken(table.offset(), "the symbol names lie in section " + table.link());
        }
        Section strings = sections.get(table.link());
        ByteBuffer text = image.slice(strings.offset(), strings.size(), "the symbol names");
        ByteBuffer in =
                image.slice(table.offset(), table.size(), "the symbol table").order(order);
        int entry = wide ? 24 : 16;
        List<Symbol> symbols = new ArrayList<>();
        for (int at = 0; at + entry <= in.limit(); at += entry) {
            String name = string(text, Integer.toUnsignedLong(in.getInt(at)), strings.offset());
            int info = in.get(at + (wide ? 4 : 12));
            int section = Short.toUnsignedInt(in.getShort(at + (wide ? 6 : 14)));
            long value = wide ? in.getLong(at + 8) : Integer.toUnsignedLong(in.getInt(at + 4));
            long size = wide ? in.getLong(at + 16) : Integer.toUnsignedLong(in.getInt(at + 8));
            symbols.add(new Symbol(name, value, size, info & 15, (info >>> 4) & 15, section));
        }
        return symbols;
    }

    /**
     * The separate file that holds this file's debug sections: by build id under {@code /usr/lib/debug/.build-id}, or by the
     * {@code .gnu_debuglink} next to the file, in its {@code .debug} folder and under {@code /usr/lib/debug} (GDB manual, "Debugging Information
     * in Separate Files").
     *
     * @return null if there is none to be found
     */
    public @Nullable Path separateDebugFile() {
        Path root = Path.of("/usr/lib/debug");
        String id = buildId();
        if (id != null && id.length() > 2) {
            Path byId = root.resolve(".build-id/" + id.substring(0, 2) + "/" + id.substring(2) + ".debug");
            if (Files.isRegularFile(byId)) return byId;
        }
        String link = link(".gnu_debuglink");
        if (link == null || link.isEmpty() || link.contains("/")) return null;
        Path folder = Path.of(image.path()).toAbsolutePath().getParent();
        if (folder == null) return null;
        List<Path> places = List.of(
                folder.resolve(link),
                folder.resolve(".debug").resolve(link),
                root.resolve(folder.toString().substring(1)).resolve(link));
        for (Path place : places) {
            if (Files.isRegularFile(place)
                    && !place.equals(Path.of(image.path()).toAbsolutePath())) return place;
        }
        return null;
    }

    /** The name in a {@code .gnu_debuglink} or {@code .gnu_debugaltlink}. */
    public @Nullable String link(String section) {
        if (!has(section)) return null;
        return string(bytes(section), 0, 0);
    }

    /** The build id in hexadecimal digits, from {@code .note.gnu.build-id}. */
    public @Nullable String buildId() {
        if (!has(".note.gnu.build-id")) return null;
        ByteBuffer note = bytes(".note.gnu.build-id");
        if (note.limit() < 16) return null;
        int names = note.getInt(0);
        int size = note.getInt(4);
        int start = 12 + ((names + 3) & ~3);
        if (size <= 0 || start < 12 || start > note.limit() - size) return null;
        byte[] id = new byte[size];
        note.get(start, id);
        return HexFormat.of().formatHex(id);
    }

    @Override
    public void close() {
        image.close();
    }
}
