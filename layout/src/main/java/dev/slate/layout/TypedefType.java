package dev.slate.layout;

import org.jspecify.annotations.Nullable;

/** A second name for a type. */
public final class TypedefType extends Type {
    private final @Nullable String name;
    private final long target;
    private final long alignment;

    public TypedefType(TypeTable table, long id, @Nullable String name, long target) {
        this(table, id, name, target, 0);
    }

    /** @param alignment the alignment that was asked for, in bytes, 0 if none was */
    public TypedefType(TypeTable table, long id, @Nullable String name, long target, long alignment) {
        super(table, id);
        this.name = name;
        this.target = target;
        this.alignment = alignment;
    }

    /** The alignment that was asked for, in bytes, 0 if none was. */
    public long alignment() {
        return alignment;
    }

    @Override
    public @Nullable String name() {
        return name;
    }

    public @Nullable Type target() {
        return table().type(target);
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
