package dev.slate.sweep;

import java.io.Serial;

/** What a person can mend; the message says what was wrong, where and what to do. */
final class SweepException extends RuntimeException {
    @Serial
    private static final long serialVersionUID = 1L;

    SweepException(String message) {
        super(message);
    }
}
