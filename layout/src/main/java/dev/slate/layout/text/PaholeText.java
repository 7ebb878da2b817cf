package dev.slate.layout.text;

import dev.slate.layout.Aggregate;
import dev.slate.layout.ArrayType;
import dev.slate.layout.EnumType;
import dev.slate.layout.FunctionType;
import dev.slate.layout.LayoutException;
import dev.slate.layout.Member;
import dev.slate.layout.Packing;
import dev.slate.layout.PointerType;
import dev.slate.layout.QualifiedType;
import dev.slate.layout.Type;
import dev.slate.layout.TypeTable;
import dev.slate.layout.TypedefType;
import org.jspecify.annotations.Nullable;

/**
 * Writes a type as pahole 1.24 does. Column widths, cuts of long names and the order of comments are pahole's, for those who compare
 * or patch such listings. Where pahole's text is not true (docs/layout.md lists it), the truth is written, unless pahole's own text
 * is asked for.
 *
 * <p>Not thread-safe.
 */
public final class PaholeText {
    /**
     * How to write.
     *
     * @param lineSize bytes of a cache line
     * @param pahole whether to write what pahole writes even where it is not true
     */
    public record Options(boolean expand, boolean hex, int lineSize, boolean pahole) {
        /** pahole's defaults on a machine with lines of 64 bytes, and the truth where pahole does not say it. */
        public static final Options DEFAULT = new Options(false, false, 64, false);

        /** pahole's defaults, and pahole's text also where it is not true. */
        public static final Options PAHOLE = new Options(false, false, 64, true);
    }

    /** The most characters of one type, and the deepest that types may nest: a broken file can make them circular. */
    private static final int MOST_TEXT = 1 << 25;

    private static final int DEEPEST = 600;

    private final StringBuilder out;
    private final Options options;
    private int start;
    private int depth;
    private final TypeNames names;

    public PaholeText(StringBuilder out, Options options) {
        this.out = out;
        this.options = options;
        this.names = new TypeNames(options.pahole());
    }

    /** Writes the declaration of a type, with the semicolon and the end of the line. */
    public void write(Type type) {
        start = out.length();
        Place place = new Place();
        place.nameColumn = options.expand() ? 55 : type instanceof Aggregate a && a.isUnion() ? 21 : 23;
        declaration(type, place);
        out.append(";\n");
    }

    private void declaration(Type type, Place place) {
        tabs(place.indent);
        switch (type) {
            case Aggregate a when a.isUnion() -> union(a, place);
            case Aggregate a -> struct(a, place);
            case EnumType e -> enumeration(e, place);
            case TypedefType t -> typedef(t, place);
            default -> out.append(names.name(type, 512));
        }
    }

    StringBuilder out() {
        return out;
    }

    int lineSize() {
        return options.lineSize();
    }

    boolean pahole() {
        return options.pahole();
    }

    /** Whether alarms are pahole's: those about C are true, others are about layouts that pahole does not understand. */
    boolean alarms(Aggregate aggregate) {
        return options.pahole() || aggregate.table().language() == TypeTable.Language.C;
    }

    /** A type's name, with its scopes unless pahole's text is wanted. */
    String own(Type type) {
        return names.own(type);
    }

    void tabs(int n) {
        out.repeat('\t', Math.min(n, 16));
    }

    /** Fills up to a column; pahole's columns may become negative deep inside, and C then takes their absolute value. */
    private void padded(CharSequence text, int width) {
        out.append(text);
        spaces(Math.abs(width) - text.length());
    }

    private void spaces(int n) {
        if (n > 0) out.repeat(' ', n);
    }

    private void number(long value, int width, boolean unsignedHex) {
        String text = unsignedHex && options.hex()
                ? (value == 0 ? "0" : "0x" + Long.toHexString(value))
                : Long.toString(value);
        spaces(width - text.length());
        out.append(text);
    }

