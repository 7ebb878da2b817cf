package dev.slate.kvm.mmu.shadow;

import dev.slate.cpu.CpuState;

/**
 * What a shadow page stands for beside its gfn ({@code union kvm_mmu_page_role}), in KVM's 32 bits: two pages that differ in any of them
 * are two pages. In the upper half of a {@code long} the rest of the vCPU's mode ({@code kvm_mmu_extended_role}): it belongs to a vCPU's
 * context, not to a page.
 *
 * <pre>
 *  0..3 level   4 has_4_byte_gpte   5..6 quadrant   7 direct   8..10 access   11 invalid   12 efer_nx   13 cr0_wp
 *  14 smep_andnot_wp   15 smap_andnot_wp   17 guest_mode   19 cr4_pse, of guests with entries of 4 bytes   20..23 protection key, of direct pages
 *  24..31 smm
 * </pre>
 *
 * KVM takes efer_nx as on for all pages that it shadows, and has neither cr4_pse nor keys here: a guest that switches one of them, or gives two keys
 * to one large page, then keeps translations that silicon refuses. They are part of the role here.
 */
final class Role {
    private static final int LEVEL = 0xf;
    static final int HAS_4_BYTE_GPTE = 1 << 4;
    private static final int QUADRANT_SHIFT = 5;
    private static final int QUADRANT = 3 << QUADRANT_SHIFT;
    static final int DIRECT = 1 << 7;
    private static final int ACCESS_SHIFT = 8;
    private static final int ACCESS = 7 << ACCESS_SHIFT;
    static final int INVALID = 1 << 11;
    private static final int EFER_NX = 1 << 12;
    private static final int CR0_WP = 1 << 13;
    private static final int SMEP_ANDNOT_WP = 1 << 14;
    private static final int SMAP_ANDNOT_WP = 1 << 15;
    private static final int GUEST_MODE = 1 << 17;
    private static final int CR4_PSE = 1 << 19;
    private static final int KEY_SHIFT = 20;
    private static final int KEY = 15 << KEY_SHIFT;
    private static final int SMM_SHIFT = 24;

    // The extended part, in the upper half.
    private static final long EXT_VALID = 1L << 32;
    private static final long EXT_CR4_PSE = 1L << 34;
    private static final long EXT_CR4_PKE = 1L << 35;
    private static final long EXT_CR4_SMAP = 1L << 36;
    private static final long EXT_CR4_SMEP = 1L << 37;
    private static final long EXT_CR4_LA57 = 1L << 38;
    private static final long EXT_EFER_LMA = 1L << 39;

    /** Rights as {@code GuestWalk} has them, all granted. */
    static final int ALL_ACCESS = 7;

    private Role() {}

    /** The role of a vCPU whose guest's guest runs below nested tables in the format of {@code host}'s mode ({@code kvm_init_shadow_npt_mmu}). */
    static long ofNested(CpuState host, int addressSpace) {
        return ofVcpu(host, addressSpace) | GUEST_MODE;
    }

    /** The role of a vCPU: its pages' in the low half, with the level of its root. */
    static long ofVcpu(CpuState s, int addressSpace) {
        int base = ALL_ACCESS << ACCESS_SHIFT | addressSpace << SMM_SHIFT;
        if ((s.cr0 & CpuState.CR0_PG) == 0) {
            return EXT_VALID | base | DIRECT | 3;
        }
        long cr4 = s.cr4;
        boolean wp = (s.cr0 & CpuState.CR0_WP) != 0;
        boolean smep = (cr4 & CpuState.CR4_SMEP) != 0;
        boolean smap = (cr4 & CpuState.CR4_SMAP) != 0;
        boolean pse = (cr4 & CpuState.CR4_PSE) != 0;
        boolean pae = (cr4 & CpuState.CR4_PAE) != 0;
        boolean longMode = s.longMode();
        boolean la57 = longMode && (cr4 & CpuState.CR4_LA57) != 0;
        base |= flag((s.efer & CpuState.EFER_NX) != 0, EFER_NX)
                | flag(wp, CR0_WP)
                | flag(smep && !wp, SMEP_ANDNOT_WP)
                | flag(smap && !wp, SMAP_ANDNOT_WP)
                | flag(!pae, HAS_4_BYTE_GPTE)
                | flag(!pae && pse, CR4_PSE)
                | (la57 ? 5 : longMode ? 4 : 3);
        long ext = EXT_VALID
                | (pse ? EXT_CR4_PSE : 0)
                | (longMode && (cr4 & CpuState.CR4_PKE) != 0 ? EXT_CR4_PKE : 0)
                | (smap ? EXT_CR4_SMAP : 0)
                | (smep ? EXT_CR4_SMEP : 0)
                | (la57 ? EXT_CR4_LA57 : 0)
                | (longMode ? EXT_EFER_LMA : 0);
        return ext | base;
    }

    private static int flag(boolean on, int bit) {
        return on ? bit : 0;
    }

    static int level(int role) {
        return role & LEVEL;
    }

    static int access(int role) {
        return role >>> ACCESS_SHIFT & 7;
    }

    static int quadrant(int role) {
        return (role & QUADRANT) >>> QUADRANT_SHIFT;
    }

    static boolean direct(int role) {
        return (role & DIRECT) != 0;
    }

    static boolean has4ByteGpte(int role) {
        return (role & HAS_4_BYTE_GPTE) != 0;
    }

    /** Address space: 0, or 1 in system management mode. */
    static int addressSpace(int role) {
        return role >>> SMM_SHIFT;
    }

    /** A root with another level and quadrant. */
    static int root(int role, int level, int quadrant) {
        return role & ~(LEVEL | QUADRANT) | level | quadrant << QUADRANT_SHIFT;
    }

    /**
     * The role of the table below entry {@code index} of a page. A guest's 4-byte table spans two of 512 entries, so the lower bit of the
     * index tells which half of it the shadow page is for.
     */
    static int child(int parent, int index, boolean direct, int access, int key) {
        int role = parent & ~(ACCESS | DIRECT | QUADRANT | KEY)
                | access << ACCESS_SHIFT
                | key << KEY_SHIFT
                | (direct ? DIRECT : 0);
        if (has4ByteGpte(role)) {
            role |= (index & 1) << QUADRANT_SHIFT;
        }
        return role - 1;
    }

    /** Whether a page of this role can be read again in a vCPU's context: level, access and quadrant are the page's own. */
    static boolean sameContext(int page, int vcpu) {
        return ((page ^ vcpu) & ~(LEVEL | ACCESS | QUADRANT)) == 0;
    }
}
