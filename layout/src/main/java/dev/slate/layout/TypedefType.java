package dev.slate.layout;

import org.jspecify.annotations.Nullable;

/** A second name for a type. */
public final class TypedefType extends Type {
    private final @Nullable String name;
    private final long target;

    public TypedefType(TypeTable table, long id, @Nullable String name, long target) {
        super(table, id);
        this.name = name;
        this.target = target;
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
}
