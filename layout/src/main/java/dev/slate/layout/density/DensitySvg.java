package dev.slate.layout.density;

import dev.slate.layout.Flat;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * Draws a {@link Density} as SVG, one row for each cache line (or each eight bytes of bits), with a ruler above, names in the boxes and a
 * legend below; rows that one member fills are folded. The colours are Okabe and Ito's, which the colour-blind tell apart, and holes and padding have
 * patterns besides. A dark page gets dark paper.
 */
public final class DensitySvg {
    private static final int CELL = 13;
    private static final int ROW = 20;
    private static final int LEFT = 104;
    private static final int TOP = 56;
    private static final int LEGEND = 76;
    /** Rows alike, from which on they are folded. */
    private static final int FOLD = 4;

    private static final double LETTER = 6.1;

    private static final String[] MEMBERS = {
        "#f2b84b", "#84c8f0", "#6fcfae", "#f5ec8e", "#8fb0e8", "#f0a07a", "#e6b3d4", "#c4c9cf"
    };
    private static final String[] HEAT = {
        "#e4e4e4", "#fff3c4", "#fde08a", "#fbc75d", "#f5a640", "#e9822f", "#d65f2a", "#b8402b", "#8d2a30", "#5b1a33"
    };
    /** From this level on letters are white. */
    private static final int DARK = 6;

    private static final String STYLE = """
            <style>
            .paper{fill:#fff}.ink{fill:#222}.faint{fill:#666}.tick{stroke:#bbb}.edge{stroke:#444}.gap{stroke:#c22}.paperline{stroke:#fff}
            @media (prefers-color-scheme:dark){.paper{fill:#16181c}.ink{fill:#eee}.faint{fill:#a5a9b0}.tick{stroke:#4a4e55}.edge{stroke:#000}.gap{stroke:#ff7b72}.paperline{stroke:#16181c}}
            </style>
            <defs>
            <pattern id="padding" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="6" height="6" class="paper"/><rect width="2.4" height="6" fill="#8a8f98"/></pattern>
            <pattern id="hole" width="6" height="6" patternUnits="userSpaceOnUse"><rect width="6" height="6" class="paper"/><circle cx="3" cy="3" r="1" fill="#d33"/></pattern>
            </defs>
            """;

    private final Density density;
    private final @Nullable Heat heat;
    private final int lineSize;
    private final int perRow;

    /** A row of the picture, or rows alike that are folded into one. */
    private record Row(int first, int count) {}

    public DensitySvg(Density density, @Nullable Heat heat, int lineSize) {
        this.density = density;
        this.heat = heat;
        this.lineSize = lineSize;
        this.perRow = density.bits() ? Math.min(lineSize, 8) * 8 : lineSize;
    }

    /** The picture alone. */
    public String svg() {
        List<Row> rows = rows();
        int width = LEFT + perRow * CELL + (heat == null ? 12 : 92);
        int height = TOP + rows.size() * (ROW + 3) + LEGEND;
        StringBuilder out = new StringBuilder();
        out.append(String.format(
                Locale.ROOT,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"ui-monospace,monospace\" font-size=\"10\">%n",
                width,
                height,
                width,
                height));
        out.append("<title>")
                .append(escape(density.title()))
                .append("</title>\n")
                .append(STYLE);
        out.append("<rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n");
        text(out, 8, 20, "ink", 14, density.title());
        ruler(out, rows.size());
        int y = TOP;
        for (Row row : rows) {
            if (row.count() > 1) folded(out, row, y);
            else boxes(out, row.first(), y);
            y += ROW + 3;
        }
        legend(out, y + 18);
        return out.append("</svg>\n").toString();
    }

    private List<Row> rows() {
        int count = (density.cells() + perRow - 1) / perRow;
        List<Row> rows = new ArrayList<>();
        for (int row = 0; row < count; ) {
            int same = 1;
            while (row + same < count && whole(row) && whole(row + same) && same(row * perRow, (row + same) * perRow))
                same++;
            // The first and the last of them stay, so that the places where they start and end can be read.
            if (same >= FOLD) {
                rows.add(new Row(row, 1));
                rows.add(new Row(row + 1, same - 2));
                rows.add(new Row(row + same - 1, 1));
            } else {
                for (int i = 0; i < same; i++) rows.add(new Row(row + i, 1));
            }
            row += same;
        }
        return rows;
    }

    /** Whether one thing fills a whole row. */
    private boolean whole(int row) {
        int start = row * perRow;
        if (start + perRow > density.cells()) return false;
        for (int cell = start + 1; cell < start + perRow; cell++) if (!same(start, cell)) return false;
        return true;
    }

    private void text(StringBuilder out, double x, double y, String style, int size, String text) {
        out.append(String.format(
                Locale.ROOT,
                "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" font-size=\"%d\">%s</text>%n",
                x,
                y,
                style,
                size,
                escape(text)));
    }

