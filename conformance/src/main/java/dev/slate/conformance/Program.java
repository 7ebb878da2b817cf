package dev.slate.conformance;

import java.util.List;

/**
 * What rows run: a program that was built, or a whole machine of parts that were obtained.
 *
 * @param name what rows call it
 * @param command a machine's command line, in which {@code {PART}} stands for the path of a part; empty for a program that was built and lies
 *     under its name in the suite's folder
 * @param needs the parts that must be there; where one can't be had the row is skipped
 * @param shows texts that must each be seen in a line of what it prints
 * @param status the exit status of a pass
 * @param ends whether it ends by itself; one that does not is ended, and passes, when all was shown
 */
public record Program(
        String name, List<String> command, List<String> needs, List<String> shows, int status, boolean ends) {
    public Program {
        command = List.copyOf(command);
        needs = List.copyOf(needs);
        shows = List.copyOf(shows);
        if (!ends && shows.isEmpty()) {
            throw new IllegalArgumentException("what neither ends nor shows anything can't be judged");
        }
    }

    /** A kselftest program in the suite's folder. */
    public static Program built(String name) {
        return new Program(name, List.of(), List.of(), List.of(), 0, true);
    }

    /** Whether it is a machine, and no built program. */
    public boolean machine() {
        return !command.isEmpty();
    }
}
