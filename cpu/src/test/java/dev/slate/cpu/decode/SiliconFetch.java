package dev.slate.cpu.decode;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;

/** Drives {@code src/test/native/fetch.c}: the host processor's own opinion on how long instructions are. One thread at a time. */
final class SiliconFetch implements AutoCloseable {
    static final int SLOTS = 4096;
    /** {@link #trap} of bytes that killed the helper. */
    static final int KILLED = 254;
    /** {@link #trap} of an instruction that needs more bytes than it was said to have. */
    static final int LONGER = 255;

    private static final int SLOT = 32;

    private final Path helper;
    private final Path file;
    private final int bits;
    private final ByteBuffer slots;
    private Process process;

    SiliconFetch(Path folder, int bits) throws IOException, InterruptedException {
        this.bits = bits;
        helper = folder.resolve("fetch");
        Path source = Operations.folder().resolve("../../test/native/fetch.c");
        Process cc = new ProcessBuilder(
                        "cc",
                        "-O1",
                        "-fPIE",
                        "-pie",
                        "-fno-stack-protector",
                        "-fcf-protection=none",
                        "-mgeneral-regs-only",
                        "-mfsgsbase",
                        "-o",
                        helper.toString(),
                        source.toString())
                .inheritIO()
                .start();
        if (cc.waitFor() != 0) {
            throw new IOException("cc cannot build " + source);
        }
        file = folder.resolve("slots" + bits);
        try (RandomAccessFile f = new RandomAccessFile(file.toFile(), "rw")) {
            f.setLength((long) SLOTS * SLOT);
            slots = f.getChannel()
                    .map(FileChannel.MapMode.READ_WRITE, 0, (long) SLOTS * SLOT)
                    .order(ByteOrder.LITTLE_ENDIAN);
        }
        process = start();
    }

    /** Fills slot {@code i}, 1 .. {@value #SLOTS} - 1; length 0 when the bytes are thought to be no instruction. */
    void put(int i, byte[] code, int from, int length) {
        slots.put(i * SLOT, code, from, 16);
        slots.put(i * SLOT + 16, (byte) length);
        slots.put(i * SLOT + 17, (byte) 0);
        slots.put(i * SLOT + 18, (byte) KILLED);
    }

    /** Runs slots 1 to {@code count} - 1. */
    void run(int count) throws IOException, InterruptedException {
        int first = 1;
        byte[] moved = new byte[SLOT];
        while (first < count) {
            // The helper always starts at slot 1: after it was killed, the rest moves down.
            int n = count - first + 1;
            byte[] done = new byte[first * SLOT];
            if (first > 1) {
                slots.get(0, done);
                for (int i = 0; i < n - 1; i++) {
                    slots.get((first + i) * SLOT, moved);
                    slots.put((1 + i) * SLOT, moved);
                }
            }
            int reached = once(n);
            if (first > 1) {
                for (int i = n - 2; i >= 0; i--) {
                    slots.get((1 + i) * SLOT, moved);
                    slots.put((first + i) * SLOT, moved);
                }
                slots.put(SLOT, done, SLOT, (first - 1) * SLOT);
            }
            first += reached;
        }
    }

    /** Returns how many slots are through. */
    private int once(int n) throws IOException, InterruptedException {
        OutputStream out = process.getOutputStream();
        byte[] count = new byte[4];
        ByteBuffer.wrap(count).order(ByteOrder.LITTLE_ENDIAN).putInt(n);
        try {
            out.write(count);
            out.flush();
            new DataInputStream(process.getInputStream()).readFully(count);
            return n;
        } catch (IOException e) {
            process.destroyForcibly().waitFor();
            int at = slots.getInt(0);
            process = start();
            // It never came as far as a slot: this kernel does not let it run at all, and each slot says that it was
            // killed.
            return at == 0 ? n : at;
        }
    }

    private Process start() throws IOException {
        return new ProcessBuilder(helper.toString(), file.toString(), Integer.toString(bits))
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
    }

    /** Whether the host runs code of these bits: not every kernel does. */
    boolean runs() throws IOException, InterruptedException {
        byte[] nop = new byte[16];
        nop[0] = (byte) 0x90;
        put(1, nop, 0, 1);
        run(2);
        return trap(1) == 1;
    }

    /** Whether one byte less than the length given was too little. */
    boolean cut(int i) {
        return slots.get(i * SLOT + 17) != 0;
    }

    /** The exception number that the instruction ended with, {@link #KILLED} or {@link #LONGER}. */
    int trap(int i) {
        return slots.get(i * SLOT + 18) & 0xff;
    }

    @Override
    public void close() {
        process.destroyForcibly();
    }
}
