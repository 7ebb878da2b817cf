package dev.slate.layout.density;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Flat;
import dev.slate.layout.LayoutException;
import dev.slate.layout.elf.Trouble;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * How often each byte of a type is used. The file has one line for each place: {@code COUNT OFFSET}, {@code COUNT FIRST-LAST} (bytes, last one
 * included, decimal or 0x), or {@code COUNT MEMBER} with the member's path. A {@code #} starts a comment. Or it is a {@link HeatFile}.
 */
public final class Heat {
    private final double[] counts;
    private final double greatest;

    private Heat(double[] counts) {
        this.counts = counts;
        double most = 0;
        for (double count : counts) most = Math.max(most, count);
        greatest = most;
    }

    /**
     * Reads a file for the type that a picture shows.
     *
     * @param name what the user calls it: a nameless type, by a typedef
     */
    public static Heat read(Path file, Density density, String name) {
        try {
            return parse(file.toString(), Files.readAllLines(file), density, name);
        } catch (IOException e) {
            throw new LayoutException(file.toString(), Trouble.reading(e));
        }
    }

    private static Heat parse(String file, List<String> given, Density density, String name) {
        List<String> lines = HeatFile.is(given) ? section(file, given, density.aggregate(), name) : given;
        double[] counts = new double[(int) density.aggregate().size()];
        List<Flat> all = Flat.deep(density.aggregate());
        for (int n = 1; n <= lines.size(); n++) {
            String line = lines.get(n - 1);
            int comment = line.indexOf('#');
            if (comment >= 0) line = line.substring(0, comment);
            line = line.strip();
            if (line.isEmpty()) continue;
            int space = line.indexOf(' ') < 0 ? line.indexOf('\t') : line.indexOf(' ');
            String where = file + ": line " + n;
            if (space < 0) throw new LayoutException(where, "\"" + line + "\" is no COUNT and PLACE");
            double count;
            try {
                count = Double.parseDouble(line.substring(0, space));
            } catch (NumberFormatException e) {
                throw new LayoutException(where, "\"" + line.substring(0, space) + "\" is no number");
            }
            String place = line.substring(space).strip();
            long first = -1;
            long last = -1;
            if (Character.isDigit(place.charAt(0))) {
                int dash = place.indexOf('-');
                try {
                    first = Long.decode(dash < 0 ? place : place.substring(0, dash));
                    last = dash < 0 ? first : Long.decode(place.substring(dash + 1));
                } catch (NumberFormatException e) {
                    throw new LayoutException(where, "\"" + place + "\" is no byte and no range of bytes");
                }
            } else {
                for (Flat flat : all) {
                    if (flat.path().equals(place)) {
                        first = flat.offset();
                        last = flat.end() - 1;
                        break;
                    }
                }
                if (first < 0) throw new LayoutException(where, density.title() + ", has no member " + place);
            }
            if (first > last || last >= counts.length) {
                throw new LayoutException(where, "bytes " + first + " to " + last + " are not in " + density.title());
            }
            for (long at = first; at <= last; at++) counts[(int) at] += count;
        }
        return new Heat(counts);
    }

    /** The places of one of the types that {@code slate heat} counted; the other lines are empty. */
    private static List<String> section(String file, List<String> lines, Aggregate aggregate, String name) {
        HeatFile all = HeatFile.parse(file, lines);
        int wanted = all.type(name);
        if (wanted < 0) wanted = all.type(String.valueOf(aggregate.qualifiedName()));
        if (wanted < 0) throw new LayoutException(file, "has no counts for " + name + ", but for " + all.names());
        if (all.types().get(wanted).size() != aggregate.size()) {
            throw new LayoutException(
                    file,
                    "counted a " + name + " of " + all.types().get(wanted).size() + " bytes, and this one has "
                            + aggregate.size() + ": `slate heat report --as` lays counts over another layout");
        }
        List<String> kept = new ArrayList<>();
        int type = -1;
        for (String line : lines) {
            if (line.startsWith("type ")) type++;
            boolean place = !line.isEmpty() && Character.isDigit(line.charAt(0)) && type == wanted;
            kept.add(place ? line : "");
        }
        return kept;
    }

    /** From 0, never used, to 9, used as often as the hottest byte or nearly; each step is a factor. */
    public int level(int offset) {
        double count = counts[offset];
        if (count <= 0) return 0;
        if (greatest <= 1) return 9;
        return 1 + (int) Math.min(8, Math.floor(8 * Math.log1p(count) / Math.log1p(greatest)));
    }

    /** The sum over a line of bytes. */
    public double sum(int from, int to) {
        double sum = 0;
        for (int i = from; i < Math.min(to, counts.length); i++) sum += counts[i];
        return sum;
    }

    /** The greatest count in a stretch of bytes. */
    double hottest(int from, int to) {
        double most = 0;
        for (int i = from; i < Math.min(to, counts.length); i++) most = Math.max(most, counts[i]);
        return most;
    }

    /** How often a byte is used. */
    public double count(int offset) {
        return counts[offset];
    }

    /** The least count of a level, written short. */
    String from(int level) {
        if (level == 0) return "0";
        if (greatest <= 1) return level == 9 ? brief(greatest) : "";
        double least = level == 1 ? 1 : Math.expm1((level - 1) / 8.0 * Math.log1p(greatest));
        return brief(Math.ceil(least));
    }

    /** A count in at most six characters: 950, 12.3k, 4.5M. */
    static String brief(double count) {
        if (count < 10_000)
            return count == Math.rint(count)
                    ? String.format(Locale.ROOT, "%.0f", count)
                    : String.format(Locale.ROOT, "%.1f", count);
        if (count < 1e6) return String.format(Locale.ROOT, "%.1fk", count / 1e3);
        if (count < 1e9) return String.format(Locale.ROOT, "%.1fM", count / 1e6);
        return String.format(Locale.ROOT, "%.1fG", count / 1e9);
    }
}
