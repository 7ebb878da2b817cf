package dev.slate.cpu.translate.x64;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Encoding;
import dev.slate.cpu.decode.Feature;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.mmu.Tlb;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;

/**
 * Which instructions become host code, and what of theirs the operand letters do not say. Everything else is the interpreter's.
 *
 * <p>Integer instructions are listed. Vector instructions are translated as they come, but for those in {@link #VECTOR_LEFT}: their
 * registers keep their numbers, so that only the memory operand changes.
 */
final class Shapes {
    /** Bits of a page's mode above the TLB's: SSE and AVX instructions raise neither #NM nor #UD, nor a floating-point exception. */
    static final int SSE = 4;

    static final int AVX = 8;

    /** Of a page's mode: the code runs at CPL 0. */
    static final int RING0 = 16;

    /** Of a page's mode: a guest's hypervisor intercepts PUSHF, POPF or PAUSE, of all instructions that become host code. */
    static final int INTERCEPTED = 32;

    /** Of a page's mode: the code is a guest's guest's. */
    static final int NESTED = 64;

    /** MXCSR with every exception masked. */
    static final int MXCSR_MASKS = 0x1f80;

    private static final String[] NONE = {};

    /** Integer instructions that are their own bytes with other operands ({@link Reencoding#generic}), and need nothing but RAX beside them. */
    static final BitSet PLAIN = set(
            Op.MOV,
            Op.ADD,
            Op.OR,
            Op.ADC,
            Op.SBB,
            Op.AND,
            Op.SUB,
            Op.XOR,
            Op.CMP,
            Op.TEST,
            Op.MOVZX_8,
            Op.MOVZX_16,
            Op.MOVSX_8,
            Op.MOVSX_16,
            Op.MOVSXD,
            Op.INC,
            Op.DEC,
            Op.NEG,
            Op.NOT,
            Op.SHL,
            Op.SHR,
            Op.SAR,
            Op.ROL,
            Op.ROR,
            Op.IMUL_R,
            Op.BSWAP,
            Op.BSF,
            Op.BSR,
            Op.TZCNT,
            Op.LZCNT,
            Op.POPCNT,
            Op.MOVBE,
            Op.ANDN,
            Op.BLSI,
            Op.BLSMSK,
            Op.BLSR,
            Op.BZHI,
            Op.RORX,
            Op.SARX,
            Op.SHLX,
            Op.SHRX);

    /** Those that are code. */
    private static final BitSet INTEGER = set(
            Op.NOP,
            Op.LEA,
            Op.PUSH,
            Op.POP,
            Op.CALL_REL,
            Op.CALL_RM,
            Op.JMP_REL,
            Op.JMP_RM,
            Op.RET,
            Op.RET_IMM,
            Op.RCL,
            Op.RCR,
            Op.SHLD,
            Op.SHRD,
            Op.IMUL,
            Op.MUL,
            Op.DIV,
            Op.IDIV,
            Op.CBW,
            Op.CWD,
            Op.XCHG,
            Op.LEAVE,
            Op.BT,
            Op.BTS,
            Op.BTR,
            Op.BTC,
            Op.CMPXCHG,
            Op.CMPXCHG16B,
            Op.XADD,
            Op.PAUSE,
            Op.CLC,
            Op.STC,
            Op.CMC,
            Op.MOVNTI,
            Op.PREFETCH,
            Op.LFENCE,
            Op.MFENCE,
            Op.SFENCE,
            Op.BEXTR,
            Op.MULX,
            Op.PDEP,
            Op.PEXT,
            Op.ADCX,
            Op.ADOX,
            Op.CRC32,
            Op.CLI,
            Op.STI,
            Op.CLD,
            Op.STD,
            Op.PUSHF,
            Op.POPF,
            Op.MOVS,
            Op.STOS,
            Op.SERIALIZE,
            Op.SWAPGS,
            Op.RDTSC,
            Op.RDTSCP,
            Op.SYSCALL,
            Op.SYSRET,
            Op.INVLPG,
            Op.MOV_FROM_CR);

    static {
        PLAIN.set(Op.CMOVO, Op.CMOVNLE + 1);
        PLAIN.set(Op.SETO, Op.SETNLE + 1);
        INTEGER.set(Op.JO, Op.JNLE + 1);
        INTEGER.or(PLAIN);
    }

    /**
     * Memory accesses that depend on registers, implied general registers; one vendor's; and CVTPS2PH, whose flags are
     * set even when its store faults.
     */
    private static final BitSet VECTOR_LEFT = set(
            Op.MASKMOVQ,
            Op.MASKMOVDQU,
            Op.PCMPESTRI,
            Op.PCMPESTRM,
            Op.PCMPISTRI,
            Op.PCMPISTRM,
            Op.MASKMOVPS,
            Op.MASKMOVPD,
            Op.PMASKMOVD,
            Op.PMASKMOVQ,
            Op.GATHERDPS,
            Op.GATHERDPD,
            Op.GATHERQPS,
            Op.GATHERQPD,
            Op.PGATHERDD,
            Op.PGATHERDQ,
            Op.PGATHERQD,
            Op.PGATHERQQ,
            Op.CVTPS2PH,
            Op.EXTRQ,
            Op.INSERTQ,
            Op.MOVNTSS,
            Op.MOVNTSD);

