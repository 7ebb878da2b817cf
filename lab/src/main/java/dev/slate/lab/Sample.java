package dev.slate.lab;

import java.util.Arrays;

/**
 * The values of one metric of one case, one for each round.
 *
 * <p>Immutable.
 */
public final class Sample {
    private final double[] sorted;

    /** @param values at least one */
    public Sample(double... values) {
        if (values.length == 0) {
            throw new IllegalArgumentException("a sample has at least one value");
        }
        sorted = values.clone();
        Arrays.sort(sorted);
    }

    public int size() {
        return sorted.length;
    }

    public double median() {
        return quantile(0.5);
    }

    /** Linear between the two nearest values. @param q 0 to 1 */
    public double quantile(double q) {
        double at = q * (sorted.length - 1);
        int low = (int) at;
        int high = Math.min(low + 1, sorted.length - 1);
        return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
    }

    public double min() {
        return sorted[0];
    }

    public double max() {
        return sorted[sorted.length - 1];
    }

    /** Half the distance between the quartiles, as a share of the median; 0 where all values are the same. */
    public double spread() {
        double half = (quantile(0.75) - quantile(0.25)) / 2;
        return half == 0 ? 0 : half / Math.abs(median());
    }

    /** Whether there is anything to say about spread. */
    public boolean varies() {
        return sorted[0] != sorted[sorted.length - 1];
    }

    /** In ascending order. */
    public double[] values() {
        return sorted.clone();
    }
}
