package dev.slate.layout.dwarf;

import dev.slate.layout.LayoutException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/**
 * Reads a stretch of a section from a place that it moves on. Places are offsets in the section. Leaving the stretch is a clear error, never
 * a wrong value.
 */
final class Reader {
    /** How much of a string section is looked at at once for the end of a string. */
    private static final int PIECE = 64;

    private static final int LONGEST_PIECE = 1 << 20;

    private final byte[] bytes;
    /** Where the section's first byte would lie in {@link #bytes}. */
    private final int origin;

    private final boolean little;
    private final String file;
    private final String section;
    /** The offset behind the last byte that may be read. */
    final int limit;

    int at;

    private Reader(byte[] bytes, int origin, int limit, boolean little, String file, String section, int at) {
        this.bytes = bytes;
        this.origin = origin;
        this.limit = limit;
        this.little = little;
        this.file = file;
        this.section = section;
        this.at = at;
    }

    /** A reader that stands at {@code from} and may read up to {@code to}: of the array that a section has, or of a copy of the stretch. */
    static Reader of(ByteBuffer in, int from, int to, String file, String section) {
        boolean little = in.order() == ByteOrder.LITTLE_ENDIAN;
        if (in.hasArray()) return new Reader(in.array(), in.arrayOffset(), to, little, file, section, from);
        byte[] copy = new byte[to - from];
        in.get(from, copy);
        return new Reader(copy, -from, to, little, file, section, from);
    }

    /** A reader of the same stretch that stands somewhere else. */
    Reader at(int place) {
        return new Reader(bytes, origin, limit, little, file, section, place);
    }

    boolean little() {
        return little;
    }

    LayoutException broken(String what) {
        return new LayoutException(file + " (" + section + ")", at, what);
    }

    private LayoutException end() {
        return broken(
                "the section or unit ends here, at 0x" + Integer.toHexString(limit) + ", in the middle of a value");
    }

    /** Moves on by some bytes; returns where the first of them lies in the array. */
    private int take(int count) {
        int place = at;
        if (place < 0 || place > limit - count) throw end();
        at = place + count;
        return place + origin;
    }

    int byte1() {
        return bytes[take(1)] & 0xff;
    }

    /** The next byte, which stays the next. */
    int peek() {
        int value = byte1();
        at--;
        return value;
    }

    int byte2() {
        int i = take(2);
        int first = bytes[i] & 0xff;
        int second = bytes[i + 1] & 0xff;
        return little ? first | second << 8 : first << 8 | second;
    }

    private int byte3() {
        int first = byte1();
        int rest = byte2();
        return little ? first | rest << 8 : first << 16 | rest;
    }

    int byte4() {
        int i = take(4);
        int first = bytes[i] & 0xff;
        int second = bytes[i + 1] & 0xff;
        int third = bytes[i + 2] & 0xff;
        int fourth = bytes[i + 3] & 0xff;
        return little
                ? first | second << 8 | third << 16 | fourth << 24
                : first << 24 | second << 16 | third << 8 | fourth;
    }

    long byte8() {
        long first = Integer.toUnsignedLong(byte4());
        long second = Integer.toUnsignedLong(byte4());
        return little ? first | second << 32 : first << 32 | second;
    }

    long bytes(int size) {
        return switch (size) {
            case 1 -> byte1();
            case 2 -> byte2();
            case 3 -> byte3();
            case 4 -> Integer.toUnsignedLong(byte4());
            case 8 -> byte8();
            default -> throw broken("a value of " + size + " bytes");
        };
    }

    /** Unsigned LEB128 (DWARF 5, 7.6). */
    long unsigned() {
        int b = byte1();
        if (b < 0x80) return b;
        long value = b & 0x7f;
        for (int shift = 7; ; shift += 7) {
            b = byte1();
            if (shift < 64) value |= (long) (b & 0x7f) << shift;
            if (b < 0x80) return value;
            if (shift > 140) throw broken("a number that never ends");
        }
    }

    /** Signed LEB128 (DWARF 5, 7.6). */
    long signed() {
        long value = 0;
        for (int shift = 0; ; ) {
            int b = byte1();
            if (shift < 64) value |= (long) (b & 0x7f) << shift;
            shift += 7;
            if (b < 0x80) return shift < 64 && (b & 0x40) != 0 ? value | -1L << shift : value;
            if (shift > 140) throw broken("a number that never ends");
        }
    }

    void skipLeb() {
        for (int n = 0; byte1() >= 0x80; n++) if (n > 20) throw broken("a number that never ends");
    }

    void skip(long count) {
        if (count < 0 || count > limit - at) throw broken("a block of " + count + " bytes leaves the section or unit");
        at += (int) count;
    }

    void skipString() {
        while (byte1() != 0) {}
    }

    /** The string that starts here, which the reader moves behind. */
    String string() {
        int start = at;
        skipString();
        return new String(bytes, start + origin, at - 1 - start, StandardCharsets.UTF_8);
    }

    /** Whether a string that starts at {@code start} has exactly these bytes. */
    boolean same(int start, byte[] text) {
        for (int i = 0; i < text.length; i++) if (bytes[start + origin + i] != text[i]) return false;
        return true;
    }

    /** The string that ends in a zero at some place of a string section. */
    static String string(ByteBuffer text, long start, Reader from) {
        if (start < 0 || start >= text.limit()) {
            throw from.broken("a name lies at 0x" + Long.toHexString(start) + " of a string section of " + text.limit()
                    + " bytes");
        }
        int first = (int) start;
        for (int size = PIECE; ; size = Math.min(size * 4, LONGEST_PIECE)) {
            byte[] piece = new byte[Math.min(size, text.limit() - first)];
            text.get(first, piece);
            for (int i = 0; i < piece.length; i++)
                if (piece[i] == 0) return new String(piece, 0, i, StandardCharsets.UTF_8);
            if (first + piece.length == text.limit()) throw from.broken("a name that never ends");
            if (size == LONGEST_PIECE) throw from.broken("a name of more than " + size + " bytes");
        }
    }
}
