package dev.slate.kvm.cpuid;

/**
 * CPUID feature bits as small ints: leaf, sub-leaf, register and bit (SDM 2A CPUID, APM 3 appendix E).
 *
 * <p>Encoding: bits 0-4 the bit, 5-6 the register (0 EAX, 1 EBX, 2 ECX, 3 EDX), 8-11 the sub-leaf, 12-15 the group (0: 0000_00xxh,
 * 8: 8000_00xxh, 4: 4000_00xxh), 16-23 the leaf's low byte.
 */
public final class Feature {
    private static final int EAX = 0;
    private static final int EBX = 1;
    private static final int ECX = 2;
    private static final int EDX = 3;

    // Leaf 1, ECX
    public static final int SSE3 = bit(1, 0, ECX, 0);
    public static final int PCLMULQDQ = bit(1, 0, ECX, 1);
    public static final int MONITOR = bit(1, 0, ECX, 3);
    public static final int SSSE3 = bit(1, 0, ECX, 9);
    public static final int FMA = bit(1, 0, ECX, 12);
    public static final int CX16 = bit(1, 0, ECX, 13);
    public static final int PDCM = bit(1, 0, ECX, 15);
    public static final int PCID = bit(1, 0, ECX, 17);
    public static final int SSE4_1 = bit(1, 0, ECX, 19);
    public static final int SSE4_2 = bit(1, 0, ECX, 20);
    public static final int X2APIC = bit(1, 0, ECX, 21);
    public static final int MOVBE = bit(1, 0, ECX, 22);
    public static final int POPCNT = bit(1, 0, ECX, 23);
    public static final int TSC_DEADLINE = bit(1, 0, ECX, 24);
    public static final int AES = bit(1, 0, ECX, 25);
    public static final int XSAVE = bit(1, 0, ECX, 26);
    public static final int OSXSAVE = bit(1, 0, ECX, 27);
    public static final int AVX = bit(1, 0, ECX, 28);
    public static final int F16C = bit(1, 0, ECX, 29);
    public static final int RDRAND = bit(1, 0, ECX, 30);
    public static final int HYPERVISOR = bit(1, 0, ECX, 31);

    // Leaf 1, EDX
    public static final int FPU = bit(1, 0, EDX, 0);
    public static final int VME = bit(1, 0, EDX, 1);
    public static final int DE = bit(1, 0, EDX, 2);
    public static final int PSE = bit(1, 0, EDX, 3);
    public static final int TSC = bit(1, 0, EDX, 4);
    public static final int MSR = bit(1, 0, EDX, 5);
    public static final int PAE = bit(1, 0, EDX, 6);
    public static final int MCE = bit(1, 0, EDX, 7);
    public static final int CX8 = bit(1, 0, EDX, 8);
    public static final int APIC = bit(1, 0, EDX, 9);
    public static final int SEP = bit(1, 0, EDX, 11);
    public static final int MTRR = bit(1, 0, EDX, 12);
    public static final int PGE = bit(1, 0, EDX, 13);
    public static final int MCA = bit(1, 0, EDX, 14);
    public static final int CMOV = bit(1, 0, EDX, 15);
    public static final int PAT = bit(1, 0, EDX, 16);
    public static final int PSE36 = bit(1, 0, EDX, 17);
    public static final int CLFLUSH = bit(1, 0, EDX, 19);
    public static final int MMX = bit(1, 0, EDX, 23);
    public static final int FXSR = bit(1, 0, EDX, 24);
    public static final int SSE = bit(1, 0, EDX, 25);
    public static final int SSE2 = bit(1, 0, EDX, 26);

    // Leaf 7.0
    public static final int FSGSBASE = bit(7, 0, EBX, 0);
    public static final int TSC_ADJUST = bit(7, 0, EBX, 1);
    public static final int BMI1 = bit(7, 0, EBX, 3);
    public static final int AVX2 = bit(7, 0, EBX, 5);
    public static final int SMEP = bit(7, 0, EBX, 7);
    public static final int BMI2 = bit(7, 0, EBX, 8);
    public static final int ERMS = bit(7, 0, EBX, 9);
    public static final int INVPCID = bit(7, 0, EBX, 10);
    public static final int RDSEED = bit(7, 0, EBX, 18);
    public static final int ADX = bit(7, 0, EBX, 19);
    public static final int SMAP = bit(7, 0, EBX, 20);
    public static final int CLFLUSHOPT = bit(7, 0, EBX, 23);
    public static final int CLWB = bit(7, 0, EBX, 24);
    public static final int SHA = bit(7, 0, EBX, 29);
    public static final int UMIP = bit(7, 0, ECX, 2);
    public static final int PKU = bit(7, 0, ECX, 3);
    public static final int OSPKE = bit(7, 0, ECX, 4);
    public static final int LA57 = bit(7, 0, ECX, 16);
    public static final int RDPID = bit(7, 0, ECX, 22);
    public static final int MOVDIRI = bit(7, 0, ECX, 27);
    public static final int FSRM = bit(7, 0, EDX, 4);
    public static final int SERIALIZE = bit(7, 0, EDX, 14);
    public static final int SPEC_CTRL = bit(7, 0, EDX, 26);
    public static final int ARCH_CAPABILITIES = bit(7, 0, EDX, 29);

