package dev.slate.cpu.translate.x64;

import dev.slate.cpu.decode.Block;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * What native code must know of a {@link TranslatedPage} to prove it current and to find its code, in native memory: for each {@link Place} of the
 * page a record; and for the page itself its lines, that is a copy of the 64-byte lines of memory that its units were made from, and a table of its units.
 *
 * <p>Native code proves a page at a place when nothing can have moved it since it was last seen there and its lines are those of the copy; so a copy
 * must have the very bytes that were translated, never newer ones. Whatever it cannot decide (a line that holds data too, a store of this processor's
 * into a line, after which the line must be marked anew) is closed to it ({@link #close}) or found unequal, and decided unit by unit.
 */
final class PageRecords {
    // Offsets in a record.
    /** The epoch in which the page was last proved there. */
    static final int PROVED = 0;
    /** Linear address of the page. */
    static final int LINEAR = 8;
    /** Address of the page's lines. */
    static final int LINES = 16;
    /** The mode in an epoch's low bits. */
    static final int MODE = 24;
    /** Offset from R15 of the counter that {@link #MAPPED} is of: of global pages' mappings or of all. */
    static final int WHICH = 28;
    /**
     * What that counter was when the page was last known to lie there, and the times before: each address space has values of its own, and a kernel that
     * keeps its pages apart from users' is in all of them.
     */
    static final int MAPPED = 32;

    /** So many of them. */
    static final int SPACES = 4;

    /** Size of a record, a line's. */
    private static final int RECORD_BYTES = MAPPED + 8 * SPACES;

    // Offsets in what is said of lines.
    static final int HVA = 0;
    /** Address of the copies, 64 bytes each. */
    static final int COPIES = 8;
    /** Number of lines. */
    static final int COUNT = 16;
    /** How many lines there is room for. */
    private static final int ROOM = 20;
    /** Not zero: native code may not prove the page. */
    static final int CLOSED = 24;
    /** One less than the number of the table's entries, a power of two. */
    static final int TABLE_MASK = 28;
    /** Address of the table of units: where a unit's code lies in the upper half, its offset and 1 in the lower one; 0: no entry. */
    static final int TABLE = 32;
    /** The epoch in which memory was last found to have what was copied. */
    static final int MATCHED = 40;
    /** Number of the table's entries that are units. */
    private static final int UNITS = 48;
    /** A byte for each copy: which line of the page. */
    static final int NUMBERS = 56;

    static final int LINE = 64;
    /** See {@link #first}. */
    static final int SPREAD = 0x9e37_79b1;

    private static final int LINES_BYTES = 128;
    /** For so many copies there is room at first, and then for twice as many each time. */
    private static final int FIRST_ROOM = 4;

    private static final int LINE_ENTRIES = LINE / 8;

    private static final int CHUNK = 64 << 10;

    /** No page's address. */
    static final long NOWHERE = 1;

    /** No code's mode. */
    static final int NO_MODE = -1;

    private final List<Scratch> chunks = new ArrayList<>();
    private long free;
    private long end;
    private boolean grown;
    /** By the log2 of its number of lines: the first piece of memory that a page has grown out of, each with the next one's address. */
    private final long[] given = new long[12];

    void clear() {
        chunks.clear();
        free = 0;
        end = 0;
        Arrays.fill(given, 0);
    }

    /** Whether there is more memory than when this was asked last. */
    boolean hasGrown() {
        boolean has = grown;
        grown = false;
        return has;
    }

    /** Bytes that it takes once any page's worth has come. */
    long bytes() {
        return (chunks.size() + 1L) * CHUNK;
    }

    private long allocate(int bytes) {
        if (end - free < bytes) {
            Scratch chunk = new Scratch(CHUNK);
            chunks.add(chunk);
            grown = true;
            free = chunk.hva();
            end = free + CHUNK;
        }
        long at = free;
        free += bytes;
        return at;
    }

    /** Memory for so many lines, a power of two. */
    private long allocateLines(int room) {
        int size = Integer.numberOfTrailingZeros(room);
        long at = given[size];
        if (at == 0) {
            return allocate(room * LINE);
        }
        given[size] = HostMemory.get64(at);
        return at;
    }

    private void giveLines(long at, int room) {
        int size = Integer.numberOfTrailingZeros(room);
        HostMemory.put64(at, given[size]);
        given[size] = at;
    }

    private long createTable(int room) {
        long table = allocateLines(room);
        for (int i = 0; i < room * LINE; i += 8) {
            HostMemory.put64(table + i, 0);
        }
        return table;
    }

    /** What is said of the lines of a page of which nothing has been translated. */
    long createLines(long hva) {
        long l = allocate(LINES_BYTES);
        HostMemory.put64(l + HVA, hva);
        HostMemory.put64(l + COPIES, allocateLines(FIRST_ROOM));
        HostMemory.put32(l + COUNT, 0);
        HostMemory.put32(l + ROOM, FIRST_ROOM);
        HostMemory.put32(l + CLOSED, 0);
        HostMemory.put64(l + MATCHED, 0);
        HostMemory.put64(l + TABLE, createTable(1));
        HostMemory.put32(l + TABLE_MASK, LINE_ENTRIES - 1);
        HostMemory.put32(l + UNITS, 0);
        return l;
    }

    /** Has native code find the unit at {@code offset} of the page, whose code lies {@code code} bytes behind the beginning of all code. */
    void addUnit(long l, int offset, long code) {
        int entries = HostMemory.get32(l + TABLE_MASK) + 1;
        int units = HostMemory.get32(l + UNITS) + 1;
        HostMemory.put32(l + UNITS, units);
        if (2 * units > entries) {
            long old = HostMemory.get64(l + TABLE);
            HostMemory.put64(l + TABLE, createTable(2 * entries / LINE_ENTRIES));
            HostMemory.put32(l + TABLE_MASK, 2 * entries - 1);
            for (int i = 0; i < entries; i++) {
                long entry = HostMemory.get64(old + 8 * i);
                if (entry != 0) {
                    putUnit(l, entry);
                }
            }
            giveLines(old, entries / LINE_ENTRIES);
        }
        putUnit(l, code << 32 | offset + 1);
    }

    /** Where a table of units has one, as far as it has so many entries, or a place behind that. Code computes the same ({@link Stubs}). */
    static int first(int offset) {
        return (offset + 1) * SPREAD >>> 16;
    }

    private static void putUnit(long l, long entry) {
        int mask = HostMemory.get32(l + TABLE_MASK);
        long table = HostMemory.get64(l + TABLE);
        int i = first((int) entry - 1) & mask;
        while (HostMemory.get64(table + 8L * i) != 0) {
            i = i + 1 & mask;
        }
        HostMemory.put64(table + 8L * i, entry);
    }

    /** A record of a page at a linear address. */
    long create(long lines, long linear, int mode) {
        long r = allocate(RECORD_BYTES);
        HostMemory.put64(r + PROVED, 0);
        HostMemory.put64(r + LINEAR, linear);
        HostMemory.put64(r + LINES, lines);
        HostMemory.put32(r + MODE, mode);
        HostMemory.put32(r + WHICH, StateBlock.MAPPINGS);
        for (int i = 0; i < SPACES; i++) {
            HostMemory.put64(r + MAPPED + 8 * i, 0);
        }
        return r;
    }

    /** No page is proved by a record any more. */
    void forget(long r) {
        HostMemory.put64(r + PROVED, 0);
        HostMemory.put32(r + MODE, NO_MODE);
    }

    /** Whether two records are of the same page, at whatever places. */
    boolean areOfOnePage(long r, long other) {
        return HostMemory.get64(r + LINES) == HostMemory.get64(other + LINES);
    }

    boolean isProved(long r, long epoch) {
        return HostMemory.get64(r + PROVED) == epoch;
    }

    void prove(long r, long epoch) {
        HostMemory.put64(r + PROVED, epoch);
    }

    void unprove(long r) {
        HostMemory.put64(r + PROVED, 0);
    }

    /** Leaves it to Java to prove the page, from now on. */
    void close(long l) {
        HostMemory.put32(l + CLOSED, 1);
        HostMemory.put64(l + MATCHED, 0);
    }

    /** Whether memory is known to have what was copied, in {@code epoch}. */
    boolean isMatched(long l, long epoch) {
        return HostMemory.get64(l + MATCHED) == epoch;
    }

    void matched(long l, long epoch) {
        HostMemory.put64(l + MATCHED, epoch);
    }

    boolean isOpen(long l) {
        return HostMemory.get32(l + CLOSED) == 0;
    }

    boolean isMapped(long r, StateBlock state) {
        long now = state.get64(HostMemory.get32(r + WHICH));
        for (int i = 0; i < SPACES; i++) {
            if (HostMemory.get64(r + MAPPED + 8 * i) == now) {
                return true;
            }
        }
        return false;
    }

    /** The page has been seen to lie where it does, now. */
    void map(long r, boolean global, StateBlock state) {
        int which = global ? StateBlock.GLOBAL_MAPPINGS : StateBlock.MAPPINGS;
        HostMemory.put32(r + WHICH, which);
        if (!isMapped(r, state)) {
            for (int i = SPACES - 1; i > 0; i--) {
                HostMemory.put64(r + MAPPED + 8 * i, HostMemory.get64(r + MAPPED + 8 * (i - 1)));
            }
            HostMemory.put64(r + MAPPED, state.get64(which));
        }
    }

    /** Whether memory has what was copied. */
    boolean matches(long l) {
        long hva = HostMemory.get64(l + HVA);
        long copy = HostMemory.get64(l + COPIES);
        int n = HostMemory.get32(l + COUNT);
        for (int i = 0; i < n; i++, copy += LINE) {
            long line = hva + (long) HostMemory.get8(l + NUMBERS + i) * LINE;
            for (int k = 0; k < LINE; k += 8) {
                if (HostMemory.get64(line + k) != HostMemory.get64(copy + k)) {
                    return false;
                }
            }
        }
        return true;
    }

    private long copyOf(long l, int line) {
        int n = HostMemory.get32(l + COUNT);
        for (int i = 0; i < n; i++) {
            if (HostMemory.get8(l + NUMBERS + i) == line) {
                return HostMemory.get64(l + COPIES) + (long) i * LINE;
            }
        }
        return 0;
    }

    private long addLine(long l, int line) {
        int n = HostMemory.get32(l + COUNT);
        int room = HostMemory.get32(l + ROOM);
        if (n == room) {
            long larger = allocateLines(2 * room);
            long smaller = HostMemory.get64(l + COPIES);
            HostMemory.copy(smaller, larger, (long) room * LINE);
            HostMemory.put64(l + COPIES, larger);
            giveLines(smaller, room);
            HostMemory.put32(l + ROOM, 2 * room);
        }
        long copy = HostMemory.get64(l + COPIES) + (long) n * LINE;
        HostMemory.put8(l + NUMBERS + n, line);
        HostMemory.put32(l + COUNT, n + 1);
        HostMemory.copy(HostMemory.get64(l + HVA) + (long) line * LINE, copy, LINE);
        return copy;
    }

    /**
     * Takes in the lines of a block that has been translated.
     *
     * @return false: another unit was made from other bytes at the same place, and native code must not prove the page
     */
    boolean add(long l, Block b) {
        boolean agree = true;
        int first = (int) b.hva & 4095;
        int last = first + b.byteLength - 1;
        for (int line = first / LINE; line <= last / LINE; line++) {
            long copy = copyOf(l, line);
            if (copy == 0) {
                addLine(l, line);
            } else {
                agree &= agrees(b, copy, line);
            }
        }
        overlay(l, b);
        return agree;
    }

    /** Copies all lines anew, once every one of {@code blocks} has been found current; stays closed when they do not agree. */
    void refresh(long l, Unit[] units, int count) {
        long hva = HostMemory.get64(l + HVA);
        long copies = HostMemory.get64(l + COPIES);
        int n = HostMemory.get32(l + COUNT);
        for (int i = 0; i < n; i++) {
            long line = (long) HostMemory.get8(l + NUMBERS + i) * LINE;
            HostMemory.copy(hva + line, copies + (long) i * LINE, LINE);
        }
        for (int i = 0; i < count; i++) {
            overlay(l, units[i].block);
        }
        boolean agree = true;
        for (int i = 0; i < count; i++) {
            Block b = units[i].block;
            int first = (int) b.hva & 4095;
            int last = first + b.byteLength - 1;
            for (int line = first / LINE; line <= last / LINE; line++) {
                agree &= agrees(b, copyOf(l, line), line);
            }
        }
        HostMemory.put32(l + CLOSED, agree ? 0 : 1);
    }

    private static int byteAt(Block b, int i) {
        return (int) (b.bytes[i >>> 3] >>> 8 * (i & 7)) & 0xff;
    }

    /** Whether the copy of a line has the block's bytes as they were translated. */
    private static boolean agrees(Block b, long copy, int line) {
        int first = (int) b.hva & 4095;
        int from = Math.max(first, line * LINE);
        int to = Math.min(first + b.byteLength, (line + 1) * LINE);
        for (int at = from; at < to; at++) {
            if (HostMemory.get8(copy + at - (long) line * LINE) != byteAt(b, at - first)) {
                return false;
            }
        }
        return true;
    }

    private void overlay(long l, Block b) {
        int first = (int) b.hva & 4095;
        int last = first + b.byteLength - 1;
        for (int line = first / LINE; line <= last / LINE; line++) {
            long copy = copyOf(l, line) - (long) line * LINE;
            int to = Math.min(last, line * LINE + LINE - 1);
            for (int at = Math.max(first, line * LINE); at <= to; at++) {
                HostMemory.put8(copy + at, byteAt(b, at - first));
            }
        }
    }
}
