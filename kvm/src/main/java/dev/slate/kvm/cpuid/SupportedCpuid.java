package dev.slate.kvm.cpuid;

import dev.slate.kvm.host.HostServices;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * What KVM_GET_SUPPORTED_CPUID answers: identity and sizes of the host's processor, and of its features only what Slate's
 * processor and hypervisor implement (docs/decisions/0022).
 *
 * <p>Immutable.
 */
public final class SupportedCpuid {
    /** Highest basic leaf: XSAVE's. */
    private static final int HIGHEST_BASIC = 0xd;

    private static final int HIGHEST_EXTENDED = 0x8000_0008;
    private static final int SVM_LEAF = 0x8000_000a;

    // Of a host that is no x86: an AMD family 17h processor, the first with everything offered here.
    private static final int GENERIC_SIGNATURE = 0x0080_0f12;
    /** A Xeon of family 6, model 85. */
    private static final int INTEL_SIGNATURE = 0x0005_0654;

    private static final int INTEL_EBX = 0x756e6547;
    private static final int GENERIC_ADDRESS_BITS = 48 << 8 | 48;

    // Leaf 1 EBX: CLFLUSH line of 64 bytes, in units of 8.
    private static final int CLFLUSH_LINE = 8 << 8;
    private static final int INVARIANT_TSC = 1 << 8;

    private final HostServices host;
    private final boolean intel;
    /** The host's own identity is told. */
    private final boolean asHost;

    private final int[] offered;
    private final int kvmFeatures;
    private final long xcr0;
    private final long cr4Reserved;
    private final List<CpuidEntry> entries = new ArrayList<>();

    /**
     * The answer for a machine.
     *
     * @param vendor whose processor the guest is told: the host's, or "amd" or "intel" ({@code cpu.vendor})
     * @param offered features ({@link Feature}) of processor and hypervisor
     * @param kvmFeatures KVM_FEATURE_* bits
     * @param xcr0 components that XSAVE can hold; 0 without XSAVE
     */
    public SupportedCpuid(HostServices host, String vendor, int[] offered, int kvmFeatures, long xcr0) {
        this.host = host;
        int[] first = host.cpuid(0, 0);
        boolean hostIntel = first != null && first[1] == INTEL_EBX;
        this.intel = vendor.equals("host") ? hostIntel : vendor.equals("intel");
        this.asHost = first != null && intel == hostIntel;
        // LOCK MOV CR0 is AMD's, and so are a way of FXSAVE and these counters.
        this.offered = Arrays.stream(offered).filter(f -> !intel || !amdOnly(f)).toArray();
        this.kvmFeatures = kvmFeatures;
        this.xcr0 = xcr0;
        this.cr4Reserved = ControlRegisters.cr4Reserved(offered);
        for (int leaf = 0; leaf <= HIGHEST_BASIC; leaf++) {
            basic(leaf);
        }
        for (int leaf = 0x8000_0000; leaf <= highestExtended(); leaf++) {
            extended(leaf);
        }
        add(
                0x4000_0000,
                0,
                0,
                0x4000_0001,
                CpuidTable.SIGNATURE_EBX,
                CpuidTable.SIGNATURE_ECX,
                CpuidTable.SIGNATURE_EDX);
        add(0x4000_0001, 0, 0, this.kvmFeatures, 0, 0, 0);
    }

    private static boolean amdOnly(int feature) {
        return feature == Feature.CR8_LEGACY
                || feature == Feature.XSAVEERPTR
                || feature == Feature.SVM
                || feature == Feature.PERFCTR_CORE
                || Feature.leaf(feature) == SVM_LEAF;
    }

    private int highestExtended() {
        return has(Feature.SVM) ? SVM_LEAF : HIGHEST_EXTENDED;
    }

    /** The leaves, in the order in which KVM lists them. */
    public List<CpuidEntry> entries() {
        return List.copyOf(entries);
    }

    /** Whether a feature is offered. */
    public boolean has(int feature) {
        for (int f : offered) {
            if (f == feature) {
                return true;
            }
        }
        return false;
    }

    /** CR4 bits that no guest can set. */
    public long cr4Reserved() {
        return cr4Reserved;
    }

    /** XSAVE components that a guest may switch on. */
    public long xcr0() {
        return xcr0;
    }

    /** Whether the host's processor is Intel's: VMCALL is its hypercall; else VMMCALL is. */
    public boolean intel() {
        return intel;
    }

    private int[] leaf(int function, int index) {
        int[] values = asHost ? host.cpuid(function, index) : null;
        if (values != null) {
            return values;
        }
        return intel ? genericIntel(function, index) : genericAmd(function, index);
    }

    private int[] genericIntel(int function, int index) {
        return switch (function) {
            case 0 -> new int[] {HIGHEST_BASIC, INTEL_EBX, 0x6c65746e, 0x49656e69};
            case 1 -> new int[] {INTEL_SIGNATURE, 0, 0, 0};
            case 0x8000_0000 -> new int[] {HIGHEST_EXTENDED, 0, 0, 0};
            case 0x8000_0001 -> new int[4];
            default -> sizes(function, index);
        };
    }

