package dev.slate.cli.option;

import picocli.CommandLine;
import picocli.CommandLine.Option;

/** {@code --help}, which every command has. */
public final class HelpOption {
    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "Show this help.")
    @SuppressWarnings("UnusedVariable") // picocli looks at it
    private boolean help;

    private HelpOption() {}

    /** Gives a command and all below it the option. */
    public static CommandLine addTo(CommandLine command) {
        command.addMixin("help", new HelpOption());
        command.getSubcommands().values().forEach(HelpOption::addTo);
        return command;
    }
}
