package dev.slate.debug.gdb;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuObserver;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.debug.ClientMemory;
import dev.slate.debug.LinearMemory;
import dev.slate.kvm.RunObserver;
import dev.slate.kvm.Vcpu;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * One vCPU under a {@link Debugger}. Runs at full speed while there is nothing to watch for, block by block with breakpoints
 * elsewhere, and one instruction at a time near a breakpoint, with watchpoints, or for a step.
 */
final class VcpuDebug implements RunObserver, CpuObserver {
    private static final long PATIENCE_MILLIS = 2000;

    final Vcpu vcpu;
    /** The debugger's number of this vCPU. */
    final int thread;

    final int vm;
    private final Debugger debugger;
    private final ClientMemory client;

    // Written under the debugger's monitor.
    volatile boolean released;
    volatile boolean stepping;

    @Nullable
    Stop pending;

    /** Nothing has run since the release: a breakpoint at rip is where it stood, not what it meets. */
    private volatile boolean fresh;
    /** The step's instruction has left the guest: the step is over when that has been served. */
    private boolean stepLeft;

    private Breakpoints.@Nullable Point touched;
    private @Nullable LinearMemory memory;

    VcpuDebug(Debugger debugger, Vcpu vcpu, int thread, int vm, ClientMemory client) {
        this.debugger = debugger;
        this.vcpu = vcpu;
        this.thread = thread;
        this.vm = vm;
        this.client = client;
    }

    /** Under the debugger's monitor. */
    void release(boolean go) {
        fresh = go;
        released = go;
        if (go) {
            vcpu.mode().kick();
        }
    }

    /** Under the debugger's monitor. */
    void forgetPendingUnless(Breakpoints points) {
        Stop p = pending;
        if (p != null && p.detail().endsWith("break:;") && points.isEmpty()) {
            pending = null;
        }
    }

    // ------------------------------------------------------------------ the vCPU's thread

    @Override
    public boolean mayRun() {
        debugger.running();
        if (released && stepLeft) {
            stepLeft = false;
            if (stepping) {
                debugger.stop(this, Stop.STEPPED);
            }
        }
        return released;
    }

    @Override
    public int run(Cpu cpu, boolean one) {
        Breakpoints points = debugger.breakpoints;
        boolean singly = stepping || points.watches;
        if (!singly && points.isEmpty()) {
            cpu.observers.memory = null;
            return one ? cpu.runOne() : cpu.run();
        }
        cpu.observers.memory = points.watches ? this : null;
        for (; ; ) {
            if (!one) {
                if (HostMemory.get32(cpu.kickAddress) != 0) {
                    return CpuExit.INTR;
                }
                long la = linearRip(cpu.s);
                if (!fresh && points.at(la)) {
                    debugger.stop(this, Stop.breakpoint(points.isHardware(la)));
                    return CpuExit.INTR;
                }
                if (!singly && !fresh && !points.near(la)) {
                    int code = cpu.runBlock();
                    if (code != CpuExit.NONE) {
                        return code;
                    }
                    continue;
                }
            }
            touched = null;
            int code = cpu.runOne();
            boolean nothing =
                    code == CpuExit.INTR || code == CpuExit.NPF || code == CpuExit.MMIO || code == CpuExit.IRQ_WINDOW;
            if (!nothing) {
                fresh = false;
                ended(cpu, code);
            }
            if (one || code != CpuExit.NONE) {
                return code;
            }
        }
    }

    /** An instruction has been executed, or has left the guest to be. */
    private void ended(Cpu cpu, int code) {
        Breakpoints.Point point = touched;
        if (point != null) {
            debugger.stop(this, Stop.watchpoint(point, debugger.breakpoints.at(linearRip(cpu.s))));
        } else if (stepping) {
            if (code == CpuExit.NONE || code == CpuExit.STOPPED) {
                debugger.stop(this, Stop.STEPPED);
            } else {
                stepLeft = true;
            }
        }
    }

    @Override
    public void loaded(long la, int bytes, long value) {
        Breakpoints.Point point = debugger.breakpoints.touched(la, bytes, false);
        if (point != null) {
            touched = point;
        }
    }

    @Override
    public void stored(long la, int bytes, long value) {
        Breakpoints.Point point = debugger.breakpoints.touched(la, bytes, true);
        if (point != null) {
            touched = point;
        }
    }

    @Override
    public void delivered(int vector, boolean hasErrorCode, int errorCode) {}

    @Override
    public void close() {
        debugger.gone(this);
    }

    // ------------------------------------------------------------------ the debugger's thread

    static long linearRip(CpuState s) {
        return s.mode64() ? s.rip : s.segBase[CpuState.CS] + s.rip & 0xffff_ffffL;
    }

    /** Shows the state to {@code visitor}; false: the vCPU is busy elsewhere and does not come out. */
    boolean inspect(Consumer<CpuState> visitor) {
        try {
            return vcpu.inspect(PATIENCE_MILLIS, visitor);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    /** Memory as this vCPU sees it; inside {@link #inspect} only. */
    LinearMemory memory(CpuState s) {
        LinearMemory m = memory;
        if (m == null) {
            m = new LinearMemory(vcpu.vm(), s, client);
            memory = m;
        }
        return m;
    }

    String name() {
        return "vCPU " + vcpu.id() + " of VM " + vm;
    }
}
