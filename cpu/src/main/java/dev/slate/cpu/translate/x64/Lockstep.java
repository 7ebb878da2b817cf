package dev.slate.cpu.translate.x64;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.TranslationFigures;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Decoder;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Mode;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.decode.OpFlags;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;
import dev.slate.cpu.mmu.Tlb;
import java.util.Arrays;

/**
 * Runs what translated code has done once more in the interpreter, from the same state and the same memory, and compares what comes of it:
 * every general register, the flags, the vector registers, the interrupt shadow and every page that was stored to. A stretch goes from where
 * the code is entered to where it leaves, for whatever reason; so the state at every kick, miss and fault is looked at.
 *
 * <p>What a page held is put away when the first store to it misses the TLB, which is why no page can be stored to at a stretch's begin. Other
 * processors, and devices that write memory by themselves, are not held off: meant for machines with one processor.
 */
final class Lockstep {
    /** Pages that a stretch may store to; it leaves when it needs more. */
    private static final int MOST_PAGES = 64;

    private static final int PAGE = 4096;

    /** One in so many stretches leaves at its first poll. */
    private static final int POLLS = 4;
    /** No stretch has so many instructions: who looks how long a processor stays kicks it long before. */
    private static final long MOST_INSTRUCTIONS = 1L << 32;

    private static final int VECTOR_WORDS = 64;

    // What differs: the number of a general register, or one of these.
    private static final int SAME = -1;
    private static final int FLAGS = 16;
    private static final int MXCSR = 17;
    private static final int SEGMENTS = 18;
    private static final int SEGMENT_WORDS = 11;
    private static final int VECTOR = 32;
    private static final int MEMORY = VECTOR + VECTOR_WORDS;

    /** What stands for one moment of the processor. */
    private static final class Moment {
        final long[] gpr = new long[16];
        final long[] xmm = new long[VECTOR_WORDS];
        long rip;
        long zero;
        long sign;
        long carry;
        long overflow;
        int system;
        int shadow;
        int mxcsr;
        long cr2;
        /** CPL, CS and SS, GS's bases: what SYSCALL, SYSRET and SWAPGS change. */
        final long[] segments = new long[SEGMENT_WORDS];

        private static void segments(CpuState s, long[] to) {
            to[0] = s.cpl;
            to[1] = s.segBase[CpuState.GS];
            to[2] = s.kernelGsBase;
            for (int i = 0; i < 2; i++) {
                int seg = i == 0 ? CpuState.CS : CpuState.SS;
                to[3 + 4 * i] = s.segSelector[seg];
                to[4 + 4 * i] = s.segBase[seg];
                to[5 + 4 * i] = s.segLimit[seg];
                to[6 + 4 * i] = s.segAttr[seg];
            }
        }

        void take(CpuState s) {
            System.arraycopy(s.gpr, 0, gpr, 0, 16);
            System.arraycopy(s.xmm, 0, xmm, 0, VECTOR_WORDS);
            rip = s.rip;
            zero = s.flagZero;
            sign = s.flagSign;
            carry = s.flagCarry;
            overflow = s.flagOverflow;
            system = s.flagsSystem;
            shadow = s.interruptShadow;
            mxcsr = s.mxcsr;
            cr2 = s.cr2;
            segments(s, segments);
        }

        boolean isSame(Moment m) {
            return rip == m.rip
                    && Arrays.equals(gpr, m.gpr)
                    && Arrays.equals(xmm, m.xmm)
                    && zero == m.zero
                    && sign == m.sign
                    && carry == m.carry
                    && overflow == m.overflow
                    && system == m.system
                    && shadow == m.shadow
                    && mxcsr == m.mxcsr
                    && Arrays.equals(segments, m.segments);
        }

        void put(Cpu cpu) {
            CpuState s = cpu.s;
            System.arraycopy(gpr, 0, s.gpr, 0, 16);
            System.arraycopy(xmm, 0, s.xmm, 0, VECTOR_WORDS);
            s.rip = rip;
            s.flagZero = zero;
            s.flagSign = sign;
            s.flagCarry = carry;
            s.flagOverflow = overflow;
            s.flagsSystem = system;
            s.interruptShadow = shadow;
            s.mxcsr = mxcsr;
            s.cr2 = cr2;
            s.cpl = (int) segments[0];
            s.segBase[CpuState.GS] = segments[1];
            s.kernelGsBase = segments[2];
            for (int i = 0; i < 2; i++) {
                int seg = i == 0 ? CpuState.CS : CpuState.SS;
                s.segSelector[seg] = (int) segments[3 + 4 * i];
                s.segBase[seg] = segments[4 + 4 * i];
                s.segLimit[seg] = (int) segments[5 + 4 * i];
                s.segAttr[seg] = (int) segments[6 + 4 * i];
            }
            cpu.modeChanged();
        }
    }

