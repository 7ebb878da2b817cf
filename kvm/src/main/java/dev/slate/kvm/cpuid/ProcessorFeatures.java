package dev.slate.kvm.cpuid;

import dev.slate.cpu.Cpu;
import dev.slate.kvm.host.HostServices;
import java.util.Arrays;

/**
 * What CPUID offers (docs/decisions/0022): the instructions that the processor says it executes, and what processor and hypervisor do
 * that is no instruction.
 */
public final class ProcessorFeatures {
    /** Paging, control registers, MSRs, APIC: of these no instruction tells. */
    private static final int[] SYSTEM = {
        Feature.DE,
        Feature.PSE,
        Feature.TSC,
        Feature.MSR,
        Feature.PAE,
        Feature.MCE,
        Feature.APIC,
        Feature.MTRR,
        Feature.PGE,
        Feature.MCA,
        Feature.PAT,
        Feature.PSE36,
        Feature.X2APIC,
        Feature.TSC_ADJUST,
        Feature.SMEP,
        Feature.UMIP,
        Feature.LA57,
        Feature.ARCH_CAPABILITIES,
        Feature.CR8_LEGACY,
        Feature.NX,
        Feature.GBPAGES,
        Feature.LM,
    };

    // Pairs: the processor's feature, and its place in CPUID. KVM never offers MONITOR: a guest would wait in
    // it for ever.
    private static final int[] INSTRUCTIONS = {
        dev.slate.cpu.decode.Feature.FPU,
        Feature.FPU,
        dev.slate.cpu.decode.Feature.CX8,
        Feature.CX8,
        dev.slate.cpu.decode.Feature.CMOV,
        Feature.CMOV,
        dev.slate.cpu.decode.Feature.MMX,
        Feature.MMX,
        dev.slate.cpu.decode.Feature.FXSR,
        Feature.FXSR,
        dev.slate.cpu.decode.Feature.SSE,
        Feature.SSE,
        dev.slate.cpu.decode.Feature.SSE2,
        Feature.SSE2,
        dev.slate.cpu.decode.Feature.SSE3,
        Feature.SSE3,
        dev.slate.cpu.decode.Feature.SSSE3,
        Feature.SSSE3,
        dev.slate.cpu.decode.Feature.SSE4_1,
        Feature.SSE4_1,
        dev.slate.cpu.decode.Feature.SSE4_2,
        Feature.SSE4_2,
        dev.slate.cpu.decode.Feature.POPCNT,
        Feature.POPCNT,
        dev.slate.cpu.decode.Feature.CX16,
        Feature.CX16,
        dev.slate.cpu.decode.Feature.LAHF_LM,
        Feature.LAHF_LM,
        dev.slate.cpu.decode.Feature.SYSCALL,
        Feature.SYSCALL,
        dev.slate.cpu.decode.Feature.SEP,
        Feature.SEP,
        dev.slate.cpu.decode.Feature.CLFLUSH,
        Feature.CLFLUSH,
        dev.slate.cpu.decode.Feature.RDTSCP,
        Feature.RDTSCP,
        dev.slate.cpu.decode.Feature.PREFETCHW,
        Feature.PREFETCHW,
        dev.slate.cpu.decode.Feature.LZCNT,
        Feature.ABM,
        dev.slate.cpu.decode.Feature.BMI1,
        Feature.BMI1,
        dev.slate.cpu.decode.Feature.BMI2,
        Feature.BMI2,
        dev.slate.cpu.decode.Feature.ADX,
        Feature.ADX,
        dev.slate.cpu.decode.Feature.MOVBE,
        Feature.MOVBE,
        dev.slate.cpu.decode.Feature.AES,
        Feature.AES,
        dev.slate.cpu.decode.Feature.PCLMULQDQ,
        Feature.PCLMULQDQ,
        dev.slate.cpu.decode.Feature.SHA,
        Feature.SHA,
        dev.slate.cpu.decode.Feature.RDRAND,
        Feature.RDRAND,
        dev.slate.cpu.decode.Feature.RDSEED,
        Feature.RDSEED,
        dev.slate.cpu.decode.Feature.RDPID,
        Feature.RDPID,
        dev.slate.cpu.decode.Feature.FSGSBASE,
        Feature.FSGSBASE,
        dev.slate.cpu.decode.Feature.SMAP,
        Feature.SMAP,
        dev.slate.cpu.decode.Feature.INVPCID,
        Feature.INVPCID,
        dev.slate.cpu.decode.Feature.CLFLUSHOPT,
        Feature.CLFLUSHOPT,
        dev.slate.cpu.decode.Feature.CLWB,
        Feature.CLWB,
        dev.slate.cpu.decode.Feature.XSAVE,
        Feature.XSAVE,
        dev.slate.cpu.decode.Feature.XSAVEOPT,
        Feature.XSAVEOPT,
        dev.slate.cpu.decode.Feature.XSAVEC,
        Feature.XSAVEC,
        dev.slate.cpu.decode.Feature.XSAVES,
        Feature.XSAVES,
        dev.slate.cpu.decode.Feature.AVX,
        Feature.AVX,
        dev.slate.cpu.decode.Feature.AVX2,
        Feature.AVX2,
        dev.slate.cpu.decode.Feature.FMA,
        Feature.FMA,
        dev.slate.cpu.decode.Feature.F16C,
        Feature.F16C,
    };

