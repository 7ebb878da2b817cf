package dev.slate.lab;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;

/** What has been measured so far. Thread-safe: an interrupted run is reported while its last trial still goes on. */
public final class Results {
    private record Key(Case row, Metric metric) {}

    private final Map<Key, TreeMap<Integer, Double>> values = new LinkedHashMap<>();
    private final Map<Case, Histogram> histograms = new LinkedHashMap<>();

    /** Nothing measured yet. */
    public Results() {}

    /** Where a round's trials record to. */
    public Recording round(int round) {
        return new Recording() {
            @Override
            public void put(Case row, Metric metric, double value) {
                Results.this.put(round, row, metric, value);
            }

            @Override
            public void add(Case row, Histogram histogram) {
                Results.this.add(row, histogram);
            }
        };
    }

    private synchronized void put(int round, Case row, Metric metric, double value) {
        values.computeIfAbsent(new Key(row, metric), key -> new TreeMap<>()).put(round, value);
    }

    private synchronized void add(Case row, Histogram histogram) {
        Histogram sum = histograms.get(row);
        if (sum == null) {
            histograms.put(row, histogram.copy());
        } else {
            sum.add(histogram);
        }
    }

    /** The values of a metric; null: none was measured. */
    public synchronized @Nullable Sample sample(Case row, Metric metric) {
        TreeMap<Integer, Double> byRound = values.get(new Key(row, metric));
        return byRound == null
                ? null
                : new Sample(byRound.values().stream()
                        .mapToDouble(Double::doubleValue)
                        .toArray());
    }

    /** The median of a metric, or NaN: none was measured. */
    public double median(Case row, Metric metric) {
        Sample sample = sample(row, metric);
        return sample == null ? Double.NaN : sample.median();
    }

    /**
     * The quotient of the same metric of two cases, taken round by round, since both ran in each round beside each other; null where no
     * round has both.
     */
    public synchronized @Nullable Sample ratio(Case row, Case to, Metric metric) {
        TreeMap<Integer, Double> above = values.get(new Key(row, metric));
        TreeMap<Integer, Double> below = values.get(new Key(to, metric));
        if (above == null || below == null) {
            return null;
        }
        double[] quotients = above.entrySet().stream()
                .filter(entry -> below.getOrDefault(entry.getKey(), 0.0) != 0)
                .mapToDouble(entry -> entry.getValue() / below.getOrDefault(entry.getKey(), 0.0))
                .toArray();
        return quotients.length == 0 ? null : new Sample(quotients);
    }

    /** The distribution over all rounds, or null. A copy. */
    public synchronized @Nullable Histogram histogram(Case row) {
        Histogram sum = histograms.get(row);
        return sum == null ? null : sum.copy();
    }
}
