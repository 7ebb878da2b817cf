package dev.slate.layout;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.layout.compare.DiffText;
import dev.slate.layout.compare.ObjectSizes;
import dev.slate.layout.compare.Slab;
import dev.slate.layout.compare.TypeDiff;
import dev.slate.layout.density.Density;
import dev.slate.layout.density.DensitySvg;
import dev.slate.layout.density.DensityText;
import dev.slate.layout.dwarf.Dwarf;
import dev.slate.layout.elf.ElfFile;
import dev.slate.layout.elf.Image;
import dev.slate.layout.pack.Packer;
import dev.slate.layout.text.PaholeText;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The layouts of struct kvm_vcpu before and after "KVM: Put struct kvm_vcpu on a diet", rebuilt from its cover letter's listing. */
final class DietTest {
    @TempDir
    private Path folder = Path.of("");

    @BeforeEach
    void compile() throws Exception {
        Tools.need("cc");
        for (String side : new String[] {"before", "after"}) {
            Tools.run(
                    folder,
                    "cc",
                    "-g",
                    "-O1",
                    "-c",
                    Tools.resource("diet/" + side + ".c").toString(),
                    "-o",
                    side + ".o");
        }
    }

    private Aggregate vcpu(String side) {
        return type(folder.resolve(side + ".o"), "kvm_vcpu");
    }

    private static Aggregate type(Path object, String name) {
        Dwarf dwarf = Dwarf.open(ElfFile.of(Image.open(object)), 1);
        if (dwarf != null && dwarf.find(name) instanceof Aggregate aggregate) return aggregate;
        throw new AssertionError(name + " is not in " + object);
    }

    private static String listing(Aggregate type) {
        StringBuilder text = new StringBuilder();
        new PaholeText(text, PaholeText.Options.DEFAULT).write(type);
        return text.toString();
    }

    @Test
    void theListingsHaveTheSumsOfTheCoverLetter() {
        assertThat(listing(vcpu("before")))
                .contains("\t/* size: 6688, cachelines: 105, members: 33 */\n")
                .contains("\t/* sum members: 6669, holes: 5, sum holes: 19 */\n")
                .contains("\t/* paddings: 3, sum paddings: 14 */\n")
                .contains("\t/* forced alignments: 1, forced holes: 1, sum forced holes: 4 */\n")
                .contains("\t/* --- cacheline 85 boundary (5440 bytes) was 48 bytes ago --- */\n")
                .contains("\tstruct kvm_vcpu_arch       arch __attribute__((__aligned__(8))); /*   280  5208 */\n")
                .endsWith("\t/* last cacheline: 32 bytes */\n} __attribute__((__aligned__(8)));\n");
        assertThat(listing(vcpu("after")))
                .contains("\t/* size: 6560, cachelines: 103, members: 33 */\n")
                .contains("\t/* sum members: 6553, holes: 2, sum holes: 7 */\n")
                .contains("\t/* paddings: 1, sum paddings: 4 */\n")
                .contains("\tstruct {\n\t\tstruct list_head   queue;                /*   208    16 */\n")
                .contains("\t} async_pf;                                      /*   208    40 */\n");
    }

    @Test
    void theDiffSaysWhatTheCoverLetterSays() {
        DiffText diff = new DiffText(new TypeDiff(vcpu("before"), vcpu("after"), 64), 0, 64);
        assertThat(diff.text())
                .startsWith("struct kvm_vcpu: 6688 -> 6560 bytes (-128)\n")
                .containsPattern("cachelines +105 -> 103 \\(-2\\)")
                .containsPattern("holes +5 -> 2 \\(-3\\)")
                .containsPattern("sum of holes +19 -> 7 \\(-12\\)")
                .containsPattern("paddings +3 -> 1")
                .containsPattern("sum of those +14 -> 4")
                .contains("no page order is crossed")
                .containsPattern("guest_debug +moved 64 -> 52, resized 8 -> 4, long unsigned int -> unsigned int\n")
                .contains("  guest_debug: line 1 -> 0\n")
                .contains("  stats_id: line 103 -> 101\n")
                .contains("  mutex (struct mutex): line 1\n")
                .contains("  async_pf.lock (spinlock_t): line 3\n")
                .contains("  the locks keep disjoint cachelines\n")
                .doesNotContain("PAGE ORDER CROSSED")
                .doesNotContain("NOW SHARE")
                .doesNotContain("  mutex: line");
        assertThat(diff.json()).containsEntry("page_order_crossed", false);
    }

    @Test
    void aCrossedPageOrderAndLocksThatMeetAreSaidOutLoud() throws Exception {
        String head = "typedef struct { unsigned v; } spinlock_t; struct mutex { long o[4]; };\n";
        for (String[] side : new String[][] {
            {"big.c", "struct vcpu { spinlock_t a; char gap[124]; struct mutex b; char rest[17000]; } v;"},
            {"small.c", "struct vcpu { spinlock_t a; struct mutex b; char rest[16000]; } v;"}
        }) {
            java.nio.file.Files.writeString(folder.resolve(side[0]), head + side[1] + "\n");
            Tools.run(folder, "cc", "-g", "-c", side[0], "-o", side[0] + ".o");
        }
        Aggregate big = type(folder.resolve("big.c.o"), "vcpu");
        Aggregate small = type(folder.resolve("small.c.o"), "vcpu");
        DiffText diff = new DiffText(new TypeDiff(big, small, 64), 0, 64);
        assertThat(diff.text())
                .contains("PAGE ORDER CROSSED: order 3 → 2: an object by itself takes 16 KiB instead of 32 KiB\n")
                .contains("NOW SHARE CACHELINE 0: a and b\n")
                .contains("dropped, was at 4, 124 bytes");
        assertThat(diff.newlyShared()).containsExactly(new TypeDiff.Shared("a", "b", 0));
        assertThat(new DiffText(new TypeDiff(small, big, 64), 0, 64).text())
                .contains("order 2 → 3")
                .contains("gap")
                .contains("added at 4");
    }

