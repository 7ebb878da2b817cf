package dev.slate.layout;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.layout.compare.SourceDiff;
import dev.slate.layout.density.Density;
import dev.slate.layout.dwarf.Definitions;
import dev.slate.layout.file.LayoutFiles;
import dev.slate.layout.lock.LockFile;
import dev.slate.layout.pack.Packer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Types of one name in several scopes and units: each is found, shown, compared and guarded by itself. */
final class NamesTest {
    @TempDir
    private Path folder = Path.of("");

    private LayoutSource open(String file) {
        return LayoutFiles.open(folder.resolve(file).toString(), LayoutFiles.Options.DEFAULT);
    }

    private void write(String file, String text) throws Exception {
        Path path = folder.resolve(file);
        Files.createDirectories(path.getParent());
        Files.writeString(path, text);
    }

    /** Two builds that differ in one type of two that have one name: the diff tells that one, a lock of the old build fails on the new. */
    private void guarded(String before, String after, String changed, String same) throws Exception {
        try (LayoutSource old = open(before);
                LayoutSource now = open(after)) {
            assertThat(new SourceDiff(old, old, p -> {}).differing()).isEmpty();
            List<SourceDiff.Pair> pairs = new SourceDiff(old, now, p -> {}).differing();
            assertThat(pairs.stream().map(SourceDiff.Pair::name))
                    .as("what differs")
                    .containsExactly(changed);
            assertThat(old.find(changed)).isInstanceOf(Aggregate.class);
            StringBuilder lock = new StringBuilder();
            for (String name : List.of(same, changed))
                if (old.find(name) instanceof Aggregate a) lock.append(LockFile.state(a, name));
            Path path = folder.resolve("layout.lock");
            Files.writeString(path, lock);
            assertThat(LockFile.read(path).check(List.of(old), 64))
                    .as("the old build")
                    .isEmpty();
            assertThat(LockFile.read(path).check(List.of(now), 64))
                    .as("the new build")
                    .isNotEmpty()
                    .allSatisfy(f -> assertThat(f.message()).contains(changed));
        }
    }

    private void build(String name, String text, String... command) throws Exception {
        write(name, text);
        Tools.run(folder, command);
    }

    @Test
    void twoCFilesThatEachHaveAStructOfOneNameAreTwo() throws Exception {
        Tools.need("gcc");
        write("a.c", "struct cfg { int a; char b; }; struct cfg one; int main(void) { return one.a; }\n");
        for (String side : new String[] {"before", "after"}) {
            String grown = side.equals("after") ? " long grown[4];" : "";
            build(
                    "b.c",
                    "struct cfg { long a; char b;" + grown + " }; struct cfg two;\n",
                    "gcc",
                    "-g",
                    "a.c",
                    "b.c",
                    "-o",
                    side);
        }
        guarded("before", "after", "b.c:cfg", "a.c:cfg");
        try (LayoutSource source = open("before")) {
            List<Type> found = source.find(List.of("cfg")).getOrDefault("cfg", List.of());
            assertThat(Ambiguous.lines(found))
                    .containsExactly("a.c:cfg  (8 bytes, a.c:1)", "b.c:cfg  (16 bytes, b.c:1)");
            Path lock = folder.resolve("layout.lock");
            Files.writeString(lock, "type cfg size 8\n");
            assertThat(LockFile.read(lock).check(List.of(source), 64))
                    .singleElement()
                    .satisfies(f -> assertThat(f.message()).contains("a.c:cfg").contains("state which"));
        }
    }

    @Test
    void cxxNamespacesAndClassesTellTypesApart() throws Exception {
        Tools.need("g++");
        for (String side : new String[] {"before", "after"}) {
            String grown = side.equals("after") ? " long grown[4];" : "";
            build(
                    side + ".cpp",
                    "namespace net { struct Config { int a; char b; }; }\nnamespace disk { struct Config { long a; char b; int c;"
                            + grown
                            + " }; }\nstruct Outer { struct Config { char x; }; } o;\nnet::Config n; disk::Config d; Outer::Config i; int main() {}\n",
                    "g++",
                    "-g",
                    side + ".cpp",
                    "-o",
                    side);
        }
        guarded("before", "after", "disk::Config", "net::Config");
        try (LayoutSource source = open("before")) {
            assertThat(source.find(List.of("Config")).getOrDefault("Config", List.of()))
                    .hasSize(3);
            assertThat(source.find("Outer::Config")).extracting(Type::size).isEqualTo(1L);
            assertThat(source.similar("config")).contains("net::Config");
        }
    }

