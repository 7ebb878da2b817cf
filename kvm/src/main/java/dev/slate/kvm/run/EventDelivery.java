package dev.slate.kvm.run;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.SvmExit;
import dev.slate.kvm.MpState;
import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.event.EventQueue;
import dev.slate.kvm.irqchip.Irqchip;
import dev.slate.kvm.irqchip.VcpuApic;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.nested.NestedSvm;
import dev.slate.kvm.smm.Smm;
import dev.slate.kvm.state.GuestDebug;
import dev.slate.kvm.state.VcpuReset;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.kvm.tracepoint.Tracepoints;
import dev.slate.kvm.xen.XenVcpu;

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
    private final NestedSvm nested;
    private final GuestDebug debug;
    private final VcpuReset reset;
    private final Irqchip irqchip;
    private final VcpuProcessor processor;
    private final XenVcpu xen;

    EventDelivery(VcpuParts vcpu) {
        this.s = vcpu.state;
        this.events = vcpu.events;
        this.exit = vcpu.exit;
        this.stats = vcpu.stats;
        this.mode = vcpu.mode;
        this.apic = vcpu.apic;
        this.smm = vcpu.smm;
        this.nested = vcpu.nested;
        this.debug = vcpu.debug;
        this.reset = vcpu.reset;
        this.irqchip = vcpu.vm.irqchip();
        this.processor = vcpu.processor;
        this.xen = vcpu.xen;
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

    /** Whether an interrupt would be taken at once: by the guest, or by the hypervisor of one that runs. */
    boolean interruptsAllowed() {
        if (!nested.active()) {
            return nested.gif() && (s.flagsSystem & CpuState.IF) != 0 && s.interruptShadow == 0;
        }
        return nested.gif() && nested.interruptFlag() && (nested.wants(SvmExit.INTR) || s.interruptShadow == 0);
    }

    /** Whether something has come that a clear GIF may be holding off. */
    boolean waitsForGif() {
        return events.nmiWaits()
                || events.smiPending
                || apic.hasInterrupt()
                || apic.hasPendingInitOrSipi()
                || exit.requestInterruptWindow;
    }

    private boolean nmiAllowed() {
        return nested.gif() && (nested.wants(SvmExit.NMI) || !s.nmiBlocked && s.interruptShadow == 0);
    }

    /** Whether the guest's guest takes its virtual interrupt now. */
    private boolean virtualInterruptAllowed() {
        return nested.gif() && (s.flagsSystem & CpuState.IF) != 0 && s.interruptShadow == 0;
    }

    /** Whether a vCPU that waits has something to do: run an instruction, or deliver an event. */
    boolean runnable() {
        return mode.mpState == MpState.RUNNABLE
                || apic.pvUnhalted()
                || mode.test(Request.HV_STIMER)
                || xen.wakes()
                || reset.startUpPending()
                || events.exceptionPending
                || events.tripleFault
                || events.nmiWaits() && nested.gif() && (nested.wants(SvmExit.NMI) || !s.nmiBlocked)
                || events.smiPending && !smm.active() && nested.gif()
                || apic.hasInterrupt() && interruptsAllowed()
                || nested.virtualInterruptWaits() && virtualInterruptAllowed();
    }

    /** The same of a vCPU whose HLT is no exit: there the client, too, may have an interrupt for it. */
    boolean endsHalt() {
        return runnable() || events.needsReinjection();
    }

    /** Whether an SMI is taken before the next instruction. */
    boolean takesSmi() {
        return smm.takesSmi() && nested.gif() && !debug.blocksInterrupts();
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
            if (nested.wants(SvmExit.EXCEPTION + e.exceptionVector)) {
                return interceptException(cpu);
            }
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
        return debug.blocksInterrupts() || takesSmi() ? CpuExit.NONE : deliverInterrupts(cpu);
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
        if (e.nmiPending > 0 && nested.gif()) {
            if (nested.wants(SvmExit.NMI)) {
                // It stays, and comes when the hypervisor sets GIF.
                return cpu.intercepted(SvmExit.NMI, 0, 0);
            }
            if (nmiAllowed()) {
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
                if (nested.wants(SvmExit.INTR)) {
                    return cpu.intercepted(SvmExit.INTR, 0, 0);
                }
                int vector = apic.acknowledge();
                if (vector >= 0) {
                    e.interruptInjected = true;
                    e.interruptSoft = false;
                    e.interruptVector = vector;
                    int code = injectInterrupt(cpu, false);
                    if (code != CpuExit.NONE) {
                        return code;
                    }
                }
            }
            awaitInterruptWindow(cpu);
        } else if (exit.requestInterruptWindow && !irqchip.hasControllers() && apic.takesClientVectors()) {
            cpu.controls.irqWindow = nested.gif();
        }
        return nested.virtualInterruptWaits() ? deliverVirtualInterrupt(cpu) : CpuExit.NONE;
    }

    private void awaitInterruptWindow(Cpu cpu) {
        boolean waits = apic.hasInterrupt() && nested.gif();
        if (!nested.masksTaskPriority()) {
            cpu.controls.irqWindow = waits;
        } else if (waits && nested.interruptFlag()) {
            // The flag that counts is the hypervisor's, so that only the shadow's end is waited for.
            cpu.controls.nmiWindow = true;
        }
    }

    /** V_IRQ (APM 2 15.21.4): taken as an external interrupt, once the guest's guest can, unless its hypervisor wants to hear of that. */
    private int deliverVirtualInterrupt(Cpu cpu) {
        if (!virtualInterruptAllowed()) {
            cpu.controls.irqWindow |= nested.gif();
            return CpuExit.NONE;
        }
        if (nested.wants(SvmExit.VINTR)) {
            return cpu.intercepted(SvmExit.VINTR, 0, 0);
        }
        events.interruptInjected = true;
        events.interruptSoft = false;
        events.interruptVector = nested.takeVirtualInterrupt();
        return injectInterrupt(cpu, false);
    }

    /** What was to be raised is the hypervisor's. */
    private int interceptException(Cpu cpu) {
        EventQueue e = events;
        e.deliverPayload(s);
        e.exceptionPending = false;
        int code = cpu.intercepted(
                SvmExit.EXCEPTION, e.exceptionHasErrorCode ? e.exceptionErrorCode & 0xffff_ffffL : 0, 0);
        cpu.exit.code = SvmExit.EXCEPTION + e.exceptionVector;
        cpu.exit.info2 = e.exceptionVector == GuestFault.PF ? s.cr2 : 0;
        cpu.exit.nextRip = 0;
        return code;
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
        int code = cpu.inject(
                SvmExit.EVENT_EXCEPTION,
                events.exceptionVector,
                events.exceptionHasErrorCode,
                events.exceptionErrorCode,
                events.instructionLength);
        if (delivered(code)) {
            events.exceptionInjected = false;
            events.instructionLength = 0;
        }
        return code;
    }

    private int injectNmi(Cpu cpu) {
        int code = cpu.inject(SvmExit.EVENT_NMI, GuestFault.NMI, false, 0, 0);
        if (delivered(code)) {
            events.nmiInjected = false;
            s.nmiBlocked |= !events.nmiByGuest;
            events.nmiByGuest = false;
            stats.add(VcpuStats.NMI_INJECTIONS);
        }
        return code;
    }

    /** @param again its delivery has begun before, or the client has put it there */
    private int injectInterrupt(Cpu cpu, boolean again) {
        if (Tracepoints.ON) {
            Tracepoints.injVirq(events.interruptVector, events.interruptSoft, again);
        }
        int type = events.interruptSoft ? SvmExit.EVENT_SOFTWARE : SvmExit.EVENT_INTR;
        int length = events.interruptSoft ? events.instructionLength : 0;
        int code = cpu.inject(type, events.interruptVector, false, 0, length);
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
