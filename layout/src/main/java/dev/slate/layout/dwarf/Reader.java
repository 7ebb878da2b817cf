package dev.slate.layout.dwarf;

import dev.slate.layout.LayoutException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** Reads a section from a place that it moves on. Leaving the section is a clear error, never a wrong value. */
final class Reader {
    final ByteBuffer in;
    final String file;
    final String section;
    int at;

    Reader(ByteBuffer in, String file, String section) {
        this.in = in;
        this.file = file;
        this.section = section;
    }

    LayoutException broken(String what) {
        return new LayoutException(file + " (" + section + ")", at, what);
    }

    private LayoutException end() {
        return broken("the section ends here, after 0x" + Integer.toHexString(in.limit())
                + " bytes, in the middle of a value");
    }

    int byte1() {
        try {
            return in.get(at++) & 0xff;
        } catch (IndexOutOfBoundsException e) {
            throw end();
        }
    }

    /** The next byte, which stays the next. */
    int peek() {
        int value = byte1();
        at--;
        return value;
    }

    int byte2() {
        try {
            int value = Short.toUnsignedInt(in.getShort(at));
            at += 2;
            return value;
        } catch (IndexOutOfBoundsException e) {
            throw end();
        }
    }

    int byte4() {
        try {
            int value = in.getInt(at);
            at += 4;
            return value;
        } catch (IndexOutOfBoundsException e) {
            throw end();
        }
    }

    long byte8() {
        try {
            long value = in.getLong(at);
            at += 8;
            return value;
        } catch (IndexOutOfBoundsException e) {
            throw end();
        }
    }

    long bytes(int size) {
        return switch (size) {
            case 1 -> byte1();
            case 2 -> byte2();
            case 3 -> {
                int low = byte1();
                int middle = byte1();
                int high = byte1();
                yield in.order() == java.nio.ByteOrder.LITTLE_ENDIAN
                        ? low | middle << 8 | high << 16
                        : low << 16 | middle << 8 | high;
            }
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

    void skip(long bytes) {
        if (bytes < 0 || bytes > in.limit() - at) throw broken("a block of " + bytes + " bytes leaves the section");
        at += (int) bytes;
    }

    void skipString() {
        while (byte1() != 0) {}
    }

    /** The string that ends in a zero at some place of a string section. */
    static String string(ByteBuffer text, long start, Reader from) {
        if (start < 0 || start >= text.limit()) {
            throw from.broken("a name lies at 0x" + Long.toHexString(start) + " of a string section of " + text.limit()
                    + " bytes");
        }
        int end = (int) start;
        while (end < text.limit() && text.get(end) != 0) end++;
        if (end == text.limit()) throw from.broken("a name that never ends");
        byte[] bytes = new byte[end - (int) start];
        text.get((int) start, bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
