package dev.slate.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import picocli.AutoComplete;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;

/**
 * Writes what a distribution installs beside the program: the manual page and the completions of bash and zsh. Commands that the script
 * serves are told by their help texts; the others tell themselves.
 *
 * <p>Arguments: a folder of NAME.txt files, each the help of one command of the script; the version; the folder to write to.
 */
public final class Manual {
    /** An option at the start of a line of help, with its other names, and a parameter in capitals. */
    private static final Pattern OPTION_LINE = Pattern.compile("^  (-[-a-z, ]*[a-z])( [A-Z][A-Z=]*)?( |$)");

    private static final Pattern OPTION = Pattern.compile("--?[a-z][-a-z]*");

    private Manual() {}

    /** Writes the files below the folder, whose parts are there. */
    public static void main(String[] arguments) throws IOException {
        Path helps = Path.of(arguments[0]);
        Path share = Path.of(arguments[2]);
        CommandLine slate = commandLine(helps);
        String bash = AutoComplete.bash("slate", slate);
        Files.writeString(share.resolve("bash-completion/completions/slate"), bash);
        Files.writeString(share.resolve("zsh/site-functions/_slate"), zsh(bash));
        Files.writeString(share.resolve("man/man1/slate.1"), page(slate, helps, arguments[1]));
    }

    /** All commands of a distribution. */
    static CommandLine commandLine(Path helps) throws IOException {
        CommandLine slate = Main.commandLine();
        CommandSpec all = slate.getCommandSpec();
        all.removeSubcommand("conformance"); // works in a source tree alone
        for (Path help : files(helps)) {
            all.addSubcommand(name(help), spec(Files.readString(help)));
        }
        all.addSubcommand("help", CommandSpec.create());
        all.addOption(OptionSpec.builder("--version").build());
        return slate;
    }

    private static CommandSpec spec(String help) {
        CommandSpec spec = CommandSpec.create();
        for (String line : help.lines().toList()) {
            Matcher matcher = OPTION_LINE.matcher(line);
            if (matcher.find()) {
                String[] names = OPTION.matcher(matcher.group(1))
                        .results()
                        .map(result -> result.group())
                        .filter(name -> spec.findOption(name) == null)
                        .toArray(String[]::new);
                // What is joined by commas may be one option's names or options that another command explains: alike to
                // a shell.
                for (String name : names) {
                    spec.addOption(OptionSpec.builder(name)
                            .type(matcher.group(2) == null ? boolean.class : String.class)
                            .build());
                }
            }
        }
        spec.addPositional(CommandLine.Model.PositionalParamSpec.builder()
                .type(Path.class)
                .arity("0..*")
                .build());
        return spec;
    }

    private static List<Path> files(Path helps) throws IOException {
        try (Stream<Path> files = Files.list(helps)) {
            return files.sorted().toList();
        }
    }

    private static String name(Path help) {
        return help.getFileName().toString().replace(".txt", "");
    }

    /** zsh calls the file as a function; its own bashcompinit runs bash's. */
    private static String zsh(String bash) {
        return "#compdef slate\n" + bash + "\n_bash_complete -o default -F _complete_slate\n";
    }

    /** The page slate(1): the commands, each with its help as it is printed. */
    static String page(CommandLine slate, Path helps, String version) throws IOException {
        StringBuilder page = new StringBuilder();
        page.append(".TH SLATE 1 \"\" \"slate ").append(version).append("\" \"Slate\"\n");
        page.append(".SH NAME\nslate \\- KVM in user space\n");
        page.append(".SH SYNOPSIS\n.B slate\n.I COMMAND\n[\\fIOPTIONS\\fR]\n");
        page.append(
                ".SH DESCRIPTION\nAn unmodified KVM client runs on Slate without /dev/kvm, a kernel module or root.\n");
        page.append("Its first use of /dev/kvm prints a line that says that this is Slate, and in which mode.\n");
        for (Path help : files(helps)) {
            section(page, name(help), Files.readString(help));
        }
        // Those that tell themselves have a class.
        slate.getSubcommands().forEach((name, command) -> {
            if (!(command.getCommandSpec().userObject() instanceof CommandSpec)
                    && command.getCommandSpec().userObject() != null) {
                sections(page, name, command);
            }
        });
        page.append(".SH ENVIRONMENT\n.TP\n.B SLATE_SET\nknobs as of \\-\\-set, one a line\n");
        page.append(".TP\n.B SLATE_QUIET\nwhen set, as \\-\\-quiet\n");
        return page.toString();
    }

    private static void sections(StringBuilder page, String name, CommandLine command) {
        section(page, name, command.getUsageMessage(CommandLine.Help.Ansi.OFF));
        command.getSubcommands().forEach((below, child) -> sections(page, name + " " + below, child));
    }

    private static void section(StringBuilder page, String name, String help) {
        page.append(".SH SLATE ")
                .append(name.toUpperCase(java.util.Locale.ROOT))
                .append("\n.nf\n");
        help.lines().forEach(line -> page.append(roff(line)).append('\n'));
        page.append(".fi\n");
    }

    /** A line that roff takes as it is: no escapes, no requests, minus signs that can be copied. */
    static String roff(String line) {
        String escaped = line.replace("\\", "\\e").replace("-", "\\-");
        return escaped.startsWith(".") || escaped.startsWith("'") ? "\\&" + escaped : escaped;
    }
}
