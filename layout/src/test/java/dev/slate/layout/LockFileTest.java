package dev.slate.layout;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import dev.slate.layout.dwarf.Dwarf;
import dev.slate.layout.elf.ElfFile;
import dev.slate.layout.elf.Image;
import dev.slate.layout.lock.LockFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Lock files: what they accept, and what they say when something moved. */
final class LockFileTest {
    @TempDir
    private Path folder = Path.of("");

    private LayoutSource compiled(String source) throws Exception {
        Tools.need("cc");
        Files.writeString(folder.resolve("t.c"), source);
        Tools.run(folder, "cc", "-g", "-c", "t.c", "-o", "t.o");
        Dwarf dwarf = Dwarf.open(ElfFile.of(Image.open(folder.resolve("t.o"))), 1);
        if (dwarf == null) throw new AssertionError("no DWARF");
        return dwarf;
    }

    private List<LockFile.Finding> check(LayoutSource source, String text) throws IOException {
        Path lock = folder.resolve("layout.lock");
        Files.writeString(lock, text);
        return LockFile.read(lock).check(List.of(source), 64);
    }

    private static final String STRUCT =
            "struct mutex { long o[4]; }; struct v { int mode; unsigned f:3, g:5; long requests; struct mutex a; char gap[60]; struct mutex b; } v;";

    @Test
    void whatHoldsIsAcceptedAndWhatMovedIsNamedWithTheLineThatWouldStateIt() throws Exception {
        try (LayoutSource source = compiled(STRUCT)) {
            if (!(source.find("v") instanceof Aggregate v)) throw new AssertionError("v");
            String stated = LockFile.state(v);
            assertThat(stated)
                    .startsWith(
                            "type v size 144\n  at 0 size 4 mode\n  at 4:0 size 3b f\n  at 4:3 size 5b g\n  at 8 size 8 requests\n")
                    .endsWith("  closed\n");
            String rules = "  one-line mode requests f\n  apart a b\n";
            assertThat(check(source, "# a comment\n" + stated + rules)).isEmpty();

            List<LockFile.Finding> findings = check(
                    source,
                    stated.replace("at 8 size 8 requests", "at 16 size 8 requests")
                            .replace("size 144", "size 150"));
            assertThat(findings).hasSize(2);
            assertThat(findings.getFirst().message()).isEqualTo("v has 144 bytes, 150 are stated");
            assertThat(findings.getFirst().fix()).isEqualTo("type v size 144");
            assertThat(findings.getLast().line()).isEqualTo(5);
            assertThat(findings.getLast().message())
                    .contains("v.requests")
                    .contains("at 8 size 8")
                    .contains("at 16 size 8");
            assertThat(findings.getLast().fix()).isEqualTo("  at 8 size 8 requests");

            assertThat(check(source, stated + "  one-line mode b\n"))
                    .singleElement()
                    .satisfies(f -> assertThat(f.message()).contains("v.b lies in cacheline 1 to 2"));
            assertThat(check(source, stated + "  apart gap b\n"))
                    .singleElement()
                    .satisfies(f -> assertThat(f.message()).contains("v.gap and v.b share cacheline 1"));
            assertThat(check(source, stated.replace("  at 8 size 8 requests\n", "")))
                    .singleElement()
                    .satisfies(f -> {
                        assertThat(f.message()).contains("v.requests is not listed");
                        assertThat(f.fix()).isEqualTo("at 8 size 8 requests");
                    });
            assertThat(check(source, "type v size 144\n  at 0 size 4 gone\n"))
                    .singleElement()
                    .satisfies(f -> assertThat(f.message()).contains("no member gone"));
            assertThat(check(source, "type w size 1\n"))
                    .singleElement()
                    .satisfies(f -> assertThat(f.message()).contains("w is in none"));
        }
    }

    @Test
    void updatingKeepsCommentsAndRulesAndStatesTheTruth() throws Exception {
        String old;
        try (LayoutSource source = compiled(STRUCT)) {
            if (!(source.find("v") instanceof Aggregate v)) throw new AssertionError("v");
            old = "# kept\n" + LockFile.state(v).replace("8 requests", "8 requests  # why it lies there")
                    + "  one-line mode requests\n";
        }
        try (LayoutSource source = compiled(
                STRUCT.replace("long requests;", "char added; long requests;").replace("char gap[60]; ", ""))) {
            List<LockFile.Finding> findings = check(source, old);
            assertThat(findings).isNotEmpty();
            Path lock = folder.resolve("layout.lock");
            String updated = LockFile.read(lock).updated(List.of(source));
            assertThat(updated)
                    .contains("# kept\n")
                    .contains("  one-line mode requests\n")
                    .contains("  at 8 size 8 requests  # why it lies there\n")
                    .contains("  at 5 size 1 added\n")
                    .doesNotContain("gap");
            assertThat(check(source, updated)).isEmpty();
        }
    }

    @Test
    void aLineThatMakesNoSenseIsNamed() throws Exception {
        try (LayoutSource source = compiled(STRUCT)) {
            assertThat(catchThrowable(() -> check(source, "type v size 144\n  somewhere 3\n")))
                    .isInstanceOf(LayoutException.class)
                    .hasMessageContaining("layout.lock:2")
                    .hasMessageContaining("somewhere");
            assertThat(catchThrowable(() -> check(source, "  at 0 size 4 mode\n")))
                    .hasMessageContaining("before the first type");
            assertThat(catchThrowable(() -> check(source, "type v size many\n")))
                    .hasMessageContaining("many");
        }
    }
}
