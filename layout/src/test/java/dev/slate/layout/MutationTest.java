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
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.Timer;
import java.util.TimerTask;
import java.util.concurrent.atomic.AtomicReference;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Broken files: random mutations of good ones. Each must be read or refused with the file's name, in bounded time and memory, and never end in
 * anything else. {@code -Dslate.mutations=1000000} runs a million for each language, {@code -Dslate.mutations.of=rust,go} those of some.
 */
final class MutationTest {
    /** For each language. */
    private static final int MUTATIONS = Integer.getInteger("slate.mutations", 800);

    private static final List<String> LANGUAGES =
            List.of(System.getProperty("slate.mutations.of", "c,cpp,rust,go,d,nim,ada,fortran,pascal,btf")
                    .split(","));

    /** No mutation of a small file may ask for more memory than this, in bytes: what it claims to hold is not believed. */
    private static final long MOST_MEMORY = 512L << 20;

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

    /** Bytes that say something in LEB128, forms, tags and counts. */
    private static final int[] TELLING = {0, 1, 2, 0x10, 0x13, 0x16, 0x7f, 0x80, 0xfe, 0xff};

    private static byte[] mutate(byte[] good, SplittableRandom random, int from, int to) {
        if (random.nextInt(20) == 0) return Arrays.copyOf(good, random.nextInt(good.length));
        byte[] bytes = good.clone();
        switch (random.nextInt(8)) {
            case 0 -> Arrays.fill(bytes, from + random.nextInt(to - from), to, (byte) random.nextInt());
            case 1 -> {
                int length = 1 + random.nextInt(64);
                int a = from + random.nextInt(Math.max(1, to - from - length));
                int b = from + random.nextInt(Math.max(1, to - from - length));
                System.arraycopy(good, a, bytes, b, Math.min(length, to - Math.max(a, b)));
            }
            case 2 -> {
                int at = from + random.nextInt(to - from - 8);
                ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putInt(at, random.nextInt(3) - 1);
            }
            case 3, 4 -> {
                int n = 1 + random.nextInt(3);
                for (int i = 0; i < n; i++)
                    bytes[from + random.nextInt(to - from)] = (byte) TELLING[random.nextInt(TELLING.length)];
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
        SplittableRandom random = new SplittableRandom(seed);
        int read = 0;
        int refused = 0;
        long slowest = 0;
        long hungriest = 0;
        long begin = Spent.nanoseconds();
        for (int i = 0; i < mutations; i++) {
            byte[] bytes = mutate(good, random, from, to);
            String which = what + ", mutation " + i + " of -Dslate.seed=" + seed;
            long start = Spent.nanoseconds();
            long before = Spent.bytes();
            try (Watch _ = Watch.over(which)) {
                reader.read(bytes);
                read++;
            } catch (LayoutException e) {
                refused++;
                assertThat(e).as(which).hasMessageContaining("mutant");
            } catch (RuntimeException | StackOverflowError | OutOfMemoryError e) {
                throw new AssertionError(which + " ended in " + e, e);
            }
            slowest = Math.max(slowest, Spent.nanoseconds() - start);
            long memory = Spent.bytes() - before;
            if (memory > hungriest) {
                hungriest = memory;
                assertThat(memory).as(which + ": bytes asked for").isLessThan(MOST_MEMORY);
            }
        }
        long each = (Spent.nanoseconds() - begin) / 1000 / mutations;
        System.out.println(what + ", -Dslate.seed=" + seed + ": " + mutations + " mutations, " + read + " read, "
                + refused
                + " refused; processor time " + each + " us each, " + slowest / 1_000_000 + " ms the slowest; memory "
                + (hungriest >> 20) + " MiB at most");
        assertThat(refused).isPositive();
    }

    /** Says which mutation it is that does not end, so that the limit of all tests does not end it namelessly. */
    private static final class Watch implements AutoCloseable {
        private static final Timer TIMER = new Timer("mutations that do not end", true);
        private static final AtomicReference<@Nullable Watch> NOW = new AtomicReference<>();

        static {
            TIMER.schedule(
                    new TimerTask() {
                        @Override
                        public void run() {
                            Watch watched = NOW.get();
                            if (watched != null) watched.complain();
                        }
                    },
                    60_000,
                    60_000);
        }

        private final String which;
        private final Thread thread = Thread.currentThread();
        private final long since = System.nanoTime();

        private Watch(String which) {
            this.which = which;
        }

        static Watch over(String which) {
            Watch watch = new Watch(which);
            NOW.set(watch);
            return watch;
        }

        private void complain() {
            if (System.nanoTime() - since < 60_000_000_000L) return;
            System.out.println("for more than a minute: " + which);
            for (StackTraceElement frame : thread.getStackTrace()) System.out.println("    " + frame);
        }

        @Override
        public void close() {
            NOW.set(null);
        }
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
    void mutatedCompressedObjectsAreReadOrRefusedWithTheirName() throws Exception {
        if (!LANGUAGES.contains("c")) Tools.skip("-Dslate.mutations.of asks for other languages");
        byte[] packed = object("-gdwarf-4", "-gz");
        storm("a compressed DWARF 4 object", packed, 0, packed.length, MUTATIONS / 4, MutationTest::readAll);
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

    private String[][] compilers() throws Exception {
        String truth = Tools.resource("truth/truth").toString();
        String rust = Tools.has("rustc") ? Tools.rustConfiguration() : "";
        // Language, compiler, command, what it leaves.
        return new String[][] {
            {"c", "gcc", "gcc -w -g -c " + truth + ".c -o m.o", "m.o"},
            {"c", "clang", "clang -w -gdwarf-4 -c " + truth + ".c -o m.o", "m.o"},
            {"cpp", "g++", "g++ -std=c++20 -w -g -c " + truth + ".cpp -o m.o", "m.o"},
            {"cpp", "clang++", "clang++ -std=c++20 -w -g -gsimple-template-names -c " + truth + ".cpp -o m.o", "m.o"},
            {"rust", "rustc", "rustc -g --cap-lints=allow --emit=obj " + rust + truth + ".rs -o m.o", "m.o"},
            {
                "go",
                "go",
                "env GOCACHE=" + folder + "/go GO111MODULE=off go build -ldflags=-compressdwarf=false -o go.out "
                        + truth + ".go",
                "go.out"
            },
            {"d", "gdc", "gdc -w -g -c " + truth + ".d -o m.o", "m.o"},
            {
                "nim",
                "nim",
                "nim c --debugger:native --hints:off --nimcache:" + folder + "/nim -o:n " + truth + ".nim",
                "nim/@mtruth.nim.c.o"
            },
            {"ada", "gnatmake", "gnatmake -q -f -g -c " + truth + ".adb", "truth.o"},
            {"fortran", "gfortran", "gfortran -w -ffree-line-length-none -g -c " + truth + ".f90 -o m.o", "m.o"},
            {"pascal", "fpc", "fpc -v0 -g -gw3 -Cn -FE" + folder + " -op " + truth + ".pas", "truth.o"}
        };
    }

    /** What each language's compiler makes, mostly in the sections that say what types there are. */
    @Test
    void mutatedObjectsOfEveryLanguageAreReadOrRefusedWithTheirName() throws Exception {
        String[][] compilers = compilers();
        for (String[] compiler : compilers) {
            String language = compiler[0];
            if (!LANGUAGES.contains(language)) continue;
            if (language.equals("go")) Tools.need("readelf");
            if (!Tools.has(compiler[1]) || !Tools.succeeds(folder, compiler[2].split(" "))) {
                System.out.println("SKIPPED mutations of what " + compiler[1] + " makes: it is not installed");
                continue;
            }
            byte[] good = Files.readAllBytes(folder.resolve(compiler[3]));
            ElfFile.Section info = section(good, ".debug_info");
            ElfFile.Section abbrev = section(good, ".debug_abbrev");
            int infoFrom = (int) info.offset();
            int infoTo = (int) (infoFrom + info.size());
            if (language.equals("go")) { // a whole program with its library: the unit of the program itself is left
                int[] unit = onlyUnit(good, infoFrom, "main");
                infoFrom = unit[0];
                infoTo = unit[1];
            }
            readAll(good);
            long of =
                    Arrays.stream(compilers).filter(c -> c[0].equals(language)).count();
            int share = (int) (MUTATIONS / of);
            String what = compiler[1] + "'s " + language + ", ";
            storm(what + ".debug_info", good, infoFrom, infoTo, share / 2, MutationTest::readAll);
            int from = (int) abbrev.offset();
            int to = (int) (from + abbrev.size());
            storm(what + ".debug_abbrev", good, from, to, share / 4, MutationTest::readAll);
            storm(what + "the whole file", good, 0, good.length, share - share / 2 - share / 4, MutationTest::readAll);
        }
    }

    /**
     * Ends the walk over every unit of a program but that of a name at its first entry; others may still refer to what is inside.
     *
     * @return where that unit starts and ends in the file
     */
    private int[] onlyUnit(byte[] program, int info, String name) throws IOException, InterruptedException {
        Files.write(folder.resolve("whole"), program);
        String units = Tools.run(folder, "readelf", "--debug-dump=info", "--dwarf-depth=1", "whole");
        Matcher unit = Pattern.compile(
                        "Unit @ offset (?:0x)?(\\w+):\\s+Length:\\s+0x(\\w+)(?:(?!<1>)[\\s\\S])*?DW_AT_name +: (\\S+)"
                                + "(?:(?!<1>)[\\s\\S])*<1><(\\w+)>")
                .matcher(units);
        int[] found = new int[2];
        while (unit.find()) {
            int start = info + Integer.parseInt(unit.group(1), 16);
            if (unit.group(3).equals(name)) {
                found[0] = start;
                found[1] = start + 4 + Integer.parseInt(unit.group(2), 16);
            } else {
                program[info + Integer.parseInt(unit.group(4), 16)] = 0;
            }
        }
        assertThat(found[1]).as("a unit " + name).isPositive();
        return found;
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
    void anArrayThatIsItsOwnElementIsLeftOut() throws Exception {
        Tools.need("gfortran", "readelf");
        Files.writeString(folder.resolve("own.f90"), """
                program p
                  type t
                    integer, allocatable :: a(:)
                  end type
                  type(t) :: x
                  allocate(x%a(2))
                  print *, x%a(1)
                end program
                """);
        Tools.run(folder, "gfortran", "-g", "-gno-column-info", "-c", "own.f90", "-o", "own.o");
        String text = Tools.run(folder, "readelf", "--debug-dump=info", "own.o");
        Matcher array = Pattern.compile(
                        "<1><(\\w+)>[^\n]*DW_TAG_array_type\\)(?:(?!<1>)[\\s\\S])*?<(\\w+)> +DW_AT_type")
                .matcher(text);
        byte[] object = Files.readAllBytes(folder.resolve("own.o"));
        ByteBuffer bytes = ByteBuffer.wrap(object).order(ByteOrder.LITTLE_ENDIAN);
        int info = (int) section(object, ".debug_info").offset();
        int arrays = 0;
        for (; array.find(); arrays++)
            bytes.putInt(info + Integer.parseInt(array.group(2), 16), Integer.parseInt(array.group(1), 16));
        assertThat(arrays).as(text).isPositive();
        assertThat(refusal(() -> readDwarf(object))).contains("mutant").contains("an array of itself");
    }

    @Test
    void mutatedBtfIsReadOrRefusedWithItsName() throws Exception {
        if (!LANGUAGES.contains("btf")) Tools.skip("-Dslate.mutations.of asks for other languages");
        Tools.need("pahole");
        object("-gdwarf-4");
        Tools.run(folder, "pahole", "-J", "good.o");
        Tools.run(folder, "objcopy", "--dump-section", ".BTF=good.btf", "good.o", "/dev/null");
        byte[] good = Files.readAllBytes(folder.resolve("good.btf"));
        readBtf(good);
        storm("BTF", good, 0, good.length, MUTATIONS, MutationTest::readBtf);
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
