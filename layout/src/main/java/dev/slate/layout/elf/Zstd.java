package dev.slate.layout.elf;

import java.io.IOException;
import java.util.Arrays;

/** Decompresses Zstandard frames (RFC 8878), without dictionaries. */
final class Zstd {
    private static final int MAGIC = 0xfd2fb528;
    private static final int MAX_BLOCK = 128 << 10;

    private final byte[] in;
    private final long limit;
    private int at;
    private byte[] out = new byte[1 << 16];
    private int to;

    // What a block may inherit from the one before it (3.1.1.3).
    private final int[] repeated = new int[3];
    private ZstdTables.Huffman huffman = ZstdTables.Huffman.NONE;
    private ZstdTables.Fse literalLengths = ZstdTables.Fse.NONE;
    private ZstdTables.Fse offsets = ZstdTables.Fse.NONE;
    private ZstdTables.Fse matchLengths = ZstdTables.Fse.NONE;
    private byte[] literals = new byte[0];
    private int literalCount;

    private Zstd(byte[] in, long limit) {
        this.in = in;
        this.limit = limit;
    }

    /**
     * Decompresses one frame or several; stops at what is no frame.
     *
     * @param limit the most bytes that may come out
     */
    static byte[] decompress(byte[] packed, long limit) throws IOException {
        Zstd zstd = new Zstd(packed, limit);
        try {
            while (zstd.frame()) {}
        } catch (IndexOutOfBoundsException e) {
            throw new IOException("the zstd stream is cut off or broken near byte " + zstd.at, e);
        }
        return Arrays.copyOf(zstd.out, zstd.to);
    }

    private int little(int bytes) {
        int value = 0;
        for (int i = 0; i < bytes; i++) value |= (in[at++] & 0xff) << (8 * i);
        return value;
    }

    private boolean frame() throws IOException {
        if (in.length - at < 5) return false;
        int magic = little(4);
        if ((magic & 0xfffffff0) == 0x184d2a50) {
            int skip = little(4);
            if (skip < 0 || skip > in.length - at) throw new IOException("a skippable frame leaves the stream");
            at += skip;
            return true;
        }
        if (magic != MAGIC) {
            if (to == 0) throw new IOException("no zstd frame at byte " + (at - 4));
            at -= 4; // the kernel's build appends the unpacked size
            return false;
        }
        int descriptor = in[at++] & 0xff;
        boolean single = (descriptor & 0x20) != 0;
        if ((descriptor & 8) != 0) throw new IOException("a reserved bit is set in a zstd frame header");
        if (!single) at++; // the window: everything is kept here
        int dictionary = descriptor & 3;
        at += dictionary == 3 ? 4 : dictionary;
        int sizeBytes = descriptor >>> 6;
        at += sizeBytes == 0 ? (single ? 1 : 0) : 1 << sizeBytes;
        repeated[0] = 1;
        repeated[1] = 4;
        repeated[2] = 8;
        huffman = ZstdTables.Huffman.NONE;
        literalLengths = ZstdTables.Fse.NONE;
        offsets = ZstdTables.Fse.NONE;
        matchLengths = ZstdTables.Fse.NONE;
        int frameStart = to;
        boolean last;
        do {
            int header = little(3);
            last = (header & 1) != 0;
            int size = header >>> 3;
            switch (header >>> 1 & 3) {
                case 0 -> {
                    room(size);
                    System.arraycopy(in, at, out, to, size);
                    at += size;
                    to += size;
                }
                case 1 -> {
                    room(size);
                    Arrays.fill(out, to, to + size, in[at++]);
                    to += size;
                }
                case 2 -> {
                    if (size > MAX_BLOCK || size > in.length - at)
                        throw new IOException("a zstd block of " + size + " bytes");
                    int end = at + size;
                    block(end, frameStart);
                    at = end;
                }
                default -> throw new IOException("a zstd block of the reserved type");
            }
        } while (!last);
        if ((descriptor & 4) != 0) at += 4; // the checksum
        return true;
    }

    private void room(int size) throws IOException {
        if ((long) to + size > limit) throw new IOException("it unpacks to more than " + limit + " bytes");
        if (to + size > out.length)
            out = Arrays.copyOf(out, Math.max(to + size, (int) Math.min(limit, out.length * 2L)));
    }

    private void block(int end, int frameStart) throws IOException {
        literals(end);
        sequences(end, frameStart);
    }

