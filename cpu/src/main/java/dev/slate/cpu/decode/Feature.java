package dev.slate.cpu.decode;

/**
 * The CPUID features that gate instructions: bit numbers in the set that a {@link Decoder} is made with. An instruction whose feature
 * is not offered decodes as what the bytes mean without it: mostly #UD, BSF for TZCNT, NOP for some hints.
 *
 * <p>Names are those of Linux's /proc/cpuinfo, in capitals.
 */
public final class Feature {
    /** Always offered. */
    public static final int BASE = 0;

    public static final int FPU = 1;
    public static final int CX8 = 2;
    public static final int CMOV = 3;
    public static final int MMX = 4;
    public static final int FXSR = 5;
    public static final int SSE = 6;
    public static final int SSE2 = 7;
    public static final int SSE3 = 8;
    public static final int SSSE3 = 9;
    public static final int SSE4_1 = 10;
    public static final int SSE4_2 = 11;
    public static final int SSE4A = 12;
    public static final int POPCNT = 13;
    public static final int CX16 = 14;
    public static final int LAHF_LM = 15;
    public static final int SYSCALL = 16;
    public static final int SEP = 17;
    public static final int CLFLUSH = 18;
    public static final int MONITOR = 19;
    public static final int RDTSCP = 20;
    public static final int PREFETCHW = 21;
    public static final int LZCNT = 22;
    public static final int BMI1 = 23;
    public static final int BMI2 = 24;
    public static final int ADX = 25;
    public static final int MOVBE = 26;
    public static final int AES = 27;
    public static final int PCLMULQDQ = 28;
    public static final int SHA = 29;
    public static final int GFNI = 30;
    public static final int RDRAND = 31;
    public static final int RDSEED = 32;
    public static final int RDPID = 33;
    public static final int FSGSBASE = 34;
    public static final int SMAP = 35;
    public static final int PKU = 36;
    public static final int INVPCID = 37;
    public static final int CLFLUSHOPT = 38;
    public static final int CLWB = 39;
    public static final int CLZERO = 40;
    public static final int XSAVE = 41;
    public static final int XSAVEOPT = 42;
    public static final int XSAVEC = 43;
    public static final int XSAVES = 44;
    public static final int AVX = 45;
    public static final int AVX2 = 46;
    public static final int FMA = 47;
    public static final int F16C = 48;
    public static final int VAES = 49;
    public static final int VPCLMULQDQ = 50;
    public static final int MONITORX = 51;
    public static final int SVM = 52;
    public static final int VMX = 53;
    public static final int MOVDIRI = 54;
    public static final int SERIALIZE = 55;
    public static final int WBNOINVD = 56;
    /** LOCK MOV CR0 means CR8, so that 32-bit code can reach it (AMD). */
    public static final int CR8_LEGACY = 57;

    /** FXSAVE and the like save and restore the x87's pointers always (AMD); else only while an exception is pending. */
    public static final int XSAVEERPTR = 58;

    /**
     * No CPUID bit: the maker is Intel. Where the makers differ, bytes mean what they mean to its processors; without it, what they
     * mean to AMD's.
     */
    public static final int INTEL = 62;

    /** Every feature that the instruction table knows. */
    public static final long ALL = (1L << XSAVEERPTR + 1) - 1;

    /** What x86-64-v2 has, with the system instructions that every 64-bit processor has. */
    public static final long X86_64_V2 = (1L << CX16 + 1) - 1 & ~bit(SSE4A)
            | bit(LAHF_LM)
            | bit(SYSCALL)
            | bit(SEP)
            | bit(CLFLUSH)
            | bit(MONITOR)
            | bit(RDTSCP);

    /** What x86-64-v3 has. */
    public static final long X86_64_V3 = X86_64_V2
            | bit(LZCNT)
            | bit(BMI1)
            | bit(BMI2)
            | bit(MOVBE)
            | bit(XSAVE)
            | bit(AVX)
            | bit(AVX2)
            | bit(FMA)
            | bit(F16C);

    private Feature() {}

    /** The set with that one feature. */
    public static long bit(int feature) {
        return 1L << feature;
    }
}
