package dev.slate.layout;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.layout.btf.Btf;
import dev.slate.layout.dwarf.Dwarf;
import dev.slate.layout.elf.ElfFile;
import dev.slate.layout.elf.Image;
import dev.slate.layout.text.PaholeText;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Broken files: random mutations of good ones. Each must be read or refused with the file's name, in bounded time, and never end in anything
 * else. {@code -Dslate.mutations=1000000} runs a million.
 */
final class MutationTest {
    private static final int MUTATIONS = Integer.getInteger("slate.mutations", 6_000);

    @TempDir
    private Path folder = Path.of("");

    private byte[] object(String... options) throws IOException, InterruptedException {
        Tools.need("cc");
        String[] command = new String[options.length + 6];
        System.arraycopy(new String[] {"cc", "-c", "-o", "good.o", "-g", "good.c"}, 0, command, 0, 6);
        System.arraycopy(options, 0, command, 6, options.length);
        Files.copy(
                Tools.resource("dwarf/shapes.c"),
                folder.resolve("good.c"),
                java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        Tools.run(folder, command);
        return Files.readAllBytes(folder.resolve("good.o"));
    }

    private static byte[] mutate(byte[] good, SplittableRandom random, int from, int to) {
        byte[] bytes = good.clone();
        switch (random.nextInt(10)) {
            case 0 -> {
                return Arrays.copyOf(bytes, random.nextInt(bytes.length));
            }
            case 1 -> Arrays.fill(bytes, from + random.nextInt(to - from), to, (byte) random.nextInt());
            case 2 -> {
                int length = 1 + random.nextInt(64);
                int a = from + random.nextInt(Math.max(1, to - from - length));
                int b = from + random.nextInt(Math.max(1, to - from - length));
                System.arraycopy(good, a, bytes, b, Math.min(length, to - Math.max(a, b)));
            }
            case 3 -> {
                int at = from + random.nextInt(to - from - 8);
                ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putInt(at, random.nextInt(3) - 1);
            }
            default -> {
                int n = 1 + random.nextInt(4);
                for (int i = 0; i < n; i++) bytes[from + random.nextInt(to - from)] ^= (byte) (1 << random.nextInt(8));
            }
        }
        return bytes;
    }

    private interface Reader {
        void read(byte[] bytes);
    }

    private static void storm(String what, byte[] good, int from, int to, int mutations, Reader reader) {
        long seed = Long.getLong("slate.seed", 1);
        System.out.println("mutations of " + what + ": -Dslate.seed=" + seed);
        SplittableRandom random = new SplittableRandom(seed);
        int read = 0;
        int refused = 0;
        long slowest = 0;
        Set<String> messages = new TreeSet<>();
        for (int i = 0; i < mutations; i++) {
            byte[] bytes = mutate(good, random, from, to);
            long start = System.nanoTime();
            try {
                reader.read(bytes);
                read++;
            } catch (LayoutException e) {
                refused++;
                String message = String.valueOf(e.getMessage());
                assertThat(message).contains("mutant");
                messages.add(message.replaceAll("0x[0-9a-f]+|-?\\d+", "N").replaceAll("[^ -~]", "?"));
            } catch (RuntimeException | StackOverflowError | OutOfMemoryError e) {
                throw new AssertionError(what + ", mutation " + i + " of seed " + seed + " ended in " + e, e);
            }
            slowest = Math.max(slowest, System.nanoTime() - start);
        }
        System.out.println(what + ": " + mutations + " mutations, " + read + " read, " + refused + " refused with "
                + messages.size() + " kinds of message, the slowest took " + slowest / 1_000_000 + " ms");
        assertThat(refused).isPositive();
    }

    private static void readDwarf(byte[] bytes) {
        try (Dwarf dwarf = Dwarf.open(ElfFile.of(Image.of("mutant", bytes)), 1)) {
            if (dwarf == null) throw new LayoutException("mutant", "has no DWARF");
            StringBuilder text = new StringBuilder();
            PaholeText listing = new PaholeText(text, PaholeText.Options.DEFAULT);
            dwarf.forEachAggregate(aggregate -> {
                listing.write(aggregate);
                if (text.length() > 1 << 22) text.setLength(0);
            });
        }
    }

    private static void readBtf(byte[] bytes) {
        Btf btf = new Btf("mutant", ByteBuffer.wrap(bytes), null, 64);
        StringBuilder text = new StringBuilder();
        PaholeText listing = new PaholeText(text, PaholeText.Options.DEFAULT);
        btf.forEachAggregate(aggregate -> {
            listing.write(aggregate);
            if (text.length() > 1 << 22) text.setLength(0);
        });
    }

    @Test
    void mutatedObjectsAreReadOrRefusedWithTheirName() throws Exception {
        byte[] five = object("-gdwarf-5");
        storm("a DWARF 5 object", five, 0, five.length, MUTATIONS / 3, MutationTest::readDwarf);
        ElfFile.Section info = section(five, ".debug_info");
        storm(
                "its .debug_info",
                five,
                (int) info.offset(),
                (int) (info.offset() + info.size()),
                MUTATIONS / 3,
                MutationTest::readDwarf);
        ElfFile.Section abbrev = section(five, ".debug_abbrev");
        storm(
                "its .debug_abbrev",
                five,
                (int) abbrev.offset(),
                (int) (abbrev.offset() + abbrev.size()),
                MUTATIONS / 6,
                MutationTest::readDwarf);
        byte[] packed = object("-gdwarf-4", "-gz");
        storm("a compressed DWARF 4 object", packed, 0, packed.length, MUTATIONS / 12, MutationTest::readDwarf);
    }

    private static ElfFile.Section section(byte[] object, String name) {
        ElfFile.Section section = ElfFile.of(Image.of("good", object)).section(name);
        if (section == null) throw new AssertionError("no " + name);
        return section;
    }

    private static void readAll(byte[] bytes) {
        try (LayoutSource source = Dwarf.open(ElfFile.of(Image.of("mutant", bytes)), 1)) {
            if (source == null) throw new LayoutException("mutant", "has no DWARF");
            StringBuilder text = new StringBuilder();
            PaholeText listing = new PaholeText(text, PaholeText.Options.DEFAULT);
            int[] left = new int[1];
            source.forEachAggregate(
                    aggregate -> {
                        listing.write(aggregate);
                        aggregate.qualifiedName();
                        if (!aggregate.isUnion() && !aggregate.members().isEmpty())
                            dev.slate.layout.pack.Packer.pack(
                                    aggregate, new dev.slate.layout.pack.Packer.Wish(false, Set.of(), 64));
                        text.setLength(0);
                    },
                    problem -> {
                        assertThat(problem.getMessage()).contains("mutant");
                        left[0]++;
                    });
            source.find("Config");
            if (left[0] > 0) throw new LayoutException("mutant", left[0] + " types left out");
        }
    }

    /** What each language's compiler makes, in the sections that say what types there are. */
    @Test
    void mutatedObjectsOfEveryLanguageAreReadOrRefusedWithTheirName() throws Exception {
        String truth = Tools.resource("truth/truth").toString();
        String[][] compilers = {
            {"g++", "g++ -std=c++20 -w -g -c " + truth + ".cpp -o m.o"},
            {"clang++", "clang++ -std=c++20 -w -g -gsimple-template-names -c " + truth + ".cpp -o m.o"},
            {
                "rustc",
                "rustc -g --cap-lints=allow --emit=obj " + (Tools.has("rustc") ? Tools.rustConfiguration() : "") + truth
                        + ".rs -o m.o"
            },
            {"gfortran", "gfortran -w -ffree-line-length-none -g -c " + truth + ".f90 -o m.o"},
            {"gnatmake", "gnatmake -q -f -g -c " + truth + ".adb"},
            {"fpc", "fpc -v0 -g -gw3 -Cn -FE" + folder + " -om.o " + truth + ".pas"},
            {"gdc", "gdc -w -g -c " + truth + ".d -o m.o"},
            {
                "go",
                "env GOCACHE=" + folder + "/go GO111MODULE=off go build -ldflags=-compressdwarf=false -o m.o " + truth
                        + ".go"
            }
        };
        int share = Math.max(200, MUTATIONS / 8);
        for (String[] compiler : compilers) {
            if (!Tools.has(compiler[0]) || !Tools.succeeds(folder, compiler[1].split(" "))) {
                System.out.println("SKIPPED mutations of what " + compiler[0] + " makes: it is not installed");
                continue;
            }
            Path object =
                    folder.resolve(compiler[0].equals("fpc") || compiler[0].equals("gnatmake") ? "truth.o" : "m.o");
            if (!Files.exists(object)) continue;
            byte[] good = Files.readAllBytes(object);
            // Go's file is a whole program with its library.
            int each = compiler[0].equals("go") ? Math.max(25, share / 50) : share / 2;
            for (String name : new String[] {".debug_info", ".debug_abbrev"}) {
                ElfFile.Section section = section(good, name);
                int from = (int) section.offset();
                storm(
                        compiler[0] + "'s " + name,
                        good,
                        from,
                        (int) (from + section.size()),
                        each,
                        MutationTest::readAll);
            }
        }
    }

    @Test
    void aClassThatIsAmongItsOwnBasesIsRefused() throws Exception {
        Tools.need("c++", "readelf");
        Files.writeString(
                folder.resolve("own.cpp"),
                "struct Root { virtual ~Root() {} long r; }; struct Left : virtual Root { int l; };"
                        + " struct Below : Left { char b; }; Below below;");
        Tools.run(folder, "c++", "-g", "-gno-column-info", "-c", "own.cpp", "-o", "own.o");
        String text = Tools.run(folder, "readelf", "--debug-dump=info", "own.o");
        // Below's base becomes Below, and in a second file Root's own class gets Below for its virtual base.
        for (String derived : new String[] {"Left", "Below"}) {
            Matcher entry = Pattern.compile(
                            "<1><(\\w+)>[^\n]*DW_TAG_structure_type\\)(?:(?!<1>)[\\s\\S])*?DW_AT_name[^\n]*: " + derived
                                    + "\\b(?:(?!<1>)[\\s\\S])*?DW_TAG_inheritance\\)\\s*<(\\w+)>\\s*DW_AT_type")
                    .matcher(text);
            Matcher below = Pattern.compile(
                            "<1><(\\w+)>[^\n]*DW_TAG_structure_type\\)(?:(?!<1>)[\\s\\S])*?DW_AT_name[^\n]*: Below\\b")
                    .matcher(text);
            assertThat(entry.find()).as(text).isTrue();
            assertThat(below.find()).isTrue();
            byte[] object = Files.readAllBytes(folder.resolve("own.o"));
            int at = (int) section(object, ".debug_info").offset() + Integer.parseInt(entry.group(2), 16);
            ByteBuffer.wrap(object).order(ByteOrder.LITTLE_ENDIAN).putInt(at, Integer.parseInt(below.group(1), 16));
            assertThat(refusal(() -> readDwarf(object))).contains("mutant").contains("it contains itself");
        }
    }

    @Test
    void mutatedBtfIsReadOrRefusedWithItsName() throws Exception {
        Tools.need("pahole");
        object("-gdwarf-4");
        Tools.run(folder, "pahole", "-J", "good.o");
        Tools.run(folder, "objcopy", "--dump-section", ".BTF=good.btf", "good.o", "/dev/null");
        byte[] good = Files.readAllBytes(folder.resolve("good.btf"));
        readBtf(good);
        storm("BTF", good, 0, good.length, MUTATIONS / 3, MutationTest::readBtf);
    }

    @Test
    void truncationOverlapCyclesAndAbsurdCountsAreNamed() throws Exception {
        byte[] good = object("-gdwarf-5");
        assertThat(refusal(() -> readDwarf(Arrays.copyOf(good, 100))))
                .contains("mutant")
                .contains("truncated");
        assertThat(refusal(() -> readDwarf(Arrays.copyOf(good, good.length - 500))))
                .contains("section table")
                .contains("offset 0x");
        byte[] overlapping = good.clone();
        ByteBuffer headers = ByteBuffer.wrap(overlapping).order(ByteOrder.LITTLE_ENDIAN);
        int table = (int) headers.getLong(40);
        ElfFile.Section info = section(good, ".debug_info");
        ElfFile.Section abbrev = section(good, ".debug_abbrev");
        headers.putLong(table + info.index() * 64 + 24, abbrev.offset() - 8);
        assertThat(refusal(() -> readDwarf(overlapping))).contains(".debug_info overlaps");

        // BTF: a struct that holds itself, an array of absurd size, a typedef of itself.
        assertThat(refusal(() -> readBtf(btf(new int[] {1, 4 << 24 | 1, 8, 1, 1, 0}))))
                .contains("contains itself");
        assertThat(refusal(() -> readBtf(
                        btf(new int[] {1, 4 << 24 | 1, 8, 1, 2, 0, 0, 3 << 24, 0, 3, 3, -1, 0, 3 << 24, 0, 1, 1, -1}))))
                .containsAnyOf("contains itself", "more bytes", "ends at byte");
        assertThat(refusal(() -> readBtf(btf(new int[] {1, 4 << 24 | 1, 8, 1, 2, 0, 1, 8 << 24, 2}))))
                .contains("never ends");
        assertThat(refusal(() -> readBtf(btf(new int[] {1, 4 << 24 | 65535, 8, 1, 1, 0}))))
                .contains("leaves the type section");
        assertThat(refusal(() -> readBtf(btf(new int[] {1, 4 << 24 | 1, 8, 1, 99, 0}))))
                .contains("no type 99");
        assertThat(refusal(() -> readBtf(btf(new int[] {77, 4 << 24 | 1, 8, 1, 1, 0}))))
                .contains("name");
    }

    private static String refusal(Runnable reading) {
        try {
            reading.run();
        } catch (LayoutException e) {
            return String.valueOf(e.getMessage());
        }
        throw new AssertionError("it was read");
    }

    /** BTF of these type words and the one string "a". */
    private static byte[] btf(int[] words) {
        ByteBuffer out = ByteBuffer.allocate(24 + words.length * 4 + 3).order(ByteOrder.LITTLE_ENDIAN);
        out.putShort((short) 0xeb9f)
                .put((byte) 1)
                .put((byte) 0)
                .putInt(24)
                .putInt(0)
                .putInt(words.length * 4)
                .putInt(words.length * 4)
                .putInt(3);
        for (int word : words) out.putInt(word);
        return out.put((byte) 0).put((byte) 'a').put((byte) 0).array();
    }
}
