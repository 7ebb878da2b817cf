package dev.slate.layout.compare;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Flat;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.text.TypeNames;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Every type of two files, compared under its qualified name. Where a file has several types of one qualified name (two C files that
 * each have a {@code struct cfg}), those of the same unit are compared; a layout that only one side has of a name that both have is told.
 */
public final class SourceDiff {
    /** Two types to compare, or one without its like on the other side. */
    public record Pair(
            String name,
            @Nullable Aggregate before,
            @Nullable Aggregate after) {}

    /** A type by what decides about a difference. */
    private record Print(long first, long second) {}

    private final List<Pair> differing = new ArrayList<>();
    private int compared;

    /**
     * Compares.
     *
     * @param leftOut is told about each type that could not be read
     */
    public SourceDiff(LayoutSource before, LayoutSource after, Consumer<LayoutException> leftOut) {
        Map<String, Map<Print, Integer>> old = prints(before, leftOut);
        Map<String, Map<Print, Integer>> now = prints(after, leftOut);
        Map<String, Set<Print>> wantedBefore = new LinkedHashMap<>();
        Map<String, Set<Print>> wantedAfter = new LinkedHashMap<>();
        old.forEach((name, prints) -> {
            Map<Print, Integer> others = now.get(name);
            if (others == null) return;
            compared++;
            Set<Print> gone = new HashSet<>(prints.keySet());
            gone.removeAll(others.keySet());
            Set<Print> come = new HashSet<>(others.keySet());
            come.removeAll(prints.keySet());
            if (gone.isEmpty() && come.isEmpty()) return;
            wantedBefore.put(name, gone);
            wantedAfter.put(name, come);
        });
        if (wantedBefore.isEmpty()) return;
        Map<String, List<Aggregate>> left = collect(before, wantedBefore);
        Map<String, List<Aggregate>> right = collect(after, wantedAfter);
        for (String name : wantedBefore.keySet()) {
            boolean several = old.getOrDefault(name, Map.of()).size() > 1
                    || now.getOrDefault(name, Map.of()).size() > 1;
            pair(name, several, left.getOrDefault(name, List.of()), right.getOrDefault(name, List.of()));
        }
    }

    /** The types that differ, in the order of the old file. */
    public List<Pair> differing() {
        return differing;
    }

    /** How many names both files have. */
    public int compared() {
        return compared;
    }

    private static Map<String, Map<Print, Integer>> prints(LayoutSource source, Consumer<LayoutException> leftOut) {
        Map<String, Map<Print, Integer>> all = new LinkedHashMap<>();
        source.forEachAggregate(
                a -> all.computeIfAbsent(name(a), n -> new LinkedHashMap<>()).merge(print(a), 1, Integer::sum),
                leftOut);
        return all;
    }

    private static Map<String, List<Aggregate>> collect(LayoutSource source, Map<String, Set<Print>> wanted) {
        Map<String, List<Aggregate>> found = new LinkedHashMap<>();
        source.forEachAggregate(
                a -> {
                    Set<Print> prints = wanted.get(name(a));
                    if (prints != null && prints.contains(print(a)))
                        found.computeIfAbsent(name(a), n -> new ArrayList<>()).add(a);
                },
                problem -> {}); // told on the first walk
        return found;
    }

    private static String name(Aggregate aggregate) {
        return String.valueOf(aggregate.qualifiedName());
    }

    private void pair(String name, boolean several, List<Aggregate> before, List<Aggregate> after) {
        List<Aggregate> rest = new ArrayList<>(after);
        List<Aggregate> alone = new ArrayList<>();
        for (Aggregate old : before) {
            Aggregate like = null;
            for (Aggregate candidate : rest) if (like == null && sameUnit(old, candidate)) like = candidate;
            if (like == null) {
                alone.add(old);
                continue;
            }
            rest.remove(like);
            differing.add(new Pair(several ? inUnit(name, old) : name, old, like));
        }
        for (Aggregate old : alone) {
            Aggregate like = rest.isEmpty() ? null : rest.removeFirst();
            differing.add(new Pair(name, old, like));
        }
        for (Aggregate now : rest) differing.add(new Pair(name, null, now));
    }

    private static String inUnit(String name, Aggregate aggregate) {
        String unit = aggregate.where().unit();
        return unit == null ? name : unit + ":" + name;
    }

    private static boolean sameUnit(Aggregate a, Aggregate b) {
        String one = a.where().unit();
        String two = b.where().unit();
        return one != null && two != null && last(one).equals(last(two));
    }

    private static String last(String path) {
        return path.substring(path.lastIndexOf('/') + 1);
    }

    /** Everything that a difference would show in: two hashes of different make. */
    private static Print print(Aggregate aggregate) {
        long first = 1125899906842597L;
        long second = aggregate.size();
        for (Flat flat : Flat.compared(aggregate)) {
            String text = flat.path() + "@" + flat.bitOffset() + "+" + flat.bits() + " "
                    + TypeNames.plain(flat.member().type());
            for (int i = 0; i < text.length(); i++) {
                first = (first ^ text.charAt(i)) * 0x5DEECE66DL + (first >>> 31);
                second = second * 0x100000001B3L + text.charAt(i) ^ second >>> 29;
            }
        }
        return new Print(first + aggregate.size(), second);
    }
}
