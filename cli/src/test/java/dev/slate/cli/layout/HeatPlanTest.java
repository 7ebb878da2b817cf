package dev.slate.cli.layout;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cli.Shell;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What {@code slate heat} hands to the client, and what it says of options and files that are wrong before that starts. */
final class HeatPlanTest {
    private static final String PROGRAM = """
        struct t { int a; struct { char b, c; } in; } object;
        struct later;
        int take(struct t *t, struct later *l) { return t->a + !l; }
        int main(void) { return take(&object, 0); }
        """;

    @TempDir
    private Path folder;

    @BeforeEach
    void compile() throws Exception {
        Files.writeString(folder.resolve("t.c"), PROGRAM);
        cc("t", "-g");
    }

    private void cc(String name, String... options) throws IOException, InterruptedException {
        Shell.sh(folder, "cc -O0 -no-pie -o " + name + " t.c " + String.join(" ", options));
    }

    private Shell plan(String... options) throws IOException, InterruptedException {
        Shell ran = LayoutProgram.run(folder, "HeatPlanMain", String.join("\n", options) + "\n");
        if (ran.out().isEmpty()) return ran;
        byte[] packed = Base64.getDecoder().decode(ran.out().strip());
        try (GZIPInputStream in = new GZIPInputStream(new ByteArrayInputStream(packed))) {
            return new Shell(ran.status(), new String(in.readAllBytes(), StandardCharsets.UTF_8), ran.err());
        }
    }

    private void assertRefused(int status, String message, String... options) throws IOException, InterruptedException {
        Shell ran = plan(options);
        assertThat(ran.status()).as(ran.out() + ran.err()).isEqualTo(status);
        assertThat(ran.out()).isEmpty();
        assertThat(ran.err()).startsWith("slate: ").contains(message).doesNotContain("Exception");
    }

    @Test
    void theTypesMembersAndTheFunctionsAddressesAreHandedOver() throws Exception {
        Files.writeString(folder.resolve("map"), "ffffffff81000010 T take\nffffffff81000020 t other\n");
        Shell ran = plan("types=t", "type=struct t", "symbols=map", "at=take:rdi", "at=0x2a:r15", "output=counts");
        assertThat(ran.err()).isEmpty();
        assertThat(ran.out())
                .contains("type=8 t\nfield=0 4 a\n", "field=4 1 in.b\n", "field=5 1 in.c\n")
                .contains("\nat=0 rdi 0 ffffffff81000010+ - take\nat=0 r15 0 2a - 0x2a\n")
                .endsWith("output=" + folder.toRealPath().resolve("counts") + "\n");
        // Without a System.map the file's own symbols serve.
        assertThat(plan("types=t", "type=t", "at=take:rsi").out())
                .containsPattern("\nat=0 rsi 0 [0-9a-f]+\\+ - take\n");
    }

    @Test
    void aFileWithoutTypesAndATypeThatIsNotThereAreSaid() throws Exception {
        cc("bare");
        assertRefused(3, "bare: has no types: ", "types=bare", "type=t", "at=take:rdi");
        assertRefused(3, "none.ko: ", "types=none.ko", "type=t", "at=take:rdi");
        assertRefused(3, "t: has no type tt in its DWARF; ", "types=t", "type=tt", "at=take:rdi");
        assertRefused(3, "later", "types=t", "type=later", "at=take:rdi");
    }

    @Test
    void functionsThatHaveNoAddressOrMoreThanOneAreSaid() throws Exception {
        cc("t.ko", "-g", "-c");
        assertRefused(
                3, "t.ko: is not linked, so its functions have no addresses", "types=t.ko", "type=t", "at=take:rdi");
        cc("t.stripped", "-s");
        assertRefused(3, "t.stripped: has no symbols", "types=t", "type=t", "symbols=t.stripped", "at=take:rdi");
        Files.writeString(folder.resolve("map"), "1000 t take\n1080 t take\n2000 T take_it.part.0\n");
        assertRefused(
                3,
                "map: has 2 functions take, at 0x1000, 0x1080: name one by its address",
                "types=t",
                "type=t",
                "symbols=map",
                "at=take:rdi");
        assertRefused(
                3,
                "map: has no function take_it; it has take_it.part.0.",
                "types=t",
                "type=t",
                "symbols=map",
                "at=take_it:rdi");
        Files.writeString(folder.resolve("kallsyms"), "0000000000000000 T take\n0000000000000000 t init\t[ext4]\n");
        assertRefused(3, "kallsyms: has 0 for every address", "types=t", "type=t", "symbols=kallsyms", "at=take:rdi");
        Files.writeString(folder.resolve("text"), "hello\n");
        assertRefused(3, "text: is neither", "types=t", "type=t", "symbols=text", "at=take:rdi");
    }