    private void ruler(StringBuilder out, int rows) {
        int step = 8;
        for (int cell = 0; cell <= perRow; cell += step) {
            int x = LEFT + cell * CELL;
            out.append(String.format(
                    Locale.ROOT,
                    "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" class=\"tick\" stroke-width=\"0.7\"/>%n",
                    x,
                    TOP - 10,
                    x,
                    TOP + rows * (ROW + 3)));
            if (cell < perRow) text(out, x + 2, TOP - 4, "faint", 9, "+" + (density.bits() ? cell / 8 : cell));
        }
        text(out, 8, TOP - 4, "faint", 9, density.bits() ? "byte" : "line   byte");
        if (heat != null) text(out, LEFT + perRow * CELL + 8, TOP - 4, "faint", 9, "sum");
    }

    private long offset(int row) {
        return (long) row * perRow / (density.bits() ? 8 : 1);
    }

    private void label(StringBuilder out, int row, int y) {
        long offset = offset(row);
        String line = density.bits() ? "" : String.format(Locale.ROOT, "%4d ", offset / lineSize);
        text(out, 4, y + 14, "faint", 10, (line + String.format(Locale.ROOT, "%7d", offset)).replace(' ', '\u00a0'));
    }

    private void boxes(StringBuilder out, int row, int y) {
        label(out, row, y);
        int start = row * perRow;
        int end = Math.min(start + perRow, density.cells());
        for (int from = start; from < end; ) {
            int to = from + 1;
            while (to < end && same(from, to)) to++;
            box(out, LEFT + (from - start) * CELL, y, (to - from) * CELL, from);
            from = to;
        }
        Heat counts = heat;
        if (counts == null) return;
        double sum = counts.sum((int) offset(row), (int) offset(row + 1));
        if (sum > 0) text(out, LEFT + perRow * CELL + 8, y + 14, "ink", 10, Heat.brief(sum));
    }

    private void folded(StringBuilder out, Row row, int y) {
        int cell = row.first() * perRow;
        out.append(String.format(
                Locale.ROOT,
                "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\" class=\"edge\" stroke-width=\"0.6\" stroke-dasharray=\"4 3\"/>%n",
                LEFT,
                y + 3,
                perRow * CELL,
                ROW - 6,
                fill(cell)));
        String more = row.count() + (density.bits() ? " more rows of " : " more lines of ") + name(cell);
        String style = letters(cell);
        out.append(String.format(
                Locale.ROOT,
                "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" %s>\u22ee %s \u22ee</text>%n",
                LEFT + perRow * CELL / 2,
                y + 14,
                style,
                escape(more)));
    }

    private boolean same(int a, int b) {
        if (density.owner(a) != density.owner(b)) return false;
        if (density.owner(a) < 0) return density.use(a) == density.use(b);
        return heat == null || level(a) == level(b);
    }

    private int level(int cell) {
        return heat == null ? 0 : heat.level(density.bits() ? cell / 8 : cell);
    }

    private String name(int cell) {
        int owner = density.owner(cell);
        if (owner >= 0) return density.members().get(owner).path();
        return density.use(cell) == Density.Use.HOLE ? "hole" : "padding";
    }

    private String fill(int cell) {
        int owner = density.owner(cell);
        if (owner < 0) return density.use(cell) == Density.Use.HOLE ? "url(#hole)" : "url(#padding)";
        return heat == null ? colour(owner) : HEAT[level(cell)];
    }

    /** The colour of letters on a box: the boxes keep theirs on dark paper, and so do these. */
    private String letters(int cell) {
        if (density.owner(cell) < 0) return "class=\"ink\"";
        return heat != null && level(cell) >= DARK ? "fill=\"#fff\"" : "fill=\"#111\"";
    }

    private void box(StringBuilder out, int x, int y, int width, int cell) {
        int owner = density.owner(cell);
        String title = name(cell);
        if (owner >= 0) {
            Flat flat = density.members().get(owner);
            title += ": " + flat.offset() + ", " + bytes(flat);
            Heat counts = heat;
            if (counts != null)
                title += ", used " + Heat.brief(counts.count(density.bits() ? cell / 8 : cell)) + " times";
        }
        out.append(String.format(
                Locale.ROOT,
                "<g><title>%s</title><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\" class=\"%s\" stroke-width=\"0.7\"/>",
                escape(title),
                x,
                y,
                width,
                ROW,
                fill(cell),
                owner < 0 ? "gap" : "edge"));
        String inside = owner < 0 ? "" : fitted(name(cell), (int) ((width - 4) / LETTER));
        if (!inside.isEmpty())
            out.append(String.format(
                    Locale.ROOT, "<text x=\"%d\" y=\"%d\" %s>%s</text>", x + 3, y + 14, letters(cell), escape(inside)));
        out.append("</g>\n");
    }

