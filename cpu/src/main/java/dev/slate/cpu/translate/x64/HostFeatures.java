package dev.slate.cpu.translate.x64;

import dev.slate.cpu.decode.Feature;
import dev.slate.cpu.mem.ExecutableMemory;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;

/** What the host's processor says of itself (SDM 2A, CPUID), as far as translated code depends on it. */
final class HostFeatures {
    /** leaf << 8 | register (EAX 0, EBX 1, ECX 2, EDX 3), bit, {@link Feature}. */
    private static final int[][] BITS = {
        {1, 3, 0, Feature.FPU},
        {1, 3, 8, Feature.CX8},
        {1, 3, 15, Feature.CMOV},
        {1, 3, 19, Feature.CLFLUSH},
        {1, 3, 24, Feature.FXSR},
        {1, 3, 25, Feature.SSE},
        {1, 3, 26, Feature.SSE2},
        {1, 2, 0, Feature.SSE3},
        {1, 2, 1, Feature.PCLMULQDQ},
        {1, 2, 9, Feature.SSSE3},
        {1, 2, 12, Feature.FMA},
        {1, 2, 13, Feature.CX16},
        {1, 2, 19, Feature.SSE4_1},
        {1, 2, 20, Feature.SSE4_2},
        {1, 2, 22, Feature.MOVBE},
        {1, 2, 23, Feature.POPCNT},
        {1, 2, 25, Feature.AES},
        {1, 2, 28, Feature.AVX},
        {1, 2, 29, Feature.F16C},
        {7, 1, 3, Feature.BMI1},
        {7, 1, 5, Feature.AVX2},
        {7, 1, 8, Feature.BMI2},
        {7, 1, 19, Feature.ADX},
        {7, 1, 29, Feature.SHA},
        {7, 2, 8, Feature.GFNI},
        {7, 2, 9, Feature.VAES},
        {7, 2, 10, Feature.VPCLMULQDQ},
        {0x8000_0001, 2, 5, Feature.LZCNT},
        {0x8000_0001, 2, 8, Feature.PREFETCHW},
    };

    private static final long OSXSAVE = 1 << 27;

    private HostFeatures() {}

    /** {@link Feature} bits; AVX and what stands on it only where the host's kernel keeps YMM registers. */
    static long read(long cpuid) {
        Scratch to = new Scratch(64);
        long features = 0;
        for (int[] bit : BITS) {
            int leaf = bit[0];
            ExecutableMemory.call(cpuid, leaf & 0x8000_0000, to.hva());
            if (Integer.compareUnsigned(HostMemory.get32(to.hva()), leaf) < 0) {
                continue;
            }
            ExecutableMemory.call(cpuid, leaf & 0xffff_ffffL, to.hva());
            if ((HostMemory.get32(to.hva() + 4L * bit[1]) >>> bit[2] & 1) != 0) {
                features |= Feature.bit(bit[3]);
            }
        }
        ExecutableMemory.call(cpuid, 1, to.hva());
        if ((HostMemory.get32(to.hva() + 8) & OSXSAVE) == 0) {
            features &= ~(Feature.bit(Feature.AVX)
                    | Feature.bit(Feature.AVX2)
                    | Feature.bit(Feature.FMA)
                    | Feature.bit(Feature.F16C)
                    | Feature.bit(Feature.VAES)
                    | Feature.bit(Feature.VPCLMULQDQ));
        }
        return features;
    }
}
