package dev.slate.kvm.pv;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.mmu.Translations;
import dev.slate.kvm.mmu.VcpuMmu;

/**
 * Where a guest reads how long its vCPU was ready and did not run, and whether it runs now ({@code struct kvm_steal_time}). A guest that
 * finds a vCPU out may leave a TLB flush there instead of interrupting it.
 *
 * <p>Under the vCPU's mutex, outside guest mode; other vCPUs change the last byte meanwhile.
 */
public final class StealTime {
    private static final long ENABLED = 1;
    private static final long RESERVED = 0x3e;

    // struct kvm_steal_time
    private static final int STEAL = 0;
    private static final int VERSION = 8;
    private static final int PREEMPTED = 16;
    private static final int VCPU_PREEMPTED = 1;
    private static final int VCPU_FLUSH_TLB = 2;

    private final HostServices host;
    private final VcpuMmu mmu;
    private final Translations translations;

    private long msr;
    private long lastDelay;
    /** The guest is told that the vCPU is out. */
    private boolean out;

    public StealTime(HostServices host, VcpuMmu mmu, Translations translations) {
        this.host = host;
        this.mmu = mmu;
        this.translations = translations;
    }

    /** RESET and INIT. */
    public void reset() {
        msr = 0;
        out = false;
    }

    public long msr() {
        return msr;
    }

    /** MSR_KVM_STEAL_TIME; false: reserved bits. */
    public boolean write(long value) {
        if ((value & RESERVED) != 0) {
            return false;
        }
        msr = value;
        out = false;
        lastDelay = host.runDelayNanos();
        update();
        return true;
    }

    /** The vCPU's thread is about to run the guest. */
    public void enter() {
        if ((msr & ENABLED) != 0) {
            update();
        }
    }

    /** The version is odd while the time changes. What a guest left in the flag's byte is taken and done in one step. */
    private void update() {
        long gpa = msr & ~(ENABLED | RESERVED);
        long hva = (msr & ENABLED) == 0 ? 0 : mmu.beginAccess(gpa, true);
        if (hva == 0) {
            return;
        }
        int left = HostMemory.getAndAnd32(hva + PREEMPTED, ~0xff) & 0xff;
        out = false;
        int version = HostMemory.getVolatile32(hva + VERSION);
        version += (version & 1) + 1;
        HostMemory.putVolatile32(hva + VERSION, version);
        long delay = host.runDelayNanos();
        HostMemory.putVolatile64(hva + STEAL, HostMemory.get64(hva + STEAL) + delay - lastDelay);
        lastDelay = delay;
        HostMemory.putVolatile32(hva + VERSION, version + 1);
        mmu.endWrite(gpa);
        if ((left & VCPU_FLUSH_TLB) != 0) {
            translations.changed();
        }
    }

    /** The vCPU's thread leaves KVM_RUN, or sleeps. */
    public void leave() {
        if ((msr & ENABLED) == 0 || out) {
            return;
        }
        long gpa = msr & ~(ENABLED | RESERVED);
        long hva = mmu.beginAccess(gpa, true);
        if (hva == 0) {
            return;
        }
        HostMemory.getAndOr32(hva + PREEMPTED, VCPU_PREEMPTED);
        out = true;
        mmu.endWrite(gpa);
    }
}
