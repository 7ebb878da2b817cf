package dev.slate.cli.layout;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cli.Shell;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The layout commands as a user sees them: output, exit status, one line for what went wrong. */
final class LayoutCommandTest {
    @TempDir
    private Path folder;

    private Shell layout(String... arguments) throws IOException, InterruptedException {
        return LayoutProgram.run(folder, "LayoutMain", "", arguments);
    }

    @BeforeEach
    void compile() throws Exception {
        for (String side : new String[] {"before", "after"}) {
            Shell.sh(
                    folder,
                    "cc -g -O1 -c '" + Shell.root() + "/layout/src/test/resources/diet/" + side + ".c' -o " + side
                            + ".o");
        }
    }

    @Test
    void theDietOfThreadZeroIsShownComparedAndDrawn() throws Exception {
        Shell show = layout("show", "kvm_vcpu", "before.o");
        assertThat(show.status()).isZero();
        assertThat(show.out())
                .startsWith("struct kvm_vcpu {\n")
                .contains("/* size: 6688, cachelines: 105, members: 33 */");
        Shell diff = layout("diff", "before.o", "after.o", "kvm_vcpu");
        assertThat(diff.status()).isEqualTo(1);
        assertThat(diff.out())
                .startsWith("struct kvm_vcpu: 6688 -> 6560 bytes (-128)\n")
                .contains("no page order is crossed");
        assertThat(layout("diff", "before.o", "before.o").status()).isZero();
        assertThat(layout("diff", "before.o", "after.o", "--json").out()).contains("\"page_order_crossed\": false");
        Files.writeString(folder.resolve("heat"), "# where exits look\n9 mode\n100 requests\n3 0x48-0x67\n");
        Shell density =
                layout("density", "kvm_vcpu", "before.o", "--heat", "heat", "--svg", "v.svg", "--html", "v.html");
        assertThat(density.out())
                .contains("6669 bytes of members")
                .contains("99999999|")
                .doesNotContain("\u001b[");
        assertThat(folder.resolve("v.svg")).content().startsWith("<svg ");
        assertThat(folder.resolve("v.html")).content().contains("<table>");
        assertThat(layout("density", "kvm_vcpu", "before.o", "--color", "always")
                        .out())
                .contains("\u001b[");
        assertThat(layout("pack", "kvm_vcpu", "before.o", "--hot", "mode,requests")
                        .out())
                .contains("note: 2 hot members, 12 bytes: at least 1 cacheline");
        assertThat(layout("bloat", "before.o", "after.o").out())
                .contains("vcpu                                        6688    6560    -128");
        assertThat(layout("size", "before.o", "after.o").out()).contains("difference");
    }

    @Test
    void listsCanBeNarrowed() throws Exception {
        assertThat(layout("show", "--sizes", "before.o").out())
                .contains("kvm_vcpu\t6688\t5\n")
                .contains("mutex\t32\t0\n");
        assertThat(layout("show", "--holes", "5", "before.o").out())
                .startsWith("struct kvm_vcpu {")
                .doesNotContain("struct mutex {");
        assertThat(layout("show", "--packable", "before.o").out()).contains("kvm_vcpu\t6688\t6672\t16\n");
        assertThat(layout("show", "--contains", "list_head", "before.o").out()).isEqualTo("mutex\n");
        assertThat(layout("show", "--pointers-to", "list_head", "before.o").out())
                .isEqualTo("list_head: next\nlist_head: prev\n");
        assertThat(layout("show", "--all", "--json", "before.o").out())
                .startsWith("[")
                .contains("\"name\": \"kvm_vcpu\"");
        assertThat(layout("show", "java.util.ArrayList", "jvm:").out())
                .contains("elementData")
                .contains("size: 24");
    }

    @Test
    void aLockFileIsMadeCheckedAndUpdated() throws Exception {
        assertThat(layout("check", "l.lock", "before.o", "--add", "kvm_vcpu,mutex")
                        .status())
                .isZero();
        assertThat(layout("check", "l.lock", "before.o").out()).isEqualTo("l.lock: all holds\n");
        Shell broken = layout("check", "l.lock", "after.o");
        assertThat(broken.status()).isEqualTo(1);
        assertThat(broken.out())
                .contains(
                        "kvm_vcpu has 6560 bytes, 6688 are stated\n    if that is meant, the line is: type kvm_vcpu size 6560\n")
                .contains("kvm_vcpu.guest_debug is at 52 size 4")
                .contains("--update");
        assertThat(layout("check", "l.lock", "after.o", "--format", "github").out())
                .contains("::error file=l.lock,line=3,title=layout::kvm_vcpu has 6560 bytes");
        assertThat(layout("check", "l.lock", "after.o", "--update").status()).isZero();
        assertThat(layout("check", "l.lock", "after.o").status()).isZero();
    }

    @Test
    void whatCannotBeDoneIsOneLineAndAnExitStatus() throws Exception {
        assertThat(layout("show", "nothing", "before.o"))
                .isEqualTo(
                        new Shell(
                                1,
                                "",
                                "slate: before.o has no type nothing in its DWARF; `slate layout show --sizes` lists what it has\n"));
        assertThat(layout("show", "x", "missing.o")).isEqualTo(new Shell(3, "", "slate: missing.o: no such file\n"));
        Files.writeString(folder.resolve("text"), "this is no ELF file, nor anything else that is known here\n");
        Shell text = layout("show", "x", "text");
        assertThat(text.status()).isEqualTo(3);
        assertThat(text.err())
                .isEqualTo(
                        "slate: text: at offset 0x0: neither an ELF file, nor an archive of them, nor a kernel image, nor BTF\n");
        assertThat(layout("show", "--nonsense").status()).isEqualTo(2);
        assertThat(layout().status()).isEqualTo(2);
        for (String command : new String[] {"show", "diff", "density", "pack", "size", "bloat", "check"}) {
            Shell help = layout(command, "--help");
            assertThat(help.status()).isZero();
            assertThat(help.out()).contains("example: slate layout " + command).contains("Exit status");
        }
    }

    @Test
    void aLineOfNoBytesIsRefusedByEveryCommand() throws Exception {
        Files.writeString(folder.resolve("lock"), "from after.o\n");
        for (String[] command : new String[][] {{"check", "lock", "after.o"}, {"density", "kvm_vcpu", "after.o"}}) {
            List<String> words = new ArrayList<>(List.of(command));
            words.addAll(List.of("--cacheline-size", "0"));
            Shell ran = layout(words.toArray(String[]::new));
            assertThat(ran.status()).isEqualTo(3);
            assertThat(ran.err()).isEqualTo("slate: --cacheline-size: a line of 0 bytes\n");
        }
    }

    @Test
    void memoryAndStackThatDoNotSufficeAreSaidInALine() {
        PrintStream before = System.err;
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        System.setErr(new PrintStream(said, true, StandardCharsets.UTF_8));
        try {
            assertThat(LayoutCommand.guarded(() -> {
                        throw new OutOfMemoryError("Java heap space");
                    }))
                    .isEqualTo(LayoutCommand.UNABLE);
            assertThat(LayoutCommand.guarded(() -> {
                        throw new StackOverflowError();
                    }))
                    .isEqualTo(LayoutCommand.UNABLE);
        } finally {
            System.setErr(before);
        }
        assertThat(said.toString(StandardCharsets.UTF_8))
                .contains("slate: not enough memory")
                .contains("-Xmx8g")
                .contains("slate: types nested too deep to follow")
                .doesNotContain("java.lang");
    }
}
