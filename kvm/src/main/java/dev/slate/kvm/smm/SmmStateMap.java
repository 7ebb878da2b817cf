package dev.slate.kvm.smm;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.cpuid.ControlRegisters;

/**
 * The state-save area that SMI fills and RSM reads: the upper half KiB of SMRAM's 64 KiB, in AMD's 64-bit form (APM 2 table 10-1), or in
 * the 32-bit form (SDM 3C table 34-1, with what it calls reserved used as firmware for QEMU and KVM knows it) where the guest has no long
 * mode.
 *
 * <p>Segment attributes of the 64-bit form are {@link CpuState}'s own: descriptor bits 40 to 55.
 */
final class SmmStateMap {
    /** From SMBASE. */
    static final int OFFSET = 0xfe00;

    static final int BYTES = 512;

    // From OFFSET. ES, CS, SS, DS, FS and GS stand first, 16 bytes each, in the processor's numbering.
    private static final int GDTR = 0x60;
    private static final int LDTR = 0x70;
    private static final int IDTR = 0x80;
    private static final int TR = 0x90;
    /** A reserved byte, in which KVM keeps the interrupt shadow since 6.2. */
    private static final int INTERRUPT_SHADOW = 0xcb;

    private static final int EFER = 0xd0;
    private static final int REVISION = 0xfc;
    private static final int SMBASE = 0x100;
    private static final int CR4 = 0x148;
    private static final int CR3 = 0x150;
    private static final int CR0 = 0x158;
    private static final int DR7 = 0x160;
    private static final int DR6 = 0x168;
    private static final int RFLAGS = 0x170;
    private static final int RIP = 0x178;
    /** RAX; the others lie below it. */
    private static final int RAX = 0x1f8;

    /** SMBASE relocation is there; the form is AMD's 64-bit one. */
    private static final int REVISION_64 = 0x20064;

    private static final int SMBASE_32 = 0xf8;
    private static final int CR4_32 = 0x114;
    /** As {@link #INTERRUPT_SHADOW}. */
    private static final int INTERRUPT_SHADOW_32 = 0x11a;

    private static final int IDTR_32 = 0x154;
    private static final int TR_32 = 0x15c;
    private static final int GDTR_32 = 0x170;
    private static final int LDTR_32 = 0x178;
    private static final int SELECTORS_32 = 0x1a8;
    private static final int LDTR_SELECTOR_32 = 0x1c0;
    private static final int TR_SELECTOR_32 = 0x1c4;
    private static final int DR7_32 = 0x1c8;
    private static final int DR6_32 = 0x1cc;
    private static final int EAX_32 = 0x1d0;
    private static final int EIP_32 = 0x1f0;
    private static final int EFLAGS_32 = 0x1f4;
    private static final int CR3_32 = 0x1f8;
    private static final int CR0_32 = 0x1fc;
    private static final int REVISION_32 = 0x20000;

    private static final long EFER_VALID = CpuState.EFER_SCE | CpuState.EFER_LME | CpuState.EFER_LMA | CpuState.EFER_NX;
    private static final int ATTRS = 0xf0ff;

    private final byte[] map = new byte[BYTES];
    private final boolean wide;
    private final long eferMore;

    /**
     * @param wide the 64-bit form
     * @param svm whether EFER.SVME may be set
     */
    SmmStateMap(boolean wide, boolean svm) {
        this.wide = wide;
        this.eferMore = svm ? CpuState.EFER_SVME : 0;
    }

    /** The area's bytes. */
    byte[] bytes() {
        return map;
    }

    /** The SMBASE that RSM takes. */
    int smbase() {
        return int32(wide ? SMBASE : SMBASE_32);
    }

    void save(CpuState s, int smbase) {
        if (wide) {
            save64(s, smbase);
        } else {
            save32(s, smbase);
        }
    }

    /**
     * Loads what was saved, or what the handler has made of it.
     *
     * @param cr4Reserved bits that CR4 cannot have
     * @param physicalBits of the guest's addresses
     * @return false: the registers cannot stand together, and the processor shuts down (APM 2 10.4); some are loaded then
     */
    boolean load(CpuState s, long cr4Reserved, int physicalBits) {
        return wide ? load64(s, cr4Reserved, physicalBits) : load32(s, cr4Reserved, physicalBits);
    }

    // ------------------------------------------------------------------ 64-bit

