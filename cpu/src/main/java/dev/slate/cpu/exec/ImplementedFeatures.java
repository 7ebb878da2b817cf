package dev.slate.cpu.exec;

import dev.slate.cpu.decode.Feature;

/** The CPUID features whose every instruction the interpreter has: what a CPUID model may offer. */
public final class ImplementedFeatures {
    /** Set of {@link Feature} bits. */
    public static final long COMPLETE = Feature.bit(Feature.FPU)
            | Feature.bit(Feature.CX8)
            | Feature.bit(Feature.CMOV)
            | Feature.bit(Feature.FXSR)
            | Feature.bit(Feature.SSE)
            | Feature.bit(Feature.SSE2)
            | Feature.bit(Feature.SSE3)
            | Feature.bit(Feature.SSSE3)
            | Feature.bit(Feature.SSE4_1)
            | Feature.bit(Feature.SSE4_2)
            | Feature.bit(Feature.AES)
            | Feature.bit(Feature.PCLMULQDQ)
            | Feature.bit(Feature.SHA)
            | Feature.bit(Feature.MMX)
            | Feature.bit(Feature.CX16)
            | Feature.bit(Feature.LAHF_LM)
            | Feature.bit(Feature.SYSCALL)
            | Feature.bit(Feature.SEP)
            | Feature.bit(Feature.CLFLUSH)
            | Feature.bit(Feature.MONITOR)
            | Feature.bit(Feature.RDTSCP)
            | Feature.bit(Feature.POPCNT)
            | Feature.bit(Feature.PREFETCHW)
            | Feature.bit(Feature.LZCNT)
            | Feature.bit(Feature.BMI1)
            | Feature.bit(Feature.BMI2)
            | Feature.bit(Feature.ADX)
            | Feature.bit(Feature.MOVBE)
            | Feature.bit(Feature.RDRAND)
            | Feature.bit(Feature.RDSEED)
            | Feature.bit(Feature.RDPID)
            | Feature.bit(Feature.FSGSBASE)
            | Feature.bit(Feature.SMAP)
            | Feature.bit(Feature.PKU)
            | Feature.bit(Feature.INVPCID)
            | Feature.bit(Feature.CLFLUSHOPT)
            | Feature.bit(Feature.CLWB)
            | Feature.bit(Feature.AVX)
            | Feature.bit(Feature.AVX2)
            | Feature.bit(Feature.FMA)
            | Feature.bit(Feature.F16C)
            | Feature.bit(Feature.XSAVE)
            | Feature.bit(Feature.XSAVEOPT)
            | Feature.bit(Feature.XSAVEC)
            | Feature.bit(Feature.XSAVES)
            | Feature.bit(Feature.XSAVEERPTR)
            | Feature.bit(Feature.MOVDIRI)
            | Feature.bit(Feature.SERIALIZE)
            | Feature.bit(Feature.WBNOINVD);

    private ImplementedFeatures() {}
}
