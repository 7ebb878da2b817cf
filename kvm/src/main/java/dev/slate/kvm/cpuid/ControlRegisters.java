package dev.slate.kvm.cpuid;

import dev.slate.cpu.CpuState;
import dev.slate.kvm.Sregs;

/** Which values CR0, CR3, CR4 and EFER may take together (SDM 3A 2.5, 4.1; KVM_SET_SREGS). Pure functions. */
public final class ControlRegisters {
    /** What KVM 6.1 knows of CR4: never reserved by themselves, whatever features come with them. */
    private static final long CR4_KNOWN = CpuState.CR4_VME
            | CpuState.CR4_PVI
            | CpuState.CR4_TSD
            | CpuState.CR4_DE
            | CpuState.CR4_PSE
            | CpuState.CR4_PAE
            | CpuState.CR4_MCE
            | CpuState.CR4_PGE
            | CpuState.CR4_PCE
            | CpuState.CR4_OSFXSR
            | CpuState.CR4_OSXMMEXCPT
            | CpuState.CR4_UMIP
            | CpuState.CR4_LA57
            | CpuState.CR4_FSGSBASE
            | CpuState.CR4_PCIDE
            | CpuState.CR4_OSXSAVE
            | CpuState.CR4_SMEP
            | CpuState.CR4_SMAP
            | CpuState.CR4_PKE;

    private ControlRegisters() {}

    /** CR4 bits that no guest can set where only these features are offered. */
    static long cr4Reserved(int[] offered) {
        return ~CR4_KNOWN | FeatureRule.cr4Lacking(offered);
    }

    /** CR4 bits that the guest with this CPUID can't set; none while it has no CPUID at all, as in KVM. */
    public static long cr4Reserved(CpuidTable cpuid) {
        return cpuid.size() == 0 ? 0 : cpuid.cr4Lacking();
    }

    /** Whether the registers can stand together. */
    public static boolean valid(Sregs r, long cr4Reserved, int physicalBits) {
        boolean longPaging = (r.efer & CpuState.EFER_LME) != 0 && (r.cr0 & CpuState.CR0_PG) != 0;
        if (longPaging) {
            if ((r.cr4 & CpuState.CR4_PAE) == 0
                    || (r.efer & CpuState.EFER_LMA) == 0
                    || (r.cr3 & -1L << physicalBits) != 0) {
                return false;
            }
        } else if ((r.efer & CpuState.EFER_LMA) != 0 || r.cs.l != 0) {
            return false;
        }
        return (r.cr4 & cr4Reserved) == 0 && validCr0(r.cr0);
    }

    private static boolean validCr0(long cr0) {
        return cr0 >>> 32 == 0
                && ((cr0 & CpuState.CR0_NW) == 0 || (cr0 & CpuState.CR0_CD) != 0)
                && ((cr0 & CpuState.CR0_PG) == 0 || (cr0 & CpuState.CR0_PE) != 0);
    }
}
