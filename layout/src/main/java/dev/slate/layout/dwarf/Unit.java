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
     * @param strings where the unit's part of .debug_str_offsets starts, in a package of split units
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
            int typeOffset,
            long strings) {}

    final Head head;
    final Sections sections;
    final Session session;
    final Abbrevs abbrevs;
    private final Reader start;
    private final LongMap<Type> types = new LongMap<>();
    private final Entries entries;
    private Language language = Language.OTHER;
    private long stringOffsets;
    private @Nullable String source;
    private final LongMap<String> scopeNames = new LongMap<>();
    /** The name and folder of the file that has the unit's types, null if this one has. */
    @Nullable
    String splitName;

    @Nullable
    String splitFolder;

    long splitId;

    Unit(Head head, Sections sections, Session session) {
        this.head = head;
        this.sections = sections;
        this.session = session;
        this.start = Reader.of(
                sections.section(head.mark()),
                head.start(),
                head.end(),
                sections.file(),
                sections.sectionName(head.mark()));
        this.abbrevs = session.abbrevs(head, sections);
        this.stringOffsets = head.strings() + (head.version() >= 5 ? 2L * head.offsetSize() : 0);
        this.entries = new Entries(this);
        Die die = entry(head.firstEntry());
        if (die != null) {
            die.read();
            if (die.has(At.STR_OFFSETS_BASE)) stringOffsets = die.number(At.STR_OFFSETS_BASE);
            language = languageOf((int) die.numberOr(At.LANGUAGE, 0));
            if (die.tag() == Tag.SKELETON_UNIT || die.has(At.DWO_NAME) || die.has(At.GNU_DWO_NAME)) {
                boolean inside = sections.split();
                String name = die.string(die.has(At.DWO_NAME) ? At.DWO_NAME : At.GNU_DWO_NAME);
                splitName = inside ? null : name == null ? "" : name;
                splitFolder = die.has(At.COMP_DIR) ? die.string(At.COMP_DIR) : null;
                splitId = head.version() >= 5 ? head.signature() : die.number(At.GNU_DWO_ID);
            }
        }
    }

    /** DWARF 5, table 7.17, and the codes that compilers use beyond it. */
    private static Language languageOf(int code) {
        return switch (code) {
            case 0x01, 0x02, 0x0c, 0x1d, 0x2c, 0x8001 -> Language.C;
            case 0x04 -> Language.CPP;
            case 0x1a, 0x21, 0x2b, 0x3a -> Language.CPP_11;
            case 0x1c -> Language.RUST;
            case 0x0b -> Language.JAVA;
            case 0x16 -> Language.GO;
            case 0x13 -> Language.D;
            case 0x03, 0x0d, 0x2e, 0x2f -> Language.ADA;
            case 0x07, 0x08, 0x0e, 0x22, 0x23, 0x2d -> Language.FORTRAN;
            case 0x09, 0x0a, 0x17 -> Language.PASCAL;
            default -> Language.OTHER;
        };
    }

    /** DWARF 5, table 7.17: where the arrays of a language start that does not say so. */
    long lowestBound() {
        return language == Language.ADA || language == Language.FORTRAN || language == Language.PASCAL ? 1 : 0;
    }

    /** The file whose session this unit belongs to. */
    Sections root() {
        return session.root();
    }

    Reader reader(int at) {
        return start.at(at);
    }

    boolean little() {
        return start.little();
    }

    LayoutException broken(int at, String what) {
        return reader(at).broken(what);
    }

    /** The unit that has an entry. */
    Unit owner(long id) {
        long offset = id & ~(TYPES | ALT);
        boolean own = (id & (TYPES | ALT)) == head.mark() && offset >= head.start() && offset < head.end();
        return own ? this : session.unitOf(id, this);
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
        return sections.string(stringPlace(index, from), from);
    }

    /** Where in the string section the string of an index lies. */
    long stringPlace(long index, Reader from) {
        ByteBuffer offsets = sections.stringOffsets();
        long at = stringOffsets + index * head.offsetSize();
        if (at < 0 || at > offsets.limit() - head.offsetSize())
            throw from.broken("string " + index + " is not in .debug_str_offsets");
        return head.offsetSize() == 8 ? offsets.getLong((int) at) : Integer.toUnsignedLong(offsets.getInt((int) at));
    }

    /** The source file that the compiler was given, null if the unit does not say. */
    @Nullable
    String source() {
        String known = source;
        if (known == null) {
            Die die = entry(head.firstEntry());
            String name = die == null ? null : die.name();
            known = name == null ? "" : name;
            source = known;
        }
        return known.isEmpty() ? null : known;
    }

    /** The qualified name of the type at an entry, without a type being made of it. */
    @Nullable
    String qualifiedName(int offset) {
        Die die = entry(offset);
        String name = die == null ? null : entries.nameOf(die);
        if (name == null) return null;
        String scope = entries.where(offset, 0).scope();
        return scope.isEmpty() ? name : scope + language.separator() + name;
    }

    @Override
    public Where where(long id) {
        long offset = id & ~(TYPES | ALT);
        if ((id & (TYPES | ALT)) != head.mark() || offset < head.start() || offset >= head.end())
            return session.unitOf(id, this).where(id);
        return entries.where((int) offset, 0);
    }

    /** Whether names of a language have scopes that they do not contain themselves: GNAT and Go write the package into the name. */
    static boolean scoped(Language language) {
        return language != Language.C && language != Language.GO && language != Language.ADA;
    }

    /** The qualified name of the scope around an entry. */
    String scopeOf(int offset, int depth) {
        if (!scoped(language)) return "";
        if (depth > 100) return "";
        int around = scopes().around(offset);
        if (around < 0) return "";
        String name = scopeNames.get(around);
        if (name == null) {
            name = entries.scopeName(around, depth);
            scopeNames.put(around, name);
        }
        return name;
    }

    /** Whether a class has template arguments that its name leaves out. */
    boolean templated(int offset) {
        return scopes().templated(offset);
    }

    private Scopes scopes() {
        Scopes known = sections.scopes(head);
        if (known == null) {
            known = Scan.of(this).scopes();
            sections.scopes(head, known);
        }
        return known;
    }

    @Override
    public dev.slate.layout.@Nullable Aggregate definition(dev.slate.layout.Aggregate declaration) {
        return session.definition(declaration);
    }

    @Override
    public long widestAlignment() {
        return sections.widestAlignment();
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
