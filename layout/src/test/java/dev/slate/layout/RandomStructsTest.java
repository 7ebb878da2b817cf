package dev.slate.layout;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.layout.dwarf.Dwarf;
import dev.slate.layout.elf.ElfFile;
import dev.slate.layout.elf.Image;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Random C structs: what DWARF says and what the platform would do, against what the compiler's own program computes. */
final class RandomStructsTest {
    private static final int STRUCTS = 10_000;
    private static final String[] TYPES = {
        "char",
        "short",
        "int",
        "long",
        "unsigned char",
        "unsigned short",
        "unsigned",
        "unsigned long long",
        "float",
        "double",
        "long double",
        "void *",
        "_Bool",
        "enum colour",
        "__int128"
    };
    private static final int[] BITS = {8, 16, 32, 64, 8, 16, 32, 64, 0, 0, 0, 0, 1, 0, 0};

    @TempDir
    private Path folder = Path.of("");

    /** One random struct's source, and the names of those members whose place C can tell. */
    private record Made(String source, List<String> members, boolean plain) {}

    private static Made make(SplittableRandom random, int number, List<Integer> earlier, Set<Integer> packedInside) {
        StringBuilder text = new StringBuilder();
        List<String> members = new ArrayList<>();
        boolean union = random.nextInt(12) == 0;
        boolean packed = random.nextInt(8) == 0;
        boolean plain = !union && !packed;
        if (packed) packedInside.add(number);
        text.append(union ? "union" : "struct").append(" s").append(number).append(" {\n");
        int count = 1 + random.nextInt(12);
        for (int i = 0; i < count; i++) {
            String name = "m" + i;
            int kind = random.nextInt(16);
            int type = random.nextInt(TYPES.length);
            if (kind < 3 && BITS[type] > 0) {
                text.append('\t')
                        .append(TYPES[type])
                        .append(' ')
                        .append(name)
                        .append(" : ")
                        .append(1 + random.nextInt(BITS[type]))
                        .append(";\n");
                continue; // C has no offsetof for a bit field; the members around it show where it must be
            }
            if (kind == 3 && BITS[type] > 1) {
                text.append('\t')
                        .append(TYPES[type])
                        .append(" : ")
                        .append(random.nextInt(BITS[type]))
                        .append(";\n");
                plain = false; // a nameless field leaves no trace in DWARF
                continue;
            }
            if (kind == 4 && !earlier.isEmpty()) {
                int inner = earlier.get(random.nextInt(earlier.size()));
                if (packedInside.contains(inner)) {
                    packedInside.add(number);
                    plain = false; // packed, and perhaps by luck where it need not be: no debug format says so
                }
                text.append("\tT").append(inner).append(' ').append(name).append(";\n");
            } else if (kind == 5) {
                text.append('\t')
                        .append(TYPES[type])
                        .append(' ')
                        .append(name)
                        .append('[')
                        .append(1 + random.nextInt(9))
                        .append("];\n");
            } else if (kind == 6) {
                text.append("\t_Alignas(")
                        .append(1 << random.nextInt(4, 8))
                        .append(") ")
                        .append(TYPES[type])
                        .append(' ')
                        .append(name)
                        .append(";\n");
                if (packed) plain = false;
            } else if (kind == 7) {
                text.append("\tstruct { ")
                        .append(TYPES[type])
                        .append(" x; char y; } ")
                        .append(name)
                        .append(";\n");
            } else {
                text.append('\t').append(TYPES[type]).append(' ').append(name).append(";\n");
            }
            members.add(name);
        }
        text.append("}")
                .append(packed ? " __attribute__((packed))" : "")
                .append(";\ntypedef ")
                .append(union ? "union" : "struct")
                .append(" s")
                .append(number)
                .append(" T")
                .append(number)
                .append(";\nT")
                .append(number)
                .append(" v")
                .append(number)
                .append(";\n");
        return new Made(text.toString(), members, plain);
    }