    @Test
    void aChangeOfNothingButAMembersTypeOrAnInnerStructsOrderIsADifference() throws Exception {
        Tools.need("gcc");
        String[][] changes = {
            {"struct t { int a; }", "struct t { float a; }"},
            {"struct t { struct { int a; char b, c; } in; }", "struct t { struct { int a; char c, b; } in; }"},
            {"struct t { struct { short a, b; } in[3]; }", "struct t { struct { short b, a; } in[3]; }"}
        };
        for (String[] change : changes) {
            build("one.c", change[0] + " v;\n", "gcc", "-g", "-c", "one.c");
            build("two.c", change[1] + " v;\n", "gcc", "-g", "-c", "two.c");
            try (LayoutSource one = open("one.o");
                    LayoutSource two = open("two.o")) {
                assertThat(new SourceDiff(one, two, p -> {}).differing())
                        .as(change[1])
                        .hasSize(1);
            }
        }
    }

    @Test
    void rustModulesTellTypesApart() throws Exception {
        Tools.need("rustc");
        for (String side : new String[] {"before", "after"}) {
            String grown = side.equals("after") ? ", pub grown: [u64; 4]" : "";
            String value = side.equals("after") ? ", grown: [9; 4]" : "";
            build(
                    "app.rs",
                    "pub mod net { pub struct Config { pub a: u32, pub b: u8 } }\npub mod disk { pub struct Config { pub a: u64, pub b: u8"
                            + grown
                            + " } }\nfn main() { let n = net::Config { a: 1, b: 2 }; let d = disk::Config { a: 1, b: 2"
                            + value
                            + " }; println!(\"{} {}\", n.a + n.b as u32, d.a + d.b as u64); }\n",
                    "rustc",
                    "-g",
                    "--cap-lints=allow",
                    "app.rs",
                    "-o",
                    side);
        }
        guarded("before", "after", "app::disk::Config", "app::net::Config");
    }

    @Test
    void goPackagesTellTypesApart() throws Exception {
        Tools.need("go");
        write("go.mod", "module example.org/app\n\ngo 1.19\n");
        write("net/net.go", "package net\n\ntype Config struct {\n\tA int32\n\tB bool\n}\n");
        write(
                "main.go",
                "package main\n\nimport (\n\t\"example.org/app/disk\"\n\t\"example.org/app/net\"\n\t\"fmt\"\n)\n\nfunc main() { fmt.Println(net.Config{A: 1}, disk.Config{A: 2}) }\n");
        for (String side : new String[] {"before", "after"}) {
            String grown = side.equals("after") ? "\tGrown [4]int64\n" : "";
            write("disk/disk.go", "package disk\n\ntype Config struct {\n\tA int64\n\tB bool\n" + grown + "}\n");
            Tools.run(
                    folder,
                    "env",
                    "GOCACHE=" + folder.resolve("cache"),
                    "GOFLAGS=-mod=mod",
                    "HOME=" + folder,
                    "go",
                    "build",
                    "-o",
                    side,
                    ".");
        }
        guarded("before", "after", "example.org/app/disk.Config", "net.Config");
    }

    @Test
    void aClassThatAUnitOnlyDeclaresHasTheSizeOfItsDefinition() throws Exception {
        Tools.need("g++");
        write(
                "k.h",
                "struct Msg { long a[38]; int b; virtual ~Msg(); }; struct Paxos : Msg { long v; short s; long e; int z; }; struct Holds { char c; Msg m; char d; };\n");
        build("k1.cpp", "#include \"k.h\"\nMsg::~Msg() {} Msg m;\n", "g++", "-g", "-c", "k1.cpp");
        build("k2.cpp", "#include \"k.h\"\nPaxos p; Holds h; int main() {}\n", "g++", "-g", "-c", "k2.cpp");
        Tools.run(folder, "g++", "k1.o", "k2.o", "-o", "both");
        try (LayoutSource source = open("both")) {
            whole(source);
        }
        Definitions definitions = new Definitions();
        try (LayoutSource user =
                        LayoutFiles.open(folder.resolve("k2.o").toString(), LayoutFiles.Options.DEFAULT, definitions);
                LayoutSource definer =
                        LayoutFiles.open(folder.resolve("k1.o").toString(), LayoutFiles.Options.DEFAULT, definitions)) {
            assertThat(definer.find("Msg")).isNotNull();
            whole(user);
        }
        try (LayoutSource alone = open("k2.o")) {
            if (!(alone.find("Holds") instanceof Aggregate holds)) throw new AssertionError("Holds");
            assertThat(holds.members().get(1).sizeKnown()).as("nobody tells").isFalse();
            assertThat(holds.layout().holeCount()).isEqualTo(1);
            assertThat(Packer.pack(holds, new Packer.Wish(false, Set.of(), 64)))
                    .satisfies(p -> assertThat(p.made()).isFalse())
                    .satisfies(p -> assertThat(p.notes().getFirst()).contains("m is not known"));
        }
    }