    private int[] genericAmd(int function, int index) {
        return switch (function) {
            case 0 -> new int[] {HIGHEST_BASIC, 0x68747541, 0x444d4163, 0x69746e65};
            case 1 -> new int[] {GENERIC_SIGNATURE, 0, 0, 0};
            case 0x8000_0000 -> new int[] {HIGHEST_EXTENDED, 0x68747541, 0x444d4163, 0x69746e65};
            case 0x8000_0001 -> new int[] {GENERIC_SIGNATURE, 0, 0, 0};
            default -> sizes(function, index);
        };
    }

    /** What has nothing to do with the vendor: of the host's, only the size of physical addresses. */
    private int[] sizes(int function, int index) {
        int[] values = host.cpuid(function, index);
        return switch (function) {
            case 0x8000_0002 -> new int[] {0x74616c53, 0x72702065, 0x7365636f, 0x00726f73};
            case 0x8000_0007 -> new int[] {0, 0, 0, INVARIANT_TSC};
            case 0x8000_0008 -> values != null ? values : new int[] {GENERIC_ADDRESS_BITS, 0, 0, 0};
            default -> new int[4];
        };
    }

    private int features(int function, int index, int register) {
        int word = 0;
        for (int f : offered) {
            if (Feature.leaf(f) == function && Feature.subleaf(f) == index && Feature.register(f) == register) {
                word |= Feature.mask(f);
            }
        }
        return word;
    }

    private void add(int function, int index, int flags, int eax, int ebx, int ecx, int edx) {
        entries.add(new CpuidEntry(function, index, flags, eax, ebx, ecx, edx));
    }

    private void basic(int function) {
        int[] h = leaf(function, 0);
        switch (function) {
            case 0 -> add(0, 0, 0, HIGHEST_BASIC, h[1], h[2], h[3]);
            case 1 -> add(1, 0, 0, h[0], CLFLUSH_LINE, features(1, 0, 2), features(1, 0, 3));
            case 2 -> add(2, 0, 0, h[0], h[1], h[2], h[3]);
            case 4 -> {
                int index = 0;
                int[] cache = h;
                do {
                    cache = leaf(4, index);
                    add(4, index, CpuidEntry.SIGNIFICANT_INDEX, cache[0], cache[1], cache[2], cache[3]);
                    index++;
                } while ((cache[0] & 0x1f) != 0 && index < 8);
            }
            // ARAT: the APIC timer always runs.
            case 6 -> add(6, 0, 0, 4, 0, 0, 0);
            case 7 ->
                add(7, 0, CpuidEntry.SIGNIFICANT_INDEX, 0, features(7, 0, 1), features(7, 0, 2), features(7, 0, 3));
            // No topology: sub-leaf 1 is not there.
            case 0xb -> add(0xb, 0, CpuidEntry.SIGNIFICANT_INDEX, 0, 0, 0, 0);
            case 0xd -> xsave();
            default -> add(function, 0, 0, 0, 0, 0, 0);
        }
    }

    private void xsave() {
        int bytes = xcr0 == 0 ? 0 : CpuidTable.xstateSize(xcr0, false);
        add(0xd, 0, CpuidEntry.SIGNIFICANT_INDEX, (int) xcr0, bytes, bytes, (int) (xcr0 >>> 32));
        if (xcr0 == 0) {
            return;
        }
        int eax = features(0xd, 1, 0);
        boolean compacted = (eax & (Feature.mask(Feature.XSAVEC) | Feature.mask(Feature.XSAVES))) != 0;
        add(0xd, 1, CpuidEntry.SIGNIFICANT_INDEX, eax, compacted ? CpuidTable.xstateSize(xcr0, true) : 0, 0, 0);
        if ((xcr0 & 4) != 0) {
            // AVX: 256 bytes at offset 576.
            add(0xd, 2, CpuidEntry.SIGNIFICANT_INDEX, 256, 576, 0, 0);
        }
    }

    private void extended(int function) {
        int[] h = leaf(function, 0);
        switch (function) {
            case 0x8000_0000 -> add(function, 0, 0, highestExtended(), h[1], h[2], h[3]);
            case 0x8000_0001 -> add(function, 0, 0, h[0], h[1] & ~0x0fff_0000, features(function, 0, 2), extendedEdx());
            case 0x8000_0006 -> add(function, 0, 0, h[0], h[1], h[2], h[3] & ~(3 << 16));
            case 0x8000_0007 -> add(function, 0, 0, 0, 0, 0, h[3] & INVARIANT_TSC);
            case 0x8000_0008 -> add(function, 0, 0, h[0] & 0xff | linearBits() << 8, features(function, 0, 1), 0, 0);
            case 0x8000_0009 -> add(function, 0, 0, 0, 0, 0, 0);
            // Revision 1; KVM says eight ASIDs.
            case SVM_LEAF -> add(function, 0, 0, 1, 8, 0, features(function, 0, 3));
            default -> add(function, 0, 0, h[0], h[1], h[2], h[3]);
        }
    }

    private int linearBits() {
        return (features(7, 0, 2) & Feature.mask(Feature.LA57)) != 0 ? 57 : 48;
    }

    /** AMD repeats leaf 1's features in 8000_0001h EDX (APM 3 E.4.2). */
    private int extendedEdx() {
        int edx = features(0x8000_0001, 0, 3);
        if (!intel()) {
            edx |= features(1, 0, 3) & 0x0183_f3ff;
        }
        return edx;
    }
}
