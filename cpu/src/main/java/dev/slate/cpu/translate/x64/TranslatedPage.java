package dev.slate.cpu.translate.x64;

import dev.slate.cpu.mem.ExecutableMemory;
import java.util.Arrays;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * What was translated of one page of guest code, in one mode. Jumps within it are direct, so all of it is proved current at once, when it is entered
 * in a new epoch; jumps to elsewhere prove the page that they lead to.
 *
 * <p>Programs and libraries lie elsewhere each time they are executed. Code of a page where they lie is movable: it says no rip but by how far it is
 * from {@link StateBlock#PLACE}, and can be executed wherever the page has been placed. All other code names its addresses and has one place.
 */
final class TranslatedPage {
    private static final long[] NONE = {};

    /** The most places of a page: programs that take turns, dozens of a server's, lie at different ones. */
    private static final int MOST_PLACES = 64;

    /** Linear address at which it was seen first. */
    final long linear;

    final boolean movable;
    final long hva;
    /** Mode that the code was made for: see {@code Translator}. */
    final int mode;
    /** What is said of its lines, see {@link PageRecords}. */
    final long lines;
    /** Another translation of the same host page. */
    final @Nullable TranslatedPage sameHva;

    /** Where it has been seen, the last first. */
    private Place[] places = new Place[1];

    private int placeCount;

    // Direct jumps that lead to a stub until their targets are translated: where their distance stands, the target's
    // offset, and whether the flags are in EFLAGS.
    private long[] pendingPlace = NONE;
    private int[] pendingTarget = new int[0];
    private boolean[] pendingFlags = new boolean[0];
    private int pending;

    /** What was translated, in the order of its making: a page has few. */
    Unit[] all = new Unit[4];

    int count;

    /** By a hash of their offsets. */
    private @Nullable Unit[] table = new Unit[8];

    /** It may not be entered any more. */
    boolean dead;

    TranslatedPage(long linear, long hva, int mode, long lines, @Nullable TranslatedPage sameHva) {
        this.linear = linear;
        this.movable = isMovable(linear);
        this.hva = hva;
        this.mode = mode;
        this.lines = lines;
        this.sameHva = sameHva;
    }

    /**
     * Whether code of a page is movable: where its addresses have more than 32 bits all the same, and where no branch can leave the canonical
     * addresses, wherever it is placed.
     */
    static boolean isMovable(long linear) {
        long upper = linear >>> 32;
        return upper != 0 && upper < 0x7fff;
    }

    /** The place at a linear address; null: it has not been seen there, or that has been forgotten. */
    @Nullable
    Place at(long where) {
        Place first = places[0];
        if (placeCount != 0 && first.linear == where) {
            return first;
        }
        for (int i = 1; i < placeCount; i++) {
            Place place = places[i];
            if (place.linear == where) {
                System.arraycopy(places, 0, places, 1, i);
                places[0] = place;
                return place;
            }
        }
        return null;
    }

    /** One more place; returns the one that has been forgotten for it, which nobody has asked for longest. */
    @Nullable
    Place add(Place place) {
        Place old = null;
        if (placeCount == MOST_PLACES) {
            old = places[--placeCount];
            old.forgotten = true;
        } else if (placeCount == places.length) {
            places = Arrays.copyOf(places, 2 * placeCount);
        }
        System.arraycopy(places, 0, places, 1, placeCount++);
        places[0] = place;
        return old;
    }

    void forEachPlace(Consumer<Place> action) {
        for (int i = 0; i < placeCount; i++) {
            action.accept(places[i]);
        }
    }

    private static void enter(@Nullable Unit[] table, Unit unit) {
        int i = PageRecords.first(unit.offset) & table.length - 1;
        while (table[i] != null) {
            i = i + 1 & table.length - 1;
        }
        table[i] = unit;
    }

    /** The unit that begins {@code offset} bytes behind the page's beginning. */
    @Nullable
    Unit unit(int offset) {
        int i = PageRecords.first(offset) & table.length - 1;
        for (Unit unit = table[i]; unit != null; unit = table[i]) {
            if (unit.offset == offset) {
                return unit;
            }
            i = i + 1 & table.length - 1;
        }
        return null;
    }

    void add(Unit unit) {
        if (count == all.length) {
            all = Arrays.copyOf(all, count * 2);
            table = new Unit[4 * count];
            for (int i = 0; i < count; i++) {
                enter(table, all[i]);
            }
        }
        all[count++] = unit;
        enter(table, unit);
    }

    /** The jump whose distance stands at {@code place} waits for code {@code offset} bytes behind the page's beginning. */
    void await(int offset, long place, boolean flagsHere) {
        if (pending == pendingPlace.length) {
            int more = Math.max(4, pending * 2);
            pendingPlace = Arrays.copyOf(pendingPlace, more);
            pendingTarget = Arrays.copyOf(pendingTarget, more);
            pendingFlags = Arrays.copyOf(pendingFlags, more);
        }
        pendingPlace[pending] = place;
        pendingTarget[pending] = offset;
        pendingFlags[pending++] = flagsHere;
    }

    /** Leads the jumps that wait for {@code unit} to it; they wait no more. */
    void arrived(Unit unit, ExecutableMemory memory) {
        int left = 0;
        for (int i = 0; i < pending; i++) {
            if (pendingTarget[i] == unit.offset) {
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
