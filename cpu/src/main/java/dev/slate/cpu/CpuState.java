package dev.slate.cpu;

import dev.slate.cpu.decode.Mode;

/**
 * The architectural state of one processor: registers, segments, control registers, flags.
 *
 * <p>Fields are public and flat so that the JIT sees through them; invariants live with whoever writes them. Not thread-safe: only
 * the thread that runs the processor, or that holds the vCPU's mutex while it does not run, may touch it.
 *
 * <p><b>Flags</b> are lazy. The six status flags are derived from four words that an arithmetic operation stores without a branch,
 * all computed on operands sign-extended to 64 bits, so that one rule serves every operand size:
 *
 * <ul>
 *   <li>ZF = ({@link #flagZero} == 0)
 *   <li>SF = bit 63 of {@link #flagSign}; PF = even parity of its low byte
 *   <li>CF = bit 63 of {@link #flagCarry}; AF = bit 3 of it (the carry-out vector: bit i is the carry out of bit i)
 *   <li>OF = bit 63 of {@link #flagOverflow}
 * </ul>
 *
 * The other flags stand in {@link #flagsSystem} at their places in RFLAGS.
 */
public final class CpuState {
    /** DR6 bits that are one when nothing happened. */
    public static final long DR6_ACTIVE_LOW = 0xffff_0ff0L;

    public static final int RAX = 0;
    public static final int RCX = 1;
    public static final int RDX = 2;
    public static final int RBX = 3;
    public static final int RSP = 4;
    public static final int RBP = 5;
    public static final int RSI = 6;
    public static final int RDI = 7;

    // Segment registers, in the manuals' encoding; LDTR and TR follow.
    public static final int ES = 0;
    public static final int CS = 1;
    public static final int SS = 2;
    public static final int DS = 3;
    public static final int FS = 4;
    public static final int GS = 5;
    public static final int LDTR = 6;
    public static final int TR = 7;

    // RFLAGS
    public static final int CF = 1;
    public static final int RFLAGS_FIXED = 2;
    public static final int PF = 1 << 2;
    public static final int AF = 1 << 4;
    public static final int ZF = 1 << 6;
    public static final int SF = 1 << 7;
    public static final int TF = 1 << 8;
    public static final int IF = 1 << 9;
    public static final int DF = 1 << 10;
    public static final int OF = 1 << 11;
    public static final int IOPL = 3 << 12;
    public static final int NT = 1 << 14;
    public static final int RF = 1 << 16;
    public static final int VM = 1 << 17;
    public static final int AC = 1 << 18;
    public static final int VIF = 1 << 19;
    public static final int VIP = 1 << 20;
    public static final int ID = 1 << 21;
    public static final int STATUS_FLAGS = CF | PF | AF | ZF | SF | OF;
    public static final int SYSTEM_FLAGS = TF | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID;

    // CR0
    public static final long CR0_PE = 1;
    public static final long CR0_MP = 1 << 1;
    public static final long CR0_EM = 1 << 2;
    public static final long CR0_TS = 1 << 3;
    public static final long CR0_ET = 1 << 4;
    public static final long CR0_NE = 1 << 5;
    public static final long CR0_WP = 1 << 16;
    public static final long CR0_AM = 1 << 18;
    public static final long CR0_NW = 1 << 29;
    public static final long CR0_CD = 1 << 30;
    public static final long CR0_PG = 1L << 31;

    // CR4
    public static final long CR4_VME = 1;
    public static final long CR4_PVI = 1 << 1;
    public static final long CR4_TSD = 1 << 2;
    public static final long CR4_DE = 1 << 3;
    public static final long CR4_PSE = 1 << 4;
    public static final long CR4_PAE = 1 << 5;
    public static final long CR4_MCE = 1 << 6;
    public static final long CR4_PGE = 1 << 7;
    public static final long CR4_PCE = 1 << 8;
    public static final long CR4_OSFXSR = 1 << 9;
    public static final long CR4_OSXMMEXCPT = 1 << 10;
    public static final long CR4_UMIP = 1 << 11;
    public static final long CR4_LA57 = 1 << 12;
    public static final long CR4_FSGSBASE = 1 << 16;
    public static final long CR4_PCIDE = 1 << 17;
    public static final long CR4_OSXSAVE = 1 << 18;
    public static final long CR4_SMEP = 1 << 20;
    public static final long CR4_SMAP = 1 << 21;
    public static final long CR4_PKE = 1 << 22;

    // EFER
    public static final long EFER_SCE = 1;
    public static final long EFER_LME = 1 << 8;
    public static final long EFER_LMA = 1 << 10;
    public static final long EFER_NX = 1 << 11;
    public static final long EFER_SVME = 1 << 12;

