package dev.slate.layout.compare;

import dev.slate.layout.elf.ElfFile;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/** Sizes of a file's sections and symbols: what {@code size} and the kernel's bloat-o-meter tell. */
public final class ObjectSizes {
    private static final int ALLOC = 2;
    private static final int WRITE = 1;
    private static final int NOBITS = 8;

    /** Bytes of text and read-only data, of data, and of what starts as zeros, as {@code size} in Berkeley format counts them. */
    public record Sections(long text, long data, long bss) {
        public long total() {
            return text + data + bss;
        }
    }

    /** One symbol's bytes in two files; 0 where it is not there. */
    public record Delta(String name, long before, long after) {
        public long change() {
            return after - before;
        }
    }

    /** Two files' symbols, the greatest growth first. */
    public record Bloat(
            List<Delta> deltas,
            long before,
            long after,
            int added,
            int removed,
            int grown,
            int shrunk,
            long up,
            long down) {}

    private ObjectSizes() {}

    /** Adds up a file's sections. */
    public static Sections sections(ElfFile file) {
        long text = 0;
        long data = 0;
        long bss = 0;
        for (ElfFile.Section section : file.sections()) {
            if ((section.flags() & ALLOC) == 0) continue;
            if (section.type() == NOBITS) bss += section.size();
            else if ((section.flags() & WRITE) == 0) text += section.size();
            else data += section.size();
        }
        return new Sections(text, data, bss);
    }

    /**
     * The bytes of each function and object of a file by name. A local symbol's number that the compiler makes up (behind a dot) is left out, so
     * that it is the same function in both files; symbols that only mark a place are not counted.
     */
    public static Map<String, Long> symbols(ElfFile file) {
        Map<String, Long> sizes = new TreeMap<>();
        for (ElfFile.Symbol symbol : file.symbols()) {
            if (symbol.size() == 0
                    || symbol.section() == 0
                    || symbol.type() > 2
                    || symbol.name().isEmpty()) continue;
            String name = symbol.name();
            if (name.startsWith("__mod_")
                    || name.startsWith("__se_sys")
                    || name.startsWith("__se_compat_sys")
                    || name.startsWith("__addressable_")
                    || name.equals("linux_banner")) {
                continue;
            }
            sizes.merge(withoutNumber(name), symbol.size(), Long::sum);
        }
        return sizes;
    }

    private static String withoutNumber(String name) {
        int end = name.length();
        while (end > 0 && Character.isDigit(name.charAt(end - 1))) end--;
        return end < name.length() && end > 1 && name.charAt(end - 1) == '.' ? name.substring(0, end - 1) : name;
    }

    /** Compares the symbols of two files. */
    public static Bloat bloat(Map<String, Long> before, Map<String, Long> after) {
        List<Delta> deltas = new ArrayList<>();
        int added = 0;
        int removed = 0;
        int grown = 0;
        int shrunk = 0;
        long up = 0;
        long down = 0;
        TreeMap<String, Boolean> names = new TreeMap<>();
        before.keySet().forEach(n -> names.put(n, true));
        after.keySet().forEach(n -> names.put(n, true));
        for (String name : names.keySet()) {
            Delta delta = new Delta(name, before.getOrDefault(name, 0L), after.getOrDefault(name, 0L));
            if (delta.change() == 0) continue;
            deltas.add(delta);
            if (delta.before() == 0) added++;
            else if (delta.after() == 0) removed++;
            else if (delta.change() > 0) grown++;
            else shrunk++;
            if (delta.change() > 0) up += delta.change();
            else down -= delta.change();
        }
        deltas.sort(Comparator.comparingLong(Delta::change).reversed().thenComparing(Delta::name));
        return new Bloat(List.copyOf(deltas), sum(before), sum(after), added, removed, grown, shrunk, up, down);
    }

    private static long sum(Map<String, Long> sizes) {
        long sum = 0;
        for (long size : sizes.values()) sum += size;
        return sum;
    }

    /** The table that bloat-o-meter prints. */
    public static String text(Bloat bloat) {
        StringBuilder out = new StringBuilder();
        out.append(String.format(
                "add/remove: %d/%d grow/shrink: %d/%d up/down: %d/%d (%d)%n",
                bloat.added(),
                bloat.removed(),
                bloat.grown(),
                bloat.shrunk(),
                bloat.up(),
                -bloat.down(),
                bloat.up() - bloat.down()));
        out.append(String.format("%-40s %7s %7s %7s%n", "Function", "old", "new", "delta"));
        for (Delta delta : bloat.deltas()) {
            out.append(String.format(
                    "%-40s %7s %7s %+7d%n",
                    delta.name(),
                    delta.before() == 0 ? "-" : Long.toString(delta.before()),
                    delta.after() == 0 ? "-" : Long.toString(delta.after()),
                    delta.change()));
        }
        double percent = bloat.before() == 0 ? 0 : 100.0 * (bloat.after() - bloat.before()) / bloat.before();
        out.append(String.format(
                Locale.ROOT, "Total: Before=%d, After=%d, chg %+.2f%%%n", bloat.before(), bloat.after(), percent));
        return out.toString();
    }
}
