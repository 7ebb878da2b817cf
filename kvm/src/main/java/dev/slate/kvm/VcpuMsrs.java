package dev.slate.kvm;

import dev.slate.kvm.msr.MsrFile;

/** What the MSRs need of their vCPU. */
final class VcpuMsrs implements MsrFile.Processor {
    private final Vcpu vcpu;

    VcpuMsrs(Vcpu vcpu) {
        this.vcpu = vcpu;
    }

    @Override
    public long apicBase() {
        return vcpu.apicBase();
    }

    @Override
    public boolean setApicBase(long value, boolean host) {
        return vcpu.setApicBase(value, host);
    }

    @Override
    public boolean readX2apic(int index, MsrFile into) {
        return false;
    }

    @Override
    public boolean writeX2apic(int index, long value) {
        return false;
    }

    @Override
    public long tscDeadline() {
        return 0;
    }

    @Override
    public void setTscDeadline(long value) {}

    @Override
    public void synchronizeTsc(long value) {
        vcpu.vm().tscSync().synchronize(vcpu.tsc, value);
    }

    @Override
    public boolean platformInfoReadable() {
        return vcpu.vm().platformInfoReadable();
    }

    @Override
    public boolean mwaitFollowsMiscEnable() {
        return !vcpu.vm().hasQuirk(Vm.QUIRK_MISC_ENABLE_NO_MWAIT);
    }

    @Override
    public boolean pvFeature(int feature) {
        return (Kvm.PV_FEATURES & feature) != 0 && vcpu.pvFeature(feature);
    }

    @Override
    public boolean writeClock(int index, long value) {
        return false;
    }

    @Override
    public long readClock(int index) {
        return 0;
    }

    @Override
    public void modeChanged() {
        vcpu.translationsChanged();
    }
}
