package dev.slate.kvm.cpuid;

import dev.slate.cpu.Cpu;
import dev.slate.kvm.host.HostServices;
import java.util.Arrays;

/**
 * What CPUID offers (docs/decisions/0022): the instructions that the processor says it executes, and what processor and hypervisor do
 * that is no instruction.
 */
public final class ProcessorFeatures {
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
     * @param nested whether guests may have guests
     */
    public static long ofModel(String model, boolean nested, HostServices host) {
        long svm = dev.slate.cpu.decode.Feature.bit(dev.slate.cpu.decode.Feature.SVM);
        long features = ofModel(model, host);
        return nested ? features | svm & Cpu.FEATURES : features & ~svm;
    }

    private static long ofModel(String model, HostServices host) {
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
        for (FeatureRule rule : FeatureRule.values()) {
            int[] leaf = host.cpuid(Feature.leaf(rule.feature()), Feature.subleaf(rule.feature()));
            if (leaf == null || (leaf[Feature.register(rule.feature())] & Feature.mask(rule.feature())) == 0) {
                features &= ~rule.instructionSet();
            }
        }
        return features;
    }

    /**
     * Everything that goes with those instructions, as {@link Feature} numbers.
     *
     * @param counters whether guests are to have performance counters
     * @param twoDimensional whether guests' memory is mapped so ({@code tdp=on}): KVM offers nested paging only then
     */
    public static int[] offered(long features, boolean counters, boolean twoDimensional) {
        FeatureRule[] rules = FeatureRule.values();
        int[] all = new int[rules.length];
        int n = 0;
        for (FeatureRule rule : rules) {
            if (rule == FeatureRule.PERFCTR_CORE ? counters : offers(rule, features, twoDimensional)) {
                all[n++] = rule.feature();
            }
        }
        return Arrays.copyOf(all, n);
    }

    private static boolean offers(FeatureRule rule, long features, boolean twoDimensional) {
        return switch (rule) {
            case MONITOR, PKU -> false;
            case NPT -> twoDimensional && has(features, dev.slate.cpu.decode.Feature.SVM);
            case NRIPS, VMCB_CLEAN, SVME_ADDR_CHK -> has(features, dev.slate.cpu.decode.Feature.SVM);
            // Without INVPCID a guest with process-context identifiers would be a machine that nobody makes.
            case PCID -> has(features, dev.slate.cpu.decode.Feature.INVPCID);
            default -> (rule.instructionSet() & ~features) == 0;
        };
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
