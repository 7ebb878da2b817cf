package dev.slate.cpu.decode;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The disassembler, and with it the decoder, against binutils. */
class DisassemblerTest {
    private static final Path LIBC = Path.of("/usr/lib/x86_64-linux-gnu/libc.so.6");

    private static void report(String what, ObjdumpComparison c) {
        System.out.println(what + ": " + c.compared() + " instructions compared, " + c.absent()
                + " of sets that Slate lacks, " + c.differences().size() + " kinds of difference");
        assertThat(c.differences()).isEmpty();
    }

    private static void needObjdump() throws InterruptedException {
        assumeTrue(ObjdumpComparison.isThere(), "needs objdump: apt-get install -y binutils");
    }

    @Test
    void agreesWithObjdumpOnAllOfTheCLibrary() throws Exception {
        needObjdump();
        assumeTrue(Files.exists(LIBC), "needs " + LIBC + ": it comes with Debian and its kin");
        ObjdumpComparison c = new ObjdumpComparison(Mode.BITS64);
        c.run("-d", LIBC.toString());
        assertThat(c.compared()).isGreaterThan(100_000);
        report("libc", c);
    }

    @Test
    void agreesWithObjdumpOnPrograms() throws Exception {
        needObjdump();
        ObjdumpComparison c = new ObjdumpComparison(Mode.BITS64);
        for (String program :
                List.of("/usr/bin/bash", "/usr/bin/tar", "/usr/bin/ssh", "/usr/lib/x86_64-linux-gnu/libm.so.6")) {
            if (Files.exists(Path.of(program))) {
                c.run("-d", program);
            }
        }
        report("programs", c);
    }

    /** {@code -Dtest.long.options=-Dslate.corpora=FILE:FILE...}: a kernel, QEMU, a big library. */
    @Test
    @EnabledIfSystemProperty(
            named = "slate.corpora",
            matches = ".+",
            disabledReason = "runs on files that are named: -Dtest.long.options=-Dslate.corpora=FILE:FILE")
    void agreesWithObjdumpOnTheFilesNamed() throws Exception {
        needObjdump();
        for (String file : System.getProperty("slate.corpora").split(":")) {
            ObjdumpComparison c = new ObjdumpComparison(Mode.BITS64);
            c.run("-d", file);
            report(file, c);
        }
    }

    // The same bytes taken for 16- and 32-bit code: mostly nonsense, which is what makes it a good corpus.
    @ParameterizedTest
    @CsvSource({"i386, 1", "i8086, 0", "i386:x86-64, 2"})
    void agreesWithObjdumpOnAnyBytesInEveryMode(String machine, int mode, @TempDir Path folder)
            throws IOException, InterruptedException {
        needObjdump();
        assumeTrue(Files.exists(LIBC), "needs " + LIBC + ": it comes with Debian and its kin");
        byte[] all = Files.readAllBytes(LIBC);
        byte[] part = new byte[300_000];
        System.arraycopy(all, 200_000, part, 0, part.length);
        Path file = folder.resolve("bytes");
        Files.write(file, part);
        ObjdumpComparison c = new ObjdumpComparison(mode);
        c.run("-D", "-b", "binary", "-m", machine, file.toString());
        report(machine, c);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "48 8b 45 f8 | mov    rax,QWORD PTR [rbp-0x8]",
                "f3 48 ab | rep stos QWORD PTR es:[rdi],rax",
                "f0 0f b1 0f | lock cmpxchg DWORD PTR [rdi],ecx",
                "64 48 8b 04 25 28 00 00 00 | mov    rax,QWORD PTR fs:0x28",
                "0f c7 f0 | rdrand eax",
                "eb fe | jmp    0x1000",
                "c4 e2 71 92 04 50 | vgatherdps xmm0,DWORD PTR [rax+xmm2*2],xmm1",
                "f0 90 | (bad)",
            })
    void printsAsObjdumpDoes(String bytes, String text) {
        String[] hex = bytes.trim().split(" ");
        byte[] code = new byte[hex.length];
        for (int i = 0; i < code.length; i++) {
            code[i] = (byte) Integer.parseInt(hex[i], 16);
        }
        Disassembler d = new Disassembler();
        assertThat(d.one(code, 0, code.length, 0x1000, Mode.BITS64)).isEqualTo(text.trim());
        assertThat(d.length()).isEqualTo(code.length);
    }
}
