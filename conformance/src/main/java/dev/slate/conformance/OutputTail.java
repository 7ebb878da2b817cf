package dev.slate.conformance;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * Drains a program's output for as long as it runs and keeps its beginning and its end, so that a program that prints
 * without end costs neither memory nor disk. One thread runs it; the others ask after that thread has ended or been given up.
 */
final class OutputTail implements Runnable {
    private static final int KEPT = 64 << 10;

    private final InputStream source;
    private final ConsoleWatch watch;
    private final byte[] head = new byte[KEPT];
    private final byte[] ring = new byte[KEPT];
    private long total;

    OutputTail(InputStream source, ConsoleWatch watch) {
        this.source = source;
        this.watch = watch;
    }

    @Override
    public void run() {
        byte[] chunk = new byte[8192];
        try {
            for (int n = source.read(chunk); n >= 0; n = source.read(chunk)) {
                add(chunk, n);
                watch.add(chunk, n);
            }
        } catch (IOException closed) {
            // The stream is closed under us when the program is given up; what has come until then is what there is.
        }
    }

    private synchronized void add(byte[] chunk, int n) {
        for (int i = 0; i < n; i++, total++) {
            if (total < KEPT) {
                head[(int) total] = chunk[i];
            } else {
                ring[(int) (total % KEPT)] = chunk[i];
            }
        }
    }

    synchronized void writeTo(OutputStream out) throws IOException {
        out.write(head, 0, (int) Math.min(total, KEPT));
        long beyond = total - KEPT;
        if (beyond <= 0) {
            return;
        }
        if (beyond > KEPT) {
            out.write(("\n[" + (beyond - KEPT) + " bytes left out]\n").getBytes(StandardCharsets.UTF_8));
            int start = (int) (total % KEPT);
            out.write(ring, start, KEPT - start);
            out.write(ring, 0, start);
        } else {
            out.write(ring, 0, (int) beyond);
        }
    }

    List<String> lines() {
        java.io.ByteArrayOutputStream bytes = new java.io.ByteArrayOutputStream();
        try {
            writeTo(bytes);
        } catch (IOException impossible) {
            throw new AssertionError("an array took no bytes", impossible);
        }
        return bytes.toString(StandardCharsets.UTF_8).lines().toList();
    }
}
