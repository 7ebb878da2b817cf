package dev.slate.cpu.translate.x64;

import dev.slate.cpu.decode.Block;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;
import java.util.ArrayList;
import java.util.List;

/**
 * What native code must know of a {@link TranslatedPage} to prove it current: a record in native memory with the page's place and a
 * copy of the 64-byte lines that its units were made from.
 *
 * <p>Native code proves a page when nothing can have moved it since it was last seen and its lines are those of the copy; so a copy
 * must have the very bytes that were translated, never newer ones. Whatever it cannot decide (a line that holds data too, a store of this processor's
 * into a line, after which the line must be marked anew) is closed to it ({@link #close}) or found unequal, and decided unit by unit.
 */
final class PageRecords {
    // Offsets in a record.
    /** The epoch in which the page was last proved. */
    static final int PROVED = 0;
    /** Linear address of the page, {@link #CLOSED} when native code may not prove it. */
    static final int LINEAR = 8;

    static final int HVA = 16;
    /** Address of the copies, 64 bytes each. */
    static final int COPIES = 24;
    /** Number of lines. */
    static final int COUNT = 32;
    /** The mode in an epoch's low bits. */
    static final int MODE = 36;
    /** Offset from R15 of the counter that {@link #MAPPED} is of: of global pages' mappings or of all. */
    static final int WHICH = 40;
    /** How many lines there is room for. */
    private static final int ROOM = 44;
    /** What that counter was when the page was last known to lie where it does. */
    static final int MAPPED = 48;
    /** A byte for each copy: which line of the page. */
    static final int LINES = 64;

    private static final int BYTES = 128;
    static final int LINE = 64;
    private static final int FIRST_ROOM = 4;
    private static final int CHUNK = 64 << 10;

    /** No page's address. */
    static final long CLOSED = 1;

    private final List<Scratch> chunks = new ArrayList<>();
    private long free;
    private long end;

    void clear() {
        chunks.clear();
        free = 0;
        end = 0;
    }

    /** Bytes that it takes once any page's worth has come. */
    long bytes() {
        return (chunks.size() + 1L) * CHUNK;
    }

    private long allocate(int bytes) {
        if (end - free < bytes) {
            Scratch chunk = new Scratch(CHUNK);
            chunks.add(chunk);
            free = chunk.hva();
            end = free + CHUNK;
        }
        long at = free;
        free += bytes;
        return at;
    }

    /** A record without lines. */
    long create(long linear, long hva, int mode) {
        long r = allocate(BYTES);
        HostMemory.put64(r + PROVED, 0);
        HostMemory.put64(r + LINEAR, linear);
        HostMemory.put64(r + HVA, hva);
        HostMemory.put64(r + COPIES, allocate(FIRST_ROOM * LINE));
        HostMemory.put32(r + COUNT, 0);
        HostMemory.put32(r + MODE, mode);
        HostMemory.put32(r + WHICH, StateBlock.MAPPINGS);
        HostMemory.put64(r + MAPPED, 0);
        HostMemory.put32(r + ROOM, FIRST_ROOM);
        return r;
    }

    boolean isProved(long r, long epoch) {
        return HostMemory.get64(r + PROVED) == epoch;
    }

    void prove(long r, long epoch) {
        HostMemory.put64(r + PROVED, epoch);
    }

    /** Leaves it to Java to prove the page, from now on. */
    void close(long r) {
        HostMemory.put64(r + PROVED, 0);
        HostMemory.put64(r + LINEAR, CLOSED);
    }

    boolean isOpen(long r) {
        return HostMemory.get64(r + LINEAR) != CLOSED;
    }

    boolean isMapped(long r, StateBlock state) {
        return HostMemory.get64(r + MAPPED) == state.get64(HostMemory.get32(r + WHICH));
    }

