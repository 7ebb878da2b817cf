package dev.slate.cpu.translate.x64;

/**
 * Where instructions stand of which no code is made, by rip and mode ({@code TranslatedPages.key}): as many as there is room for, a new one in
 * place of an old. A place that is forgotten costs a look by the run loop, and one that has code meanwhile is not asked for. Only what code
 * has left for in vain is worth a place: a guest that exits at such an instruction each time comes from its client.
 */
final class LeftPlaces {
    /** A power of two. */
    private static final int ROOM = 1024;

    private final long[] keys = new long[ROOM];

    private static int place(long key) {
        return (int) (key * LongMap.SPREAD >>> 32) & ROOM - 1;
    }

    /** No rip: it is not canonical. */
    private static final long NONE = Long.MIN_VALUE;

    /** The last that was asked for in vain, until it is there. */
    private long asked = NONE;

    void add(long key) {
        asked = NONE;
        keys[place(key)] = key;
    }

    boolean has(long rip, long key) {
        boolean has = keys[place(key)] == key;
        if (!has) {
            asked = rip;
        }
        return has;
    }

    /** Whether {@code rip} is what {@link #has} did not know when it was last asked. */
    boolean askedLast(long rip) {
        return asked == rip;
    }
}
