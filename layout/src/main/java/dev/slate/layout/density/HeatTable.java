package dev.slate.layout.density;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Flat;
import dev.slate.layout.density.HeatFile.Access;
import dev.slate.layout.density.HeatFile.Counted;
import dev.slate.layout.density.HeatFile.Field;
import dev.slate.layout.density.HeatFile.Reason;
import dev.slate.layout.density.HeatFile.Touched;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * What an exit touches of one type, as medians over the exits of each reason: in the layout that was counted, or with the same accesses
 * laid over another one.
 *
 * <p>A member of the other layout is the one of the same path. What lies in a member that the other layout does not open keeps its
 * place in it. What is in no member of the other layout, or behind the end of a smaller one, has no counterpart and touches nothing.
 */
public final class HeatTable {
    /**
     * Medians over exits.
     *
     * @param exits of the reason
     * @param fieldsRead distinct members; the same in objects of the same type count once
     * @param lines distinct lines of all objects of the type
     * @param accesses reads and writes
     */
    public record Row(
            String reason,
            long exits,
            long fieldsRead,
            long fieldsWritten,
            long fields,
            long linesRead,
            long linesWritten,
            long lines,
            long accesses) {
        /** What {@link #numbers} are called. */
        public static final List<String> NAMES = List.of(
                "exits", "fields_read", "fields_written", "fields", "lines_read", "lines_written", "lines", "accesses");

        /** All but the reason, in the order of {@link #NAMES}. */
        public long[] numbers() {
            return new long[] {exits, fieldsRead, fieldsWritten, fields, linesRead, linesWritten, lines, accesses};
        }
    }

    /** What a place becomes in the other layout. */
    private record Span(long first, long last) {}

    private final HeatFile file;
    private final int type;
    private final Counted counted;
    private final int lineSize;
    private final @Nullable Map<String, Flat> other;
    private final Map<Long, Integer> fieldOf = new HashMap<>();
    private final Set<String> lost = new TreeSet<>();

    /** @param onto the layout that the accesses are laid over; null: the one that was counted */
    public HeatTable(HeatFile file, int type, @Nullable Aggregate onto, int lineSize) {
        this.file = file;
        this.type = type;
        this.counted = file.types().get(type);
        this.lineSize = lineSize;
        if (onto == null) {
            other = null;
        } else {
            other = new HashMap<>();
            for (Flat flat : Flat.deep(onto)) other.putIfAbsent(flat.path(), flat);
        }
    }

    /** The type, as it was counted. */
    public Counted counted() {
        return counted;
    }

    /** One for each reason of at least so many exits, in the file's order. {@link #lost} is of all reasons. */
    public List<Row> rows(long least) {
        lost.clear();
        List<Row> rows = new ArrayList<>();
        for (Reason reason : file.reasons()) {
            Row row = row(reason); // of rare ones too, for what they lose
            if (row.exits >= least) rows.add(row);
        }
        return rows;
    }

    /** Members without a counterpart in one of two layouts, when {@link #rows} have been asked for. */
    public static Set<String> lost(HeatTable before, HeatTable after) {
        Set<String> both = new TreeSet<>(before.lost);
        both.addAll(after.lost);
        return both;
    }

    private Row row(Reason reason) {
        int n = reason.sets().size();
        long[][] measures = new long[7][n];
        long[] times = new long[n];
        for (int i = 0; i < n; i++) {
            Touched set = reason.sets().get(i);
            times[i] = set.times();
            measure(set, measures, i);
        }
        long[] m = new long[measures.length];
        for (int i = 0; i < m.length; i++) m[i] = median(measures[i], times);
        return new Row(reason.name(), reason.exits(), m[0], m[1], m[2], m[3], m[4], m[5], m[6]);
    }

    private void measure(Touched set, long[][] to, int column) {
        BitSet fieldsRead = new BitSet();
        BitSet fieldsWritten = new BitSet();
        Set<Long> linesRead = new HashSet<>();
        Set<Long> linesWritten = new HashSet<>();
        long accesses = 0;
        for (Access a : set.accesses()) {
            if (a.type() != type) continue;
            Span span = span(a);
            if (span == null) continue;
            accesses += a.reads() + a.writes();
            long from = span.first / lineSize;
            long until = span.last / lineSize;
            for (long line = from; line <= until; line++) {
                long key = (long) a.object() << 40 | line;
                if (a.reads() > 0) linesRead.add(key);
                if (a.writes() > 0) linesWritten.add(key);
            }
            for (int f : fields(a)) {
                if (a.reads() > 0) fieldsRead.set(f);
                if (a.writes() > 0) fieldsWritten.set(f);
            }
        }
        to[0][column] = fieldsRead.cardinality();
        to[1][column] = fieldsWritten.cardinality();
        fieldsRead.or(fieldsWritten);
        to[2][column] = fieldsRead.cardinality();
        to[3][column] = linesRead.size();
        to[4][column] = linesWritten.size();
        linesRead.addAll(linesWritten);
        to[5][column] = linesRead.size();
        to[6][column] = accesses;
    }

