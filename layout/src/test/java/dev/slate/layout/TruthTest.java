package dev.slate.layout;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.layout.file.LayoutFiles;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The truth corpus: programs that print the sizes, alignments and offsets of their own types, in every language and flag set that
 * matters. What Slate reads from their debug data must be what they print. A compiler that is not installed is skipped by name.
 */
final class TruthTest {
    private static final Map<String, Integer> FACTS = new TreeMap<>();
    private static int wanting;

    @TempDir
    private Path folder = Path.of("");

    private static List<String> words(String text) {
        return new ArrayList<>(Arrays.asList(text.strip().split("\\s+")));
    }

    /** Whether all is there; tells what is not. */
    private static boolean have(String... programs) {
        for (String program : programs) {
            if (Tools.has(program)) continue;
            System.out.println("SKIPPED a part of the truth corpus: " + program + " is not installed");
            wanting++;
            return false;
        }
        return true;
    }

    /** Compiles, runs and compares; {@code read} names the file to read, relative to the folder. */
    private void facts(String label, String command, String program, String read) throws Exception {
        Tools.run(folder, words(command).toArray(new String[0]));
        compare(label, Tools.run(folder, folder.resolve(program).toString()), read);
    }

    private void compare(String label, String facts, String read) {
        Map<String, List<String[]>> byType = new LinkedHashMap<>();
        for (String line : facts.split("\n")) {
            String[] words = line.split("\t");
            byType.computeIfAbsent(words[0].replaceFirst("^(struct|union) ", ""), t -> new ArrayList<>())
                    .add(words);
        }
        List<String> wrong = new ArrayList<>();
        int count = 0;
        try (LayoutSource source = LayoutFiles.open(folder.resolve(read).toString(), LayoutFiles.Options.DEFAULT)) {
            Map<String, List<Type>> found = source.find(byType.keySet());
            for (Map.Entry<String, List<String[]>> entry : byType.entrySet()) {
                List<Type> types = found.getOrDefault(entry.getKey(), List.of());
                if (types.size() == 1 && Type.strip(types.getFirst()) instanceof Aggregate aggregate) {
                    for (String[] fact : entry.getValue()) count += check(aggregate, fact, wrong);
                } else {
                    wrong.add(entry.getKey() + ": candidates " + Ambiguous.lines(types));
                }
            }
        }
        System.out.println("truth, " + label + ": " + count + " facts, " + wrong.size() + " wrong");
        FACTS.merge(label.substring(0, label.indexOf(':')), count, Integer::sum);
        assertThat(wrong).as(label).isEmpty();
    }

    private static int check(Aggregate aggregate, String[] fact, List<String> wrong) {
        String name = aggregate.qualifiedName() + (fact.length == 4 ? "." + fact[1] : "");
        int count = 0;
        if (fact.length == 3) {
            count += same(name + ": size", fact[1], aggregate.size(), wrong);
            count += same(
                    name + ": alignment",
                    fact[2],
                    Platform.of(aggregate.table()).alignmentOf(aggregate),
                    wrong);
            if (!aggregate.sizeKnown()) wrong.add(name + ": size is not known");
            return count;
        }
        for (Flat flat : Flat.own(aggregate)) {
            if (!flat.path().equals(fact[1])
                    && !(aggregate.table().language().anyCase() && flat.path().equalsIgnoreCase(fact[1]))) continue;
            count += same(name + ": offset", fact[2], flat.offset(), wrong);
            count += same(name + ": bytes", fact[3], flat.bits() / 8, wrong);
            if (!flat.member().sizeKnown() && !fact[3].equals("-")) wrong.add(name + ": size is not known");
            return count;
        }
        wrong.add(name + ": no such member, but "
                + Flat.own(aggregate).stream().map(Flat::path).toList());
        return count;
    }

    private static int same(String what, String truth, long read, List<String> wrong) {
        if (truth.equals("-")) return 0;
        if (Long.parseLong(truth) != read) wrong.add(what + " is " + truth + ", read: " + read);
        return 1;
    }

    private static String source(String name) {
        return Tools.resource("truth/" + name).toString();
    }

