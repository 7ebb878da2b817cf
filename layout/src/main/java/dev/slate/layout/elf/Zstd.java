package dev.slate.layout.elf;

import java.io.IOException;

/** Zstandard frames (RFC 8878). */
final class Zstd {
    private Zstd() {}

    static byte[] decompress(byte[] packed, long limit) throws IOException {
        throw new IOException("zstd");
    }
}
