package dev.slate.conformance;

import java.time.Duration;

/**
 * What became of a row.
 *
 * @param row the row
 * @param outcome pass, skip or fail
 * @param reason why it skipped or failed, in one line; empty for a pass
 * @param time wall-clock time, of the slowest run when it ran more than once
 * @param counters what Slate served, added up over all runs
 */
public record Result(Row row, Outcome outcome, String reason, Duration time, Counters counters) {

    /** The result of running the same row once more: the worse outcome counts, and a difference is said. */
    Result merge(Result next) {
        boolean nextIsWorse = next.outcome.compareTo(outcome) > 0;
        Result worse = nextIsWorse ? next : this;
        String text = worse.reason;
        if (outcome != next.outcome && !text.startsWith("not always: ")) {
            text = "not always: " + text;
        }
        Duration longer = time.compareTo(next.time) >= 0 ? time : next.time;
        return new Result(row, worse.outcome, text, longer, counters.plus(next.counters));
    }
}