    private final Cpu cpu;
    private final CpuState s;
    private final StateBlock state;
    private final TranslationFigures figures;
    private final Scratch before = new Scratch((long) MOST_PAGES * PAGE);
    private final Scratch after = new Scratch((long) MOST_PAGES * PAGE);
    /** A kick word that is always set, which code polls in place of the processor's now and then. */
    private final Scratch kicks = new Scratch(8);

    private final long[] linear = new long[MOST_PAGES];
    private final long[] host = new long[MOST_PAGES];
    private int pages;
    private final Moment first = new Moment();
    private final Moment last = new Moment();
    private final CpuState forFlags = new CpuState();
    private long random = 0x9e37_79b9_7f4a_7c15L;
    private boolean open;
    private final long[] segmentsNow = new long[SEGMENT_WORDS];

    private final Decoder decoder;
    /** Status flags that the instructions so far have left undefined. */
    private int undefined;
    /** Those that may stand in registers and memory, too. */
    private int spread;

    Lockstep(Cpu cpu, StateBlock state) {
        this.cpu = cpu;
        this.s = cpu.s;
        this.state = state;
        this.figures = cpu.translation;
        this.decoder = new Decoder(cpu.features);
        HostMemory.put32(kicks.hva(), 1);
    }

    /** The same numbers each time: what differs differs again. */
    private int random(int bound) {
        random ^= random << 13;
        random ^= random >>> 7;
        random ^= random << 17;
        return (int) (random >>> 33) % bound;
    }

    /** Code is about to run, from what the processor's state holds. */
    void begin() {
        first.take(s);
        pages = 0;
        state.put64(StateBlock.KICK, random(POLLS) == 0 ? kicks.hva() : cpu.kickAddress);
        open = true;
    }

    /** Whether the processor is to leave the guest. */
    boolean isKicked() {
        return HostMemory.get32(cpu.kickAddress) != 0;
    }

    /** Whether the processor's tables may be walked now: that writes to them, which is not to be taken back. */
    boolean mayWalk() {
        return pages == 0;
    }

    /** Whether the TLB is to be emptied before an access that missed is tried again. */
    boolean empties() {
        return random(64) == 0;
    }

    /** Puts away what a page holds that can be stored to from now on; false when there are too many. */
    boolean stores(long la, long hva) {
        long page = hva & -(long) PAGE;
        boolean known = false;
        for (int i = 0; i < pages; i++) {
            known |= host[i] == page;
        }
        if (pages == MOST_PAGES) {
            return false;
        }
        linear[pages] = la;
        if (!known) {
            HostMemory.copy(page, before.hva() + (long) pages * PAGE, PAGE);
        }
        // A second address of one page is kept for its TLB entry alone.
        host[pages++] = known ? 0 : page;
        return true;
    }

    /**
     * Code has left, and its state is back in the processor's: compares, and leaves the state as it is.
     *
     * @param string rip is that of a repeated MOVS or STOS, of which the code may have done a part
     */
    void end(boolean string) {
        if (!open) {
            return;
        }
        open = false;
        for (int i = 0; i < pages; i++) {
            state.clearTlbPage(cpu.world.number(), linear[i]);
        }
        last.take(s);
        if (first.isSame(last) && !hasStored()) {
            // It left before its first instruction.
            return;
        }
        for (int i = 0; i < pages; i++) {
            if (host[i] != 0) {
                HostMemory.copy(host[i], after.hva() + (long) i * PAGE, PAGE);
            }
        }
        if (!repeats(string)) {
            repeatsStepping(string);
            // What the manual leaves open is as the code has made it.
            last.put(cpu);
            for (int i = 0; i < pages; i++) {
                if (host[i] != 0) {
                    HostMemory.copy(after.hva() + (long) i * PAGE, host[i], PAGE);
                }
            }
        }
        // The page fault that code may have left for has loaded it already; code does not.
        s.cr2 = last.cr2;
    }

    /** State and memory are as they were when the code was entered. */
    private void rewind() {
        first.put(cpu);
        for (int i = 0; i < pages; i++) {
            if (host[i] != 0) {
                HostMemory.copy(before.hva() + (long) i * PAGE, host[i], PAGE);
            }
        }
    }

