package dev.slate.cpu.exec;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** AES rounds (FIPS 197), carry-less multiplication and SHA steps (FIPS 180-4). */
final class VectorCrypto {
    private static final byte[] BOX = new byte[256];
    private static final byte[] INVERSE_BOX = new byte[256];

    static {
        // The inverse in GF(2^8) by walking powers of the generator 3 and of its inverse, then the affine map.
        int p = 1;
        int q = 1;
        do {
            p ^= p << 1 ^ ((p & 0x80) != 0 ? 0x11b : 0);
            p &= 0xff;
            q ^= q << 1;
            q ^= q << 2;
            q ^= q << 4;
            q &= 0xff;
            if ((q & 0x80) != 0) {
                q ^= 0x09;
            }
            int x = q ^ rotate(q, 1) ^ rotate(q, 2) ^ rotate(q, 3) ^ rotate(q, 4) ^ 0x63;
            BOX[p] = (byte) x;
        } while (p != 1);
        BOX[0] = 0x63;
        for (int i = 0; i < 256; i++) {
            INVERSE_BOX[BOX[i] & 0xff] = (byte) i;
        }
    }

    private static int rotate(int x, int n) {
        return (x << n | x >>> 8 - n) & 0xff;
    }

    private final VectorOps v;
    private final long[] x;
    private final int[] state = new int[16];
    private final int[] next = new int[16];

    VectorCrypto(VectorOps v) {
        this.v = v;
        this.x = v.x;
    }

    int execute(int op, long w0, long w1, long imm) {
        v.available();
        // AMD's processors take the SHA operations' memory at any alignment, Intel's do not (SDM 2B SHA1MSG1).
        v.fetch(w0, w1, op < Op.SHA1RNDS4 || v.cpu.intel);
        int r = Insn.reg(w0);
        long a0 = x[r * 4];
        long a1 = x[r * 4 + 1];
        long b0 = v.b0;
        long b1 = v.b1;
        switch (op) {
            case Op.AESENC, Op.AESENCLAST -> {
                unpack(a0, a1);
                shiftRows(1);
                substitute(BOX);
                if (op == Op.AESENC) {
                    mix(2, 3, 1, 1);
                }
                v.set(r, pack(0) ^ b0, pack(8) ^ b1);
            }
            case Op.AESDEC, Op.AESDECLAST -> {
                unpack(a0, a1);
                shiftRows(3);
                substitute(INVERSE_BOX);
                if (op == Op.AESDEC) {
                    mix(14, 11, 13, 9);
                }
                v.set(r, pack(0) ^ b0, pack(8) ^ b1);
            }
            case Op.AESIMC -> {
                unpack(b0, b1);
                mix(14, 11, 13, 9);
                v.set(r, pack(0), pack(8));
            }
            case Op.AESKEYGENASSIST -> {
                int one = word((int) (b0 >>> 32));
                int three = word((int) (b1 >>> 32));
                int constant = (int) imm & 0xff;
                v.set(
                        r,
                        pair(one, Integer.rotateRight(one, 8) ^ constant),
                        pair(three, Integer.rotateRight(three, 8) ^ constant));
            }
            case Op.PCLMULQDQ -> {
                long a = (imm & 1) != 0 ? a1 : a0;
                long b = (imm & 16) != 0 ? b1 : b0;
                long low = 0;
                long high = 0;
                for (int i = 0; i < 64; i++) {
                    if ((b >>> i & 1) != 0) {
                        low ^= a << i;
                        high ^= i == 0 ? 0 : a >>> 64 - i;
                    }
                }
                v.set(r, low, high);
            }
            default -> {
                return sha(op, r, a0, a1, b0, b1, (int) imm);
            }
        }
        return Interpreter.NEXT;
    }

    private static long pair(int low, int high) {
        return low & 0xffff_ffffL | (long) high << 32;
    }

    private static int word(int w) {
        return BOX[w & 0xff] & 0xff
                | (BOX[w >>> 8 & 0xff] & 0xff) << 8
                | (BOX[w >>> 16 & 0xff] & 0xff) << 16
                | (BOX[w >>> 24] & 0xff) << 24;
    }

    private void unpack(long low, long high) {
        for (int i = 0; i < 8; i++) {
            state[i] = (int) (low >>> 8 * i) & 0xff;
            state[8 + i] = (int) (high >>> 8 * i) & 0xff;
        }
    }

    private long pack(int from) {
        long w = 0;
        for (int i = 0; i < 8; i++) {
            w |= (long) state[from + i] << 8 * i;
        }
        return w;
    }

    /** Row i of the columns moves left by {@code by * i}. */
    private void shiftRows(int by) {
        for (int i = 0; i < 16; i++) {
            next[i] = state[i + 4 * by * (i & 3) & 15];
        }
        System.arraycopy(next, 0, state, 0, 16);
    }

