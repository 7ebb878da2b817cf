package dev.slate.cpu.mem;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The accessors are what they promise by either of their ways, each in a JVM of its own that has it. */
class HostMemoryTest {
    @Test
    void segmentsWhereTheJvmExportsNothing() throws Exception {
        assertEquals("unsafe=false, all as in the model\n", child());
    }

    @Test
    void unsafeWhereTheJvmExportsIt() throws Exception {
        assertEquals(
                "unsafe=true, all as in the model\n", child("--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED"));
    }

    /** Nothing else may reach into the JDK: where it exports nothing, that would fail in a library's user's hands. */
    @Test
    void noOtherSourceNamesWhatTheJdkKeeps() throws IOException {
        try (Stream<Path> files = Files.walk(Path.of("src/main/java"))) {
            assertEquals(
                    List.of("HostMemory.java"),
                    files.filter(Files::isRegularFile)
                            .filter(HostMemoryTest::namesInternals)
                            .map(file -> file.getFileName().toString())
                            .toList());
        }
    }

    private static boolean namesInternals(Path file) {
        try {
            return Files.readString(file).contains("jdk.internal");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String child(String... options) throws Exception {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(List.of(options));
        command.addAll(List.of(
                "--enable-native-access=ALL-UNNAMED", "-cp", place(HostMemory.class) + ":" + place(Model.class)));
        command.add(Model.class.getName());
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), said);
        return said;
    }

    private static Path place(Class<?> of) throws IOException {
        String path = of.getProtectionDomain().getCodeSource().getLocation().getPath();
        return Path.of(path).toRealPath();
    }

    /** A program: every accessor on random words of 4 KiB, beside a byte buffer that does the same. */
    static final class Model {
        private static final int BYTES = 4096;

        private final Random random = new Random(20261129);
        private final ByteBuffer model = ByteBuffer.allocate(BYTES).order(ByteOrder.LITTLE_ENDIAN);
        private final long memory;

        private Model(long memory) {
            this.memory = memory;
        }

        public static void main(String[] arguments) {
            try (Arena arena = Arena.ofConfined()) {
                Model model = new Model(arena.allocate(BYTES, 4096).address());
                for (int i = 0; i < 200_000; i++) {
                    model.plain();
                    model.aligned32();
                    model.aligned64();
                }
                model.compare();
            }
            System.out.println("unsafe=" + HostMemory.byUnsafe() + ", all as in the model");
        }

        private static void same(long expected, long found) {
            if (expected != found) {
                throw new AssertionError(Long.toHexString(found) + " instead of " + Long.toHexString(expected));
            }
        }

        private void plain() {
            int at = random.nextInt(BYTES - 7);
            long hva = memory + at;
            long v = random.nextLong();
            switch (random.nextInt(8)) {
                case 0 -> same(model.get(at) & 0xff, HostMemory.get8(hva));
                case 1 -> same(model.getShort(at) & 0xffff, HostMemory.get16(hva));
                case 2 -> same(model.getInt(at), HostMemory.get32(hva));
                case 3 -> same(model.getLong(at), HostMemory.get64(hva));
                case 4 -> {
                    model.put(at, (byte) v);
                    HostMemory.put8(hva, (int) v);
                }
                case 5 -> {
                    model.putShort(at, (short) v);
                    HostMemory.put16(hva, (int) v);
                }
                case 6 -> {
                    model.putInt(at, (int) v);
                    HostMemory.put32(hva, (int) v);
                }
                default -> {
                    model.putLong(at, v);
                    HostMemory.put64(hva, v);
                }
            }
        }

        private void aligned32() {
            int at = 4 * random.nextInt(BYTES / 4);
            long hva = memory + at;
            int v = random.nextInt();
            int old = model.getInt(at);
            switch (random.nextInt(6)) {
                case 0 -> same(old, HostMemory.getVolatile32(hva));
                case 1 -> {
                    model.putInt(at, v);
                    HostMemory.putVolatile32(hva, v);
                }
                case 2 -> same(v == old ? 1 : 0, HostMemory.cas32(hva, v, ~v) ? 1 : 0);
                case 3 -> {
                    model.putInt(at, v);
                    same(1, HostMemory.cas32(hva, old, v) ? 1 : 0);
                }
                case 4 -> {
                    model.putInt(at, old | v);
                    same(old, HostMemory.getAndOr32(hva, v));
                }
                default -> {
                    model.putInt(at, old & v);
                    same(old, HostMemory.getAndAnd32(hva, v));
                }
            }
        }

        private void aligned64() {
            int at = 8 * random.nextInt(BYTES / 8);
            long hva = memory + at;
            long v = random.nextLong();
            long old = model.getLong(at);
            switch (random.nextInt(8)) {
                case 0 -> same(old, HostMemory.getVolatile64(hva));
                case 1 -> {
                    model.putLong(at, v);
                    HostMemory.putVolatile64(hva, v);
                }
                case 2 -> same(v == old ? 1 : 0, HostMemory.cas64(hva, v, ~v) ? 1 : 0);
                case 3 -> {
                    model.putLong(at, v);
                    same(1, HostMemory.cas64(hva, old, v) ? 1 : 0);
                }
                case 4 -> {
                    model.putLong(at, v);
                    same(old, HostMemory.getAndSet64(hva, v));
                }
                case 5 -> {
                    model.putLong(at, old + v);
                    same(old, HostMemory.getAndAdd64(hva, v));
                }
                case 6 -> {
                    model.putLong(at, old | v);
                    same(old, HostMemory.getAndOr64(hva, v));
                }
                default -> {
                    model.putLong(at, old & v);
                    same(old, HostMemory.getAndAnd64(hva, v));
                }
            }
        }

        private void compare() {
            byte[] all = new byte[BYTES];
            HostMemory.copyOut(memory, all, 0, BYTES);
            for (int i = 0; i < BYTES; i++) {
                same(model.get(i), all[i]);
            }
        }
    }
}
