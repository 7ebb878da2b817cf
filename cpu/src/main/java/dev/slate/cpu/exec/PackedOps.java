package dev.slate.cpu.exec;

import dev.slate.cpu.decode.Op;

/**
 * Packed integer operations that work within 64 bits, on values: an XMM operation is two of them, an MMX operation one. {@code a} is the
 * destination, {@code b} the source.
 */
final class PackedOps {
    private static final long HIGH8 = 0x8080_8080_8080_8080L;
    private static final long HIGH16 = 0x8000_8000_8000_8000L;

    private PackedOps() {}

    static boolean within64(int op) {
        return op >= Op.PCMPGTB && op <= Op.PCMPEQQ
                || op >= Op.PADDB && op <= Op.PMAXSD
                || op >= Op.PMADDUBSW && op <= Op.PABSD
                || op >= Op.ANDPS && op <= Op.XORPD;
    }

    static long apply(int op, long a, long b) {
        return switch (op) {
            case Op.PAND, Op.ANDPS, Op.ANDPD -> a & b;
            case Op.PANDN, Op.ANDNPS, Op.ANDNPD -> ~a & b;
            case Op.POR, Op.ORPS, Op.ORPD -> a | b;
            case Op.PXOR, Op.XORPS, Op.XORPD -> a ^ b;
            case Op.PADDB -> (a & ~HIGH8) + (b & ~HIGH8) ^ (a ^ b) & HIGH8;
            case Op.PADDW -> (a & ~HIGH16) + (b & ~HIGH16) ^ (a ^ b) & HIGH16;
            case Op.PADDD -> a + b & 0xffff_ffffL | (a >>> 32) + (b >>> 32) << 32;
            case Op.PADDQ -> a + b;
            case Op.PSUBB -> (a | HIGH8) - (b & ~HIGH8) ^ (a ^ ~b) & HIGH8;
            case Op.PSUBW -> (a | HIGH16) - (b & ~HIGH16) ^ (a ^ ~b) & HIGH16;
            case Op.PSUBD -> a - b & 0xffff_ffffL | (a >>> 32) - (b >>> 32) << 32;
            case Op.PSUBQ -> a - b;
            case Op.PCMPEQQ -> a == b ? -1 : 0;
            case Op.PCMPGTQ -> a > b ? -1 : 0;
            case Op.PMULUDQ -> (a & 0xffff_ffffL) * (b & 0xffff_ffffL);
            case Op.PMULDQ -> (long) (int) a * (int) b;
            case Op.PSADBW -> sumOfDifferences(a, b);
            case Op.PMADDWD -> {
                long low = (short) a * (short) b + (short) (a >>> 16) * (short) (b >>> 16);
                long high = (short) (a >>> 32) * (short) (b >>> 32) + (short) (a >>> 48) * (short) (b >>> 48);
                yield low & 0xffff_ffffL | high << 32;
            }
            default ->
                switch (laneBits(op)) {
                    case 8 -> bytes(op, a, b);
                    case 16 -> words(op, a, b);
                    default ->
                        (long) dword(op, (int) a, (int) b) & 0xffff_ffffL
                                | (long) dword(op, (int) (a >>> 32), (int) (b >>> 32)) << 32;
                };
        };
    }

    private static int laneBits(int op) {
        return switch (op) {
            case Op.PCMPGTB,
                    Op.PCMPEQB,
                    Op.PADDSB,
                    Op.PADDUSB,
                    Op.PSUBSB,
                    Op.PSUBUSB,
                    Op.PAVGB,
                    Op.PMINUB,
                    Op.PMINSB,
                    Op.PMAXUB,
                    Op.PMAXSB,
                    Op.PSIGNB,
                    Op.PABSB -> 8;
            case Op.PCMPGTD, Op.PCMPEQD, Op.PMULLD, Op.PMINUD, Op.PMINSD, Op.PMAXUD, Op.PMAXSD, Op.PSIGND, Op.PABSD ->
                32;
            default -> 16;
        };
    }

    private static long bytes(int op, long a, long b) {
        long r = 0;
        for (int i = 0; i < 64; i += 8) {
            r |= (lane8(op, (byte) (a >>> i), (byte) (b >>> i)) & 0xffL) << i;
        }
        return r;
    }

    private static long words(int op, long a, long b) {
        long r = 0;
        for (int i = 0; i < 64; i += 16) {
            r |= (lane16(op, a >>> i, b >>> i) & 0xffffL) << i;
        }
        return r;
    }

    private static int lane8(int op, int a, int b) {
        int ua = a & 0xff;
        int ub = b & 0xff;
        return switch (op) {
            case Op.PCMPGTB -> a > b ? -1 : 0;
            case Op.PCMPEQB -> a == b ? -1 : 0;
            case Op.PADDSB -> Math.clamp(a + b, -128, 127);
            case Op.PADDUSB -> Math.min(ua + ub, 255);
            case Op.PSUBSB -> Math.clamp(a - b, -128, 127);
            case Op.PSUBUSB -> Math.max(ua - ub, 0);
            case Op.PAVGB -> ua + ub + 1 >> 1;
            case Op.PMINUB -> Math.min(ua, ub);
            case Op.PMINSB -> Math.min(a, b);
            case Op.PMAXUB -> Math.max(ua, ub);
            case Op.PMAXSB -> Math.max(a, b);
            case Op.PSIGNB -> a * Integer.signum(b);
            case Op.PABSB -> Math.abs(b);
            default -> throw new AssertionError(Op.name(op));
        };
    }

