package dev.slate.lab.report;

import dev.slate.lab.Plot;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;

/** A plot as SVG that stands in a page: colours come from the page's style, each point says its values when pointed at. */
final class SvgPlot {
    private static final int WIDTH = 900;
    private static final int HEIGHT = 420;
    private static final int LEFT = 70;
    private static final int RIGHT = 290;
    private static final int TOP = 14;
    private static final int BOTTOM = 52;
    private static final int LEGEND_STEP = 17;
    /** Colours that people with any colour vision tell apart (Okabe and Ito); the next ones are the same, dashed, then dotted. */
    private static final int COLOURS = 7;

    private SvgPlot() {}

    static String of(String title, Plot.Axis xAxis, Plot.Axis yAxis, List<Plot.Series> series) {
        Scaling x = Scaling.over(all(series, Plot.Point::x), xAxis.logarithmic(), LEFT, WIDTH - RIGHT);
        double[] lows = all(series, Plot.Point::low);
        double[] highs = all(series, Plot.Point::high);
        double[] both = java.util.Arrays.copyOf(lows, lows.length + highs.length);
        System.arraycopy(highs, 0, both, lows.length, highs.length);
        int height = Math.max(HEIGHT, TOP + series.size() * LEGEND_STEP + 10);
        Scaling y = Scaling.over(both, yAxis.logarithmic(), HEIGHT - BOTTOM, TOP);

        StringBuilder svg = new StringBuilder();
        svg.append(String.format(
                Locale.ROOT,
                "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">%n",
                WIDTH,
                height,
                HtmlPage.escape(title)));
        axes(svg, xAxis.name(), yAxis.name(), x, y);
        for (int i = 0; i < series.size(); i++) {
            line(svg, series.get(i), i, x, y);
        }
        svg.append("</svg>\n");
        return svg.toString();
    }

    private static double[] all(List<Plot.Series> series, ToDoubleFunction<Plot.Point> value) {
        return series.stream()
                .flatMap(line -> line.points().stream())
                .mapToDouble(value)
                .toArray();
    }

    private static void axes(StringBuilder svg, String xName, String yName, Scaling x, Scaling y) {
        double bottom = HEIGHT - BOTTOM;
        for (double tick : y.ticks()) {
            svg.append(String.format(
                    Locale.ROOT,
                    "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
                            + "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>%n",
                    LEFT,
                    y.place(tick),
                    WIDTH - RIGHT,
                    y.place(tick),
                    LEFT - 8,
                    y.place(tick) + 4,
                    Scaling.text(tick)));
        }
        for (double tick : x.ticks()) {
            svg.append(String.format(
                    Locale.ROOT,
                    "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%.1f\"/>"
                            + "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>%n",
                    x.place(tick),
                    TOP,
                    x.place(tick),
                    bottom,
                    x.place(tick),
                    bottom + 18,
                    Scaling.text(tick)));
        }
        svg.append(String.format(
                Locale.ROOT,
                "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>%n",
                (x.from() + x.to()) / 2,
                HEIGHT - 10,
                HtmlPage.escape(xName)));
        svg.append(String.format(
                Locale.ROOT,
                "<text transform=\"translate(16 %.1f) rotate(-90)\" text-anchor=\"middle\">%s</text>%n",
                (y.from() + y.to()) / 2,
                HtmlPage.escape(yName)));
    }

    private static void line(StringBuilder svg, Plot.Series series, int number, Scaling x, Scaling y) {
        svg.append(String.format(Locale.ROOT, "<g class=\"c%d s%d\">%n", number % COLOURS, number / COLOURS % 3));
        StringBuilder path = new StringBuilder();
        for (Plot.Point point : series.points()) {
            path.append(String.format(
                    Locale.ROOT, "%s%.1f %.1f", path.isEmpty() ? "M" : "L", x.place(point.x()), y.place(point.y())));
        }
        svg.append("<path d=\"").append(path).append("\"/>\n");
        for (Plot.Point point : series.points()) {
            if (point.low() != point.high()) {
                svg.append(String.format(
                        Locale.ROOT,
                        "<line x1=\"%1$.1f\" y1=\"%2$.1f\" x2=\"%1$.1f\" y2=\"%3$.1f\"/>",
                        x.place(point.x()),
                        y.place(point.low()),
                        y.place(point.high())));
            }
            svg.append(String.format(
                    Locale.ROOT,
                    "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"><title>%s: %s, %s</title></circle>%n",
                    x.place(point.x()),
                    y.place(point.y()),
                    series.points().size() > 20 ? "1.5" : "3.5",
                    HtmlPage.escape(series.name()),
                    Values.digits(point.x()),
                    Values.digits(point.y())));
        }
        double at = TOP + 10 + number * LEGEND_STEP;
        svg.append(String.format(
                Locale.ROOT,
                "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\">%s</text></g>%n",
                WIDTH - RIGHT + 12,
                at - 4,
                WIDTH - RIGHT + 30,
                at - 4,
                WIDTH - RIGHT + 36,
                at,
                HtmlPage.escape(series.name())));
    }
}
