package dev.slate.layout.density;

import dev.slate.layout.Flat;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Draws a {@link Density} as SVG, one row for each cache line; each run of cells has its member's name as a tooltip. */
public final class DensitySvg {
    private static final int CELL = 12;
    private static final int LEFT = 64;
    private static final int TOP = 28;
    private static final String[] HEAT = {
        "#e6e6e6", "#c9d7f0", "#a5bfe8", "#7fa6df", "#5a8dd6", "#4fb0a5", "#8cc152", "#f6c945", "#f28b30", "#d7301f"
    };

    private final Density density;
    private final @Nullable Heat heat;
    private final int lineSize;

    public DensitySvg(Density density, @Nullable Heat heat, int lineSize) {
        this.density = density;
        this.heat = heat;
        this.lineSize = lineSize;
    }

    /** The picture alone. */
    public String svg() {
        int perRow = density.bits() ? lineSize * 8 : lineSize;
        int cell = density.bits() ? 3 : CELL;
        int rows = (density.cells() + perRow - 1) / perRow;
        int width = LEFT + perRow * cell + 8;
        int height = TOP + rows * (CELL + 4) + 28;
        StringBuilder out = new StringBuilder();
        out.append("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"")
                .append(width)
                .append("\" height=\"")
                .append(height)
                .append("\" viewBox=\"0 0 ")
                .append(width)
                .append(' ')
                .append(height)
                .append("\" font-family=\"monospace\" font-size=\"10\">\n");
        out.append("<title>").append(escape(density.title())).append("</title>\n");
        out.append("<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n");
        out.append("<text x=\"4\" y=\"16\" font-size=\"12\">")
                .append(escape(density.title()))
                .append("</text>\n");
        for (int row = 0; row < rows; row++) {
            int y = TOP + row * (CELL + 4);
            out.append("<text x=\"4\" y=\"")
                    .append(y + CELL - 2)
                    .append("\" fill=\"#666\">")
                    .append((long) row * lineSize)
                    .append("</text>\n");
            int start = row * perRow;
            int end = Math.min(start + perRow, density.cells());
            for (int from = start; from < end; ) {
                int to = from + 1;
                while (to < end && same(from, to)) to++;
                box(out, LEFT + (from - start) * cell, y, (to - from) * cell, from);
                from = to;
            }
        }
        Density.Count count = density.count();
        out.append("<text x=\"4\" y=\"")
                .append(height - 10)
                .append("\">")
                .append(count.members())
                .append(" used, ")
                .append(count.holes())
                .append(" in holes (white), ")
                .append(count.padding())
                .append(" of padding (hatched grey)</text>\n</svg>\n");
        return out.toString();
    }

    private boolean same(int a, int b) {
        if (density.owner(a) != density.owner(b)) return false;
        return heat == null || density.owner(a) < 0 || level(a) == level(b);
    }

    private int level(int cell) {
        return heat == null ? 0 : heat.level(density.bits() ? cell / 8 : cell);
    }

    private void box(StringBuilder out, int x, int y, int width, int cell) {
        int owner = density.owner(cell);
        String fill;
        String title;
        if (owner < 0) {
            boolean hole = density.use(cell) == Density.Use.HOLE;
            fill = hole ? "#ffffff" : "#bbbbbb";
            title = hole ? "hole" : "padding";
        } else {
            Flat flat = density.members().get(owner);
            fill = heat == null ? colour(owner) : HEAT[level(cell)];
            title = flat.path() + ": " + flat.offset() + ", " + flat.bits() / 8.0 + " bytes";
        }
        out.append("<rect x=\"")
                .append(x)
                .append("\" y=\"")
                .append(y)
                .append("\" width=\"")
                .append(width)
                .append("\" height=\"")
                .append(CELL)
                .append("\" fill=\"")
                .append(fill)
                .append("\" stroke=\"")
                .append(owner < 0 ? "#d33" : "#333")
                .append("\" stroke-width=\"0.6\"><title>")
                .append(escape(title))
                .append("</title></rect>\n");
    }

    /** Neighbouring members get hues far from each other. */
    private static String colour(int member) {
        return String.format(Locale.ROOT, "hsl(%d,55%%,72%%)", (int) (member * 137.508 % 360));
    }

    /** The picture in a page, with a table of members below. */
    public String html() {
        List<String> rows = new ArrayList<>();
        int i = 0;
        for (Flat flat : density.members()) {
            rows.add("<tr><td style=\"background:" + colour(i++) + "\">&nbsp;&nbsp;</td><td>" + escape(flat.path())
                    + "</td><td>" + flat.offset() + "</td><td>" + flat.bits() / 8.0 + "</td><td>"
                    + flat.offset() / lineSize + "</td></tr>");
        }
        return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + escape(density.title())
                + "</title>\n<style>body{font-family:monospace}td,th{padding:1px 8px;text-align:left}</style></head><body>\n"
                + svg()
                + "<table><tr><th></th><th>member</th><th>offset</th><th>bytes</th><th>line</th></tr>\n"
                + String.join("\n", rows)
                + "\n</table></body></html>\n";
    }

    private static String escape(String text) {
        return text.replace("&", "&amp;")
                .replace("<", "&lt;")
                .replace(">", "&gt;")
                .replace("\"", "&quot;");
    }
}
