package dev.slate.layout;

import org.jspecify.annotations.Nullable;

/** An array of one or more dimensions, or a vector register. */
public final class ArrayType extends Type {
    private final long element;
    private final long[] counts;
    private final boolean vector;

    /** @param counts elements of each dimension, outermost first; 0 for a flexible or unknown one */
    public ArrayType(TypeTable table, long id, long element, long[] counts, boolean vector) {
        super(table, id);
        this.element = element;
        this.counts = counts.clone();
        this.vector = vector;
    }

    public @Nullable Type element() {
        return table().type(element);
    }

    public int dimensions() {
        return counts.length;
    }

    /** Elements of one dimension, outermost first. */
    public long count(int dimension) {
        return counts[dimension];
    }

    public boolean vector() {
        return vector;
    }

    @Override
    public @Nullable String name() {
        return null;
    }

    @Override
    public long size() {
        long size = sizeOf(element());
        try {
            for (long count : counts) size = Math.multiplyExact(size, count);
        } catch (ArithmeticException e) {
            throw new LayoutException(
                    table().file(), "type " + id() + ": an array of more bytes than an address can name");
        }
        return size;
    }
}