    // Segment attributes: descriptor bits 40-47 and 52-55 as in KVM's and the VMCB's "ar" form.
    public static final int ATTR_TYPE = 0xf;
    public static final int ATTR_S = 1 << 4;
    public static final int ATTR_DPL_SHIFT = 5;
    public static final int ATTR_P = 1 << 7;
    public static final int ATTR_AVL = 1 << 12;
    public static final int ATTR_L = 1 << 13;
    public static final int ATTR_DB = 1 << 14;
    public static final int ATTR_G = 1 << 15;
    /** Type of code that can be read, and of data that can be written, accessed. */
    public static final int CODE_TYPE = 0xb;

    public static final int DATA_TYPE = 0x3;
    /** A null selector was loaded: the segment is unusable (VMX's bit 16). */
    public static final int ATTR_UNUSABLE = 1 << 16;

    /**
     * General registers 0..15, then {@code Insn.RIP_BASE} (16, the rip at which the running block was entered) and
     * {@code Insn.NO_REG} (17, always zero).
     */
    public final long[] gpr = new long[18];

    /** Of the next instruction between instructions; of the block's first instruction while a block runs. */
    public long rip;

    public long flagZero = 1;
    public long flagSign;
    public long flagCarry;
    public long flagOverflow;
    /** Flags other than the six status flags, at their places. */
    public int flagsSystem;

    public final int[] segSelector = new int[8];
    /** Linear base address, as loaded. 64-bit mode ignores all but FS, GS, LDTR and TR. */
    public final long[] segBase = new long[8];
    /** Limit in bytes, inclusive, granularity applied. */
    public final int[] segLimit = new int[8];

    public final int[] segAttr = new int[8];
    public long gdtBase;
    public int gdtLimit;
    public long idtBase;
    public int idtLimit;

    /** Current privilege level, 0..3 (kept apart from CS and SS as silicon does: equals SS.DPL). */
    public int cpl;

    public long cr0;
    public long cr2;
    public long cr3;
    public long cr4;
    /** Task priority, 0..15. */
    public long cr8;

    public long efer;
    public long xcr0 = 1;
    public final long[] dr = new long[4];
    public long dr6 = 0xffff_0ff0L;
    public long dr7 = 0x400;

    /** The four page-directory-pointer entries that PAE paging loads with CR3. */
    public final long[] pdptr = new long[4];

    // MSRs that instructions read.
    public long star;
    public long lstar;
    public long cstar;
    public long sfmask;
    public long kernelGsBase;
    public long sysenterCs;
    public long sysenterEsp;
    public long sysenterEip;
    public long tscAux;
    public long pat = 0x0007040600070406L;
    public int pkru;

    /**
     * Vector registers: four longs each, register r at r * 4 (XMM: the first two longs; YMM: all four). Three more belong to the
     * interpreter, for the halves of a 256-bit operation.
     */
    public final long[] xmm = new long[(16 + 3) * 4];

    public int mxcsr = 0x1f80;

    // x87. Register st(i) is physical register (top + i) & 7.
    public final long[] fpMantissa = new long[8];
    /** Sign and biased exponent, 16 bits. */
    public final int[] fpExponent = new int[8];

    public int fcw = 0x37f;
    /** Status word with TOP in bits 11-13. */
    public int fsw;
    /** One bit a physical register, 1 = valid (the abridged form of FXSAVE). */
    public int ftwValid;

    /** The last x87 instruction: its first byte's low three bits and its second byte (SDM 1 8.1.9). */
    public int fpOpcode;
    /** Its offset in the code segment, and its memory operand's in the data segment; below, the selectors. */
    public long fpIp;

    public long fpDp;
    public int fpCs;
    public int fpDs;

    /** {@link #interruptShadow}: STI has set IF. */
    public static final int SHADOW_STI = 1;
    /** {@link #interruptShadow}: MOV SS or POP SS; it holds debug traps and instruction breakpoints off as well. */
    public static final int SHADOW_SS = 2;

    /** {@code SHADOW_*}, until the next instruction has run; 0: none. */
    public int interruptShadow;
    /** NMIs are blocked until IRET. */
    public boolean nmiBlocked;

    /** A state with the fields' initial values; the hypervisor sets what a reset gives. */
    public CpuState() {}

