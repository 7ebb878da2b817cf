package dev.slate.cpu.exec;

import dev.slate.cpu.mem.HostMemory;
import java.util.Arrays;
import java.util.Base64;

/**
 * The user-visible state before or after some instructions, in native memory: the helper's {@code struct image}. A view of it, which can
 * be moved from one to the next.
 */
final class SiliconCase {
    static final long CODE = 0x2f40_0000L;
    /** Room for one case's code. */
    static final int CODE_BYTES = 128;

    static final long DATA = 0x1000_0000L;
    static final int WINDOW = 0x600;
    static final int WINDOW_BYTES = 256;
    static final int IMAGE_BYTES = 1344;

    private static final int RFLAGS = 128;
    private static final int RIP = 136;
    private static final int TRAP = 144;
    private static final int ERROR = 148;
    private static final int ADDRESS = 152;
    private static final int SUM = 160;
    private static final int BYTES = 168;
    private static final int INSTRUCTIONS = 172;
    static final int CODE_AT = 176;
    private static final int SELECTORS = CODE_AT + 64;
    /** The XSAVE area, standard format: of its legacy part control words, MXCSR, x87 and XMM registers. */
    static final int FX = 256;

    static final int XSTATE_BV = FX + 512;
    static final int YMM = FX + 576;
    static final int WINDOW_AT = 1088;

    /** Address of the image. */
    long at;

    SiliconCase() {}

    SiliconCase at(long address) {
        at = address;
        return this;
    }

    long get(int offset) {
        return HostMemory.get64(at + offset);
    }

    void set(int offset, long v) {
        HostMemory.put64(at + offset, v);
    }

    long gpr(int r) {
        return get(8 * r);
    }

    void gpr(int r, long v) {
        set(8 * r, v);
    }

    long rflags() {
        return get(RFLAGS);
    }

    void rflags(long v) {
        set(RFLAGS, v);
    }

    /** In: where the code is. */
    long rip() {
        return get(RIP);
    }

    void rip(long v) {
        set(RIP, v);
    }

    int trap() {
        return HostMemory.get32(at + TRAP);
    }

    int error() {
        return HostMemory.get32(at + ERROR);
    }

    long address() {
        return get(ADDRESS);
    }

    /** Of the data page outside the window: 64-bit words, each times its odd number, added. */
    long sum() {
        return get(SUM);
    }

    /** Of one segment register, in 16- and 32-bit code; all are zero where the flat segments of 64-bit code are meant. */
    int selector(int seg) {
        return HostMemory.get16(at + SELECTORS + 2L * seg) & 0xffff;
    }

    void selector(int seg, int v) {
        HostMemory.put16(at + SELECTORS + 2L * seg, v);
    }

    /** Whether {@link #selector} says which segments there are. */
    boolean segmented() {
        return selector(dev.slate.cpu.CpuState.CS) != 0;
    }

    void flat() {
        for (int i = 0; i < 6; i++) {
            selector(i, 0);
        }
    }

    int codeBytes() {
        return HostMemory.get32(at + BYTES);
    }

    int instructions() {
        return HostMemory.get32(at + INSTRUCTIONS);
    }

    void code(byte[] code, int bytes, int instructions) {
        HostMemory.put32(at + BYTES, bytes);
        HostMemory.put32(at + INSTRUCTIONS, instructions);
        HostMemory.copyIn(code, 0, at + CODE_AT, 64);
    }

    /** Of the XSAVE area. */
    long fxLong(int offset) {
        return HostMemory.get64(at + FX + offset);
    }

    void fxLong(int offset, long v) {
        HostMemory.put64(at + FX + offset, v);
    }

    int fxInt(int offset) {
        return HostMemory.get32(at + FX + offset);
    }

    void fxInt(int offset, int v) {
        HostMemory.put32(at + FX + offset, v);
    }

    /** One word of text, from which {@link #parse} makes an equal image. */
    String text() {
        // Runs of zeros are most of it: a literal byte, or a zero and how many.
        byte[] raw = new byte[IMAGE_BYTES];
        HostMemory.copyOut(at, raw, 0, IMAGE_BYTES);
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

    /** Fills the image. */
    void parse(String text) {
        byte[] packed = Base64.getDecoder().decode(text);
        byte[] raw = new byte[IMAGE_BYTES];
        int n = 0;
        for (int i = 0; i < packed.length; i++) {
            if (packed[i] != 0) {
                raw[n++] = packed[i];
            } else {
                n += packed[++i] & 0xff;
            }
        }
        if (n != IMAGE_BYTES) {
            throw new IllegalArgumentException("an image of " + n + " bytes, not " + IMAGE_BYTES);
        }
        HostMemory.copyIn(raw, 0, at, IMAGE_BYTES);
    }

    /** The code in hexadecimal. */
    String bytes() {
        StringBuilder t = new StringBuilder();
        for (int i = 0; i < codeBytes(); i++) {
            t.append(String.format("%02x", HostMemory.get8(at + CODE_AT + i)));
        }
        return t.toString();
    }
}
