package dev.slate.cpu;

import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.exec.Events;
import dev.slate.cpu.exec.Interpreter;
import dev.slate.cpu.mem.HostMemory;
import org.jspecify.annotations.Nullable;

/**
 * Goes from block to block until an exit: the one place that catches what unwinds an instruction, and that knows what stands between
 * two instructions (kicks, traps, interrupt shadows, windows).
 */
final class RunLoop {
    private final Cpu cpu;
    private final CpuState s;
    private final CodeCache code;
    private final Interpreter interpreter;
    private final Events events;

    RunLoop(Cpu cpu, CodeCache code, Interpreter interpreter, Events events) {
        this.cpu = cpu;
        this.s = cpu.s;
        this.code = code;
        this.interpreter = interpreter;
        this.events = events;
    }

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

    /** One block, or less. */
    int step(int limit) {
        CpuState st = s;
        Block block = null;
        try {
            if (cpu.pendingDebug != 0) {
                return raisePending();
            }
            int flags = st.flagsSystem;
            if ((flags & CpuState.TF) != 0 || st.interruptShadow != 0 || cpu.irqWindow || cpu.singleStep) {
                return carefulStep();
            }
            block = code.find(st.rip);
            int exit = interpreter.run(block, limit);
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

    /** rip of the instruction that was running, not of its block. */
    private void rewind(@Nullable Block found) {
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
    }

    /** One instruction with everything that single-stepping, an interrupt shadow or a waiting interrupt ask for. */
    private int carefulStep() {
        CpuState st = s;
        if (cpu.irqWindow && st.interruptShadow == 0 && (st.flagsSystem & CpuState.IF) != 0) {
            return CpuExit.IRQ_WINDOW;
        }
        boolean trap = (st.flagsSystem & CpuState.TF) != 0;
        int shadow = st.interruptShadow;
        st.interruptShadow = 0;
        Block block = null;
        int exit;
        try {
            block = code.find(st.rip);
            exit = interpreter.run(block, 1);
            if (cpu.stop && exit == CpuExit.NONE) {
                exit = stopped();
            }
        } catch (GuestFault f) {
            rewind(block);
            return raise(f.vector, f.errorCode);
        } catch (LeaveGuest e) {
            rewind(block);
            // Nothing happened, so the shadow still stands.
            st.interruptShadow = shadow;
            return e.exit;
        }
        if (exit != CpuExit.NONE && exit != CpuExit.STOPPED) {
            return exit;
        }
        if (cpu.singleStep) {
            cpu.exitInfo = GuestFault.DB;
            cpu.exitInfo2 = 1 << 14;
            return CpuExit.DEBUG;
        }
        if (trap) {
            int debug = raiseDebug(1 << 14);
            return debug != CpuExit.NONE ? debug : exit;
        }
        return exit;
    }

    private int raisePending() {
        long bits = cpu.pendingDebug;
        cpu.pendingDebug = 0;
        return raiseDebug(bits);
    }

    /** #DB with the given DR6 bits, or the hypervisor's exit for it. */
    int raiseDebug(long dr6Bits) {
        if ((cpu.interceptedVectors & 1 << GuestFault.DB) != 0) {
            cpu.exitInfo = GuestFault.DB;
            cpu.exitInfo2 = dr6Bits;
            return CpuExit.DEBUG;
        }
        s.dr6 = s.dr6 & ~0xfL | dr6Bits;
        return raise(GuestFault.DB, 0);
    }

    /** Delivers a fault or trap of the guest's own; escalates to double and triple fault. */
    private int raise(int vector, int errorCode) {
        return events.deliver(vector, errorCode);
    }

    /** See {@link Cpu#completeIns}. */
    int completeIns(byte[] data, int items) {
        try {
            interpreter.completeIns(data, items);
            return CpuExit.NONE;
        } catch (GuestFault f) {
            return raise(f.vector, f.errorCode);
        } catch (LeaveGuest e) {
            return e.exit;
        }
    }

    /** See {@link Cpu#gatherOuts}. */
    int gatherOuts(byte[] into, int maxItems) {
        try {
            return interpreter.gatherOuts(into, maxItems);
        } catch (GuestFault f) {
            return ~raise(f.vector, f.errorCode);
        } catch (LeaveGuest e) {
            return ~e.exit;
        }
    }
}
