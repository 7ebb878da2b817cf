package dev.slate.layout;

import org.jspecify.annotations.Nullable;

/** A number, a character or a truth value. */
public final class BaseType extends Type {
    private final @Nullable String name;
    private final int bits;

    /** @param bits the size of the value in bits */
    public BaseType(TypeTable table, long id, @Nullable String name, int bits) {
        super(table, id);
        this.name = name;
        this.bits = bits;
    }

    @Override
    public @Nullable String name() {
        return name;
    }

    /** The size of the value in bits. */
    public int bits() {
        return bits;
    }

    @Override
    public long size() {
        return (bits + 7L) / 8;
    }
}
