package dev.slate.layout.dwarf;

import dev.slate.layout.LayoutException;
import dev.slate.layout.elf.ElfFile;
import java.nio.ByteBuffer;

/**
 * The index of a {@code .dwp} file (DWARF 5, 7.3.5, and GNU's version 2 of it): which part of the abbreviations and of the string offsets
 * belongs to which unit.
 */
final class SplitIndex {
    /** What a unit's offsets count from. */
    record Part(long abbrevs, long strings) {
        static final Part WHOLE = new Part(0, 0);
    }

    static final SplitIndex NONE = new SplitIndex();

    private static final int INFO = 1;
    private static final int TYPES = 2;
    private static final int ABBREV = 3;
    private static final int STR_OFFSETS = 6;
    private static final int MOST_COLUMNS = 64;

    private final LongMap<Part> parts = new LongMap<>();
    private boolean any;

    private SplitIndex() {}

    SplitIndex(ElfFile elf, String file) {
        read(elf.bytes(".debug_cu_index"), file + " (.debug_cu_index)");
        read(elf.bytes(".debug_tu_index"), file + " (.debug_tu_index)");
    }

    private static long key(long start, boolean types) {
        return start * 2 + (types ? 1 : 0) + 2;
    }

    Part of(long start, boolean types) {
        Part part = any ? parts.get(key(start, types)) : null;
        return part == null ? Part.WHOLE : part;
    }

    private void read(ByteBuffer in, String where) {
        if (in.limit() < 16) return;
        int version = in.getInt(0) == 2 ? 2 : in.getShort(0);
        if (version != 2 && version != 5)
            throw new LayoutException(where, 0, "an index of version " + version + "; 2 and 5 are known");
        int columns = in.getInt(4);
        long units = Integer.toUnsignedLong(in.getInt(8));
        long slots = Integer.toUnsignedLong(in.getInt(12));
        long table = 16 + slots * 12;
        long offsets = table + 4L * columns;
        if (columns < 0 || columns > MOST_COLUMNS || offsets + units * columns * 4 > in.limit())
            throw new LayoutException(where, 0, "the index leaves its section");
        any = true;
        for (int unit = 0; unit < units; unit++) {
            long info = -1;
            boolean types = false;
            long abbrevs = 0;
            long strings = 0;
            for (int column = 0; column < columns; column++) {
                long offset = Integer.toUnsignedLong(in.getInt((int) (offsets + (unit * (long) columns + column) * 4)));
                switch (in.getInt((int) (table + column * 4L))) {
                    case INFO -> info = offset;
                    case TYPES -> {
                        info = offset;
                        types = true;
                    }
                    case ABBREV -> abbrevs = offset;
                    case STR_OFFSETS -> strings = offset;
                    default -> {}
                }
            }
            if (info >= 0) parts.put(key(info, types), new Part(abbrevs, strings));
        }
    }
}