    /** Legacy forms whose 16 bytes of memory may lie anywhere. */
    private static final BitSet UNALIGNED = set(Op.MOVUPS, Op.MOVUPD, Op.MOVDQU, Op.LDDQU);

    /** VEX forms whose memory must be aligned all the same. */
    private static final BitSet ALIGNED =
            set(Op.MOVAPS, Op.MOVAPD, Op.MOVDQA, Op.MOVNTPS, Op.MOVNTPD, Op.MOVNTDQ, Op.MOVNTDQA);

    private static final BitSet READS_FIRST = set(Op.CMP, Op.TEST, Op.BT);

    private final long hostFeatures;
    /** The host has RORX. */
    final boolean rotates;

    /** The host has YMM registers. */
    final boolean avx;

    /** The operands of a row are split once. */
    private final @Nullable String[][] split = new String[Encoding.ROWS][];

    /** @param hostFeatures {@link Feature} bits that the host's processor has */
    Shapes(long hostFeatures) {
        this.hostFeatures = hostFeatures | Feature.bit(Feature.BASE);
        avx = (hostFeatures & Feature.bit(Feature.AVX)) != 0;
        rotates = (hostFeatures & Feature.bit(Feature.BMI2)) != 0;
    }

    /** What code depends on beside its bytes: the TLB's mode, and whether vector instructions can be executed as they are. */
    int mode(Cpu cpu) {
        CpuState s = cpu.s;
        int mode = cpu.tlbMode & 3;
        if (s.cpl == 0) {
            mode |= RING0;
        }
        if (cpu.world.number() != 0) {
            mode |= NESTED;
        }
        if (cpu.intercepts.wantsPlainInstructions()) {
            mode |= INTERCEPTED;
        }
        if ((s.cr0 & (CpuState.CR0_EM | CpuState.CR0_TS)) == 0
                && (s.cr4 & CpuState.CR4_OSFXSR) != 0
                && (s.mxcsr & MXCSR_MASKS) == MXCSR_MASKS) {
            mode |= SSE;
            if (avx && (s.cr4 & CpuState.CR4_OSXSAVE) != 0 && (s.xcr0 & 6) == 6) {
                mode |= AVX;
            }
        }
        return mode;
    }

    private static BitSet set(int... ops) {
        BitSet s = new BitSet(Op.COUNT);
        for (int op : ops) {
            s.set(op);
        }
        return s;
    }

    /** The operands in the letters of the instruction table. */
    String[] operands(Encoding e) {
        String[] operands = split[e.row];
        if (operands == null) {
            operands = e.operands.isEmpty() ? NONE : e.operands.split(",");
            split[e.row] = operands;
        }
        return operands;
    }

    /** Whether the operation ends a block whatever comes of it. */
    boolean ends(int op) {
        return op >= Op.JO && op <= Op.JNLE
                || op >= Op.CALL_REL && op <= Op.RET_IMM
                || op == Op.SYSCALL
                || op == Op.SYSRET;
    }

    /** Whether an instruction becomes host code on a page of mode {@code mode}. */
    boolean translates(Encoding e, long w0, int mode) {
        int op = Insn.op(w0);
        // What code does without the instruction needs nothing of the host.
        boolean emulated = op == Op.SERIALIZE || op == Op.SYSCALL || op == Op.SYSRET || op == Op.RDTSCP;
        if ((hostFeatures >>> e.feature & 1) == 0 && !emulated) {
            return false;
        }
        int unit = Insn.unit(w0);
        if (unit == Insn.UNIT_SSE || unit == Insn.UNIT_AVX) {
            return (mode & (unit == Insn.UNIT_SSE ? SSE : AVX)) != 0 && !VECTOR_LEFT.get(op) && plain(e, w0);
        }
        if (op == Op.FNSTCW) {
            // It waits for no exception, and raises no #NM where SSE does not.
            return (mode & SSE) != 0;
        }
        return unit == Insn.UNIT_NONE && INTEGER.get(op) && integer(e, w0, op, mode);
    }

    private static boolean inBlock(int guest) {
        return guest < 16 && Registers.home(guest) == Registers.IN_BLOCK;
    }

