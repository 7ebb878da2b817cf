package dev.slate.layout.dwarf;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Type;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The units that one thread has open at the moment: one that it works on, and those that this one refers to. */
final class Session {
    private final Sections sections;
    private final LongMap<Unit> open = new LongMap<>();
    private long abbrevsOf = -1;
    private int abbrevsShape;
    private @Nullable Abbrevs abbrevs;
    private final @Nullable Definitions definitions;
    private final Map<Sections, Session> others;

    /** @param definitions where what this file only declares may be defined, null if nobody shall look */
    Session(Sections sections, @Nullable Definitions definitions) {
        this(sections, definitions, new HashMap<>());
    }

    private Session(Sections sections, @Nullable Definitions definitions, Map<Sections, Session> others) {
        this.sections = sections;
        this.definitions = definitions;
        this.others = others;
        others.put(sections, this);
    }

    /** The session of the same thread on another file. */
    Session of(Sections other) {
        Session known = others.get(other);
        return known == null ? new Session(other, definitions, others) : known;
    }

    /** The definition of what some unit only declares. */
    @Nullable
    Aggregate definition(Aggregate declaration) {
        String name = declaration.qualifiedName();
        if (definitions == null || name == null) return null;
        return definitions.find(name, this);
    }

    /** A type by its number. */
    @Nullable
    Type type(long id) {
        Sections of = (id & Unit.ALT) != 0 ? sections.alternate() : sections;
        Unit.Head head = of == null ? null : of.unitAt(id);
        return head == null || of == null ? null : unit(head, of).type(id);
    }

    Sections root() {
        return sections;
    }

    Unit unit(Unit.Head head, Sections of) {
        long key = head.index() * 2L + 1 + (of == sections ? 0 : Unit.ALT);
        Unit unit = open.get(key);
        if (unit == null) {
            unit = new Unit(head, of, this);
            open.put(key, unit);
        }
        return unit;
    }

    /** A unit's abbreviations; a linker lets many units share one table. */
    Abbrevs abbrevs(Unit.Head head, Sections of) {
        int shape = head.version() << 16 | head.addressSize() << 8 | head.offsetSize() << 1 | (of == sections ? 0 : 1);
        Abbrevs known = abbrevs;
        if (known == null || abbrevsOf != head.abbrevs() || abbrevsShape != shape) {
            known = new Abbrevs(of.abbrevs(), head.abbrevs(), head, of.file());
            abbrevs = known;
            abbrevsOf = head.abbrevs();
            abbrevsShape = shape;
        }
        return known;
    }

    Unit unitOf(long id, Unit from) {
        Sections of = (id & Unit.ALT) != 0 ? alternate(from) : sections;
        Unit.Head head = of.unitAt(id);
        if (head == null) {
            throw from.broken(
                    from.head.start(),
                    "the unit refers to an entry at 0x" + Long.toHexString(id & ~(Unit.TYPES | Unit.ALT))
                            + ", where no unit is");
        }
        return unit(head, of);
    }

    Sections alternate(Unit from) {
        Sections alternate = sections.mark == Unit.ALT ? sections : sections.alternate();
        if (alternate == null) {
            throw from.broken(
                    from.head.start(),
                    "the unit refers to a shared debug file, but the file names none (.gnu_debugaltlink)");
        }
        return alternate;
    }

    /** The number of the type that a type unit describes. */
    long signature(long signature, Unit from, int offset) {
        Unit.Head head = sections.bySignature(signature);
        if (head == null) {
            throw from.broken(offset, "type unit " + Long.toHexString(signature) + " is not in this file");
        }
        return head.typeOffset() | head.mark();
    }
}
