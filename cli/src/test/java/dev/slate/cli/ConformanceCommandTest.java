package dev.slate.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

final class ConformanceCommandTest {
    @BeforeAll
    static void theScriptSays() {
        System.setProperty("slate.home", Shell.root().toString());
    }

    private static String again(String... arguments) {
        CommandLine.ParseResult parsed = Main.commandLine().parseArgs(arguments);
        while (parsed.hasSubcommand()) {
            parsed = parsed.subcommand();
        }
        return ((BoardCommand) parsed.commandSpec().userObject()).commandLine();
    }

    @Test
    void aFilterThatIsNoPatternIsSaid() {
        StringWriter said = new StringWriter();
        int status = Main.commandLine()
                .setErr(new PrintWriter(said, true))
                .execute("conformance", "selftests", "--filter", "[x", "--list");
        assertThat(status).isEqualTo(2);
        assertThat(said.toString()).startsWith("slate: --filter [x: is no pattern: ");
    }

    @Test
    void theCommandThatABoardNamesGivesThatBoard() {
        assertThat(again("conformance", "selftests", "--static", "--row", "a b", "--set", "tdp=off", "--json", "x"))
                .isEqualTo("./slate conformance selftests --static --row 'a b' --set tdp=off");
        assertThat(again("conformance", "selftests", "--filter", "x*", "--repeat", "3"))
                .isEqualTo("./slate conformance selftests --filter 'x*' --repeat 3");
    }
}
