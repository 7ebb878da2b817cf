package dev.slate.layout;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** An enumeration. */
public final class EnumType extends Type {
    /** A named value. */
    public record Value(String name, long value) {}

    private final @Nullable String name;
    private final long size;
    private final boolean signed;
    private final List<Value> values;

    public EnumType(TypeTable table, long id, @Nullable String name, long size, boolean signed, List<Value> values) {
        super(table, id);
        this.name = name;
        this.size = size;
        this.signed = signed;
        this.values = List.copyOf(values);
    }

    @Override
    public @Nullable String name() {
        return name;
    }

    @Override
    public long size() {
        return size;
    }

    public boolean signed() {
        return signed;
    }

    public List<Value> values() {
        return values;
    }
}