    /** RFLAGS as PUSHF would see it, RF and VM included. */
    public long rflags() {
        int f = flagsSystem | RFLAGS_FIXED;
        if (flagCarry < 0) {
            f |= CF;
        }
        if ((Integer.bitCount((int) flagSign & 0xff) & 1) == 0) {
            f |= PF;
        }
        if ((flagCarry & 8) != 0) {
            f |= AF;
        }
        if (flagZero == 0) {
            f |= ZF;
        }
        if (flagSign < 0) {
            f |= SF;
        }
        if (flagOverflow < 0) {
            f |= OF;
        }
        return f;
    }

    /** Sets every flag from an RFLAGS image; reserved bits are ignored, bit 1 always reads as one. */
    public void setRflags(long image) {
        flagsSystem = (int) image & SYSTEM_FLAGS;
        setStatusFlags((int) image);
    }

    /** Sets the six status flags from their places in {@code image}. */
    public void setStatusFlags(int image) {
        flagZero = ~image & ZF;
        // Parity of the low byte: 0 has even parity (PF = 1), 1 has odd.
        flagSign = ((image & SF) != 0 ? Long.MIN_VALUE : 0) | ((image & PF) != 0 ? 0 : 1);
        flagCarry = ((image & CF) != 0 ? Long.MIN_VALUE : 0) | ((image & AF) != 0 ? 8 : 0);
        flagOverflow = (image & OF) != 0 ? Long.MIN_VALUE : 0;
    }

    /** CF. */
    public boolean carry() {
        return flagCarry < 0;
    }

    /** True in long mode (EFER.LMA), 64-bit and compatibility mode alike. */
    public boolean longMode() {
        return (efer & EFER_LMA) != 0;
    }

    /** True when the processor runs 64-bit code: EFER.LMA and CS.L. */
    public boolean mode64() {
        return (efer & EFER_LMA) != 0 && (segAttr[CS] & ATTR_L) != 0;
    }

    /**
     * How code is decoded, a constant of {@link Mode}: 64-bit mode's way, else as CS.D says. Real mode too goes by the D that CS was loaded
     * with before CR0.PE was cleared, since a load in real mode changes selector and base only (SDM 3A 3.4.3, 20.1.4); virtual-8086
     * mode is always 16-bit.
     */
    public int codeMode() {
        if (mode64()) {
            return Mode.BITS64;
        }
        return (segAttr[CS] & ATTR_DB) != 0 && !virtual8086() ? Mode.BITS32 : Mode.BITS16;
    }

    /** CR0.PE. */
    public boolean protectedMode() {
        return (cr0 & CR0_PE) != 0;
    }

    /** RFLAGS.VM. */
    public boolean virtual8086() {
        return (flagsSystem & VM) != 0;
    }

    /**
     * Code, stack and privilege as SYSCALL leaves them (APM 3 SYSCALL, SDM 2B SYSCALL).
     *
     * @param wide to 64-bit code, as always in long mode
     */
    public void segmentsBySyscall(boolean wide) {
        flat(CS, (int) (star >>> 32) & 0xfffc, CODE_TYPE | (wide ? ATTR_L : ATTR_DB));
        flat(SS, (int) (star >>> 32) + 8 & 0xffff, DATA_TYPE | ATTR_DB);
        cpl = 0;
    }

    /**
     * The same of SYSRET.
     *
     * @param wide to 64-bit code
     * @param intel AMD's loads no more than SS's selector: base, limit and attributes stay what the kernel's were
     */
    public void segmentsBySysret(boolean wide, boolean intel) {
        int selector = (int) (star >>> 48) & 0xffff;
        int user = 3 << ATTR_DPL_SHIFT;
        if (wide) {
            flat(CS, selector + 16 & 0xffff | 3, CODE_TYPE | ATTR_L | user);
        } else {
            flat(CS, selector | 3, CODE_TYPE | ATTR_DB | user);
        }
        if (intel) {
            flat(SS, selector + 8 & 0xffff | 3, DATA_TYPE | ATTR_DB | user);
        } else {
            segSelector[SS] = selector + 8 & 0xffff;
        }
        cpl = 3;
    }

    /** Loads a segment that begins at 0 and has no end. @param attr beside those that all have */
    public void flat(int seg, int selector, int attr) {
        segSelector[seg] = selector;
        segBase[seg] = 0;
        segLimit[seg] = -1;
        segAttr[seg] = attr | ATTR_S | ATTR_P | ATTR_G;
    }

    /** VMRUN's rule for the privilege level (APM 2 15.5.1): 0 in real mode, 3 in virtual-8086 mode, else what SS says. */
    public void settlePrivilege() {
        if (!protectedMode()) {
            cpl = 0;
        } else if (virtual8086()) {
            cpl = 3;
        }
    }
}
