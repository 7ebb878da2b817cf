package dev.slate.lab.report;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * An axis of a plot: from values to places, with ticks at round values.
 *
 * @param low least value, above 0 when logarithmic
 * @param high greatest value, above low
 */
record Scaling(double low, double high, boolean logarithmic, double from, double to) {
    /** An axis that holds all values, ending at round ones, drawn between two places. */
    static Scaling over(double[] values, boolean logarithmic, double from, double to) {
        double low = Double.POSITIVE_INFINITY;
        double high = Double.NEGATIVE_INFINITY;
        for (double value : values) {
            if (!logarithmic || value > 0) {
                low = Math.min(low, value);
                high = Math.max(high, value);
            }
        }
        if (low > high) {
            low = 1;
            high = 10;
        }
        if (logarithmic) {
            low = Math.pow(10, Math.floor(Math.log10(low) + 1e-9));
            high = Math.pow(10, Math.ceil(Math.log10(high) - 1e-9));
            return new Scaling(low, high > low ? high : low * 10, true, from, to);
        }
        low = Math.min(low, 0);
        double step = step(high - low);
        return new Scaling(low, Math.max(Math.ceil(high / step), 1) * step, false, from, to);
    }

    private static double step(double span) {
        if (span <= 0) {
            return 1;
        }
        double power = Math.pow(10, Math.floor(Math.log10(span / 5)));
        double ratio = span / 5 / power;
        return power * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10);
    }

    double place(double value) {
        double share = logarithmic
                ? (Math.log10(Math.max(value, low)) - Math.log10(low)) / (Math.log10(high) - Math.log10(low))
                : (value - low) / (high - low);
        return from + share * (to - from);
    }

    List<Double> ticks() {
        List<Double> ticks = new ArrayList<>();
        if (logarithmic) {
            for (double tick = low; tick <= high * 1.001; tick *= 10) {
                ticks.add(tick);
            }
        } else {
            double step = step(high - low);
            for (int i = 0; low + i * step <= high + step / 1000; i++) {
                ticks.add(low + i * step);
            }
        }
        return ticks;
    }

    /** A tick's text: 1, 20, 5k, 2M, 0.5. */
    static String text(double value) {
        double size = Math.abs(value);
        if (size >= 1e6) {
            return trim(value / 1e6) + "M";
        }
        return size >= 1e3 ? trim(value / 1e3) + "k" : trim(value);
    }

    private static String trim(double value) {
        String text = String.format(Locale.ROOT, "%.3f", value);
        return text.replaceAll("\\.?0+$", "");
    }
}
