package dev.slate.kvm;

import dev.slate.kvm.irqchip.LocalApic;
import dev.slate.kvm.msr.Msr;
import dev.slate.kvm.msr.MsrFile;

/** What the MSRs need of their vCPU. */
final class VcpuMsrs implements MsrFile.Processor {
    private final Vcpu vcpu;

    VcpuMsrs(Vcpu vcpu) {
        this.vcpu = vcpu;
    }

    @Override
    public long apicBase() {
        return vcpu.apic.base();
    }

    @Override
    public boolean setApicBase(long value, boolean host) {
        return vcpu.apic.setBase(value, host);
    }

    @Override
    public boolean readX2apic(int index, MsrFile into) {
        LocalApic a = vcpu.apic.lapic();
        int register = index - Msr.X2APIC_FIRST;
        if (a == null || !a.canReadMsr(register)) {
            return false;
        }
        into.value = a.readMsr(register);
        return true;
    }

    @Override
    public boolean writeX2apic(int index, long value) {
        LocalApic a = vcpu.apic.lapic();
        if (a == null || !a.writeMsr(index - Msr.X2APIC_FIRST, value)) {
            return false;
        }
        vcpu.apic.syncCr8();
        return true;
    }

    @Override
    public long tscDeadline() {
        LocalApic a = vcpu.apic.lapic();
        return a == null ? 0 : a.tscDeadline();
    }

    @Override
    public void setTscDeadline(long value) {
        LocalApic a = vcpu.apic.lapic();
        if (a != null) {
            a.setTscDeadline(value);
        }
    }

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
    public void writeClock(int index, long value) {
        vcpu.clock.write(index, value);
    }

    @Override
    public long readClock(int index) {
        return vcpu.clock.read(index);
    }

    @Override
    public long smbase() {
        return vcpu.smm.base() & 0xffff_ffffL;
    }

    @Override
    public void setSmbase(long value) {
        vcpu.smm.setBase((int) value);
    }

    @Override
    public long smiCount() {
        return vcpu.smm.count();
    }

    @Override
    public void setSmiCount(long value) {
        vcpu.smm.setCount(value);
    }

    @Override
    public void modeChanged() {
        vcpu.translationsChanged();
    }
}
