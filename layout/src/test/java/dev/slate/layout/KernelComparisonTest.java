package dev.slate.layout;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.layout.btf.Btf;
import dev.slate.layout.elf.ElfFile;
import dev.slate.layout.elf.Image;
import dev.slate.layout.elf.Unpack;
import dev.slate.layout.text.PaholeText;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Every struct and union of Debian's kernel, against pahole. The package is downloaded once, to build/linux-image. */
final class KernelComparisonTest {
    private static Path vmlinux = Path.of("");
    private static Path modules = Path.of("");
    private static Path raw = Path.of("");
    private static Btf base = new Btf("none", empty(), null, 64);

    private static ByteBuffer empty() {
        byte[] bytes = new byte[25];
        ByteBuffer.wrap(bytes)
                .order(java.nio.ByteOrder.LITTLE_ENDIAN)
                .putShort(0, (short) 0xeb9f)
                .put(2, (byte) 1)
                .putInt(4, 24)
                .putInt(20, 1);
        return ByteBuffer.wrap(bytes);
    }

    @BeforeAll
    static void fetch() throws IOException, InterruptedException {
        Tools.need("pahole", "apt-get", "apt-cache", "dpkg-deb");
        Path cache = Tools.cache("linux-image");
        if (find(cache, "vmlinuz-") == null) {
            String depends = Tools.succeeds(cache, "apt-cache", "depends", "linux-image-amd64")
                    ? Tools.run(cache, "apt-cache", "depends", "linux-image-amd64")
                    : "";
            String image = depends.lines()
                    .filter(l -> l.strip().startsWith("Depends: linux-image-"))
                    .map(l -> l.substring(l.indexOf("linux-image-")).strip())
                    .findFirst()
                    .orElse("");
            if (image.isEmpty() || !Tools.succeeds(cache, "apt-get", "download", image)) {
                Tools.skip(
                        "needs Debian's linux-image-amd64, which apt-get cannot download: apt-get update, with a network");
            }
            Path deb = find(cache, image + "_");
            Tools.run(
                    cache,
                    "sh",
                    "-c",
                    "dpkg-deb --fsys-tarfile '" + deb
                            + "' | tar -x --wildcards './boot/vmlinuz-*' './lib/modules/*/kvm/kvm*.ko'");
            if (deb != null) Files.delete(deb);
        }
        Path kernel = find(cache, "vmlinuz-");
        Path kvm = find(cache, "kvm.ko");
        if (kernel == null || kvm == null) throw new AssertionError("the package holds no vmlinuz or no kvm.ko");
        vmlinux = kernel;
        modules = kvm.getParent();
        ByteBuffer bytes = ElfFile.of(Unpack.kernel(Image.open(vmlinux))).bytes(".BTF");
        base = new Btf(vmlinux.toString(), bytes, null, 64);
        raw = cache.resolve("vmlinux.btf");
        byte[] copy = new byte[bytes.limit()];
        bytes.get(0, copy);
        Files.write(raw, copy);
    }

    private static Path find(Path folder, String start) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            return files.filter(f -> f.getFileName().toString().startsWith(start))
                    .filter(Files::isRegularFile)
                    .findFirst()
                    .orElse(null);
        }
    }

    private static String ours(Btf btf, PaholeText.Options options) {
        StringBuilder text = new StringBuilder(1 << 23);
        PaholeText listing = new PaholeText(text, options);
        btf.forEachAggregate(listing::write);
        return text.toString();
    }

    private static void same(String what, String theirs, String ours) {
        Comparison comparison = Comparison.of(theirs, ours, (a, b) -> null);
        System.out.print(comparison.report(what));
        assertThat(comparison.unexplained()).isEmpty();
        assertThat(comparison.equal()).isGreaterThan(1000);
        assertThat(ours).as("the order of the types, too").isEqualTo(theirs);
    }

    @Test
    void everyStructOfTheKernelHasPaholesText() throws Exception {
        same(
                "vmlinux",
                Tools.run(raw.getParent(), "pahole", "-F", "btf", raw.toString()),
                ours(base, PaholeText.Options.DEFAULT));
    }

    @Test
    void everyStructOfTheKvmModulesHasPaholesText() throws Exception {
        for (String module : new String[] {"kvm.ko", "kvm-amd.ko", "kvm-intel.ko"}) {
            Path file = modules.resolve(module);
            String theirs =
                    Tools.run(raw.getParent(), "pahole", "-F", "btf", "--btf_base", raw.toString(), file.toString());
            // A base of its own: what was learnt about packing while listing vmlinux is pahole's knowledge only
            // within one run.
            Btf fresh = new Btf(
                    "vmlinux", ElfFile.of(Unpack.kernel(Image.open(vmlinux))).bytes(".BTF"), null, 64);
            Btf btf = new Btf(file.toString(), ElfFile.of(Image.open(file)).bytes(".BTF"), fresh, 64);
            same(module, theirs, ours(btf, PaholeText.Options.DEFAULT));
        }
    }

    @Test
    void hexadecimalAndOtherLineSizesHavePaholesText() throws Exception {
        same(
                "vmlinux --hex",
                Tools.run(raw.getParent(), "pahole", "-F", "btf", "--hex", raw.toString()),
                ours(fresh(64), new PaholeText.Options(false, true, 64, false)));
        same(
                "vmlinux --cacheline_size=128",
                Tools.run(raw.getParent(), "pahole", "-F", "btf", "-c", "128", raw.toString()),
                ours(fresh(128), new PaholeText.Options(false, false, 128, false)));
    }

    private static Btf fresh(int lineSize) {
        return new Btf("vmlinux", Image.open(raw).slice(0, raw.toFile().length(), "BTF"), null, lineSize);
    }

    @Test
    void expandedTypesHavePaholesTextButForNegativeEnumValues() throws Exception {
        String theirs = Tools.run(raw.getParent(), "pahole", "-F", "btf", "-E", raw.toString());
        Comparison comparison = Comparison.of(
                theirs,
                ours(fresh(64), new PaholeText.Options(true, false, 64, false)),
                (a, b) -> a.replaceAll("= 42949\\d{5},", "= N,").equals(b.replaceAll("= -\\d+,", "= N,"))
                        ? "pahole 1.24 writes a negative enum value as if it had no sign"
                        : null);
        System.out.print(comparison.report("vmlinux --expand_types"));
        assertThat(comparison.unexplained()).isEmpty();
    }

    @Test
    void aModuleWithoutItsBaseIsRefusedWithAWordAboutTheBase() {
        Btf alone = new Btf(
                "kvm.ko", ElfFile.of(Image.open(modules.resolve("kvm.ko"))).bytes(".BTF"), null, 64);
        assertThat(org.assertj.core.api.Assertions.catchThrowable(() -> alone.forEachAggregate(a -> {})))
                .isInstanceOf(LayoutException.class)
                .hasMessageContaining("--base");
    }
}
