package dev.slate.layout.lock;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Flat;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.Type;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A file that states layouts. Lines:
 *
 * <pre>
 * # a comment
 * from FILE                        where types come from, if none is named on the command line; relative to this file
 * type NAME size BYTES             starts a type; the lines below are about it
 *   at OFFSET size BYTES MEMBER    a member's place; OFFSET is 12 or, for bit fields, 12:3, and the size then 5b
 *   one-line MEMBER MEMBER ...     these must lie within one cache line
 *   apart MEMBER MEMBER ...        no two of these may have bytes in one cache line
 *   closed                         it has no members that are not listed
 * </pre>
 */
public final class LockFile {
    /** Something that does not hold: where it is stated, what is wrong, and the line that would state the truth (null if none would). */
    public record Finding(
            int line, String message, @Nullable String fix) {}

    private final Path path;
    private final List<String> lines;

    private LockFile(Path path, List<String> lines) {
        this.path = path;
        this.lines = lines;
    }

    /** Reads a lock file. */
    public static LockFile read(Path path) {
        try {
            return new LockFile(path, Files.readAllLines(path));
        } catch (IOException e) {
            throw new LayoutException(path.toString(), "cannot be read: " + e.getMessage());
        }
    }

    /** The files that the {@code from} lines name, made relative to the lock file's folder. */
    public List<String> sources() {
        List<String> found = new ArrayList<>();
        for (String line : lines) {
            String text = bare(line);
            if (!text.startsWith("from ")) continue;
            String name = text.substring(5).strip();
            found.add(name.startsWith("jvm:") ? jvm(name.substring(4)) : beside(name));
        }
        return found;
    }

    private String beside(String name) {
        Path folder = path.toAbsolutePath().getParent();
        return folder == null ? name : folder.resolve(name).normalize().toString();
    }

    private String jvm(String classPath) {
        List<String> entries = new ArrayList<>();
        for (String entry : classPath.split(":")) if (!entry.isEmpty()) entries.add(beside(entry));
        return "jvm:" + String.join(":", entries);
    }

    private static String bare(String line) {
        int comment = line.indexOf('#');
        // A name may hold '#' only inside; a comment starts a line or follows a space.
        if (comment > 0 && !Character.isWhitespace(line.charAt(comment - 1))) comment = -1;
        return (comment >= 0 ? line.substring(0, comment) : line).strip();
    }

    /** A type's stretch of lines. */
    private record Stated(int line, String name, long size, List<Integer> body) {}

    private List<Stated> stated() {
        List<Stated> types = new ArrayList<>();
        for (int i = 0; i < lines.size(); i++) {
            String text = bare(lines.get(i));
            if (text.isEmpty() || text.startsWith("from ")) continue;
            if (text.startsWith("type ")) {
                int size = text.lastIndexOf(" size ");
                if (size < 0) throw broken(i, "a type line is: type NAME size BYTES");
                types.add(new Stated(
                        i,
                        text.substring(5, size).strip(),
                        number(i, text.substring(size + 6).strip()),
                        new ArrayList<>()));
            } else if (types.isEmpty()) {
                throw broken(i, "\"" + text + "\" stands before the first type");
            } else {
                types.getLast().body().add(i);
            }
        }
        if (types.isEmpty()) throw new LayoutException(path.toString(), "states no type");
        return types;
    }

    private LayoutException broken(int line, String what) {
        return new LayoutException(path + ":" + (line + 1), what);
    }

    private long number(int line, String text) {
        try {
            return Long.decode(text);
        } catch (NumberFormatException e) {
            throw broken(line, "\"" + text + "\" is no number");
        }
    }

    /** Finds a type in the first source that has it. */
    private static @Nullable Aggregate find(String name, List<LayoutSource> sources) {
        for (LayoutSource source : sources) {
            Type type = Type.strip(source.find(name));
            if (type instanceof Aggregate aggregate) return aggregate;
        }
        return null;
    }

    /** Compares what is stated with the sources. */
    public List<Finding> check(List<LayoutSource> sources, int lineSize) {
        List<Finding> findings = new ArrayList<>();
        for (Stated stated : stated()) {
            Aggregate found = find(stated.name(), sources);
            if (found == null) {
                findings.add(
                        new Finding(stated.line() + 1, "type " + stated.name() + " is in none of the files", null));
                continue;
            }
            if (found.size() != stated.size()) {
                findings.add(new Finding(
                        stated.line() + 1,
                        stated.name() + " has " + found.size() + " bytes, " + stated.size() + " are stated",
                        "type " + stated.name() + " size " + found.size()));
            }
            new Checker(stated.name(), found, lineSize, findings).check(stated);
        }
        return findings;
    }

    private final class Checker {
        private final String name;
        private final Map<String, Flat> members;
        private final Aggregate type;
        private final int lineSize;
        private final List<Finding> findings;

        Checker(String name, Aggregate type, int lineSize, List<Finding> findings) {
            this.name = name;
            this.type = type;
            this.lineSize = lineSize;
            this.findings = findings;
            this.members = membersOf(type);
        }

        void check(Stated stated) {
            List<String> listed = new ArrayList<>();
            int closed = -1;
            for (int line : stated.body()) {
                String text = bare(lines.get(line));
                String[] words = text.split("\\s+");
                switch (words[0]) {
                    case "at" -> {
                        if (words.length != 5 || !words[2].equals("size"))
                            throw broken(line, "a member's line is: at OFFSET size BYTES MEMBER");
                        listed.add(words[4]);
                        place(line, text, words[4]);
                    }
                    case "one-line" -> oneLine(line, words);
                    case "apart" -> apart(line, words);
                    case "closed" -> closed = line;
                    default ->
                        throw broken(line, "\"" + words[0] + "\" is not known; at, one-line, apart and closed are");
                }
            }
            if (closed < 0) return;
            for (Flat flat : Flat.members(type)) {
                if (!listed.contains(flat.path())) {
                    findings.add(new Finding(
                            closed + 1,
                            name + "." + flat.path() + " is not listed, and the type is closed",
                            stating(flat)));
                }
            }
        }

