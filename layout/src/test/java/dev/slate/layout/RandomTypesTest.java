package dev.slate.layout;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.layout.file.LayoutFiles;
import dev.slate.layout.pack.Packer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Random types of C, C++ and Rust: sizes and places are read as the compiler's own program prints them, and every order that {@code pack}
 * proposes is compiled again and must come out as claimed, and smaller.
 */
final class RandomTypesTest {
    private static final int SHARE = Integer.getInteger("slate.types", 2_000) / 20;

    @TempDir
    private Path folder = Path.of("");

    /** How a language's sources are made and compiled. */
    private interface Language {
        RandomSources.Made make(SplittableRandom random, int number, List<String> earlier);

        /** A program of these declarations that prints NAME SIZE and NAME MEMBER OFFSET for each of these types. */
        String program(String declarations, Map<String, List<String>> types);

        void compile(Path folder, String source, String output) throws Exception;
    }

    private record Compiled(String compiler, String suffix, String head, boolean cxx) implements Language {
        @Override
        public RandomSources.Made make(SplittableRandom random, int number, List<String> earlier) {
            return cxx ? RandomSources.cxx(random, number, earlier) : RandomSources.c(random, number, earlier);
        }

        @Override
        public String program(String declarations, Map<String, List<String>> types) {
            StringBuilder text = new StringBuilder(head).append(declarations).append("int main() {\n");
            types.forEach((name, members) -> {
                text.append("printf(\"")
                        .append(name)
                        .append(" %zu\\n\", sizeof(struct ")
                        .append(name)
                        .append("));\n");
                for (String member : members)
                    text.append("printf(\"")
                            .append(name)
                            .append(' ')
                            .append(member)
                            .append(" %zu\\n\", offsetof(struct ")
                            .append(name)
                            .append(", ")
                            .append(member)
                            .append("));\n");
            });
            return text.append("return 0; }\n").toString();
        }

        @Override
        public void compile(Path folder, String source, String output) throws Exception {
            Tools.run(folder, compiler, "-g", "-O0", "-w", cxx ? "-std=c++20" : "-std=gnu11", "-o", output, source);
        }
    }

    private record Rust() implements Language {
        @Override
        public RandomSources.Made make(SplittableRandom random, int number, List<String> earlier) {
            return RandomSources.rust(random, number, earlier);
        }

        @Override
        public String program(String declarations, Map<String, List<String>> types) {
            StringBuilder text = new StringBuilder(
                            "#![allow(dead_code, non_camel_case_types, unused_unsafe)]\nuse std::mem::MaybeUninit;\n")
                    .append(declarations);
            StringBuilder main = new StringBuilder("fn main() {\n");
            types.forEach((name, members) -> {
                text.append("fn show_")
                        .append(name)
                        .append("() { let u = MaybeUninit::<")
                        .append(name)
                        .append(">::uninit(); let p = u.as_ptr();\n")
                        .append("println!(\"")
                        .append(name)
                        .append(" {}\", std::mem::size_of::<")
                        .append(name)
                        .append(">());\n");
                for (String member : members)
                    text.append("println!(\"")
                            .append(name)
                            .append(' ')
                            .append(member)
                            .append(" {}\", unsafe { std::ptr::addr_of!((*p).")
                            .append(member)
                            .append(") } as usize - p as usize);\n");
                text.append("}\n");
                main.append("show_").append(name).append("();\n");
            });
            return text.append(main).append("}\n").toString();
        }

        @Override
        public void compile(Path folder, String source, String output) throws Exception {
            Tools.run(folder, "rustc", "-g", "--cap-lints=allow", "-o", output, source);
        }
    }

    @Test
    void cTypesAreReadAndPackedAsTheCompilerDoes() throws Exception {
        Tools.need("gcc");
        storm("gcc", new Compiled("gcc", ".c", RandomSources.C_HEAD, false), ".c", SHARE * 6);
        Tools.need("clang");
        storm("clang", new Compiled("clang", ".c", RandomSources.C_HEAD, false), ".c", SHARE * 3);
    }

    @Test
    void cxxTypesAreReadAndPackedAsTheCompilerDoes() throws Exception {
        Tools.need("g++");
        storm("g++", new Compiled("g++", ".cpp", RandomSources.CXX_HEAD, true), ".cpp", SHARE * 6);
        Tools.need("clang++");
        storm("clang++", new Compiled("clang++", ".cpp", RandomSources.CXX_HEAD, true), ".cpp", SHARE * 2);
    }

    @Test
    void rustTypesAreReadAndPackedAsTheCompilerDoes() throws Exception {
        Tools.need("rustc");
        storm("rustc", new Rust(), ".rs", SHARE * 3);
    }

