package dev.slate.layout;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A second reader of DWARF, which shares nothing with Slate's: the names and sizes of the types that {@code readelf --debug-dump=info} prints.
 * It knows scopes and specifications and nothing else.
 */
final class Readelf {
    private static final Pattern ENTRY =
            Pattern.compile(" <([0-9a-f]+)><([0-9a-f]+)>: Abbrev Number: \\d+ \\(DW_TAG_(\\w+)\\).*");
    private static final Pattern ATTRIBUTE = Pattern.compile("    <[0-9a-f]+>\\s+DW_AT_(\\w+)\\s*: (.*)");
    private static final Pattern INDIRECT = Pattern.compile("\\((?:indirect|alt|indexed)[^)]*\\): (.*)");
    private static final Pattern REFERENCE = Pattern.compile("<(?:0x)?([0-9a-f]+)>");
    private static final Set<String> AGGREGATES =
            Set.of("structure_type", "class_type", "union_type", "interface_type");
    private static final Set<String> OTHER_SCOPES = Set.of("namespace", "module", "subprogram");
    private static final Set<String> UNITS = Set.of("compile_unit", "type_unit", "partial_unit");

    private static final class Entry {
        final @Nullable Entry parent;
        final String tag;
        String language;

        @Nullable
        String name;

        @Nullable
        String same; // the entry that this one completes

        String size = "0";
        boolean declaration;

        Entry(@Nullable Entry parent, String tag, String language) {
            this.parent = parent;
            this.tag = tag;
            this.language = language;
        }
    }

    private final Map<String, Entry> scopes = new HashMap<>();
    private final List<Entry> aggregates = new ArrayList<>();
    private final Set<String> types = new TreeSet<>();

    private Readelf() {}

    /** Each distinct "NAME, SIZE bytes" of a file, names with their scopes where the language has them. */
    static Set<String> types(Path file) throws IOException, InterruptedException {
        Readelf reader = new Readelf();
        ProcessBuilder builder = new ProcessBuilder("readelf", "--debug-dump=info", file.toString())
                .redirectError(ProcessBuilder.Redirect.DISCARD);
        builder.environment().put("LC_ALL", "C");
        Process process = builder.start();
        try (BufferedReader lines =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8), 1 << 20)) {
            reader.read(lines);
        } finally {
            process.destroy();
        }
        process.waitFor();
        for (Entry aggregate : reader.aggregates) reader.add(aggregate, scoped(aggregate));
        return reader.types;
    }

    private static boolean scoped(Entry entry) {
        return entry.language.contains("C++") || entry.language.contains("Rust");
    }

    private void add(Entry aggregate, boolean scoped) {
        String name = name(aggregate);
        if (aggregate.declaration || name == null) return;
        String scope = scoped ? scope(aggregate, 0) : "";
        types.add((scope.isEmpty() ? name : scope + "::" + name) + ", " + Long.decode(aggregate.size) + " bytes");
    }

    /** All of an entry is read. A kernel has millions, so that only those are kept whose names need others. */
    private void done(@Nullable Entry entry, String offset) {
        if (entry == null) return;
        boolean aggregate = AGGREGATES.contains(entry.tag);
        if (!scoped(entry) && entry.same == null && aggregate) {
            add(entry, false);
        } else if (aggregate || scoped(entry) && OTHER_SCOPES.contains(entry.tag)) {
            if (aggregate) aggregates.add(entry);
            scopes.put(offset, entry);
        }
    }

    private void read(BufferedReader lines) throws IOException {
        List<Entry> stack = new ArrayList<>();
        Entry entry = null;
        String offset = "";
        String language = "";
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (line.startsWith(" <")) {
                Matcher start = ENTRY.matcher(line);
                if (!start.matches()) continue;
                done(entry, offset);
                int depth = Integer.parseInt(start.group(1), 16);
                String tag = start.group(3);
                if (UNITS.contains(tag)) language = "";
                while (stack.size() > depth) stack.removeLast();
                entry = new Entry(stack.isEmpty() ? null : stack.getLast(), tag, language);
                offset = start.group(2);
                stack.add(entry);
                continue;
            }
            if (entry == null || !line.startsWith("    <")) continue;
            Matcher attribute = ATTRIBUTE.matcher(line);
            if (!attribute.matches()) continue;
            String value = attribute.group(2);
            switch (attribute.group(1)) {
                case "language" -> entry.language = language = value;
                case "name" -> {
                    String text = value.split("\t", 2)[0];
                    Matcher indirect = INDIRECT.matcher(text);
                    entry.name = (indirect.matches() ? indirect.group(1) : text).strip();
                }
                case "byte_size" -> entry.size = value.strip();
                case "declaration" -> entry.declaration = true;
                case "specification", "abstract_origin" -> entry.same = value;
                default -> {}
            }
        }
        done(entry, offset);
    }

    private @Nullable Entry completed(Entry entry) {
        if (entry.same == null) return null;
        Matcher reference = REFERENCE.matcher(entry.same);
        return reference.find() ? scopes.get(reference.group(1)) : null;
    }

    private @Nullable String name(Entry entry) {
        Entry completed = completed(entry);
        return entry.name != null || completed == null ? entry.name : name(completed);
    }

    private String scope(Entry entry, int depth) {
        Entry completed = completed(entry);
        if (completed != null) return scope(completed, depth + 1);
        Entry parent = entry.parent;
        while (parent != null && !AGGREGATES.contains(parent.tag) && !OTHER_SCOPES.contains(parent.tag))
            parent = parent.parent;
        if (parent == null || depth > 60) return "";
        String name = name(parent);
        if (name == null) name = parent.tag.equals("namespace") ? "(anonymous namespace)" : "{...}";
        String outer = scope(parent, depth + 1);
        return outer.isEmpty() ? name : outer + "::" + name;
    }
}
