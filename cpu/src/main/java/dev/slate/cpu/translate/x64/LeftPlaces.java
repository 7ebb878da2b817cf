package dev.slate.cpu.translate.x64;

/**
 * Where instructions stand of which no code is made, by rip and mode ({@code TranslatedPages.key}): as many as there is room for, a new one in
 * place of an old. A place that is forgotten costs a look by the run loop, and one that has code meanwhile is not asked for.
 */
final class LeftPlaces {
    /** A power of two. */
    private static final int ROOM = 1024;

    private final long[] keys = new long[ROOM];

    private static int place(long key) {
        return (int) (key * LongMap.SPREAD >>> 32) & ROOM - 1;
    }

    void add(long key) {
        keys[place(key)] = key;
    }

    boolean has(long key) {
        return keys[place(key)] == key;
    }
}
