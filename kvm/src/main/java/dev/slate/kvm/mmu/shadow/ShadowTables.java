package dev.slate.kvm.mmu.shadow;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mmu.GuestWalk;
import dev.slate.cpu.mmu.Tlb;
import dev.slate.kvm.Errno;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.memslot.Memslots;
import dev.slate.kvm.mmu.HvaInvalidation;
import dev.slate.kvm.mmu.Spte;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.tracepoint.Tracepoints;

/**
 * The guest's page tables in its memory, for the walk that the hypervisor does. A walk reads inside one reading window, through a cache of
 * tables that are known to be populated while memslots and invalidation sequence are what they were; a table that is not there yet is
 * populated outside the window, and the walk starts again.
 *
 * <p>Of the vCPU's thread only; outside guest mode.
 */
final class ShadowTables implements GuestWalk.Tables {
    /** Places of the cache, and how many may be taken: a walk needs five at most, so after a sweep it comes through. */
    private static final int SIZE = 128;

    private static final int MOST = 64;
    private static final long NONE = -1;

    private final VcpuMmu v;
    private final HostServices host;
    private final GuestMemory memory;
    private final HvaInvalidation invalidation;

    @SuppressWarnings("NullAway.Init") // Each needs the other; set before the first walk.
    GuestWalk walk;

    // gfn + 1 of a table, 0: empty; its hva, 0: no memory, bit 0: populated for writing. bit 1: read-only slot.
    private final long[] tag = new long[SIZE];
    private final long[] page = new long[SIZE];
    private int count;

    private static final long WRITABLE = 1;
    private static final long READ_ONLY = 2;
    private static final long ACCESSED_DIRTY = 0x60;

    private Memslots slots;
    private long sequence;

    private long missing = NONE;
    private boolean missingForWrite;
    /** Of the entry that a tracepoint showed last; 0 at a walk's start. */
    private int tracedLevel;

    ShadowTables(ShadowMmu mmu, VcpuMmu vcpu) {
        this.v = vcpu;
        this.host = mmu.context.host();
        this.memory = mmu.context.memory();
        this.invalidation = mmu.context.invalidation();
        this.slots = memory.slots(0);
    }

    /** The memslots that the last walk rests on. */
    Memslots slots() {
        return slots;
    }

    /** The invalidation sequence that the last walk rests on. */
    long sequence() {
        return sequence;
    }

    /** Looks at memslots and sequence anew; what was populated under others is forgotten. */
    void snapshot() {
        long now = invalidation.sequence();
        Memslots current = memory.slots(v.addressSpace);
        if (now != sequence || current != slots) {
            sequence = now;
            slots = current;
            sweep();
        }
    }

    private void sweep() {
        java.util.Arrays.fill(tag, 0);
        count = 0;
    }

    /** Where a gfn stands, or would stand. */
    private int place(long gfn) {
        int i = (int) (gfn * 0x9e37_79b9_7f4a_7c15L >>> 57);
        while (tag[i] != 0 && tag[i] != gfn + 1) {
            i = i + 1 & SIZE - 1;
        }
        return i;
    }

    /**
     * Walks the guest's tables.
     *
     * @return {@link GuestWalk#OK}, {@link GuestWalk#FAULT}; {@link GuestWalk#RESTART}: the vCPU must leave first, with {@link VcpuMmu#errno}
     */
    int walk(long la, int access, int mode) {
        for (; ; ) {
            snapshot();
            if (Tracepoints.ON) {
                tracedLevel = 0;
                Tracepoints.pagetableWalk(la, tracedError(access, mode));
            }
            missing = NONE;
            v.mode.beginReading();
            int outcome = GuestWalk.RESTART;
            if (memory.slots(v.addressSpace) == slots && invalidation.sequence() == sequence) {
                outcome = walk.walk(la, access, mode & (Tlb.USER | Tlb.SMAP));
            }
            v.mode.endReading();
            if (outcome != GuestWalk.RESTART) {
                if (Tracepoints.ON && outcome == GuestWalk.FAULT) {
                    Tracepoints.walkerError(walk.errorCode);
                }
                return outcome;
            }
            if (missing != NONE && !populate(missing, missingForWrite) || v.mode.kicked() && missing == NONE) {
                return GuestWalk.RESTART;
            }
        }
    }

