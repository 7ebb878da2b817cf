package dev.slate.layout;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.layout.dwarf.Dwarf;
import dev.slate.layout.elf.ElfFile;
import dev.slate.layout.elf.Image;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/**
 * The names and sizes of every type of large real files, against a second reader ({@link Readelf}). Debian's packages are downloaded once, to
 * build/real-files (420 MB), so that it runs only when asked for: {@code ./mvnw -Pquick,nightly -pl layout -Dtest=RealFilesTest test}.
 */
final class RealFilesTest {
    private static Path cache = Path.of("");

    @BeforeAll
    static void asked() throws IOException {
        if (!Boolean.getBoolean("slate.real-files"))
            Tools.skip(
                    "takes minutes and 420 MB from Debian: -Dslate.real-files=true, or the profile nightly, asks for it");
        Tools.need("readelf", "apt-get", "dpkg-deb");
        cache = Tools.cache("real-files");
    }

    private static List<Path> debugFiles(String debian) throws IOException, InterruptedException {
        Path folder = cache.resolve(debian);
        if (!Files.exists(folder)) {
            if (!Tools.succeeds(cache, "apt-get", "download", debian))
                Tools.skip(
                        "needs Debian's " + debian + ", which apt-get cannot download: apt-get update, with a network");
            Tools.run(cache, "sh", "-c", "dpkg-deb -x " + debian + "_*.deb " + debian + " && rm " + debian + "_*.deb");
        }
        List<Path> found = new ArrayList<>();
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.filter(f -> Files.isRegularFile(f, LinkOption.NOFOLLOW_LINKS))
                    .sorted()
                    .toList()) {
                if (file.toString().endsWith(".a") || Files.size(file) < 100_000) continue;
                try (var in = Files.newInputStream(file)) {
                    if (in.read() == 0x7f && in.read() == 'E') found.add(file);
                }
            }
        }
        return found;
    }

    private static int same(Path file) throws IOException, InterruptedException {
        Set<String> ours = new TreeSet<>();
        List<String> leftOut = new ArrayList<>();
        try (LayoutSource source = Dwarf.open(ElfFile.of(Image.open(file)), 2)) {
            if (source == null) return 0;
            source.forEachAggregate(
                    type -> ours.add(type.qualifiedName() + ", " + type.size() + " bytes"),
                    problem -> leftOut.add(String.valueOf(problem.getMessage())));
        }
        Set<String> theirs = Readelf.types(file);
        Set<String> missing = new TreeSet<>(theirs);
        missing.removeAll(ours);
        Set<String> more = new TreeSet<>(ours);
        more.removeAll(theirs);
        System.out.println(file.getFileName() + ": " + theirs.size() + " names and sizes, " + missing.size()
                + " only readelf's, " + more.size() + " only Slate's, " + leftOut.size() + " left out");
        assertThat(leftOut).as("left out of " + file).isEmpty();
        assertThat(missing.stream().limit(20))
                .as("what only readelf finds in " + file)
                .isEmpty();
        assertThat(more.stream().limit(20))
                .as("what only Slate finds in " + file)
                .isEmpty();
        return theirs.size();
    }

    private static void sameInAll(String debian, int atLeast) throws IOException, InterruptedException {
        int types = 0;
        for (Path file : debugFiles(debian)) types += same(file);
        assertThat(types).as(debian).isGreaterThan(atLeast);
    }

    @Test
    void everyTypeOfLibradosHasTheNameAndSizeThatReadelfFinds() throws Exception {
        sameInAll("librados2-dbg", 38_000);
    }

    @Test
    void everyTypeOfLibstdcxxHasTheNameAndSizeThatReadelfFinds() throws Exception {
        sameInAll("libstdc++6-12-dbg", 1_500);
    }

    @Test
    void everyTypeOfPythonHasTheNameAndSizeThatReadelfFinds() throws Exception {
        sameInAll("python3.11-dbg", 1_000);
    }

    /** The cloud kernel's, which has 164 MB of entries; its package is 283 MB. */
    @Test
    void everyTypeOfTheKernelHasTheNameAndSizeThatReadelfFinds() throws Exception {
        Path folder = cache.resolve("vmlinux");
        if (!Files.exists(folder)) {
            String debian = Tools.run(cache, "apt-cache", "depends", "linux-image-cloud-amd64-dbg")
                    .replaceAll("(?s).*Depends: (linux-image-\\S+-dbg).*", "$1");
            if (!Tools.succeeds(cache, "apt-get", "download", debian))
                Tools.skip(
                        "needs Debian's " + debian + ", which apt-get cannot download: apt-get update, with a network");
            Files.createDirectories(folder);
            Tools.run(
                    cache,
                    "sh",
                    "-c",
                    "dpkg-deb --fsys-tarfile " + debian
                            + "_*.deb | tar -x -C vmlinux --wildcards './usr/lib/debug/boot/vmlinux*' && rm " + debian
                            + "_*.deb");
        }
        int types = 0;
        for (Path file : debugFiles("vmlinux")) types += same(file);
        assertThat(types).isGreaterThan(6_000);
    }

    @Test
    void everyTypeOfAGoProgramHasTheNameAndSizeThatReadelfFinds() throws Exception {
        Tools.need("go");
        Path program = cache.resolve("gofmt");
        Tools.run(
                cache,
                "env",
                "GOFLAGS=-mod=mod",
                "GOCACHE=" + cache.resolve("go"),
                "go",
                "build",
                "-o",
                "gofmt",
                "cmd/gofmt");
        assertThat(same(program)).isGreaterThan(800);
    }
}
