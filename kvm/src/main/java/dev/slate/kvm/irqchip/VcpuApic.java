package dev.slate.kvm.irqchip;

import dev.slate.cpu.CpuState;
import dev.slate.kvm.Errno;
import dev.slate.kvm.MpState;
import dev.slate.kvm.Quirk;
import dev.slate.kvm.clock.VcpuTsc;
import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.cpuid.Feature;
import dev.slate.kvm.event.EventQueue;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.setting.VmSettings;
import org.jspecify.annotations.Nullable;

/**
 * A vCPU's interrupt side: its local APIC where the VM has one in the kernel, and what there is without one (IA32_APIC_BASE and CR8 as
 * the client keeps them).
 */
public final class VcpuApic implements LocalApic.Owner {
    private static final long BASE_DEFAULT = 0xfee0_0000L;
    private static final long BASE_RESERVED = 0x2ff;

    private final Irqchip irqchip;
    private final VmSettings settings;
    private final CpuState s;
    private final CpuidTable cpuid;
    private final EventQueue events;
    private final GuestMode mode;
    private final boolean bootCpu;
    private final @Nullable LocalApic lapic;

    // Without an APIC.
    private long base;
    private long cr8;

    /** A guest's guest runs with a CR8 of its own: the processor's is not this APIC's. */
    public boolean taskPriorityIsVirtual;

    private volatile boolean pvUnhalted;

    /** Of Xen's events that wait for this vCPU: the vector by which they come, whatever LINT0 is; -1: none. */
    public int upcallVector = -1;

    private boolean switchedOn;

    private boolean reportsTaskPriority;
    private boolean taskPriorityWritten;

    /** With a split irqchip: the vector that the client's 8259s gave, or -1. */
    private int clientVector = -1;

    /** With a split irqchip: a vector whose end the client is to hear of, or -1. */
    private int endedVector = -1;

    /** @param irqchip to whose bus the caller adds the APIC, if there is one */
    public VcpuApic(
            int id,
            VmSettings settings,
            Irqchip irqchip,
            TimerThread timers,
            VcpuTsc tsc,
            CpuState state,
            CpuidTable cpuid,
            EventQueue events,
            GuestMode mode) {
        this.irqchip = irqchip;
        this.settings = settings;
        this.s = state;
        this.cpuid = cpuid;
        this.events = events;
        this.mode = mode;
        this.bootCpu = id == settings.bootCpuId;
        this.lapic =
                settings.irqchip ? new LocalApic(id, bootCpu, this, irqchip.bus(), timers, tsc::read, tsc::khz) : null;
    }

    /** Whether there is one in the kernel. */
    public boolean inKernel() {
        return lapic != null;
    }

    public boolean isBootCpu() {
        return bootCpu;
    }

    /** The APIC, or null. */
    public @Nullable LocalApic lapic() {
        return lapic;
    }

    /** The local APIC. @throws dev.slate.kvm.KvmException EINVAL where there is none */
    public LocalApic required() {
        LocalApic a = lapic;
        if (a == null) {
            throw Errno.EINVAL.raise();
        }
        return a;
    }

    public void reset(boolean init) {
        writeCr8(0);
        if (!init) {
            putBase(BASE_DEFAULT | LocalApic.BASE_ENABLE | (bootCpu ? LocalApic.BASE_BSP : 0));
        }
        LocalApic a = lapic;
        if (a != null) {
            a.reset(init, settings.hasQuirk(Quirk.LINT0_REENABLED));
        }
    }

