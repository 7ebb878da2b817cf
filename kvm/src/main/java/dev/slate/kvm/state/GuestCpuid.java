package dev.slate.kvm.state;

import dev.slate.cpu.CpuState;
import dev.slate.kvm.Errno;
import dev.slate.kvm.Quirk;
import dev.slate.kvm.cpuid.CpuidEntry;
import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.cpuid.Feature;
import dev.slate.kvm.cpuid.SupportedCpuid;
import dev.slate.kvm.hyperv.VirtualProcessor;
import dev.slate.kvm.irqchip.LocalApic;
import dev.slate.kvm.irqchip.VcpuApic;
import dev.slate.kvm.msr.MsrFile;
import dev.slate.kvm.setting.VmSettings;
import java.util.List;

/** CPUID as the guest sees it now: the client's table with the bits that follow the processor's state. Under the vCPU's mutex. */
public final class GuestCpuid {
    private final CpuidTable cpuid;
    private final SupportedCpuid supported;
    private final CpuState s;
    private final VcpuApic apic;
    private final MsrFile msrs;
    private final VirtualProcessor hyperV;
    private final VmSettings settings;

    public GuestCpuid(
            CpuidTable cpuid,
            SupportedCpuid supported,
            CpuState state,
            VcpuApic apic,
            MsrFile msrs,
            VirtualProcessor hyperV,
            VmSettings settings) {
        this.cpuid = cpuid;
        this.supported = supported;
        this.s = state;
        this.apic = apic;
        this.msrs = msrs;
        this.hyperV = hyperV;
        this.settings = settings;
    }

    /** Brings the vCPU's table up to date. */
    public void update() {
        update(cpuid);
    }

    /** Brings a table up to date that may become the vCPU's. */
    public void update(CpuidTable table) {
        table.update(
                (s.cr4 & CpuState.CR4_OSXSAVE) != 0,
                apic.enabled(),
                s.xcr0,
                !settings.hasQuirk(Quirk.MISC_ENABLE_NO_MWAIT),
                msrs.mwaitEnabled(),
                // Nobody's hypercall kicks it out of a HLT that is no exit.
                settings.hltInGuest ? MsrFile.PV_UNHALT : 0);
    }

    /**
     * {@code KVM_SET_CPUID2}.
     *
     * @param hasRun the table stands: only what it already holds is accepted
     * @throws dev.slate.kvm.KvmException EINVAL: another than it holds, or linear addresses of neither 48 nor 57 bits
     */
    public void set(List<CpuidEntry> entries, boolean hasRun) {
        CpuidTable given = new CpuidTable();
        given.set(entries);
        update(given);
        if (hasRun) {
            update();
            if (!cpuid.equalTo(given.toList())) {
                throw Errno.EINVAL.raise();
            }
            return;
        }
        int linearBits = given.eax(0x8000_0008, 0) >>> 8 & 0xff;
        if (linearBits != 0 && linearBits != 48 && linearBits != 57) {
            throw Errno.EINVAL.raise();
        }
        cpuid.set(given.toList());
        hyperV.cpuidSet(cpuid);
        LocalApic lapic = apic.lapic();
        if (lapic != null) {
            lapic.tscDeadlineOffered(cpuid.has(Feature.TSC_DEADLINE));
        }
    }

    /** CPUID as the guest executes it; the answer stands in the table. */
    public void query(int function, int index) {
        update();
        cpuid.query(function, index);
    }

    /** Whether CPUID offers MONITOR and MWAIT now. */
    public boolean hasMwait() {
        update();
        return cpuid.has(Feature.MONITOR);
    }

    /** XSAVE components that the guest may have. */
    public long xcr0() {
        return cpuid.xcr0() & supported.xcr0();
    }

    /** XSETBV and KVM_SET_XCRS (SDM 1 13.3): x87 always on, AVX only with SSE, nothing that the guest lacks. False: refused. */
    public boolean writeXcr0(long value) {
        if ((value & 1) == 0 || (value & 4) != 0 && (value & 2) == 0 || (value & ~(xcr0() | 1)) != 0) {
            return false;
        }
        s.xcr0 = value;
        return true;
    }
}
