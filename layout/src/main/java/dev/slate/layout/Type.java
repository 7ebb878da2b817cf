package dev.slate.layout;

import org.jspecify.annotations.Nullable;

/**
 * A type as a C, C++, Rust or Java compiler recorded it. Types refer to each other through their {@link TypeTable}, which
 * reads a type from its bytes the first time somebody asks for it; {@code void} is {@code null}. A table and its types belong to one
 * thread at a time.
 */
public abstract sealed class Type
        permits BaseType,
                PointerType,
                QualifiedType,
                ArrayType,
                TypedefType,
                Aggregate,
                EnumType,
                FunctionType,
                UnspecifiedType {
    private final TypeTable table;
    private final long id;
    private @Nullable String qualified;

    Type(TypeTable table, long id) {
        this.table = table;
        this.id = id;
    }

    /** The table that this type came from. */
    public final TypeTable table() {
        return table;
    }

    /** The type's number in its table: a BTF type number, or a DWARF section offset. */
    public final long id() {
        return id;
    }

    /** The name as written in the source, or null for a nameless type. */
    public abstract @Nullable String name();

    /** What {@code sizeof} says, in bytes; 0 for void, functions and types whose size is not known. */
    public abstract long size();

    /** Whether {@link #size()} is the truth; not so for a type that is only declared, or whose size the running program decides. */
    public boolean sizeKnown() {
        return true;
    }

    /** As {@link #sizeKnown()}, of a type that may be void. */
    public static boolean knowsSize(@Nullable Type type) {
        return type == null || type.sizeKnown();
    }

    /** The name with the namespaces, classes or modules around it, as its language writes it; null for a nameless type. */
    public @Nullable String qualifiedName() {
        String known = qualified;
        if (known == null) {
            String name = name();
            if (name == null) return null;
            String scope = table.where(id).scope();
            known = scope.isEmpty() ? name : scope + table.language().separator() + name;
            qualified = known;
        }
        return known;
    }

    /** The scope, unit and line of its declaration. */
    public TypeTable.Where where() {
        return table.where(id);
    }

    /** This type without typedefs and qualifiers; null for void. */
    public static @Nullable Type strip(@Nullable Type type) {
        Type at = type;
        for (int steps = 0; ; steps++) {
            if (at instanceof TypedefType t) at = t.target();
            else if (at instanceof QualifiedType q) at = q.target();
            else return at;
            if (steps > 4096) throw at(type, "a chain of typedefs and qualifiers that never ends");
        }
    }

    private static LayoutException at(@Nullable Type type, String what) {
        return type == null
                ? new LayoutException("?", what)
                : new LayoutException(type.table.file(), "type " + type.id + ": " + what);
    }

    /** What {@code _Alignof} says from the members alone, in bytes; at least 1. */
    public static long naturalAlignment(@Nullable Type type) {
        Type stripped = strip(type);
        for (int steps = 0; stripped instanceof ArrayType array; steps++) {
            if (steps > 64) throw at(type, "an array of itself");
            stripped = strip(array.element());
        }
        long alignment = switch (stripped) {
            case PointerType p -> p.table().addressSize();
            case BaseType b -> b.size();
            case EnumType e -> e.size();
            case Aggregate a -> a.naturalAlignment();
            case ArrayType a -> naturalAlignment(a.element());
            case null, default -> 1;
        };
        return alignment == 0 ? 1 : alignment;
    }

    /** {@link #size()} of a type that may be void. */
    public static long sizeOf(@Nullable Type type) {
        return type == null ? 0 : type.size();
    }
}
