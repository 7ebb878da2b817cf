package dev.slate.conformance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The recipes of conformance/machines, with a repository of packages on this machine and a program that stands for npm. */
final class PartTest {
    private static final Path RECIPES = Path.of(System.getProperty("slate.root", ".."))
            .toAbsolutePath()
            .normalize()
            .resolve("conformance/machines");

    @TempDir
    private Path folder;

    private Path repository;
    private Path parts;
    private Path bin;
    private String path;

    private record Ran(int status, String out, String err) {}

    @BeforeEach
    void make_the_folders() throws IOException {
        repository = Files.createDirectories(folder.resolve("repository"));
        parts = folder.resolve("parts");
        bin = Files.createDirectories(folder.resolve("bin"));
        path = bin + ":" + System.getenv("PATH");
        // apt is told of this repository alone, and has no lists yet.
        Files.writeString(folder.resolve("sources.list"), "deb [trusted=yes] file:" + repository + " ./\n");
        Files.createDirectories(folder.resolve("lists/partial"));
        Files.writeString(
                folder.resolve("apt.conf"),
                "Dir::Etc::SourceList \"" + folder.resolve("sources.list")
                        + "\";\nDir::Etc::SourceParts \"/dev/null\";\n"
                        + "Dir::State::Lists \"" + folder.resolve("lists") + "\";\nDir::Cache \""
                        + Files.createDirectories(folder.resolve("cache/archives/partial"))
                                .getParent()
                                .getParent()
                        + "\";\nAPT::Architecture \"amd64\";\nAPT::Sandbox::User \"root\";\n");
    }

    private Ran run(String... command) throws IOException, InterruptedException {
        Path err = folder.resolve("err");
        ProcessBuilder builder = new ProcessBuilder(command)
                .redirectInput(Path.of("/dev/null").toFile())
                .redirectError(err.toFile());
        builder.environment().put("APT_CONFIG", folder.resolve("apt.conf").toString());
        builder.environment().put("PATH", path);
        Process process = builder.start();
        String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return new Ran(process.waitFor(), out.strip(), Files.readString(err));
    }

    private Ran part(String name) throws IOException, InterruptedException {
        return run("/bin/sh", RECIPES.resolve("part.sh").toString(), parts.toString(), name);
    }

    private void assertRefused(String name, String... words) throws IOException, InterruptedException {
        Ran ran = part(name);
        assertThat(ran.status()).as(ran.out() + ran.err()).isEqualTo(1);
        assertThat(ran.out()).contains(words).doesNotContain("\n");
        assertThat(parts.resolve(name)).doesNotExist();
        try (Stream<Path> left = Files.list(parts)) {
            assertThat(left.filter(file -> file.getFileName().toString().startsWith("." + name)))
                    .as("what was begun is gone")
                    .isEmpty();
        }
    }

    private static void needApt() {
        for (String tool : List.of("apt-get", "apt-cache", "dpkg-deb")) {
            assumeTrue(
                    Stream.of(System.getenv("PATH").split(":")).anyMatch(f -> Files.isExecutable(Path.of(f, tool))),
                    "needs " + tool + ": a system of Debian's family");
        }
    }

    /** Puts a package with one file, or with none, into the repository. */
    private void addPackage(String name, String version, String depends, String file, String content) throws Exception {
        addPackage(name, version, depends, file.isEmpty() ? Map.of() : Map.of(file, content));
    }

    private void addPackage(String name, String version, String depends, Map<String, String> files) throws Exception {
        addPackage(name, version, "amd64", depends, files);
    }

    private void addPackage(String name, String version, String architecture, String depends, Map<String, String> files)
            throws Exception {
        Path tree = Files.createDirectories(folder.resolve("tree-" + name + version + architecture));
        Files.createDirectories(tree.resolve("DEBIAN"));
        String control = "Package: " + name + "\nVersion: " + version
                + "\nArchitecture: " + architecture + "\nMaintainer: nobody <nobody@example.org>\n"
                + (depends.isEmpty() ? "" : "Depends: " + depends + "\n");
        Files.writeString(tree.resolve("DEBIAN/control"), control + "Description: x\n");
        for (Map.Entry<String, String> file : files.entrySet()) {
            Path target = tree.resolve(file.getKey());
            Files.createDirectories(target.getParent());
            Files.writeString(target, file.getValue());
        }
        Path deb = repository.resolve(name + "_" + version + "_" + architecture + ".deb");
        assertThat(run("dpkg-deb", "--build", "--root-owner-group", tree.toString(), deb.toString())
                        .status())
                .isZero();
        byte[] bytes = Files.readAllBytes(deb);
        String sum =
                HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        Path index = repository.resolve("Packages");
        String before = Files.exists(index) ? Files.readString(index) : "";
        Files.writeString(
                index,
                before + control + "Filename: ./" + deb.getFileName() + "\nSize: " + bytes.length + "\nSHA256: " + sum
                        + "\nDescription: x\n\n");
    }

