package dev.slate.layout;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Collects the names that are most like one that was not found: another case, an instance of a template, a slip of a finger or two. */
final class Similar {
    private static final int MOST = 10;

    private final String wanted;
    private final Map<String, Integer> found = new LinkedHashMap<>();

    Similar(String wanted) {
        this.wanted = last(wanted).toLowerCase(Locale.ROOT);
    }

    void add(@Nullable String name) {
        if (name == null || found.containsKey(name)) return;
        int distance = distance(last(name).toLowerCase(Locale.ROOT));
        if (distance < 9) found.put(name, distance);
    }

    /** The name without what stands around it. */
    private static String last(String name) {
        int depth = 0;
        for (int i = name.length() - 1; i > 0; i--) {
            char c = name.charAt(i);
            if (c == '>') depth++;
            else if (c == '<') depth--;
            else if (depth == 0 && (c == ':' || c == '.' || c == '/')) return name.substring(i + 1);
        }
        return name;
    }

    private int distance(String name) {
        if (name.equals(wanted)) return 0;
        if (name.startsWith(wanted + "<")) return 1;
        if (wanted.length() > 3 && name.contains(wanted)) return 4;
        if (Math.abs(name.length() - wanted.length()) > 2 || wanted.length() < 3) return 9;
        int edits = edits(name, wanted);
        return edits <= Math.min(2, wanted.length() / 3) ? 1 + edits : 9;
    }

    /** Levenshtein's distance. */
    private static int edits(String a, String b) {
        int[] row = new int[b.length() + 1];
        for (int k = 0; k < row.length; k++) row[k] = k;
        for (int i = 1; i <= a.length(); i++) {
            int corner = row[0];
            row[0] = i;
            for (int k = 1; k < row.length; k++) {
                int above = row[k];
                int change = a.charAt(i - 1) == b.charAt(k - 1) ? 0 : 1;
                row[k] = Math.min(Math.min(row[k] + 1, row[k - 1] + 1), corner + change);
                corner = above;
            }
        }
        return row[b.length()];
    }

    List<String> best() {
        List<Map.Entry<String, Integer>> all = new ArrayList<>(found.entrySet());
        all.sort(Map.Entry.comparingByValue());
        List<String> names = new ArrayList<>();
        for (Map.Entry<String, Integer> entry : all) if (names.size() < MOST) names.add(entry.getKey());
        return names;
    }
}
