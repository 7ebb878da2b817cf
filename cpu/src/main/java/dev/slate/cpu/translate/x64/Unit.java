package dev.slate.cpu.translate.x64;

import dev.slate.cpu.decode.Block;

/** A translated block. */
final class Unit {
    /** What of it lies on {@link #page}. */
    final Block block;

    final long rip;
    final TranslatedPage page;
    /** Where to enter it with the guest's flags in EFLAGS. */
    final long withFlags;
    /** Where to enter it with the flags in the state block. */
    final long withoutFlags;

    Unit(Block block, long rip, TranslatedPage page, long withFlags, long withoutFlags) {
        this.block = block;
        this.rip = rip;
        this.page = page;
        this.withFlags = withFlags;
        this.withoutFlags = withoutFlags;
    }
}
