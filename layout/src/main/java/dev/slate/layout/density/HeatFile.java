package dev.slate.layout.density;

import dev.slate.layout.LayoutException;
import dev.slate.layout.elf.Trouble;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * What {@code slate heat} has written: its types with their members, and for each exit reason what single exits touched.
 *
 * @param types by their numbers
 * @param reasons in their order in the file
 */
public record HeatFile(List<Counted> types, List<Reason> reasons) {
    /** Bytes of an access: one of more counts as its parts. */
    private static final int WIDEST = 8;

    /** A type as it was counted. */
    public record Counted(String name, long size, long objects, List<Field> fields) {}

    /** A member, with its place; one that holds others stands before them. */
    public record Field(long offset, long bytes, String path) {
        /** The first byte behind it. */
        public long end() {
            return offset + bytes;
        }
    }

    /** Exits of one reason. Those that touched the same are one set. */
    public record Reason(String name, long exits, List<Touched> sets) {}

    /** What so many exits touched. */
    public record Touched(long times, List<Access> accesses) {}

    /**
     * Accesses of an exit to one place of one object.
     *
     * @param type its number
     * @param object which of the type's objects that the exit touches, from 0 on
     */
    public record Access(int type, int object, long first, long last, long reads, long writes) {}

    /** Whether these lines are such a file, rather than counts that somebody wrote by hand. */
    static boolean is(List<String> lines) {
        return lines.stream().anyMatch(l -> l.startsWith("type "));
    }

    /** Reads one. */
    public static HeatFile read(Path file) {
        try {
            return parse(file.toString(), Files.readAllLines(file));
        } catch (IOException e) {
            throw new LayoutException(file.toString(), Trouble.reading(e));
        }
    }

    static HeatFile parse(String file, List<String> lines) {
        if (!is(lines)) {
            throw new LayoutException(file, "was not written by `slate heat`: it names no type");
        }
        List<Counted> types = new ArrayList<>();
        List<Reason> reasons = new ArrayList<>();
        Map<String, Access> seen = new HashMap<>();
        for (int n = 0; n < lines.size(); n++) {
            String line = lines.get(n);
            int space = line.indexOf(' ');
            try {
                String[] words;
                switch (space < 0 ? "" : line.substring(0, space)) {
                    case "type" -> {
                        words = line.split(" ", 4);
                        types.add(new Counted(words[3], number(words[1]), number(words[2]), new ArrayList<>()));
                    }
                    case "field" -> {
                        words = line.split(" ", 4);
                        types.getLast().fields.add(new Field(number(words[1]), number(words[2]), words[3]));
                    }
                    case "exits" -> {
                        words = line.split(" ", 3);
                        reasons.add(new Reason(words[2], number(words[1]), new ArrayList<>()));
                    }
                    case "set" -> {
                        words = line.split(" ");
                        List<Access> accesses = new ArrayList<>();
                        for (int i = 2; i < words.length; i++) {
                            Access access = seen.computeIfAbsent(words[i], HeatFile::access);
                            long bytes = access.last - access.first + 1;
                            if (bytes < 1 || bytes > WIDEST || access.last >= types.get(access.type).size)
                                throw new NumberFormatException();
                            accesses.add(access);
                        }
                        reasons.getLast().sets.add(new Touched(number(words[1]), accesses));
                    }
                    default -> {}
                }
            } catch (IndexOutOfBoundsException | NumberFormatException | java.util.NoSuchElementException e) {
                String shown = line.length() > 60 ? line.substring(0, 60) + "..." : line;
                throw new LayoutException(file + ": line " + (n + 1), "\"" + shown + "\" is no line of slate heat's");
            }
        }
        return new HeatFile(types, reasons);
    }

    private static long number(String text) {
        long number = Long.parseLong(text);
        if (number < 0) throw new NumberFormatException();
        return number;
    }

    /** TYPE.OBJECT.FIRST-LAST:READS/WRITES */
    private static Access access(String word) {
        String[] parts = word.split("[.:/-]");
        if (parts.length != 6) throw new NumberFormatException();
        return new Access(
                (int) number(parts[0]),
                (int) number(parts[1]),
                number(parts[2]),
                number(parts[3]),
                number(parts[4]),
                number(parts[5]));
    }

    /** The type's number, or -1. */
    public int type(String name) {
        for (int i = 0; i < types.size(); i++) {
            if (types.get(i).name.equals(name)) return i;
        }
        return -1;
    }

    /** Names of all types. */
    public String names() {
        return String.join(", ", types.stream().map(Counted::name).toList());
    }
}
