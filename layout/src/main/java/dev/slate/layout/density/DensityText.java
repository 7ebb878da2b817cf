package dev.slate.layout.density;

import dev.slate.layout.Flat;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Draws a {@link Density} with one character for each byte or bit, one row for each cache line. */
public final class DensityText {
    private static final String NAMES = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    private static final int[] COLOURS = {39, 35, 141, 75, 180, 108, 174, 73, 146, 179};
    private static final int[] HEAT = {238, 17, 18, 20, 26, 37, 34, 220, 208, 196};

    private final Density density;
    private final @Nullable Heat heat;
    private final boolean colour;
    private final int lineSize;

    /** @param colour whether the terminal understands ANSI colours (256 of them) */
    public DensityText(Density density, @Nullable Heat heat, boolean colour, int lineSize) {
        this.density = density;
        this.heat = heat;
        this.colour = colour;
        this.lineSize = lineSize;
    }

    /** The picture, a legend and the sums. */
    public String text() {
        StringBuilder out = new StringBuilder();
        out.append(density.title())
                .append(density.bits() ? ", a bit is one character" : ", a byte is one character")
                .append('\n');
        int perRow = density.bits() ? Math.min(lineSize, 8) * 8 : lineSize;
        int bitsPerCell = density.bits() ? 1 : 8;
        for (int row = 0; row < density.cells(); row += perRow) {
            long offset = (long) row * bitsPerCell / 8;
            boolean starts = offset % lineSize == 0;
            out.append(String.format(
                    "%6d %s ", offset, starts ? String.format("line %-3d|", offset / lineSize) : "        |"));
            int end = Math.min(row + perRow, density.cells());
            int run = Integer.MIN_VALUE;
            for (int cell = row; cell < end; cell++) {
                int paint = paint(cell);
                if (colour && paint != run) {
                    out.append("\u001b[0m\u001b[").append(paint).append('m');
                    run = paint;
                }
                out.append(symbol(cell));
            }
            if (colour) out.append("\u001b[0m");
            for (int i = end; i < row + perRow; i++) out.append(' ');
            out.append('|');
            if (heat != null)
                out.append(String.format(
                        Locale.ROOT, " %.0f", heat.sum((int) offset, (int) offset + perRow * bitsPerCell / 8)));
            out.append('\n');
        }
        Density.Count count = density.count();
        String unit = density.bits() ? " bits" : " bytes";
        out.append("\n  ")
                .append(count.members())
                .append(unit)
                .append(" of members, ")
                .append(count.holes())
                .append(" of holes (.), ")
                .append(count.padding())
                .append(" of padding (_): ")
                .append(density.cells() == 0 ? 100 : Math.round(1000.0 * count.members() / density.cells()) / 10.0)
                .append("% full\n");
        if (heat != null)
            out.append("  0 to 9: how often a byte is used, each step a factor; the number behind a row is its sum\n");
        else legend(out);
        return out.toString();
    }

    private char symbol(int cell) {
        int owner = density.owner(cell);
        if (owner < 0) return density.use(cell) == Density.Use.HOLE ? '.' : '_';
        if (heat != null) return (char) ('0' + heat.level(density.bits() ? cell / 8 : cell));
        return NAMES.charAt(owner % NAMES.length());
    }

    /** The ANSI colour of a cell. */
    private int paint(int cell) {
        int owner = density.owner(cell);
        if (owner < 0) return density.use(cell) == Density.Use.HOLE ? 41 : 100;
        if (heat != null) return code(HEAT[heat.level(density.bits() ? cell / 8 : cell)]);
        return code(COLOURS[owner % COLOURS.length]);
    }

    /** One of the 16 colours that every terminal has, nearest to one of 256 that the drawings use. */
    private static int code(int colour) {
        return 31 + colour % 6;
    }

    private void legend(StringBuilder out) {
        List<Flat> members = density.members();
        int width = 0;
        for (Flat flat : members) width = Math.max(width, flat.path().length());
        int columns = Math.max(1, 96 / (width + 14));
        for (int i = 0; i < members.size(); i++) {
            Flat flat = members.get(i);
            if (i % columns == 0) out.append(" ");
            out.append(String.format(
                    " %c %-" + width + "s %6d  ", NAMES.charAt(i % NAMES.length()), flat.path(), flat.offset()));
            if (i % columns == columns - 1 || i == members.size() - 1) {
                while (out.charAt(out.length() - 1) == ' ') out.setLength(out.length() - 1);
                out.append('\n');
            }
        }
    }
}
