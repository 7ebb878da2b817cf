package dev.slate.layout;

import org.jspecify.annotations.Nullable;

/** A type that the compiler names and says nothing about, such as {@code decltype(nullptr)}. */
public final class UnspecifiedType extends Type {
    private final @Nullable String name;

    public UnspecifiedType(TypeTable table, long id, @Nullable String name) {
        super(table, id);
        this.name = name;
    }

    @Override
    public @Nullable String name() {
        return name;
    }

    @Override
    public boolean sizeKnown() {
        return size() != 0;
    }

    @Override
    public long size() {
        return "decltype(nullptr)".equals(name) ? table().addressSize() : 0;
    }
}