    /**
     * Sees that a table's page is populated under the snapshot.
     *
     * @return false: the vCPU must leave first, with {@link VcpuMmu#errno}
     */
    boolean populate(long gfn, boolean write) {
        Memslot slot = v.slot(slots, gfn);
        long at = 0;
        if (slot != null) {
            at = slot.hva(gfn);
            boolean forWrite = write && !slot.readonly();
            if (invalidation.inProgress(at, 4096)) {
                invalidation.await(at, v.mode);
                return !v.mode.kicked();
            }
            int error = host.populate(at, 4096, forWrite);
            if (error == Errno.EINTR.number() || error == Errno.EAGAIN.number()) {
                return false;
            }
            at = error != 0 ? 0 : at | (forWrite ? WRITABLE : 0) | (slot.readonly() ? READ_ONLY : 0);
        }
        int i = place(gfn);
        if (tag[i] == 0 && count++ == MOST) {
            sweep();
            i = place(gfn);
            count = 1;
        }
        tag[i] = gfn + 1;
        page[i] = at;
        return true;
    }

    /** Whether a table's page is populated and memory at all; under the snapshot. */
    boolean memory(long gfn) {
        int i = place(gfn);
        return tag[i] == gfn + 1 && page[i] != 0;
    }

    /** Whether something is known of a table's page under the snapshot. */
    boolean known(long gfn) {
        return tag[place(gfn)] == gfn + 1;
    }

    @Override
    public long read(long gpa, int bytes, long la) {
        long gfn = gpa >>> 12;
        int i = place(gfn);
        if (tag[i] != gfn + 1) {
            missing = gfn;
            missingForWrite = false;
            walk.restart = true;
            return 0;
        }
        long at = page[i] & -4096L;
        if (at == 0) {
            // KVM takes a table that lies in no memory for one without entries.
            return 0;
        }
        at |= gpa & 4095;
        long entry = bytes == 8 ? HostMemory.get64(at) : HostMemory.get32(at) & 0xffff_ffffL;
        if (Tracepoints.ON) {
            // A walk reads one entry a level, from the top.
            tracedLevel = tracedLevel == 0 ? walk.topLevel : tracedLevel - 1;
            Tracepoints.pagingElement(entry, tracedLevel);
        }
        return entry;
    }

    private static int tracedError(int access, int mode) {
        return (access == Tlb.WRITE ? GuestWalk.PF_W : access == Tlb.FETCH ? GuestWalk.PF_I : 0)
                | ((mode & Tlb.USER) != 0 ? GuestWalk.PF_U : 0);
    }

    private static void traceUpdate(long gpa, long set) {
        if ((set & Spte.ACCESSED) != 0) {
            Tracepoints.setAccessedBit(gpa);
        }
        if ((set & Spte.DIRTY) != 0) {
            Tracepoints.setDirtyBit(gpa);
        }
    }

    @Override
    public boolean update(long gpa, int bytes, long old, long entry, long la) {
        long gfn = gpa >>> 12;
        int i = place(gfn);
        if (tag[i] == gfn + 1 && (page[i] & READ_ONLY) != 0) {
            // ROM: the bits are not kept.
            return true;
        }
        if (tag[i] != gfn + 1 || (page[i] & WRITABLE) == 0) {
            missing = gfn;
            missingForWrite = true;
            return false;
        }
        long at = page[i] & -4096L | gpa & 4095;
        boolean done = bytes == 8 ? HostMemory.cas64(at, old, entry) : HostMemory.cas32(at, (int) old, (int) entry);
        if (Tracepoints.ON && done) {
            traceUpdate(gpa, entry & ~old);
        }
        Memslot slot = v.slot(slots, gfn);
        if (done && slot != null) {
            v.markDirty(slot, gfn);
        }
        return done;
    }

    /** Under the MMU's lock, with nothing stale: whether the entry that the last walk used at a level still stands. */
    boolean unchanged(int level) {
        if (level < walk.level) {
            return true;
        }
        long gpa = walk.entryGpa[level];
        Memslot slot = slots.find(gpa >>> 12);
        if (slot == null) {
            return false;
        }
        long at = slot.hva(gpa >>> 12) | gpa & 4095;
        long now = walk.entryBytes == 8 ? HostMemory.get64(at) : HostMemory.get32(at) & 0xffff_ffffL;
        // The walk takes accessed and dirty bits for set, which a table in ROM does not keep.
        long kept = slot.readonly() ? ~ACCESSED_DIRTY : -1L;
        return ((now ^ walk.entry[level]) & kept) == 0;
    }
}
