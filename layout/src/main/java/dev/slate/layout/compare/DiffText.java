package dev.slate.layout.compare;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Flat;
import dev.slate.layout.Layout;
import dev.slate.layout.Locks;
import dev.slate.layout.TypeTable;
import dev.slate.layout.text.TypeNames;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Writes a {@link TypeDiff} for people, and as a tree for programs. */
public final class DiffText {
    private final TypeDiff diff;
    private final long cacheAlignment;
    private final int cpus;

    /**
     * @param cacheAlignment the alignment that the type's own cache was made with, in bytes, 0 for the default
     * @param cpus processors of the machine whose slabs are computed
     */
    public DiffText(TypeDiff diff, long cacheAlignment, int cpus) {
        this.diff = diff;
        this.cacheAlignment = cacheAlignment;
        this.cpus = cpus;
    }

    private static String signed(long n) {
        return n > 0 ? "+" + n : Long.toString(n);
    }

    /** The text, ending in a line end. */
    public String text() {
        StringBuilder out = new StringBuilder();
        Aggregate before = diff.before();
        Aggregate after = diff.after();
        out.append(diff.title())
                .append(": ")
                .append(before.size())
                .append(" -> ")
                .append(after.size())
                .append(" bytes (");
        out.append(signed(after.size() - before.size())).append(")\n");
        if (!diff.any()) {
            out.append("  no change\n");
            return out.toString();
        }
        sums(out);
        slab(out);
        members(out);
        lines(out);
        locks(out);
        return out.toString();
    }

    private void row(StringBuilder out, String what, long before, long after) {
        if (before == after) out.append(String.format("  %-14s %6d%n", what, after));
        else out.append(String.format("  %-14s %6d -> %d (%s)%n", what, before, after, signed(after - before)));
    }

    private void sums(StringBuilder out) {
        Layout before = diff.before().layout();
        Layout after = diff.after().layout();
        int line = diff.lineSize();
        long[] paddingsBefore = TypeDiff.paddings(diff.before());
        long[] paddingsAfter = TypeDiff.paddings(diff.after());
        row(out, "cachelines", before.lines(line), after.lines(line));
        row(
                out,
                "members",
                diff.before().members().size(),
                diff.after().members().size());
        row(out, "holes", before.holeCount(), after.holeCount());
        row(out, "sum of holes", before.holeSum(), after.holeSum());
        if (before.bitHoleCount() + after.bitHoleCount() > 0)
            row(out, "bit holes", before.bitHoleCount(), after.bitHoleCount());
        row(out, "padding", before.padding(), after.padding());
        row(out, "paddings", paddingsBefore[0], paddingsAfter[0]);
        row(out, "sum of those", paddingsBefore[1], paddingsAfter[1]);
    }

    /** The kernel's allocator serves the kernel's types: C, and not one that only a program's library has. */
    private boolean kernel() {
        return diff.after().table().language() == TypeTable.Language.C;
    }

    private void slab(StringBuilder out) {
        if (!kernel()) return;
        Slab before = Slab.of(diff.before().size(), cacheAlignment, cpus);
        Slab after = Slab.of(diff.after().size(), cacheAlignment, cpus);
        out.append("\nallocation\n");
        out.append("  kmalloc:   ").append(before.className());
        if (!before.className().equals(after.className())) out.append(" -> ").append(after.className());
        out.append('\n');
        out.append("  own cache: ")
                .append(before.objects())
                .append(" objects in a slab of order ")
                .append(before.cacheOrder());
        if (before.objects() != after.objects() || before.cacheOrder() != after.cacheOrder()) {
            out.append(" -> ").append(after.objects()).append(" in order ").append(after.cacheOrder());
        }
        out.append(" (").append(cpus).append(" CPUs)\n");
        if (before.order() != after.order()) {
            out.append("  PAGE ORDER CROSSED: order ")
                    .append(before.order())
                    .append(" → ")
                    .append(after.order())
                    .append(": an object by itself takes ")
                    .append(4 << after.order())
                    .append(" KiB instead of ")
                    .append(4 << before.order())
                    .append(" KiB\n");
        } else {
            out.append("  no page order is crossed: an object by itself takes pages of order ")
                    .append(after.order())
                    .append(" before and after\n");
        }
    }

    private static String place(Flat flat) {
        String bits = flat.member().bitfieldSize() != 0 ? ":" + flat.bitOffset() % 8 : "";
        return flat.offset() + bits;
    }

    private static String type(Flat flat) {
        return TypeNames.plain(flat.member().type());
    }

    private static String size(Flat flat) {
        return flat.member().bitfieldSize() != 0
                ? flat.bits() + " bits"
                : Long.toString(flat.member().byteSize());
    }