    private void typedef(TypedefType typedef, Place place) {
        out.append("typedef ");
        Type target = typedef.target();
        Type.strip(target);
        String name = own(typedef);
        while (target instanceof QualifiedType q && q.kind() == QualifiedType.Kind.ATOMIC) {
            out.append("_Atomic ");
            target = q.target();
        }
        Place inner = place.copy();
        switch (target) {
            case null -> out.append("void ").append(name);
            case ArrayType a -> array(a, name, place);
            case PointerType p
            when p.kind() == PointerType.Kind.POINTER && p.target() instanceof FunctionType f ->
                out.append(names.function(f, name, true, 0));
            case FunctionType f -> out.append(names.function(f, name, false, 0));
            case Aggregate a
            when !a.isUnion() -> {
                if (a.name() != null) {
                    out.append("struct ").append(own(a)).append(' ').append(name);
                } else {
                    inner.suffix = name;
                    struct(a, inner);
                }
            }
            case EnumType e -> {
                if (e.name() != null) {
                    out.append("enum ").append(own(e)).append(' ').append(name);
                } else {
                    inner.suffix = name;
                    enumeration(e, inner);
                }
            }
            default -> out.append(names.name(target, 512)).append(' ').append(name);
        }
    }

    private void enumeration(EnumType e, Place place) {
        out.append("enum");
        if (e.name() != null) out.append(' ').append(own(e));
        if (e.values().isEmpty()) return;
        out.append(" {\n");
        int width = 0;
        for (EnumType.Value value : e.values())
            width = Math.max(width, value.name().length());
        for (EnumType.Value value : e.values()) {
            tabs(place.indent);
            out.append('\t');
            padded(value.name(), width);
            out.append(" = ");
            if (options.hex()) out.append(value.value() == 0 ? "0" : "0x" + Long.toHexString(value.value()));
            else out.append(e.signed() ? Long.toString(value.value()) : Long.toUnsignedString(value.value()));
            out.append(",\n");
        }
        tabs(place.indent);
        out.append('}');
        if (e.size() != 4) out.append(" __attribute__((__packed__))");
        if (place.suffix != null) out.append(' ').append(place.suffix);
    }

    /** An array's element type, the name, and the dimensions behind it. */
    private void array(ArrayType array, @Nullable String name, Place place) {
        Type element = array.element();
        if (array.dimensions() >= 1
                && array.count(0) == 0
                && element instanceof QualifiedType q
                && q.kind() == QualifiedType.Kind.CONST) {
            element = q.target();
        }
        if (!options.pahole() && !array.vector() && element instanceof ArrayType) {
            nested(array, name, place);
            return;
        }
        typeAndName(element, name, place);
        long flat = 0;
        for (int i = 0; i < array.dimensions(); i++) {
            long count = array.count(i);
            if (array.vector()) {
                if (count == 0 && i == 0) break;
                flat = flat == 0 ? count : flat * count;
            } else if (count != 0 || !place.last || place.last && place.first || place.inUnion) {
                out.append('[').append(Integer.toUnsignedString((int) count)).append(']');
            } else {
                out.append("[]");
            }
        }
        if (array.vector()) {
            out.append(" __attribute__ ((__vector_size__ (")
                    .append((flat == 0 ? 1 : flat) * Type.sizeOf(array.element()))
                    .append(")))");
        }
    }

    /** An array of arrays: BTF has one type for each dimension, the outermost first, as C writes them. pahole reverses them. */
    private void nested(ArrayType array, @Nullable String name, Place place) {
        StringBuilder dimensions = new StringBuilder();
        Type at = array;
        for (int steps = 0; at instanceof ArrayType a && !a.vector() && steps < 64; steps++) {
            for (int i = 0; i < a.dimensions(); i++) {
                boolean flexible =
                        a.count(i) == 0 && dimensions.isEmpty() && place.last && !place.first && !place.inUnion;
                dimensions
                        .append('[')
                        .append(flexible ? "" : Long.toString(a.count(i)))
                        .append(']');
            }
            at = a.element();
        }
        typeAndName(at, name, place);
        out.append(dimensions);
    }

    /** A type and what is declared with it, as it stands in a member's line before the semicolon. */
    void typeAndName(@Nullable Type declared, @Nullable String declaredName, Place outer) {
        try {
            if (++depth > DEEPEST && declared != null)
                throw new LayoutException(declared.table().file(), "type " + declared.id() + ": an array of itself");
            spell(declared, declaredName, outer);
        } finally {
            depth--;
        }
    }