    private boolean integer(Encoding e, long w0, int op, int mode) {
        int size = Insn.size(w0);
        boolean memory = Insn.isMemory(w0);
        switch (op) {
            case Op.PAUSE -> {
                return (mode & INTERCEPTED) == 0;
            }
            case Op.NOP, Op.PREFETCH -> {
                return true;
            }
            case Op.LEA, Op.CBW, Op.CWD, Op.CLD, Op.STD -> {
                return true;
            }
            case Op.MOVS, Op.STOS -> {
                boolean repeated = (w0 & (Insn.REP | Insn.REPNE)) != 0;
                return repeated && Insn.addressSize(w0) == 3 && Insn.segment(w0) < CpuState.FS;
            }
            case Op.SERIALIZE -> {
                return true;
            }
            case Op.SYSCALL -> {
                return (mode & Tlb.USER) != 0;
            }
            case Op.SYSRET -> {
                return (mode & RING0) != 0 && size == 3;
            }
            case Op.CLI, Op.STI, Op.SWAPGS -> {
                return (mode & RING0) != 0;
            }
            // What a guest's hypervisor may intercept.
            case Op.INVLPG -> {
                return (mode & (RING0 | NESTED)) == RING0;
            }
            case Op.RDTSC, Op.RDTSCP -> {
                return (mode & (NESTED | INTERCEPTED)) == 0;
            }
            case Op.MOV_FROM_CR -> {
                return (mode & (RING0 | NESTED)) == RING0 && Insn.reg(w0) == 2;
            }
            case Op.PUSHF, Op.POPF -> {
                return size == 3 && (mode & (RING0 | INTERCEPTED)) == RING0;
            }
            case Op.PUSH, Op.POP, Op.LEAVE, Op.CALL_REL, Op.CALL_RM, Op.JMP_REL, Op.JMP_RM, Op.RET, Op.RET_IMM -> {
                return size == 3 && !(op == Op.POP && memory);
            }
            case Op.DIV -> {
                return size >= 1;
            }
            case Op.IDIV -> {
                return size >= 2;
            }
            case Op.MUL, Op.IMUL, Op.CMPXCHG16B -> {
                return true;
            }
            case Op.CMPXCHG -> {
                int source = Insn.reg(w0);
                int to = Insn.rm(w0);
                return source < 16 && !inBlock(source) && (memory || to < 16 && !inBlock(to) && to != CpuState.RAX);
            }
            case Op.BT, Op.BTS, Op.BTR, Op.BTC -> {
                // With memory and a register the bit may lie anywhere, as far as the address has all its bits.
                return memory && Insn.form(w0) == Insn.FORM_RM_R ? Insn.addressSize(w0) == 3 : plain(e, w0);
            }
            default -> {
                if (op >= Op.JO && op <= Op.JNLE) {
                    return size == 3;
                }
                if (Insn.form(w0) == Insn.FORM_RM_CL || Insn.form(w0) == Insn.FORM_RM_R_CL) {
                    return true;
                }
                return Insn.form(w0) != Insn.FORM_MOFFS && plain(e, w0);
            }
        }
    }

    /** Whether the operands are registers that can be had together, immediates, and memory of a known size. */
    private boolean plain(Encoding e, long w0) {
        String[] operands = operands(e);
        boolean memory = Insn.isMemory(w0);
        int free = memory ? 1 : 2;
        int taken = -1;
        for (String operand : operands) {
            switch (operand.charAt(0)) {
                case 'G', 'B', 'E', 'R', 'Z' -> {
                    if (operand.charAt(0) == 'E' && memory) {
                        break;
                    }
                    int guest = switch (operand.charAt(0)) {
                        case 'G' -> Insn.reg(w0);
                        case 'B' -> Insn.vvvv(w0);
                        default -> Insn.rm(w0);
                    };
                    if ((guest >= Insn.HIGH_BYTE || inBlock(guest)) && guest != taken) {
                        free--;
                        taken = guest;
                    }
                }
                case 'V', 'W', 'U', 'H', 'L', 'I', 'M', '1' -> {}
                case 'X' -> {
                    if (!operand.equals("XMM0")) {
                        return false;
                    }
                }
                case 'A', 'r' -> {
                    if (!operand.equals("AL") && !operand.equals("rAX")) {
                        return false;
                    }
                }
                default -> {
                    return false;
                }
            }
        }
        return free >= 0 && (!memory || memorySize(e, operands) >= 0);
    }

    /** log2 of the bytes of the memory operand, -1 when the letters do not tell. */
    int memorySize(Encoding e, String[] operands) {
        for (String operand : operands) {
            char kind = operand.charAt(0);
            if (kind == 'E' || kind == 'M' || kind == 'W') {
                return e.size(operand.substring(1));
            }
        }
        return -1;
    }

    /** Whether the memory operand is written, or must be writable because it will be. */
    boolean writesMemory(int op, String[] operands) {
        char first = operands[0].charAt(0);
        return (first == 'E' || first == 'M' || first == 'W') && !READS_FIRST.get(op);
    }

    /** What the address of the memory operand, {@code size} bytes, must be a multiple of. */
    int alignment(Encoding e, long w0, int size) {
        int op = Insn.op(w0);
        int unit = Insn.unit(w0);
        if (unit == Insn.UNIT_SSE) {
            return size == 16 && !UNALIGNED.get(op) ? 16 : 1;
        }
        if (unit == Insn.UNIT_AVX) {
            return ALIGNED.get(op) ? size : 1;
        }
        // A locked access over a line's end stops every processor; the interpreter has its own way.
        return (w0 & Insn.LOCK) != 0 || op == Op.XCHG ? size : 1;
    }
}