    /** Does it again, block by block; false: something differs, or may only differ in what the manual leaves open. */
    private boolean repeats(boolean string) {
        rewind();
        for (long n = 0; n < MOST_INSTRUCTIONS; ) {
            if (s.rip == last.rip) {
                if (different(0, 0) == SAME) {
                    figures.compared += n;
                    return true;
                }
                if (string && mayBePart(CpuState.STATUS_FLAGS)) {
                    if (restOfString() == CpuExit.NONE && different(0, 0) == SAME) {
                        figures.compared += n + 1;
                        return true;
                    }
                    return false;
                }
                if (different(CpuState.STATUS_FLAGS, CpuState.STATUS_FLAGS) == SAME) {
                    return false;
                }
            }
            int done = cpu.forTranslator.interpretUpTo(last.rip);
            if (done < 0) {
                return false;
            }
            n += done;
        }
        return false;
    }

    /**
     * Does it again, instruction by instruction, for who must be told what differs, or when status flags do: those that an instruction leaves
     * undefined need not be the interpreter's, neither in RFLAGS nor where PUSHF and LAHF have brought them.
     */
    private void repeatsStepping(boolean string) {
        rewind();
        undefined = 0;
        spread = 0;
        String nearest = "";
        for (long n = 0; n < MOST_INSTRUCTIONS; n++) {
            if (s.rip == last.rip) {
                boolean part = string && mayBePart(spread);
                int exit = part ? restOfString() : CpuExit.NONE;
                int where = different(undefined, spread);
                if (exit == CpuExit.NONE && where == SAME) {
                    figures.compared += part ? n + 1 : n;
                    return;
                }
                String now = "; after " + n + " instructions it is there, but " + text(where);
                // The first place of those that a loop comes to, and the last.
                int second = nearest.indexOf(';', 1);
                nearest = (second < 0 ? nearest : nearest.substring(0, second)) + now;
                if (part) {
                    throw differs("the string is not where the interpreter would have it", nearest);
                }
            }
            noteUndefined();
            int exit = cpu.forTranslator.interpretOne();
            if (exit != CpuExit.NONE) {
                throw differs("the interpreter leaves with " + exit, nearest);
            }
        }
        throw differs("the interpreter never comes there", nearest);
    }

    /** What the instruction at hand does to {@link #undefined} and {@link #spread}. */
    private void noteUndefined() {
        long hva = cpu.walker.translate(s.rip, Tlb.FETCH, cpu.tlbMode & (Tlb.USER | Tlb.SMAP), true);
        Block b = hva < 0 ? null : decoder.decode(hva, PAGE - ((int) hva & PAGE - 1), Mode.BITS64);
        if (b == null) {
            // It goes on on the next page.
            undefined = CpuState.STATUS_FLAGS;
            return;
        }
        int op = Insn.op(b.code[0]);
        int leaves = flags(OpFlags.undefined(op));
        if (op >= Op.SHL && op <= Op.SHRD) {
            // By a count of zero they write nothing; by others OF, and CF behind all bits, are undefined.
            undefined |= leaves | CpuState.OF | CpuState.CF;
        } else if (op == Op.POPF || op == Op.SAHF) {
            undefined = spread;
        } else if (op != Op.CMPS && op != Op.SCAS) {
            undefined = undefined & ~flags(OpFlags.written(op)) | leaves;
        }
        if (op == Op.PUSHF || op == Op.LAHF) {
            spread |= undefined;
        }
    }

    /** RFLAGS' bits of {@link OpFlags}'. */
    private static int flags(int set) {
        return (set & 1) << 11 | (set & 2) << 6 | (set & 4) << 4 | (set & 8) << 1 | set >> 2 & 4 | set >> 5 & 1;
    }

    /** The interpreter is at the string of which the code has done a part, and would do all of it: does that part. */
    private int restOfString() {
        long left = last.gpr[CpuState.RCX];
        s.gpr[CpuState.RCX] -= left;
        int exit;
        do {
            // Whoever kicks the processor stops its strings.
            exit = cpu.forTranslator.interpretOne();
        } while (exit == CpuExit.NONE && s.rip == last.rip);
        s.gpr[CpuState.RCX] += left;
        s.rip = last.rip;
        return exit;
    }

    private boolean hasStored() {
        for (int i = 0; i < pages; i++) {
            for (int at = 0; at < PAGE && host[i] != 0; at += 8) {
                if (HostMemory.get64(host[i] + at) != HostMemory.get64(before.hva() + (long) i * PAGE + at)) {
                    return true;
                }
            }
        }
        return false;
    }

