package dev.slate.kvm.msr;

import dev.slate.kvm.Errno;
import dev.slate.kvm.Quirk;
import dev.slate.kvm.clock.TscSync;
import dev.slate.kvm.clock.VcpuTsc;
import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.hyperv.HvMsr;
import dev.slate.kvm.hyperv.Partition;
import dev.slate.kvm.hyperv.VirtualProcessor;
import dev.slate.kvm.irqchip.LocalApic;
import dev.slate.kvm.irqchip.VcpuApic;
import dev.slate.kvm.mmu.Translations;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.nested.NestedSvm;
import dev.slate.kvm.pmu.Pmu;
import dev.slate.kvm.pv.AsyncPageFault;
import dev.slate.kvm.pv.KvmClock;
import dev.slate.kvm.pv.PvEoi;
import dev.slate.kvm.pv.StealTime;
import dev.slate.kvm.setting.VmSettings;
import dev.slate.kvm.smm.Smm;
import dev.slate.kvm.xen.XenVcpu;

/** What the MSRs need of their vCPU. */
public final class VcpuMsrs implements MsrProcessor {
    private final VcpuApic apic;
    private final VcpuTsc tsc;
    private final TscSync tscSync;
    private final VmSettings settings;
    private final CpuidTable cpuid;
    private final KvmClock clock;
    private final StealTime stealTime;
    private final PvEoi pvEoi;
    private final AsyncPageFault asyncPageFault;
    private final Smm smm;
    private final Partition partition;
    private final VirtualProcessor hyperV;
    private final XenVcpu xen;
    private final GuestMode mode;
    private final NestedSvm nested;
    private final boolean offersNested;
    private final Pmu pmu;
    private final Translations translations;

    public VcpuMsrs(
            VcpuApic apic,
            VcpuTsc tsc,
            TscSync tscSync,
            VmSettings settings,
            CpuidTable cpuid,
            KvmClock clock,
            StealTime stealTime,
            PvEoi pvEoi,
            AsyncPageFault asyncPageFault,
            Smm smm,
            Partition partition,
            VirtualProcessor hyperV,
            XenVcpu xen,
            GuestMode mode,
            NestedSvm nested,
            boolean offersNested,
            Pmu pmu,
            Translations translations) {
        this.apic = apic;
        this.tsc = tsc;
        this.tscSync = tscSync;
        this.settings = settings;
        this.cpuid = cpuid;
        this.clock = clock;
        this.stealTime = stealTime;
        this.pvEoi = pvEoi;
        this.asyncPageFault = asyncPageFault;
        this.smm = smm;
        this.partition = partition;
        this.hyperV = hyperV;
        this.xen = xen;
        this.mode = mode;
        this.nested = nested;
        this.offersNested = offersNested;
        this.pmu = pmu;
        this.translations = translations;
    }

    @Override
    public long apicBase() {
        return apic.base();
    }

    @Override
    public boolean setApicBase(long value, boolean host) {
        return apic.setBase(value, host);
    }

    @Override
    public boolean readX2apic(int index, MsrFile into) {
        LocalApic a = apic.lapic();
        int register = index - Msr.X2APIC_FIRST;
        if (a == null || !a.canReadMsr(register)) {
            return false;
        }
        into.value = a.readMsr(register);
        return true;
    }

    @Override
    public boolean writeX2apic(int index, long value) {
        LocalApic a = apic.lapic();
        if (a == null || !a.writeMsr(index - Msr.X2APIC_FIRST, value)) {
            return false;
        }
        apic.syncCr8();
        return true;
    }

    @Override
    public long tscDeadline() {
        LocalApic a = apic.lapic();
        return a == null ? 0 : a.tscDeadline();
    }

    @Override
    public void setTscDeadline(long value) {
        LocalApic a = apic.lapic();
        if (a != null) {
            a.setTscDeadline(value);
        }
    }

    @Override
    public void synchronizeTsc(long value) {
        tscSync.synchronize(tsc, value);
        partition.clockChanged();
        mode.request(Request.CLOCK_UPDATE);
    }

    @Override
    public boolean platformInfoReadable() {
        return settings.platformInfoReadable;
    }

    @Override
    public boolean mwaitFollowsMiscEnable() {
        return !settings.hasQuirk(Quirk.MISC_ENABLE_NO_MWAIT);
    }

    @Override
    public boolean pvFeature(int feature) {
        return (MsrFile.PV_FEATURES & feature) != 0 && cpuid.pvFeature(feature);
    }

    @Override
    public void writeClock(int index, long value) {
        clock.write(isWallClock(index), value);
    }

    @Override
    public long readClock(int index) {
        return clock.read(isWallClock(index));
    }

    private static boolean isWallClock(int index) {
        return index == Msr.KVM_WALL_CLOCK || index == Msr.KVM_WALL_CLOCK_NEW;
    }

    @Override
    public long readPv(int index) {
        return switch (index) {
            case Msr.KVM_STEAL_TIME -> stealTime.msr();
            case Msr.KVM_PV_EOI_EN -> pvEoi.msr();
            case Msr.KVM_ASYNC_PF_EN -> asyncPageFault.enable();
            case Msr.KVM_ASYNC_PF_INT -> asyncPageFault.interrupt();
            default -> 0;
        };
    }

    @Override
    public boolean writePv(int index, long value) {
        return switch (index) {
            case Msr.KVM_STEAL_TIME -> stealTime.write(value);
            case Msr.KVM_PV_EOI_EN -> pvEoi.write(value);
            case Msr.KVM_ASYNC_PF_EN ->
                asyncPageFault.writeEnable(
                        value, pvFeature(MsrFile.PV_ASYNC_PF_VMEXIT), pvFeature(MsrFile.PV_ASYNC_PF_INT));
            case Msr.KVM_ASYNC_PF_INT -> asyncPageFault.writeInterrupt(value);
            default -> {
                asyncPageFault.acknowledge(value);
                yield true;
            }
        };
    }

    @Override
    public boolean readHyperV(int index, boolean host, MsrFile into) {
        boolean done = hyperV.read(index, host);
        into.value = hyperV.value;
        return done;
    }

    @Override
    public boolean writeHyperV(int index, long value, boolean host) {
        boolean done = hyperV.write(index, value, host);
        if (index == HvMsr.TPR) {
            apic.syncCr8();
        }
        return done;
    }

    @Override
    public int hypercallPageMsr() {
        return settings.xenHypercallMsr;
    }

    @Override
    public boolean isCounter(int index) {
        return pmu.holds(index);
    }

    @Override
    public long readCounter(int index) {
        return pmu.read(index);
    }

    @Override
    public void writeCounter(int index, long value) {
        pmu.write(index, value);
    }

    @Override
    public int writeHypercallPage(long value) {
        int errno = xen.writeHypercallPage(value);
        return errno == 0 ? MsrFile.OK : errno == Errno.EFAULT.number() ? MsrFile.FAULT : MsrFile.REFUSED;
    }

    @Override
    public long smbase() {
        return smm.base() & 0xffff_ffffL;
    }

    @Override
    public void setSmbase(long value) {
        smm.setBase((int) value);
    }

    @Override
    public long smiCount() {
        return smm.count();
    }

    @Override
    public void setSmiCount(long value) {
        smm.setCount(value);
    }

    @Override
    public boolean nested() {
        return offersNested;
    }

    @Override
    public void modeChanged(boolean host) {
        nested.eferChanged(!host);
        translations.changed();
    }
}
