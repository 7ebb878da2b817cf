package dev.slate.kvm.nested;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.LittleEndian;

/** A copy of a guest's virtual machine control block: where its fields lie (APM 2 appendix B), and what stands in them. */
final class Vmcb {
    /** One page. */
    static final int BYTES = 4096;

    // The control area. The first six words are the intercepts.
    static final int IOPM_BASE = 0x40;
    static final int MSRPM_BASE = 0x48;
    static final int TSC_OFFSET = 0x50;
    static final int ASID = 0x58;
    static final int TLB_CONTROL = 0x5c;
    static final int INT_CTL = 0x60;
    static final int INT_VECTOR = 0x64;
    static final int INT_STATE = 0x68;
    static final int EXIT_CODE = 0x70;
    static final int EXIT_INFO_1 = 0x78;
    static final int EXIT_INFO_2 = 0x80;
    static final int EXIT_INT_INFO = 0x88;
    static final int NESTED_CTL = 0x90;
    static final int EVENT_INJ = 0xa8;
    static final int NESTED_CR3 = 0xb0;
    static final int CLEAN = 0xc0;
    static final int NEXT_RIP = 0xc8;

    /** End of the control area's fields. */
    static final int CONTROL_BYTES = 0xe0;

    /** Left to software, Hyper-V's enlightenments: their control word (Hyper-V's specification, HV_SVM_ENLIGHTENED_VMCB_FIELDS). */
    static final int ENLIGHTENMENTS = 0x3e0;

    // The state-save area. ES, CS, SS, DS, FS, GS stand first, in the processor's numbering.
    static final int SAVE = 0x400;
    static final int SEGMENTS = SAVE;
    static final int GDTR = SAVE + 0x60;
    static final int LDTR = SAVE + 0x70;
    static final int IDTR = SAVE + 0x80;
    static final int TR = SAVE + 0x90;
    static final int CPL = SAVE + 0xcb;
    static final int EFER = SAVE + 0xd0;
    static final int CR4 = SAVE + 0x148;
    static final int CR3 = SAVE + 0x150;
    static final int CR0 = SAVE + 0x158;
    static final int DR7 = SAVE + 0x160;
    static final int DR6 = SAVE + 0x168;
    static final int RFLAGS = SAVE + 0x170;
    static final int RIP = SAVE + 0x178;
    static final int RSP = SAVE + 0x1d8;
    static final int RAX = SAVE + 0x1f8;
    static final int STAR = SAVE + 0x200;
    static final int LSTAR = SAVE + 0x208;
    static final int CSTAR = SAVE + 0x210;
    static final int SFMASK = SAVE + 0x218;
    static final int KERNEL_GS_BASE = SAVE + 0x220;
    static final int SYSENTER_CS = SAVE + 0x228;
    static final int SYSENTER_ESP = SAVE + 0x230;
    static final int SYSENTER_EIP = SAVE + 0x238;
    static final int CR2 = SAVE + 0x240;
    static final int G_PAT = SAVE + 0x268;
    static final int SEGMENT_BYTES = 16;

    /** End of what VMLOAD loads. */
    static final int HIDDEN_END = SYSENTER_EIP + 8;
    /** End of what VMRUN loads. */
    static final int LOADED_BYTES = G_PAT + 8;

    final byte[] bytes;

    /** @param size {@link #BYTES}, or 0 where there will be none */
    Vmcb(int size) {
        bytes = new byte[size];
    }

    /** NP_ENABLE. */
    boolean nestedPaging() {
        return (get32(NESTED_CTL) & 1) != 0;
    }

    int get32(int at) {
        return LittleEndian.getInt(bytes, at);
    }

    long get64(int at) {
        return LittleEndian.getLong(bytes, at);
    }

    void put32(int at, int v) {
        LittleEndian.putInt(bytes, at, v);
    }

    void put64(int at, long v) {
        LittleEndian.putLong(bytes, at, v);
    }

    /** Copies some bytes to the VMCB itself, whose page is at {@code hva}. */
    void copyTo(long hva, int from, int count) {
        int end = from + count;
        int at = from;
        for (; at <= end - 8; at += 8) {
            HostMemory.put64(hva + at, get64(at));
        }
        for (; at < end; at++) {
            HostMemory.put8(hva + at, bytes[at]);
        }
    }

    /** The descriptor's attributes stand close together: its bits 40 to 47 and 52 to 55. */
    void putSegment(int at, CpuState s, int register) {
        int attr = s.segAttr[register];
        int packed = attr & 0xff | attr >>> 4 & 0xf00;
        if ((attr & CpuState.ATTR_UNUSABLE) != 0) {
            packed &= ~CpuState.ATTR_P;
        }
        put32(at, s.segSelector[register] & 0xffff | packed << 16);
        put32(at + 4, s.segLimit[register]);
        put64(at + 8, s.segBase[register]);
    }

