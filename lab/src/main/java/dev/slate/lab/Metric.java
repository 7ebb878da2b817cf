package dev.slate.lab;

/**
 * What is measured.
 *
 * @param name as it stands above a column
 * @param unit of the values
 */
public record Metric(String name, Unit unit) {
    /** Units; the base unit is what values are given in, and how they are shown follows from it. */
    public enum Unit {
        /** Shown as s, ms or µs by size. */
        SECONDS("s"),
        NANOSECONDS("ns"),
        BYTES("B"),
        /** A number of things, or of things per operation. */
        COUNT(""),
        /** A share between 0 and 1, shown in per cent. */
        SHARE("%");

        private final String symbol;

        Unit(String symbol) {
            this.symbol = symbol;
        }

        /** For axes and JSON; empty for counts. */
        public String symbol() {
            return symbol;
        }
    }

    public static Metric seconds(String name) {
        return new Metric(name, Unit.SECONDS);
    }

    public static Metric nanoseconds(String name) {
        return new Metric(name, Unit.NANOSECONDS);
    }

    public static Metric bytes(String name) {
        return new Metric(name, Unit.BYTES);
    }

    public static Metric count(String name) {
        return new Metric(name, Unit.COUNT);
    }

    public static Metric share(String name) {
        return new Metric(name, Unit.SHARE);
    }
}