    /**
     * Whether the code that left at the string that the interpreter is at may have been here before, when more of it was left: in this round of a
     * loop, for which the registers that a string leaves alone speak.
     *
     * @param spread status flags, in whatever holds them, that may differ
     */
    private boolean mayBePart(int spread) {
        for (int i = 0; i < 16; i++) {
            boolean string = i == CpuState.RCX || i == CpuState.RSI || i == CpuState.RDI;
            if (!string && ((s.gpr[i] ^ last.gpr[i]) & ~(long) spread) != 0) {
                return false;
            }
        }
        long left = last.gpr[CpuState.RCX];
        long items = s.gpr[CpuState.RCX] - left;
        long bytes = last.gpr[CpuState.RDI] - s.gpr[CpuState.RDI];
        return left != 0
                && Long.compareUnsigned(left, s.gpr[CpuState.RCX]) < 0
                && (bytes == items || bytes == items * 2 || bytes == items * 4 || bytes == items * 8);
    }

    /**
     * Where the interpreter has come to something else than the code, at the place where that left; {@link #SAME}: nowhere.
     *
     * @param undefined status flags that may differ
     * @param spread the same, in whatever holds them
     */
    private int different(int undefined, int spread) {
        for (int i = 0; i < 16; i++) {
            if (((s.gpr[i] ^ last.gpr[i]) & ~(long) spread) != 0) {
                return i;
            }
        }
        if (((s.rflags() ^ flagsOf(last)) & ~(long) undefined) != 0 || s.interruptShadow != last.shadow) {
            return FLAGS;
        }
        if (s.mxcsr != last.mxcsr) {
            return MXCSR;
        }
        Moment.segments(s, segmentsNow);
        if (!Arrays.equals(segmentsNow, last.segments)) {
            return SEGMENTS;
        }
        int part = Arrays.mismatch(s.xmm, 0, VECTOR_WORDS, last.xmm, 0, VECTOR_WORDS);
        if (part >= 0) {
            return VECTOR + part;
        }
        for (int i = 0; i < pages; i++) {
            for (int at = 0; at < PAGE && host[i] != 0; at += 8) {
                if (((HostMemory.get64(host[i] + at) ^ HostMemory.get64(after.hva() + (long) i * PAGE + at))
                                & ~(long) spread)
                        != 0) {
                    return MEMORY + i * PAGE + at;
                }
            }
        }
        return SAME;
    }

    private String text(int where) {
        if (where >= MEMORY) {
            int i = (where - MEMORY) / PAGE;
            int at = (where - MEMORY) % PAGE;
            return "memory at " + Long.toHexString((linear[i] & -(long) PAGE) + at) + " is "
                    + Long.toHexString(HostMemory.get64(after.hva() + where - MEMORY)) + " and not "
                    + Long.toHexString(HostMemory.get64(host[i] + at));
        }
        if (where >= VECTOR) {
            int i = where - VECTOR;
            return "vector register " + i / 4 + " has " + Long.toHexString(last.xmm[i]) + " and not "
                    + Long.toHexString(s.xmm[i]) + " in its part " + i % 4;
        }
        return switch (where) {
            case SAME -> "leaves the guest";
            case MXCSR -> "MXCSR is " + Integer.toHexString(last.mxcsr) + " and not " + Integer.toHexString(s.mxcsr);
            case SEGMENTS ->
                "CPL, GS's bases, CS and SS are " + Arrays.toString(last.segments) + " and not "
                        + Arrays.toString(segmentsNow);
            case FLAGS ->
                "flags are " + Long.toHexString(flagsOf(last)) + " and not " + Long.toHexString(s.rflags())
                        + ", shadow " + last.shadow + " and " + s.interruptShadow;
            default ->
                "register " + where + " is " + Long.toHexString(last.gpr[where]) + " and not "
                        + Long.toHexString(s.gpr[where]);
        };
    }

    private long flagsOf(Moment m) {
        forFlags.flagZero = m.zero;
        forFlags.flagSign = m.sign;
        forFlags.flagCarry = m.carry;
        forFlags.flagOverflow = m.overflow;
        forFlags.flagsSystem = m.system;
        return forFlags.rflags();
    }

    private IllegalStateException differs(String what, String nearest) {
        return new IllegalStateException("translated code from " + Long.toHexString(first.rip) + " to "
                + Long.toHexString(last.rip) + " does not do what the interpreter does: " + what + nearest
                + "; registers at first " + registers(first) + ", at last " + registers(last));
    }

    private String registers(Moment m) {
        StringBuilder b = new StringBuilder();
        for (long r : m.gpr) {
            b.append(Long.toHexString(r)).append(' ');
        }
        return b.append("flags ").append(Long.toHexString(flagsOf(m))).toString();
    }
}
