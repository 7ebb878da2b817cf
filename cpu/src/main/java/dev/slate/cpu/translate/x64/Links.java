package dev.slate.cpu.translate.x64;

import dev.slate.cpu.mem.ExecutableMemory;
import dev.slate.cpu.mem.HostMemory;
import org.jspecify.annotations.Nullable;

/** Where code goes on that has left because it did not know, or had to have a page proved: links between pages and the jump cache. */
final class Links {
    /** So often links of movable code that were set for another place are gone around, until one is set for the place at hand. */
    private static final int PATIENCE = 32;

    private final StateBlock state;
    private final ExecutableMemory memory;
    private final TranslatedPages pages;
    private final Sites sites;
    private final JumpCache jumps;
    private final Holding holding;

    Links(
            StateBlock state,
            ExecutableMemory memory,
            TranslatedPages pages,
            Sites sites,
            JumpCache jumps,
            Holding holding) {
        this.state = state;
        this.memory = memory;
        this.pages = pages;
        this.sites = sites;
        this.jumps = jumps;
        this.holding = holding;
    }

    /**
     * The place of the page at a rip, when there is code for the rip and it may be entered now.
     *
     * @return null: the processor looks for it, with whatever that raises
     */
    @Nullable
    Place ready(long rip, int mode, long epoch) {
        Place place = pages.mapped(rip & -4096L, mode);
        return place != null && place.page.unit((int) rip & 4095) != null && pages.proved(place, epoch) ? place : null;
    }

    /** Has indirect branches find the code for a rip that is {@link #ready} at a place, whose address it returns. */
    long enter(long rip, Place place) {
        long code = java.util.Objects.requireNonNull(place.page.unit((int) rip & 4095)).withoutFlags;
        if (jumps.isShort()) {
            holding.takeJumps();
        }
        jumps.enter(rip, code, place.record);
        return code;
    }

    /** The same for the link of {@code site}, which leads there from now on if that is worth it. */
    long cross(int site, long rip, Place place) {
        long code = enter(rip, place);
        if (isToBeSet(site, place)) {
            long jump = sites.jump(site);
            memory.patch64(sites.record(site), place.record);
            memory.patch32(jump, (int) (code - (jump + 4)));
            state.put32(StateBlock.PATIENCE, PATIENCE);
        }
        return code;
    }

    /** Whether a link is to lead to code at a place from now on: where it was set for another one, only now and then. */
    private boolean isToBeSet(int site, Place place) {
        long record = HostMemory.get64(sites.record(site));
        if (record == place.record) {
            // What it leads to only had to be proved. To write into code costs more than to leave it.
            return false;
        }
        // One of the same linear address is of a page that has died or has been forgotten there.
        return record == state.noRecord()
                || HostMemory.get64(record + PageRecords.LINEAR) == place.linear
                || state.get32(StateBlock.PATIENCE) < 0;
    }

    /** Where the instruction at a rip goes on that is on two pages, once the second one is proved; 0: it is the interpreter's. */
    long straddle(int site, long rip, int mode, long epoch) {
        long stands = sites.record(site);
        long had = HostMemory.get64(stands);
        long record = pages.provedSecond(rip, had, mode, epoch);
        if (record == 0) {
            return 0;
        }
        if (record != had) {
            memory.patch64(stands, record);
        }
        return sites.jump(site);
    }
}