    private void addKernel(String version) throws Exception {
        addPackage(
                "linux-image-cloud-amd64",
                version,
                "linux-image-" + version + "-cloud-amd64 (= " + version + ")",
                "",
                "");
        addPackage(
                "linux-image-" + version + "-cloud-amd64",
                version,
                "kmod",
                "boot/vmlinuz-" + version,
                "kernel " + version);
    }

    @Test
    void a_kernel_is_found_through_the_package_that_names_the_current_one_and_fetched_once() throws Exception {
        needApt();
        addKernel("9.1");
        Ran ran = part("cloud-kernel");
        assertThat(ran.status()).as(ran.out() + ran.err()).isZero();
        assertThat(parts.resolve("cloud-kernel")).hasContent("kernel 9.1");
        assertThat(ran.err()).contains("fetching Debian's linux-image-9.1-cloud-amd64 (1 MB)");
        Files.delete(repository.resolve("Packages"));
        assertThat(part("cloud-kernel")).isEqualTo(new Ran(0, "", ""));
    }

    /** A module as far as its recipe looks: what it says of itself, in strings that end with a NUL. */
    private static String module(String depends) {
        return "\177ELF\0license=GPL\0depends=" + depends + "\0name=x\0";
    }

    @Test
    void the_modules_of_a_kernel_are_loaded_behind_those_that_they_say_they_depend_on() throws Exception {
        needApt();
        String folder = "lib/modules/9.1/kernel/";
        Map<String, String> files = new LinkedHashMap<>();
        files.put("boot/vmlinuz-9.1", "kernel 9.1");
        for (String name :
                List.of("9pnet_virtio", "virtio_net", "e1000", "virtio_blk", "virtio-rng", "virtio_console")) {
            files.put(folder + name + ".ko", module(""));
        }
        files.put(folder + "drivers/virtio_pci.ko", module("virtio,ring"));
        files.put(folder + "drivers/virtio.ko", module("ring"));
        files.put(folder + "drivers/ring.ko", module(""));
        files.put(folder + "ahci.ko", module("libata"));
        files.put(folder + "sd_mod.ko", module("libata"));
        files.put(folder + "libata.ko", module("ring"));
        files.put(folder + "9p.ko", module(""));
        files.put(folder + "other.ko", module("nowhere"));
        addPackage("linux-image-amd64", "9.1", "linux-image-9.1-amd64 (= 9.1)", Map.of());
        addPackage("linux-image-9.1-amd64", "9.1", "kmod", files);
        assertRefused("device-kernel", "linux-image-9.1-amd64 holds no module virtio_balloon");

        Files.delete(repository.resolve("Packages"));
        files.put(folder + "virtio_balloon.ko", module("virtio"));
        addPackage("linux-image-amd64", "9.2", "linux-image-9.2-amd64 (= 9.2)", Map.of());
        addPackage("linux-image-9.2-amd64", "9.2", "kmod", files);
        Ran ran = part("device-kernel");
        assertThat(ran.status()).as(ran.out() + ran.err()).isZero();
        assertThat(parts.resolve("device-kernel/vmlinuz")).hasContent("kernel 9.1");
        assertThat(Files.readAllLines(parts.resolve("device-kernel/order")))
                .containsExactly(
                        "ring",
                        "virtio",
                        "virtio_pci",
                        "9p",
                        "9pnet_virtio",
                        "virtio_net",
                        "e1000",
                        "virtio_blk",
                        "libata",
                        "ahci",
                        "sd_mod",
                        "virtio-rng",
                        "virtio_console",
                        "virtio_balloon")
                .allSatisfy(name -> assertThat(parts.resolve("device-kernel/" + name + ".ko"))
                        .exists());
    }

