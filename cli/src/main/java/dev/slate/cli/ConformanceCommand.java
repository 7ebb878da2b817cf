package dev.slate.cli;

import dev.slate.conformance.BoardSuite;
import dev.slate.conformance.Machines;
import dev.slate.conformance.Selftests;
import dev.slate.conformance.Suite;
import java.nio.file.Path;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Runs public test suites on Slate. */
@Command(
        name = "conformance",
        description = "Runs a public test suite on Slate and compares the board with the expected one.",
        footer = {"", "example: slate conformance selftests --filter 'dirty_log*'"},
        subcommands = {
            ConformanceCommand.SelftestsCommand.class,
            ConformanceCommand.MachinesCommand.class,
            AnswersCommand.class
        },
        synopsisSubcommandLabel = "SUITE")
final class ConformanceCommand implements Runnable {
    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Override
    public void run() {
        throw new CommandLine.ParameterException(
                spec.commandLine(), "say which: slate conformance selftests, machines or answers");
    }

    /** The KVM selftests of linux-source-6.1. */
    @Command(
            name = "selftests",
            description = {
                "Builds the KVM selftests of Debian's linux-source-6.1 unmodified, runs each on Slate under a time limit, prints a"
                        + " board and compares it with the expected one.",
                "",
                "Exit status: 0 when all came out as expected, 1 when something differs, 2 for a wrong option, 3 when the"
                        + " suite could not be run.",
                ""
            },
            footer = {"", "example: slate conformance selftests --filter 'dirty_log*' --json board.json"},
            sortOptions = false)
    static final class SelftestsCommand extends BoardCommand {
        @Option(
                names = "--static",
                description = "Link them statically: Slate's loader brings them in. The board is the same.")
        private boolean linkedStatically;

        @Override
        BoardSuite suite(Path home) {
            return new Selftests(home, linkedStatically);
        }

        @Override
        String ownOptions() {
            return linkedStatically ? " --static" : "";
        }
    }

    /** VMMs and operating systems. */
    @Command(
            name = "machines",
            description = {
                "Runs whole machines on Slate, each to what its console must show and under a time limit: QEMU with Debian's kernels, microsandbox."
                        + " Fetches what they are made of from Debian and npm into build/machines/parts, prints a board and compares it with"
                        + " the expected one. A machine of which a part can't be had is skipped, and the reason is said.",
                "",
                "Exit status: 0 when all came out as expected, 1 when something differs, 2 for a wrong option, 3 when the"
                        + " suite could not be run.",
                ""
            },
            footer = {"", "example: slate conformance machines --filter 'microvm*'"},
            sortOptions = false)
    static final class MachinesCommand extends BoardCommand {
        @Option(names = "--long", description = "Run the rows that take long, too; --filter finds them without it.")
        private boolean extended;

        @Override
        BoardSuite suite(Path home) {
            return new Machines(home);
        }

        @Override
        Suite unfiltered(Suite whole) {
            return extended ? whole : whole.withoutExtended();
        }
    }
}
