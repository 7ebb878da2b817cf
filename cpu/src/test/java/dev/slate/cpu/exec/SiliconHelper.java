package dev.slate.cpu.exec;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.TimeUnit;

/** The helper process that runs cases on the host's own processor: {@code src/test/native/silicon.c}, compiled by {@code cc}. */
final class SiliconHelper implements AutoCloseable {
    static final int SLOT = 4096;
    static final int BATCH = 1024;

    private final Process process;
    private final OutputStream to;
    private final DataInputStream from;
    private final MappedByteBuffer slots;
    private final Path folder;

    private SiliconHelper(Path folder, Process process, MappedByteBuffer slots) {
        this.folder = folder;
        this.process = process;
        this.to = process.getOutputStream();
        this.from = new DataInputStream(process.getInputStream());
        this.slots = slots;
    }

    /** Why there can be no helper here, or the empty string. */
    static String missing() {
        String arch = System.getProperty("os.arch");
        if (!arch.equals("amd64") || !System.getProperty("os.name").equals("Linux")) {
            return "the host is " + System.getProperty("os.name") + " on " + arch + ", not Linux on x86-64";
        }
        try {
            if (new ProcessBuilder("cc", "--version")
                            .redirectErrorStream(true)
                            .start()
                            .waitFor()
                    == 0) {
                return "";
            }
        } catch (IOException e) {
            // Said below.
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return "no C compiler 'cc' (Debian: apt install gcc)";
    }

    static SiliconHelper start() throws IOException, InterruptedException {
        Path source = Path.of("src/test/native/silicon.c");
        if (!Files.exists(source)) {
            source = Path.of("cpu").resolve(source);
        }
        Path folder = Files.createTempDirectory("slate-silicon");
        Path binary = folder.resolve("silicon");
        Process cc = new ProcessBuilder("cc", "-O1", "-mno-red-zone", "-o", binary.toString(), source.toString())
                .inheritIO()
                .start();
        if (!cc.waitFor(60, TimeUnit.SECONDS) || cc.exitValue() != 0) {
            throw new IOException("cc could not build " + source);
        }
        Path file = folder.resolve("slots");
        MappedByteBuffer slots;
        try (FileChannel c =
                FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            slots = c.map(FileChannel.MapMode.READ_WRITE, 0, (long) SLOT * BATCH);
        }
        slots.order(ByteOrder.LITTLE_ENDIAN);
        Process p = new ProcessBuilder(binary.toString(), file.toString())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        return new SiliconHelper(folder, p, slots);
    }

    /** Runs the first {@code n} (at most {@link #BATCH}) cases. */
    void run(SiliconCase[] in, SiliconCase[] out, int n) throws IOException {
        for (int i = 0; i < n; i++) {
            in[i].write(slots.position(i * SLOT));
        }
        to.write(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(n).array());
        to.flush();
        if (from.read() < 0) {
            int n0 = slots.order(ByteOrder.LITTLE_ENDIAN).position(0).limit();
            throw new IOException(
                    "the helper died, exit " + process.onExit().join().exitValue() + " in a batch of " + n + ", " + n0);
        }
        from.skipNBytes(3);
        for (int i = 0; i < n; i++) {
            out[i].read(slots.position(i * SLOT + SLOT / 2));
        }
    }

    @Override
    public void close() throws IOException {
        to.close();
        process.destroy();
        Files.deleteIfExists(folder.resolve("slots"));
        Files.deleteIfExists(folder.resolve("silicon"));
        Files.deleteIfExists(folder);
    }
}