    private ProcessorFeatures() {}

    // What the psABI's levels do not speak of: for kernels, not for compilers.
    private static final long SYSTEM_INSTRUCTIONS = bits(
            dev.slate.cpu.decode.Feature.PREFETCHW,
            dev.slate.cpu.decode.Feature.RDRAND,
            dev.slate.cpu.decode.Feature.RDSEED,
            dev.slate.cpu.decode.Feature.RDPID,
            dev.slate.cpu.decode.Feature.FSGSBASE,
            dev.slate.cpu.decode.Feature.SMAP,
            dev.slate.cpu.decode.Feature.PKU,
            dev.slate.cpu.decode.Feature.INVPCID,
            dev.slate.cpu.decode.Feature.CLFLUSHOPT,
            dev.slate.cpu.decode.Feature.CLWB,
            dev.slate.cpu.decode.Feature.WBNOINVD,
            dev.slate.cpu.decode.Feature.XSAVE,
            dev.slate.cpu.decode.Feature.XSAVEOPT,
            dev.slate.cpu.decode.Feature.XSAVEC,
            dev.slate.cpu.decode.Feature.XSAVES,
            dev.slate.cpu.decode.Feature.CR8_LEGACY);

    private static long bits(int... features) {
        long set = 0;
        for (int f : features) {
            set |= dev.slate.cpu.decode.Feature.bit(f);
        }
        return set;
    }

    /**
     * The instructions of a CPU model, as the processor's feature bits.
     *
     * @param model one of {@link dev.slate.kvm.Knobs#CPU_MODEL}'s words
     */
    public static long ofModel(String model, HostServices host) {
        return switch (model) {
            case "v2" -> Cpu.FEATURES & (dev.slate.cpu.decode.Feature.X86_64_V2 | SYSTEM_INSTRUCTIONS);
            case "v3" -> Cpu.FEATURES & (dev.slate.cpu.decode.Feature.X86_64_V3 | SYSTEM_INSTRUCTIONS);
            case "host-like" -> ofHost(host);
            default -> Cpu.FEATURES;
        };
    }

    /** Of what can be told by CPUID, that which the host's CPUID tells; all of it where the host is no x86. */
    private static long ofHost(HostServices host) {
        if (host.cpuid(0, 0) == null) {
            return Cpu.FEATURES;
        }
        long features = Cpu.FEATURES;
        for (int i = 0; i < INSTRUCTIONS.length; i += 2) {
            int place = INSTRUCTIONS[i + 1];
            int[] leaf = host.cpuid(Feature.leaf(place), Feature.subleaf(place));
            if (leaf == null || (leaf[Feature.register(place)] & Feature.mask(place)) == 0) {
                features &= ~dev.slate.cpu.decode.Feature.bit(INSTRUCTIONS[i]);
            }
        }
        return features;
    }

    /** Everything that goes with those instructions, as {@link Feature} numbers. */
    public static int[] offered(long features) {
        int[] all = new int[SYSTEM.length + INSTRUCTIONS.length / 2 + 1];
        System.arraycopy(SYSTEM, 0, all, 0, SYSTEM.length);
        int n = SYSTEM.length;
        for (int i = 0; i < INSTRUCTIONS.length; i += 2) {
            if (has(features, INSTRUCTIONS[i])) {
                all[n++] = INSTRUCTIONS[i + 1];
            }
        }
        if (has(features, dev.slate.cpu.decode.Feature.INVPCID)) {
            all[n++] = Feature.PCID;
        }
        return Arrays.copyOf(all, n);
    }

    private static boolean has(long features, int feature) {
        return (features >>> feature & 1) != 0;
    }

    /** State components that XSAVE can hold: x87 and SSE, and AVX where there is any. */
    public static long xcr0(long features) {
        if (!has(features, dev.slate.cpu.decode.Feature.XSAVE)) {
            return 0;
        }
        return has(features, dev.slate.cpu.decode.Feature.AVX) ? 7 : 3;
    }
}