    /** The literals section (3.1.1.3.1). */
    private void literals(int end) throws IOException {
        int first = in[at] & 0xff;
        int type = first & 3;
        int format = first >>> 2 & 3;
        if (type < 2) {
            int size = switch (format) {
                case 1 -> little(2) >>> 4;
                case 3 -> little(3) >>> 4;
                default -> little(1) >>> 3;
            };
            if (size > MAX_BLOCK) throw new IOException("a zstd block with " + size + " literals");
            literals = Arrays.copyOf(literals, Math.max(size, literals.length));
            if (type == 0) {
                System.arraycopy(in, at, literals, 0, size);
                at += size;
            } else {
                Arrays.fill(literals, 0, size, in[at++]);
            }
            literalCount = size;
            return;
        }
        int bits = format < 2 ? 10 : format == 2 ? 14 : 18;
        int bytes = format < 2 ? 3 : format == 2 ? 4 : 5;
        long header = little(Math.min(bytes, 4)) & 0xffffffffL;
        if (bytes == 5) header |= (in[at++] & 0xffL) << 32;
        int size = (int) (header >>> 4 & (1 << bits) - 1);
        int packed = (int) (header >>> (4 + bits) & (1 << bits) - 1);
        if (size > MAX_BLOCK || packed > end - at) throw new IOException("a zstd block with " + size + " literals");
        int stop = at + packed;
        if (type == 2) {
            ZstdTables.HuffmanReader reader = new ZstdTables.HuffmanReader(in, at, stop);
            huffman = reader.read();
            at = reader.at();
        } else if (huffman.equals(ZstdTables.Huffman.NONE)) {
            throw new IOException("a zstd block reuses a table that there is none of");
        }
        literals = Arrays.copyOf(literals, Math.max(size, literals.length));
        literalCount = size;
        if (format == 0) {
            huffman.decode(in, at, stop, literals, 0, size);
        } else {
            int one = little(2);
            int two = little(2);
            int three = little(2);
            int part = (size + 3) / 4;
            int start = at;
            huffman.decode(in, start, start + one, literals, 0, part);
            huffman.decode(in, start + one, start + one + two, literals, part, part);
            huffman.decode(in, start + one + two, start + one + two + three, literals, 2 * part, part);
            huffman.decode(in, start + one + two + three, stop, literals, 3 * part, size - 3 * part);
        }
        at = stop;
    }

    /** The sequences section (3.1.1.3.2): copy literals, then copy a match, again and again. */
    private void sequences(int end, int frameStart) throws IOException {
        int count = in[at++] & 0xff;
        if (count >= 128) count = count == 255 ? little(2) + 0x7f00 : (count - 128 << 8) + (in[at++] & 0xff);
        int literal = 0;
        if (count > 0) {
            int modes = in[at++] & 0xff;
            ZstdTables.FseReader reader = new ZstdTables.FseReader(in, at, end);
            literalLengths = reader.table(modes >>> 6, ZstdTables.LITERAL_LENGTHS, literalLengths);
            offsets = reader.table(modes >>> 4 & 3, ZstdTables.OFFSETS, offsets);
            matchLengths = reader.table(modes >>> 2 & 3, ZstdTables.MATCH_LENGTHS, matchLengths);
            at = reader.at();
            ZstdTables.Bits bits = new ZstdTables.Bits(in, at, end);
            int literalState = bits.read(literalLengths.bits());
            int offsetState = bits.read(offsets.bits());
            int matchState = bits.read(matchLengths.bits());
            for (int i = 0; i < count; i++) {
                int offsetCode = offsets.symbol(offsetState);
                int matchCode = matchLengths.symbol(matchState);
                int literalCode = literalLengths.symbol(literalState);
                if (offsetCode > 30) throw new IOException("a zstd match too far away");
                long offsetValue = (1L << offsetCode) + bits.read(offsetCode);
                int match = ZstdTables.matchLength(matchCode, bits);
                int run = ZstdTables.literalLength(literalCode, bits);
                int distance = distance(offsetValue, run);
                if (i + 1 < count) {
                    literalState = literalLengths.next(literalState, bits);
                    matchState = matchLengths.next(matchState, bits);
                    offsetState = offsets.next(offsetState, bits);
                }
                if (run > literalCount - literal)
                    throw new IOException("a zstd sequence takes literals that there are none of");
                room(run + match);
                System.arraycopy(literals, literal, out, to, run);
                literal += run;
                to += run;
                if (distance <= 0 || distance > to - frameStart)
                    throw new IOException("a zstd match reaches before the frame");
                for (int k = 0; k < match; k++, to++) out[to] = out[to - distance];
            }
        }
        int rest = literalCount - literal;
        room(rest);
        System.arraycopy(literals, literal, out, to, rest);
        to += rest;
    }

    /** Repeated offsets (3.1.1.5). */
    private int distance(long value, int literalLength) {
        if (value > 3) {
            repeated[2] = repeated[1];
            repeated[1] = repeated[0];
            repeated[0] = (int) (value - 3);
            return repeated[0];
        }
        int index = (int) value - 1 + (literalLength == 0 ? 1 : 0);
        int distance = index == 3 ? repeated[0] - 1 : repeated[index];
        if (index > 1) repeated[2] = repeated[1];
        if (index > 0) {
            repeated[1] = repeated[0];
            repeated[0] = distance;
        }
        return distance;
    }
}
