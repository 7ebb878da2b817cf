package dev.slate.layout;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.layout.dwarf.Dwarf;
import dev.slate.layout.elf.ElfFile;
import dev.slate.layout.elf.Image;
import dev.slate.layout.text.PaholeText;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** DWARF against pahole: C, C++ and Rust compiled here, and Debian's C library. */
final class DwarfComparisonTest {
    private static final Pattern MEMBER = Pattern.compile("\\s*(.*?)\\s*/\\*\\s+(\\d+)(:\\s*\\d+)?\\s+(\\d+) \\*/");

    @TempDir
    private Path folder = Path.of("");

    private static Dwarf open(Path file) {
        Dwarf dwarf = Dwarf.open(ElfFile.of(Image.open(file)), 2);
        if (dwarf == null) throw new AssertionError(file + " has no DWARF");
        return dwarf;
    }

    static String ours(Path file) {
        return ours(file, PaholeText.Options.DEFAULT);
    }

    private static String ours(Path file, PaholeText.Options options) {
        StringBuilder text = new StringBuilder();
        try (Dwarf dwarf = open(file)) {
            PaholeText listing = new PaholeText(text, options);
            Distinct first = new Distinct(!options.pahole());
            dwarf.forEachAggregate(a -> {
                if (first.first(a)) listing.write(a);
            });
        }
        return text.toString();
    }

    static String theirs(Path file) throws Exception {
        return Tools.run(
                file.toAbsolutePath().getParent(), "pahole", "-F", "dwarf", "--show_private_classes", file.toString());
    }

    private Path compile(String source, String output, String... command) throws Exception {
        List<String> words = new ArrayList<>(List.of(command));
        words.add(Tools.resource("dwarf/" + source).toString());
        words.add("-o");
        words.add(output);
        Tools.run(folder, words.toArray(new String[0]));
        return folder.resolve(output);
    }