        private void place(int line, String text, String member) {
            Flat flat = members.get(member);
            if (flat == null) {
                findings.add(new Finding(line + 1, name + " has no member " + member, null));
                return;
            }
            String truth = stating(flat);
            if (!truth.equals(text.replaceAll("\\s+", " "))) {
                findings.add(new Finding(
                        line + 1,
                        name + "." + member + " is " + truth.substring(0, truth.lastIndexOf(' '))
                                + ", the file states \""
                                + text.substring(0, text.lastIndexOf(member)).strip() + "\"",
                        "  " + truth));
            }
        }

        private @Nullable Flat need(int line, String member) {
            Flat flat = members.get(member);
            if (flat == null) findings.add(new Finding(line + 1, name + " has no member " + member, null));
            return flat;
        }

        private void oneLine(int line, String[] words) {
            long home = -1;
            String first = "";
            for (int i = 1; i < words.length; i++) {
                Flat flat = need(line, words[i]);
                if (flat == null) continue;
                long from = flat.offset() / lineSize;
                long to = Math.max(flat.offset(), flat.end() - 1) / lineSize;
                if (home < 0) {
                    home = from;
                    first = words[i];
                }
                if (from != home || to != home) {
                    findings.add(new Finding(
                            line + 1,
                            name + "." + words[i] + " lies in cacheline "
                                    + (from == to ? "" + from : from + " to " + to) + ", but must share cacheline "
                                    + home + " with " + first + "; move it, or take it out of this line",
                            null));
                }
            }
        }

        private void apart(int line, String[] words) {
            Map<Long, String> taken = new LinkedHashMap<>();
            for (int i = 1; i < words.length; i++) {
                Flat flat = need(line, words[i]);
                if (flat == null) continue;
                String other = null;
                long where = 0;
                long last = Math.max(flat.offset(), flat.end() - 1) / lineSize;
                for (long at = flat.offset() / lineSize; at <= last; at++) {
                    String holder = taken.putIfAbsent(at, words[i]);
                    if (holder != null && other == null) {
                        other = holder;
                        where = at;
                    }
                }
                if (other != null) {
                    findings.add(new Finding(
                            line + 1,
                            name + "." + other + " and " + name + "." + words[i] + " share cacheline " + where
                                    + ", but must not; move one by " + lineSize + " bytes",
                            null));
                }
            }
        }
    }

    private static Map<String, Flat> membersOf(Aggregate type) {
        Map<String, Flat> members = new LinkedHashMap<>();
        for (Flat flat : Flat.deep(type)) members.putIfAbsent(flat.path(), flat);
        return members;
    }

    private static String stating(Flat flat) {
        boolean bits = flat.member().bitfieldSize() != 0;
        String offset = bits ? flat.bitOffset() / 8 + ":" + flat.bitOffset() % 8 : Long.toString(flat.offset());
        return "at " + offset + " size " + (bits ? flat.bits() + "b" : Long.toString(flat.bits() / 8)) + " "
                + flat.path();
    }

    /**
     * The file with sizes and places as they are. Comments and the {@code one-line}, {@code apart} and {@code from} lines stay; members that
     * are gone lose their line; a closed type gets its new members.
     */
    public String updated(List<LayoutSource> sources) {
        Map<Integer, String> replaced = new LinkedHashMap<>();
        Map<Integer, List<String>> before = new LinkedHashMap<>();
        for (Stated stated : stated()) {
            Aggregate found = find(stated.name(), sources);
            if (found == null) continue;
            replaced.put(stated.line(), "type " + stated.name() + " size " + found.size());
            Map<String, Flat> members = membersOf(found);
            List<String> listed = new ArrayList<>();
            for (int line : stated.body()) {
                String text = bare(lines.get(line));
                if (text.startsWith("at ")) {
                    String member = text.substring(text.lastIndexOf(' ') + 1);
                    listed.add(member);
                    Flat flat = members.get(member);
                    replaced.put(line, flat == null ? "" : "  " + stating(flat) + comment(lines.get(line)));
                } else if (text.equals("closed")) {
                    List<String> added = new ArrayList<>();
                    for (Flat flat : Flat.members(found))
                        if (!listed.contains(flat.path())) added.add("  " + stating(flat));
                    before.put(line, added);
                }
            }
        }
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < lines.size(); i++) {
            for (String line : before.getOrDefault(i, List.of()))
                out.append(line).append('\n');
            String line = replaced.getOrDefault(i, lines.get(i));
            if (line.isEmpty() && !lines.get(i).isBlank()) continue;
            out.append(line).append('\n');
        }
        return out.toString();
    }

    private static String comment(String line) {
        int comment = line.indexOf(" #");
        return comment < 0 ? "" : "  " + line.substring(comment + 1);
    }

    /** The stretch that states a type in full, closed, for a new lock file. */
    public static String state(Aggregate type) {
        StringBuilder out = new StringBuilder();
        out.append("type ")
                .append(type.name())
                .append(" size ")
                .append(type.size())
                .append('\n');
        for (Flat flat : Flat.members(type))
            out.append("  ").append(stating(flat)).append('\n');
        out.append("  closed\n");
        return out.toString();
    }
}
