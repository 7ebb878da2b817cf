package dev.slate.kvm.run;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.kvm.MpState;
import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.event.EventQueue;
import dev.slate.kvm.irqchip.Irqchip;
import dev.slate.kvm.irqchip.VcpuApic;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.smm.Smm;
import dev.slate.kvm.state.GuestDebug;
import dev.slate.kvm.state.VcpuReset;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.kvm.tracepoint.Tracepoints;

/**
 * Which event reaches the guest before its next instruction, in which order (SDM 3A table 6-2): what was begun, exceptions, NMIs,
 * external interrupts. Under the vCPU's mutex.
 */
public final class EventDelivery {
    private final CpuState s;
    private final EventQueue events;
    private final VcpuExit exit;
    private final VcpuStats stats;
    private final GuestMode mode;
    private final VcpuApic apic;
    private final Smm smm;
    private final GuestDebug debug;
    private final VcpuReset reset;
    private final Irqchip irqchip;
    private final VcpuProcessor processor;

    EventDelivery(VcpuParts vcpu) {
        this.s = vcpu.state;
        this.events = vcpu.events;
        this.exit = vcpu.exit;
        this.stats = vcpu.stats;
        this.mode = vcpu.mode;
        this.apic = vcpu.apic;
        this.smm = vcpu.smm;
        this.debug = vcpu.debug;
        this.reset = vcpu.reset;
        this.irqchip = vcpu.vm.irqchip();
        this.processor = vcpu.processor;
    }

    /** Whether the client could inject an external interrupt now and have it taken at once. */
    boolean readyForInterrupt() {
        Cpu cpu = processor.orNull();
        return interruptsAllowed()
                && !events.exceptionPending
                && !events.needsReinjection()
                && (cpu == null || cpu.debug.pending == 0);
    }

    /** Whether the interrupt that the APIC has will be delivered at the next entry, with nothing before it. */
    boolean takesInterruptNext() {
        return readyForInterrupt() && !events.nmiWaits() && !debug.blocksInterrupts() && apic.hasInterrupt();
    }

    boolean interruptsAllowed() {
        return (s.flagsSystem & CpuState.IF) != 0 && s.interruptShadow == 0;
    }

    /** Whether a vCPU that waits has something to do: run an instruction, or deliver an event. */
    boolean runnable() {
        return mode.mpState == MpState.RUNNABLE
                || apic.pvUnhalted()
                || reset.startUpPending()
                || events.exceptionPending
                || events.tripleFault
                || events.nmiWaits() && !s.nmiBlocked
                || events.smiPending && !smm.active()
                || apic.hasInterrupt() && interruptsAllowed();
    }

    /** Whether an SMI is taken before the next instruction. */
    boolean takesSmi() {
        return smm.takesSmi() && !debug.blocksInterrupts();
    }

    /** Delivers what must be delivered before the next instruction. Guest mode. Returns NONE, or the exit that delivery ended in. */
    int deliver(Cpu cpu) {
        EventQueue e = events;
        cpu.controls.irqWindow = false;
        cpu.controls.nmiWindow = false;
        if (e.exceptionInjected || e.exceptionPending) {
            // A trap that MOV SS has put off is lost when an exception comes before it (SDM 3C 27.7.3).
            cpu.debug.pending = 0;
        } else {
            int code = takeTraps(cpu);
            if (code != CpuExit.NONE) {
                return code;
            }
        }
        if (e.exceptionInjected) {
            int code = injectException(cpu);
            if (code != CpuExit.NONE) {
                return code;
            }
        } else if (!e.exceptionPending) {
            if (e.nmiInjected) {
                int code = injectNmi(cpu);
                if (code != CpuExit.NONE) {
                    return code;
                }
            } else if (e.interruptInjected) {
                int code = injectInterrupt(cpu, true);
                if (code != CpuExit.NONE) {
                    return code;
                }
            }
        }
        if (e.exceptionPending) {
            prepareException();
            e.exceptionPending = false;
            e.exceptionInjected = true;
            int code = injectException(cpu);
            if (code != CpuExit.NONE) {
                return code;
            }
        }
        // Of the task switch that an event above was.
        int code = takeTraps(cpu);
        if (code != CpuExit.NONE) {
            return code;
        }
        // SMI goes before NMI and interrupts (SDM 3A table 6-2).
        return debug.blocksInterrupts() || smm.takesSmi() ? CpuExit.NONE : deliverInterrupts(cpu);
    }

    /** Debug traps that wait and that no load of SS holds off. */
    private int takeTraps(Cpu cpu) {
        return cpu.debug.pending != 0 && !holdsTraps() ? cpu.raisePendingDebug() : CpuExit.NONE;
    }

    /** Whether MOV SS or POP SS was the last instruction. */
    boolean holdsTraps() {
        return (s.interruptShadow & CpuState.SHADOW_SS) != 0;
    }

    private int deliverInterrupts(Cpu cpu) {
        EventQueue e = events;
        e.collectNmis(s.nmiBlocked);
        if (e.nmiPending > 0) {
            if (!s.nmiBlocked && s.interruptShadow == 0) {
                e.nmiPending--;
                e.nmiInjected = true;
                int code = injectNmi(cpu);
                if (code != CpuExit.NONE) {
                    return code;
                }
            }
            cpu.controls.nmiWindow = e.nmiPending > 0;
        }
        if (apic.hasInterrupt()) {
            if (interruptsAllowed()) {
                e.interruptInjected = true;
                e.interruptSoft = false;
                e.interruptVector = apic.acknowledge();
                int code = injectInterrupt(cpu, false);
                if (code != CpuExit.NONE) {
                    return code;
                }
            }
            cpu.controls.irqWindow = apic.hasInterrupt();
        } else if (exit.requestInterruptWindow && !irqchip.hasControllers() && apic.takesClientVectors()) {
            cpu.controls.irqWindow = true;
        }
        return CpuExit.NONE;
    }

    private void prepareException() {
        if (EventQueue.isFault(events.exceptionVector)) {
            s.flagsSystem |= CpuState.RF;
        }
        events.deliverPayload(s);
        if (events.exceptionVector == GuestFault.DB) {
            s.dr7 &= ~(1L << 13);
        }
    }

    private int injectException(Cpu cpu) {
        int code =
                cpu.inject(events.exceptionVector, events.exceptionHasErrorCode, events.exceptionErrorCode, false, 0);
        if (delivered(code)) {
            events.exceptionInjected = false;
        }
        return code;
    }

    private int injectNmi(Cpu cpu) {
        int code = cpu.inject(GuestFault.NMI, false, 0, false, 0);
        if (delivered(code)) {
            events.nmiInjected = false;
            s.nmiBlocked = true;
            stats.add(VcpuStats.NMI_INJECTIONS);
        }
        return code;
    }

    /** @param again its delivery has begun before, or the client has put it there */
    private int injectInterrupt(Cpu cpu, boolean again) {
        if (Tracepoints.ON) {
            Tracepoints.injVirq(events.interruptVector, events.interruptSoft, again);
        }
        int code = cpu.inject(events.interruptVector, false, 0, events.interruptSoft, 0);
        if (delivered(code)) {
            events.interruptInjected = false;
            stats.add(VcpuStats.IRQ_INJECTIONS);
        }
        return code;
    }

    /** After any other exit delivery must begin again. */
    private static boolean delivered(int code) {
        return code == CpuExit.NONE || code == CpuExit.SHUTDOWN;
    }
}
