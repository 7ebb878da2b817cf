package dev.slate.cpu.translate.x64;

import dev.slate.cpu.decode.Block;

/** A translated block. */
final class Unit {
    /** What of it lies on {@link #page}. */
    final Block block;

    /** Where on the page it begins; negative: on the page before it. */
    final int offset;

    final TranslatedPage page;
    /** Where to enter it with the guest's flags in EFLAGS. */
    final long withFlags;
    /** Where to enter it with the flags in the state block. */
    final long withoutFlags;

    Unit(Block block, int offset, TranslatedPage page, long withFlags, long withoutFlags) {
        this.block = block;
        this.offset = offset;
        this.page = page;
        this.withFlags = withFlags;
        this.withoutFlags = withoutFlags;
    }

    /** Whether it can be entered at a rip that lies at {@code hva}'s page now, if that is proved. */
    boolean isOf(long rip, long hva, int mode) {
        return !page.dead && page.hva == hva && page.mode == mode && offset == ((int) rip & 4095);
    }
}
