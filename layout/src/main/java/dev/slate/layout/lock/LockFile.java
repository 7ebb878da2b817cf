package dev.slate.layout.lock;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Ambiguous;
import dev.slate.layout.Flat;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.Type;
import dev.slate.layout.elf.Trouble;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A file that states layouts. Lines:
 *
 * <pre>
 * # a comment
 * from FILE                        where types come from, if none is named on the command line; relative to this file
 * type NAME size BYTES             starts a type; the lines below are about it
 *   at OFFSET size BYTES MEMBER    a member's place; OFFSET is 12 or 0xc or, for bit fields, 12:3, and the size then 5b
 *   one-line MEMBER MEMBER ...     these must lie within one cache line
 *   apart MEMBER MEMBER ...        no two of these may have bytes in one cache line
 *   closed                         it has no members that are not listed
 * </pre>
 */
public final class LockFile {
    /** Something that does not hold: where it is stated, what is wrong, and the line that would state the truth (null if none would). */
    public record Finding(
            int line, String message, @Nullable String fix) {}

    private static final Pattern WORD = Pattern.compile("\"([^\"]*)\"|\\S+");

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
            throw new LayoutException(path.toString(), Trouble.reading(e));
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

    /** The names of the types that it states. */
    public List<String> names() {
        return lines.stream().anyMatch(l -> bare(l).startsWith("type "))
                ? stated().stream().map(Stated::name).toList()
                : List.of();
    }

    /** For each type that is stated, the candidates of the first source that has any. */
    private static Map<String, List<Aggregate>> find(List<Stated> stated, List<LayoutSource> sources) {
        Map<String, List<Aggregate>> found = new LinkedHashMap<>();
        List<String> names = stated.stream().map(Stated::name).distinct().toList();
        for (LayoutSource source : sources) {
            List<String> wanted =
                    names.stream().filter(n -> !found.containsKey(n)).toList();
            if (wanted.isEmpty()) break;
            source.find(wanted).forEach((name, types) -> {
                List<Aggregate> aggregates = new ArrayList<>();
                for (Type type : types) if (Type.strip(type) instanceof Aggregate aggregate) aggregates.add(aggregate);
                if (!aggregates.isEmpty()) found.put(name, aggregates);
            });
        }
        return found;
    }

    /** Compares what is stated with the sources. */
    public List<Finding> check(List<LayoutSource> sources, int lineSize) {
        List<Finding> findings = new ArrayList<>();
        List<Stated> all = stated();
        Map<String, List<Aggregate>> candidates = find(all, sources);
        for (Stated stated : all) {
            List<Aggregate> these = candidates.getOrDefault(stated.name(), List.of());
            if (these.isEmpty()) {
                findings.add(
                        new Finding(stated.line() + 1, "type " + stated.name() + " is in none of the files", null));
                continue;
            }
            if (these.size() > 1) {
                findings.add(new Finding(
                        stated.line() + 1,
                        "type " + stated.name() + " may be any of " + String.join(", ", Ambiguous.keys(these))
                                + ", whose layouts differ; state which",
                        null));
                continue;
            }
            Aggregate found = these.getFirst();
            if (found.size() != stated.size() || !found.sizeKnown()) {
                findings.add(new Finding(
                        stated.line() + 1,
                        found.sizeKnown()
                                ? stated.name() + " has " + found.size() + " bytes, " + stated.size() + " are stated"
                                : "the size of " + stated.name() + " is not known",
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
                        String[] parts = text.split("\\s+", 5);
                        if (parts.length != 5 || !parts[2].equals("size"))
                            throw broken(line, "a member's line is: at OFFSET size BYTES MEMBER");
                        listed.add(parts[4]);
                        place(line, parts);
                    }
                    case "one-line" -> oneLine(line, names(line, text, 1));
                    case "apart" -> apart(line, names(line, text, 2));
                    case "closed" -> closed = line;
                    default ->
                        throw broken(line, "\"" + words[0] + "\" is not known; at, one-line, apart and closed are");
                }
            }
            if (closed < 0) return;
            for (Flat flat : closedMembers(type, listed)) {
                if (!listed.contains(flat.path())) {
                    findings.add(new Finding(
                            closed + 1,
                            name + "." + flat.path() + " is not listed, and the type is closed",
                            stating(flat)));
                }
            }
        }

        /** The members that a rule names; a name with spaces stands in quotes. */
        private List<String> names(int line, String text, int least) {
            List<String> names = new ArrayList<>();
            Matcher word = WORD.matcher(text);
            while (word.find()) names.add(word.group(1) != null ? word.group(1) : word.group());
            String rule = names.removeFirst();
            if (names.size() < least)
                throw broken(
                        line,
                        "\"" + rule + "\" names " + names.size() + (names.size() == 1 ? " member" : " members")
                                + ", and so holds whatever happens; it needs " + least + " or more");
            return names;
        }

        private void place(int line, String[] parts) {
            String member = parts[4];
            Flat flat = members.get(member);
            if (flat == null) {
                findings.add(new Finding(line + 1, name + " has no member " + member, null));
                return;
            }
            boolean bits = flat.member().bitfieldSize() != 0;
            int colon = parts[1].indexOf(':');
            long stated = 8 * number(line, colon < 0 ? parts[1] : parts[1].substring(0, colon))
                    + (colon < 0 ? 0 : number(line, parts[1].substring(colon + 1)));
            boolean inBits = parts[3].endsWith("b") && !parts[3].startsWith("0x");
            long size =
                    inBits ? number(line, parts[3].substring(0, parts[3].length() - 1)) : 8 * number(line, parts[3]);
            if (stated == flat.bitOffset()
                    && size == flat.bits()
                    && inBits == bits
                    && flat.member().sizeKnown()) return;
            String truth = stating(flat);
            findings.add(new Finding(
                    line + 1,
                    name + "." + member + " is " + truth.substring(0, truth.length() - member.length() - 1)
                            + ", the file states \"at " + parts[1] + " size " + parts[3] + "\"",
                    "  " + truth));
        }

        private @Nullable Flat need(int line, String member) {
            Flat flat = members.get(member);
            if (flat == null) findings.add(new Finding(line + 1, name + " has no member " + member, null));
            return flat;
        }

        private void oneLine(int line, List<String> words) {
            long home = -1;
            String first = "";
            for (String word : words) {
                Flat flat = need(line, word);
                if (flat == null) continue;
                long from = flat.offset() / lineSize;
                long to = Math.max(flat.offset(), flat.end() - 1) / lineSize;
                if (home < 0) {
                    home = from;
                    first = word;
                }
                if (from != home || to != home) {
                    findings.add(new Finding(
                            line + 1,
                            name + "." + word + " lies in cacheline "
                                    + (from == to ? "" + from : from + " to " + to) + ", but must share cacheline "
                                    + home + " with " + first + "; move it, or take it out of this line",
                            null));
                }
            }
        }

        private void apart(int line, List<String> words) {
            Map<Long, String> taken = new LinkedHashMap<>();
            for (String word : words) {
                Flat flat = need(line, word);
                if (flat == null) continue;
                String other = null;
                long where = 0;
                long last = Math.max(flat.offset(), flat.end() - 1) / lineSize;
                for (long at = flat.offset() / lineSize; at <= last; at++) {
                    String holder = taken.putIfAbsent(at, word);
                    if (holder != null && other == null) {
                        other = holder;
                        where = at;
                    }
                }
                if (other != null) {
                    findings.add(new Finding(
                            line + 1,
                            name + "." + other + " and " + name + "." + word + " share cacheline " + where
                                    + ", but must not; move one by " + lineSize + " bytes",
                            null));
                }
            }
        }
    }

