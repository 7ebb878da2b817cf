package dev.slate.cpu;

/**
 * Which states VMRUN refuses (APM 2 15.5.1, "Canonicalization and Consistency Checks"): those that no processor can be in. Pure
 * functions. What the list says of the intercepts, the ASID and the permission maps does not arise here.
 */
public final class EntryState {
    /** Reserved bits of EFER; bits 1 to 7 are ignored. */
    private static final long EFER_RESERVED = 0xffff_ffff_ffff_0200L;

    private static final long PDPTE_RESERVED = 0xfff0_0000_0000_01e6L;
    private static final long CR3_RESERVED = 0xfff0_0000_0000_0000L;
    private static final long UPPER = 0xffff_ffff_0000_0000L;

    private EntryState() {}

    /** Whether every byte of a PAT register names a memory type (SDM 3A 11.12.2, APM 2 7.8.1). */
    public static boolean validPat(long pat) {
        for (int i = 0; i < 64; i += 8) {
            int type = (int) (pat >>> i) & 0xff;
            // UC, WC, WT, WP, WB, UC-.
            if (type > 7 || (0xf3 >>> type & 1) == 0) {
                return false;
            }
        }
        return true;
    }

    /**
     * Whether PAE paging's directory pointers can be loaded: no present one has a reserved bit set (SDM 3A 4.4.1).
     *
     * @param beyond bits that a physical address below 2<sup>52</sup> cannot have on this processor
     */
    public static boolean validPdptrs(long[] pdptrs, long beyond) {
        for (long e : pdptrs) {
            if ((e & 1) != 0 && (e & (beyond | PDPTE_RESERVED)) != 0) {
                return false;
            }
        }
        return true;
    }

    /**
     * Whether the processor can be entered.
     *
     * @param cr4Allowed bits that CR4 can have on this processor
     */
    public static boolean legal(CpuState s, long cr4Allowed) {
        boolean paging = (s.cr0 & CpuState.CR0_PG) != 0;
        boolean wide = paging && (s.efer & CpuState.EFER_LME) != 0;
        boolean both =
                (s.segAttr[CpuState.CS] & (CpuState.ATTR_L | CpuState.ATTR_DB)) == (CpuState.ATTR_L | CpuState.ATTR_DB);
        return (s.efer & EFER_RESERVED) == 0
                && ((s.cr0 & CpuState.CR0_NW) == 0 || (s.cr0 & CpuState.CR0_CD) != 0)
                && (s.cr0 & UPPER) == 0
                && (s.cr4 & ~cr4Allowed) == 0
                && ((s.dr6 | s.dr7) & UPPER) == 0
                && !(wide && ((s.cr4 & CpuState.CR4_PAE) == 0 || (s.cr0 & CpuState.CR0_PE) == 0))
                && !(wide && ((s.cr3 & CR3_RESERVED) != 0 || both));
    }
}