    private void storm(String label, Language language, String suffix, int count) throws Exception {
        long seed = Long.getLong("slate.seed", 1);
        System.out.println("random types of " + label + ": -Dslate.seed=" + seed);
        SplittableRandom random = new SplittableRandom(seed);
        Map<String, RandomSources.Made> all = new LinkedHashMap<>();
        List<String> earlier = new ArrayList<>();
        StringBuilder declarations = new StringBuilder();
        Map<String, List<String>> members = new LinkedHashMap<>();
        for (int i = 0; i < count; i++) {
            RandomSources.Made made = language.make(random, i, earlier);
            all.put(made.name(), made);
            declarations.append(made.source(made.name(), made.fields(), RandomSources.MARK));
            members.put(made.name(), placed(made));
            if (earlier.size() < 100) earlier.add(made.name());
            else earlier.set(random.nextInt(100), made.name());
        }
        Files.writeString(folder.resolve("one" + suffix), language.program(declarations.toString(), members));
        language.compile(folder, "one" + suffix, "one");
        List<String> wrong = new ArrayList<>();
        Map<String, Packer.Proposal> proposals = new LinkedHashMap<>();
        StringBuilder again = new StringBuilder(declarations);
        Map<String, List<String>> packed = new LinkedHashMap<>();
        check("one", members.keySet(), wrong, aggregate -> {
            Packer.Proposal proposal = Packer.pack(aggregate, new Packer.Wish(random.nextInt(3) == 0, Set.of(), 64));
            if (!proposal.made()) return null;
            RandomSources.Made made = all.get(aggregate.name());
            if (made == null) return null;
            if (proposal.aggregate().size() >= aggregate.size())
                wrong.add(aggregate.name() + ": a proposal that gains nothing");
            String name = made.name() + "p";
            again.append(made.source(name, order(made, aggregate, proposal.aggregate()), RandomSources.MARK));
            packed.put(name, placed(made));
            proposals.put(name, proposal);
            return null;
        });
        assertThat(wrong).as(label + ", seed " + seed).isEmpty();
        Files.writeString(folder.resolve("two" + suffix), language.program(again.toString(), packed));
        language.compile(folder, "two" + suffix, "two");
        Map<String, Aggregate> compiled = new HashMap<>();
        check("two", packed.keySet(), wrong, aggregate -> {
            compiled.put(String.valueOf(aggregate.name()), aggregate);
            return null;
        });
        proposals.forEach((name, proposal) -> {
            int before = wrong.size();
            claimed(name, proposal.aggregate(), compiled.get(name), wrong);
            RandomSources.Made made = all.get(name.substring(0, name.length() - 1));
            if (wrong.size() > before && made != null)
                wrong.add("its source: " + made.source(made.name(), made.fields(), RandomSources.MARK));
        });
        System.out.println(
                label + ": " + count + " types read as laid out, " + proposals.size() + " proposals compiled again");
        assertThat(wrong).as(label + ", seed " + seed).isEmpty();
        assertThat(proposals.size()).isGreaterThan(count / 40);
    }

    private static List<String> placed(RandomSources.Made made) {
        return made.fields().stream()
                .filter(f -> !f.bits() && !f.name().isEmpty())
                .map(RandomSources.Field::name)
                .toList();
    }

    /** The fields in the order of the proposal; a nameless one is known by the place of its type among the nameless ones. */
    private static List<RandomSources.Field> order(RandomSources.Made made, Aggregate before, Aggregate after) {
        Map<String, RandomSources.Field> named = new HashMap<>();
        List<RandomSources.Field> nameless = new ArrayList<>();
        for (RandomSources.Field field : made.fields()) {
            if (!field.name().isEmpty()) named.put(field.name(), field);
            else if (!field.bits()) nameless.add(field);
        }
        List<Type> types = new ArrayList<>();
        for (Member member : before.members())
            if (member.name() == null && member.role() == Member.Role.FIELD && member.type() != null)
                types.add(member.type());
        List<RandomSources.Field> order = new ArrayList<>();
        for (Member member : after.members()) {
            if (member.role() != Member.Role.FIELD) continue;
            RandomSources.Field field =
                    member.name() == null ? nameless.get(types.indexOf(member.type())) : named.get(member.name());
            if (field != null) order.add(field);
        }
        return order;
    }

    /** Runs a program and compares what it prints with what is read from it. */
    private void check(String program, Set<String> names, List<String> wrong, Function<Aggregate, @Nullable Void> each)
            throws Exception {
        Map<String, Long> facts = new HashMap<>();
        for (String line : Tools.run(folder, folder.resolve(program).toString()).split("\n")) {
            int space = line.lastIndexOf(' ');
            if (space > 0) facts.put(line.substring(0, space), Long.parseLong(line.substring(space + 1)));
        }
        Map<String, Aggregate> read = new HashMap<>();
        try (LayoutSource source = LayoutFiles.open(folder.resolve(program).toString(), LayoutFiles.Options.DEFAULT)) {
            source.forEachAggregate(a -> {
                String name = String.valueOf(a.name());
                if (!names.contains(name) || read.put(name, a) != null) return;
                compare(a, name, facts, wrong);
                each.apply(a);
            });
        }
        for (String name : names) if (!read.containsKey(name)) wrong.add(name + " was not read");
    }

    private static void compare(Aggregate aggregate, String name, Map<String, Long> facts, List<String> wrong) {
        Long size = facts.get(name);
        if (size == null || size != aggregate.size())
            wrong.add(name + ": size is " + size + ", read: " + aggregate.size());
        for (Member member : aggregate.members()) {
            Long offset = facts.get(name + " " + member.name());
            if (offset != null && offset != member.byteOffset())
                wrong.add(name + "." + member.name() + " is at " + offset + ", read: " + member.byteOffset());
        }
        Layout layout = aggregate.layout();
        for (int i = 0; i < aggregate.members().size(); i++)
            if (layout.hole(i) < 0 || layout.bitHole(i) < 0) wrong.add(name + ": a negative hole");
        if (layout.padding() < 0 || layout.holeSum() > aggregate.size())
            wrong.add(name + ": holes larger than the type");
    }

    private static void claimed(String name, Aggregate claim, @Nullable Aggregate truth, List<String> wrong) {
        if (truth == null) return;
        if (claim.size() != truth.size()) wrong.add(name + ": claimed " + claim.size() + ", compiled " + truth.size());
        for (Member member : claim.members()) {
            for (Member other : truth.members()) {
                if (member.name() == null
                        || !member.name().equals(other.name())
                        || member.bitOffset() == other.bitOffset()) continue;
                wrong.add(name + "." + member.name() + ": claimed at bit " + member.bitOffset() + ", compiled at "
                        + other.bitOffset());
            }
        }
    }
}
