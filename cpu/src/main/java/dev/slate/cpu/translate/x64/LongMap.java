package dev.slate.cpu.translate.x64;

import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** From longs to objects, without boxes: looked up on the way into code. Nothing is taken out but all at once. */
final class LongMap<V> {
    private static final int FIRST = 256;
    /** A key and a compressed reference. */
    private static final int PLACE_BYTES = 12;

    static final long SPREAD = 0x9e37_79b9_7f4a_7c15L;

    private long[] keys = new long[FIRST];
    private @Nullable Object[] values = new Object[FIRST];
    private int size;

    private int place(long key) {
        int last = keys.length - 1;
        int i = (int) (key * SPREAD >>> 32) & last;
        while (values[i] != null && keys[i] != key) {
            i = i + 1 & last;
        }
        return i;
    }

    @SuppressWarnings("unchecked")
    @Nullable
    V get(long key) {
        return (V) values[place(key)];
    }

    void put(long key, V value) {
        int i = place(key);
        if (values[i] == null && ++size * 2 > keys.length) {
            grow();
            i = place(key);
        }
        keys[i] = key;
        values[i] = value;
    }

    private void grow() {
        long[] oldKeys = keys;
        @Nullable Object[] old = values;
        keys = new long[2 * oldKeys.length];
        values = new Object[keys.length];
        for (int k = 0; k < old.length; k++) {
            if (old[k] != null) {
                int i = place(oldKeys[k]);
                keys[i] = oldKeys[k];
                values[i] = old[k];
            }
        }
    }

    @SuppressWarnings("unchecked")
    void forEach(Consumer<V> action) {
        for (Object value : values) {
            if (value != null) {
                action.accept((V) value);
            }
        }
    }

    /** Bytes that the map takes when {@code more} have come. */
    long bytes(int more) {
        int places = (size + more) * 2 > keys.length ? 2 * keys.length : keys.length;
        return (long) places * PLACE_BYTES;
    }

    void clear() {
        keys = new long[FIRST];
        values = new Object[FIRST];
        size = 0;
    }
}