    /**
     * The members that a closed type must list. What is inside a member whose struct has no name counts from the moment that
     * one of them is listed: older lock files list the member alone.
     */
    private static List<Flat> closedMembers(Aggregate type, List<String> listed) {
        List<Flat> wanted = new ArrayList<>(Flat.members(type));
        Set<String> outer = new HashSet<>();
        for (Flat flat : wanted) outer.add(flat.path());
        for (Flat flat : Flat.own(type)) {
            if (outer.contains(flat.path())) continue;
            for (String owner : outer) {
                boolean inside =
                        flat.path().startsWith(owner + ".") || flat.path().startsWith(owner + "[].");
                if (inside && listed.stream().anyMatch(l -> l.startsWith(owner + ".") || l.startsWith(owner + "[]."))) {
                    wanted.add(flat);
                    break;
                }
            }
        }
        return wanted;
    }

    private static Map<String, Flat> membersOf(Aggregate type) {
        Map<String, Flat> members = new LinkedHashMap<>();
        for (Flat flat : Flat.own(type)) members.putIfAbsent(flat.path(), flat);
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
        Map<Integer, List<String>> after = new LinkedHashMap<>();
        List<Stated> all = stated();
        Map<String, List<Aggregate>> candidates = find(all, sources);
        for (Stated stated : all) {
            List<Aggregate> these = candidates.getOrDefault(stated.name(), List.of());
            if (these.size() != 1) continue;
            Aggregate found = these.getFirst();
            replaced.put(
                    stated.line(),
                    "type " + stated.name() + " size " + found.size() + comment(lines.get(stated.line())));
            Map<String, Flat> members = membersOf(found);
            List<String> listed = new ArrayList<>();
            int lastPlace = stated.line();
            boolean closed = false;
            for (int line : stated.body()) {
                String text = bare(lines.get(line));
                if (text.startsWith("at ")) {
                    String[] parts = text.split("\\s+", 5);
                    String member = parts[parts.length - 1];
                    listed.add(member);
                    lastPlace = line;
                    Flat flat = members.get(member);
                    replaced.put(line, flat == null ? "" : "  " + stating(flat) + comment(lines.get(line)));
                }
                closed |= text.equals("closed");
            }
            if (!closed) continue;
            List<String> added = new ArrayList<>();
            for (Flat flat : closedMembers(found, listed))
                if (!listed.contains(flat.path())) added.add("  " + stating(flat));
            after.put(lastPlace, added);
        }
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < lines.size(); i++) {
            String line = replaced.getOrDefault(i, lines.get(i));
            if (!line.isEmpty() || lines.get(i).isBlank()) out.append(line).append('\n');
            for (String added : after.getOrDefault(i, List.of()))
                out.append(added).append('\n');
        }
        return out.toString();
    }

    private static String comment(String line) {
        int comment = line.indexOf(" #");
        return comment < 0 ? "" : "  " + line.substring(comment + 1);
    }

    /** The stretch that states a type in full, closed, for a new lock file, under its qualified name. */
    public static String state(Aggregate type) {
        return state(type, String.valueOf(type.qualifiedName()));
    }

    /** @param name what to call it: the name that means this type and no other of the file */
    public static String state(Aggregate type, String name) {
        StringBuilder out = new StringBuilder();
        out.append("type ").append(name).append(" size ").append(type.size()).append('\n');
        Set<String> paths = new HashSet<>();
        for (Flat flat : Flat.own(type))
            if (paths.add(flat.path())) out.append("  ").append(stating(flat)).append('\n');
        out.append("  closed\n");
        return out.toString();
    }
}
