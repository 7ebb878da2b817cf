package dev.slate.layout;

import org.jspecify.annotations.Nullable;

/** An array of one or more dimensions, or a vector register. */
public final class ArrayType extends Type {
    private final long element;
    private final long[] counts;
    private final boolean vector;
    private long size = -1;
    private boolean measuring;

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
        if (size < 0) {
            if (measuring) throw new LayoutException(table().file(), "type " + id() + ": an array of itself");
            measuring = true;
            try {
                long whole = sizeOf(element());
                for (long count : counts) whole = Math.multiplyExact(whole, count);
                size = whole;
            } catch (ArithmeticException e) {
                throw new LayoutException(
                        table().file(), "type " + id() + ": an array of more bytes than an address can name");
            } finally {
                measuring = false;
            }
        }
        return size;
    }
}