    @Test
    void cIsReadAsTheCompilerLaidItOut() throws Exception {
        Map<String, List<String>> flags = new LinkedHashMap<>();
        flags.put(
                "gcc",
                List.of(
                        "-gdwarf-2 -DNO_ALIGNAS",
                        "-gdwarf-3",
                        "-gdwarf-4",
                        "-gdwarf-5",
                        "-g -O2",
                        "-g -gz",
                        "-gdwarf-5 -fdebug-types-section",
                        "-g -flto",
                        "-g -gsplit-dwarf",
                        "-gdwarf-4 -gsplit-dwarf"));
        flags.put(
                "clang",
                List.of("-gdwarf-4", "-gdwarf-5", "-g -O2 -gz", "-gdwarf-5 -gsplit-dwarf", "-gdwarf-4 -gsplit-dwarf"));
        for (Map.Entry<String, List<String>> entry : flags.entrySet()) {
            if (!have(entry.getKey())) continue;
            for (String flag : entry.getValue())
                facts(
                        "C: " + entry.getKey() + " " + flag,
                        entry.getKey() + " -w " + flag + " " + source("truth.c") + " -o c",
                        "c",
                        "c");
        }
        if (have("gcc", "ar")) {
            Tools.run(
                    folder,
                    words("gcc -w -g -c " + source("truth.c") + " -o c.o").toArray(new String[0]));
            Tools.run(folder, "gcc", "c.o", "-o", "c");
            String truth = Tools.run(folder, folder.resolve("c").toString());
            compare("C: an object file", truth, "c.o");
            Tools.run(folder, "ar", "rc", "c.a", "c.o");
            compare("C: an archive", truth, "c.a");
            Tools.run(folder, "ar", "rcT", "thin.a", "c.o");
            compare("C: a thin archive", truth, "thin.a");
        }
    }

    @Test
    void cxxIsReadAsTheCompilerLaidItOut() throws Exception {
        Map<String, List<String>> flags = new LinkedHashMap<>();
        flags.put(
                "g++",
                List.of(
                        "-gdwarf-4 -std=c++17",
                        "-gdwarf-5",
                        "-g -O2",
                        "-gdwarf-5 -fdebug-types-section",
                        "-g -gsplit-dwarf",
                        "-gdwarf-2 -std=c++11"));
        flags.put(
                "clang++",
                List.of("-gdwarf-4", "-gdwarf-5 -std=c++17", "-g -gsimple-template-names", "-gdwarf-5 -gsplit-dwarf"));
        for (Map.Entry<String, List<String>> entry : flags.entrySet()) {
            if (!have(entry.getKey())) continue;
            for (String flag : entry.getValue()) {
                String standard = flag.contains("-std") ? "" : "-std=c++20 ";
                facts(
                        "C++: " + entry.getKey() + " " + flag,
                        entry.getKey() + " -w " + standard + flag + " " + source("truth.cpp") + " -o cxx",
                        "cxx",
                        "cxx");
            }
        }
    }

    @Test
    void packagesOfSplitUnitsAreReadAsTheCompilerLaidThemOut() throws Exception {
        String pack = Tools.has("llvm-dwp") ? "llvm-dwp" : "llvm-dwp-14";
        if (!have("clang++", pack)) return;
        for (String flag : new String[] {"-gdwarf-4", "-gdwarf-5"}) {
            Tools.run(
                    folder,
                    words("clang++ -w -std=c++20 -gsplit-dwarf " + flag + " " + source("truth.cpp") + " -o packed")
                            .toArray(new String[0]));
            Tools.run(folder, pack, "-e", "packed", "-o", "packed.dwp");
            try (var files = Files.list(folder)) {
                for (Path file :
                        files.filter(f -> f.toString().endsWith(".dwo")).toList()) Files.delete(file);
            }
            String truth = Tools.run(folder, folder.resolve("packed").toString());
            compare("C++: clang++ " + flag + ", a package", truth, "packed");
            compare("C++: clang++ " + flag + ", the package itself", truth, "packed.dwp");
        }
    }

    @Test
    void rustIsReadAsTheCompilerLaidItOut() throws Exception {
        if (!have("rustc")) return;
        String configuration = Tools.rustConfiguration();
        String[] flags = configuration.isEmpty()
                ? new String[] {"-g", "-g -O", "-g -C split-debuginfo=packed"}
                : new String[] {"-g", "-g -O"}; // the third is not stable there
        for (String flag : flags)
            facts(
                    "Rust: rustc " + flag,
                    "rustc " + flag + " " + configuration + source("truth.rs") + " -o rust",
                    "rust",
                    "rust");
    }

