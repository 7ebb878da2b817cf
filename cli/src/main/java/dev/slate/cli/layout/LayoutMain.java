package dev.slate.cli.layout;

import dev.slate.cli.option.HelpOption;
import java.util.Arrays;
import picocli.CommandLine;

/**
 * Starts {@code slate layout} without the other commands of slate: reading all their options would take longer than listing a kernel's
 * types.
 */
public final class LayoutMain {
    private LayoutMain() {}

    /** Runs one layout command and ends the JVM with its exit status. */
    public static void main(String[] arguments) {
        System.exit(run(arguments));
    }

    /** As the user says it. */
    private static String name(String command) {
        return command.equals("heat") ? "slate heat report" : "slate layout " + command;
    }

    static int run(String... arguments) {
        Object command = switch (arguments.length == 0 ? "" : arguments[0]) {
            case "show" -> new ShowCommand();
            case "diff" -> new DiffCommand();
            case "density" -> new DensityCommand();
            case "pack" -> new PackCommand();
            case "size" -> new SizeCommand();
            case "bloat" -> new BloatCommand();
            case "check" -> new CheckCommand();
            case "heat" -> new HeatCommand();
            default -> new LayoutCommand();
        };
        boolean one = !(command instanceof LayoutCommand);
        return HelpOption.addTo(new CommandLine(command))
                .setCommandName(one ? name(arguments[0]) : "slate layout")
                .setParameterExceptionHandler((exception, given) -> {
                    CommandLine line = exception.getCommandLine();
                    line.getErr().println("slate: " + exception.getMessage());
                    line.getErr().println("       `" + line.getCommandSpec().qualifiedName() + " --help` says more.");
                    return LayoutCommand.USAGE;
                })
                .execute(one ? Arrays.copyOfRange(arguments, 1, arguments.length) : arguments);
    }
}
