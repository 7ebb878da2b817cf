package dev.slate.conformance;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * One line of a suite: a program with its arguments, the knobs that Slate runs it with, and the time it may take.
 *
 * @param knobs lines NAME=VALUE, as {@code slate run --set} takes them
 * @param program the file name of the program in the suite's folder
 * @param arguments its arguments
 * @param limit the time after which it is killed and counted as failed
 */
public record Row(List<String> knobs, String program, List<String> arguments, Duration limit) {
    public Row {
        knobs = List.copyOf(knobs);
        arguments = List.copyOf(arguments);
    }

    /** A row without knobs. */
    public Row(String program, List<String> arguments, Duration limit) {
        this(List.of(), program, arguments, limit);
    }

    /** The knobs and the command line, as the suite has them; rows are known by it. */
    public String name() {
        List<String> words = new ArrayList<>(knobs);
        words.add(program);
        words.addAll(arguments);
        return String.join(" ", words);
    }
}
