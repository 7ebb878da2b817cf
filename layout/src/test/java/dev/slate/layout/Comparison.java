package dev.slate.layout;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BiFunction;
import org.jspecify.annotations.Nullable;

/** Two listings of the same types, compared type by type. */
final class Comparison {
    private int equal;
    private final Map<String, List<String>> explained = new TreeMap<>();
    private final List<String> unexplained = new ArrayList<>();

    /**
     * Compares.
     *
     * @param explain given pahole's and our text of a type, what is wrong with pahole's; null if nothing is known to be
     */
    static Comparison of(String theirs, String ours, BiFunction<String, String, @Nullable String> explain) {
        Comparison result = new Comparison();
        Map<String, List<String>> left = byHead(theirs);
        Map<String, List<String>> right = byHead(ours);
        left.forEach((head, blocks) -> {
            List<String> others = new ArrayList<>(right.getOrDefault(head, List.of()));
            List<String> rest = new ArrayList<>();
            for (String block : blocks) {
                if (others.remove(block)) result.equal++;
                else rest.add(block);
            }
            for (int i = 0; i < Math.max(rest.size(), others.size()); i++) {
                result.differ(i < rest.size() ? rest.get(i) : "", i < others.size() ? others.get(i) : "", explain);
            }
            right.remove(head);
        });
        right.forEach((head, blocks) -> {
            for (String block : blocks) result.differ("", block, explain);
        });
        return result;
    }

    private void differ(String theirs, String ours, BiFunction<String, String, @Nullable String> explain) {
        String why = explain.apply(theirs, ours);
        if (why == null) unexplained.add("pahole:\n" + theirs + "\nours:\n" + ours);
        else explained.computeIfAbsent(why, k -> new ArrayList<>()).add(theirs.isEmpty() ? ours : theirs);
    }

    private static Map<String, List<String>> byHead(String listing) {
        Map<String, List<String>> map = new LinkedHashMap<>();
        Tools.blocks(listing, block -> {
            String head = block.substring(0, block.indexOf('\n'));
            map.computeIfAbsent(head, k -> new ArrayList<>()).add(block);
        });
        return map;
    }

    int equal() {
        return equal;
    }

    int different() {
        int n = unexplained.size();
        for (List<String> blocks : explained.values()) n += blocks.size();
        return n;
    }

    List<String> unexplained() {
        return unexplained;
    }

    /** One line, and one more for each explanation with the shortest type that it holds for. */
    String report(String what) {
        StringBuilder out = new StringBuilder();
        out.append(what)
                .append(": ")
                .append(equal)
                .append(" equal to pahole's text, ")
                .append(different())
                .append(" different, ")
                .append(unexplained.size())
                .append(" of them unexplained\n");
        explained.forEach((why, blocks) -> {
            String example =
                    blocks.stream().min(Comparator.comparingInt(String::length)).orElse("");
            out.append("  ")
                    .append(blocks.size())
                    .append(": ")
                    .append(why)
                    .append("; ")
                    .append(example.substring(0, example.indexOf('\n')))
                    .append('\n');
        });
        return out.toString();
    }
}
