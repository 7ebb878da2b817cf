package dev.slate.cpu.decode;

import java.io.IOException;
import java.util.SplittableRandom;

/**
 * Makes random instructions of a row of the instruction table: its opcode and what it asks of prefixes and modrm, the rest random. What
 * the decoder then takes for another row is thrown away.
 */
public final class RowBytes {
    private static final byte[] MANDATORY = {0, 0x66, (byte) 0xf3, (byte) 0xf2};
    private static final byte[] SEGMENTS = {0x2e, 0x36, 0x3e, 0x26};

    private static final int N64 = 1;
    private static final int X64 = 1 << 1;
    private static final int W0 = 1 << 2;
    private static final int W1 = 1 << 3;
    private static final int B0 = 1 << 4;
    private static final int REP = 1 << 5;
    private static final int LOCK = 1 << 6;
    /** VEX.vvvv names a register. */
    private static final int VVVV = 1 << 7;

    private final Encodings.Row[] rows;
    /** What the rows' attributes say. */
    private final int[] traits;

    private final Decoder decoder;

    /**
     * Rows for a processor with those features.
     *
     * @param features set of {@link Feature} bits
     */
    public RowBytes(long features) throws IOException {
        rows = Encodings.read(Operations.read()).rows().toArray(Encodings.Row[]::new);
        traits = new int[rows.length];
        String[] names = {"n64", "x64", "w0", "w1", "b0", "rep", "lock"};
        for (int r = 0; r < rows.length; r++) {
            for (int i = 0; i < names.length; i++) {
                traits[r] |= rows[r].is(names[i]) ? 1 << i : 0;
            }
            for (String o : rows[r].operands) {
                traits[r] |= o.charAt(0) == 'H' || o.charAt(0) == 'B' && !o.equals("BX") ? VVVV : 0;
            }
        }
        decoder = new Decoder(features);
    }

    /** Number of rows in the table. */
    public int count() {
        return rows.length;
    }

    /** The row's name and line in encodings.isa. */
    public String name(int row) {
        Encodings.Row r = rows[row];
        return r.operation.name() + ":" + r.line;
    }

    /** Number of the row's operation. */
    public int operation(int row) {
        return rows[row].operation.number();
    }

    /** Whether the mode has the row and the features offer it. */
    public boolean offered(int row, int mode, SplittableRandom random) {
        byte[] bytes = new byte[32];
        for (int i = 0; i < 4000; i++) {
            if (make(row, mode, random, bytes, 0) != 0) {
                return true;
            }
        }
        return false;
    }

    /**
     * Writes one instruction.
     *
     * @param to room for 24 bytes from {@code at}
     * @return its length, or 0 when the attempt was not the row
     */
    public int make(int row, int mode, SplittableRandom random, byte[] to, int at) {
        Encodings.Row r = rows[row];
        boolean bits64 = mode == Mode.BITS64;
        int t = traits[row];
        if ((t & (bits64 ? N64 : X64)) != 0) {
            return 0;
        }
        int n = at;
        int bits = random.nextInt();
        if ((bits & 15) == 0) {
            to[n++] = 0x67;
        }
        if ((bits >>> 4 & 31) == 0) {
            to[n++] = SEGMENTS[bits >>> 9 & 3];
        }
        int rex = (bits & 1 << 11) != 0 ? bits >>> 12 & 15 : 0;
        if ((t & W1) != 0) {
            rex |= 8;
        } else if ((t & W0) != 0) {
            rex &= 7;
        }
        if ((t & B0) != 0) {
            rex &= 14;
        }
        if (r.vex) {
            n = vex(r, t, bits64, rex, random, to, n);
        } else {
            n = legacy(r, t, bits64, rex, random, to, n);
        }
        to[n++] = (byte) r.opcode;
        if (r.modrm) {
            int modrm = random.nextInt(256);
            if (r.register == 1 || r.register < 0 && (bits & 1 << 16) != 0) {
                modrm |= 0xc0;
            } else if (modrm >= 0xc0) {
                modrm &= 0x7f;
            }
            if (r.regDigit >= 0) {
                modrm = modrm & 0xc7 | r.regDigit << 3;
            }
            if (r.rmDigit >= 0) {
                modrm = modrm & 0xf8 | r.rmDigit;
            }
            to[n++] = (byte) modrm;
        }
        for (int i = 0; i < 3; i++) {
            int more = random.nextInt();
            to[n++] = (byte) more;
            to[n++] = (byte) (more >> 8);
            to[n++] = (byte) (more >> 16);
            to[n++] = (byte) (more >> 24);
        }
        int length = decoder.decodeArray(to, at, at + 15, mode);
        return length != 0 && decoder.row == row ? length : 0;
    }

    private static int legacy(
            Encodings.Row r, int t, boolean bits64, int rex, SplittableRandom random, byte[] to, int n) {
        int bits = random.nextInt();
        if (r.prefix < 0) {
            if ((bits & 3) == 0) {
                to[n++] = 0x66;
            }
            if ((t & REP) != 0 ? (bits & 4) != 0 : (bits & 0x3c) == 0) {
                to[n++] = (byte) (0xf2 | bits >>> 6 & 1);
            }
        } else {
            if (r.prefix >= 2 && (bits & 15) == 0) {
                to[n++] = 0x66;
            }
            if (r.prefix != 0) {
                to[n++] = MANDATORY[r.prefix];
            }
        }
        if ((t & LOCK) != 0 && (bits & 0x700) == 0) {
            to[n++] = (byte) 0xf0;
        }
        if (bits64 && rex != 0) {
            to[n++] = (byte) (0x40 | rex);
        }
        if (r.map != 0) {
            to[n++] = 0x0f;
            if (r.map > 1) {
                to[n++] = (byte) (r.map == 2 ? 0x38 : 0x3a);
            }
        }
        return n;
    }

    private static int vex(Encodings.Row r, int t, boolean bits64, int rex, SplittableRandom random, byte[] to, int n) {
        int bits = random.nextInt();
        int vvvv = (t & VVVV) != 0 ? bits & 15 : 15;
        int l = r.vexL >= 0 ? r.vexL : bits >>> 4 & 1;
        int extension = bits64 ? ~rex & 7 : 7;
        int last = vvvv << 3 | l << 2 | r.prefix;
        if (r.map == 4 && (extension & 3) == 3 && (rex & 8) == 0 && (bits & 32) != 0) {
            to[n++] = (byte) 0xc5;
            to[n++] = (byte) ((extension & 4) << 5 | last);
            return n;
        }
        to[n++] = (byte) 0xc4;
        to[n++] = (byte) (extension << 5 | r.map - 3);
        to[n++] = (byte) ((rex & 8) << 4 | last);
        return n;
    }
}
