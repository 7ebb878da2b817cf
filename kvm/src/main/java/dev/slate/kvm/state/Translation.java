package dev.slate.kvm.state;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mmu.GuestWalk;
import dev.slate.cpu.mmu.Tlb;
import dev.slate.kvm.mmu.VcpuMmu;

/**
 * KVM_TRANSLATE: where a linear address leads by the guest's own tables, for a read at privilege 0. As KVM's walk, it marks entries as
 * accessed, and what lies in no memory maps nothing.
 *
 * <p>Outside guest mode, under the vCPU's mutex.
 */
public final class Translation implements GuestWalk.Tables {
    /** The tables map nothing there. */
    public static final long NOWHERE = -1;

    /** Others may change an entry under the walk; who does so all the time gets no answer. */
    private static final int MOST_WALKS = 64;

    private static final long FRAME = 0x000f_ffff_ffff_f000L;

    private final VcpuMmu mmu;
    private final GuestWalk walk;
    /** An entry is in memory that cannot be written. */
    private boolean stuck;

    /** @param physicalBits the guest's MAXPHYADDR */
    public Translation(CpuState s, VcpuMmu mmu, int physicalBits) {
        this.mmu = mmu;
        this.walk = new GuestWalk(s, this);
        walk.reserved = FRAME & -1L << physicalBits;
    }

    /** The guest physical address of {@code la}, or {@link #NOWHERE}. */
    public long of(long la) {
        for (int i = 0; i < MOST_WALKS && !stuck; i++) {
            switch (walk.walk(la, Tlb.READ, 0)) {
                case GuestWalk.OK -> {
                    return walk.gpa;
                }
                case GuestWalk.FAULT -> {
                    return NOWHERE;
                }
                default -> {}
            }
        }
        return NOWHERE;
    }

    @Override
    public long read(long gpa, int bytes, long la) {
        long hva = mmu.beginAccess(gpa, false);
        if (hva == 0) {
            return 0;
        }
        long entry = bytes == 8 ? HostMemory.getVolatile64(hva) : HostMemory.getVolatile32(hva) & 0xffff_ffffL;
        mmu.endRead();
        return entry;
    }

    @Override
    public boolean update(long gpa, int bytes, long old, long entry, long la) {
        long hva = mmu.beginAccess(gpa, true);
        if (hva == 0) {
            stuck = true;
            return false;
        }
        boolean done = bytes == 8 ? HostMemory.cas64(hva, old, entry) : HostMemory.cas32(hva, (int) old, (int) entry);
        mmu.endWrite(gpa);
        return done;
    }
}
