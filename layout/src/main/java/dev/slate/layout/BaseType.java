package dev.slate.layout;

import org.jspecify.annotations.Nullable;

/** A number, a character, a truth value, or something else that has no parts: a set, a string of fixed length. */
public final class BaseType extends Type {
    /** How its bits are read. */
    public enum Encoding {
        OTHER,
        BOOLEAN,
        CHARACTER,
        SIGNED,
        UNSIGNED,
        /** Two numbers, of half the size each. */
        COMPLEX
    }

    private final @Nullable String name;
    private final int bits;
    private final Encoding encoding;

    /** @param bits the size of the value in bits */
    public BaseType(TypeTable table, long id, @Nullable String name, int bits) {
        this(table, id, name, bits, Encoding.OTHER);
    }

    /** @param bits the size of the value in bits */
    public BaseType(TypeTable table, long id, @Nullable String name, int bits, Encoding encoding) {
        super(table, id);
        this.name = name;
        this.bits = bits;
        this.encoding = encoding;
    }

    @Override
    public @Nullable String name() {
        return name;
    }

    /** The size of the value in bits. */
    public int bits() {
        return bits;
    }

    public Encoding encoding() {
        return encoding;
    }

    @Override
    public long size() {
        return (bits + 7L) / 8;
    }
}
