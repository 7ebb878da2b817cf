package dev.slate.lab.report;

import dev.slate.lab.Metric;
import dev.slate.lab.Sample;
import java.util.Locale;

/** Numbers as people read them. */
public final class Values {
    private Values() {}

    /** Median and, where the rounds differ, the spread: {@code 5.47 s ±2%}. */
    public static String text(Sample sample, Metric.Unit unit) {
        String median = number(sample.median(), unit);
        return sample.size() > 1 && sample.varies() ? median + spread(sample) : median;
    }

    /** A quotient: {@code 1.83x ±2%}. */
    static String ratio(Sample sample) {
        String median = digits(sample.median()) + "x";
        return sample.size() > 1 && sample.varies() ? median + spread(sample) : median;
    }

    private static String spread(Sample sample) {
        double spread = sample.spread() * 100;
        return " ±" + (spread < 1 ? "1" : String.format(Locale.ROOT, "%.0f", spread)) + "%";
    }

    static String number(double value, Metric.Unit unit) {
        return switch (unit) {
            case SECONDS -> seconds(value);
            case NANOSECONDS -> nanoseconds(value);
            case BYTES, COUNT -> count(value);
            case SHARE -> String.format(Locale.ROOT, value != 0 && value < 0.001 ? "%.3f%%" : "%.1f%%", value * 100);
        };
    }

    private static String seconds(double value) {
        if (value == 0 || value >= 1) {
            return digits(value) + " s";
        }
        return value >= 1e-3 ? digits(value * 1e3) + " ms" : digits(value * 1e6) + " µs";
    }

    private static String nanoseconds(double value) {
        if (value < 10_000) {
            return digits(value) + " ns";
        }
        return value < 10_000_000 ? digits(value / 1e3) + " µs" : digits(value / 1e6) + " ms";
    }

    /** A whole number with its thousands apart, else three digits that count. */
    private static String count(double value) {
        return value == Math.rint(value) || Math.abs(value) >= 1000
                ? String.format(Locale.ROOT, "%,.0f", value)
                : digits(value);
    }

    /** Three digits that count, never an exponent. */
    public static String digits(double value) {
        double size = Math.abs(value);
        if (size < 0.0005) {
            return "0";
        }
        if (size >= 100) {
            return String.format(Locale.ROOT, "%,.0f", value);
        }
        if (size >= 10) {
            return String.format(Locale.ROOT, "%.1f", value);
        }
        return String.format(Locale.ROOT, size < 0.1 ? "%.3f" : "%.2f", value);
    }
}