    public long base() {
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
    public boolean baseValid(long value) {
        long reserved = BASE_RESERVED
                | -1L << cpuid.maxPhysicalAddress()
                | (cpuid.has(Feature.X2APIC) ? 0 : LocalApic.BASE_X2APIC);
        return (value & reserved) == 0
                && (value & (LocalApic.BASE_ENABLE | LocalApic.BASE_X2APIC)) != LocalApic.BASE_X2APIC;
    }

    /** Writes IA32_APIC_BASE; false: refused. A guest can't go from x2APIC to xAPIC, nor from off to x2APIC; a client can. */
    public boolean setBase(long value, boolean host) {
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

    public boolean enabled() {
        return (base() & LocalApic.BASE_ENABLE) != 0;
    }

    public long cr8() {
        LocalApic a = lapic;
        return a == null ? cr8 : a.cr8();
    }

    /** CR8; false above 15. */
    public boolean writeCr8(long value) {
        if ((value & ~15L) != 0) {
            return false;
        }
        LocalApic a = lapic;
        if (a == null) {
            cr8 = value;
        } else {
            a.setCr8(value);
        }
        syncCr8();
        return true;
    }

    /** The processor's CR8 follows a TPR that was written through the register page or restored. */
    public void syncCr8() {
        if (!taskPriorityIsVirtual) {
            s.cr8 = cr8();
        }
    }

    public boolean hasInterrupt() {
        LocalApic a = lapic;
        return a != null && (hasExternal(a) || a.pendingVector() >= 0);
    }

    /** Whether 8259s ask, here or at the client's, and this processor takes what they ask for. */
    private boolean hasExternal(LocalApic a) {
        return upcallVector >= 0 || (clientVector >= 0 || irqchip.picOutput()) && a.acceptsPic();
    }

    /** Whether the client, which has the 8259s, may hand over their interrupt. */
    public boolean takesClientVectors() {
        LocalApic a = lapic;
        return a == null || a.acceptsPic();
    }

    /** KVM_INTERRUPT with a split irqchip. @throws dev.slate.kvm.KvmException ENXIO: the 8259s are here; EEXIST: one waits already */
    public void clientInterrupt(int vector) {
        if (irqchip.hasControllers()) {
            throw Errno.ENXIO.raise();
        }
        if (clientVector >= 0) {
            throw Errno.EEXIST.raise();
        }
        clientVector = vector;
        eventArrived();
    }

    /** A vector whose end the client is to hear of, once; -1: none. */
    public int takeEndedVector() {
        int vector = endedVector;
        endedVector = -1;
        return vector;
    }

    /** Takes the interrupt that {@link #hasInterrupt} saw; -1: the 8259's line has gone down meanwhile, and no other waits. */
    public int acknowledge() {
        LocalApic a = lapic;
        if (a == null) {
            throw new IllegalStateException("no interrupt is pending");
        }
        if (upcallVector >= 0) {
            // The guest takes back what asks for it.
            int vector = upcallVector;
            upcallVector = -1;
            return vector;
        }
        if (hasExternal(a)) {
            int vector = clientVector;
            clientVector = -1;
            return vector >= 0 ? vector : irqchip.acknowledgePic();
        }
        return a.acknowledge();
    }

    /** Whether INIT or a SIPI has come. */
    public boolean hasPendingInitOrSipi() {
        LocalApic a = lapic;
        return a != null && a.hasPendingInitOrSipi();
    }

    /** Whether an INIT waits for the end of system management mode. */
    public boolean initLatched() {
        LocalApic a = lapic;
        return a != null && a.initPending();
    }

    public void latchInit(boolean pending) {
        LocalApic a = lapic;
        if (a != null) {
            a.setInitPending(pending);
        }
    }

    /** KVM_SET_MP_STATE(SIPI_RECEIVED): waits for INIT no more, starts where the last SIPI said. */
    public void sipiReceived() {
        mode.mpState = MpState.INIT_RECEIVED;
        required().sipiAgain();
    }

    /** Whether an address is the APIC's register page; one that is switched off is a hole, or the client's. */
    public boolean ownsPage(long gpa) {
        LocalApic a = lapic;
        return a != null && a.holds(gpa) && (a.hasPage() || settings.hasQuirk(Quirk.LAPIC_MMIO_HOLE));
    }

    public long readPage(long gpa, int bytes) {
        return required().readPage(gpa, bytes);
    }

    public void writePage(long gpa, int bytes, long value) {
        required().writePage(gpa, bytes, value);
        syncCr8();
    }

    @Override
    public void switchedOn() {
        switchedOn = true;
        // Out of the guest, so that whoever has waited for this sees it.
        eventArrived();
    }

    /** Whether the APIC was switched on by software since the last call. */
    public boolean takeSwitchedOn() {
        boolean was = switchedOn;
        switchedOn = false;
        return was;
    }

    public boolean pvUnhalted() {
        return pvUnhalted;
    }

    public void clearPvUnhalted() {
        pvUnhalted = false;
    }

    @Override
    public void eventArrived() {
        mode.request(Request.EVENT);
        mode.kick();
    }

    @Override
    public void clientIoApicEoi(int vector) {
        endedVector = vector;
        mode.request(Request.IOAPIC_EOI_EXIT);
        mode.kick();
    }

    /** {@code KVM_TPR_ACCESS_REPORTING}: whether the client hears of accesses to the task priority's register. */
    public void reportTaskPriority(boolean on) {
        reportsTaskPriority = on;
    }

    @Override
    public void taskPriorityAccessed(boolean write) {
        if (reportsTaskPriority) {
            taskPriorityWritten = write;
            mode.request(Request.REPORT_TPR_ACCESS);
            mode.kick();
        }
    }

    /** Of the access that {@link Request#REPORT_TPR_ACCESS} tells of: whether it was a write. */
    public boolean taskPriorityWritten() {
        return taskPriorityWritten;
    }

    @Override
    public void nmiArrived() {
        events.queueNmi();
        eventArrived();
    }

    @Override
    public void smiArrived() {
        events.queueSmi();
        eventArrived();
    }

    @Override
    public void unhalt() {
        pvUnhalted = true;
        mode.request(Request.UNBLOCK);
        mode.kick();
    }

    public void close() {
        LocalApic a = lapic;
        if (a != null) {
            a.close();
        }
    }
}