    private void save64(CpuState s, int smbase) {
        for (int i = 0; i < 16; i++) {
            put64(RAX - 8 * i, s.gpr[i]);
        }
        put64(RIP, s.rip);
        put64(RFLAGS, s.rflags());
        put64(DR6, s.dr6);
        put64(DR7, s.dr7);
        put64(CR0, s.cr0);
        put64(CR3, s.cr3);
        put64(CR4, s.cr4);
        put64(EFER, s.efer);
        put32(SMBASE, smbase);
        put32(REVISION, REVISION_64);
        map[INTERRUPT_SHADOW] = (byte) s.interruptShadow;
        for (int i = 0; i < 6; i++) {
            saveSegment(16 * i, s, i);
        }
        saveSegment(LDTR, s, CpuState.LDTR);
        saveSegment(TR, s, CpuState.TR);
        put32(GDTR + 4, s.gdtLimit & 0xffff);
        put64(GDTR + 8, s.gdtBase);
        put32(IDTR + 4, s.idtLimit & 0xffff);
        put64(IDTR + 8, s.idtBase);
    }

    private void saveSegment(int at, CpuState s, int seg) {
        put32(at, s.segSelector[seg] & 0xffff | (s.segAttr[seg] & ATTRS) << 16);
        put32(at + 4, s.segLimit[seg]);
        put64(at + 8, s.segBase[seg]);
    }

    private boolean load64(CpuState s, long cr4Reserved, int physicalBits) {
        long dr6 = int64(DR6);
        long dr7 = int64(DR7);
        boolean longMode = (int64(EFER) & CpuState.EFER_LME) != 0 && (int64(CR0) & CpuState.CR0_PG) != 0;
        long efer = int64(EFER) & ~CpuState.EFER_LMA | (longMode ? CpuState.EFER_LMA : 0);
        if ((efer & ~(EFER_VALID | eferMore)) != 0
                || !loadControl(s, int64(CR0), int64(CR3), int64(CR4), efer, cr4Reserved, physicalBits)) {
            return false;
        }
        for (int i = 0; i < 16; i++) {
            s.gpr[i] = int64(RAX - 8 * i);
        }
        for (int i = 0; i < 6; i++) {
            loadSegment(16 * i, s, i);
        }
        loadSegment(LDTR, s, CpuState.LDTR);
        loadSegment(TR, s, CpuState.TR);
        s.gdtLimit = int32(GDTR + 4) & 0xffff;
        s.gdtBase = int64(GDTR + 8);
        s.idtLimit = int32(IDTR + 4) & 0xffff;
        s.idtBase = int64(IDTR + 8);
        s.interruptShadow = map[INTERRUPT_SHADOW] & 3;
        return finish(s, int64(RIP), int64(RFLAGS), dr6, dr7);
    }

    private void loadSegment(int at, CpuState s, int seg) {
        setSegment(s, seg, int32(at), int32(at) >>> 16, int32(at + 4), int64(at + 8));
    }

    // ------------------------------------------------------------------ 32-bit

    private void save32(CpuState s, int smbase) {
        for (int i = 0; i < 8; i++) {
            put32(EAX_32 + 4 * i, (int) s.gpr[i]);
        }
        put32(EIP_32, (int) s.rip);
        put32(EFLAGS_32, (int) s.rflags());
        put32(DR6_32, (int) s.dr6);
        put32(DR7_32, (int) s.dr7);
        put32(CR0_32, (int) s.cr0);
        put32(CR3_32, (int) s.cr3);
        put32(CR4_32, (int) s.cr4);
        put32(SMBASE_32, smbase);
        put32(REVISION, REVISION_32);
        map[INTERRUPT_SHADOW_32] = (byte) s.interruptShadow;
        for (int i = 0; i < 6; i++) {
            put32(SELECTORS_32 + 4 * i, s.segSelector[i]);
            saveHidden(hidden32(i), s, i);
        }
        put32(LDTR_SELECTOR_32, s.segSelector[CpuState.LDTR]);
        saveHidden(LDTR_32, s, CpuState.LDTR);
        put32(TR_SELECTOR_32, s.segSelector[CpuState.TR]);
        saveHidden(TR_32, s, CpuState.TR);
        put32(GDTR_32, s.gdtLimit & 0xffff);
        put32(GDTR_32 + 4, (int) s.gdtBase);
        put32(IDTR_32, s.idtLimit & 0xffff);
        put32(IDTR_32 + 4, (int) s.idtBase);
    }

