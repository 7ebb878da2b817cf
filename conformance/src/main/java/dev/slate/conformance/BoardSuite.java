package dev.slate.conformance;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/** A suite of Slate's tree that a board is made of: where its files lie, and how what it runs is made ready. */
public sealed interface BoardSuite permits Selftests, Machines {
    /** The word by which commands and files know it. */
    String name();

    /** Of the board as a page: the heading, and what it is about. */
    String heading();

    /** The root of Slate's tree. */
    Path home();

    /** The rows. */
    default Path suite() {
        return home().resolve("conformance/suites/" + name() + ".suite");
    }

    /** What each row is expected to give. */
    default Path expectations() {
        return home().resolve("conformance/suites/" + name() + ".expected");
    }

    /** The folder of the programs or of the machines' parts. */
    Path programs();

    /** The folder of the logs. */
    default Path logs() {
        return home().resolve("build/" + name() + "/log");
    }

    /**
     * Builds or fetches what the rows need and is not there.
     *
     * @param rows the rows that will run
     * @param messages where progress goes
     * @return what can't be had, and why: rows that need it are skipped. Nothing when none can run; that has been explained.
     */
    Optional<Map<String, String>> prepare(Suite rows, PrintStream messages) throws IOException, InterruptedException;
}
