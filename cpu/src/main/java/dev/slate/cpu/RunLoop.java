package dev.slate.cpu;

import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.exec.Events;
import dev.slate.cpu.exec.Interpreter;
import dev.slate.cpu.exec.QuickOp;
import dev.slate.cpu.mem.HostMemory;
import org.jspecify.annotations.Nullable;

/**
 * Goes from block to block until an exit: the one place that catches what unwinds an instruction, and that knows what stands between
 * two instructions (kicks, traps, interrupt shadows, windows).
 */
final class RunLoop {
    /** A limit of instructions that no block reaches, but that lets none follow. */
    private static final int ONE_BLOCK = Integer.MAX_VALUE - 1;

    private static final long DR6_BS = 1 << 14;
    private static final long DR7_GD = 1 << 13;

    private final Cpu cpu;
    private final CpuState s;
    private final Controls controls;
    private final DebugState debug;
    private final CodeCache code;
    private final Interpreter interpreter;
    private final Events events;

    /** Runs hot blocks; null: all code is interpreted. */
    @Nullable
    Translator translator;

    RunLoop(Cpu cpu, CodeCache code, Interpreter interpreter, Events events) {
        this.cpu = cpu;
        this.s = cpu.s;
        this.controls = cpu.controls;
        this.debug = cpu.debug;
        this.code = code;
        this.interpreter = interpreter;
        this.events = events;
    }

    /** An instruction runs, or ran last: no event is being delivered. */
    boolean executing;

    /** Runs until an exit. */
    int run() {
        long kick = cpu.kickAddress;
        for (; ; ) {
            if (HostMemory.get32(kick) != 0) {
                return CpuExit.INTR;
            }
            int exit = step(Integer.MAX_VALUE);
            if (exit != CpuExit.NONE) {
                return exit;
            }
        }
    }

    /** One block, or less; with no limit those that follow it by near branches. */
    int step(int limit) {
        return needsCare() ? carefulStep(limit) : block(limit);
    }

    /** See {@link TranslatorCalls#interpretUpTo}. */
    int stepUpTo(long rip) {
        Block block = code.hit(s.rip);
        if (needsCare() || block == null) {
            int exit = step(1);
            return exit == CpuExit.NONE ? 1 : ~exit;
        }
        long within = rip - s.rip;
        int n = block.count;
        if (within > 0 && within < block.byteLength) {
            n = 1;
            while (n < block.count && Insn.offset(block.code[n * Insn.WORDS + 1]) != within) {
                n++;
            }
        }
        int exit = block(n);
        return exit == CpuExit.NONE ? interpreter.at / Insn.WORDS + 1 : ~exit;
    }

    /**
     * Whether something is to be asked before or after the next instruction. An interrupt that waits while IF is 0 asks for nothing: what
     * sets IF (STI, POPF, IRET, a task switch and their like) leaves the interpreter, and machine code that does asks it.
     */
    boolean needsCare() {
        int flags = s.flagsSystem;
        return (flags & (CpuState.TF | CpuState.RF)) != 0
                || s.interruptShadow != 0
                || controls.irqWindow && (flags & CpuState.IF) != 0
                || controls.nmiWindow
                || controls.singleStep
                || debug.pending != 0
                || cpu.breakpoints.watchesCode
                || cpu.retired.counting;
    }

    private int block(int limit) {
        Block block = null;
        try {
            block = code.find(s.rip);
            Translator t = translator;
            if (t != null && limit == Integer.MAX_VALUE) {
                if (t.enters(block)) {
                    // Asked anew: the first one may have put another in its place.
                    return java.util.Objects.requireNonNull(translator).run(block);
                }
                cpu.translation.interpreted++;
            }
            int n = cpu.breakpoints.watchesCode ? Math.min(limit, untilBreakpoint(block)) : limit;
            executing = true;
            int exit = interpreter.run(block, n);
            return cpu.stop && exit == CpuExit.NONE ? stopped() : exit;
        } catch (GuestFault f) {
            rewind(block);
            return raise(f.vector, f.errorCode);
        } catch (LeaveGuest e) {
            rewind(block);
            return e.exit;
        }
    }

    private int stopped() {
        cpu.stop = false;
        if (cpu.stopRequested) {
            cpu.stopRequested = false;
            return CpuExit.STOPPED;
        }
        return CpuExit.NONE;
    }

    /** rip of the instruction that is running. */
    long runningRip() {
        if (cpu.atNewRip) {
            return s.rip;
        }
        long rip = s.rip + Insn.offset(interpreter.block.code[interpreter.at + 1]);
        return cpu.mode64 ? rip : rip & 0xffff_ffffL;
    }

