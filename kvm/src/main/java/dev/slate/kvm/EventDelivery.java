package dev.slate.kvm;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.kvm.event.EventQueue;
import dev.slate.kvm.stats.VcpuStats;

/**
 * Which event reaches the guest before its next instruction, in which order (SDM 3A table 6-2): what was begun, exceptions, NMIs,
 * external interrupts. Under the vCPU's mutex.
 */
final class EventDelivery {
    private final Vcpu vcpu;
    private final CpuState s;
    private final EventQueue events;
    private final VcpuExit exit;
    private final VcpuStats stats;

    EventDelivery(Vcpu vcpu) {
        this.vcpu = vcpu;
        this.s = vcpu.state;
        this.events = vcpu.events;
        this.exit = vcpu.exit();
        this.stats = vcpu.stats();
    }

    /** Whether the client could inject an external interrupt now and have it taken at once. */
    boolean readyForInterrupt() {
        return interruptsAllowed() && !events.exceptionPending && !events.needsReinjection();
    }

    boolean interruptsAllowed() {
        return (s.flagsSystem & CpuState.IF) != 0 && s.interruptShadow == 0;
    }

    /** Delivers what must be delivered before the next instruction. Guest mode. Returns NONE, or the exit that delivery ended in. */
    int deliver(Cpu cpu) {
        EventQueue e = events;
        cpu.controls.irqWindow = false;
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
                int code = injectInterrupt(cpu);
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
        if (cpu.debug.pending != 0 && s.interruptShadow != CpuState.SHADOW_SS) {
            // A trap of the last instruction, or of the task switch that an event above was.
            int code = cpu.raisePendingDebug();
            if (code != CpuExit.NONE) {
                return code;
            }
        }
        return vcpu.debug.blocksInterrupts() ? CpuExit.NONE : deliverInterrupts(cpu);
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
        if (vcpu.apic.hasInterrupt()) {
            if (interruptsAllowed()) {
                e.interruptInjected = true;
                e.interruptSoft = false;
                e.interruptVector = vcpu.apic.acknowledge();
                int code = injectInterrupt(cpu);
                if (code != CpuExit.NONE) {
                    return code;
                }
            }
            cpu.controls.irqWindow = vcpu.apic.hasInterrupt();
        } else if (exit.requestInterruptWindow && !vcpu.apic.inKernel()) {
            cpu.controls.irqWindow = true;
        }
        return CpuExit.NONE;
    }

    private void prepareException() {
        if (EventQueue.isFault(events.exceptionVector)) {
            s.flagsSystem |= CpuState.RF;
        }
        deliverPayload();
        if (events.exceptionVector == GuestFault.DB) {
            s.dr7 &= ~(1L << 13);
        }
    }

    /** Moves the payload of a queued #DB into DR6, of a #PF into CR2. */
    void deliverPayload() {
        if (!events.exceptionHasPayload) {
            return;
        }
        long payload = events.exceptionPayload;
        if (events.exceptionVector == GuestFault.DB) {
            // The payload has every bit active high; DR6 has some active low, and has no bit 12.
            s.dr6 = (s.dr6 & ~0xfL | Vcpu.DR6_ACTIVE_LOW | payload) ^ payload & Vcpu.DR6_ACTIVE_LOW;
            s.dr6 &= ~(1L << 12);
        } else if (events.exceptionVector == GuestFault.PF) {
            s.cr2 = payload;
        }
        events.exceptionHasPayload = false;
        events.exceptionPayload = 0;
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

    private int injectInterrupt(Cpu cpu) {
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
