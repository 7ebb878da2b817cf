package dev.slate.cpu.decode;

/** Placeholder of the decoder until it lands. */
public final class Decoder {
    public Block decode(long hva, int available, int mode) {
        throw new AssertionError();
    }

    public Block decodeOne(long hva, int available, int mode) {
        throw new AssertionError();
    }
}
