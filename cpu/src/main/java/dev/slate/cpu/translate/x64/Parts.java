package dev.slate.cpu.translate.x64;

import dev.slate.cpu.decode.Block;
import org.jspecify.annotations.Nullable;

/**
 * The blocks that code at hand is made of, one behind the other: each is entered from the one before it, from wherever in the code things are as it
 * has them, and by itself ({@link Emitter}).
 */
final class Parts {
    /** The most of them. */
    static final int MOST = 8;

    // What is so where a part begins.
    /** The flags are in EFLAGS. */
    static final int HERE = 1;
    /** They are in the state block. */
    static final int SAVED = 2;
    /** The vector registers are loaded. */
    static final int VECTORS = 4;
    /** The flags are written before anybody looks at them. */
    static final int EITHER = 8;

    private final @Nullable Block[] blocks = new Block[MOST];
    /** Number of each one's first instruction, and behind the last one's last. */
    private final int[] first = new int[MOST + 1];

    private final long[] rip = new long[MOST];
    private final long[] begin = new long[MOST];
    private final int[] state = new int[MOST];
    private int count;

    void clear() {
        count = 0;
        first[0] = 0;
    }

    int count() {
        return count;
    }

    boolean isFull() {
        return count == MOST;
    }

    /** One more, of the guest's code at {@code itsRip}; its own begins at {@code address} in {@code itsState}. */
    void add(Block b, long itsRip, long address, int itsState) {
        blocks[count] = b;
        rip[count] = itsRip;
        begin[count] = address;
        state[count] = itsState;
        first[count + 1] = first[count] + b.count;
        count++;
    }

    Block block(int part) {
        return java.util.Objects.requireNonNull(blocks[part]);
    }

    /** Number of its first instruction among all of them; of the part behind the last one, how many there are. */
    int first(int part) {
        return first[part];
    }

    long rip(int part) {
        return rip[part];
    }

    long begin(int part) {
        return begin[part];
    }

    int state(int part) {
        return state[part];
    }

    /** The part that begins at a rip; -1: none does. */
    int at(long where) {
        for (int part = 0; part < count; part++) {
            if (rip[part] == where) {
                return part;
            }
        }
        return -1;
    }

    /** Whether code in state {@code now} can go on at the beginning of a part. */
    boolean takes(int part, int now) {
        int needs = (state[part] & EITHER) != 0 ? state[part] & VECTORS : state[part];
        return (needs & ~now) == 0;
    }
}
