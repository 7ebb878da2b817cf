package dev.slate.layout.elf;

import java.io.IOException;
import java.util.Arrays;

/** The entropy codes of Zstandard: finite state entropy (RFC 8878, 4.1) and Huffman (4.2). */
final class ZstdTables {
    private static final int[] LITERAL_BASE = {
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 128, 256, 512,
        1024, 2048, 4096, 8192, 16384, 32768, 65536
    };
    private static final int[] LITERAL_BITS = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
        16
    };
    private static final int[] MATCH_BASE = {
        3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
        33, 34, 35, 37, 39, 41, 43, 47, 51, 59, 67, 83, 99, 131, 259, 515, 1027, 2051, 4099, 8195, 16387, 32771, 65539
    };
    private static final int[] MATCH_BITS = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2,
        2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
    };

    /** A kind of code: its predefined distribution and the most that a table of it may take. */
    @SuppressWarnings("ArrayRecordComponent") // tables, read only
    record Kind(int[] distribution, int bits, int maxBits, int maxSymbol) {}

    static final Kind LITERAL_LENGTHS = new Kind(
            new int[] {
                4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1,
                -1, -1
            },
            6,
            9,
            35);
    static final Kind MATCH_LENGTHS = new Kind(
            new int[] {
                1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1
            },
            6,
            9,
            52);
    static final Kind OFFSETS = new Kind(
            new int[] {1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1},
            5,
            8,
            31);

    private ZstdTables() {}

    static int literalLength(int code, Bits bits) {
        return LITERAL_BASE[code] + bits.read(LITERAL_BITS[code]);
    }

    static int matchLength(int code, Bits bits) {
        return MATCH_BASE[code] + bits.read(MATCH_BITS[code]);
    }

    /** A stream of bits read from its end backwards, where the highest set bit of the last byte marks the start. */
    static final class Bits {
        private final byte[] in;
        private final int start;
        private long left; // bits not read yet

        Bits(byte[] in, int start, int end) throws IOException {
            if (end <= start || in[end - 1] == 0) throw new IOException("a zstd bit stream does not end in a mark");
            this.in = in;
            this.start = start;
            left = (end - start) * 8L - 8 + (31 - Integer.numberOfLeadingZeros(in[end - 1] & 0xff));
        }

        /** The next bits; zeros after the start of the stream. */
        int read(int n) {
            int value = peek(n);
            left -= n;
            return value;
        }

        int peek(int n) {
            int value = 0;
            long from = left - n;
            for (int i = 0; i < n; ) {
                long bit = from + i;
                if (bit < 0) {
                    i++;
                    continue;
                }
                int shift = (int) (bit & 7);
                int take = Math.min(8 - shift, n - i);
                value |= ((in[start + (int) (bit >> 3)] & 0xff) >>> shift & (1 << take) - 1) << i;
                i += take;
            }
            return value;
        }

        void drop(int n) {
            left -= n;
        }

        long left() {
            return left;
        }
    }

    /** A decoding table of finite state entropy, one entry per state. */
    @SuppressWarnings("ArrayRecordComponent") // tables, read only
    record Fse(int bits, int[] symbols, int[] stateBits, int[] bases) {
        static final Fse NONE = new Fse(0, new int[0], new int[0], new int[0]);

        int symbol(int state) {
            return symbols[state];
        }

        int next(int state, Bits in) {
            return bases[state] + in.read(stateBits[state]);
        }

        /** Spreads a distribution over the states (4.1.1). */
        static Fse of(int[] distribution, int count, int bits) throws IOException {
            int size = 1 << bits;
            int[] symbols = new int[size];
            int[] next = new int[count];
            int high = size - 1;
            for (int s = 0; s < count; s++) {
                if (distribution[s] == -1) {
                    symbols[high--] = s;
                    next[s] = 1;
                } else {
                    next[s] = distribution[s];
                }
            }
            int step = (size >>> 1) + (size >>> 3) + 3;
            int at = 0;
            for (int s = 0; s < count; s++) {
                for (int i = 0; i < distribution[s]; i++) {
                    symbols[at] = s;
                    do {
                        at = at + step & size - 1;
                    } while (at > high);
                }
            }
            if (at != 0) throw new IOException("a zstd distribution does not fill its table");
            int[] stateBits = new int[size];
            int[] bases = new int[size];
            for (int i = 0; i < size; i++) {
                int n = next[symbols[i]]++;
                stateBits[i] = bits - (31 - Integer.numberOfLeadingZeros(n));
                bases[i] = (n << stateBits[i]) - size;
            }
            return new Fse(bits, symbols, stateBits, bases);
        }

        static Fse single(int symbol) {
            return new Fse(0, new int[] {symbol}, new int[] {0}, new int[] {0});
        }
    }

    /** Reads descriptions of distributions (4.1.1), forwards. */
    static final class FseReader {
        private final byte[] in;
        private final int end;
        private int at;
        private int bit;

        FseReader(byte[] in, int at, int end) {
            this.in = in;
            this.at = at;
            this.end = end;
        }

        int at() {
            return at;
        }

        Fse table(int mode, Kind kind, Fse before) throws IOException {
            return switch (mode) {
                case 0 -> Fse.of(kind.distribution(), kind.distribution().length, kind.bits());
                case 1 -> {
                    int symbol = in[at++] & 0xff;
                    if (symbol > kind.maxSymbol()) throw new IOException("zstd code " + symbol);
                    yield Fse.single(symbol);
                }
                case 2 -> read(kind.maxBits(), kind.maxSymbol());
                default -> {
                    if (before.symbols().length == 0)
                        throw new IOException("a zstd block repeats a table that there is none of");
                    yield before;
                }
            };
        }

        private int bits(int n) throws IOException {
            int value = 0;
            for (int i = 0; i < n; i++) {
                if (at >= end) throw new IOException("a zstd table is cut off");
                value |= (in[at] >>> bit & 1) << i;
                if (++bit == 8) {
                    bit = 0;
                    at++;
                }
            }
            return value;
        }

        private void unread(int n) {
            int position = at * 8 + bit - n;
            at = position >>> 3;
            bit = position & 7;
        }

        Fse read(int maxBits, int maxSymbol) throws IOException {
            int bits = bits(4) + 5;
            if (bits > maxBits) throw new IOException("a zstd table of 2^" + bits + " states");
            int[] distribution = new int[256];
            int symbol = 0;
            int remaining = (1 << bits) + 1;
            while (remaining > 1 && symbol <= maxSymbol) {
                int width = 32 - Integer.numberOfLeadingZeros(remaining);
                int value = bits(width);
                int low = (1 << width - 1) - 1;
                int threshold = (1 << width) - 1 - remaining;
                if ((value & low) < threshold) {
                    unread(1);
                    value &= low;
                } else if (value > low) {
                    value -= threshold;
                }
                int probability = value - 1;
                remaining -= Math.abs(probability);
                distribution[symbol++] = probability;
                if (probability == 0) {
                    int repeat;
                    do {
                        repeat = bits(2);
                        symbol += repeat;
                        if (symbol > 255) throw new IOException("a zstd table with too many symbols");
                    } while (repeat == 3);
                }
            }
            if (remaining != 1) throw new IOException("a zstd distribution does not add up");
            if (bit != 0) {
                bit = 0;
                at++;
            }
            return Fse.of(distribution, symbol, bits);
        }
    }

    /** A Huffman decoding table: for every value of the next {@code bits} bits the symbol and its length. */
    @SuppressWarnings("ArrayRecordComponent") // tables, read only
    record Huffman(int bits, byte[] symbols, byte[] lengths) {
        static final Huffman NONE = new Huffman(0, new byte[0], new byte[0]);

        void decode(byte[] in, int start, int end, byte[] out, int to, int count) throws IOException {
            if (end > in.length || start >= end) throw new IOException("a zstd literal stream leaves its block");
            Bits stream = new Bits(in, start, end);
            for (int i = 0; i < count; i++) {
                int code = stream.peek(bits);
                out[to + i] = symbols[code];
                stream.drop(lengths[code]);
            }
            if (stream.left() != 0) throw new IOException("a zstd literal stream ends too early or too late");
        }

        /** From weights (4.2.1): the last symbol's weight is what is missing to a power of two. */
        static Huffman of(int[] weights, int count) throws IOException {
            int sum = 0;
            for (int i = 0; i < count; i++) if (weights[i] > 0) sum += 1 << weights[i] - 1;
            if (sum == 0) throw new IOException("a zstd Huffman table without symbols");
            int bits = 32 - Integer.numberOfLeadingZeros(sum);
            int missing = (1 << bits) - sum;
            if (bits > 11 || Integer.bitCount(missing) != 1)
                throw new IOException("zstd Huffman weights do not add up");
            weights[count] = 32 - Integer.numberOfLeadingZeros(missing);
            byte[] symbols = new byte[1 << bits];
            byte[] lengths = new byte[1 << bits];
            int at = 0;
            for (int weight = 1; weight <= bits; weight++) {
                for (int s = 0; s <= count; s++) {
                    if (weights[s] != weight) continue;
                    int span = 1 << weight - 1;
                    Arrays.fill(symbols, at, at + span, (byte) s);
                    Arrays.fill(lengths, at, at + span, (byte) (bits + 1 - weight));
                    at += span;
                }
            }
            return new Huffman(bits, symbols, lengths);
        }
    }

    /** Reads a Huffman table's description (4.2.1). */
    static final class HuffmanReader {
        private final byte[] in;
        private final int end;
        private int at;

        HuffmanReader(byte[] in, int at, int end) {
            this.in = in;
            this.at = at;
            this.end = end;
        }

        int at() {
            return at;
        }

        Huffman read() throws IOException {
            int header = in[at++] & 0xff;
            int[] weights = new int[257];
            if (header >= 128) {
                int count = header - 127;
                for (int i = 0; i < count; i++) weights[i] = i % 2 == 0 ? in[at] >>> 4 & 15 : in[at++] & 15;
                if (count % 2 == 1) at++;
                return Huffman.of(weights, count);
            }
            int stop = at + header;
            if (stop > end) throw new IOException("a zstd Huffman table leaves its block");
            FseReader reader = new FseReader(in, at, stop);
            Fse table = reader.read(6, 255);
            Bits bits = new Bits(in, reader.at(), stop);
            int count = 0;
            int even = bits.read(table.bits());
            int odd = bits.read(table.bits());
            // Two states take turns; when the bits are used up, the other one still has a symbol (4.2.1.2).
            while (true) {
                if (count > 253) throw new IOException("a zstd Huffman table of too many symbols");
                weights[count++] = table.symbol(even);
                if (bits.left() < table.stateBits()[even]) {
                    weights[count++] = table.symbol(odd);
                    break;
                }
                even = table.next(even, bits);
                weights[count++] = table.symbol(odd);
                if (bits.left() < table.stateBits()[odd]) {
                    weights[count++] = table.symbol(even);
                    break;
                }
                odd = table.next(odd, bits);
            }
            at = stop;
            return Huffman.of(weights, count);
        }
    }
}