    private void spell(@Nullable Type declared, @Nullable String declaredName, Place outer) {
        Type.strip(declared); // typedefs and qualifiers end somewhere
        Type type = declared;
        String name = declaredName;
        boolean expand = options.expand();
        if (expand) {
            boolean any = false;
            while (type instanceof TypedefType t) {
                out.append(any ? " -> " : "/* typedef ").append(t.name());
                any = true;
                type = t.target();
            }
            if (any) out.append(" */ ");
        }
        Place place = outer.copy();
        if (type instanceof Aggregate || type instanceof EnumType) inside(place, name);
        while (true) {
            if (type instanceof QualifiedType q
                    && (q.kind() == QualifiedType.Kind.CONST || q.kind() == QualifiedType.Kind.ATOMIC)) {
                String word = q.kind() == QualifiedType.Kind.CONST ? "const " : "_Atomic ";
                out.append(word);
                place.typeColumn -= word.length();
                Type target = q.target();
                if (target == null) break;
                type = target;
            } else if (type instanceof QualifiedType q && q.kind() == QualifiedType.Kind.TAG && q.target() != null) {
                type = q.target();
            } else {
                break;
            }
        }
        if (type instanceof PointerType p && p.kind() == PointerType.Kind.POINTER) {
            Type target = withoutTags(p.target());
            if (target instanceof FunctionType f) {
                out.append(names.function(f, name, true, place.typeColumn));
                return;
            }
            if ((target instanceof Aggregate || target instanceof EnumType) && target.name() == null) {
                name = "* " + name;
                place.relative = true;
                place.typeColumn -= 8;
                inside(place, name);
                type = target;
            }
        }
        switch (type) {
            case FunctionType f -> out.append(names.function(f, name, false, place.typeColumn));
            case ArrayType a -> array(a, name, place);
            case Aggregate a
            when a.name() != null && !expand -> {
                String word = a.kind() == Aggregate.Kind.CLASS ? "class" : a.isUnion() ? "union" : "struct";
                out.append(word).append(' ');
                padded(own(a), place.typeColumn - (a.isUnion() ? 6 : 7));
                out.append(' ').append(orEmpty(name));
            }
            case Aggregate a -> {
                place.typeColumn -= 8;
                if (a.isUnion()) union(a, place);
                else struct(a, place);
            }
            case EnumType e
            when e.name() != null -> {
                out.append("enum ");
                padded(own(e), place.typeColumn - 5);
                out.append(' ').append(orEmpty(name));
            }
            case EnumType e -> enumeration(e, place);
            case null, default -> {
                padded(names.name(type, 128), place.typeColumn);
                out.append(' ').append(name == null ? "(null)" : name);
            }
        }
    }

    private static void inside(Place place, @Nullable String name) {
        place.prefix = null;
        place.suffix = name;
        place.stats = false;
    }

    private static @Nullable Type withoutTags(@Nullable Type type) {
        Type.strip(type);
        Type at = type;
        while (at instanceof QualifiedType q && q.kind() == QualifiedType.Kind.TAG) at = q.target();
        return at;
    }

    private static String orEmpty(@Nullable String text) {
        return text == null ? "" : text;
    }

    private void lineBoundary(Place place, long offset) {
        int[] line = place.line;
        if (line == null) return;
        int size = options.lineSize();
        int at = (int) (Integer.toUnsignedLong((int) offset) / size);
        if (Integer.compareUnsigned(at, line[0]) <= 0) return;
        long into = Integer.toUnsignedLong((int) offset) % size;
        out.append("/* --- cacheline ")
                .append(at)
                .append(" boundary (")
                .append(offset - into)
                .append(" bytes)");
        if (into != 0)
            out.append(" was ")
                    .append(into)
                    .append(" byte")
                    .append(into > 1 ? "s" : "")
                    .append(" ago");
        out.append(" --- */\n");
        tabs(place.indent);
        line[0] = at;
    }