    @Test
    void a_package_of_another_architecture_is_found_in_lists_of_its_own_and_leaves_the_others_alone() throws Exception {
        needApt();
        addPackage("busybox-static", "1", "", "bin/busybox", "of 64 bits");
        addPackage("busybox-static", "2", "i386", "", Map.of("bin/busybox", "of 32 bits"));
        assertThat(run("apt-get", "update").status()).isZero();
        Ran ran = part("initrd-32");
        assertThat(ran.status()).as(ran.out() + ran.err()).isZero();
        assertThat(entries(Files.readAllBytes(parts.resolve("initrd-32"))))
                .containsEntry("bin/busybox", "100755 of 32 bits");
        assertThat(part("busybox").status()).isZero();
        assertThat(parts.resolve("busybox")).hasContent("of 64 bits");
    }

    @Test
    void where_apts_lists_name_a_package_that_is_gone_they_are_fetched_anew() throws Exception {
        needApt();
        addKernel("9.1");
        assertThat(run("apt-get", "update").status()).isZero();
        Files.delete(repository.resolve("Packages"));
        Files.delete(repository.resolve("linux-image-9.1-cloud-amd64_9.1_amd64.deb"));
        addKernel("9.2");
        Ran ran = part("cloud-kernel");
        assertThat(ran.status()).as(ran.out() + ran.err()).isZero();
        assertThat(parts.resolve("cloud-kernel")).hasContent("kernel 9.2");
    }

    @Test
    void a_package_that_is_not_what_the_lists_say_is_refused() throws Exception {
        needApt();
        addKernel("9.1");
        Path deb = repository.resolve("linux-image-9.1-cloud-amd64_9.1_amd64.deb");
        byte[] bytes = Files.readAllBytes(deb);
        bytes[bytes.length - 1] ^= 1;
        Files.write(deb, bytes);
        assertRefused("cloud-kernel", "linux-image-9.1-cloud-amd64 can't be fetched: E:", "Hash Sum mismatch");
    }

    @Test
    void a_package_that_is_not_there_or_holds_another_file_is_named() throws Exception {
        needApt();
        addPackage("busybox-static", "1", "", "bin/box", "");
        assertRefused("cloud-kernel", "have no package linux-image-cloud-amd64");
        assertRefused("busybox", "busybox-static holds no bin/busybox");
        assertRefused("initrd", "busybox-static holds no bin/busybox");
        assertRefused("rootfs", "busybox-static holds no bin/busybox");
    }

    @Test
    void lists_that_cannot_be_had_are_said() throws Exception {
        needApt();
        Files.writeString(folder.resolve("sources.list"), "deb [trusted=yes] file:" + folder + "/nowhere ./\n");
        assertRefused("cloud-kernel", "have no package linux-image-cloud-amd64; apt said: E:", "nowhere");
    }

    @Test
    void a_system_without_apt_or_QEMU_or_npm_is_told_what_is_wanted() throws Exception {
        for (String tool : List.of("sh", "dirname", "mkdir", "rm", "find", "sed", "grep", "head", "tail", "cut")) {
            Files.createSymbolicLink(bin.resolve(tool), real(tool));
        }
        path = bin.toString();
        assertRefused("cloud-kernel", "linux-image-cloud-amd64 comes from Debian, and this machine has no apt-get");
        assertRefused("qemu", "apt-get install -y --no-install-recommends qemu-system-x86");
        assertRefused("msb", "npm is not installed: apt-get install");
        assertRefused("antenna", "there is no part antenna");
    }

    private static Path real(String tool) throws IOException {
        for (String place : System.getenv("PATH").split(":")) {
            if (Files.isExecutable(Path.of(place, tool))) {
                return Path.of(place, tool).toRealPath();
            }
        }
        throw new IOException("no " + tool);
    }

    private void npm(String script) throws IOException {
        Path npm = Files.writeString(bin.resolve("npm"), "#!/bin/sh\n" + script);
        assertThat(npm.toFile().setExecutable(true)).isTrue();
    }

