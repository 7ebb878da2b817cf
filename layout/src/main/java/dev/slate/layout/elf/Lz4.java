package dev.slate.layout.elf;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** The legacy LZ4 frame that kernels are packed with (lz4_Frame_format.md, "Legacy frame"). */
final class Lz4 {
    private static final int BLOCK = 8 << 20;

    private Lz4() {}

    static byte[] legacy(byte[] packed) throws IOException {
        ByteBuffer in = ByteBuffer.wrap(packed).order(ByteOrder.LITTLE_ENDIAN);
        in.getInt();
        ByteArrayOutputStream out = new ByteArrayOutputStream(packed.length * 4);
        byte[] block = new byte[BLOCK];
        while (in.remaining() >= 4) {
            int size = in.getInt();
            if (size == 0x184c2102) continue; // another frame follows
            if (size <= 0 || size > in.remaining()) break; // the kernel's build appends the unpacked size
            int n = block(packed, in.position(), size, block);
            out.write(block, 0, n);
            in.position(in.position() + size);
            if (out.size() > Unpack.LIMIT) throw new IOException("it unpacks to more than " + Unpack.LIMIT + " bytes");
        }
        return out.toByteArray();
    }

    private static int block(byte[] in, int from, int length, byte[] out) throws IOException {
        int at = from;
        int end = from + length;
        int to = 0;
        try {
            while (at < end) {
                int token = in[at++] & 0xff;
                int literals = token >>> 4;
                if (literals == 15) {
                    int more;
                    do {
                        more = in[at++] & 0xff;
                        literals += more;
                    } while (more == 255);
                }
                System.arraycopy(in, at, out, to, literals);
                at += literals;
                to += literals;
                if (at >= end) break;
                int distance = (in[at] & 0xff) | (in[at + 1] & 0xff) << 8;
                at += 2;
                int match = (token & 15) + 4;
                if (match == 19) {
                    int more;
                    do {
                        more = in[at++] & 0xff;
                        match += more;
                    } while (more == 255);
                }
                if (distance == 0 || distance > to) throw new IOException("a match reaches before the start");
                for (int i = 0; i < match; i++, to++) out[to] = out[to - distance];
            }
        } catch (IndexOutOfBoundsException e) {
            throw new IOException("the LZ4 block at byte " + from + " is broken", e);
        }
        return to;
    }
}
