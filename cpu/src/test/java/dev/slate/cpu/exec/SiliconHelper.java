package dev.slate.cpu.exec;

import dev.slate.cpu.decode.Feature;
import dev.slate.cpu.mem.HostMemory;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;

/**
 * The helper process that runs cases on the host's own processor: {@code src/test/native/silicon.c}, compiled by {@code cc}. There are
 * two batches of slots, so that one can be filled and judged while the other runs.
 */
final class SiliconHelper implements AutoCloseable {
    static final int SLOT = 4096;
    static final int BATCH = 1024;

    /** How a batch is run. */
    static final int DIRECT = 0;

    static final int STEPPED = 1;
    static final int STEPPED_32 = 2;
    /** 16- and 32-bit code in {@link SiliconSegments}. */
    static final int SEGMENTED = 3;

    private final Process process;
    private final OutputStream to;
    private final DataInputStream from;
    /** Keeps the mapping alive. */
    private final MappedByteBuffer slots;

    private final Path folder;
    private final long base;
    /** Address in the helper to which code jumps when it is through. */
    private final long leave;

    /** Selector of 32-bit code. */
    final int code32;

    /** Whether the kernel has taken the whole of {@link SiliconSegments}. */
    private final boolean segments;

    /**
     * {@link Feature} bits of instructions that are others where they are not offered, and that the processor has. Whoever hides them,
     * a hypervisor or the kernel, cannot keep them from running.
     */
    final long features;

    private final ByteBuffer order = ByteBuffer.allocate(12).order(ByteOrder.LITTLE_ENDIAN);

    private SiliconHelper(Path folder, Process process, MappedByteBuffer slots) throws IOException {
        this.folder = folder;
        this.process = process;
        this.to = process.getOutputStream();
        this.from = new DataInputStream(process.getInputStream());
        this.slots = slots;
        this.base = MemorySegment.ofBuffer(slots).address();
        this.leave = Long.reverseBytes(from.readLong());
        this.code32 = (int) Long.reverseBytes(from.readLong());
        this.segments = Long.reverseBytes(from.readLong()) == SiliconSegments.count();
        long hidden = Long.reverseBytes(from.readLong());
        this.features = ((hidden & 1) != 0 ? Feature.bit(Feature.LZCNT) : 0)
                | ((hidden & 2) != 0 ? Feature.bit(Feature.BMI1) : 0);
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

    /** Why 16- and 32-bit code cannot be run in segments of its own, or the empty string. No batch is running. */
    String withoutSegments() throws IOException {
        if (!segments) {
            return "the host's kernel refuses modify_ldt for 16-bit segments, or has no FSGSBASE";
        }
        return runsNop(SEGMENTED)
                ? ""
                : "the host's kernel takes 16-bit segments by modify_ldt and runs no code in them";
    }

    /** Whether the host runs 32-bit code at all: not every kernel does. No batch is running. */
    boolean runs32() throws IOException {
        return runsNop(STEPPED_32);
    }

    private boolean runsNop(int how) throws IOException {
        SiliconCase nop = new SiliconCase().at(in(0));
        byte[] code = new byte[64];
        code[0] = (byte) 0x90;
        nop.code(code, 1, 1);
        nop.flat();
        if (how == SEGMENTED) {
            SiliconSegments.choose(nop, true, codeAddress(0), new SplittableRandom(0));
        } else {
            nop.rip(codeAddress(0));
        }
        nop.rflags(2);
        nop.fxInt(0, 0x37f);
        nop.fxInt(24, 0x1f80);
        nop.set(SiliconCase.XSTATE_BV, 7);
        placeCode(0, nop);
        begin(0, 1, how);
        finish();
        return nop.at(out(0)).trap() == 1;
    }

    static SiliconHelper start() throws IOException, InterruptedException {
        Path source = Path.of(System.getProperty("slate.root", ".."), "cpu/src/test/native/silicon.c");
        // Not on a disk, whose writing back takes pages away.
        Path memory = Path.of("/dev/shm");
        Path folder = Files.isWritable(memory)
                ? Files.createTempDirectory(memory, "slate-silicon")
                : Files.createTempDirectory("slate-silicon");
        Path binary = folder.resolve("silicon");
        Process cc = new ProcessBuilder(
                        "cc",
                        "-O3",
                        "-mno-red-zone",
                        "-mfsgsbase",
                        "-fno-stack-protector",
                        "-o",
                        binary.toString(),
                        source.toString())
                .inheritIO()
                .start();
        if (!cc.waitFor(60, TimeUnit.SECONDS) || cc.exitValue() != 0) {
            throw new IOException("cc could not build " + source);
        }
        Path file = folder.resolve("slots");
        MappedByteBuffer slots;
        try (FileChannel c =
                FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            slots = c.map(FileChannel.MapMode.READ_WRITE, 0, 2L * BATCH * (SLOT + SiliconCase.CODE_BYTES));
        }
        List<String> command =
                new ArrayList<>(List.of(binary.toString(), file.toString(), Integer.toString(2 * BATCH)));
        command.addAll(SiliconSegments.arguments());
        Process p = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        return new SiliconHelper(folder, p, slots);
    }

    /** Address of slot i's inputs; i counts through both batches. */
    long in(int i) {
        return base + (long) i * SLOT;
    }

    long out(int i) {
        return in(i) + SLOT / 2;
    }

    /** Address of all slots' code. */
    long codePages() {
        return base + 2L * BATCH * SLOT;
    }

    static long codeAddress(int i) {
        return SiliconCase.CODE + (long) i * SiliconCase.CODE_BYTES;
    }

    /** Puts slot i's code in its place, and behind it the jump that leaves. */
    void placeCode(int i, SiliconCase c) {
        long at = codePages() + (long) i * SiliconCase.CODE_BYTES;
        int n = c.codeBytes();
        HostMemory.copy(c.at + SiliconCase.CODE_AT, at, 64);
        // jmp *0(%rip)
        HostMemory.put16(at + n, 0x25ff);
        HostMemory.put32(at + n + 2, 0);
        HostMemory.put64(at + n + 6, leave);
    }

    /** Has {@code n} cases run from slot {@code first} on; {@link #finish} waits for them. */
    void begin(int first, int n, int how) throws IOException {
        to.write(order.clear().putInt(first).putInt(n).putInt(how).array());
        to.flush();
    }

    void finish() throws IOException {
        if (from.read() < 0) {
            throw new IOException("the helper died, exit "
                    + process.onExit().join().exitValue() + "; slots are in " + folder.resolve("slots"));
        }
        from.skipNBytes(3);
    }

    @Override
    public void close() throws IOException {
        try {
            to.close();
            process.destroy();
            Files.deleteIfExists(folder.resolve("slots"));
            Files.deleteIfExists(folder.resolve("silicon"));
            Files.deleteIfExists(folder);
        } finally {
            Reference.reachabilityFence(slots);
        }
    }
}