    @Test
    void an_archive_from_npm_that_is_not_the_known_one_is_refused_and_never_unpacked() throws Exception {
        npm("mkdir -p package/bin package/lib; echo 'touch " + folder + "/ran' >package/bin/msb\n"
                + "tar -czf microsandbox.tgz package; rm -r package\n");
        assertRefused("microsandbox", "is not what Slate knows: its SHA-512 begins with ");
        assertRefused("msb", "is not what Slate knows");
        assertThat(folder.resolve("ran")).doesNotExist();
    }

    @Test
    void an_npm_that_fails_is_quoted() throws Exception {
        npm("echo one >&2; echo 'npm ERR! 404 Not Found' >&2; exit 1");
        assertRefused("microsandbox", "can't be had from npm: npm ERR! 404 Not Found");
        npm("exit 0");
        assertRefused("microsandbox", "npm gave no archive");
    }

    @Test
    void a_board_learns_why_a_part_cannot_be_had() throws Exception {
        Path home = folder.resolve("home");
        Files.createDirectories(home.resolve("conformance/machines"));
        Files.writeString(
                home.resolve("conformance/machines/part.sh"),
                "case $2 in disk) mkdir -p $1; touch $1/disk;; broken) exit 9;; *) echo \"no $2 today\"; exit 1;; esac\n");
        Program box = new Program("box", List.of("vmm"), List.of("disk", "tape", "broken"), List.of(), 0, true);
        Suite suite = new Suite(List.of(new Row(List.of(), box, List.of(), Duration.ofSeconds(1), 1, false)));
        ByteArrayOutputStream messages = new ByteArrayOutputStream();
        Machines machines = new Machines(home);
        assertThat(machines.prepare(suite, new PrintStream(messages, true, StandardCharsets.UTF_8)))
                .contains(Map.of("tape", "no tape today", "broken", "its recipe ended with status 9"));
        assertThat(messages.toString(StandardCharsets.UTF_8)).contains("slate: without tape: no tape today");
        assertThat(machines.programs().resolve("disk")).exists();
    }

    /** The entries of an archive in newc form, and that each begins where it should. */
    private static Map<String, String> entries(byte[] archive) {
        Map<String, String> entries = new LinkedHashMap<>();
        ByteBuffer in = ByteBuffer.wrap(archive);
        while (in.hasRemaining()) {
            byte[] header = new byte[110];
            in.get(header);
            String text = new String(header, StandardCharsets.US_ASCII);
            assertThat(text).startsWith("070701");
            List<Integer> fields = new ArrayList<>();
            for (int at = 6; at < 110; at += 8) {
                fields.add(Integer.parseInt(text.substring(at, at + 8), 16));
            }
            byte[] name = new byte[fields.get(11)];
            in.get(name);
            assertThat(name[name.length - 1]).isZero();
            in.position(in.position() + 3 & ~3);
            byte[] content = new byte[fields.get(6)];
            in.get(content);
            in.position(Math.min(in.position() + 3 & ~3, in.limit()));
            entries.put(
                    new String(name, 0, name.length - 1, StandardCharsets.UTF_8),
                    Integer.toOctalString(fields.get(1)) + " " + new String(content, StandardCharsets.ISO_8859_1));
        }
        return entries;
    }

    @Test
    void an_archive_holds_its_files_and_the_folders_above_them_once() throws Exception {
        Path archive = folder.resolve("archive");
        Path content = folder.resolve("content");
        for (int size = 0; size < 9; size++) {
            Files.writeString(content, "x".repeat(size));
            Ran ran = run(
                    "sh",
                    "-c",
                    "sh \"$0\" a=\"$2\" b/c/dd=\"$2\" b/$(printf '\\303\\251')=\"$2\" >\"$1\"",
                    RECIPES.resolve("cpio.sh").toString(),
                    archive.toString(),
                    content.toString());
            assertThat(ran).isEqualTo(new Ran(0, "", ""));
            String file = "100755 " + "x".repeat(size);
            Map<String, String> wanted = new LinkedHashMap<>();
            wanted.put("a", file);
            wanted.put("b", "40755 ");
            wanted.put("b/c", "40755 ");
            wanted.put("b/c/dd", file);
            wanted.put("b/\u00e9", file);
            wanted.put("TRAILER!!!", "0 ");
            assertThat(entries(Files.readAllBytes(archive))).isEqualTo(wanted);
        }
    }
}
