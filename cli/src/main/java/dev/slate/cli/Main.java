package dev.slate.cli;

import dev.slate.cli.layout.LayoutCommand;
import dev.slate.cli.option.HelpOption;
import java.nio.file.Path;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/**
 * The commands of {@code slate} that are written in Java. The shell script {@code slate} starts this class with the system
 * property {@code slate.home}, and itself serves the commands that need no JVM ({@code run}, {@code doctor} and others).
 */
@Command(
        name = "slate",
        description = "KVM in user space.",
        subcommands = {
            ConformanceCommand.class,
            KnobsCommand.class,
            LabCommand.class,
            LayoutCommand.class,
            StatCommand.class
        })
public final class Main {
    /** Exit status of a run that found something wrong. */
    static final int FOUND_DIFFERENCES = 1;

    /** Exit status of a command line that could not be understood. */
    static final int USAGE = 2;

    /** Exit status when something outside, such as a compiler or a file, kept the command from its work. */
    static final int UNABLE = 3;

    private Main() {}

    /** Runs one command and ends the JVM with its exit status. */
    public static void main(String[] arguments) {
        System.exit(commandLine().execute(arguments));
    }

    static CommandLine commandLine() {
        return HelpOption.addTo(new CommandLine(new Main()))
                .setExecutionExceptionHandler((exception, command, parsed) -> {
                    if (exception instanceof java.io.IOException || exception instanceof UserException) {
                        command.getErr().println("slate: " + Wording.of(exception));
                        return UNABLE;
                    }
                    throw exception;
                })
                .setParameterExceptionHandler((exception, arguments) -> {
                    CommandLine command = exception.getCommandLine();
                    command.getErr().println("slate: " + Wording.of(exception));
                    command.getErr()
                            .println("       `" + command.getCommandSpec().qualifiedName() + " --help` says more.");
                    return USAGE;
                })
                .setExitCodeExceptionMapper(
                        exception -> exception instanceof CommandLine.ParameterException ? USAGE : UNABLE);
    }

    /** The root of Slate's tree. */
    static Path home() {
        String home = System.getProperty("slate.home");
        if (home == null) {
            throw new UserException("the system property slate.home is not set; start me through the slate script");
        }
        return Path.of(home);
    }
}
