package dev.slate.layout.dwarf;

import dev.slate.layout.LayoutException;
import dev.slate.layout.Type;
import dev.slate.layout.TypeTable;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * One unit: its types, read when they are asked for. A number of a type is its offset in its section, marked with the section. A
 * unit belongs to one {@link Session}, and so to one thread.
 */
final class Unit implements TypeTable {
    /** Marks an offset in {@code .debug_types}. */
    static final long TYPES = 1L << 60;
    /** Marks an offset in the file that {@code .gnu_debugaltlink} names. */
    static final long ALT = 1L << 61;

    /**
     * A unit's header (DWARF 5, 7.5.1). Offsets in bytes from the start of the section.
     *
     * @param mark {@link #TYPES}, {@link #ALT} or 0
     * @param typeOffset the type that a type unit describes, 0 otherwise
     */
    record Head(
            int index,
            long mark,
            int start,
            int end,
            int firstEntry,
            int version,
            int kind,
            int addressSize,
            int offsetSize,
            long abbrevs,
            long signature,
            int typeOffset) {}

    final Head head;
    final Sections sections;
    final Session session;
    final Abbrevs abbrevs;
    final ByteBuffer in;
    private final LongMap<Type> types = new LongMap<>();
    private final Entries entries;
    private Language language = Language.OTHER;
    private long stringOffsets;
    boolean split;

    Unit(Head head, Sections sections, Session session) {
        this.head = head;
        this.sections = sections;
        this.session = session;
        this.in = sections.section(head.mark());
        this.abbrevs = session.abbrevs(head, sections);
        this.stringOffsets = head.version() >= 5 ? 2L * head.offsetSize() : 0;
        this.entries = new Entries(this);
        Die die = entry(head.firstEntry());
        if (die != null) {
            die.read();
            if (die.has(At.STR_OFFSETS_BASE)) stringOffsets = die.number(At.STR_OFFSETS_BASE);
            language = languageOf((int) die.numberOr(At.LANGUAGE, 0));
            split = die.tag() == Tag.SKELETON_UNIT || die.has(At.DWO_NAME) || die.has(At.GNU_DWO_NAME);
        }
    }

    private static Language languageOf(int code) {
        return switch (code) {
            case 0x01, 0x02, 0x0c, 0x1d, 0x2c -> Language.C;
            case 0x04 -> Language.CPP;
            case 0x1a, 0x21, 0x2b, 0x3a -> Language.CPP_11;
            case 0x1c -> Language.RUST;
            case 0x0b -> Language.JAVA;
            default -> Language.OTHER;
        };
    }

    Reader reader(int at) {
        Reader reader = new Reader(in, sections.file(), sections.sectionName(head.mark()));
        reader.at = at;
        return reader;
    }

    LayoutException broken(int at, String what) {
        return reader(at).broken(what);
    }

    /** The entry at an offset of the section; null for the entry that ends a list of children. */
    @Nullable
    Die entry(int at) {
        if (at < head.firstEntry() || at >= head.end()) {
            throw broken(
                    head.start(), "the unit refers to an entry at 0x" + Integer.toHexString(at) + ", outside of it");
        }
        Reader reader = reader(at);
        long code = reader.unsigned();
        if (code == 0) return null;
        Abbrevs.Abbrev abbrev = abbrevs.get(code);
        if (abbrev == null) throw broken(at, "abbreviation " + code + " is not in the unit's table");
        return new Die(this, at, abbrev, reader.at);
    }

    String string(long index, Reader from) {
        ByteBuffer offsets = sections.stringOffsets();
        long at = stringOffsets + index * head.offsetSize();
        if (at < 0 || at > offsets.limit() - head.offsetSize())
            throw from.broken("string " + index + " is not in .debug_str_offsets");
        long offset =
                head.offsetSize() == 8 ? offsets.getLong((int) at) : Integer.toUnsignedLong(offsets.getInt((int) at));
        return Reader.string(sections.strings(), offset, from);
    }

    @Override
    public String file() {
        return sections.file();
    }

    @Override
    public int addressSize() {
        return head.addressSize();
    }

    @Override
    public Language language() {
        return language;
    }

    @Override
    public boolean statesAlignment() {
        return true;
    }

    @Override
    public @Nullable Type type(long id) {
        if (id == 0) return null;
        long offset = id & ~(TYPES | ALT);
        if ((id & (TYPES | ALT)) != head.mark() || offset < head.start() || offset >= head.end()) {
            return session.unitOf(id, this).type(id);
        }
        Type type = types.get(id);
        if (type == null) {
            type = entries.type((int) offset, id);
            types.put(id, type);
        }
        return type;
    }

    @Override
    public Contents contents(dev.slate.layout.Aggregate aggregate) {
        return entries.contents(aggregate);
    }
}
