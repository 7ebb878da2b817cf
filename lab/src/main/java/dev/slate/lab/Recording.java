package dev.slate.lab;

import org.HdrHistogram.Histogram;

/** Where a trial puts what it has measured. */
public interface Recording {
    /** A value of this round. */
    void put(Case row, Metric metric, double value);

    /** A count of this round. */
    default void put(Case row, Metric metric, long count) {
        put(row, metric, (double) count);
    }

    /** Adds a distribution to that of the rounds before. */
    void add(Case row, Histogram histogram);
}