    private void members(StringBuilder out) {
        List<TypeDiff.Change> changed = new ArrayList<>();
        int width = 10;
        for (TypeDiff.Change change : diff.changes()) {
            if (!change.any()) continue;
            changed.add(change);
            width = Math.max(width, change.path().length());
        }
        if (changed.isEmpty()) return;
        out.append("\nmembers\n");
        for (TypeDiff.Change change : changed) {
            Flat before = change.before();
            Flat after = change.after();
            out.append(String.format("  %-" + width + "s  ", change.path()));
            if (before == null && after != null) {
                out.append("added at ")
                        .append(place(after))
                        .append(", ")
                        .append(size(after))
                        .append(" bytes, ")
                        .append(type(after));
            } else if (after == null && before != null) {
                out.append("dropped, was at ")
                        .append(place(before))
                        .append(", ")
                        .append(size(before))
                        .append(" bytes");
            } else if (before != null && after != null) {
                List<String> parts = new ArrayList<>();
                if (change.moved()) parts.add("moved " + place(before) + " -> " + place(after));
                if (change.resized()) parts.add("resized " + size(before) + " -> " + size(after));
                if (change.retyped()) parts.add(type(before) + " -> " + type(after));
                out.append(String.join(", ", parts));
            }
            out.append('\n');
        }
    }

    private String lineRange(Flat flat) {
        long first = flat.offset() / diff.lineSize();
        long last = Math.max(flat.offset(), flat.end() - 1) / diff.lineSize();
        return first == last ? Long.toString(first) : first + "-" + last;
    }

    private void lines(StringBuilder out) {
        out.append("\nmembers that change cacheline\n");
        boolean any = false;
        for (TypeDiff.Change change : diff.changes()) {
            Flat before = change.before();
            Flat after = change.after();
            if (before == null || after == null || !change.changesLine(diff.lineSize())) continue;
            out.append("  ")
                    .append(change.path())
                    .append(": line ")
                    .append(lineRange(before))
                    .append(" -> ")
                    .append(lineRange(after))
                    .append('\n');
            any = true;
        }
        if (!any) out.append("  none\n");
    }

    private void locks(StringBuilder out) {
        List<Flat> locks = Locks.of(diff.after());
        if (locks.isEmpty() && Locks.of(diff.before()).isEmpty()) return;
        out.append("\nlocks\n");
        for (Flat lock : locks) {
            out.append("  ")
                    .append(lock.path())
                    .append(" (")
                    .append(type(lock))
                    .append("): line ")
                    .append(lineRange(lock))
                    .append('\n');
        }
        Set<TypeDiff.Shared> newly = newlyShared();
        if (newly.isEmpty()) {
            boolean sharing = !TypeDiff.sharing(diff.after(), diff.lineSize()).isEmpty();
            if (locks.size() > 1) {
                out.append(
                        sharing
                                ? "  no locks share a line that did not before\n"
                                : "  the locks keep disjoint cachelines\n");
            }
            return;
        }
        for (TypeDiff.Shared shared : newly) {
            out.append("  NOW SHARE CACHELINE ")
                    .append(shared.line())
                    .append(": ")
                    .append(shared.first())
                    .append(" and ")
                    .append(shared.second())
                    .append('\n');
        }
    }

    /** Pairs of locks in one line that were not before. */
    public Set<TypeDiff.Shared> newlyShared() {
        Set<String> old = new LinkedHashSet<>();
        for (TypeDiff.Shared s : TypeDiff.sharing(diff.before(), diff.lineSize()))
            old.add(s.first() + "\0" + s.second());
        Set<TypeDiff.Shared> newly = new LinkedHashSet<>();
        for (TypeDiff.Shared s : TypeDiff.sharing(diff.after(), diff.lineSize())) {
            if (!old.contains(s.first() + "\0" + s.second()) && !old.contains(s.second() + "\0" + s.first()))
                newly.add(s);
        }
        return newly;
    }

    /** The same as a tree. */
    public Map<String, Object> json() {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("type", diff.title());
        out.put("before", side(diff.before()));
        out.put("after", side(diff.after()));
        List<Object> changes = new ArrayList<>();
        for (TypeDiff.Change change : diff.changes()) {
            if (!change.any()) continue;
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("member", change.path());
            one.put("before", flat(change.before()));
            one.put("after", flat(change.after()));
            one.put("changes_cacheline", change.changesLine(diff.lineSize()));
            changes.add(one);
        }
        out.put("changes", changes);
        List<Object> shared = new ArrayList<>();
        for (TypeDiff.Shared s : newlyShared())
            shared.add(Map.of("line", s.line(), "locks", List.of(s.first(), s.second())));
        out.put("locks_that_now_share_a_line", shared);
        int before = Slab.pageOrder(diff.before().size());
        int after = Slab.pageOrder(diff.after().size());
        if (kernel()) out.put("page_order_crossed", before != after);
        return out;
    }

    private @Nullable Map<String, Object> flat(@Nullable Flat flat) {
        if (flat == null) return null;
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("offset", flat.offset());
        out.put("bits", flat.bits());
        out.put("type", type(flat));
        out.put("line", flat.offset() / diff.lineSize());
        return out;
    }

    private Map<String, Object> side(Aggregate aggregate) {
        Layout layout = aggregate.layout();
        Slab slab = Slab.of(aggregate.size(), cacheAlignment, cpus);
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("size", aggregate.size());
        out.put("cachelines", layout.lines(diff.lineSize()));
        out.put("holes", layout.holeCount());
        out.put("sum_holes", layout.holeSum());
        out.put("padding", layout.padding());
        if (kernel()) {
            out.put("kmalloc", slab.className());
            out.put("page_order", slab.order());
            out.put("cache_order", slab.cacheOrder());
            out.put("cache_objects", slab.objects());
        }
        return out;
    }
}