    private static int lane16(int op, long x, long y) {
        int a = (short) x;
        int b = (short) y;
        int ua = a & 0xffff;
        int ub = b & 0xffff;
        return switch (op) {
            case Op.PCMPGTW -> a > b ? -1 : 0;
            case Op.PCMPEQW -> a == b ? -1 : 0;
            case Op.PADDSW -> Math.clamp(a + b, -32768, 32767);
            case Op.PADDUSW -> Math.min(ua + ub, 65535);
            case Op.PSUBSW -> Math.clamp(a - b, -32768, 32767);
            case Op.PSUBUSW -> Math.max(ua - ub, 0);
            case Op.PMULLW -> a * b;
            case Op.PMULHW -> a * b >> 16;
            case Op.PMULHUW -> ua * ub >>> 16;
            case Op.PMULHRSW -> (a * b >> 14) + 1 >> 1;
            case Op.PAVGW -> ua + ub + 1 >> 1;
            case Op.PMINUW -> Math.min(ua, ub);
            case Op.PMINSW -> Math.min(a, b);
            case Op.PMAXUW -> Math.max(ua, ub);
            case Op.PMAXSW -> Math.max(a, b);
            case Op.PSIGNW -> a * Integer.signum(b);
            case Op.PABSW -> Math.abs(b);
            // Unsigned bytes of a by signed bytes of b.
            case Op.PMADDUBSW -> Math.clamp((ua & 0xff) * (byte) b + (ua >>> 8) * (byte) (b >> 8), -32768, 32767);
            default -> throw new AssertionError(Op.name(op));
        };
    }

    private static int dword(int op, int a, int b) {
        return switch (op) {
            case Op.PCMPGTD -> a > b ? -1 : 0;
            case Op.PCMPEQD -> a == b ? -1 : 0;
            case Op.PMULLD -> a * b;
            case Op.PMINUD -> Integer.compareUnsigned(a, b) < 0 ? a : b;
            case Op.PMINSD -> Math.min(a, b);
            case Op.PMAXUD -> Integer.compareUnsigned(a, b) > 0 ? a : b;
            case Op.PMAXSD -> Math.max(a, b);
            case Op.PSIGND -> a * Integer.signum(b);
            case Op.PABSD -> Math.abs(b);
            default -> throw new AssertionError(Op.name(op));
        };
    }

    private static long sumOfDifferences(long a, long b) {
        int sum = 0;
        for (int i = 0; i < 64; i += 8) {
            sum += Math.abs((int) (a >>> i & 0xff) - (int) (b >>> i & 0xff));
        }
        return sum;
    }

    // ------------------------------------------------------------------ shifts by one count

    /** PSRLW to PSLLQ on 64 bits; counts of the lane's width and above give zeros or signs. */
    static long shift(int op, long a, long count) {
        int bits = switch (op) {
            case Op.PSRLW, Op.PSRAW, Op.PSLLW -> 16;
            case Op.PSRLD, Op.PSRAD, Op.PSLLD -> 32;
            default -> 64;
        };
        boolean beyond = Long.compareUnsigned(count, bits - 1) > 0;
        boolean arithmetic = op == Op.PSRAW || op == Op.PSRAD;
        if (beyond && !arithmetic) {
            return 0;
        }
        int c = beyond ? bits - 1 : (int) count;
        boolean left = op == Op.PSLLW || op == Op.PSLLD || op == Op.PSLLQ;
        if (bits == 64) {
            return left ? a << c : a >>> c;
        }
        long lane = (1L << bits) - 1;
        long r = 0;
        for (int i = 0; i < 64; i += bits) {
            long x = a >>> i & lane;
            long y;
            if (left) {
                y = x << c;
            } else if (arithmetic) {
                y = x << 64 - bits >> 64 - bits >> c;
            } else {
                y = x >>> c;
            }
            r |= (y & lane) << i;
        }
        return r;
    }

    // ------------------------------------------------------------------ helpers of shuffles

    /** Interleaves the low halves of two words of lanes of {@code bits}: a's lane first. */
    static long interleaveLow(long a, long b, int bits) {
        long lane = (1L << bits) - 1;
        long r = 0;
        for (int i = 0; i < 32; i += bits) {
            r |= (a >>> i & lane) << 2 * i | (b >>> i & lane) << 2 * i + bits;
        }
        return r;
    }

    static long interleaveHigh(long a, long b, int bits) {
        return interleaveLow(a >>> 32, b >>> 32, bits);
    }

    /** Four signed words to saturated bytes, in the low 32 bits. */
    static long packWords(long w, boolean unsigned) {
        long r = 0;
        for (int i = 0; i < 4; i++) {
            int x = (short) (w >>> 16 * i);
            r |= (Math.clamp(x, unsigned ? 0 : -128, unsigned ? 255 : 127) & 0xffL) << 8 * i;
        }
        return r;
    }

    /** Two signed doublewords to saturated words, in the low 32 bits. */
    static long packDwords(long w, boolean unsigned) {
        int low = (int) w;
        int high = (int) (w >>> 32);
        int min = unsigned ? 0 : -32768;
        int max = unsigned ? 65535 : 32767;
        return Math.clamp(low, min, max) & 0xffffL | (Math.clamp(high, min, max) & 0xffffL) << 16;
    }
}
