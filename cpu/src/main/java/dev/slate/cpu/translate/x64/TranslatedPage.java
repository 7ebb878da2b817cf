package dev.slate.cpu.translate.x64;

import dev.slate.cpu.mem.ExecutableMemory;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * What was translated of one page of guest code, as it is seen at one linear address and in one mode. Jumps within it are direct, so
 * all of it is proved current at once, when it is entered in a new epoch; jumps to elsewhere prove the page that they lead to.
 */
final class TranslatedPage {
    private static final long[] NONE = {};

    /** Linear address of the page. */
    final long linear;

    final long hva;
    /** Mode that the code was made for: see {@code Translator}. */
    final int mode;
    /** Its record, see {@link PageRecords}. */
    final long record;
    /** Another translation of the same host page. */
    final @Nullable TranslatedPage sameHva;

    // Direct jumps that lead to a stub until their targets are translated: where their distance stands, the target, and
    // whether
    // the flags are in EFLAGS.
    private long[] pendingPlace = NONE;
    private long[] pendingTarget = NONE;
    private boolean[] pendingFlags = new boolean[0];
    private int pending;

    /** What was translated, in the order of its making: a page has few. */
    Unit[] all = new Unit[4];

    int count;

    /** It may not be entered any more. */
    boolean dead;

    TranslatedPage(long linear, long hva, int mode, long record, @Nullable TranslatedPage sameHva) {
        this.linear = linear;
        this.hva = hva;
        this.mode = mode;
        this.record = record;
        this.sameHva = sameHva;
    }

    @Nullable
    Unit unit(long rip) {
        for (int i = 0; i < count; i++) {
            if (all[i].rip == rip) {
                return all[i];
            }
        }
        return null;
    }

    void add(Unit unit) {
        if (count == all.length) {
            all = Arrays.copyOf(all, count * 2);
        }
        all[count++] = unit;
    }

    /** The jump whose distance stands at {@code place} waits for code at {@code rip}. */
    void await(long rip, long place, boolean flagsHere) {
        if (pending == pendingPlace.length) {
            int more = Math.max(4, pending * 2);
            pendingPlace = Arrays.copyOf(pendingPlace, more);
            pendingTarget = Arrays.copyOf(pendingTarget, more);
            pendingFlags = Arrays.copyOf(pendingFlags, more);
        }
        pendingPlace[pending] = place;
        pendingTarget[pending] = rip;
        pendingFlags[pending++] = flagsHere;
    }

    /** Leads the jumps that wait for {@code unit} to it; they wait no more. */
    void arrived(Unit unit, ExecutableMemory memory) {
        int left = 0;
        for (int i = 0; i < pending; i++) {
            if (pendingTarget[i] == unit.rip) {
                long to = pendingFlags[i] ? unit.withFlags : unit.withoutFlags;
                memory.patch32(pendingPlace[i], (int) (to - (pendingPlace[i] + 4)));
            } else {
                pendingPlace[left] = pendingPlace[i];
                pendingTarget[left] = pendingTarget[i];
                pendingFlags[left++] = pendingFlags[i];
            }
        }
        pending = left;
    }
}