    /** As much of a name as a box has room for: the end of a path first, and nothing rather than one or two letters of many. */
    private static String fitted(String path, int room) {
        if (path.length() <= room) return path;
        String last = path.substring(path.lastIndexOf('.') + 1);
        if (last.length() <= room) return last;
        return room < 3 ? "" : last.substring(0, room - 1) + "\u2026";
    }

    /** The size of a member in words. */
    static String bytes(Flat flat) {
        if (flat.bits() % 8 != 0 || flat.member().bitfieldSize() != 0)
            return flat.bits() + (flat.bits() == 1 ? " bit" : " bits");
        return flat.bits() / 8 + (flat.bits() == 8 ? " byte" : " bytes");
    }

    private void swatch(StringBuilder out, int x, int y, String fill, String style) {
        out.append(String.format(
                Locale.ROOT,
                "<rect x=\"%d\" y=\"%d\" width=\"26\" height=\"14\" fill=\"%s\" class=\"%s\" stroke-width=\"0.7\"/>%n",
                x,
                y,
                fill,
                style));
    }

    private void legend(StringBuilder out, int y) {
        Density.Count count = density.count();
        String unit = density.bits() ? " bits" : " bytes";
        int x = LEFT;
        Heat counts = heat;
        if (counts == null) {
            swatch(out, x, y, MEMBERS[0], "edge");
            swatch(out, x + 28, y, MEMBERS[1], "edge");
            text(out, x + 60, y + 11, "ink", 11, "members, " + count.members() + unit);
            x += 260;
        }
        swatch(out, x, y, "url(#hole)", "gap");
        text(out, x + 32, y + 11, "ink", 11, "holes, " + count.holes() + unit);
        swatch(out, x + 220, y, "url(#padding)", "gap");
        text(out, x + 252, y + 11, "ink", 11, "padding, " + count.padding() + unit);
        if (counts == null) return;
        text(out, LEFT, y + 40, "ink", 11, "used, times:");
        for (int level = 0; level < HEAT.length; level++) {
            int at = LEFT + 90 + level * 66;
            swatch(out, at, y + 29, HEAT[level], "edge");
            text(out, at + 30, y + 40, "faint", 10, counts.from(level));
        }
    }

    /** Neighbours differ most. */
    private static String colour(int member) {
        return MEMBERS[member % MEMBERS.length];
    }

    /** The colour that a member has in the picture: with heat that of its hottest byte. */
    String colourOf(int member) {
        if (heat == null) return colour(member);
        int hottest = 0;
        for (int cell = 0; cell < density.cells(); cell++)
            if (density.owner(cell) == member) hottest = Math.max(hottest, level(cell));
        return HEAT[hottest];
    }

    /** The picture in a page, with a table of members beside or below it. */
    public String html() {
        StringBuilder rows = new StringBuilder();
        int i = 0;
        Heat counts = heat;
        for (Flat flat : density.members()) {
            rows.append("<tr><td class=\"c\" style=\"background:")
                    .append(colourOf(i++))
                    .append("\"></td><td>")
                    .append(escape(flat.path()))
                    .append("</td><td class=\"n\">")
                    .append(flat.offset())
                    .append("</td><td class=\"n\">")
                    .append(bytes(flat))
                    .append("</td><td class=\"n\">")
                    .append(flat.offset() / lineSize);
            if (counts != null)
                rows.append("</td><td class=\"n\">")
                        .append(Heat.brief(counts.hottest((int) flat.offset(), (int) flat.end())));
            rows.append("</td></tr>\n");
        }
        return """
                <!DOCTYPE html>
                <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>%s</title>
                <style>
                :root{color-scheme:light dark}
                body{font-family:ui-monospace,monospace;font-size:13px;margin:16px;background:#fff;color:#222}
                main{display:flex;flex-wrap:wrap;gap:24px;align-items:flex-start}
                svg{max-width:100%%;height:auto}
                .members{max-height:95vh;overflow:auto}
                table{border-collapse:collapse}td,th{padding:2px 10px;text-align:left}td.n,th.n{text-align:right}td.c{width:20px;border:1px solid #444}
                thead th{position:sticky;top:0;background:inherit}tr:nth-child(even) td:not(.c){background:#8882}
                @media (prefers-color-scheme:dark){body{background:#16181c;color:#eee}}
                </style></head><body><main>
                <div>%s</div>
                <div class="members"><table><thead><tr><th></th><th>member</th><th class="n">offset</th><th class="n">size</th><th class="n">line</th>%s</tr></thead><tbody>
                %s</tbody></table></div>
                </main></body></html>
                """.formatted(escape(density.title()), svg(), counts == null ? "" : "<th class=\"n\">used</th>", rows);
    }

    private static String escape(String text) {
        return text.replace("&", "&amp;")
                .replace("<", "&lt;")
                .replace(">", "&gt;")
                .replace("\"", "&quot;");
    }
}
