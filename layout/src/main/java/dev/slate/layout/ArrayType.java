package dev.slate.layout;

import org.jspecify.annotations.Nullable;

/** An array of one or more dimensions, or a vector register. */
public final class ArrayType extends Type {
    /** The size is that of the elements together. */
    public static final long COUNTED = -1;

    /** Only a running program knows how many elements there are. */
    public static final long UNKNOWN = -2;

    private final long element;
    private final long[] counts;
    private final boolean vector;
    private final boolean known;
    private long size;
    private boolean measuring;

    /** As the other one, with a size that follows from the counts. */
    public ArrayType(TypeTable table, long id, long element, long[] counts, boolean vector) {
        this(table, id, element, counts, vector, COUNTED);
    }

    /**
     * @param counts elements of each dimension, outermost first; 0 for a flexible or unknown one
     * @param size bytes where the source states them, {@link #COUNTED}, or {@link #UNKNOWN}
     */
    public ArrayType(TypeTable table, long id, long element, long[] counts, boolean vector, long size) {
        super(table, id);
        this.element = element;
        this.counts = counts.clone();
        this.vector = vector;
        this.known = size != UNKNOWN;
        this.size = size == UNKNOWN ? 0 : size;
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

    @Override
    public boolean sizeKnown() {
        return known && (counts.length == 0 || counts[0] == 0 || knowsSize(element()));
    }
}
