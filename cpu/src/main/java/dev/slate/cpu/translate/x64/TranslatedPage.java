package dev.slate.cpu.translate.x64;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What was translated of one page of guest code, as it is seen at one linear address and in one mode. Jumps within it are direct, so
 * all of it is proved current at once, when it is entered in a new epoch; jumps to elsewhere prove the page that they lead to.
 */
final class TranslatedPage {
    /** A direct jump that leads to a stub as long as its target is not translated. */
    record Edge(long place, boolean flagsHere) {}

    /** Linear address of the page. */
    final long linear;

    final long hva;
    /** Mode that the code was made for: see {@code Translator}. */
    final int mode;
    /** Its record, see {@link PageRecords}. */
    final long record;
    /** Another translation of the same host page. */
    final @Nullable TranslatedPage sameHva;

    private final Map<Long, Unit> units = new HashMap<>();
    private final Map<Long, List<Edge>> pending = new HashMap<>();
    /** For a walk without garbage. */
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
        return units.get(rip);
    }

    void add(Unit unit) {
        if (count == all.length) {
            all = java.util.Arrays.copyOf(all, count * 2);
        }
        all[count++] = unit;
        units.put(unit.rip, unit);
    }

    void await(long rip, Edge edge) {
        pending.computeIfAbsent(rip, r -> new ArrayList<>()).add(edge);
    }

    /** The jumps that wait for code at {@code rip}; they wait no more. */
    List<Edge> arrived(long rip) {
        List<Edge> edges = pending.remove(rip);
        return edges == null ? List.of() : edges;
    }
}
