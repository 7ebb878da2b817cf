package dev.slate.conformance;

import java.util.Locale;

/** What became of a row, from best to worst. */
public enum Outcome {
    PASS,
    SKIP,
    FAIL;

    /** The word in boards and files. */
    public String word() {
        return name().toLowerCase(Locale.ROOT);
    }

    static Outcome of(String word) {
        for (Outcome outcome : values()) {
            if (outcome.word().equals(word)) {
                return outcome;
            }
        }
        throw new IllegalArgumentException("'" + word + "' is none of pass, skip, fail");
    }
}
