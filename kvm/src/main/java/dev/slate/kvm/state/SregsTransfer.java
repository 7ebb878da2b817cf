package dev.slate.kvm.state;

import dev.slate.cpu.CpuState;
import dev.slate.kvm.MpState;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.cpuid.ControlRegisters;
import dev.slate.kvm.event.EventQueue;
import dev.slate.kvm.irqchip.VcpuApic;
import dev.slate.kvm.mode.GuestMode;

/** KVM_GET_SREGS and KVM_SET_SREGS. Under the vCPU's mutex. */
public final class SregsTransfer {
    private SregsTransfer() {}

    public static void get(CpuState s, VcpuApic apic, EventQueue events, Sregs to) {
        RegisterTransfer.getSegment(s, CpuState.CS, to.cs);
        RegisterTransfer.getSegment(s, CpuState.DS, to.ds);
        RegisterTransfer.getSegment(s, CpuState.ES, to.es);
        RegisterTransfer.getSegment(s, CpuState.FS, to.fs);
        RegisterTransfer.getSegment(s, CpuState.GS, to.gs);
        RegisterTransfer.getSegment(s, CpuState.SS, to.ss);
        RegisterTransfer.getSegment(s, CpuState.TR, to.tr);
        RegisterTransfer.getSegment(s, CpuState.LDTR, to.ldt);
        to.gdtBase = s.gdtBase;
        to.gdtLimit = s.gdtLimit & 0xffff;
        to.idtBase = s.idtBase;
        to.idtLimit = s.idtLimit & 0xffff;
        to.cr0 = s.cr0;
        to.cr2 = s.cr2;
        to.cr3 = s.cr3;
        to.cr4 = s.cr4;
        to.cr8 = apic.cr8();
        to.efer = s.efer;
        to.apicBase = apic.base();
        for (int i = 0; i < 4; i++) {
            to.interruptBitmap[i] = 0;
        }
        if (events.interruptInjected && !events.interruptSoft) {
            int vector = events.interruptVector;
            to.interruptBitmap[vector >>> 6] = 1L << vector;
        }
    }

    /**
     * All checks come first: a refusal changes nothing.
     *
     * @param cr4Reserved CR4 bits that the guest cannot set
     * @param physicalBits of the guest's addresses
     * @return false: refused
     */
    public static boolean set(
            CpuState s,
            VcpuApic apic,
            EventQueue events,
            GuestMode mode,
            long cr4Reserved,
            int physicalBits,
            Sregs from) {
        if (!ControlRegisters.valid(from, cr4Reserved, physicalBits) || !apic.setBase(from.apicBase, true)) {
            return false;
        }
        s.idtBase = from.idtBase;
        s.idtLimit = from.idtLimit & 0xffff;
        s.gdtBase = from.gdtBase;
        s.gdtLimit = from.gdtLimit & 0xffff;
        s.cr2 = from.cr2;
        s.cr3 = from.cr3;
        // KVM drops a CR8 that can't be.
        apic.writeCr8(from.cr8);
        s.efer = from.efer;
        s.cr0 = from.cr0;
        s.cr4 = from.cr4;
        RegisterTransfer.setSegment(s, CpuState.CS, from.cs);
        RegisterTransfer.setSegment(s, CpuState.DS, from.ds);
        RegisterTransfer.setSegment(s, CpuState.ES, from.es);
        RegisterTransfer.setSegment(s, CpuState.FS, from.fs);
        RegisterTransfer.setSegment(s, CpuState.GS, from.gs);
        RegisterTransfer.setSegment(s, CpuState.SS, from.ss);
        RegisterTransfer.setSegment(s, CpuState.TR, from.tr);
        RegisterTransfer.setSegment(s, CpuState.LDTR, from.ldt);
        s.settlePrivilege();
        queueInterrupt(events, from);
        // Clients of old put a vCPU back to its reset vector without setting its state.
        if (apic.isBootCpu()
                && s.rip == 0xfff0
                && from.cs.selector == 0xf000
                && from.cs.base == 0xffff_0000L
                && (s.cr0 & CpuState.CR0_PE) == 0) {
            mode.mpState = MpState.RUNNABLE;
        }
        return true;
    }

    private static void queueInterrupt(EventQueue events, Sregs from) {
        for (int i = 0; i < 4; i++) {
            if (from.interruptBitmap[i] != 0) {
                events.interruptInjected = true;
                events.interruptSoft = false;
                events.interruptVector = i * 64 + Long.numberOfTrailingZeros(from.interruptBitmap[i]);
                return;
            }
        }
    }
}
