package dev.slate.cli;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import picocli.CommandLine;

final class ConformanceCommandTest {
    private static String again(String... arguments) {
        CommandLine.ParseResult parsed = Main.commandLine().parseArgs(arguments);
        while (parsed.hasSubcommand()) {
            parsed = parsed.subcommand();
        }
        return ((BoardCommand) parsed.commandSpec().userObject()).commandLine();
    }

    @Test
    void theCommandThatABoardNamesGivesThatBoard() {
        assertThat(again("conformance", "selftests", "--static", "--row", "a b", "--set", "tdp=off", "--json", "x"))
                .isEqualTo("./slate conformance selftests --static --row 'a b' --set tdp=off");
        assertThat(again("conformance", "selftests", "--filter", "x*", "--repeat", "3"))
                .isEqualTo("./slate conformance selftests --filter 'x*' --repeat 3");
    }
}