    /** The page has been seen to lie where it does, now. */
    void map(long r, boolean global, StateBlock state) {
        int which = global ? StateBlock.GLOBAL_MAPPINGS : StateBlock.MAPPINGS;
        HostMemory.put32(r + WHICH, which);
        HostMemory.put64(r + MAPPED, state.get64(which));
    }

    /** Whether memory has what was copied. */
    boolean matches(long r) {
        long hva = HostMemory.get64(r + HVA);
        long copy = HostMemory.get64(r + COPIES);
        int n = HostMemory.get32(r + COUNT);
        for (int i = 0; i < n; i++, copy += LINE) {
            long line = hva + (long) HostMemory.get8(r + LINES + i) * LINE;
            for (int k = 0; k < LINE; k += 8) {
                if (HostMemory.get64(line + k) != HostMemory.get64(copy + k)) {
                    return false;
                }
            }
        }
        return true;
    }

    private long copyOf(long r, int line) {
        int n = HostMemory.get32(r + COUNT);
        for (int i = 0; i < n; i++) {
            if (HostMemory.get8(r + LINES + i) == line) {
                return HostMemory.get64(r + COPIES) + (long) i * LINE;
            }
        }
        return 0;
    }

    private long addLine(long r, int line) {
        int n = HostMemory.get32(r + COUNT);
        int room = HostMemory.get32(r + ROOM);
        if (n == room) {
            long larger = allocate(2 * room * LINE);
            HostMemory.copy(HostMemory.get64(r + COPIES), larger, (long) room * LINE);
            HostMemory.put64(r + COPIES, larger);
            HostMemory.put32(r + ROOM, 2 * room);
        }
        long copy = HostMemory.get64(r + COPIES) + (long) n * LINE;
        HostMemory.put8(r + LINES + n, line);
        HostMemory.put32(r + COUNT, n + 1);
        HostMemory.copy(HostMemory.get64(r + HVA) + (long) line * LINE, copy, LINE);
        return copy;
    }

    /** Takes in the lines of a block that has been translated. */
    void add(long r, Block b) {
        int first = (int) b.hva & 4095;
        int last = first + b.byteLength - 1;
        for (int line = first / LINE; line <= last / LINE; line++) {
            long copy = copyOf(r, line);
            if (copy == 0) {
                addLine(r, line);
            } else if (!agrees(b, copy, line)) {
                // Another unit was made from other bytes at the same place.
                close(r);
            }
        }
        overlay(r, b);
    }

    /** Copies all lines anew, once every one of {@code blocks} has been found current; stays closed when they do not agree. */
    void refresh(long r, Unit[] units, int count, long linear) {
        long hva = HostMemory.get64(r + HVA);
        long copies = HostMemory.get64(r + COPIES);
        int n = HostMemory.get32(r + COUNT);
        for (int i = 0; i < n; i++) {
            long line = (long) HostMemory.get8(r + LINES + i) * LINE;
            HostMemory.copy(hva + line, copies + (long) i * LINE, LINE);
        }
        for (int i = 0; i < count; i++) {
            overlay(r, units[i].block);
        }
        boolean agree = true;
        for (int i = 0; i < count; i++) {
            Block b = units[i].block;
            int first = (int) b.hva & 4095;
            int last = first + b.byteLength - 1;
            for (int line = first / LINE; line <= last / LINE; line++) {
                agree &= agrees(b, copyOf(r, line), line);
            }
        }
        HostMemory.put64(r + LINEAR, agree ? linear : CLOSED);
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

    private void overlay(long r, Block b) {
        int first = (int) b.hva & 4095;
        int last = first + b.byteLength - 1;
        for (int line = first / LINE; line <= last / LINE; line++) {
            long copy = copyOf(r, line) - (long) line * LINE;
            int to = Math.min(last, line * LINE + LINE - 1);
            for (int at = Math.max(first, line * LINE); at <= to; at++) {
                HostMemory.put8(copy + at, byteAt(b, at - first));
            }
        }
    }
}
