package dev.slate.cpu.translate.x64;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;

/**
 * Where indirect branches and returns find code: a table in native memory, by rip. It begins small and takes more room each time it has been too
 * small for a while. Code enters what it finds by itself ({@link Stubs}). Zeros are an entry that no rip finds, since only rip 0 would and that has an
 * entry of its own.
 */
final class JumpCache {
    private static final int FIRST = 2048;
    private static final int MOST = 64 << 10;
    /** rip, code address, record of its page's place, linear address of its page. */
    static final int ENTRY_SHIFT = 5;

    static final int CODE = 8;
    static final int RECORD = 16;
    static final int PLACE = 24;

    /** So often a rip takes another's place before there is more room. */
    static final int CONFLICTS = 8192;

    /** Bytes of a table at first. */
    static final int LEAST = FIRST << ENTRY_SHIFT;

    private final StateBlock state;
    private Scratch memory;
    private int count;

    JumpCache(StateBlock state) {
        this.state = state;
        count = FIRST;
        memory = make();
    }

    /** A table without entries, which code is told of. */
    private Scratch make() {
        Scratch table = new Scratch((long) count << ENTRY_SHIFT);
        state.put64(StateBlock.JUMPS, table.hva() - state.base());
        state.put64(StateBlock.JUMP_MASK, count - 1);
        put(-1, -1, state.noRecord(), table.hva());
        return table;
    }

    /** Code computes the same ({@link Emission#jumpEntry}). */
    private long entry(long rip) {
        int low = (int) rip;
        return memory.hva() + ((long) ((low >>> 12 ^ low) & count - 1) << ENTRY_SHIFT);
    }

    void enter(long rip, long code, long record) {
        long e = entry(rip);
        long other = HostMemory.get64(e);
        if (other != 0 && other != rip) {
            state.put32(StateBlock.CONFLICTS, state.get32(StateBlock.CONFLICTS) + 1);
        }
        put(rip, code, record, e);
    }

    private static void put(long rip, long code, long record, long e) {
        HostMemory.put64(e, rip);
        HostMemory.put64(e + CODE, code);
        HostMemory.put64(e + RECORD, record);
        HostMemory.put64(e + PLACE, rip & -4096L);
    }

    /** Whether the table has turned out too small since this was asked last. */
    boolean isShort() {
        if (state.get32(StateBlock.CONFLICTS) < CONFLICTS) {
            return false;
        }
        state.put32(StateBlock.CONFLICTS, 0);
        return count < MOST;
    }

    /** Bytes that {@link #grow} takes on top. */
    int step() {
        return grown() - count << ENTRY_SHIFT;
    }

    private int grown() {
        return Math.min(8 * count, MOST);
    }

    /** Takes more room; nothing is in it. */
    void grow() {
        count = grown();
        memory = make();
    }

    /** Bytes beyond {@link #LEAST}. */
    int more() {
        return count - FIRST << ENTRY_SHIFT;
    }

    /** Nothing is in it, and it is small. */
    void clear() {
        count = FIRST;
        memory = make();
    }
}
