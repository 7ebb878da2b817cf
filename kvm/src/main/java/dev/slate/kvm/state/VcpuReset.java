package dev.slate.kvm.state;

import dev.slate.cpu.CpuState;
import dev.slate.kvm.Errno;
import dev.slate.kvm.MpState;
import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.event.EventQueue;
import dev.slate.kvm.irqchip.LocalApic;
import dev.slate.kvm.irqchip.VcpuApic;
import dev.slate.kvm.mmu.Translations;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.msr.MsrFile;
import dev.slate.kvm.nested.NestedSvm;
import dev.slate.kvm.pmu.Pmu;
import dev.slate.kvm.pv.AsyncPageFault;
import dev.slate.kvm.pv.KvmClock;
import dev.slate.kvm.pv.PvEoi;
import dev.slate.kvm.pv.StealTime;
import dev.slate.kvm.smm.Smm;

/** The state of a processor after RESET and after INIT (SDM 3A 9.1, APM 2 14.1). Under the vCPU's mutex. */
public final class VcpuReset {
    private final CpuState s;
    private final CpuidTable cpuid;
    private final EventQueue events;
    private final GuestMode mode;
    private final VcpuApic apic;
    private final Smm smm;
    private final NestedSvm nested;
    private final KvmClock clock;
    private final StealTime stealTime;
    private final PvEoi pvEoi;
    private final AsyncPageFault asyncPageFault;
    private final MsrFile msrs;
    private final Pmu pmu;
    private final Translations translations;

    public VcpuReset(
            CpuState state,
            CpuidTable cpuid,
            EventQueue events,
            GuestMode mode,
            VcpuApic apic,
            Smm smm,
            NestedSvm nested,
            KvmClock clock,
            StealTime stealTime,
            PvEoi pvEoi,
            AsyncPageFault asyncPageFault,
            MsrFile msrs,
            Pmu pmu,
            Translations translations) {
        this.s = state;
        this.cpuid = cpuid;
        this.events = events;
        this.mode = mode;
        this.apic = apic;
        this.smm = smm;
        this.nested = nested;
        this.clock = clock;
        this.stealTime = stealTime;
        this.pvEoi = pvEoi;
        this.asyncPageFault = asyncPageFault;
        this.msrs = msrs;
        this.pmu = pmu;
        this.translations = translations;
    }

    /** Whether INIT or a SIPI waits that would be taken now. */
    public boolean startUpPending() {
        return !smm.active() && nested.gif() && apic.hasPendingInitOrSipi();
    }

    /** Goes through INIT and starts at a SIPI's vector (SDM 3A 8.4). */
    public void acceptInitAndSipi() {
        LocalApic a = apic.lapic();
        if (a == null || !a.hasPendingInitOrSipi()) {
            return;
        }
        if (smm.active() || !nested.gif()) {
            // INIT stays; a SIPI is lost (SDM 3C 34.3.1, 34.16; APM 2 15.17).
            a.takeSipi();
            return;
        }
        if (a.takeInit()) {
            reset(true);
            mode.mpState = apic.isBootCpu() ? MpState.RUNNABLE : MpState.INIT_RECEIVED;
        }
        int vector = a.takeSipi();
        if (vector >= 0 && mode.mpState == MpState.INIT_RECEIVED) {
            s.segSelector[CpuState.CS] = vector << 8;
            s.segBase[CpuState.CS] = (long) vector << 12;
            s.rip = 0;
            mode.mpState = MpState.RUNNABLE;
        }
    }

    /** {@code KVM_GET_MP_STATE}. */
    public int getMpState() {
        acceptInitAndSipi();
        int state = mode.mpState;
        boolean released = (state == MpState.HALTED || state == MpState.AP_RESET_HOLD) && apic.pvUnhalted();
        return released || state == GuestMode.HALTED_INSIDE ? MpState.RUNNABLE : state;
    }

    /** {@code KVM_SET_MP_STATE}. @throws dev.slate.kvm.KvmException EINVAL */
    public void setMpState(int state) {
        switch (state) {
            case MpState.RUNNABLE -> {}
            case MpState.UNINITIALIZED,
                    MpState.HALTED,
                    MpState.AP_RESET_HOLD,
                    MpState.INIT_RECEIVED,
                    MpState.SIPI_RECEIVED -> {
                if (!apic.inKernel()) {
                    throw Errno.EINVAL.raise();
                }
            }
            default -> throw Errno.EINVAL.raise();
        }
        if ((smm.active() || events.smiPending) && (state == MpState.INIT_RECEIVED || state == MpState.SIPI_RECEIVED)) {
            // INIT waits for the end of system management mode.
            throw Errno.EINVAL.raise();
        }
        if (state == MpState.SIPI_RECEIVED) {
            apic.sipiReceived();
        } else {
            mode.mpState = state;
        }
    }

    /** RESET ({@code init} false) or INIT. */
    public void reset(boolean init) {
        long oldCr0 = s.cr0;
        int signature = cpuid.eax(1, 0x600);
        events.clear();
        for (int i = 0; i < 16; i++) {
            s.gpr[i] = 0;
        }
        s.gpr[CpuState.RDX] = signature & 0xffff_ffffL;
        s.rip = 0xfff0;
        s.setRflags(CpuState.RFLAGS_FIXED);
        for (int i = 0; i < 8; i++) {
            s.segSelector[i] = 0;
            s.segBase[i] = 0;
            s.segLimit[i] = 0xffff;
            s.segAttr[i] = CpuState.ATTR_P | CpuState.ATTR_S | 3;
        }
        s.segSelector[CpuState.CS] = 0xf000;
        s.segBase[CpuState.CS] = 0xffff_0000L;
        // Neither has been accessed yet, as in KVM on AMD, whose processors give the others as accessed always.
        s.segAttr[CpuState.CS] = CpuState.ATTR_P | CpuState.ATTR_S | 0xa;
        s.segAttr[CpuState.SS] = CpuState.ATTR_P | CpuState.ATTR_S | 2;
        s.segAttr[CpuState.LDTR] = CpuState.ATTR_P | 2;
        s.segAttr[CpuState.TR] = CpuState.ATTR_P | 3;
        s.gdtBase = 0;
        s.gdtLimit = 0xffff;
        s.idtBase = 0;
        s.idtLimit = 0xffff;
        s.cpl = 0;
        s.cr2 = 0;
        s.cr3 = 0;
        s.cr4 = 0;
        s.efer = 0;
        s.cr0 = CpuState.CR0_ET
                | (init ? oldCr0 & (CpuState.CR0_NW | CpuState.CR0_CD) : CpuState.CR0_NW | CpuState.CR0_CD);
        for (int i = 0; i < 4; i++) {
            s.dr[i] = 0;
        }
        s.dr6 = CpuState.DR6_ACTIVE_LOW;
        s.dr7 = 0x400;
        s.interruptShadow = 0;
        s.nmiBlocked = false;
        nested.reset();
        smm.reset(init);
        apic.reset(init);
        clock.reset();
        stealTime.reset();
        pvEoi.reset();
        asyncPageFault.reset();
        if (!init) {
            s.xcr0 = 1;
            s.pat = 0x0007040600070406L;
            msrs.reset();
            pmu.reset();
        }
        translations.changed();
    }
}