    @Test
    void goIsReadAsTheCompilerLaidItOut() throws Exception {
        if (!have("go")) return;
        String environment = "env GOCACHE=" + folder.resolve("cache") + " GOFLAGS=-mod=mod HOME=" + folder + " ";
        facts("Go: go build", environment + "go build -o go.out " + source("truth.go"), "go.out", "go.out");
        facts(
                "Go: go build, nothing compressed",
                environment + "go build -ldflags=-compressdwarf=false -gcflags=-N -o go.out " + source("truth.go"),
                "go.out",
                "go.out");
    }

    @Test
    void fortranIsReadAsTheCompilerLaidItOut() throws Exception {
        if (!have("gfortran")) return;
        for (String flag : new String[] {"-gdwarf-5", "-gdwarf-4", "-g -O2", "-gdwarf-3"})
            facts(
                    "Fortran: gfortran " + flag,
                    "gfortran -w -ffree-line-length-none " + flag + " " + source("truth.f90") + " -o fortran",
                    "fortran",
                    "fortran");
    }

    @Test
    void adaIsReadAsTheCompilerLaidItOut() throws Exception {
        if (!have("gnatmake")) return;
        for (String flag : new String[] {"-g", "-gdwarf-4", "-g -O2", "-gdwarf-3"}) {
            facts(
                    "Ada: gnatmake " + flag,
                    "gnatmake -f -q " + flag + " " + source("truth.adb") + " -o ada",
                    "ada",
                    "ada");
            try (LayoutSource source =
                    LayoutFiles.open(folder.resolve("ada").toString(), LayoutFiles.Options.DEFAULT)) {
                int[] counts = new int[2];
                source.forEachAggregate(a -> counts[a.sizeKnown() ? 0 : 1]++);
                assertThat(counts[0]).isGreaterThan(8);
                assertThat(counts[1])
                        .as("records of variable size, the run time's too")
                        .isPositive();
            }
        }
    }

    @Test
    void pascalIsReadAsTheCompilerLaidItOut() throws Exception {
        if (!have("fpc")) return;
        for (String flag : new String[] {"-gw2", "-gw3", "-gw4", "-gw3 -O2"})
            facts(
                    "Pascal: fpc " + flag,
                    "fpc -v0 -g " + flag + " -FE" + folder + " -opascal " + source("truth.pas"),
                    "pascal",
                    "pascal");
    }

    @Test
    void dIsReadAsTheCompilerLaidItOut() throws Exception {
        if (have("gdc")) {
            for (String flag : new String[] {"-gdwarf-5", "-gdwarf-4", "-g -O2"})
                facts("D: gdc " + flag, "gdc -w " + flag + " " + source("truth.d") + " -o d", "d", "d");
        }
        if (have("ldc2")) facts("D: ldc2 -g", "ldc2 -g " + source("truth.d") + " -of=d", "d", "d");
    }

    @Test
    void nimIsReadAsTheCompilerLaidItOut() throws Exception {
        if (!have("nim")) return;
        Tools.run(
                folder,
                words("nim c --debugger:native --hints:off --nimcache:" + folder.resolve("cache") + " -o:nim "
                                + source("truth.nim"))
                        .toArray(new String[0]));
        Map<String, String> mangled = new LinkedHashMap<>();
        try (LayoutSource source = LayoutFiles.open(folder.resolve("nim").toString(), LayoutFiles.Options.DEFAULT)) {
            source.forEachAggregate(a -> {
                String name = String.valueOf(a.name());
                for (String type : new String[] {"Plain", "Inner"})
                    if (name.startsWith("tyObject_" + type + "__")) mangled.put(type, name);
            });
        }
        StringBuilder facts = new StringBuilder();
        for (String line : Tools.run(folder, folder.resolve("nim").toString()).split("\n")) {
            int tab = line.indexOf('\t');
            String type = line.substring(0, tab);
            facts.append(mangled.getOrDefault(type, type))
                    .append(line.substring(tab))
                    .append('\n');
        }
        compare("Nim: nim c", facts.toString(), "nim");
    }

    @AfterAll
    static void count() {
        int all = FACTS.values().stream().mapToInt(Integer::intValue).sum();
        System.out.println("truth corpus: " + all + " facts, none wrong: " + FACTS
                + (wanting > 0 ? "; " + wanting + " compilers are missing" : ""));
        if (wanting == 0 && FACTS.size() == 9) assertThat(all).isGreaterThanOrEqualTo(1500);
    }
}
