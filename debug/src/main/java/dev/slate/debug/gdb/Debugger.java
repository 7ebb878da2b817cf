package dev.slate.debug.gdb;

import dev.slate.debug.ClientMemory;
import dev.slate.kvm.RunObserver;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.Vm;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Holds and releases the vCPUs of all VMs together ("all-stop"), whatever protocol asks for it. A vCPU is a thread of the debugger's,
 * numbered from 1 on.
 *
 * <p>A held vCPU waits in KVM_RUN, outside guest mode and without its mutex, or is kept from entering when its client calls KVM_RUN:
 * memory can be taken from it, and signals end KVM_RUN, as ever.
 *
 * <p>Thread-safe. Lock order: this monitor, then nothing: no vCPU is waited for under it.
 */
final class Debugger {
    /** Told of what happens, under the monitor: by a vCPU's thread, or by the one that interrupts. */
    interface Listener {
        /** The first vCPU is about to run. */
        void firstRun();

        /** All vCPUs stand still, or will before they execute another instruction. */
        void stopped(VcpuDebug who, Stop why);
    }

    private final ClientMemory client;
    private final Listener listener;
    private final List<VcpuDebug> vcpus = new ArrayList<>();
    private final List<Vm> vms = new ArrayList<>();
    private int lastThread;
    private boolean ran;
    private boolean halted;

    volatile Breakpoints breakpoints = Breakpoints.NONE;

    /** @param halted whether vCPUs are held from their first KVM_RUN on */
    Debugger(ClientMemory client, Listener listener, boolean halted) {
        this.client = client;
        this.listener = listener;
        this.halted = halted;
    }

    synchronized RunObserver observe(Vcpu vcpu) {
        int vm = vms.indexOf(vcpu.vm());
        if (vm < 0) {
            vm = vms.size();
            vms.add(vcpu.vm());
        }
        VcpuDebug v = new VcpuDebug(this, vcpu, ++lastThread, vm, client);
        v.released = !halted;
        vcpus.add(v);
        return v;
    }

    synchronized void gone(VcpuDebug v) {
        vcpus.remove(v);
        if (vcpus.stream().noneMatch(other -> other.vcpu.vm() == v.vcpu.vm())) {
            int i = vms.indexOf(v.vcpu.vm());
            if (i == vms.size() - 1) {
                vms.remove(i);
            }
        }
    }

    /** A vCPU is about to run. */
    synchronized void running() {
        if (!ran) {
            ran = true;
            listener.firstRun();
        }
    }

    synchronized List<VcpuDebug> vcpus() {
        return List.copyOf(vcpus);
    }

    synchronized @Nullable VcpuDebug thread(int number) {
        for (VcpuDebug v : vcpus) {
            if (v.thread == number) {
                return v;
            }
        }
        return null;
    }

    /** Stops everything because of what {@code who} met. When all is stopped already, that is told at the next {@link #resume}. */
    synchronized void stop(VcpuDebug who, Stop why) {
        if (halted) {
            if (!who.released && why != Stop.INTERRUPTED) {
                who.pending = why;
            }
            return;
        }
        hold();
        listener.stopped(who, why);
    }

    /** Ctrl-C, or a debugger that has just come. */
    synchronized void interrupt() {
        if (!halted && !vcpus.isEmpty()) {
            stop(vcpus.getFirst(), Stop.INTERRUPTED);
        }
    }

    /** Holds without telling anybody. */
    synchronized void hold() {
        halted = true;
        for (VcpuDebug v : vcpus) {
            v.released = false;
            v.stepping = false;
            v.vcpu.mode().kick();
        }
    }

    synchronized boolean halted() {
        return halted;
    }

    /** What is to become of a thread. */
    @FunctionalInterface
    interface Plan {
        int HOLD = 0;
        int GO = 1;
        int STEP = 2;

        int of(VcpuDebug v);
    }

    /** Lets the guest go on, unless something waits to be told. */
    synchronized void resume(Plan plan) {
        for (VcpuDebug v : vcpus) {
            Stop waiting = v.pending;
            if (waiting != null && plan.of(v) != Plan.HOLD) {
                v.pending = null;
                listener.stopped(v, waiting);
                return;
            }
        }
        halted = false;
        for (VcpuDebug v : vcpus) {
            int what = plan.of(v);
            v.stepping = what == Plan.STEP;
            v.release(what != Plan.HOLD);
        }
    }

    /** The debugger is gone: nothing stops the guest any more. */
    synchronized void detach() {
        breakpoints = Breakpoints.NONE;
        for (VcpuDebug v : vcpus) {
            v.pending = null;
        }
        resume(v -> Plan.GO);
    }

    synchronized void change(Breakpoints to) {
        breakpoints = to;
        // A breakpoint that was met and taken away is not met any more.
        for (VcpuDebug v : vcpus) {
            v.forgetPendingUnless(to);
        }
    }
}
