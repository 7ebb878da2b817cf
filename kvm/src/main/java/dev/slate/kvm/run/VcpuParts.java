package dev.slate.kvm.run;

import dev.slate.cpu.CpuState;
import dev.slate.kvm.MpState;
import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.clock.VcpuTsc;
import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.cpuid.Feature;
import dev.slate.kvm.event.EventQueue;
import dev.slate.kvm.hyperv.VirtualProcessor;
import dev.slate.kvm.io.Mmio;
import dev.slate.kvm.io.PortIo;
import dev.slate.kvm.irqchip.LocalApic;
import dev.slate.kvm.irqchip.VapicPage;
import dev.slate.kvm.irqchip.VcpuApic;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.msr.MsrFile;
import dev.slate.kvm.msr.VcpuMsrs;
import dev.slate.kvm.nested.NestedSvm;
import dev.slate.kvm.pmu.Pmu;
import dev.slate.kvm.pv.AsyncPageFault;
import dev.slate.kvm.pv.KvmClock;
import dev.slate.kvm.pv.PvEoi;
import dev.slate.kvm.pv.StealTime;
import dev.slate.kvm.smm.Smm;
import dev.slate.kvm.state.GuestCpuid;
import dev.slate.kvm.state.GuestDebug;
import dev.slate.kvm.state.VcpuReset;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.kvm.xen.XenVcpu;

/**
 * The parts of one vCPU and how they are joined: each gets what it uses and no more. Everything is guarded by {@link #mutex}, except
 * what says otherwise itself.
 */
public final class VcpuParts {
    /** The client's number, which is the APIC id. */
    public final int id;

    public final VmParts vm;
    public final VcpuExit exit;
    public final VcpuStats stats;
    public final VcpuMutex mutex;
    public final GuestMode mode;
    public final CpuState state = new CpuState();
    public final EventQueue events = new EventQueue();
    public final CpuidTable cpuid = new CpuidTable();
    public final VcpuTsc tsc;
    public final VcpuApic apic;
    public final GuestDebug debug;
    public final VcpuProcessor processor;
    public final VcpuMmu mmu;
    public final KvmClock clock;
    public final StealTime stealTime;
    public final PvEoi pvEoi;
    public final VapicPage vapic;
    public final AsyncPageFault asyncPageFault;
    public final VirtualProcessor hyperV;
    public final XenVcpu xen;
    public final Smm smm;
    public final NestedSvm nested;
    public final Pmu pmu;
    public final MsrFile msrs;
    public final GuestCpuid guestCpuid;
    public final VcpuReset reset;
    public final EventDelivery delivery;

    final PortIo pio;
    final Mmio mmio;
    final HaltPoll halt;

    /**
     * The parts of a new vCPU, after RESET.
     *
     * @param exit what KVM_RUN comes back with
     * @param runAreaHva where the run area lies
     */
    public VcpuParts(VmParts vm, int id, VcpuExit exit, long runAreaHva) {
        this.vm = vm;
        this.id = id;
        this.exit = exit;
        stats = new VcpuStats(vm.host());
        mutex = new VcpuMutex(stats);
        mode = new GuestMode(vm.host());
        tsc = new VcpuTsc(vm.host(), vm.settings().tscKhz);
        apic = new VcpuApic(id, vm.settings(), vm.irqchip(), vm.timers(), tsc, state, cpuid, events, mode);
        debug = new GuestDebug(state, events, exit);
        pio = new PortIo(state, exit, runAreaHva);
        mmio = new Mmio(exit);
        processor = new VcpuProcessor(this, runAreaHva);
        mmu = processor.mmu;
        clock = new KvmClock(id, vm.clock(), tsc, mode, mmu);
        stealTime = new StealTime(vm.host(), mmu, processor);
        vapic = new VapicPage(apic.lapic(), mmu);
        pvEoi = new PvEoi(vm.irqchip(), apic.lapic(), mmu);
        asyncPageFault = new AsyncPageFault(apic.lapic(), mmu);
        LocalApic lapic = apic.lapic();
        hyperV = new VirtualProcessor(id, vm.partition(), vm.host(), mode, tsc, lapic, pvEoi, mmu, vm.timers());
        if (lapic != null) {
            lapic.share(hyperV.vectors());
        }
        xen = new XenVcpu(
                id,
                vm.xen(),
                vm.host(),
                vm.clock(),
                state,
                mode,
                apic,
                mmu,
                clock,
                vm.timers(),
                vm.supported().intel());
        smm = new Smm(state, events, cpuid, mode, mmu, processor, vm.supported().cr4Reserved());
        nested = new NestedSvm(
                vm.supported().has(Feature.SVM),
                vm.supported().has(Feature.NPT),
                state,
                events,
                cpuid,
                mmu,
                tsc,
                apic,
                stats,
                processor,
                hyperV::takesHypercalls,
                vm.supported().cr4Reserved());
        boolean counters = vm.supported().has(Feature.PERFCTR_CORE) && !vm.settings().pmuDisabled;
        pmu = new Pmu(
                !vm.supported().intel(),
                counters,
                processor.retired,
                state,
                cpuid,
                vm.settings(),
                tsc,
                lapic,
                mode,
                vm.timers());
        msrs = new MsrFile(
                state,
                cpuid,
                tsc,
                new VcpuMsrs(
                        apic,
                        tsc,
                        vm.tscSync(),
                        vm.settings(),
                        cpuid,
                        clock,
                        stealTime,
                        pvEoi,
                        asyncPageFault,
                        smm,
                        vm.partition(),
                        hyperV,
                        xen,
                        mode,
                        nested,
                        vm.supported().has(Feature.SVM),
                        pmu,
                        processor));
        guestCpuid = new GuestCpuid(cpuid, vm.supported(), state, apic, msrs, hyperV, vm.settings());
        reset = new VcpuReset(
                state,
                cpuid,
                events,
                mode,
                apic,
                smm,
                nested,
                clock,
                stealTime,
                pvEoi,
                asyncPageFault,
                msrs,
                pmu,
                processor);
        delivery = new EventDelivery(this);
        halt = new HaltPoll(mode, stats, vm.settings(), msrs, delivery);
        mode.mpState = !apic.inKernel() || apic.isBootCpu() ? MpState.RUNNABLE : MpState.UNINITIALIZED;
        reset.reset(false);
        vm.tscSync().synchronize(tsc, 0);
    }

    /** Gives back native memory, once nobody can look at this vCPU any more. */
    public void close() {
        apic.close();
        hyperV.close();
        xen.close();
        pmu.close();
        // A timer that was late may still be about to kick.
        vm.timers().settle();
        processor.close();
        mode.close();
        stats.close();
    }
}