    /** rip of the instruction that was running, not of its block. */
    private void rewind(@Nullable Block found) {
        CpuObserver observer = cpu.observers.memory;
        if (observer != null && found != null) {
            observer.undone(runningRip());
        }
        if (cpu.atNewRip) {
            cpu.atNewRip = false;
        } else if (found != null) {
            // The interpreter may have gone on from the block that it was given.
            Block block = interpreter.block;
            long rip = s.rip + Insn.offset(block.code[interpreter.at + 1]);
            s.rip = cpu.mode64 ? rip : rip & 0xffff_ffffL;
        }
        cpu.stop = false;
        cpu.stopRequested = false;
        // What a data breakpoint saw of it did not happen.
        debug.pending = 0;
    }

    /**
     * Goes on where something is to be asked before or after an instruction: single-stepping, breakpoints, an interrupt shadow, a waiting
     * interrupt, RF. In the order of SDM 3A table 6-2: traps of the last instruction, interrupts, instruction breakpoints, the
     * instruction.
     */
    private int carefulStep(int limit) {
        CpuState st = s;
        int shadow = st.interruptShadow;
        // A load of SS holds traps and breakpoints off until the instruction after it is over (SDM 3A 6.8.3).
        boolean held = (shadow & CpuState.SHADOW_SS) != 0;
        long pending = debug.pending;
        if (pending != 0 && !held) {
            return raisePending();
        }
        if (controls.nmiWindow && shadow == 0 && !st.nmiBlocked) {
            return CpuExit.NMI_WINDOW;
        }
        int flags = st.flagsSystem;
        if (controls.irqWindow && shadow == 0 && (flags & CpuState.IF) != 0) {
            return CpuExit.IRQ_WINDOW;
        }
        if (cpu.breakpoints.watchesCode) {
            // AMD's take an instruction breakpoint even there.
            if ((flags & CpuState.RF) == 0 && !(held && cpu.intel)) {
                int hits = cpu.breakpoints.code(linearRip());
                if (hits != 0) {
                    // What was put off is reported with it.
                    debug.pending = 0;
                    return raiseDebug(hits | pending, false);
                }
            }
        }
        boolean counting = cpu.retired.counting;
        if ((flags & (CpuState.TF | CpuState.RF)) == 0 && shadow == 0 && !controls.singleStep && !counting) {
            // IF changes at a block's end only.
            return block(Math.min(limit, ONE_BLOCK));
        }
        boolean trap = (flags & CpuState.TF) != 0;
        st.interruptShadow = 0;
        // RF is over with the instruction; a fault pushes it set anyway, and a string that stops half-way sets it.
        st.flagsSystem = flags & ~CpuState.RF;
        debug.stepDone = false;
        Block block = null;
        long first = st.rip;
        int cpl = st.cpl;
        int exit;
        try {
            block = code.find(st.rip);
            executing = true;
            exit = interpreter.run(block, 1);
            if (cpu.stop && exit == CpuExit.NONE) {
                exit = stopped();
            }
        } catch (GuestFault f) {
            rewind(block);
            exit = raise(f.vector, f.errorCode);
            return exit == CpuExit.NONE ? exit : again(exit, shadow, flags, pending);
        } catch (LeaveGuest e) {
            rewind(block);
            return again(e.exit, shadow, flags, pending);
        }
        if (exit != CpuExit.NONE && exit != CpuExit.STOPPED && exit != CpuExit.CR8_WRITE) {
            return again(exit, shadow, flags, debug.pending);
        }
        if (counting) {
            retired(block.code[0], first, cpl);
        }
        if (st.interruptShadow == CpuState.SHADOW_SS) {
            return exit;
        }
        if (controls.singleStep || trap && !debug.stepDone) {
            debug.pending |= DR6_BS;
        }
        // Behind an exit the hypervisor takes the trap, when it has done what the exit asks of it.
        return exit == CpuExit.NONE && debug.pending != 0 ? raisePending() : exit;
    }

    /** Counts the instruction that is done, of the first word that it was decoded to. */
    private void retired(long w0, long first, int cpl) {
        int op = QuickOp.transfer(Insn.op(w0));
        if ((w0 & (Insn.REP | Insn.REPNE)) != 0 && s.rip == first && op >= Op.MOVS && op <= Op.SCAS) {
            // Its repetitions go on.
            return;
        }
        boolean falls = op == Op.INTO && cpu.wrap(s.rip - first) == Insn.length(w0);
        cpu.retired.instruction(falls ? Op.NOP : op, cpl);
    }

