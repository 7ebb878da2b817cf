package dev.slate.conformance;

import java.time.Duration;
import java.util.List;

/**
 * One line of a suite: a program with its arguments, and the time it may take.
 *
 * @param program the file name of the program in the suite's folder
 * @param arguments its arguments
 * @param limit the time after which it is killed and counted as failed
 */
public record Row(String program, List<String> arguments, Duration limit) {
    public Row {
        arguments = List.copyOf(arguments);
    }

    /** The command line; rows are known by it. */
    public String name() {
        return arguments.isEmpty() ? program : program + " " + String.join(" ", arguments);
    }
}
