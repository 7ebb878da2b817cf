package dev.slate.kvm.xen;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.mmu.MmuContext;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.stats.VcpuStats;

/**
 * Guest memory for threads that are no vCPU's: an event may come from anywhere. It has a mode of its own among the vCPUs', so that who
 * takes memory away waits for it as for them.
 *
 * <p>Thread-safe: one access at a time. Its lock is below all others but the timers'.
 */
final class XenMemory implements AutoCloseable {
    private final MmuContext context;
    private final GuestMode mode;
    private final VcpuStats stats;
    private final VcpuMmu mmu;

    /** @throws dev.slate.kvm.KvmException ENOMEM */
    XenMemory(HostServices host, MmuContext context) {
        this.context = context;
        this.mode = new GuestMode(host);
        this.stats = new VcpuStats(host);
        this.mmu = new VcpuMmu(context, mode, stats, () -> {});
        context.modes().add(mode);
    }

    /** Whether there is memory at {@code gpa}. */
    synchronized boolean there(long gpa) {
        long hva = mmu.beginAccess(gpa, true);
        if (hva == 0) {
            return false;
        }
        mode.endReading();
        return true;
    }

    /** {@link #setBit}: no memory. */
    static final int NOWHERE = -1;

    /** Sets bit {@code n} of what begins at {@code gpa} in one step; 1: it was set, 0: it was clear, or {@link #NOWHERE}. */
    synchronized int setBit(long gpa, int n) {
        long at = gpa + (n >>> 3);
        long hva = mmu.beginAccess(at, true);
        if (hva == 0) {
            return NOWHERE;
        }
        int bit = 1 << ((int) hva & 3) * 8 + (n & 7);
        int before = HostMemory.getAndOr32(hva & ~3L, bit);
        mmu.endWrite(at);
        return (before & bit) == 0 ? 0 : 1;
    }

    /** Bit {@code n} of what begins at {@code gpa}: 1, 0, or {@link #NOWHERE}. */
    synchronized int bit(long gpa, int n) {
        long hva = mmu.beginAccess(gpa + (n >>> 3), false);
        if (hva == 0) {
            return NOWHERE;
        }
        int bit = HostMemory.getVolatile32(hva & ~3L) >>> ((int) hva & 3) * 8 + (n & 7) & 1;
        mode.endReading();
        return bit;
    }

    /** Sets a byte to 1; false: no memory. */
    synchronized boolean raiseByte(long gpa) {
        long hva = mmu.beginAccess(gpa, true);
        if (hva == 0) {
            return false;
        }
        HostMemory.getAndOr32(hva & ~3L, 1 << ((int) hva & 3) * 8);
        mmu.endWrite(gpa);
        return true;
    }

    synchronized boolean read(long gpa, byte[] to, int bytes) {
        return mmu.read(gpa, to, 0, bytes);
    }

    synchronized boolean write(long gpa, byte[] from, int offset, int bytes) {
        return mmu.write(gpa, from, offset, bytes);
    }

    @Override
    public void close() {
        context.modes().remove(mode);
        mmu.close();
        mode.close();
        stats.close();
    }
}
