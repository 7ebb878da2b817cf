package dev.slate.cpu.exec;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Base64;

/** The user-visible state around one instruction: what the helper's {@code struct image} holds, inputs or results. */
final class SiliconCase {
    static final long CODE = 0x2000_0040L;
    static final long DATA = 0x1000_0000L;
    static final int WINDOW = 0x600;
    static final int WINDOW_BYTES = 256;
    static final int FX_BYTES = 416;
    static final int IMAGE_BYTES = 16 * 8 + 16 + 16 + FX_BYTES + WINDOW_BYTES + 24;

    final long[] gpr = new long[16];
    long rflags;
    /** In: number of code bytes. */
    long rip;

    final byte[] code = new byte[16];
    /** The first bytes of an FXSAVE image: control words, MXCSR, x87 and XMM registers. */
    final byte[] fx = new byte[FX_BYTES];

    final byte[] window = new byte[WINDOW_BYTES];
    long sum;
    int trap;
    int error;
    long address;

    void write(ByteBuffer b) {
        for (long r : gpr) {
            b.putLong(r);
        }
        b.putLong(rflags).putLong(rip).put(code).put(fx).put(window).putLong(sum);
        b.putInt(trap).putInt(error).putLong(address);
    }

    void read(ByteBuffer b) {
        for (int i = 0; i < 16; i++) {
            gpr[i] = b.getLong();
        }
        rflags = b.getLong();
        rip = b.getLong();
        b.get(code).get(fx).get(window);
        sum = b.getLong();
        trap = b.getInt();
        error = b.getInt();
        address = b.getLong();
    }

    /** One word of text, from which {@link #parse} makes an equal object. */
    String text() {
        ByteBuffer b = ByteBuffer.allocate(IMAGE_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        write(b);
        // Runs of zeros are most of it: a literal byte, or a zero and how many.
        byte[] raw = b.array();
        byte[] packed = new byte[raw.length * 2];
        int n = 0;
        for (int i = 0; i < raw.length; i++) {
            packed[n++] = raw[i];
            if (raw[i] == 0) {
                int run = 1;
                while (run < 255 && i + run < raw.length && raw[i + run] == 0) {
                    run++;
                }
                packed[n++] = (byte) run;
                i += run - 1;
            }
        }
        return Base64.getEncoder().withoutPadding().encodeToString(Arrays.copyOf(packed, n));
    }

    static SiliconCase parse(String text) {
        byte[] packed = Base64.getDecoder().decode(text);
        ByteBuffer b = ByteBuffer.allocate(IMAGE_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < packed.length; i++) {
            if (packed[i] != 0) {
                b.put(packed[i]);
            } else {
                b.put(new byte[packed[++i] & 0xff]);
            }
        }
        SiliconCase c = new SiliconCase();
        c.read(b.flip());
        return c;
    }

    long fxLong(int at) {
        return ByteBuffer.wrap(fx).order(ByteOrder.LITTLE_ENDIAN).getLong(at);
    }

    void setFxLong(int at, long v) {
        ByteBuffer.wrap(fx).order(ByteOrder.LITTLE_ENDIAN).putLong(at, v);
    }

    int fxInt(int at) {
        return ByteBuffer.wrap(fx).order(ByteOrder.LITTLE_ENDIAN).getInt(at);
    }

    void setFxInt(int at, int v) {
        ByteBuffer.wrap(fx).order(ByteOrder.LITTLE_ENDIAN).putInt(at, v);
    }

    /** Whether a byte is among the first {@code length} of the code. */
    boolean has(int length, int b) {
        for (int i = 0; i < length; i++) {
            if ((code[i] & 0xff) == b) {
                return true;
            }
        }
        return false;
    }

    /** Four bytes of the code. */
    int codeInt(int at) {
        return ByteBuffer.wrap(code).order(ByteOrder.LITTLE_ENDIAN).getInt(at);
    }

    void setCodeInt(int at, int v) {
        ByteBuffer.wrap(code).order(ByteOrder.LITTLE_ENDIAN).putInt(at, v);
    }

    /** The instruction's bytes in hexadecimal. */
    String bytes(int length) {
        StringBuilder t = new StringBuilder();
        for (int i = 0; i < length; i++) {
            t.append(String.format("%02x", code[i]));
        }
        return t.toString();
    }
}