    private static void whole(LayoutSource source) {
        if (!(source.find("Paxos") instanceof Aggregate paxos) || !(source.find("Holds") instanceof Aggregate holds))
            throw new AssertionError("Paxos and Holds");
        assertThat(paxos.layout().holeSum()).isEqualTo(6);
        assertThat(holds.members().get(1).byteSize()).isEqualTo(320);
        assertThat(holds.layout().holeSum()).isEqualTo(7);
        assertThat(Packer.pack(paxos, new Packer.Wish(false, Set.of(), 64))
                        .aggregate()
                        .size())
                .isEqualTo(344);
    }

    @Test
    void nothingIsProposedThatNoCompilerMakesOrThatGainsNothing() throws Exception {
        Tools.need("g++", "gcc");
        build(
                "p.c",
                "struct cx { char a; double _Complex k; char b; } a; typedef float vec4 __attribute__((vector_size(16))); struct vc { char a; vec4 m; char b; } b;"
                        + " struct good { char a; short b; int c; long d; } c; struct bad { char a; long b; char c; } d;\n",
                "gcc",
                "-g",
                "-c",
                "p.c");
        try (LayoutSource source = open("p.o")) {
            assertThat(packed(source, "cx")).isEqualTo(24);
            assertThat(packed(source, "vc")).isEqualTo(32);
            assertThat(packed(source, "good")).as("as it is").isEqualTo(16);
            assertThat(packed(source, "bad")).isEqualTo(16);
        }
        build(
                "p.cpp",
                "struct P { int a; char b; P() {} }; struct TailReuse : P { char c; } t; struct NUP { [[no_unique_address]] P p; char c; } n;\n"
                        + "struct E1 {}; struct NU { [[no_unique_address]] E1 a; int x; [[no_unique_address]] E1 b;"
                        + " [[no_unique_address]] E1 c; char z; } u; struct Plain { int x; E1 e; } e;"
                        + " struct In { int x; [[no_unique_address]] E1 a; [[no_unique_address]] E1 b; } i;"
                        + " struct Outer { NU n; In i; } o;\n",
                "g++",
                "-std=c++20",
                "-g",
                "-c",
                "p.cpp",
                "-o",
                "px.o");
        try (LayoutSource source = open("px.o")) {
            assertThat(packed(source, "TailReuse")).isEqualTo(8);
            assertThat(packed(source, "NUP")).isEqualTo(8);
            assertThat(padding(source, "NU"))
                    .as("behind z, where c is but takes no room")
                    .isEqualTo(3);
            assertThat(padding(source, "Plain"))
                    .as("behind e, which takes a byte")
                    .isEqualTo(3);
            assertThat(padding(source, "TailReuse")).as("behind c, in P's").isEqualTo(2);
            assertThat(padding(source, "NUP")).isEqualTo(2);
            assertThat(padding(source, "In"))
                    .as("behind b, which may not lie where a does")
                    .isEqualTo(3);
            if (!(source.find("In") instanceof Aggregate in)) throw new AssertionError();
            assertThat(new Density(in, false, false).owner(0))
                    .as("x, in which a lies")
                    .isZero();
            if (!(source.find("Outer") instanceof Aggregate outer)) throw new AssertionError();
            assertThat(new Density(outer, false, true).count()).isEqualTo(new Density.Count(10, 3, 3));
        }
    }

    private static long padding(LayoutSource source, String name) {
        if (!(source.find(name) instanceof Aggregate aggregate)) throw new AssertionError(name);
        assertThat(new Density(aggregate, false, false).count().padding())
                .as("padding of " + name + "'s picture")
                .isEqualTo(aggregate.layout().padding());
        return aggregate.layout().padding();
    }

    private static long packed(LayoutSource source, String name) {
        if (!(source.find(name) instanceof Aggregate aggregate)) throw new AssertionError(name);
        return Packer.pack(aggregate, new Packer.Wish(false, Set.of(), 64))
                .aggregate()
                .size();
    }
}