    // Leaf Dh.1
    public static final int XSAVEOPT = bit(0xd, 1, EAX, 0);
    public static final int XSAVEC = bit(0xd, 1, EAX, 1);
    public static final int XGETBV1 = bit(0xd, 1, EAX, 2);
    public static final int XSAVES = bit(0xd, 1, EAX, 3);
    public static final int XFD = bit(0xd, 1, EAX, 4);

    // Leaf 8000_0001h
    public static final int LAHF_LM = bit(0x80000001, 0, ECX, 0);
    public static final int SVM = bit(0x80000001, 0, ECX, 2);
    public static final int CR8_LEGACY = bit(0x80000001, 0, ECX, 4);
    public static final int ABM = bit(0x80000001, 0, ECX, 5);
    public static final int MISALIGNSSE = bit(0x80000001, 0, ECX, 7);
    public static final int PREFETCHW = bit(0x80000001, 0, ECX, 8);
    public static final int OSVW = bit(0x80000001, 0, ECX, 9);
    /** AMD's six performance counters. */
    public static final int PERFCTR_CORE = bit(0x80000001, 0, ECX, 23);

    public static final int SYSCALL = bit(0x80000001, 0, EDX, 11);
    public static final int NX = bit(0x80000001, 0, EDX, 20);
    public static final int FXSR_OPT = bit(0x80000001, 0, EDX, 25);
    public static final int GBPAGES = bit(0x80000001, 0, EDX, 26);
    public static final int RDTSCP = bit(0x80000001, 0, EDX, 27);
    public static final int LM = bit(0x80000001, 0, EDX, 29);

    // Leaf 8000_0008h
    public static final int XSAVEERPTR = bit(0x80000008, 0, EBX, 2);
    public static final int WBNOINVD = bit(0x80000008, 0, EBX, 9);
    public static final int AMD_IBPB = bit(0x80000008, 0, EBX, 12);
    public static final int AMD_IBRS = bit(0x80000008, 0, EBX, 14);
    public static final int AMD_STIBP = bit(0x80000008, 0, EBX, 15);
    public static final int AMD_SSBD = bit(0x80000008, 0, EBX, 24);
    public static final int VIRT_SSBD = bit(0x80000008, 0, EBX, 25);

    // Leaf 8000_000Ah: SVM's
    /** Nested paging. */
    public static final int NPT = bit(0x8000000a, 0, EDX, 0);

    public static final int NRIPS = bit(0x8000000a, 0, EDX, 3);
    public static final int VMCB_CLEAN = bit(0x8000000a, 0, EDX, 5);
    public static final int TSC_RATE_MSR = bit(0x8000000a, 0, EDX, 4);

    /** A bad address in VMRUN is an exit, not #GP, to a hypervisor. */
    public static final int SVME_ADDR_CHK = bit(0x8000000a, 0, EDX, 28);

    // Leaf 8000_0021h: AMD's NullSelectorClearsBase
    public static final int NULL_CLEARS_BASE = bit(0x80000021, 0, EAX, 6);

    private Feature() {}

    private static int bit(int leaf, int subleaf, int register, int bit) {
        return bit | register << 5 | subleaf << 8 | (leaf >>> 28) << 12 | (leaf & 0xff) << 16;
    }

    /** The leaf (EAX on input) that holds the feature. */
    public static int leaf(int feature) {
        return feature >>> 16 | (feature >>> 12 & 15) << 28;
    }

    /** The sub-leaf (ECX) that a feature stands in. */
    public static int subleaf(int feature) {
        return feature >>> 8 & 15;
    }

    /** 0 EAX, 1 EBX, 2 ECX, 3 EDX. */
    public static int register(int feature) {
        return feature >>> 5 & 3;
    }

    /** The bit within its register, as a mask. */
    public static int mask(int feature) {
        return 1 << (feature & 31);
    }
}
