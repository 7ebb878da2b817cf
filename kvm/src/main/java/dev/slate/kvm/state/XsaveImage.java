package dev.slate.kvm.state;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.LittleEndian;
import java.util.Arrays;

/**
 * The XSAVE image in standard format (SDM 1 13.4): legacy area of 512 bytes, header of 64, AVX state at 576. KVM always writes x87
 * and SSE, whatever XCR0 says.
 */
public final class XsaveImage {
    private static final int XMM = 160;
    private static final int XSTATE_BV = 512;
    private static final int XCOMP_BV = 520;
    private static final int HEADER_END = 576;
    private static final int YMM = 576;
    private static final long X87 = 1;
    private static final long SSE = 2;
    private static final long AVX = 4;
    /** MXCSR bits that exist, DAZ included. */
    private static final int MXCSR_MASK = 0xffff;

    private XsaveImage() {}

    /** Writes the whole image; {@code features} are the components that the guest may have. */
    public static void get(CpuState s, long features, byte[] to) {
        Arrays.fill(to, (byte) 0);
        LittleEndian.putInt(to, 0, s.fcw & 0xffff | s.fsw << 16);
        LittleEndian.putInt(to, 4, s.ftwValid & 0xff | s.fpOpcode << 16);
        LittleEndian.putLong(to, 8, s.fpIp);
        LittleEndian.putLong(to, 16, s.fpDp);
        LittleEndian.putInt(to, 24, s.mxcsr);
        LittleEndian.putInt(to, 28, MXCSR_MASK);
        for (int i = 0; i < 8; i++) {
            int physical = (s.fsw >>> 11) + i & 7;
            LittleEndian.putLong(to, 32 + i * 16, s.fpMantissa[physical]);
            LittleEndian.putLong(to, 32 + i * 16 + 8, s.fpExponent[physical] & 0xffffL);
        }
        for (int i = 0; i < 16; i++) {
            LittleEndian.putLong(to, XMM + i * 16, s.xmm[i * 4]);
            LittleEndian.putLong(to, XMM + i * 16 + 8, s.xmm[i * 4 + 1]);
        }
        long present = X87 | SSE;
        if ((features & AVX) != 0) {
            present |= AVX;
            for (int i = 0; i < 16; i++) {
                LittleEndian.putLong(to, YMM + i * 16, s.xmm[i * 4 + 2]);
                LittleEndian.putLong(to, YMM + i * 16 + 8, s.xmm[i * 4 + 3]);
            }
        }
        LittleEndian.putLong(to, XSTATE_BV, present);
    }

    /**
     * Loads an image; components whose bit is clear go to their initial state.
     *
     * @return false, and nothing has changed: a component or format that the guest can't have, or reserved bits of MXCSR
     */
    public static boolean set(CpuState s, long features, byte[] from) {
        long present = LittleEndian.getLong(from, XSTATE_BV);
        int mxcsr = LittleEndian.getInt(from, 24);
        if ((present & ~(features | X87 | SSE)) != 0 || (present & (SSE | AVX)) != 0 && (mxcsr & ~MXCSR_MASK) != 0) {
            return false;
        }
        for (int i = XCOMP_BV; i < HEADER_END; i++) {
            if (from[i] != 0) {
                return false;
            }
        }
        boolean x87 = (present & X87) != 0;
        s.fcw = x87 ? LittleEndian.getInt(from, 0) & 0xffff : 0x37f;
        s.fsw = x87 ? LittleEndian.getInt(from, 0) >>> 16 : 0;
        s.ftwValid = x87 ? from[4] & 0xff : 0;
        s.fpOpcode = x87 ? LittleEndian.getInt(from, 4) >>> 16 & 0x7ff : 0;
        // The 64-bit form has no selectors.
        s.fpCs = 0;
        s.fpDs = 0;
        s.fpIp = x87 ? LittleEndian.getLong(from, 8) : 0;
        s.fpDp = x87 ? LittleEndian.getLong(from, 16) : 0;
        for (int i = 0; i < 8; i++) {
            int physical = (s.fsw >>> 11) + i & 7;
            s.fpMantissa[physical] = x87 ? LittleEndian.getLong(from, 32 + i * 16) : 0;
            s.fpExponent[physical] = x87 ? (int) LittleEndian.getLong(from, 32 + i * 16 + 8) & 0xffff : 0;
        }
        s.mxcsr = (present & (SSE | AVX)) != 0 ? mxcsr : 0x1f80;
        boolean sse = (present & SSE) != 0;
        boolean avx = (present & AVX) != 0;
        for (int i = 0; i < 16; i++) {
            s.xmm[i * 4] = sse ? LittleEndian.getLong(from, XMM + i * 16) : 0;
            s.xmm[i * 4 + 1] = sse ? LittleEndian.getLong(from, XMM + i * 16 + 8) : 0;
            s.xmm[i * 4 + 2] = avx ? LittleEndian.getLong(from, YMM + i * 16) : 0;
            s.xmm[i * 4 + 3] = avx ? LittleEndian.getLong(from, YMM + i * 16 + 8) : 0;
        }
        return true;
    }
}
