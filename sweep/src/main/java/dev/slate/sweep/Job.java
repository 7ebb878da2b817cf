package dev.slate.sweep;

import java.io.Serializable;
import java.util.List;
import java.util.Map;

/**
 * One process to run, and what it is known by. Of two jobs of a sweep no two have the same {@link #id}.
 *
 * @param template the command as the file has it
 * @param title the same, filled in
 * @param knobs what {@code slate run --set} is given, in the file's order
 * @param variables what the command was filled in with
 * @param repeat from 1
 * @param command words; {@code {slate}} stands for the slate script of the worker, {@code {work}} for a folder that only this job has
 * @param seconds after which it is killed
 * @param timed whether nothing else of any sweep may run on its machine
 * @param status the exit status that passes
 * @param report file in {@code {work}} that the command writes, or the empty string
 * @param measures names, and regular expressions whose first group is a number of the output
 */
record Job(
        String template,
        String title,
        Map<String, String> knobs,
        Map<String, String> variables,
        int repeat,
        List<String> command,
        long seconds,
        boolean timed,
        int status,
        String report,
        Map<String, String> measures)
        implements Serializable {
    /** What it is known by in the results: the same for the same job of the same file, however often that is read. */
    String id() {
        return row() + " #" + repeat;
    }

    /** What its repeats have in common. */
    String row() {
        StringBuilder text = new StringBuilder(title);
        knobs.forEach((name, value) -> text.append(' ').append(name).append('=').append(value));
        return text.toString();
    }
}
