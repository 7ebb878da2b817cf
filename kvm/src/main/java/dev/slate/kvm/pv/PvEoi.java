package dev.slate.kvm.pv;

import dev.slate.kvm.irqchip.Irqchip;
import dev.slate.kvm.irqchip.LocalApic;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.tracepoint.Tracepoints;
import org.jspecify.annotations.Nullable;

/**
 * A bit in guest memory by which a guest ends an interrupt without touching its APIC (MSR_KVM_PV_EOI_EN): set while nothing but the one
 * interrupt is requested or in service, and nobody waits for its end. A guest that finds it set clears it, and that was the end.
 *
 * <p>Under the vCPU's mutex, outside guest mode.
 */
public final class PvEoi {
    private static final long ENABLED = 1;

    private final Irqchip irqchip;
    private final @Nullable LocalApic apic;
    private final VcpuMmu mmu;
    private final byte[] bit = new byte[1];

    private long msr;
    private boolean offered;

    public PvEoi(Irqchip irqchip, @Nullable LocalApic apic, VcpuMmu mmu) {
        this.irqchip = irqchip;
        this.apic = apic;
        this.mmu = mmu;
    }

    /** RESET and INIT. */
    public void reset() {
        msr = 0;
        offered = false;
    }

    public long msr() {
        return msr;
    }

    /** MSR_KVM_PV_EOI_EN; false: not on four bytes, or no memory. */
    public boolean write(long value) {
        long gpa = value & ~ENABLED;
        if ((gpa & 3) != 0 || (value & ENABLED) != 0 && !mmu.read(gpa, bit, 0, 1)) {
            return false;
        }
        collect();
        msr = value;
        return true;
    }

    /** The guest is about to be entered; {@code takes}: the requested interrupt will be delivered first. */
    public void offer(boolean takes) {
        LocalApic a = apic;
        if (!takes || (msr & ENABLED) == 0 || a == null) {
            return;
        }
        int vector = a.loneVector();
        if (vector >= 0 && !irqchip.endMatters(a, vector)) {
            bit[0] = 1;
            offered = mmu.write(msr & ~ENABLED, bit, 0, 1);
        }
    }

    /** The guest has been left. One that has not ended the interrupt has to do it the ordinary way, or finds the bit again. */
    public void collect() {
        LocalApic a = apic;
        if (!offered || a == null) {
            return;
        }
        offered = false;
        long gpa = msr & ~ENABLED;
        if (!mmu.read(gpa, bit, 0, 1)) {
            return;
        }
        if ((bit[0] & 1) == 0) {
            int vector = a.inService();
            a.end();
            if (Tracepoints.ON) {
                Tracepoints.pvEoi(a.id(), vector);
            }
        } else {
            bit[0] = 0;
            mmu.write(gpa, bit, 0, 1);
        }
    }
}
