package dev.slate.lab.report;

import dev.slate.lab.Plot;
import java.util.List;

/** A page that needs nothing else: headings, tables, plots and notes, one below the other. One thread builds it. */
public final class HtmlPage {
    private static final String STYLE = """
            :root { color-scheme: light dark; --paper: #fff; --ink: #1d2330; --faint: #667; --rule: #dde1e8; --stripe: #f5f7fa }
            @media (prefers-color-scheme: dark) { :root { --paper: #14171c; --ink: #e3e7ee; --faint: #98a; --rule: #333a45;
              --stripe: #1b1f26 } }
            * { box-sizing: border-box }
            body { margin: 0 auto; max-width: 96rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
              font: 15px/1.5 system-ui, sans-serif }
            h1 { font-size: 1.6rem; margin: 0 0 .25rem } h2 { font-size: 1.25rem; margin: 3rem 0 .25rem; padding-top: 1rem;
              border-top: 2px solid var(--rule) } h3 { font-size: 1rem; margin: 1.75rem 0 .5rem }
            p { margin: .25rem 0 .75rem } .faint, li { color: var(--faint) } code { font: 13px ui-monospace, monospace }
            .wide { overflow-x: auto }
            table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
            th, td { padding: .3rem .55rem; text-align: right; border-bottom: 1px solid var(--rule) }
            td { white-space: nowrap } td.label { white-space: normal; min-width: 9rem }
            th { font-weight: 600; vertical-align: bottom } .label { text-align: left }
            tbody tr:nth-child(even) { background: var(--stripe) }
            svg { width: 100%; max-width: 64rem; height: auto; font: 12px system-ui, sans-serif } svg text { fill: var(--ink) }
            svg .grid { stroke: var(--rule) } svg g { stroke: var(--line); stroke-width: 1.7; fill: none }
            svg g circle { fill: var(--line); stroke: none } svg g text { stroke: none }
            .c0 { --line: #0072b2 } .c1 { --line: #d55e00 } .c2 { --line: #009e73 } .c3 { --line: #cc79a7 }
            .c4 { --line: #e69f00 } .c5 { --line: #56b4e9 } .c6 { --line: #808890 }
            svg .s1 path, svg .s1 > line:last-of-type { stroke-dasharray: 7 3 }
            svg .s2 path, svg .s2 > line:last-of-type { stroke-dasharray: 2 3 }
            """;

    private final StringBuilder page = new StringBuilder();

    /**
     * Begins a page.
     *
     * @param title the window's
     * @param heading the page's
     * @param machine where and how it was made
     */
    public HtmlPage(String title, String heading, Machine machine) {
        page.append("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        page.append("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        page.append("<title>")
                .append(escape(title))
                .append("</title>\n<style>\n")
                .append(STYLE)
                .append("</style>\n</head>\n<body>\n<h1>")
                .append(escape(heading))
                .append("</h1>\n<p class=\"faint\"><code>")
                .append(escape(machine.command()))
                .append("</code><br>")
                .append(escape(machine.text()))
                .append("; ")
                .append(escape(machine.date()))
                .append("</p>\n");
    }

    /** A heading, and below it a text with an aside. */
    public void section(String heading, String text, String aside) {
        page.append("<h2>").append(escape(heading)).append("</h2>\n<p>");
        page.append(escape(text)).append(" <span class=\"faint\">").append(escape(aside));
        page.append("</span></p>\n");
    }

    /** A table below its title. */
    public void table(Grid grid) {
        page.append("<h3>").append(escape(grid.title())).append("</h3>\n<div class=\"wide\"><table>\n<thead><tr>");
        for (int i = 0; i < grid.headings().size(); i++) {
            cell("th", i < grid.labels(), grid.headings().get(i));
        }
        page.append("</tr></thead>\n<tbody>\n");
        for (List<String> line : grid.cells()) {
            page.append("<tr>");
            for (int i = 0; i < line.size(); i++) {
                cell("td", i < grid.labels(), line.get(i));
            }
            page.append("</tr>\n");
        }
        page.append("</tbody></table></div>\n");
    }

    private void cell(String tag, boolean label, String text) {
        page.append('<').append(tag).append(label ? " class=\"label\">" : ">");
        page.append(escape(text)).append("</").append(tag).append('>');
    }

    /** A plot below its title; nothing where no series has been measured. */
    public void plot(String title, Plot.Axis x, Plot.Axis y, List<Plot.Series> series) {
        if (!series.isEmpty()) {
            page.append("<h3>").append(escape(title)).append("</h3>\n<div class=\"wide\">\n");
            page.append(SvgPlot.of(title, x, y, series)).append("</div>\n");
        }
    }

    /** What else is to be said, a line each; nothing where there is nothing. */
    public void notes(List<String> notes) {
        if (notes.isEmpty()) {
            return;
        }
        page.append("<ul>\n");
        for (String note : notes) {
            page.append("<li>").append(escape(note)).append("</li>\n");
        }
        page.append("</ul>\n");
    }

    /** The whole page. */
    public String text() {
        return page + "</body>\n</html>\n";
    }

    static String escape(String text) {
        return text.replace("&", "&amp;")
                .replace("<", "&lt;")
                .replace(">", "&gt;")
                .replace("\"", "&quot;");
    }
}
