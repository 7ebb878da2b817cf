package dev.slate.layout;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.layout.elf.ElfFile;
import dev.slate.layout.elf.Image;
import dev.slate.layout.file.LayoutFiles;
import dev.slate.layout.text.PaholeText;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Relocatable objects of other machines: every one that clang has, and of every cross gcc that is installed. */
final class MachinesTest {
    private static final String[] TARGETS = {
        "x86_64-linux-gnu",
        "i386-linux-gnu",
        "x86_64-linux-gnux32",
        "aarch64-linux-gnu",
        "aarch64_be-linux-gnu",
        "armv7-linux-gnueabihf",
        "armeb-linux-gnueabi",
        "mips-linux-gnu",
        "mipsel-linux-gnu",
        "mips64-linux-gnuabi64",
        "mips64el-linux-gnuabi64",
        "powerpc-linux-gnu",
        "powerpc64-linux-gnu",
        "powerpc64le-linux-gnu",
        "riscv32-linux-gnu",
        "riscv64-linux-gnu",
        "s390x-linux-gnu",
        "sparc-linux-gnu",
        "sparc64-linux-gnu",
        "avr",
        "msp430",
        "hexagon",
        "lanai",
        "bpfel",
        "bpfeb",
        "loongarch64-linux-gnu",
        "m68k-linux-gnu",
        "xtensa"
    };

    @TempDir
    private Path folder = Path.of("");

    private void compare(String label, String object, List<String> wrong) {
        Path path = folder.resolve(object);
        List<Long> facts = new ArrayList<>();
        try (ElfFile elf = ElfFile.of(Image.open(path))) {
            ByteBuffer bytes = elf.bytes(".truth");
            for (int at = 0; at + 4 <= bytes.limit(); at += 4) facts.add(Integer.toUnsignedLong(bytes.getInt(at)));
        }
        int next = 0;
        try (LayoutSource source = LayoutFiles.open(path.toString(), LayoutFiles.Options.DEFAULT)) {
            for (String name : List.of("plain", "floats", "arrays", "inner", "packed", "holder")) {
                if (!(source.find(name) instanceof Aggregate aggregate)) {
                    wrong.add(label + ": " + name + " is not there");
                    return;
                }
                next = same(label + ": " + name, facts, next, aggregate.size(), wrong);
                for (Member member : aggregate.members()) {
                    next = same(label + ": " + name + "." + member.name(), facts, next, member.byteOffset(), wrong);
                    next = same(
                            label + ": sizeof " + name + "." + member.name(), facts, next, member.byteSize(), wrong);
                }
            }
        } catch (LayoutException e) {
            wrong.add(label + ": " + e.getMessage());
            return;
        }
        if (next != facts.size()) wrong.add(label + ": " + facts.size() + " facts, " + next + " compared");
    }

    private static int same(String what, List<Long> facts, int index, long read, List<String> wrong) {
        if (index >= facts.size() || facts.get(index) != read)
            wrong.add(what + " is " + (index < facts.size() ? facts.get(index) : "?") + ", read: " + read);
        return index + 1;
    }

    @Test
    void objectsOfEveryTargetOfClangsAreRead() throws Exception {
        Tools.need("clang");
        List<String> read = new ArrayList<>();
        List<String> wrong = new ArrayList<>();
        String source = Tools.resource("truth/machine.c").toString();
        for (String target : TARGETS) {
            for (String version : new String[] {"-gdwarf-4", "-gdwarf-5"}) {
                String object = target + version + ".o";
                if (!Tools.succeeds(
                        folder,
                        "clang",
                        "-target",
                        target,
                        "-ffreestanding",
                        "-w",
                        version,
                        "-c",
                        source,
                        "-o",
                        object)) continue;
                compare("clang " + target + " " + version, object, wrong);
                if (!read.contains(target)) read.add(target);
            }
        }
        System.out.println("objects of " + read.size() + " targets of clang's: " + String.join(" ", read));
        assertThat(wrong).isEmpty();
        assertThat(read).hasSizeGreaterThan(5);
    }

    @Test
    void objectsOfEveryCrossGccThatIsInstalledAreRead() throws Exception {
        TreeSet<String> compilers = new TreeSet<>();
        for (String place : System.getenv("PATH").split(":")) {
            if (!Files.isDirectory(Path.of(place))) continue;
            try (Stream<Path> files = Files.list(Path.of(place))) {
                files.map(f -> f.getFileName().toString())
                        .filter(n -> n.endsWith("-gcc"))
                        .forEach(compilers::add);
            }
        }
        if (compilers.isEmpty())
            Tools.skip("no cross gcc is installed (apt-get install gcc-mips-linux-gnu, for instance)");
        List<String> wrong = new ArrayList<>();
        List<String> read = new ArrayList<>();
        String source = Tools.resource("truth/machine.c").toString();
        for (String compiler : compilers) {
            for (String version : new String[] {"-gdwarf-4", "-gdwarf-5"}) {
                String object = compiler + version + ".o";
                if (!Tools.succeeds(folder, compiler, "-ffreestanding", "-w", version, "-c", source, "-o", object))
                    continue;
                compare(compiler + " " + version, object, wrong);
                if (!read.contains(compiler)) read.add(compiler);
            }
        }
        System.out.println("objects of " + read.size() + " gccs: " + String.join(" ", read));
        assertThat(wrong).isEmpty();
    }

    @Test
    void aBpfObjectWithAMapAndGlobalsIsReadInBothFormats() throws Exception {
        Tools.need("clang");
        if (!Tools.succeeds(
                folder,
                "clang",
                "-target",
                "bpf",
                "-g",
                "-O2",
                "-w",
                "-c",
                Tools.resource("truth/program.bpf.c").toString(),
                "-o",
                "program.o")) Tools.skip("clang has no BPF target");
        for (String format : new String[] {"btf", "dwarf"}) {
            LayoutFiles.Options options = new LayoutFiles.Options(format, null, 64, 1);
            try (LayoutSource source =
                    LayoutFiles.open(folder.resolve("program.o").toString(), options)) {
                if (!(source.find("event") instanceof Aggregate event)) throw new AssertionError(format);
                assertThat(event.size()).as(format).isEqualTo(4 + 16 + 24 + 4 + 8 * 16 + 8);
                StringBuilder text = new StringBuilder();
                new PaholeText(text, PaholeText.Options.DEFAULT).write(event);
                assertThat(text).as(format).contains("grid[2][3];").contains("} in[2][4];");
            }
        }
    }
}
