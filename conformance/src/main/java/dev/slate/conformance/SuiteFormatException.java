package dev.slate.conformance;

import java.io.Serial;

/** A file of the suite does not have the form that it should have; the message says where and what to do. */
public final class SuiteFormatException extends RuntimeException {
    @Serial
    private static final long serialVersionUID = 1L;

    SuiteFormatException(String message) {
        super(message);
    }
}