    /** Counts a delivery, whose outcome this hands on. */
    int counted(int exit, int cpl) {
        if (exit == CpuExit.NONE || exit == CpuExit.STOPPED) {
            cpu.retired.delivered(cpl);
        }
        return exit;
    }

    /** An exit before the instruction is over: the hypervisor ends it, or it runs again. What was on before it still is. */
    private int again(int exit, int shadow, int flags, long pending) {
        s.interruptShadow = shadow;
        s.flagsSystem |= flags & CpuState.RF;
        debug.pending = pending;
        return exit;
    }

    /** Number of instructions from the block's first to the next that is watched. */
    private int untilBreakpoint(Block block) {
        long first = linearRip();
        for (int n = 1; n < block.count; n++) {
            if (cpu.breakpoints.code(cpu.wrap(first + Insn.offset(block.code[n * Insn.WORDS + 1]))) != 0) {
                return n;
            }
        }
        return block.count;
    }

    private long linearRip() {
        return cpu.mode64 ? s.rip : cpu.wrap(s.segBase[CpuState.CS] + s.rip);
    }

    /**
     * #DB with the given DR6 bits, or the hypervisor's exit for it. DR6's other bits stay, but for those of the four breakpoints; GD goes
     * (SDM 3B 18.2.3, 18.2.4).
     *
     * @param fault whether rip is that of an instruction that has not run: RF is set in the saved flags, except that an instruction
     *     breakpoint leaves that to its handler (SDM 3B 18.3.1.1)
     */
    int raiseDebug(long dr6Bits, boolean fault) {
        executing = false;
        if ((controls.interceptedVectors & 1 << GuestFault.DB) != 0) {
            cpu.exit.info = GuestFault.DB;
            cpu.exit.info2 = dr6Bits;
            return CpuExit.DEBUG;
        }
        s.dr6 = s.dr6 & ~0xfL | dr6Bits;
        if (cpu.intercepts.wants(SvmExit.EXCEPTION + GuestFault.DB)) {
            return cpu.intercepted(SvmExit.EXCEPTION + GuestFault.DB, 0, 0);
        }
        s.dr7 &= ~DR7_GD;
        cpu.breakpoints.refresh();
        int cpl = s.cpl;
        return counted(delivered(events.deliverDebug(fault)), cpl);
    }

    /** What a delivery stored to MMIO goes out before the handler's first instruction. */
    private int delivered(int exit) {
        return cpu.stop && exit == CpuExit.NONE ? stopped() : exit;
    }

    /** Takes the debug traps that wait for the instruction boundary. */
    int raisePending() {
        long bits = debug.pending;
        debug.pending = 0;
        return raiseDebug(bits, false);
    }

    /** Delivers a fault or trap of the guest's own; escalates to double and triple fault. */
    private int raise(int vector, int errorCode) {
        executing = false;
        // A #DB has no error code: what it carries are DR6's bits.
        if (vector == GuestFault.DB) {
            return raiseDebug(errorCode, true);
        }
        int cpl = s.cpl;
        return counted(delivered(events.deliver(vector, errorCode)), cpl);
    }

    /** See {@link Translator#codeStored}. */
    void codeStored(long hvaPage) {
        Translator t = translator;
        if (t != null) {
            t.codeStored(hvaPage);
        }
    }

    /** See {@link TranslatorCalls#pageFault}. */
    int pageFault() {
        rewind(null);
        return raise(GuestFault.PF, cpu.walker.errorCode);
    }

    /** See {@link Cpu#describeInstruction}. */
    boolean describe() {
        if (executing) {
            interpreter.describe();
        }
        return executing;
    }

    /** See {@link Cpu#completeIns}. */
    int completeIns(byte[] data, int items) {
        long first = s.rip;
        try {
            interpreter.completeIns(data, items);
            if (s.rip != first) {
                cpu.retired.emulated(s.cpl);
            }
            return CpuExit.NONE;
        } catch (GuestFault f) {
            return raise(f.vector, f.errorCode);
        } catch (LeaveGuest e) {
            return e.exit;
        }
    }

    /** See {@link Cpu#gatherOuts}. */
    int gatherOuts(byte[] into, int maxItems) {
        long first = s.rip;
        try {
            int items = interpreter.gatherOuts(into, maxItems);
            if (s.rip != first) {
                cpu.retired.emulated(s.cpl);
            }
            return items;
        } catch (GuestFault f) {
            return ~raise(f.vector, f.errorCode);
        } catch (LeaveGuest e) {
            return ~e.exit;
        }
    }
}