    private static int hidden32(int seg) {
        return seg < CpuState.DS ? 0x184 + 12 * seg : 0x12c + 12 * (seg - CpuState.DS);
    }

    private void saveHidden(int at, CpuState s, int seg) {
        put32(at, (s.segAttr[seg] & ATTRS) << 8);
        put32(at + 4, s.segLimit[seg]);
        put32(at + 8, (int) s.segBase[seg]);
    }

    private boolean load32(CpuState s, long cr4Reserved, int physicalBits) {
        long cr3 = int32(CR3_32) & 0xffff_ffffL;
        if (!loadControl(
                s,
                int32(CR0_32) & 0xffff_ffffL,
                cr3,
                int32(CR4_32) & 0xffff_ffffL,
                s.efer & CpuState.EFER_NX,
                cr4Reserved,
                physicalBits)) {
            return false;
        }
        s.interruptShadow = map[INTERRUPT_SHADOW_32] & 3;
        for (int i = 0; i < 8; i++) {
            s.gpr[i] = int32(EAX_32 + 4 * i) & 0xffff_ffffL;
        }
        for (int i = 0; i < 6; i++) {
            loadHidden(hidden32(i), int32(SELECTORS_32 + 4 * i), s, i);
        }
        loadHidden(LDTR_32, int32(LDTR_SELECTOR_32), s, CpuState.LDTR);
        loadHidden(TR_32, int32(TR_SELECTOR_32), s, CpuState.TR);
        s.gdtLimit = int32(GDTR_32) & 0xffff;
        s.gdtBase = int32(GDTR_32 + 4) & 0xffff_ffffL;
        s.idtLimit = int32(IDTR_32) & 0xffff;
        s.idtBase = int32(IDTR_32 + 4) & 0xffff_ffffL;
        return finish(
                s,
                int32(EIP_32) & 0xffff_ffffL,
                int32(EFLAGS_32),
                int32(DR6_32) & 0xffff_ffffL,
                int32(DR7_32) & 0xffff_ffffL);
    }

    private void loadHidden(int at, int selector, CpuState s, int seg) {
        setSegment(s, seg, selector, int32(at) >>> 8, int32(at + 4), int32(at + 8) & 0xffff_ffffL);
    }

    // ------------------------------------------------------------------ both

    private static boolean loadControl(
            CpuState s, long cr0, long cr3, long cr4, long efer, long cr4Reserved, int physicalBits) {
        Sregs r = new Sregs();
        r.cr0 = cr0;
        r.cr3 = cr3;
        r.cr4 = cr4;
        r.efer = efer;
        if (!ControlRegisters.valid(r, cr4Reserved, physicalBits)) {
            return false;
        }
        s.cr0 = cr0 | CpuState.CR0_ET;
        s.cr3 = cr3;
        s.cr4 = cr4;
        s.efer = efer;
        return true;
    }

    private static void setSegment(CpuState s, int seg, int selector, int attr, int limit, long base) {
        s.segSelector[seg] = selector & 0xffff;
        s.segAttr[seg] = attr & ATTRS | ((attr & CpuState.ATTR_P) == 0 ? CpuState.ATTR_UNUSABLE : 0);
        s.segLimit[seg] = limit;
        s.segBase[seg] = base;
    }

    private static boolean finish(CpuState s, long rip, long rflags, long dr6, long dr7) {
        if (dr6 >>> 32 != 0 || dr7 >>> 32 != 0) {
            return false;
        }
        s.dr6 = dr6 & 0xe00f | CpuState.DR6_ACTIVE_LOW;
        s.dr7 = dr7 & 0xffff_23ffL | 0x400;
        s.rip = rip;
        s.setRflags(rflags);
        s.cpl = s.segAttr[CpuState.SS] >> CpuState.ATTR_DPL_SHIFT & 3;
        s.settlePrivilege();
        return true;
    }

    private long int64(int at) {
        return LittleEndian.getLong(map, at);
    }

    private int int32(int at) {
        return LittleEndian.getInt(map, at);
    }

    private void put64(int at, long v) {
        LittleEndian.putLong(map, at, v);
    }

    private void put32(int at, int v) {
        LittleEndian.putInt(map, at, v);
    }
}
