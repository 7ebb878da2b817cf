package dev.slate.cli;

import java.io.Serial;

/** Something that the user can mend; the message says what was wrong and what to do. */
final class UserException extends RuntimeException {
    @Serial
    private static final long serialVersionUID = 1L;

    UserException(String message) {
        super(message);
    }
}