    private void substitute(byte[] box) {
        for (int i = 0; i < 16; i++) {
            state[i] = box[state[i]] & 0xff;
        }
    }

    private void mix(int c0, int c1, int c2, int c3) {
        for (int i = 0; i < 16; i++) {
            int column = i & 12;
            next[i] = times(state[i], c0)
                    ^ times(state[column | i + 1 & 3], c1)
                    ^ times(state[column | i + 2 & 3], c2)
                    ^ times(state[column | i + 3 & 3], c3);
        }
        System.arraycopy(next, 0, state, 0, 16);
    }

    private static int times(int a, int c) {
        int r = 0;
        for (; c != 0; c >>= 1) {
            if ((c & 1) != 0) {
                r ^= a;
            }
            a = a << 1 ^ ((a & 0x80) != 0 ? 0x11b : 0);
        }
        return r;
    }

    // ------------------------------------------------------------------ SHA

    private int sha(int op, int r, long a0, long a1, long b0, long b1, int imm) {
        int d0 = (int) a0;
        int d1 = (int) (a0 >>> 32);
        int d2 = (int) a1;
        int d3 = (int) (a1 >>> 32);
        int s0 = (int) b0;
        int s1 = (int) (b0 >>> 32);
        int s2 = (int) b1;
        int s3 = (int) (b1 >>> 32);
        switch (op) {
            case Op.SHA1NEXTE -> v.set(r, pair(s0, s1), pair(s2, s3 + Integer.rotateLeft(d3, 30)));
            case Op.SHA1MSG1 -> v.set(r, pair(d0 ^ s2, d1 ^ s3), pair(d2 ^ d0, d3 ^ d1));
            case Op.SHA1MSG2 -> {
                int w16 = Integer.rotateLeft(d3 ^ s2, 1);
                int w17 = Integer.rotateLeft(d2 ^ s1, 1);
                int w18 = Integer.rotateLeft(d1 ^ s0, 1);
                int w19 = Integer.rotateLeft(d0 ^ w16, 1);
                v.set(r, pair(w19, w18), pair(w17, w16));
            }
            case Op.SHA1RNDS4 -> {
                int a = d3;
                int b = d2;
                int c = d1;
                int d = d0;
                int e = 0;
                int[] w = {s3, s2, s1, s0};
                for (int i = 0; i < 4; i++) {
                    int f = switch (imm & 3) {
                        case 0 -> b & c ^ ~b & d;
                        case 2 -> b & c ^ b & d ^ c & d;
                        default -> b ^ c ^ d;
                    };
                    int k = switch (imm & 3) {
                        case 0 -> 0x5a82_7999;
                        case 1 -> 0x6ed9_eba1;
                        case 2 -> 0x8f1b_bcdc;
                        default -> 0xca62_c1d6;
                    };
                    int t = f + Integer.rotateLeft(a, 5) + w[i] + e + k;
                    e = d;
                    d = c;
                    c = Integer.rotateLeft(b, 30);
                    b = a;
                    a = t;
                }
                v.set(r, pair(d, c), pair(b, a));
            }
            case Op.SHA256MSG1 ->
                v.set(r, pair(d0 + small0(d1), d1 + small0(d2)), pair(d2 + small0(d3), d3 + small0(s0)));
            case Op.SHA256MSG2 -> {
                int w16 = d0 + small1(s2);
                int w17 = d1 + small1(s3);
                v.set(r, pair(w16, w17), pair(d2 + small1(w16), d3 + small1(w17)));
            }
            case Op.SHA256RNDS2 -> {
                int a = s3;
                int b = s2;
                int c = d3;
                int d = d2;
                int e = s1;
                int f = s0;
                int g = d1;
                int h = d0;
                for (int i = 0; i < 2; i++) {
                    int wk = (int) (x[0] >>> 32 * i);
                    int t = (e & f ^ ~e & g) + big1(e) + wk + h;
                    int u = t + (a & b ^ a & c ^ b & c) + big0(a);
                    h = g;
                    g = f;
                    f = e;
                    e = t + d;
                    d = c;
                    c = b;
                    b = a;
                    a = u;
                }
                v.set(r, pair(f, e), pair(b, a));
            }
            default -> {
                return CpuExit.UNIMPLEMENTED;
            }
        }
        return Interpreter.NEXT;
    }

    private static int small0(int w) {
        return Integer.rotateRight(w, 7) ^ Integer.rotateRight(w, 18) ^ w >>> 3;
    }

    private static int small1(int w) {
        return Integer.rotateRight(w, 17) ^ Integer.rotateRight(w, 19) ^ w >>> 10;
    }

    private static int big0(int w) {
        return Integer.rotateRight(w, 2) ^ Integer.rotateRight(w, 13) ^ Integer.rotateRight(w, 22);
    }

    private static int big1(int w) {
        return Integer.rotateRight(w, 6) ^ Integer.rotateRight(w, 11) ^ Integer.rotateRight(w, 25);
    }
}
