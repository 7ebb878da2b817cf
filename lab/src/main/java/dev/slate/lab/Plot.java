package dev.slate.lab;

import java.util.List;
import java.util.function.Function;

/**
 * A picture of a report.
 *
 * @param title above it
 * @param x the horizontal axis
 * @param y the vertical axis
 * @param series computed from what was measured; cases without a value are left out
 */
public record Plot(String title, Axis x, Axis y, Function<Results, List<Series>> series) {
    /** An axis: its name with unit, and whether it is logarithmic. */
    public record Axis(String name, boolean logarithmic) {}

    /** A line with its points, ascending in x. */
    public record Series(String name, List<Point> points) {
        public Series {
            points = List.copyOf(points);
        }
    }

    /** A point; {@code low} and {@code high} are the ends of its spread and may both be {@code y}. */
    public record Point(double x, double y, double low, double high) {}
}