    void getSegment(int at, CpuState s, int register) {
        int word = get32(at);
        int packed = word >>> 16;
        s.segSelector[register] = word & 0xffff;
        s.segAttr[register] =
                packed & 0xff | (packed & 0xf00) << 4 | ((packed & CpuState.ATTR_P) == 0 ? CpuState.ATTR_UNUSABLE : 0);
        s.segLimit[register] = get32(at + 4);
        s.segBase[register] = get64(at + 8);
    }

    /** GDTR or IDTR. */
    void putTable(int at, long base, int limit) {
        put32(at, 0);
        put32(at + 4, limit & 0xffff);
        put64(at + 8, base);
    }

    /** Loads into a processor what VMRUN loads of the state-save area, and #VMEXIT of the host's. RFLAGS, RIP, RSP and RAX among it. */
    void load(CpuState s) {
        for (int r = CpuState.ES; r <= CpuState.DS; r++) {
            getSegment(SEGMENTS + SEGMENT_BYTES * r, s, r);
        }
        s.gdtLimit = get32(GDTR + 4) & 0xffff;
        s.gdtBase = canonical(get64(GDTR + 8));
        s.idtLimit = get32(IDTR + 4) & 0xffff;
        s.idtBase = canonical(get64(IDTR + 8));
        s.cpl = bytes[CPL] & 3;
        s.efer = get64(EFER);
        s.cr0 = get64(CR0);
        s.cr3 = get64(CR3);
        s.cr4 = get64(CR4);
        s.setRflags(get64(RFLAGS));
        s.rip = get64(RIP);
        s.gpr[CpuState.RSP] = get64(RSP);
        s.gpr[CpuState.RAX] = get64(RAX);
    }

    /** The other way. */
    void save(CpuState s) {
        for (int r = CpuState.ES; r <= CpuState.DS; r++) {
            putSegment(SEGMENTS + SEGMENT_BYTES * r, s, r);
        }
        putTable(GDTR, s.gdtBase, s.gdtLimit);
        putTable(IDTR, s.idtBase, s.idtLimit);
        bytes[CPL] = (byte) s.cpl;
        put64(EFER, s.efer);
        put64(CR0, s.cr0);
        put64(CR3, s.cr3);
        put64(CR4, s.cr4);
        put64(RFLAGS, s.rflags());
        put64(RIP, s.rip);
        put64(RSP, s.gpr[CpuState.RSP]);
        put64(RAX, s.gpr[CpuState.RAX]);
    }

    /** What VMLOAD loads (APM 3). */
    void loadHidden(CpuState s) {
        getSegment(SEGMENTS + SEGMENT_BYTES * CpuState.FS, s, CpuState.FS);
        getSegment(SEGMENTS + SEGMENT_BYTES * CpuState.GS, s, CpuState.GS);
        getSegment(LDTR, s, CpuState.LDTR);
        getSegment(TR, s, CpuState.TR);
        for (int r = CpuState.FS; r <= CpuState.TR; r++) {
            s.segBase[r] = canonical(s.segBase[r]);
        }
        s.kernelGsBase = canonical(get64(KERNEL_GS_BASE));
        s.star = get64(STAR);
        s.lstar = canonical(get64(LSTAR));
        s.cstar = canonical(get64(CSTAR));
        s.sfmask = get64(SFMASK);
        s.sysenterCs = get64(SYSENTER_CS);
        // AMD keeps 32 bits of these (APM 2 6.1.1).
        s.sysenterEsp = get64(SYSENTER_ESP) & 0xffff_ffffL;
        s.sysenterEip = get64(SYSENTER_EIP) & 0xffff_ffffL;
    }

    /** What VMSAVE stores. */
    void saveHidden(CpuState s) {
        putSegment(SEGMENTS + SEGMENT_BYTES * CpuState.FS, s, CpuState.FS);
        putSegment(SEGMENTS + SEGMENT_BYTES * CpuState.GS, s, CpuState.GS);
        putSegment(LDTR, s, CpuState.LDTR);
        putSegment(TR, s, CpuState.TR);
        put64(KERNEL_GS_BASE, s.kernelGsBase);
        put64(STAR, s.star);
        put64(LSTAR, s.lstar);
        put64(CSTAR, s.cstar);
        put64(SFMASK, s.sfmask);
        put64(SYSENTER_CS, s.sysenterCs);
        put64(SYSENTER_ESP, s.sysenterEsp);
        put64(SYSENTER_EIP, s.sysenterEip);
    }

    /** Loads of bases extend the sign from bit 47 (APM 2 15.5.1); from bit 56 with 5-level paging, where nothing is lost. */
    private static long canonical(long base) {
        return base << 7 >> 7 == base ? base : base << 16 >> 16;
    }
}
