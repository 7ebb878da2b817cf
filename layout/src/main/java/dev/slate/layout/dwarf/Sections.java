package dev.slate.layout.dwarf;

import dev.slate.layout.LayoutException;
import dev.slate.layout.elf.ElfFile;
import dev.slate.layout.elf.Image;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/** One file's debug sections and the headers of its units. Read-only once made; may be used by many threads. */
final class Sections implements AutoCloseable {
    private final ElfFile elf;
    private final String file;
    private final ByteBuffer info;
    private final ByteBuffer types;
    private final ByteBuffer abbrevs;
    private final ByteBuffer strings;
    private final ByteBuffer lineStrings;
    private final ByteBuffer stringOffsets;
    private final AtomicReferenceArray<@Nullable Text> texts;
    private final Map<Integer, Scopes> scopes = new ConcurrentHashMap<>();
    private final @Nullable Sections alternate;
    private final List<Unit.Head> units = new ArrayList<>();
    private final LongMap<Unit.Head> bySignature = new LongMap<>();
    final long mark;
    private final boolean split;
    private final SplitIndex parts;

    /** A unit's header takes no more (DWARF 5, 7.5.1). */
    private static final int LONGEST_HEAD = 64;

    /** How many strings are kept at hand at most; a power of two. */
    private static final int MOST_TEXTS = 1 << 13;

    /** A string of {@code .debug_str}, and its place. */
    private record Text(long place, String text) {}

    /** @param mark what the offsets of this file's entries are marked with: 0, or {@link Unit#ALT} */
    Sections(ElfFile elf, String file, long mark) {
        this.elf = elf;
        this.file = file;
        this.mark = mark;
        split = !elf.has(".debug_info") && elf.has(".debug_info.dwo");
        String end = split ? ".dwo" : "";
        info = elf.bytes(".debug_info" + end);
        types = elf.bytes(".debug_types" + end);
        abbrevs = onHeap(elf.bytes(".debug_abbrev" + end));
        strings = elf.bytes(".debug_str" + end);
        texts = new AtomicReferenceArray<>(Math.clamp(Integer.highestOneBit(strings.limit() / 16), 16, MOST_TEXTS));
        lineStrings = elf.bytes(".debug_line_str" + end);
        stringOffsets = elf.bytes(".debug_str_offsets" + end);
        parts = split ? new SplitIndex(elf, file) : SplitIndex.NONE;
        index(info, mark);
        index(types, mark | Unit.TYPES);
        alternate = mark == 0 ? openAlternate() : null;
    }

    /** What every unit reads a part of whose end nobody knows. */
    private static ByteBuffer onHeap(ByteBuffer section) {
        if (section.hasArray()) return section;
        byte[] copy = new byte[section.limit()];
        section.get(0, copy);
        return ByteBuffer.wrap(copy).order(section.order());
    }

    private @Nullable Sections openAlternate() {
        String link = elf.link(".gnu_debugaltlink");
        if (link == null || link.isEmpty()) return null;
        Path folder = Path.of(elf.name()).toAbsolutePath().getParent();
        Path path = Path.of(link);
        if (!path.isAbsolute() && folder != null) path = folder.resolve(link).normalize();
        if (!Files.isRegularFile(path)) {
            throw new LayoutException(
                    file,
                    "its shared debug file " + path + " (.gnu_debugaltlink) is missing; install it next to this file");
        }
        return new Sections(ElfFile.of(Image.open(path)), path.toString(), Unit.ALT);
    }

