package dev.slate.cli.layout;

import dev.slate.layout.Aggregate;
import dev.slate.layout.LayoutException;
import dev.slate.layout.density.HeatFile;
import dev.slate.layout.density.HeatTable;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** What exits touch of a type in two layouts. */
record HeatComparison(HeatTable before, HeatTable after) {
    /** Reasons with fewer exits than this are left out where nobody says another number. */
    static final long ENOUGH = 100;

    static HeatComparison of(HeatFile heat, String file, String type, Aggregate before, Aggregate after, int lineSize) {
        return new HeatComparison(table(heat, file, type, before, lineSize), table(heat, file, type, after, lineSize));
    }

    /** @param onto null: the layout that was counted */
    static HeatTable table(HeatFile heat, String file, String type, @Nullable Aggregate onto, int lineSize) {
        int number = heat.type(FileOptions.bare(type));
        if (number < 0) {
            throw new LayoutException(file, "has no counts for " + type + ", but for " + heat.names());
        }
        return new HeatTable(heat, number, onto, lineSize);
    }

    String text(long least) {
        return HeatTable.compare(before, after, least);
    }

    Map<String, Object> json(long least) {
        Map<String, Object> tree = new LinkedHashMap<>();
        tree.put("type", before.counted().name());
        tree.put("before", rows(before, least));
        tree.put("after", rows(after, least));
        tree.put("without_counterpart", List.copyOf(HeatTable.lost(before, after)));
        return tree;
    }

    /** The table's rows of at least so many exits. */
    static List<Object> rows(HeatTable table, long least) {
        List<Object> rows = new ArrayList<>();
        for (HeatTable.Row r : table.rows(least)) {
            Map<String, Object> row = new LinkedHashMap<>();
            row.put("reason", r.reason());
            long[] numbers = r.numbers();
            for (int i = 0; i < numbers.length; i++) row.put(HeatTable.Row.NAMES.get(i), numbers[i]);
            rows.add(row);
        }
        return rows;
    }
}