    void member(Member member, Place outer, boolean ofUnion) {
        if (outer.indent > DEEPEST || out.length() - start > MOST_TEXT) {
            Type inside = member.type();
            throw new LayoutException(
                    inside == null ? "?" : inside.table().file(),
                    (inside == null ? "a type" : "type " + inside.id()) + ": types nested too deep, or in themselves");
        }
        Place place = outer.copy();
        long offset = member.byteOffset();
        if (!place.relative) {
            offset += place.base;
            if (!ofUnion) place.base = offset;
        }
        lineBoundary(outer, offset);
        int lineStart = out.length();
        boolean ancestor = member.role() == Member.Role.BASE;
        String name = ancestor ? "<ancestor>" : member.name();
        if (ancestor) out.append("/* ");
        if (member.role() == Member.Role.STATIC) out.append("static ");
        Type type = member.type();
        boolean compound = type instanceof Aggregate || type instanceof EnumType;
        boolean inline = compound && type != null && type.name() == null;
        if (compound) {
            typeAndName(type, null, place);
            if (name != null) {
                if (inline) out.append(' ');
                out.append(name);
            }
        } else {
            typeAndName(type, name, place);
        }
        if (member.role() == Member.Role.STATIC) {
            if (member.value() != 0) out.append(" = ").append(Long.toUnsignedString(member.value()));
        } else if (member.bitfieldSize() != 0) {
            out.append(':').append(member.bitfieldSize());
        }
        int attribute = out.length();
        if (member.alignment() != 0)
            out.append(" __attribute__((__aligned__(")
                    .append(member.alignment())
                    .append(")))");
        attribute = out.length() - attribute;
        out.append(';');
        if (inline) {
            // The line ends an inline definition: only its last line counts for the column.
            int length = attribute + (member.name() == null ? -1 : member.name().length());
            if (type instanceof Aggregate a && !a.isUnion() && Packing.packed(a)) length += 28;
            comment(member, offset, Math.abs(place.typeColumn + place.nameColumn - length - 3));
        } else {
            int spacing = place.typeColumn + place.nameColumn - (out.length() - lineStart);
            if (ancestor) {
                out.append(" */");
                spacing -= 3;
            }
            comment(member, offset, spacing);
        }
    }

    /** The comment with a member's offset and size. */
    private void comment(Member member, long offset, int spacing) {
        spaces(spacing - 1);
        out.append(" /* ");
        if (!options.pahole() && member.takesNoPart() && member.role() != Member.Role.STATIC) {
            out.append("    ?");
        } else {
            number(offset, 5, true);
        }
        int width = 5;
        if (member.bitfieldSize() != 0) {
            out.append(':');
            number(member.bitfieldOffset(), 2, true);
            width -= 3;
        }
        out.append(' ');
        if (options.pahole() || member.sizeKnown()) {
            number(member.byteSize(), width, true);
        } else {
            spaces(width - 1);
            out.append('?');
        }
        out.append(" */");
    }

    private void union(Aggregate union, Place outer) {
        if (outer.prefix != null) out.append(outer.prefix).append(' ');
        out.append("union");
        if (union.name() != null) out.append(' ').append(own(union));
        out.append(" {\n");
        Place place = outer.copy();
        place.indent = outer.indent + 1;
        Packing.lookInside(union);
        int[] line = place.line == null ? new int[1] : place.line;
        place.line = line;
        int before = line[0];
        place.inUnion = true;
        for (Member member : union.members()) {
            tabs(place.indent);
            member(member, place, true);
            out.append('\n');
            line[0] = before; // every member starts where the union starts
        }
        tabs(outer.indent);
        out.append('}');
        if (outer.suffix != null) out.append(' ').append(outer.suffix);
    }

    private void struct(Aggregate struct, Place outer) {
        Place place = outer.copy();
        if (place.prefix != null) out.append(place.prefix).append(' ');
        out.append(struct.kind().word());
        if (struct.name() != null) out.append(' ').append(own(struct));
        if (place.line == null) place.line = new int[1];
        place.indent = outer.indent + 1;
        Packing.look(struct);
        StructText text = new StructText(this, struct, place);
        text.bases();
        out.append(" {\n");
        text.body();
        if (place.stats) text.stats();
        tabs(outer.indent);
        out.append('}');
        boolean packed = Packing.packed(struct);
        if (packed) out.append(" __attribute__((__packed__))");
        if (place.suffix != null) out.append(' ').append(place.suffix);
        if (struct.statedAlignment() != 0 && !packed) {
            out.append(" __attribute__((__aligned__(")
                    .append(struct.statedAlignment())
                    .append(")))");
        }
    }
}
