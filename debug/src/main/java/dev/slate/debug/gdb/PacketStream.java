package dev.slate.debug.gdb;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;

/**
 * Packets of gdb's remote protocol on a connection (gdb manual, appendix E.1): {@code $data#checksum}, acknowledged by + or - until
 * both sides agree not to. Reading is for one thread, sending for any.
 */
final class PacketStream {
    /** What {@link #read} gives for the byte 3, which is Ctrl-C and no packet. */
    static final byte[] INTERRUPT = {};

    /** Longest packet that is accepted; qSupported says so. */
    static final int MOST_BYTES = 0x4000;

    private final InputStream in;
    private final OutputStream out;
    private volatile boolean acknowledges = true;

    PacketStream(InputStream in, OutputStream out) {
        this.in = new BufferedInputStream(in);
        this.out = out;
    }

    /** No more + and - from here on (QStartNoAckMode). */
    void acknowledgeNoMore() {
        acknowledges = false;
    }

    /** The next packet's data, escapes undone. @throws java.io.EOFException the connection is closed */
    byte[] read() throws IOException {
        for (; ; ) {
            int b = next();
            if (b == 3) {
                return INTERRUPT;
            }
            if (b != '$') {
                continue; // + and -, on a connection that loses nothing
            }
            ByteArrayOutputStream data = new ByteArrayOutputStream();
            int sum = 0;
            while ((b = next()) != '#') {
                if (b == '$') {
                    // The last one was cut off.
                    data.reset();
                    sum = 0;
                    continue;
                }
                sum += b;
                if (b == '}') {
                    b = next();
                    sum += b;
                    b ^= 0x20;
                }
                if (data.size() > MOST_BYTES) {
                    throw new IOException("a packet of more than " + MOST_BYTES + " bytes");
                }
                data.write(b);
            }
            int said = Character.digit(next(), 16) << 4 | Character.digit(next(), 16);
            boolean good = said == (sum & 0xff);
            if (acknowledges) {
                synchronized (out) {
                    out.write(good ? '+' : '-');
                    out.flush();
                }
            }
            if (good) {
                return data.toByteArray();
            }
        }
    }

    private int next() throws IOException {
        int b = in.read();
        if (b < 0) {
            throw new java.io.EOFException();
        }
        return b;
    }

    /** Sends a packet; bytes that mean something to the protocol are escaped. */
    void send(byte[] data) throws IOException {
        ByteArrayOutputStream packet = new ByteArrayOutputStream(data.length + 8);
        packet.write('$');
        int sum = 0;
        for (byte d : data) {
            int b = d & 0xff;
            if (b == '$' || b == '#' || b == '}' || b == '*') {
                packet.write('}');
                sum += '}';
                b ^= 0x20;
            }
            packet.write(b);
            sum += b;
        }
        packet.write('#');
        packet.write(Character.forDigit(sum >> 4 & 15, 16));
        packet.write(Character.forDigit(sum & 15, 16));
        synchronized (out) {
            out.write(packet.toByteArray());
            out.flush();
        }
    }
}