    @Test
    void thePictureTellsMembersHolesAndPaddingApart() {
        Density density = new Density(vcpu("before"), false, false);
        assertThat(density.count()).isEqualTo(new Density.Count(6669, 19, 0));
        String text = new DensityText(density, null, false, 64).text();
        assertThat(text.lines().skip(1).findFirst().orElse(""))
                .endsWith("aaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbccccddddeeeeffffgggg....hhhhhhhh|");
        assertThat(text).contains("6669 bytes of members, 19 of holes (.), 0 of padding (_): 99.7% full");
        String svg = new DensitySvg(density, null, 64).svg();
        assertThat(svg).startsWith("<svg ").endsWith("</svg>\n").contains("<title>guest_debug: 64, 8 bytes</title>");
        assertThat(new Density(vcpu("before"), true, true).count().holes())
                .as("in bits, with the hole and the paddings of the structs inside")
                .isEqualTo((19 + 4 + 14) * 8L);
    }

    @Test
    void packingIsSmallerAndKeepsTheLocksApart() {
        Aggregate before = vcpu("before");
        for (Packer.Wish wish : List.of(
                new Packer.Wish(false, Set.of(), 64),
                new Packer.Wish(true, Set.of(), 64),
                new Packer.Wish(false, Set.of("mode", "requests", "guest_debug", "mutex"), 64))) {
            Aggregate packed = Packer.pack(before, Platform.SYSTEM_V, wish).aggregate();
            assertThat(packed.size()).isEqualTo(wish.hot().isEmpty() ? 6672 : 6680);
            assertThat(packed.members()).hasSameSizeAs(before.members());
            assertThat(TypeDiff.sharing(packed, 64)).isEmpty();
        }
        Aggregate hot = Packer.pack(
                        before,
                        Platform.SYSTEM_V,
                        new Packer.Wish(false, Set.of("mode", "ready", "requests", "cpu"), 64))
                .aggregate();
        assertThat(hot.members().stream().limit(4).map(Member::name))
                .containsExactlyInAnyOrder("mode", "ready", "requests", "cpu");
        assertThat(hot.members().get(3).byteOffset()).isLessThan(64);
    }

    @Test
    void sizeAndBloatCountAsBinutilsAndTheKernelsScriptDo() throws Exception {
        Tools.need("size");
        try (ElfFile before = ElfFile.of(Image.open(folder.resolve("before.o")));
                ElfFile after = ElfFile.of(Image.open(folder.resolve("after.o")))) {
            for (String side : new String[] {"before", "after"}) {
                ObjectSizes.Sections sizes = ObjectSizes.sections(side.equals("before") ? before : after);
                String[] words = Tools.run(folder, "size", side + ".o")
                        .lines()
                        .skip(1)
                        .findFirst()
                        .orElse("")
                        .strip()
                        .split("\\s+");
                assertThat(words)
                        .startsWith(
                                String.valueOf(sizes.text()),
                                String.valueOf(sizes.data()),
                                String.valueOf(sizes.bss()));
            }
            ObjectSizes.Bloat bloat = ObjectSizes.bloat(ObjectSizes.symbols(before), ObjectSizes.symbols(after));
            assertThat(ObjectSizes.text(bloat))
                    .startsWith("add/remove: 0/1 grow/shrink: 0/2 up/down: 0/")
                    .contains("Function                                     old     new   delta\n")
                    .contains("vcpu                                        6688    6560    -128\n")
                    .containsPattern("kvm_only_before +\\d+ +- +-\\d+\n")
                    .containsPattern("Total: Before=\\d+, After=\\d+, chg -\\d+\\.\\d\\d%\n");
        }
    }

    @Test
    void slabsAreThoseOfTheKernel() {
        // From /proc/slabinfo of a machine with two processors: object size, objects in a slab, pages of a slab.
        long[][] known = {
            {8192, 4, 8},
            {4096, 8, 8},
            {2048, 16, 8},
            {1024, 16, 4},
            {512, 16, 2},
            {256, 16, 1},
            {192, 21, 1},
            {128, 32, 1},
            {96, 42, 1},
            {64, 64, 1}
        };
        for (long[] k : known) {
            Slab slab = Slab.of(k[0], 0, 2);
            assertThat(List.of(slab.objects(), 1L << slab.cacheOrder()))
                    .as("objects of " + k[0] + " bytes")
                    .isEqualTo(List.of(k[1], k[2]));
        }
        assertThat(Slab.of(6688, 0, 64).className()).isEqualTo("kmalloc-8k");
        assertThat(Slab.of(97, 0, 64).className()).isEqualTo("kmalloc-128");
        assertThat(Slab.of(8193, 0, 64).className()).isEqualTo("pages");
        assertThat(Slab.pageOrder(4096)).isZero();
        assertThat(Slab.pageOrder(4097)).isEqualTo(1);
        assertThat(Slab.pageOrder(16385)).isEqualTo(3);
    }
}