    @Test
    void optionsThatAreMissingOrWrongAreSaid() throws Exception {
        assertRefused(2, "--at is missing", "types=t", "type=t");
        assertRefused(2, "--types is missing", "type=t", "at=take:rdi");
        assertRefused(2, "--type is missing", "types=t", "at=take:rdi");
        assertRefused(2, "--symbols is empty", "types=t", "type=t", "at=take:rdi", "symbols=");
        assertRefused(2, "more than one line: u", "types=t", "type=t\nu", "at=take:rdi");
        assertRefused(2, "--at take:edi: FUNCTION:REGISTER is wanted", "types=t", "type=t", "at=take:edi");
        assertRefused(2, "--at take: FUNCTION:REGISTER is wanted", "types=t", "type=t", "at=take");
        assertRefused(2, "0x1g is no address", "types=t", "type=t", "at=0x1g:rdi");
        assertRefused(2, "that file can't be written", "types=t", "type=t", "at=take:rdi", "output=/proc/no/such");
    }

    @Test
    void severalTypesHaveTheirPlacesAndObjectsTheirEnds() throws Exception {
        Files.writeString(folder.resolve("map"), "1000 T take\n2000 T kfree\nffff0080 T entry_SYSCALL_64\n");
        Shell ran = plan(
                "types=t",
                "symbols=map",
                "type=t",
                "at=take:rdi",
                "type=t",
                "at=take:rsi+t.in.c",
                "at=take:rdx+16",
                "until=kfree:rdi",
                "from-exit=7",
                "most-exits=9");
        assertThat(ran.err()).isEmpty();
        assertThat(ran.out()).contains("""

            at=0 rdi 0 1000+ - take
            at=1 rsi 5 1000+ - take
            at=1 rdx 16 1000+ - take
            at=-1 rdi 0 2000+ - kfree
            system-call=ffff0080
            from-exit=7
            most-exits=9
            output=\
            """);
    }

    @Test
    void aFunctionOfAModuleWantsTheKernelsSymbolsAndTypes() throws Exception {
        String[] wanted = {"types=t", "symbols=map", "type=t", "at=kvm-amd:svm_vcpu_run:rdi"};
        Files.writeString(folder.resolve("map"), "2000 T kfree\nffff0080 T entry_SYSCALL_64\n");
        assertRefused(3, "map: lacks do_init_module, by which the guest's kernel and its modules are found", wanted);
        Files.writeString(
                folder.resolve("map"), "1000 t do_init_module\n2000 T free_module\nffff0080 T entry_SYSCALL_64\n");
        assertRefused(3, "t: has no type module", wanted);
        Files.writeString(
                folder.resolve("t.c"),
                "struct t { int a; } object; struct mod_kallsyms { char *symtab; unsigned num_symtab; char *strtab;"
                        + " };\n"
                        + "struct module { long list; char name[56]; struct mod_kallsyms *kallsyms; } module;\n"
                        + "struct mod_kallsyms k; int main(void) { return 0; }\n");
        cc("t", "-g");
        assertThat(plan(wanted).out())
                .contains("at=0 rdi 0 0 kvm_amd svm_vcpu_run\n")
                .contains("module-begins=1000\nmodule-ends=2000\noffsets=8 64 0 8 16\n");
    }

    @Test
    void placesAndNumbersThatAreWrongAreSaid() throws Exception {
        assertRefused(2, "--from-exit x: a number from 0 on", "types=t", "type=t", "at=take:rdi", "from-exit=x");
        assertRefused(2, "--most-exits 0: a number from 1 on", "types=t", "type=t", "at=take:rdi", "most-exits=0");
        assertRefused(2, "--until take: FUNCTION:REGISTER", "types=t", "type=t", "at=take:rdi", "until=take");
        assertRefused(2, "--at is missing for type t", "types=t", "type=t", "at=take:rdi", "type=t");
        assertRefused(3, "t has no member d", "types=t", "type=t", "at=take:rdi+t.d");
        assertRefused(2, "behind the + a number of bytes or TYPE.MEMBER", "types=t", "type=t", "at=take:rdi+t");
    }
}