    private void index(ByteBuffer section, long mark) {
        int next = 0;
        while (next < section.limit()) {
            int start = next;
            int headEnd = Math.min(section.limit(), start + LONGEST_HEAD);
            Reader in = Reader.of(section, start, headEnd, file, sectionName(mark));
            int offsetSize = 4;
            long length = Integer.toUnsignedLong(in.byte4());
            if (length == 0xffffffffL) {
                offsetSize = 8;
                length = in.byte8();
            } else if (length >= 0xfffffff0L) {
                throw in.broken("a unit's length is 0x" + Long.toHexString(length));
            }
            if (length < 7 || length > section.limit() - in.at) {
                in.at = start;
                throw in.broken("a unit of " + length + " bytes in a section of " + section.limit());
            }
            int end = (int) (in.at + length);
            int version = in.byte2();
            if (version < 2 || version > 5) {
                in.at = start;
                throw in.broken("a unit of DWARF version " + version + "; 2 to 5 are known");
            }
            int kind = 0x01;
            int addressSize;
            long abbrev;
            if (version >= 5) {
                kind = in.byte1();
                addressSize = in.byte1();
                abbrev = in.bytes(offsetSize);
            } else {
                abbrev = in.bytes(offsetSize);
                addressSize = in.byte1();
            }
            if (addressSize != 4 && addressSize != 8 && addressSize != 2) {
                in.at = start;
                throw in.broken("a unit with addresses of " + addressSize + " bytes");
            }
            long signature = 0;
            long typeOffset = 0;
            boolean typeUnit = (mark & Unit.TYPES) != 0 || kind == 0x02 || kind == 0x06;
            if (typeUnit) {
                signature = in.byte8();
                typeOffset = in.bytes(offsetSize);
                if (typeOffset < 0 || typeOffset >= end - start)
                    throw in.broken("a type unit whose type lies outside of it");
            } else if (version >= 5 && (kind == 0x04 || kind == 0x05)) {
                signature = in.byte8(); // the id of the split unit
            }
            if (in.at > end) throw in.broken("a unit's header is longer than the unit");
            SplitIndex.Part part = parts.of(start, (mark & Unit.TYPES) != 0);
            Unit.Head head = new Unit.Head(
                    units.size(),
                    mark,
                    start,
                    end,
                    in.at,
                    version,
                    kind,
                    addressSize,
                    offsetSize,
                    abbrev + part.abbrevs(),
                    signature,
                    (int) (typeUnit ? start + typeOffset : 0),
                    part.strings());
            units.add(head);
            if (typeUnit && signature != 0) bySignature.put(signature, head);
            next = end;
        }
    }

    /** Whether these are the sections of a {@code .dwo} or {@code .dwp} file. */
    boolean split() {
        return split;
    }

    /** Whether units may keep their types in {@code .dwo} files: both forms of those need a table of addresses. */
    boolean maySplit() {
        return !split && elf.has(".debug_addr");
    }

    /** The widest alignment of a scalar on the machine that the file was compiled for, in bytes. */
    long widestAlignment() {
        return elf.widestAlignment();
    }

    List<Unit.Head> units() {
        return units;
    }

    Unit.@Nullable Head bySignature(long signature) {
        return bySignature.get(signature);
    }

    /** The unit that an offset lies in. */
    Unit.@Nullable Head unitAt(long id) {
        long mark = id & (Unit.TYPES | Unit.ALT);
        long offset = id & ~(Unit.TYPES | Unit.ALT);
        int low = 0;
        int high = units.size() - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            Unit.Head head = units.get(middle);
            int order = Long.compareUnsigned(head.mark(), mark);
            if (order == 0) order = offset < head.start() ? 1 : offset >= head.end() ? -1 : 0;
            if (order == 0) return head;
            if (order < 0) low = middle + 1;
            else high = middle - 1;
        }
        return null;
    }

    String file() {
        return file;
    }

    /** The path of the file, or of the archive that it is in. */
    String path() {
        return elf.path();
    }

    String sectionName(long mark) {
        return ((mark & Unit.TYPES) != 0 ? ".debug_types" : ".debug_info") + (split ? ".dwo" : "");
    }

    ByteBuffer section(long mark) {
        return (mark & Unit.TYPES) != 0 ? types : info;
    }

    ByteBuffer abbrevs() {
        return abbrevs;
    }

    ByteBuffer strings() {
        return strings;
    }

    /** A string of {@code .debug_str}: most are asked for again and again. */
    String string(long place, Reader from) {
        int slot = (int) (place * 0x9E3779B9L >>> 7) & texts.length() - 1;
        Text known = texts.getPlain(slot);
        if (known != null && known.place == place) return known.text;
        String text = Reader.string(strings, place, from);
        texts.setRelease(slot, new Text(place, text));
        return text;
    }

    String lineString(long place, Reader from) {
        return Reader.string(lineStrings, place, from);
    }

    /** The scopes of a unit, null as long as nobody has walked over it. */
    @Nullable
    Scopes scopes(Unit.Head head) {
        return scopes.get(head.index());
    }

    void scopes(Unit.Head head, Scopes found) {
        scopes.putIfAbsent(head.index(), found);
    }

    ByteBuffer stringOffsets() {
        return stringOffsets;
    }

    @Nullable
    Sections alternate() {
        return alternate;
    }

    @Override
    public void close() {
        if (alternate != null) alternate.close();
        elf.close();
    }
}