    private static void noneUnexplained(String what, Comparison comparison, int atLeast) {
        System.out.print(comparison.report(what));
        assertThat(comparison.unexplained()).isEmpty();
        assertThat(comparison.equal()).isGreaterThanOrEqualTo(atLeast);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "-gdwarf-5",
                "-gdwarf-4",
                "-gdwarf-3",
                "-gdwarf-2",
                "-gdwarf-5 -gz",
                "-gdwarf-4 -gz=zlib",
                "-gdwarf-5 -m32"
            })
    void everyStructOfACProgramHasPaholesText(String options) throws Exception {
        Tools.need("cc", "pahole");
        if (options.contains("-m32")
                && !Tools.succeeds(folder, "sh", "-c", "echo '#include <stdio.h>' | cc -m32 -xc -c -o /dev/null -")) {
            Tools.skip("needs a compiler and headers for 32 bits: apt-get install -y gcc-multilib");
        }
        List<String> command = new ArrayList<>(List.of("cc", "-c"));
        command.addAll(List.of(options.split(" ")));
        Path object = compile("shapes.c", "c.o", command.toArray(new String[0]));
        Comparison comparison = Comparison.of(
                theirs(object),
                ours(object),
                (a, b) -> a.contains("0 not found!>") && b.contains("_Atomic int")
                        ? "pahole 1.24 does not know DWARF 5's DW_TAG_atomic_type"
                        : null);
        noneUnexplained("C " + options, comparison, 19);
    }

    @Test
    void everyStructOfACxxProgramHasPaholesTextButWherePaholeIsWrong() throws Exception {
        Tools.need("c++", "pahole");
        for (String version : new String[] {"-gdwarf-5", "-gdwarf-4"}) {
            Path object = compile("shapes.cpp", "cxx.o", "c++", "-c", version);
            noneUnexplained(
                    "C++ " + version,
                    Comparison.of(theirs(object), ours(object, PaholeText.Options.PAHOLE), DwarfComparisonTest::defect),
                    40);
        }
    }

    @Test
    void everyStructOfARustProgramHasPaholesTextButWherePaholeIsWrong() throws Exception {
        Tools.need("rustc", "pahole");
        Path object = compile("shapes.rs", "rust.o", "rustc", "-g", "--emit=obj", "--crate-type=bin");
        noneUnexplained(
                "Rust",
                Comparison.of(theirs(object), ours(object, PaholeText.Options.PAHOLE), DwarfComparisonTest::defect),
                60);
    }

    /** What is wrong with pahole's text of a C++ or Rust type; every line that differs must be accounted for. */
    private static @Nullable String defect(String theirs, String ours) {
        if (theirs.isEmpty() || ours.isEmpty()) return null;
        if (ours.contains("/* variant ") || ours.contains("/* tells the variants"))
            return "pahole 1.24 leaves out the variants of a Rust enum";
        if (theirs.replace("cachelines: 0", "cachelines: 1").equals(ours))
            return "an object of an empty class takes a byte and a cacheline, pahole says none";
        TreeSet<String> why = new TreeSet<>();
        List<String> left = members(theirs);
        List<String> right = members(ours);
        if (left.size() != right.size()) return null;
        List<String> rest = new ArrayList<>(left);
        rest.removeAll(right);
        List<String> mine = new ArrayList<>(right);
        mine.removeAll(left);
        for (String member : mine) {
            if (member.contains("&&"))
                why.add("a C++ rvalue reference has no name and its target's size in pahole's text");
            else if (member.contains("::*")) why.add("a C++ pointer to member has its target's size in pahole's text");
            else if (rest.contains(member.replaceAll(" 1$", " 0")))
                why.add("an object of an empty class takes a byte, pahole says none");
            else if (member.contains("<ancestor>") && rest.contains(member.replaceAll(" 0$", " 1")))
                why.add("an empty base class takes no room, pahole gives it a byte if it has a base itself");
            else if (member.contains("<ancestor>") && theirs.contains("429496729"))
                why.add("the place of a virtual base is not a constant, pahole says -1");
            else return null;
        }
        if (mine.isEmpty()) {
            if (Pattern.compile("XXX 6[45]\\d{3} bytes hole").matcher(theirs).find()) {
                why.add("members that overlap or go backwards leave holes of 65,5xx bytes in pahole's text");
            } else if (withoutPaddings(theirs).equals(withoutPaddings(ours)) && theirs.contains("last struct has")) {
                why.add("padding of a member follows from one of the other defects");
            } else if (theirs.contains("1 byte of padding") || theirs.contains("padding: 1")) {
                why.add("an object of an empty class takes a byte, pahole says none");
            } else if (!left.equals(right)) {
                why.add("pahole 1.24 does not put Rust's members into the order of their places");
            } else {
                return null;
            }
        }
        return String.join("; ", why);
    }

    private static String withoutPaddings(String text) {
        return text.replaceAll("(?m)^.*padding.*\n", "").replaceAll("\n+", "\n");
    }

    private static List<String> members(String text) {
        List<String> found = new ArrayList<>();
        text.lines().forEach(line -> {
            var matcher = MEMBER.matcher(line);
            if (matcher.matches())
                found.add(matcher.group(1).replaceAll("\\s+", " ") + " " + matcher.group(2) + " " + matcher.group(4));
        });
        return found;
    }

    @Test
    void typeUnitsGiveTheSameTypesAsOneUnit() throws Exception {
        Tools.need("c++");
        for (String version : new String[] {"-gdwarf-5", "-gdwarf-4"}) {
            String plain = sorted(ours(compile("shapes.cpp", "plain.o", "c++", "-c", version)));
            Path units = compile("shapes.cpp", "units.o", "c++", "-c", version, "-fdebug-types-section");
            // A type unit also holds the declaration's own inner types, so that it may have more, never less.
            List<String> missing = new ArrayList<>(List.of(plain.split("\u0001")));
            missing.removeAll(List.of(sorted(ours(units)).split("\u0001")));
            assertThat(missing)
                    .as("types of " + version + " that are not in its type units")
                    .isEmpty();
        }
    }

    @Test
    void partialUnitsAndASharedDebugFileGiveTheSameTypesAsOneUnit() throws Exception {
        Tools.need("cc", "dwz");
        Path program = compile("shapes.c", "program", "cc", "-g", "-no-pie");
        String before = sorted(ours(program));
        Path one = Files.copy(program, folder.resolve("one"));
        Path two = Files.copy(program, folder.resolve("two"));
        Path alone = Files.copy(program, folder.resolve("alone"));
        Tools.run(folder, "dwz", alone.toString());
        assertThat(sorted(ours(alone))).isEqualTo(before);
        Tools.run(folder, "dwz", "-m", "shared.debug", one.toString(), two.toString());
        assertThat(sorted(ours(one))).isEqualTo(before);
        Files.delete(folder.resolve("shared.debug"));
        assertThat(org.assertj.core.api.Assertions.catchThrowable(() -> ours(one)))
                .isInstanceOf(LayoutException.class)
                .hasMessageContaining("shared.debug");
    }

    private static String sorted(String listing) {
        List<String> blocks = new ArrayList<>();
        Tools.blocks(listing, blocks::add);
        blocks.sort(null);
        return String.join("\u0001", blocks);
    }

    @Test
    void aStrippedProgramsSeparateDebugFileIsFoundByItsLinkAndByItsFolder() throws Exception {
        Tools.need("cc", "objcopy", "strip");
        Path program = compile("shapes.c", "linked", "cc", "-g");
        String before = ours(program);
        Tools.run(folder, "objcopy", "--only-keep-debug", "linked", "linked.debug");
        Tools.run(folder, "strip", "linked");
        Tools.run(folder, "objcopy", "--add-gnu-debuglink=linked.debug", "linked");
        assertThat(ours(program)).isEqualTo(before);
        Files.createDirectories(folder.resolve(".debug"));
        Files.move(folder.resolve("linked.debug"), folder.resolve(".debug/linked.debug"));
        assertThat(ours(program)).isEqualTo(before);
        Files.delete(folder.resolve(".debug/linked.debug"));
        assertThat(org.assertj.core.api.Assertions.catchThrowable(() -> dev.slate.layout.file.LayoutFiles.open(
                        program.toString(), dev.slate.layout.file.LayoutFiles.Options.DEFAULT)))
                .isInstanceOf(LayoutException.class)
                .hasMessageContaining("linked.debug")
                .hasMessageContaining("-g");
    }

    @Test
    void everyStructOfDebiansCLibraryHasPaholesText() throws Exception {
        Tools.need("pahole", "apt-get", "dpkg-deb");
        Path cache = Tools.cache("libc6-dbg");
        Path largest = largest(cache);
        if (largest == null) {
            if (!Tools.succeeds(cache, "apt-get", "download", "libc6-dbg"))
                Tools.skip("needs Debian's libc6-dbg, which apt-get cannot download: apt-get update, with a network");
            Tools.run(cache, "sh", "-c", "dpkg-deb -x libc6-dbg_*.deb . && rm libc6-dbg_*.deb");
            largest = largest(cache);
        }
        if (largest == null) throw new AssertionError("libc6-dbg holds no debug files");
        noneUnexplained("libc.so.6", Comparison.of(theirs(largest), ours(largest), (a, b) -> null), 500);
    }

    private static @Nullable Path largest(Path folder) throws Exception {
        try (Stream<Path> files = Files.walk(folder)) {
            return files.filter(f -> f.toString().endsWith(".debug"))
                    .max((a, b) -> Long.compare(a.toFile().length(), b.toFile().length()))
                    .orElse(null);
        }
    }

    @Test
    void aNameIsFoundInWhicheverUnitDefinesIt() throws Exception {
        Tools.need("cc");
        Path object = compile("shapes.c", "find.o", "cc", "-c", "-g");
        try (Dwarf dwarf = open(object)) {
            assertThat(dwarf.find("order"))
                    .isInstanceOf(Aggregate.class)
                    .extracting(t -> ((Aggregate) t).size())
                    .isEqualTo(40L);
            assertThat(dwarf.find("handler_t")).isInstanceOf(TypedefType.class);
            assertThat(dwarf.find("colour")).isInstanceOf(EnumType.class);
            assertThat(dwarf.find("unknown")).as("only declared").isNull();
            assertThat(dwarf.find("rder")).as("a suffix of a name").isNull();
        }
    }
}
