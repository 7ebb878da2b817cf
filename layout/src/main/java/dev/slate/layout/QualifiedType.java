package dev.slate.layout;

import org.jspecify.annotations.Nullable;

/** A qualifier around a type. */
public final class QualifiedType extends Type {
    /** Which qualifier; TAG is a BTF type tag, which is not written in C. */
    public enum Kind {
        CONST,
        VOLATILE,
        RESTRICT,
        ATOMIC,
        TAG
    }

    private final Kind kind;
    private final long target;

    public QualifiedType(TypeTable table, long id, Kind kind, long target) {
        super(table, id);
        this.kind = kind;
        this.target = target;
    }

    public Kind kind() {
        return kind;
    }

    public @Nullable Type target() {
        return table().type(target);
    }

    @Override
    public @Nullable String name() {
        return null;
    }

    @Override
    public long size() {
        return sizeOf(strip(this));
    }

    @Override
    public boolean sizeKnown() {
        return knowsSize(strip(this));
    }
}
