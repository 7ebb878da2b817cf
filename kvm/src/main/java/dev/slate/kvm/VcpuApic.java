package dev.slate.kvm;

import dev.slate.cpu.CpuState;
import dev.slate.kvm.cpuid.Feature;
import dev.slate.kvm.irqchip.LocalApic;
import dev.slate.kvm.mode.Request;
import org.jspecify.annotations.Nullable;

/**
 * A vCPU's interrupt side: its local APIC where the VM has one in the kernel, and what there is without one (IA32_APIC_BASE and CR8 as
 * the client keeps them).
 */
final class VcpuApic implements LocalApic.Owner {
    private static final long BASE_DEFAULT = 0xfee0_0000L;
    private static final long BASE_RESERVED = 0x2ff;

    private final Vcpu vcpu;
    private final boolean bootCpu;
    private final @Nullable LocalApic lapic;

    // Without an APIC.
    private long base;
    private long cr8;

    private volatile boolean pvUnhalted;

    VcpuApic(Vcpu vcpu) {
        Vm vm = vcpu.vm();
        this.vcpu = vcpu;
        this.bootCpu = vcpu.id() == vm.bootCpuId();
        this.lapic = vm.irqchipInKernel()
                ? new LocalApic(vcpu.id(), bootCpu, this, vm.apicBus(), vm.kvm().timers(), vcpu.tsc)
                : null;
    }

    boolean inKernel() {
        return lapic != null;
    }

    boolean isBootCpu() {
        return bootCpu;
    }

    @Nullable
    LocalApic lapic() {
        return lapic;
    }

    /** The local APIC. @throws KvmException EINVAL where there is none */
    LocalApic required() {
        LocalApic a = lapic;
        if (a == null) {
            throw Errno.EINVAL.raise();
        }
        return a;
    }

    void reset(boolean init) {
        writeCr8(0);
        if (!init) {
            putBase(BASE_DEFAULT | LocalApic.BASE_ENABLE | (bootCpu ? LocalApic.BASE_BSP : 0));
        }
        LocalApic a = lapic;
        if (a != null) {
            a.reset(init, vcpu.vm().hasQuirk(Vm.QUIRK_LINT0_REENABLED));
        }
    }

    long base() {
        LocalApic a = lapic;
        return a == null ? base : a.base();
    }

    private void putBase(long value) {
        LocalApic a = lapic;
        if (a == null) {
            base = value;
        } else {
            a.setBase(value);
        }
    }

    /** Whether IA32_APIC_BASE could take a value (SDM 3A 10.4.4, 10.12.1): no reserved bit, x2APIC only when enabled. */
    boolean baseValid(long value) {
        long reserved = BASE_RESERVED
                | -1L << vcpu.cpuid.maxPhysicalAddress()
                | (vcpu.cpuid.has(Feature.X2APIC) ? 0 : LocalApic.BASE_X2APIC);
        return (value & reserved) == 0
                && (value & (LocalApic.BASE_ENABLE | LocalApic.BASE_X2APIC)) != LocalApic.BASE_X2APIC;
    }

    /** Writes IA32_APIC_BASE; false: refused. A guest can't go from x2APIC to xAPIC, nor from off to x2APIC; a client can. */
    boolean setBase(long value, boolean host) {
        if (!baseValid(value)) {
            return false;
        }
        if (!host) {
            long both = LocalApic.BASE_ENABLE | LocalApic.BASE_X2APIC;
            long from = base() & both;
            long to = value & both;
            if (from == both && to == LocalApic.BASE_ENABLE || from == 0 && to == both) {
                return false;
            }
        }
        putBase(value);
        return true;
    }

    boolean enabled() {
        return (base() & LocalApic.BASE_ENABLE) != 0;
    }

    long cr8() {
        LocalApic a = lapic;
        return a == null ? cr8 : a.cr8();
    }

    /** CR8; false above 15. */
    boolean writeCr8(long value) {
        if ((value & ~15L) != 0) {
            return false;
        }
        LocalApic a = lapic;
        if (a == null) {
            cr8 = value;
        } else {
            a.setCr8(value);
        }
        vcpu.state.cr8 = value;
        return true;
    }

    /** The processor's CR8 follows a TPR that was written through the register page or restored. */
    void syncCr8() {
        vcpu.state.cr8 = cr8();
    }

    boolean hasInterrupt() {
        LocalApic a = lapic;
        return a != null && a.pendingVector() >= 0;
    }

    /** Takes the interrupt that {@link #hasInterrupt} saw. */
    int acknowledge() {
        LocalApic a = lapic;
        if (a == null) {
            throw new IllegalStateException("no interrupt is pending");
        }
        return a.acknowledge();
    }

    boolean hasPendingInitOrSipi() {
        LocalApic a = lapic;
        return a != null && !vcpu.smm.active() && a.hasPendingInitOrSipi();
    }

    /** Whether an INIT waits for the end of system management mode. */
    boolean initLatched() {
        LocalApic a = lapic;
        return a != null && a.initPending();
    }

    void latchInit(boolean pending) {
        LocalApic a = lapic;
        if (a != null) {
            a.setInitPending(pending);
        }
    }

    /** Goes through INIT and starts at a SIPI's vector (SDM 3A 8.4). */
    void acceptInitAndSipi() {
        LocalApic a = lapic;
        if (a == null || !a.hasPendingInitOrSipi()) {
            return;
        }
        if (vcpu.smm.active()) {
            // INIT stays; a SIPI is lost (SDM 3C 34.3.1, 34.16).
            a.takeSipi();
            return;
        }
        if (a.takeInit()) {
            vcpu.reset(true);
            vcpu.mpState = bootCpu ? MpState.RUNNABLE : MpState.INIT_RECEIVED;
        }
        int vector = a.takeSipi();
        if (vector >= 0 && vcpu.mpState == MpState.INIT_RECEIVED) {
            CpuState s = vcpu.state;
            s.segSelector[CpuState.CS] = vector << 8;
            s.segBase[CpuState.CS] = (long) vector << 12;
            s.rip = 0;
            vcpu.mpState = MpState.RUNNABLE;
        }
    }

    /** KVM_SET_MP_STATE(SIPI_RECEIVED): waits for INIT no more, starts where the last SIPI said. */
    void sipiReceived() {
        vcpu.mpState = MpState.INIT_RECEIVED;
        required().sipiAgain();
    }

    /** Whether an address is the APIC's register page; one that is switched off is a hole, or the client's. */
    boolean ownsPage(long gpa) {
        LocalApic a = lapic;
        return a != null && a.holds(gpa) && (a.hasPage() || vcpu.vm().hasQuirk(Vm.QUIRK_LAPIC_MMIO_HOLE));
    }

    long readPage(long gpa, int bytes) {
        return required().readPage(gpa, bytes);
    }

    void writePage(long gpa, int bytes, long value) {
        required().writePage(gpa, bytes, value);
        syncCr8();
    }

    boolean pvUnhalted() {
        return pvUnhalted;
    }

    void clearPvUnhalted() {
        pvUnhalted = false;
    }

    @Override
    public void eventArrived() {
        vcpu.mode.request(Request.EVENT);
        vcpu.mode.kick();
    }

    @Override
    public void nmiArrived() {
        vcpu.nmi();
    }

    @Override
    public void smiArrived() {
        vcpu.smi();
    }

    @Override
    public void unhalt() {
        pvUnhalted = true;
        vcpu.mode.request(Request.UNBLOCK);
        vcpu.mode.kick();
    }

    void close() {
        LocalApic a = lapic;
        if (a != null) {
            a.close();
        }
    }
}
