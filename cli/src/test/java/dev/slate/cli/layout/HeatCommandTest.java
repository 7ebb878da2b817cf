package dev.slate.cli.layout;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cli.Shell;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is made of a file of {@code slate heat}'s whose numbers are known: medians, another layout, an order for what is hot. */
final class HeatCommandTest {
    private static final String BEFORE = """
        struct inner { long a, b; };
        typedef struct { int x; } nameless; nameless n;
        struct t { int first; long pad[8]; long moved; struct inner in; int gone; long cold[16]; } t;
        """;
    private static final String AFTER = """
        struct inner { long b, a; };
        struct t { int first; int moved; long pad[8]; struct inner in; long cold[16]; } t;
        """;
    private static final String HEAT = """
        # slate heat 1
        type 232 3 t
        field 0 4 first
        field 8 64 pad
        field 72 8 moved
        field 80 16 in
        field 80 8 in.a
        field 88 8 in.b
        field 96 4 gone
        field 104 128 cold
        250 0-3  # 250 0, 0 0, first
        100 72-79  # 100 0, 0 0, moved
        exits 150 CPUID
        set 100 0.0.0-3:2/1 0.0.72-79:1/0 0.0.80-87:0/1
        set 50 0.0.0-3:1/0 0.0.96-99:0/1 0.1.0-3:1/0
        exits 20 HLT
        set 20 0.0.0-3:1/0
        """;

    @TempDir
    private Path folder;

    @BeforeEach
    void files() throws Exception {
        Files.writeString(folder.resolve("t.heat"), HEAT);
        for (String[] side : new String[][] {{"before", BEFORE}, {"after", AFTER}}) {
            Files.writeString(folder.resolve(side[0] + ".c"), side[1]);
            Shell.sh(folder, "cc -g -c " + side[0] + ".c -o " + side[0] + ".o");
        }
    }

    private Shell layout(String... arguments) throws Exception {
        return LayoutProgram.run(folder, "LayoutMain", "", arguments);
    }

    @Test
    void theTableHasTheMediansOfEachReasonThatHasEnoughExits() throws Exception {
        Shell ran = layout("heat", "t.heat");
        assertThat(ran.err()).isEmpty();
        assertThat(ran.out())
                .contains("t, 232 bytes, 4 lines, objects: 3")
                // Members read: 2 in a hundred exits, 1 in fifty; lines read: 2 and, of two objects, 2.
                .containsPattern("CPUID +150 +2 +2 +3 +2 +2 +2 +5\n")
                .doesNotContain("HLT");
        assertThat(layout("heat", "t.heat", "--least", "20").out()).containsPattern("HLT +20 +1 +0 +1 +1 +0 +1 +1\n");
        assertThat(layout("heat", "t.heat", "--json").out())
                .contains("\"reason\": \"CPUID\"", "\"lines\": 2", "\"accesses\": 5");
        assertThat(layout("heat", "t.heat", "--html", "t.html", "--from", "before.o")
                        .status())
                .isZero();
        assertThat(folder.resolve("t.html")).content().contains("<td>CPUID<td>150", "<svg ");
    }

    @Test
    void theSameAccessesLieInOtherLinesOfAnotherLayout() throws Exception {
        String want = "CPUID +150 exits +2 +2 +2 -> +1 +2 +2\n";
        assertThat(layout("heat", "t.heat", "--as", "before.o", "after.o").out())
                .containsPattern(want)
                .contains("  without a counterpart: gone\n");
        assertThat(layout("diff", "before.o", "after.o", "t", "--heat", "t.heat")
                        .out())
                .startsWith("struct t: 232 -> ")
                .containsPattern(want);
        assertThat(layout("diff", "before.o", "after.o", "--heat", "t.heat", "--json")
                        .out())
                .containsOnlyOnce("\"exits\": {")
                .containsPattern("\"lines\": 2,[\\s\\S]*\"after\": [\\s\\S]*\"lines_read\": 1,")
                .contains("\"gone\"");
    }

    @Test
    void anOrderIsProposedForWhatHalfOfTheExitsTouch() throws Exception {
        assertThat(layout("pack", "t", "before.o", "--hot", "t.heat").out())
                .contains("note: 3 hot members, 28 bytes: at least 1 cacheline")
                .containsPattern("CPUID +150 exits +2 +2 +2 -> +1 +1 +1\n");
        assertThat(layout("pack", "t", "before.o", "--hot", "t.heat", "--json").out())
                .contains("\"proposal\": {", "\"exits\": {")
                .containsPattern("\"lines\": 2,[\\s\\S]*\"after\": [\\s\\S]*\"lines\": 1,");
    }

    @Test
    void whatDoesNotFitIsSaid() throws Exception {
        assertThat(layout("density", "t", "before.o", "--heat", "t.heat").status())
                .isZero();
        assertThat(layout("density", "t", "after.o", "--heat", "t.heat").err())
                .contains("counted a t of 232 bytes, and this one has")
                .contains("slate heat report --as");
        assertThat(layout("density", "inner", "after.o", "--heat", "t.heat").err())
                .contains("has no counts for inner, but for t");
        assertThat(layout("heat", "t.heat", "--type", "u").err()).contains("has no counts for u, but for t");
        assertThat(layout("heat", "before.c").err()).contains("was not written by `slate heat`");
        Files.writeString(folder.resolve("bad"), "type 8 1 t\nexits 1 CPUID\nset 1 7.0.0-3:1/0\n");
        Shell bad = layout("heat", "bad");
        assertThat(bad.status()).isEqualTo(3);
        assertThat(bad.err()).contains("bad: line 3: \"set 1 7.0.0-3:1/0\" is no line of slate heat's");
        for (String place : new String[] {"0-9223372036854775806", "4-11", "3-0"}) {
            Files.writeString(folder.resolve("bad"), "type 8 1 t\nexits 1 CPUID\nset 1 0.0." + place + ":1/0\n");
            assertThat(layout("heat", "bad", "--least", "1").err()).contains("bad: line 3: \"set 1 0.0." + place);
        }
        Files.writeString(folder.resolve("n.heat"), "type 4 1 nameless\nfield 0 4 x\n7 0-3  # 7 0, 0 0, x\n");
        assertThat(layout("density", "nameless", "before.o", "--heat", "n.heat").out())
                .contains("| 9999");
        Files.writeString(folder.resolve("cold"), HEAT.replace("150", "99"));
        assertThat(layout("pack", "t", "before.o", "--hot", "cold").err()).contains("no reason with 100 exits or more");
        assertThat(layout("heat", "t.heat", "--as", "before.o", "none.o").err()).contains("none.o: ");
    }
}
