package dev.slate.kvm.state;

import dev.slate.cpu.CpuState;
import dev.slate.kvm.MpState;
import dev.slate.kvm.VcpuEvents;
import dev.slate.kvm.event.EventQueue;
import dev.slate.kvm.irqchip.VcpuApic;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.setting.VmSettings;
import dev.slate.kvm.smm.Smm;

/** KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS. Under the vCPU's mutex. */
public final class EventTransfer {
    private static final int BP = 3;
    private static final int OF = 4;
    private static final int NMI = 2;

    private final CpuState s;
    private final EventQueue e;
    private final GuestMode mode;
    private final Smm smm;
    private final VcpuApic apic;
    private final VmSettings settings;

    public EventTransfer(
            CpuState state, EventQueue events, GuestMode mode, Smm smm, VcpuApic apic, VmSettings settings) {
        this.s = state;
        this.e = events;
        this.mode = mode;
        this.smm = smm;
        this.apic = apic;
        this.settings = settings;
    }

    /** What waits or is being delivered. */
    public void get(VcpuEvents to) {
        boolean payloads = settings.exceptionPayloads;
        e.collectNmis(s.nmiBlocked);
        if (!payloads && e.exceptionPending) {
            e.deliverPayload(s);
        }
        // INT3 and INTO are not reported: the instruction will raise them again.
        boolean soft = e.exceptionVector == BP || e.exceptionVector == OF;
        boolean pending = e.exceptionPending && !soft;
        boolean injected = e.exceptionInjected && !soft;
        to.exceptionPending = bit(pending);
        to.exceptionInjected = bit(injected || pending && !payloads);
        to.exceptionNr = e.exceptionVector;
        to.exceptionHasErrorCode = bit(e.exceptionHasErrorCode);
        to.exceptionErrorCode = e.exceptionErrorCode;
        to.exceptionHasPayload = bit(e.exceptionHasPayload);
        to.exceptionPayload = e.exceptionPayload;
        to.interruptInjected = bit(e.interruptInjected && !e.interruptSoft);
        to.interruptNr = e.interruptVector;
        to.interruptSoft = 0;
        to.interruptShadow = s.interruptShadow;
        to.nmiInjected = bit(e.nmiInjected);
        to.nmiPending = bit(e.nmiPending != 0);
        to.nmiMasked = bit(s.nmiBlocked);
        to.sipiVector = 0;
        to.smm = bit(smm.active());
        to.smiPending = bit(e.smiPending);
        to.smmInsideNmi = bit(smm.insideNmi());
        to.smiLatchedInit = bit(apic.initLatched());
        to.tripleFaultPending = 0;
        to.flags = VcpuEvents.VALID_NMI_PENDING | VcpuEvents.VALID_SHADOW | VcpuEvents.VALID_SMM;
        if (payloads) {
            to.flags |= VcpuEvents.VALID_PAYLOAD;
        }
        if (settings.tripleFaultEvents) {
            to.tripleFaultPending = bit(e.tripleFault);
            to.flags |= VcpuEvents.VALID_TRIPLE_FAULT;
        }
    }

    /** Replaces it. @return false: refused, and nothing has changed */
    public boolean set(VcpuEvents from) {
        int valid = VcpuEvents.VALID_NMI_PENDING
                | VcpuEvents.VALID_SIPI_VECTOR
                | VcpuEvents.VALID_SHADOW
                | VcpuEvents.VALID_SMM
                | VcpuEvents.VALID_PAYLOAD
                | VcpuEvents.VALID_TRIPLE_FAULT;
        boolean payloads = (from.flags & VcpuEvents.VALID_PAYLOAD) != 0;
        boolean pending = payloads && from.exceptionPending != 0;
        boolean injected = from.exceptionInjected != 0 && !pending;
        boolean triple = (from.flags & VcpuEvents.VALID_TRIPLE_FAULT) != 0;
        if ((from.flags & ~valid) != 0
                || payloads && !settings.exceptionPayloads
                || triple && !settings.tripleFaultEvents
                || (pending || injected) && (from.exceptionNr > 31 || from.exceptionNr == NMI)
                // INIT waits for the end of system management mode.
                || (from.flags & VcpuEvents.VALID_SMM) != 0
                        && (from.smm | from.smiPending) != 0
                        && mode.mpState == MpState.INIT_RECEIVED) {
            return false;
        }
        e.collectNmis(s.nmiBlocked);
        e.exceptionPending = pending;
        e.exceptionInjected = injected;
        e.exceptionVector = from.exceptionNr & 31;
        e.exceptionHasErrorCode = from.exceptionHasErrorCode != 0;
        e.exceptionErrorCode = from.exceptionErrorCode;
        e.exceptionHasPayload = pending && from.exceptionHasPayload != 0;
        e.exceptionPayload = from.exceptionPayload;
        e.interruptInjected = from.interruptInjected != 0;
        e.interruptVector = from.interruptNr & 0xff;
        e.interruptSoft = from.interruptSoft != 0;
        e.instructionLength = 0;
        if ((from.flags & VcpuEvents.VALID_SHADOW) != 0) {
            s.interruptShadow = from.interruptShadow & 3;
        }
        e.nmiInjected = from.nmiInjected != 0;
        e.nmiByGuest = false;
        if ((from.flags & VcpuEvents.VALID_NMI_PENDING) != 0) {
            e.nmiPending = from.nmiPending;
        }
        s.nmiBlocked = from.nmiMasked != 0;
        if ((from.flags & VcpuEvents.VALID_SMM) != 0) {
            smm.restore(from.smm != 0, from.smmInsideNmi != 0);
            e.smiPending = from.smiPending != 0;
            if (from.smm != 0) {
                apic.latchInit(from.smiLatchedInit != 0);
            }
            mode.request(Request.EVENT);
        }
        if (triple) {
            e.tripleFault = from.tripleFaultPending != 0;
        }
        return true;
    }

    private static int bit(boolean b) {
        return b ? 1 : 0;
    }
}