    @Test
    void dwarfAndThePlatformAgreeWithTheCompilerAboutTenThousandStructs() throws Exception {
        Tools.need("cc");
        long seed = Long.getLong("slate.seed", 1);
        System.out.println("random structs: -Dslate.seed=" + seed);
        SplittableRandom random = new SplittableRandom(seed);
        StringBuilder source =
                new StringBuilder("#include <stddef.h>\n#include <stdio.h>\nenum colour { RED, GREEN };\n");
        StringBuilder table = new StringBuilder();
        List<Made> all = new ArrayList<>();
        List<Integer> earlier = new ArrayList<>();
        Set<Integer> packedInside = new HashSet<>();
        int compared = 0;
        for (int i = 0; i < STRUCTS; i++) {
            Made made = make(random, i, earlier, packedInside);
            source.append(made.source());
            table.append("{ sizeof(T")
                    .append(i)
                    .append("), _Alignof(T")
                    .append(i)
                    .append(") },\n");
            for (String member : made.members())
                table.append("{ offsetof(T")
                        .append(i)
                        .append(", ")
                        .append(member)
                        .append("), sizeof(v")
                        .append(i)
                        .append('.')
                        .append(member)
                        .append(") },\n");
            all.add(made);
            if (earlier.size() < 200) earlier.add(i);
            else earlier.set(random.nextInt(200), i);
        }
        source.append("const unsigned truth[][2] = {\n").append(table).append("};\n");
        source.append(
                "int main(void) { for (size_t i = 0; i < sizeof truth / sizeof *truth; i++) printf(\"%u %u\\n\", truth[i][0], truth[i][1]); return 0; }\n");
        Files.writeString(folder.resolve("random.c"), source);
        Tools.run(folder, "cc", "-g", "-O0", "-w", "-o", "random", "random.c");
        String[] truth = Tools.run(folder, folder.resolve("random").toString()).split("\n");

        Map<String, Aggregate> read = new HashMap<>();
        List<String> wrong = new ArrayList<>();
        try (Dwarf dwarf = Dwarf.open(ElfFile.of(Image.open(folder.resolve("random"))), 2)) {
            if (dwarf == null) throw new AssertionError("no DWARF");
            dwarf.forEachAggregate(a -> read.put(String.valueOf(a.name()), a));
            int line = 0;
            for (int i = 0; i < STRUCTS; i++) {
                Made made = all.get(i);
                Aggregate aggregate = read.get("s" + i);
                if (aggregate == null) throw new AssertionError("s" + i + " was not read");
                String[] whole = truth[line++].split(" ");
                if (aggregate.size() != Long.parseLong(whole[0]))
                    wrong.add("sizeof s" + i + " is " + whole[0] + ", read: " + aggregate.size());
                Map<String, Member> members = new HashMap<>();
                for (Member member : aggregate.members()) members.put(String.valueOf(member.name()), member);
                for (String name : made.members()) {
                    String[] place = truth[line++].split(" ");
                    Member member = members.get(name);
                    if (member == null) throw new AssertionError("s" + i + "." + name + " was not read");
                    if (member.byteOffset() != Long.parseLong(place[0])
                            || member.byteSize() != Long.parseLong(place[1])) {
                        wrong.add("s" + i + "." + name + ": " + String.join(" ", place) + ", read: "
                                + member.byteOffset() + " " + member.byteSize());
                    }
                }
                if (made.plain()) {
                    platform(aggregate, wrong);
                    compared++;
                }
                if (!aggregate.isUnion()) adds(aggregate, wrong);
            }
        }
        System.out.println(
                STRUCTS + " structs read as cc lays them out, " + compared + " of them laid out by the platform too");
        assertThat(wrong).isEmpty();
        assertThat(compared).isGreaterThan(STRUCTS / 4);
    }

    /** The platform, given the members in their order, must come to the same places and size. */
    private static void platform(Aggregate aggregate, List<String> wrong) {
        Platform.Placed placed = Platform.SYSTEM_V.place(aggregate.members(), aggregate.statedAlignment());
        if (placed.size() != aggregate.size())
            wrong.add(aggregate.name() + ": the platform says " + placed.size() + ", cc " + aggregate.size());
        for (int i = 0; i < placed.members().size(); i++) {
            Member member = placed.members().get(i);
            Member real = aggregate.members().get(i);
            if (member.bitOffset() != real.bitOffset())
                wrong.add(aggregate.name() + "." + member.name() + ": the platform says bit " + member.bitOffset()
                        + ", cc " + real.bitOffset());
        }
    }

    /** Members, holes and paddings must add up to the size, bit for bit. */
    private static void adds(Aggregate aggregate, List<String> wrong) {
        Layout layout = aggregate.layout();
        long bits = layout.preHole() * 8 + layout.preBitHole() + layout.padding() * 8 + layout.bitPadding();
        for (int i = 0; i < aggregate.members().size(); i++) {
            Member member = aggregate.members().get(i);
            bits += (member.bitfieldSize() != 0 ? member.bitfieldSize() : member.byteSize() * 8)
                    + layout.hole(i) * 8L
                    + layout.bitHole(i);
        }
        if (bits != aggregate.size() * 8)
            wrong.add(
                    aggregate.name() + ": members and holes have " + bits + " bits, the whole " + aggregate.size() * 8);
    }
}
