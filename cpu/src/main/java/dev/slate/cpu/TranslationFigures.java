package dev.slate.cpu;

import java.util.List;

/** What a processor's translator has done so far. Counted on the processor's thread, read by anybody, who may see numbers of a moment ago. */
public final class TranslationFigures {
    /** Names, in the order of {@link #get}: what {@code slate stat} and {@code --stats} call them. */
    public static final List<String> NAMES = List.of(
            "translator_regions",
            "translator_bytes",
            "translator_ns",
            "translator_invalidations",
            "translator_cache_resets",
            "translator_entries",
            "translator_interpreted",
            "translator_memory",
            "translator_compared",
            "translator_exits_cross",
            "translator_exits_kick",
            "translator_exits_miss",
            "translator_exits_interpret",
            "translator_exits_link",
            "translator_exits_vectors",
            "translator_exits_fault",
            "translator_exits_lookup",
            "translator_exits_invlpg");

    private static final int FIRST_EXIT = 9;

    /** Blocks that became machine code. */
    public long regions;
    /** Bytes of machine code. */
    public long bytes;
    /** Nanoseconds spent making it. */
    public long nanos;
    /** Pages given up because their bytes had changed. */
    public long invalidations;
    /** How often the memory for code was full, and all of it was given up. */
    public long resets;
    /** How often machine code was entered from the run loop. */
    public long entries;
    /** How often a block of 64-bit code was interpreted all the same, or one instruction where no code begins. */
    public long interpreted;
    /** Bytes that all this takes now, of what the machine's processors may take together. */
    public long memory;
    /** Instructions that the interpreter did again to compare what comes of them: {@code cpu.translator=lockstep}. */
    public long compared;
    /** How often machine code came back, by cause. */
    public final long[] exits = new long[NAMES.size() - FIRST_EXIT];

    /** Nothing yet. */
    public TranslationFigures() {}

    /** The figure called {@code NAMES.get(i)}. */
    public long get(int i) {
        return switch (i) {
            case 0 -> regions;
            case 1 -> bytes;
            case 2 -> nanos;
            case 3 -> invalidations;
            case 4 -> resets;
            case 5 -> entries;
            case 6 -> interpreted;
            case 7 -> memory;
            case 8 -> compared;
            default -> exits[i - FIRST_EXIT];
        };
    }
}