    /** The innermost members that an access touches; a hole's is none. */
    private Set<Integer> fields(Access a) {
        Set<Integer> found = new HashSet<>();
        for (long at = a.first(); at <= a.last(); at++) {
            int f = innermost(at);
            if (f >= 0) found.add(f);
        }
        return found;
    }

    private int innermost(long offset) {
        return fieldOf.computeIfAbsent(offset, at -> {
            int found = -1;
            List<Field> fields = counted.fields();
            for (int i = 0; i < fields.size(); i++) {
                if (at >= fields.get(i).offset() && at < fields.get(i).end()) found = i;
            }
            return found;
        });
    }

    private @Nullable Span span(Access a) {
        if (other == null) return new Span(a.first(), a.last());
        int index = innermost(a.first());
        if (index < 0) return null;
        Field field = counted.fields().get(index);
        // The member itself, or what it lies in.
        for (Field outer = field; outer != null; outer = around(outer)) {
            Flat there = other.get(outer.path());
            if (there == null) continue;
            long within = a.first() - outer.offset();
            long bytes = there.end() - there.offset();
            if (outer.equals(field) || within < bytes) {
                long first = there.offset() + Math.min(within, Math.max(0, bytes - 1));
                return new Span(first, Math.min(first + a.last() - a.first(), there.end() - 1));
            }
            break;
        }
        lost.add(field.path());
        return null;
    }

    /** The smallest member that holds this one. */
    private @Nullable Field around(Field inner) {
        String path = inner.path();
        for (int dot = path.lastIndexOf('.'); dot > 0; dot = path.lastIndexOf('.', dot - 1)) {
            for (Field f : counted.fields()) {
                if (f.path().length() == dot && path.startsWith(f.path())) return f;
            }
        }
        return null;
    }

    /** The lower median of values that stand for so many exits each; 0 of none. */
    static long median(long[] values, long[] times) {
        Integer[] order = new Integer[values.length];
        Arrays.setAll(order, i -> i);
        Arrays.sort(order, (x, y) -> Long.compare(values[x], values[y]));
        long all = Arrays.stream(times).sum();
        long so = 0;
        for (int i : order) {
            so += times[i];
            if (2 * so >= all) return values[i];
        }
        return 0;
    }

    /**
     * The outermost members that at least half of the exits of any reason touch.
     *
     * @param least exits that a reason must have
     */
    public Set<String> hot(long least) {
        Set<String> hot = new java.util.LinkedHashSet<>();
        for (Reason reason : file.reasons()) {
            if (reason.exits() < least) continue;
            Map<String, Long> times = new LinkedHashMap<>();
            for (Touched set : reason.sets()) {
                Set<String> touched = new HashSet<>();
                for (Access a : set.accesses()) {
                    if (a.type() == type)
                        for (int f : fields(a))
                            touched.add(outermost(counted.fields().get(f).path()));
                }
                for (String member : touched) times.merge(member, set.times(), Long::sum);
            }
            times.forEach((member, n) -> {
                if (2 * n >= reason.exits()) hot.add(member);
            });
        }
        return hot;
    }

    private static String outermost(String path) {
        int dot = path.indexOf('.');
        return dot < 0 ? path : path.substring(0, dot);
    }

    /** Rows of at least so many exits that touch the type, side by side: what an exit touches in two layouts. */
    public static String compare(HeatTable before, HeatTable after, long least) {
        List<Row> old = before.rows(least);
        List<Row> now = after.rows(least);
        StringBuilder out = new StringBuilder();
        out.append("lines of ")
                .append(before.counted.name())
                .append(" that an exit touches (median; read, written, either)\n");
        for (int i = 0; i < old.size(); i++) {
            Row a = old.get(i);
            Row b = now.get(i);
            if (a.lines == 0 && b.lines == 0) continue;
            out.append(String.format(
                    java.util.Locale.ROOT,
                    "  %-20s %6d exits   %3d %3d %3d -> %3d %3d %3d%n",
                    a.reason,
                    a.exits,
                    a.linesRead,
                    a.linesWritten,
                    a.lines,
                    b.linesRead,
                    b.linesWritten,
                    b.lines));
        }
        Set<String> none = lost(before, after);
        if (!none.isEmpty()) {
            out.append("  without a counterpart: ")
                    .append(String.join(", ", none))
                    .append('\n');
        }
        return out.toString();
    }
}
