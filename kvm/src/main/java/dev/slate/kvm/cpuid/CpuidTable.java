package dev.slate.kvm.cpuid;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The CPUID leaves that a client gave a vCPU (KVM_SET_CPUID2), in its order, with the bits that follow the processor's state.
 *
 * <p>KVM writes those bits into the entries whenever the state changes; here {@link #update} does it before anybody reads them.
 * Guarded by the vCPU's mutex.
 */
public final class CpuidTable {
    // One entry is this many ints: function, index, flags, eax, ebx, ecx, edx.
    private static final int STRIDE = 7;
    private static final int INDEX = 1;
    private static final int FLAGS = 2;
    private static final int REGISTERS = 3;

    // Index of a look-up that does not care for the sub-leaf: no ECX can be it.
    private static final long ANY_INDEX = -1;

    /** "KVMKVMKVM\0\0\0" as EBX, ECX, EDX. */
    static final int SIGNATURE_EBX = 0x4b4d564b;

    static final int SIGNATURE_ECX = 0x564b4d56;
    static final int SIGNATURE_EDX = 0x4d;

    private int[] entries = new int[0];
    private int kvmBase;
    private int maxPhysicalAddress = 36;
    // The features that decide are none that follow the processor's state.
    private long cr4Lacking;
    private long eferLacking;

    /** What {@link #query} found. */
    public int eax;

    public int ebx;
    public int ecx;
    public int edx;

    /** {@code KVM_CAP_ENFORCE_PV_FEATURE_CPUID}: only what the KVM leaf offers is open to the guest. */
    public boolean enforcesPvFeatures;

    /** All leaves zero, as in a vCPU that no client has given any. */
    public CpuidTable() {
        learnLacking();
    }

    private void learnLacking() {
        cr4Lacking = FeatureRule.cr4Lacking(this);
        eferLacking = FeatureRule.eferLacking(this);
    }

    /** CR4 bits whose features are not there. */
    public long cr4Lacking() {
        return cr4Lacking;
    }

    /** The same of EFER. */
    public long eferLacking() {
        return eferLacking;
    }

    /** Number of entries. */
    public int size() {
        return entries.length / STRIDE;
    }

    /** Replaces every entry. */
    public void set(List<CpuidEntry> list) {
        entries = flatten(list);
        kvmBase = 0;
        // Hypervisors sit at multiples of 100h from 4000_0000h (KVM looks as far as 4001_0000h).
        for (int base = 0x4000_0000; base < 0x4001_0000 && kvmBase == 0; base += 0x100) {
            int at = find(base, ANY_INDEX);
            if (at >= 0
                    && entries[at + REGISTERS + 1] == SIGNATURE_EBX
                    && entries[at + REGISTERS + 2] == SIGNATURE_ECX
                    && entries[at + REGISTERS + 3] == SIGNATURE_EDX) {
                kvmBase = base;
            }
        }
        maxPhysicalAddress = 36;
        int highest = find(0x8000_0000, ANY_INDEX);
        if (highest >= 0 && Integer.compareUnsigned(entries[highest + REGISTERS], 0x8000_0008) >= 0) {
            int sizes = find(0x8000_0008, ANY_INDEX);
            if (sizes >= 0) {
                maxPhysicalAddress = entries[sizes + REGISTERS] & 0xff;
            }
        }
        learnLacking();
    }

    /** Whether {@code list}, entry for entry, is what stands here. */
    public boolean equalTo(List<CpuidEntry> list) {
        return Arrays.equals(entries, flatten(list));
    }

    private static int[] flatten(List<CpuidEntry> list) {
        int[] flat = new int[list.size() * STRIDE];
        int at = 0;
        for (CpuidEntry e : list) {
            flat[at] = e.function();
            flat[at + INDEX] = e.index();
            flat[at + FLAGS] = e.flags();
            flat[at + REGISTERS] = e.eax();
            flat[at + REGISTERS + 1] = e.ebx();
            flat[at + REGISTERS + 2] = e.ecx();
            flat[at + REGISTERS + 3] = e.edx();
            at += STRIDE;
        }
        return flat;
    }

    /** A copy of the entries, in the client's order. */
    public List<CpuidEntry> toList() {
        List<CpuidEntry> list = new ArrayList<>(size());
        int[] e = entries;
        for (int at = 0; at < e.length; at += STRIDE) {
            list.add(new CpuidEntry(e[at], e[at + 1], e[at + 2], e[at + 3], e[at + 4], e[at + 5], e[at + 6]));
        }
        return list;
    }

    /** Brings the bits that follow the processor's state up to date. */
    public void update(
            boolean osxsave,
            boolean apicEnabled,
            long xcr0,
            boolean mwaitFollows,
            boolean mwaitEnabled,
            int lackingPvFeatures) {
        int at = find(1, ANY_INDEX);
        if (at >= 0) {
            change(at, Feature.OSXSAVE, osxsave);
            change(at, Feature.APIC, apicEnabled);
            if (mwaitFollows) {
                change(at, Feature.MONITOR, mwaitEnabled);
            }
        }
        if (lackingPvFeatures != 0 && (at = kvmLeaf()) >= 0) {
            entries[at + REGISTERS] &= ~lackingPvFeatures;
        }
        at = find(0xd, 0);
        if (at >= 0) {
            entries[at + REGISTERS + 1] = xstateSize(xcr0, false);
        }
        at = find(0xd, 1);
        if (at >= 0 && (entries[at + REGISTERS] & (Feature.mask(Feature.XSAVES) | Feature.mask(Feature.XSAVEC))) != 0) {
            entries[at + REGISTERS + 1] = xstateSize(xcr0, true);
        }
    }

    private void change(int at, int feature, boolean set) {
        int word = at + REGISTERS + Feature.register(feature);
        entries[word] = set ? entries[word] | Feature.mask(feature) : entries[word] & ~Feature.mask(feature);
    }

    /** Bytes of an XSAVE area that holds {@code xcr0}'s components: x87 and SSE, and AVX (bit 2). */
    public static int xstateSize(long xcr0, boolean compacted) {
        return (xcr0 & 4) != 0 ? 576 + 256 : 576;
    }

    /** Whether the guest has a feature. */
    public boolean has(int feature) {
        int at = find(Feature.leaf(feature), Feature.subleaf(feature));
        return at >= 0 && (entries[at + REGISTERS + Feature.register(feature)] & Feature.mask(feature)) != 0;
    }

    /** MAXPHYADDR in bits; 36 where no leaf says. */
    public int maxPhysicalAddress() {
        return maxPhysicalAddress;
    }

    /** The features that the KVM leaf offers (KVM_FEATURE_* bits), 0 without one. */
    public int kvmFeatures() {
        int at = kvmLeaf();
        return at < 0 ? 0 : entries[at + REGISTERS];
    }

    private int kvmLeaf() {
        return kvmBase == 0 ? -1 : find(kvmBase | 1, ANY_INDEX);
    }

    /** Whether a KVM_FEATURE_* is open to the guest: all are until the client enforces the KVM leaf. */
    public boolean pvFeature(int feature) {
        return !enforcesPvFeatures || (kvmFeatures() & feature) != 0;
    }

    /** EAX of a leaf, or {@code absent}. */
    public int eax(int function, int absent) {
        int at = find(function, ANY_INDEX);
        return at < 0 ? absent : entries[at + REGISTERS];
    }

    /** Of {@link #register}. */
    public static final int EAX = 0;

    public static final int EBX = 1;
    public static final int ECX = 2;
    public static final int EDX = 3;

    /** A register of a leaf without sub-leaves; 0 without the leaf. */
    public int register(int function, int register) {
        int at = find(function, ANY_INDEX);
        return at < 0 ? 0 : entries[at + REGISTERS + register];
    }

    /** Whether leaf 0 names an AMD or Hygon processor. */
    public boolean amd() {
        int at = find(0, ANY_INDEX);
        return at >= 0 && (entries[at + REGISTERS + 1] == 0x68747541 || entries[at + REGISTERS + 1] == 0x6f677948);
    }

    /** Whether leaf 0 names an Intel processor. */
    public boolean intel() {
        int at = find(0, ANY_INDEX);
        return at >= 0 && entries[at + REGISTERS + 1] == 0x756e6547;
    }

    /** {@code xcr0} bits that leaf Dh offers. */
    public long xcr0() {
        int at = find(0xd, 0);
        return at < 0 ? 0 : entries[at + REGISTERS] & 0xffff_ffffL | (long) entries[at + REGISTERS + 3] << 32;
    }

    /**
     * CPUID as the guest executes it: the answer stands in {@link #eax} … {@link #edx}. A leaf that is not there answers zeros, or, on
     * an Intel processor, what the highest basic leaf holds (SDM 2A CPUID, "EAX input out of range").
     */
    public void query(int function, int index) {
        long subleaf = index & 0xffff_ffffL;
        int at = find(function, subleaf);
        if (at < 0 && outOfRange(function)) {
            int basic = find(0, ANY_INDEX);
            at = basic < 0 ? -1 : find(entries[basic + REGISTERS], subleaf);
        }
        if (at < 0) {
            eax = 0;
            ebx = 0;
            ecx = 0;
            edx = 0;
            // Topology leaves echo ECX and the APIC id for any sub-leaf, once sub-leaf 1 exists (SDM 2A
            // CPUID 0Bh, 1Fh).
            if (function == 0xb || function == 0x1f) {
                int one = find(function, 1);
                if (one >= 0) {
                    ecx = index & 0xff;
                    edx = entries[one + REGISTERS + 3];
                }
            }
            return;
        }
        eax = entries[at + REGISTERS];
        ebx = entries[at + REGISTERS + 1];
        ecx = entries[at + REGISTERS + 2];
        edx = entries[at + REGISTERS + 3];
    }

    private boolean outOfRange(int function) {
        int basic = find(0, ANY_INDEX);
        if (basic < 0 || amd()) {
            return false;
        }
        int family;
        if (function >= 0x4000_0000 && function <= 0x4fff_ffff) {
            family = find(function & 0xffff_ff00, ANY_INDEX);
        } else if ((function & 0xc000_0000) == 0xc000_0000) {
            family = find(0xc000_0000, ANY_INDEX);
        } else {
            family = find(function & 0x8000_0000, ANY_INDEX);
        }
        return family < 0 || Integer.compareUnsigned(function, entries[family + REGISTERS]) > 0;
    }

    private int find(int function, long index) {
        int[] e = entries;
        for (int at = 0; at < e.length; at += STRIDE) {
            if (e[at] == function
                    && ((e[at + FLAGS] & CpuidEntry.SIGNIFICANT_INDEX) == 0
                            || index == ANY_INDEX
                            || e[at + INDEX] == index)) {
                return at;
            }
        }
        return -1;
    }
}
