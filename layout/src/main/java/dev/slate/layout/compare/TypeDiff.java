package dev.slate.layout.compare;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Flat;
import dev.slate.layout.Locks;
import dev.slate.layout.Type;
import dev.slate.layout.text.TypeNames;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A type before and after a change. */
public final class TypeDiff {
    /** What became of one member; an empty side means that it is not there. */
    public record Change(
            String path, @Nullable Flat before, @Nullable Flat after) {
        public boolean added() {
            return before == null;
        }

        public boolean dropped() {
            return after == null;
        }

        public boolean moved() {
            return before != null && after != null && before.bitOffset() != after.bitOffset();
        }

        public boolean resized() {
            return before != null && after != null && before.bits() != after.bits();
        }

        /** Whether its type is called differently now. */
        public boolean retyped() {
            return before != null
                    && after != null
                    && !TypeNames.plain(before.member().type())
                            .equals(TypeNames.plain(after.member().type()));
        }

        public boolean any() {
            return added() || dropped() || moved() || resized() || retyped();
        }

        /** Whether the first or the last byte lies in another line. */
        public boolean changesLine(int lineSize) {
            Flat b = before;
            Flat a = after;
            if (b == null || a == null) return false;
            return b.offset() / lineSize != a.offset() / lineSize || last(b) / lineSize != last(a) / lineSize;
        }

        private static long last(Flat flat) {
            return Math.max(flat.offset(), flat.end() - 1);
        }
    }

    /** Two locks that have bytes in one line. */
    public record Shared(String first, String second, long line) {}

    private final Aggregate before;
    private final Aggregate after;
    private final int lineSize;
    private final String name;
    private final List<Change> changes;

    public TypeDiff(Aggregate before, Aggregate after, int lineSize) {
        this(before, after, lineSize, String.valueOf(after.qualifiedName()));
    }

    /** @param name what to call them: the name that means them and no other types */
    public TypeDiff(Aggregate before, Aggregate after, int lineSize, String name) {
        this.name = name;
        this.before = before;
        this.after = after;
        this.lineSize = lineSize;
        this.changes = compare(Flat.compared(before), Flat.compared(after));
    }

    private static List<Change> compare(List<Flat> before, List<Flat> after) {
        Map<String, Flat> old = byPath(before);
        Map<String, Flat> now = byPath(after);
        List<Change> changes = new ArrayList<>();
        now.forEach((path, flat) -> changes.add(new Change(path, old.get(path), flat)));
        old.forEach((path, flat) -> {
            if (!now.containsKey(path)) changes.add(new Change(path, flat, null));
        });
        return List.copyOf(changes);
    }

    private static Map<String, Flat> byPath(List<Flat> members) {
        Map<String, Flat> map = new LinkedHashMap<>();
        Map<String, Integer> seen = new HashMap<>();
        for (Flat flat : members) {
            int n = seen.merge(flat.path(), 1, Integer::sum);
            map.put(n == 1 ? flat.path() : flat.path() + "#" + n, flat);
        }
        return map;
    }

    public Aggregate before() {
        return before;
    }

    public Aggregate after() {
        return after;
    }

    public int lineSize() {
        return lineSize;
    }

    /** Every member of either side, in the order of the new one, dropped ones last. */
    public List<Change> changes() {
        return changes;
    }

    /** Whether anything about the type's layout changed. */
    public boolean any() {
        return before.size() != after.size() || changes.stream().anyMatch(Change::any);
    }

    /** Pairs of locks that have bytes in one line, on one side. */
    public static List<Shared> sharing(Aggregate aggregate, int lineSize) {
        List<Flat> locks = Locks.of(aggregate);
        List<Shared> shared = new ArrayList<>();
        for (int i = 0; i < locks.size(); i++) {
            for (int k = i + 1; k < locks.size(); k++) {
                Flat one = locks.get(i);
                Flat two = locks.get(k);
                long from = Math.max(one.offset(), two.offset()) / lineSize;
                long to = (Math.min(one.end(), two.end()) - 1) / lineSize;
                boolean meet = two.offset() / lineSize <= (one.end() - 1) / lineSize
                        && one.offset() / lineSize <= (two.end() - 1) / lineSize;
                if (meet && one.end() > one.offset() && two.end() > two.offset()) {
                    shared.add(new Shared(one.path(), two.path(), Math.min(from, Math.max(to, 0))));
                }
            }
        }
        return shared;
    }

    /** Sum of the padding of members that are structs themselves, as pahole counts it: how many, and how many bytes. */
    static long[] paddings(Aggregate aggregate) {
        long count = 0;
        long sum = 0;
        for (var member : aggregate.members()) {
            if (member.type() instanceof Aggregate inner
                    && !inner.isUnion()
                    && inner.layout().padding() > 0) {
                count++;
                sum += inner.layout().padding();
            }
        }
        return new long[] {count, sum};
    }

    /** The name, with its keyword where it has one. */
    public String title() {
        return after.kind().word() + " " + (((Type) after).name() == null ? "{...}" : name);
    }
}
