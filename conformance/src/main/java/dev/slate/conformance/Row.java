package dev.slate.conformance;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * One line of a suite: a program with its arguments, the knobs that Slate runs it with, and the time it may take.
 *
 * @param knobs lines NAME=VALUE, as {@code slate run --set} takes them
 * @param program what is run
 * @param arguments its arguments
 * @param limit the time after which it is killed and counted as failed
 * @param times how often it runs, one after the other; it must pass each time
 * @param extended whether it runs only when it is asked for, because it takes long
 */
public record Row(
        List<String> knobs, Program program, List<String> arguments, Duration limit, int times, boolean extended) {
    public Row {
        knobs = List.copyOf(knobs);
        arguments = List.copyOf(arguments);
    }

    /** A row of a built program. */
    public Row(List<String> knobs, String program, List<String> arguments, Duration limit) {
        this(knobs, Program.built(program), arguments, limit, 1, false);
    }

    /** A row of a built program without knobs. */
    public Row(String program, List<String> arguments, Duration limit) {
        this(List.of(), program, arguments, limit);
    }

    /** How often it runs if not once, the knobs and the command line, as the suite has them; rows are known by it. */
    public String name() {
        List<String> words = new ArrayList<>();
        if (times > 1) {
            words.add("x" + times);
        }
        words.addAll(knobs);
        words.add(program.name());
        words.addAll(arguments);
        return String.join(" ", words);
    }
}
